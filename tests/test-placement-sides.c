/*
 * Which side a row runs on where a pathway's calls are divided between the CPU and a device: by what its own
 * sequence gave, whoever else is in its step. The device is the tests' own.
 */
#include <math.h>

#include "tests/gem-test-scene.h"

enum { TEXT = 20, READER = 40, WRITERS = 12, WRITTEN = 4 };

typedef struct {
  GemTestScene *scene;
  GemSequenceState *own, *reader, *writers[WRITERS];
  GArray *values; /* float: the final hidden states of `own` */
} Crowd;

static GemSequenceState *
new_sequence(const Crowd *self)
{
  return gem_sequence_state_new(self->scene->runtime, 0);
}

/* All at once, of the first domain. */
static void
append(const Crowd *self, GemSequenceState *sequence, guint n)
{
  const GemRouting routing = {.forced = TRUE, .route = 0};
  g_autofree guint32 *tokens = g_new(guint32, n);
  for (guint i = 0; i < n; i++) {
    tokens[i] = ((sequence->tokens->len + i) * 37 + 11) % self->scene->runtime->vocab;
  }
  g_assert_true(gem_sequence_state_append(self->scene->runtime, sequence, tokens, n, &routing, NULL, NULL));
}

static void
crowd_begin(Crowd *self, GemTestScene *scene)
{
  *self = (Crowd){.scene = scene, .values = g_array_new(FALSE, FALSE, sizeof(float))};
  self->own = new_sequence(self);
  self->reader = new_sequence(self);
  for (guint i = 0; i < WRITERS; i++) {
    self->writers[i] = new_sequence(self);
  }
}

static void
crowd_end(Crowd *self)
{
  gem_sequence_state_free(self->scene->runtime, self->own);
  gem_sequence_state_free(self->scene->runtime, self->reader);
  for (guint i = 0; i < WRITERS; i++) {
    gem_sequence_state_free(self->scene->runtime, self->writers[i]);
  }
  g_array_unref(self->values);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Crowd, crowd_end)

static void
keep_values(gpointer data, guint position, const float *values)
{
  Crowd *self = data;
  guint width = self->scene->runtime->shape->width;
  g_assert_cmpuint(self->values->len, ==, position * width);
  g_array_append_vals(self->values, values, width);
}

/* A step with some rows of `own`; among those of others, who read and write. */
static void
run_step(Crowd *self, guint rows, gboolean among_others)
{
  GemStepSpan spans[WRITERS + 2];
  guint n = 0;
  g_autoptr(GError) error = NULL;
  for (guint i = 0; among_others && i < WRITERS; i++) {
    append(self, self->writers[i], 1);
    spans[n++] = (GemStepSpan){.sequence = self->writers[i], .rows = 1, .outputs_from = G_MAXUINT};
  }
  spans[n++] =
      (GemStepSpan){.sequence = self->own, .rows = rows, .hidden = TRUE, .output = keep_values, .data = self};
  if (among_others) {
    gem_sequence_state_truncate(self->reader, 0); /* there is room for one text */
    append(self, self->reader, READER);
    spans[n++] = (GemStepSpan){.sequence = self->reader, .rows = READER, .outputs_from = G_MAXUINT};
  }
  g_assert_true(gem_step_run(self->scene->step, spans, n, &error));
  g_assert_no_error(error);
}

/* A text that is read, and what is written after it; among others the text is read in pieces. */
static void
run_own(Crowd *self, gboolean among_others)
{
  append(self, self->own, TEXT);
  if (among_others) {
    run_step(self, 3, TRUE);
    run_step(self, 1, TRUE);
    run_step(self, TEXT - 4, TRUE);
  } else {
    run_step(self, TEXT, FALSE);
  }
  for (guint i = 0; i < WRITTEN; i++) {
    append(self, self->own, 1);
    run_step(self, 1, among_others);
  }
  g_assert_cmpuint(self->values->len, ==, (TEXT + WRITTEN) * self->scene->runtime->shape->width);
}

/* With decisions as given, and both pathways on both sides. */
static GemTestScene *
open_divided(gboolean rows_go)
{
  GemTestScene *scene = gem_test_scene_new("work", "device");
  gem_test_scene_open(scene);
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  gem_test_scene_settle(scene); /* measured */
  gem_test_scene_close(scene);
  gem_test_scene_divide_decisions(scene, rows_go, !rows_go);
  scene->test->config.backend = NULL;
  gem_test_scene_open(scene);
  g_array_unref(gem_test_scene_run(scene, 20, NULL));
  gem_test_scene_wait_for_device(scene, "general");
  gem_test_scene_wait_for_device(scene, "legal");
  return scene;
}

/* A device that gives too much: a row that changed its side would not be what it was. */
static void
test_same(gconstpointer data)
{
  gboolean rows_go = GPOINTER_TO_INT(data);
  g_autoptr(GemTestScene) scene = open_divided(rows_go);
  g_setenv("GEM_TEST_DEVICE", "wrong", TRUE);
  {
    g_auto(Crowd) alone = {0}, among = {0};
    crowd_begin(&alone, scene);
    crowd_begin(&among, scene);
    run_own(&alone, FALSE);
    run_own(&among, TRUE);
    g_assert_cmpmem(among.values->data, among.values->len * sizeof(float), alone.values->data,
                    alone.values->len * sizeof(float));
  }
  g_assert_true(gem_test_scene_is_on_device(scene, "general"));
  g_assert_true(gem_test_scene_is_on_device(scene, "legal"));
  gem_test_scene_close(scene);
}

/* The device fails as soon as it is asked: until then no row of a step was one of its own. */
static void
test_sides(gconstpointer data)
{
  gboolean rows_go = GPOINTER_TO_INT(data);
  g_autoptr(GemTestScene) scene = open_divided(rows_go);
  g_setenv("GEM_TEST_DEVICE", "fail", TRUE);
  {
    g_auto(Crowd) crowd = {0};
    crowd_begin(&crowd, scene);
    append(&crowd, crowd.own, TEXT);
    if (rows_go) {
      run_step(&crowd, 1, FALSE); /* of the text */
      run_step(&crowd, 3, FALSE);
    } else {
      for (guint i = 0; i < WRITERS; i++) { /* no text: as many rows as a block is worth */
        append(&crowd, crowd.writers[i], 1);
      }
      GemStepSpan spans[WRITERS];
      for (guint i = 0; i < WRITERS; i++) {
        spans[i] = (GemStepSpan){.sequence = crowd.writers[i], .rows = 1, .outputs_from = G_MAXUINT};
      }
      g_assert_true(gem_step_run(scene->step, spans, WRITERS, NULL));
    }
    g_assert_true(gem_test_scene_is_on_device(scene, "general"));
    g_assert_true(gem_test_scene_is_on_device(scene, "legal"));
    run_step(&crowd, 3, rows_go); /* one of the others writes; a piece of a text that is long enough */
    g_assert_false(gem_test_scene_is_on_device(scene, "general"));
    g_assert_false(gem_test_scene_is_on_device(scene, "legal"));
  }
  gem_test_scene_close(scene);
}

/* What a device that fails leaves is what the CPU alone gives, for rows of both sides. */
static void
test_fails(gconstpointer data)
{
  g_autoptr(GemTestScene) plain = gem_test_scene_new("absent", NULL);
  gem_test_scene_open(plain);
  g_autoptr(GemTestScene) scene = open_divided(GPOINTER_TO_INT(data));
  g_setenv("GEM_TEST_DEVICE", "fail", TRUE);
  {
    g_auto(Crowd) expected = {0}, found = {0};
    crowd_begin(&expected, plain);
    crowd_begin(&found, scene);
    run_own(&expected, TRUE);
    run_own(&found, TRUE);
    g_assert_cmpmem(found.values->data, found.values->len * sizeof(float), expected.values->data,
                    expected.values->len * sizeof(float));
  }
  gem_test_scene_close(scene);
  gem_test_scene_close(plain);
}

/* A device that takes single rows one by one fails in the midst of them: each is added once. */
static void
test_fails_between_rows(void)
{
  enum { ROWS = 4 };
  g_autoptr(GemTestScene) scene = open_divided(TRUE);
  GemPager *pager = scene->runtime->pager;
  guint general = scene->runtime->shape->n_domains, n = ROWS * scene->runtime->shape->width;
  g_autofree float *x = g_new(float, n), *expected = g_new0(float, n), *found = g_new0(float, n);
  double difference = 0.0, norm = 0.0;
  for (guint i = 0; i < n; i++) {
    x[i] = sinf((float)i);
  }
  gem_pager_apply(pager, general, 0, FALSE, x, ROWS, expected);
  g_setenv("GEM_TEST_DEVICE", "fail-third", TRUE);
  gem_pager_apply(pager, general, 0, TRUE, x, ROWS, found);
  g_assert_false(gem_test_scene_is_on_device(scene, "general"));
  for (guint i = 0; i < n; i++) {
    difference += (double)(found[i] - expected[i]) * (double)(found[i] - expected[i]);
    norm += (double)expected[i] * (double)expected[i];
  }
  g_assert_cmpfloat(sqrt(difference / norm), <, 0.05);
  gem_test_scene_close(scene);
}

/* By how much of a block of its text is its pathway's. */
static void
test_text_rows(void)
{
  g_autoptr(GemTestScene) scene = gem_test_scene_new("absent", NULL);
  gem_test_scene_open(scene);
  {
    g_auto(Crowd) crowd = {0};
    crowd_begin(&crowd, scene);
    append(&crowd, crowd.own, 1);
    append(&crowd, crowd.own, 9);
    append(&crowd, crowd.own, 100);
    g_assert_cmpuint(crowd.own->text_rows->len, ==, 110);
    for (guint i = 0; i < 110; i++) {
      const GemTextRows *rows = &g_array_index(crowd.own->text_rows, GemTextRows, i);
      g_assert_cmpuint(rows->general, ==, i == 0 ? 1 : i < 10 ? 9 : GEM_PLACEMENT_BLOCK);
      g_assert_cmpuint(rows->routed, ==, rows->general);
    }
    gem_sequence_state_truncate(crowd.own, 10);
    g_assert_cmpuint(crowd.own->text_rows->len, ==, 10);
    g_assert_cmpuint(gem_sequence_state_slide(scene->runtime, crowd.own, G_MAXUINT32), ==, 5);
    g_assert_cmpuint(crowd.own->text_rows->len, ==, 5);
    g_assert_cmpuint(g_array_index(crowd.own->text_rows, GemTextRows, 0).general, ==, 9);
  }
  gem_test_scene_close(scene);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/placement-sides/same/rows", GINT_TO_POINTER(TRUE), test_same);
  g_test_add_data_func("/placement-sides/same/blocks", GINT_TO_POINTER(FALSE), test_same);
  g_test_add_data_func("/placement-sides/sides/rows", GINT_TO_POINTER(TRUE), test_sides);
  g_test_add_data_func("/placement-sides/sides/blocks", GINT_TO_POINTER(FALSE), test_sides);
  g_test_add_data_func("/placement-sides/fails/rows", GINT_TO_POINTER(TRUE), test_fails);
  g_test_add_data_func("/placement-sides/fails/blocks", GINT_TO_POINTER(FALSE), test_fails);
  g_test_add_func("/placement-sides/fails/between-rows", test_fails_between_rows);
  g_test_add_func("/placement-sides/text-rows", test_text_rows);
  return g_test_run();
}
