/* What EdgeBench holds results against: specialists, baselines, the scale between chance and them. */
#include <math.h>
#include <string.h>

#include "bench/edge/gem-edge-result.h"
#include "tests/gem-test-edge.h"
#include "tests/gem-test-folder.h"

#define assert_near(a, b) g_assert_cmpfloat_with_epsilon(a, b, 1e-9)

/* The result of a run on legal/pick. */
typedef struct {
  const char *model, *split;
  int limit, seed;
  double f1, standard_error;
} Result;

static void
write_result(const GemTestEdge *self, const char *file, const Result *result)
{
  g_autofree char *text = g_strdup_printf(
      "{\"run\": {\"model\": \"%s\", \"split\": \"%s\", \"limit\": %d, \"seed\": %d}, \"tasks\": "
      "[{\"domain\": \"legal\", \"name\": \"pick\", \"f1\": {\"value\": %g, \"standard_error\": %g}}]}",
      result->model, result->split, result->limit, result->seed, result->f1, result->standard_error);

  gem_test_write_text(self->folder, file, text);
}

/* Of the files that were written, for a run of `limit` dev lines with seed 1. */
static GemEdgeSpecialist *
read_specialists(const GemTestEdge *self, guint n, guint limit, GError **error)
{
  g_autofree char *first = g_build_filename(self->folder, "first.json", NULL);
  g_autofree char *second = g_build_filename(self->folder, "second.json", NULL);
  const char *const paths[] = {first, n > 1 ? second : NULL, NULL};
  const GemEdgeWish wish = {.split = "dev", .limit = limit, .seed = 1};

  return gem_edge_specialist_read(paths, &wish, error);
}

/* A linear model is a specialist, too; the better of the two counts. */
static void
test_linear_specialist(GemTestEdge *self)
{
  static const Result model = {"m", "dev", 7, 1, 0.75, 0.1};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEdgeSpecialist) specialist = NULL;

  gem_test_write_text(self->folder, "first.json",
                      "{\"tasks\": [{\"task\": \"legal/pick\", \"dev\": {\"linear\": {\"accuracy\": 0.9, "
                      "\"f1\": 0.8, \"f1_error\": 0.02}}}, {\"task\": \"legal/tell\", \"dev\": {\"linear\": "
                      "{\"accuracy\": 0.6, \"f1\": 0.5, \"f1_error\": 0.03}}}]}");
  write_result(self, "second.json", &model);
  specialist = read_specialists(self, 2, 7, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(specialist->model, ==, "linear, m");
  assert_near(gem_edge_specialist_get(specialist, "legal/pick").value, 0.8);
  assert_near(gem_edge_specialist_get(specialist, "legal/tell").standard_error, 0.03);
}

static void
test_specialist(GemTestEdge *self, gconstpointer data)
{
  static const Result better = {"m", "dev", 7, 1, 0.75, 0.1}, worse = {"n", "dev", 7, 1, 0.5, 0.2};
  static const Result others[] = {
      {"m", "test", 7, 1, 0.75, 0.1}, {"m", "dev", 8, 1, 0.75, 0.1}, {"m", "dev", 7, 2, 0.75, 0.1}};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEdgeSpecialist) specialist = NULL;
  gsize i;

  write_result(self, "first.json", &better);
  write_result(self, "second.json", &worse);
  specialist = read_specialists(self, 2, 7, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(specialist->model, ==, "m, n");
  assert_near(gem_edge_specialist_get(specialist, "legal/pick").value, 0.75);
  assert_near(gem_edge_specialist_get(specialist, "legal/pick").standard_error, 0.1);
  g_assert_true(isnan(gem_edge_specialist_get(specialist, "legal/other").value));
  g_assert_true(isnan(gem_edge_specialist_get(NULL, "legal/pick").value));
  for (i = 0; i < G_N_ELEMENTS(others); i++) {
    write_result(self, "first.json", &others[i]);
    g_assert_null(read_specialists(self, 1, 7, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    g_assert_nonnull(strstr(error->message, "other lines"));
    g_clear_error(&error);
  }
  gem_test_write_text(self->folder, "first.json", "{\"tasks\": [{}]}");
  g_assert_null(read_specialists(self, 1, 7, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_nonnull(strstr(error->message, "first.json: neither"));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "first.json",
                      "{\"run\": {\"split\": 5, \"model\": \"m\"}, \"tasks\": []}");
  g_assert_null(read_specialists(self, 1, 7, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error(&error);
  gem_test_write_text(self->folder, "first.json",
                      "{\"run\": {\"split\": \"dev\", \"model\": 5}, \"tasks\": []}");
  g_assert_null(read_specialists(self, 1, 7, &error));
  g_assert_nonnull(strstr(error->message, "first.json: neither"));
  test_linear_specialist(self);
  assert_near(gem_edge_specialist_top((GemEdgeScore){0.75, 0.1}, 0.5), 0.75);
  g_assert_true(isnan(gem_edge_specialist_top((GemEdgeScore){0.75, 0.1}, 0.56)));
}

static void
test_baselines(GemTestEdge *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->folder, "baselines.json", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEdgeBaselines) baselines = NULL;

  gem_test_write_text(self->folder, "baselines.json",
                      "{\"tasks\": [{\"task\": \"legal/pick\", \"test\": {}, \"dev\": {\"linear\": "
                      "{\"accuracy\": 0.5, \"f1\": 0.25}}}]}");
  baselines = gem_edge_baselines_read(path, "dev", &error);
  g_assert_no_error(error);
  assert_near(gem_edge_baselines_get(baselines, "legal/pick").accuracy, 0.5);
  assert_near(gem_edge_baselines_get(baselines, "legal/pick").f1, 0.25);
  g_assert_true(isnan(gem_edge_baselines_get(baselines, "legal/other").f1));
  g_assert_true(isnan(gem_edge_baselines_get(NULL, "legal/pick").f1));
  g_assert_null(gem_edge_baselines_read(path, "test", &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_nonnull(strstr(error->message, "of test lines"));
}

/* A task's F1 on the specialist's scale, and the baseline beside it. */
static void
test_scale(GemTestEdge *self, gconstpointer data)
{
  static const Result specialised = {"m", "dev", 0, 1, 0.75, 0.01};
  g_autofree char *baseline_path = g_build_filename(self->folder, "baselines.json", NULL);
  g_autoptr(GemEdgeSuite) suite = gem_test_edge_read_suite(self, "legal/*", NULL);
  g_autoptr(GemEdgePlan) plan = gem_edge_plan_new(suite, gem_test_edge_domains, 100, 1);
  g_autoptr(GemEdgeState) state = gem_edge_state_open(NULL, gem_test_edge_identity, plan, NULL);
  g_autoptr(GemEdgeSpecialist) specialist = NULL;
  g_autoptr(GemEdgeBaselines) baselines = NULL;
  g_autoptr(GemEdgeResult) result = NULL;
  GemEdgeScale scale;
  double chance;
  GemTestEdgeStand stand;

  gem_test_write_text(self->folder, "baselines.json",
                      "{\"tasks\": [{\"task\": \"legal/pick\", \"dev\": {\"linear\": {\"accuracy\": 0.5, "
                      "\"f1\": 0.25}}}]}");
  write_result(self, "first.json", &specialised);
  specialist = read_specialists(self, 1, 0, NULL);
  baselines = gem_edge_baselines_read(baseline_path, "dev", NULL);
  scale = (GemEdgeScale){.specialist = specialist, .baselines = baselines};
  gem_test_edge_stand_init(&stand);
  g_assert_true(gem_edge_run(plan, &stand.base, state, self->energy, &gem_test_edge_in_pairs, NULL));
  result = gem_edge_result_new(plan, gem_edge_state_get_samples(state), &scale);
  chance = result->tasks[0].score.chance_f1;
  assert_near(chance, (2 * (1.0 / 3) / 2 / (1.0 / 3 + 0.5) + 2 * (2.0 / 3) / 2 / (2.0 / 3 + 0.5)) / 2);
  assert_near(result->tasks[0].normalised, (0.4 - chance) / (0.75 - chance));
  assert_near(result->matrix_normalised[0], result->tasks[0].normalised);
  assert_near(result->matrix_normalised[1], (0.25 - chance) / (0.75 - chance)); /* without a pathway */
  assert_near(result->domains[0].linear, 0.25);
  g_assert_true(isnan(result->gap.low)); /* a single task */
  /* 2 of 3 are right, as the majority is; a linear model that is right nowhere is beaten, the majority not.
   */
  g_assert_false(gem_edge_result_beats_linear(&result->tasks[0], FALSE));
  result->tasks[0].linear.accuracy = 0;
  g_assert_true(gem_edge_result_beats_linear(&result->tasks[0], FALSE));
  g_assert_false(gem_edge_result_beats_linear(&result->tasks[0], TRUE));
  g_assert_cmpstr(result->specialist, ==, "m");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                                  \
  g_test_add("/gem-edge/" name, GemTestEdge, NULL, gem_test_edge_set_up, function, gem_test_edge_tear_down)
  ADD("specialist", test_specialist);
  ADD("baselines", test_baselines);
  ADD("scale", test_scale);
#undef ADD
  return g_test_run();
}
