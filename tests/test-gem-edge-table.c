/* What gem-bench edge prints and writes, of results that the test makes up. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/edge/gem-edge-table.h"

/* A run of nothing, on the domains legal and stem. */
typedef struct {
  GemEdgeSuite suite;
  GemEdgePlan plan;
  GemEdgeDomainResult domains[2];
  GemEdgeResult result;
  GemEdgeRunInfo info;
} Scene;

static void
scene_set_up(Scene *self, gconstpointer data)
{
  static const char *const names[] = {"legal", "stem"};
  gsize i;

  *self = (Scene){.plan = {.suite = &self->suite},
                  .info = {.model = "m", .digest = "", .version = "0", .way = "bus", .split = "dev"}};
  self->suite.domains = g_ptr_array_new();
  for (i = 0; i < G_N_ELEMENTS(names); i++) {
    self->domains[i].name = names[i];
    g_ptr_array_add(self->suite.domains, (gpointer)names[i]);
  }
  self->result = (GemEdgeResult){.plan = &self->plan,
                                 .domains = self->domains,
                                 .n_domains = 2,
                                 .f1 = {NAN, NAN},
                                 .gg_forced = {NAN, NAN, NAN},
                                 .gap = {NAN, NAN, NAN},
                                 .latency = {NAN, NAN, NAN, NAN},
                                 .joules = NAN,
                                 .tokens = -1};
}

static void
scene_tear_down(Scene *self, gconstpointer data)
{
  g_ptr_array_unref(self->suite.domains);
}

/* What is printed, which must have `part`, and, unless that is NULL, not `other`. */
static void
check_printed(const Scene *self, const char *part, const char *other)
{
  FILE *terminal = stdout;
  char *text = NULL; /* of malloc */
  size_t size;

  stdout = open_memstream(&text, &size);
  g_assert_nonnull(stdout);
  gem_edge_table_print(&self->result, &self->info);
  fclose(stdout);
  stdout = terminal;
  g_test_message("%s", text);
  g_assert_nonnull(strstr(text, part));
  g_assert_true(other == NULL || strstr(text, other) == NULL);
  free(text);
}

/* The paper's own: 2.5 W for 50 ms are 0.125 J. Without a count of tokens there is none of a token. */
static void
test_energy(Scene *self, gconstpointer data)
{
  self->result.joules = 0.125;
  self->result.seconds = 0.05;
  self->result.tokens = 1;
  check_printed(self, "energy: 0.1 J, 125.000 mJ a token, 2.50 W, ", NULL);
  self->result.tokens = -1;
  check_printed(self, "energy: 0.1 J, - mJ a token, 2.50 W, ", "125");
  self->result.tokens = 0;
  check_printed(self, "energy: 0.1 J, - mJ a token, 2.50 W, ", "125");
}

/* A run in which nothing was written has no time of a token. */
static void
test_latency(Scene *self, gconstpointer data)
{
  self->info.in_flight = 4;
  self->result.latency.query_p50 = 0.0125;
  self->result.latency.query_p95 = 0.25;
  check_printed(
      self, "a query: p50 12.5 ms, p95 250.0 ms, 4 in flight; a written token: p50 - ms, p95 - ms\n", "nan");
}

/* Three numbers, or null. */
static void
check_interval(const Scene *self, gboolean known)
{
  g_autoptr(JsonNode) root = gem_edge_json_build(&self->result, &self->info);
  JsonObject *overall = json_object_get_object_member(json_node_get_object(root), "overall");
  JsonArray *gap;

  g_assert_true(json_object_get_null_member(overall, "gg_forced_interval") == !known);
  if (known) {
    gap = json_object_get_array_member(overall, "gap_same_tasks_interval");
    g_assert_cmpuint(json_array_get_length(gap), ==, 3);
    g_assert_cmpfloat(json_array_get_double_element(gap, 0), ==, 0.125);
    g_assert_cmpfloat(json_array_get_double_element(gap, 1), ==, 0.25);
    g_assert_cmpfloat(json_array_get_double_element(gap, 2), ==, 0.75);
  }
}

/* Rows legal, stem and general, columns legal and stem. The mean is of what is a number. */
static void
test_transfer(Scene *self, gconstpointer data)
{
  double matrix[] = {0.4, 0.2, 0, 0, 0.3, 0.1};

  self->domains[0].forced = (GemEdgeSpan){.gg = 0.5, .dsi = 2};
  self->domains[0].same.gg = 1;
  self->domains[1].forced = (GemEdgeSpan){.gg = 0.25, .dsi = NAN};
  self->domains[1].same.gg = -0.5;
  check_printed(self, "legal", "mean over domains");
  check_printed(self, "legal", "CDTR");
  self->result.has_transfer = TRUE;
  self->result.matrix = matrix;
  check_printed(self, "mean over domains: GG forced 0.375, DSI forced 2.000, gap on the same tasks 0.250\n",
                NULL);
  check_interval(self, FALSE);
  self->result.gg_forced = (GemEdgeInterval){-0.25, -0.125, 0.5};
  self->result.gap = (GemEdgeInterval){0.125, 0.25, 0.75};
  check_printed(self, "GG forced 0.375 (-0.125, -0.250 to 0.500), DSI forced 2.000, ", NULL);
  check_printed(self, "gap on the same tasks 0.250 (0.250, 0.125 to 0.750); in brackets with ", NULL);
  check_interval(self, TRUE);
  check_printed(self, "legal    0.400  0.200\nstem     0.000  0.000\ngeneral  0.300  0.100\n\nCDTR", NULL);
  check_printed(self, "legal    1.000  0.500\nstem         -      -\n\n", NULL);
}

/* Of a choice that the file of baselines has and one that it lacks, of a list of labels that it lacks, and of
 * an answer, of which there is none. */
static void
test_without_linear(Scene *self, gconstpointer data)
{
  GemEdgeTask tasks[] = {{.full = (char *)"legal/a", .form = GEM_EDGE_CHOICE, .has_classes = TRUE},
                         {.full = (char *)"legal/b", .form = GEM_EDGE_CHOICE, .has_classes = TRUE},
                         {.full = (char *)"stem/c", .form = GEM_EDGE_MENTIONS, .has_classes = TRUE},
                         {.full = (char *)"stem/d", .form = GEM_EDGE_ANSWER}};
  GemEdgeTaskResult results[G_N_ELEMENTS(tasks)] = {0};
  guint i;

  for (i = 0; i < G_N_ELEMENTS(tasks); i++) {
    results[i].task = &tasks[i];
    results[i].linear = i == 0 ? (GemEdgeBaseline){0.5, 0.25} : (GemEdgeBaseline){NAN, NAN};
  }
  self->result.tasks = results;
  self->result.n_tasks = G_N_ELEMENTS(tasks);
  check_printed(self, "legal/b", "no linear baseline");
  self->result.has_baselines = TRUE;
  check_printed(self, "\nno linear baseline for: legal/b, stem/c\n", NULL);
  self->result.n_tasks = 1;
  check_printed(self, "legal/a", "no linear baseline");
}

/* Whether the JSON says that an accuracy on n lines is above the linear model's, and above the majority's. */
static void
check_beaten(Scene *self, double accuracy, double other, guint n, gboolean model, gboolean majority)
{
  GemEdgeTask task = {.full = (char *)"legal/a", .form = GEM_EDGE_CHOICE, .has_classes = TRUE};
  GemEdgeTaskResult result = {.task = &task, .linear = {.f1 = other, .accuracy = other}};
  g_autoptr(JsonNode) root = NULL;
  JsonObject *object;

  result.score.metrics[GEM_EDGE_ACCURACY].value = accuracy;
  result.score.majority_accuracy = other;
  result.score.fates[GEM_BENCH_USED] = n;
  self->result.tasks = &result;
  self->result.n_tasks = 1;
  root = gem_edge_json_build(&self->result, &self->info);
  object =
      json_array_get_object_element(json_object_get_array_member(json_node_get_object(root), "tasks"), 0);
  g_assert_cmpint(json_object_get_boolean_member(object, "beats_linear"), ==, model);
  g_assert_cmpint(json_object_get_boolean_member(object, "beats_majority"), ==, majority);
  g_assert_cmpint(gem_edge_result_beats_linear(&result, FALSE), ==, model);
  g_assert_cmpint(gem_edge_result_beats_linear(&result, TRUE), ==, model && majority);
}

/* On 1,197 lines 0.180 has an error of 0.0111 and 0.205 one of 0.0117, both together 0.0161: 0.025 is more
 * than two of the first and less than two of both. The majority's 0.180 is no model's. */
static void
test_beaten(Scene *self, gconstpointer data)
{
  check_beaten(self, 0.205, 0.180, 1197, FALSE, TRUE);
  check_beaten(self, 0.212, 0.180, 1197, FALSE, TRUE);
  check_beaten(self, 0.213, 0.180, 1197, TRUE, TRUE);
  check_beaten(self, 0.202, 0.180, 1197, FALSE, FALSE);
  check_beaten(self, 0.213, NAN, 0, FALSE, FALSE);
}

/* Two accuracies side by side are told from two F1. */
static void
test_headings(Scene *self, gconstpointer data)
{
  check_printed(self, "  accuracy  acc chance  acc majority  acc linear  beats", NULL);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                                  \
  g_test_add("/gem-edge/table/" name, Scene, NULL, scene_set_up, function, scene_tear_down)
  ADD("energy", test_energy);
  ADD("latency", test_latency);
  ADD("transfer", test_transfer);
  ADD("without-linear", test_without_linear);
  ADD("beaten", test_beaten);
  ADD("headings", test_headings);
#undef ADD
  return g_test_run();
}
