/*
 * Pathways on a device: who goes there, who stays, and that nothing is lost when it fails. The device is the
 * tests' own; with GEM_ORT_LIBRARY, backends/npu-ort on ONNX Runtime's CPU provider, too.
 */
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-step.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-modules.h"
#include "tests/gem-test-patience.h"

#define BLOCK 16

typedef struct {
  GemTestEngine *test;
  char *plugin_dir; /* of the device alone */
  const char *dirs[3];
  char *cache_dir;
  GemModelFiles *files;
  GemRuntime *runtime;
  GemStep *step;
  const char *domain; /* of the text that runs */
} Scene;

static void
scene_open(Scene *self)
{
  self->runtime = gem_test_engine_open_runtime(self->test, &self->files);
  self->step = gem_step_new(self->runtime, NULL);
}

static void
scene_close(Scene *self)
{
  gem_step_free(self->step);
  gem_runtime_close(self->runtime);
  gem_model_files_free(self->files);
}

/* A scene whose device behaves like that; `backend`: the one that is named, or NULL. Not opened yet. */
static Scene *
scene_new(const char *behaviour, const char *backend)
{
  Scene *self = g_new0(Scene, 1);
  g_autofree char *source = gem_test_build_path("tests", "plugin-device", "device.so", NULL);
  g_setenv("GEM_TEST_DEVICE", behaviour, TRUE);
  self->test = gem_test_engine_new();
  self->plugin_dir = gem_test_plugin_dir_new();
  g_free(gem_test_plugin_dir_add(self->plugin_dir, GEM_PLUGIN_BACKEND, "device", source));
  self->dirs[0] = self->plugin_dir;
  self->dirs[1] = self->test->plugin_dir;
  self->cache_dir = gem_test_folder_new();
  self->test->config.plugin_dirs = self->dirs;
  self->test->config.backend = backend;
  self->test->config.cache_dir = self->cache_dir;
  return self;
}

static void
scene_free(Scene *self)
{
  gem_test_engine_free(self->test);
  gem_test_folder_remove(self->plugin_dir);
  gem_test_folder_remove(self->cache_dir);
  g_free(self->plugin_dir);
  g_free(self->cache_dir);
  g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scene, scene_free)

static gboolean
is_on_device(const Scene *self, const char *name)
{
  guint index;
  g_assert_true(gem_pager_find(self->runtime->pager, name, &index));
  g_autoptr(GemPathwayInfo) info = gem_pager_get_info(self->runtime->pager, index);
  return info->backend != NULL && !g_str_equal(info->backend, "cpu");
}

/* ---- text through the model ---- */

typedef struct {
  gsize vocab;
  GArray *best; /* guint32: the likeliest next token at each position */
} Choices;

static void
keep_best(gpointer data, guint position, const float *logits)
{
  Choices *choices = data;
  guint32 best = 0;
  for (guint32 i = 1; i < choices->vocab; i++) {
    best = logits[i] > logits[best] ? i : best;
  }
  g_assert_cmpuint(position, ==, choices->best->len);
  g_array_append_val(choices->best, best);
}

/* The likeliest next token after each of the tokens, which are routed to domain `route` and run in blocks;
 * `between` (may be NULL) is called after each block with its number. */
static GArray *
run_tokens(Scene *self, const guint32 *tokens, guint n, guint8 route, void (*between)(Scene *, guint))
{
  g_autoptr(GError) error = NULL;
  Choices choices = {.vocab = self->runtime->vocab, .best = g_array_new(FALSE, FALSE, sizeof(guint32))};
  GemSequenceState *sequence = gem_sequence_state_new(self->runtime, 0);
  const GemRouting routing = {.forced = TRUE, .route = route};
  g_assert_true(gem_sequence_state_append(self->runtime, sequence, tokens, n, &routing, NULL, NULL));
  GemStepSpan span = {.sequence = sequence, .output = keep_best, .data = &choices};
  for (guint block = 0; gem_sequence_state_pending(sequence) > 0; block++) {
    span.rows = MIN(BLOCK, gem_sequence_state_pending(sequence));
    g_assert_true(gem_step_run(self->step, &span, 1, &error));
    g_assert_no_error(error);
    if (between != NULL) {
      between(self, block);
    }
  }
  gem_sequence_state_free(self->runtime, sequence);
  return choices.best;
}

static GArray *
run_some(Scene *self, guint n, void (*between)(Scene *, guint))
{
  g_autofree guint32 *tokens = g_new(guint32, n);
  for (guint i = 0; i < n; i++) {
    tokens[i] = (i * 37 + 11) % self->runtime->vocab;
  }
  return run_tokens(self, tokens, n, 0, between);
}

/* ---- who goes there ---- */

static void
test_named(void)
{
  g_autoptr(Scene) scene = scene_new("work", "device");
  scene_open(scene);
  g_assert_true(is_on_device(scene, "general"));
  g_assert_false(is_on_device(scene, "legal"));
  g_array_unref(run_some(scene, 20, NULL));
  g_assert_true(is_on_device(scene, "legal"));
  g_autoptr(GPtrArray) backends = gem_backend_set_list(scene->runtime->backends);
  guint in_use = 0;
  for (guint i = 0; i < backends->len; i++) {
    in_use += ((const GemBackendInfo *)backends->pdata[i])->in_use ? 1 : 0;
  }
  g_assert_cmpuint(in_use, ==, 2); /* the device, and what does everything else */
  guint legal;
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));
  g_assert_true(gem_pager_page_out(scene->runtime->pager, legal, GEM_PAGE_OUT_ASKED, NULL));
  g_assert_false(is_on_device(scene, "legal"));
  scene_close(scene);
}

/* Whatever the device does wrong, the pathways stay where they were, and answers are the same. */
static void
test_stays(gconstpointer behaviour)
{
  g_autoptr(Scene) plain = scene_new("absent", NULL);
  scene_open(plain);
  g_autoptr(GArray) expected = run_some(plain, 40, NULL);
  scene_close(plain);

  g_autoptr(Scene) scene = scene_new(behaviour, g_str_equal(behaviour, "slow") ? NULL : "device");
  scene_open(scene);
  g_autoptr(GArray) found = run_some(scene, 40, NULL);
  g_assert_cmpmem(found->data, found->len * sizeof(guint32), expected->data, expected->len * sizeof(guint32));
  for (guint i = 0; i < 200; i++) { /* a slow device is measured when it is compiled; it must not win */
    gem_pager_settle(scene->runtime->pager);
    g_usleep(1000);
  }
  g_assert_false(is_on_device(scene, "general"));
  g_assert_false(is_on_device(scene, "legal"));
  scene_close(scene);
}

/* Only a device that was named may be missing with an error; one that nobody asked for is none. */
static void
test_absent(void)
{
  g_autoptr(Scene) scene = scene_new("absent", NULL);
  scene_open(scene);
  g_assert_null(gem_backend_set_get_device(scene->runtime->backends, NULL));
  scene_close(scene);
  scene->test->config.backend = "device";
  g_autoptr(GError) error = NULL;
  GemModelFiles *files = gem_runtime_open_files(&scene->test->config, NULL, &error);
  g_assert_no_error(error);
  g_assert_null(gem_runtime_open(&scene->test->config, files, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_FAILED);
  g_assert_nonnull(strstr(error->message, "there is no test device"));
  gem_model_files_free(files);
}

/* ---- what is remembered ---- */

static char *
placement_file(const Scene *self)
{
  return g_build_filename(self->cache_dir, "placement", NULL);
}

/* Writes the decisions for every pathway that stands in the file: for single rows, and for blocks, which take
 * the device an eighth of the time then. */
static void
divide_decisions(const Scene *self, gboolean row, gboolean block)
{
  g_autofree char *path = placement_file(self);
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) error = NULL;
  g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &error);
  g_assert_no_error(error);
  g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
  g_assert_nonnull(groups[0]);
  for (char **group = groups; *group != NULL; group++) {
    gboolean is_row = strstr(*group, ", rows 1, ") != NULL;
    g_assert_true(is_row || strstr(*group, ", rows 64, ") != NULL);
    g_key_file_set_boolean(file, *group, "device", is_row ? row : block);
    g_key_file_set_double(file, *group, "us", 800.0);
    g_key_file_set_double(file, *group, "device-us", 100.0);
  }
  g_key_file_save_to_file(file, path, &error);
  g_assert_no_error(error);
}

static void
rewrite_decisions(const Scene *self, gboolean device)
{
  divide_decisions(self, device, device);
}

static void
wait_for_device(Scene *self, const char *name)
{
  gint64 until = gem_test_deadline(10);
  while (!is_on_device(self, name) && g_get_monotonic_time() < until) {
    gem_pager_settle(self->runtime->pager);
    g_usleep(1000);
  }
  g_assert_true(is_on_device(self, name));
}

static void
test_remembered(void)
{
  g_autoptr(Scene) scene = scene_new("work", "device");
  scene_open(scene); /* measures general */
  scene_close(scene);
  scene->test->config.backend = NULL;
  rewrite_decisions(scene, TRUE);
  scene_open(scene);
  wait_for_device(scene, "general");
  scene_close(scene);
  rewrite_decisions(scene, FALSE);
  g_setenv("GEM_TEST_DEVICE", "refuse", TRUE); /* it would be asked, and say so in the log */
  scene_open(scene);
  gem_pager_settle(scene->runtime->pager);
  g_assert_false(is_on_device(scene, "general"));
  scene_close(scene);
  g_autofree char *path = placement_file(scene);
  g_assert_true(g_file_set_contents(path, "not a key file", -1, NULL));
  g_setenv("GEM_TEST_DEVICE", "work", TRUE);
  scene->test->config.backend = "device";
  scene_open(scene); /* measured anew */
  g_assert_true(is_on_device(scene, "general"));
  scene_close(scene);
  rewrite_decisions(scene, TRUE);
}

/* ---- single rows on one side, blocks on the other ---- */

static GemPathwayInfo *
general_info(const Scene *self)
{
  return gem_pager_get_info(self->runtime->pager, self->runtime->shape->n_domains);
}

/* Runs a call of the general pathway's first layer; y is [n][width], zeros before. */
static void
run_general(Scene *self, guint n, float *y)
{
  gsize values = (gsize)n * self->runtime->shape->width;
  g_autofree float *x = g_new(float, values);
  for (gsize i = 0; i < values; i++) {
    x[i] = sinf((float)i);
  }
  memset(y, 0, values * sizeof *y);
  gem_pager_apply(self->runtime->pager, self->runtime->shape->n_domains, 0, x, n, y);
}

/* A call of so many rows goes to a device that fails, or it does not; the result is that of backend cpu
 * either way. */
static void
check_call(Scene *self, guint n, gboolean goes, const Scene *plain)
{
  gsize values = (gsize)n * self->runtime->shape->width;
  g_autofree float *y = g_new(float, values), *expected = g_new(float, values);
  g_assert_true(is_on_device(self, "general"));
  run_general(self, n, y);
  run_general((Scene *)plain, n, expected);
  g_assert_cmpmem(y, values * sizeof *y, expected, values * sizeof *expected);
  g_assert_cmpint(is_on_device(self, "general"), ==, !goes);
}

/* One side for single rows and the other for blocks. */
static void
test_divided(gconstpointer data)
{
  gboolean rows_go = GPOINTER_TO_INT(data);
  g_autoptr(Scene) plain = scene_new("absent", NULL);
  scene_open(plain);
  g_autoptr(Scene) scene = scene_new("work", "device");
  scene_open(scene); /* measures */
  g_autoptr(GemPathwayInfo) measured = general_info(scene);
  g_assert_cmpuint(measured->n_places, ==, 2);
  for (guint i = 0; i < 2; i++) {
    g_assert_cmpuint(measured->places[i].rows, ==, i == 0 ? 1 : 64);
    g_assert_cmpstr(measured->places[i].backend, ==, "device"); /* it was named */
    g_assert_cmpfloat(measured->places[i].us, >=, 0.0);
    g_assert_cmpfloat(measured->places[i].device_us, >, 0.0);
  }
  scene_close(scene);

  divide_decisions(scene, rows_go, !rows_go);
  scene->test->config.backend = NULL;
  scene_open(scene);
  wait_for_device(scene, "general");
  g_autoptr(GemPathwayInfo) divided = general_info(scene), other = general_info(plain);
  g_assert_cmpuint(other->n_places, ==, 0);
  g_assert_cmpuint(divided->n_places, ==, 2);
  g_assert_cmpstr(divided->backend, ==, "device");
  g_assert_cmpstr(divided->places[0].backend, ==, rows_go ? "device" : "cpu");
  g_assert_cmpstr(divided->places[1].backend, ==, rows_go ? "cpu" : "device");
  g_assert_cmpfloat(divided->places[1].us, ==, 800.0);
  g_assert_cmpfloat(divided->places[1].device_us, ==, 100.0);
  g_assert_cmpuint(divided->resident_bytes, >, other->resident_bytes); /* it is there twice */

  g_setenv("GEM_TEST_DEVICE", "fail", TRUE);
  check_call(scene, rows_go ? 64 : 1, FALSE, plain);
  check_call(scene, rows_go ? 2 : 8, FALSE, plain); /* 9 rows and more, where a block costs as much as 8 */
  check_call(scene, rows_go ? 1 : 9, TRUE, plain);
  g_autoptr(GemPathwayInfo) after = general_info(scene);
  g_assert_cmpuint(after->resident_bytes, ==, other->resident_bytes);
  g_assert_cmpstr(after->places[rows_go ? 0 : 1].backend, ==, "cpu");
  scene_close(scene);
  scene_close(plain);
}

/* It goes from both. */
static void
test_divided_goes(void)
{
  g_autoptr(Scene) scene = scene_new("work", "device");
  scene_open(scene);
  g_array_unref(run_some(scene, 20, NULL));
  scene_close(scene);
  divide_decisions(scene, FALSE, TRUE);
  scene->test->config.backend = NULL;
  scene_open(scene);
  g_array_unref(run_some(scene, 40, NULL));
  wait_for_device(scene, "legal");
  guint legal;
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));
  g_assert_true(gem_pager_page_out(scene->runtime->pager, legal, GEM_PAGE_OUT_ASKED, NULL));
  g_autoptr(GemPathwayInfo) info = gem_pager_get_info(scene->runtime->pager, legal);
  g_assert_cmpuint(info->resident_bytes, ==, 0);
  g_assert_cmpuint(info->n_places, ==, 0);
  scene_close(scene);
}

static void
test_least_rows(void)
{
  static const struct {
    double us, device_us;
    guint rows;
  } cases[] = {{6400.0, 1.0, 2},     {6400.0, 100.0, 2},   {6400.0, 800.0, 9},
               {6400.0, 6399.0, 64}, {6400.0, 6400.0, 65}, {1.0, 1e9, 65}};
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    const GemPlacementDecision block = {.us = cases[i].us, .device_us = cases[i].device_us};
    g_assert_cmpuint(gem_placement_least_rows(&block), ==, cases[i].rows);
  }
}

/* Only of the same weights, device and versions, and only whole. */
static void
test_decisions(void)
{
  static const GemPlacementDecision kept[] = {{TRUE, 12.5, 3.0}, {FALSE, 100.0, 200.25}};
  g_autofree char *folder = gem_test_folder_new(), *path = g_build_filename(folder, "placement", NULL);
  GemPlacementDecision found[GEM_PLACEMENT_COUNTS] = {0};
  g_assert_false(gem_placement_decisions_load(path, "legal", "a", found));
  gem_placement_decisions_save(path, "legal", "a", kept);
  gem_placement_decisions_save(path, "stem", "a", kept);
  g_assert_true(gem_placement_decisions_load(path, "legal", "a", found));
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    g_assert_cmpint(found[i].device, ==, kept[i].device);
    g_assert_cmpfloat(found[i].us, ==, kept[i].us);
    g_assert_cmpfloat(found[i].device_us, ==, kept[i].device_us);
  }
  g_assert_false(gem_placement_decisions_load(path, "legal", "b", found));
  g_assert_false(gem_placement_decisions_load(path, "finance", "a", found));
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_assert_true(g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL));
  g_key_file_remove_key(file, "legal, rows 64, a", "device-us", NULL);
  g_assert_true(g_key_file_save_to_file(file, path, NULL));
  g_assert_false(gem_placement_decisions_load(path, "legal", "a", found));
  g_assert_true(gem_placement_decisions_load(path, "stem", "a", found));
  gem_test_folder_remove(folder);
}

/* ---- in the middle of a text ---- */

static void
fail_in_third_block(Scene *self, guint block)
{
  if (block == 1) {
    g_assert_true(is_on_device(self, "general"));
    g_setenv("GEM_TEST_DEVICE", "fail", TRUE);
  }
  if (block >= 2) {
    g_assert_false(is_on_device(self, "general"));
    g_assert_false(is_on_device(self, "legal"));
  }
}

static void
test_fails_meanwhile(void)
{
  g_autoptr(Scene) scene = scene_new("work", "device");
  scene_open(scene);
  g_autoptr(GArray) moved = run_some(scene, 64, fail_in_third_block);
  g_assert_cmpuint(moved->len, ==, 64);
  g_setenv("GEM_TEST_DEVICE", "work", TRUE);
  guint legal;
  g_assert_true(gem_pager_find(scene->runtime->pager, "legal", &legal));
  g_assert_true(gem_pager_page_out(scene->runtime->pager, legal, GEM_PAGE_OUT_ASKED, NULL));
  g_array_unref(run_some(scene, 20, NULL));
  g_assert_false(is_on_device(scene, "legal")); /* it is not trusted again */
  scene_close(scene);
}

/* The project's own sentences, each domain's as one text: what the model is made to predict. */
typedef struct {
  GArray *tokens; /* guint32 */
  guint domain;
} Text;

static void
text_free(gpointer data)
{
  Text *text = data;
  g_array_unref(text->tokens);
  g_free(text);
}

static GPtrArray *
read_texts(const Scene *self)
{
  g_autofree char *path =
      g_build_filename(g_getenv("GEM_SOURCE_DIR"), "tests", "data", "routing-sentences.tsv", NULL);
  g_autofree char *contents = NULL;
  g_autoptr(GError) error = NULL;
  g_assert_true(g_file_get_contents(path, &contents, NULL, &error));
  g_auto(GStrv) lines = g_strsplit(contents, "\n", -1);
  GPtrArray *texts = g_ptr_array_new_with_free_func(text_free);
  for (guint d = 0; d < self->runtime->shape->n_domains; d++) {
    g_autofree char *start = g_strconcat(self->runtime->shape->domains[d], "\t", NULL);
    g_autoptr(GString) joined = g_string_new(NULL);
    for (char **line = lines; *line != NULL; line++) {
      if (g_str_has_prefix(*line, start)) {
        g_string_append_printf(joined, "%s ", *line + strlen(start));
      }
    }
    if (joined->len > 0) {
      Text *text = g_new0(Text, 1);
      text->domain = d;
      text->tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
      g_assert_true(
          gem_tokenizer_encode(self->runtime->tokenizer, joined->str, -1, text->tokens, NULL, &error));
      g_ptr_array_add(texts, text);
    }
  }
  return texts;
}

/* The likeliest tokens of all texts, one after the other. */
static GArray *
run_texts(Scene *self, GPtrArray *texts, void (*between)(Scene *, guint))
{
  GArray *all = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; i < texts->len; i++) {
    const Text *text = texts->pdata[i];
    self->domain = self->runtime->shape->domains[text->domain];
    g_autoptr(GArray) best = run_tokens(self, &g_array_index(text->tokens, guint32, 0), text->tokens->len,
                                        (guint8)text->domain, between);
    g_array_append_vals(all, best->data, best->len);
  }
  return all;
}

static void
move_in_third_block(Scene *self, guint block)
{
  if (block == 2) {
    wait_for_device(self, "general");
    wait_for_device(self, self->domain);
  }
}

/* The model that ships: each text begins on the CPU, and its pathways move to `backend` in the middle.
 * `least`: of the likeliest tokens that stay the same. A difference in the last bits of a float is enough for
 * another one here and there, where two are almost as likely: roundings to 8 bits and clusters turn over. */
static void
check_moved(const char *behaviour, const char *backend, double least)
{
  g_autoptr(Scene) scene = scene_new(behaviour, "cpu");
  g_free(scene->test->model_path);
  scene->test->model_path = g_build_filename(g_getenv("GEM_SOURCE_DIR"), "models", "gem-mini", NULL);
  scene->test->config.model_path = scene->test->model_path;
  scene->test->config.context = 2048;
  scene_open(scene);
  g_autoptr(GPtrArray) texts = read_texts(scene);
  g_autoptr(GArray) expected = run_texts(scene, texts, NULL);
  scene_close(scene);

  scene->test->config.backend = backend;
  scene_open(scene); /* measures, and keeps what it found */
  for (guint d = 0; d < scene->runtime->shape->n_domains; d++) {
    g_assert_true(gem_pager_need(scene->runtime->pager, d, NULL));
  }
  scene_close(scene);

  scene->test->config.backend = NULL;
  rewrite_decisions(scene, TRUE);
  scene_open(scene);
  g_autoptr(GArray) moved = run_texts(scene, texts, move_in_third_block);
  g_assert_true(is_on_device(scene, "general"));
  scene_close(scene);
  guint same = 0;
  for (guint i = 0; i < expected->len; i++) {
    same += g_array_index(expected, guint32, i) == g_array_index(moved, guint32, i) ? 1 : 0;
  }
  g_test_message("%s: %u of %u likeliest tokens are the same", backend, same, expected->len);
  g_assert_cmpuint(expected->len, >, 500);
  g_assert_cmpfloat((double)same / expected->len, >=, least);
}

static void
test_moves_meanwhile(void)
{
  check_moved("work", "device", 0.975); /* sums in another order than any other backend */
}

static void
test_moves_to_npu_ort(void)
{
  const char *library = g_getenv("GEM_ORT_LIBRARY");
  if (library == NULL || *library == '\0') {
    g_test_skip("GEM_ORT_LIBRARY names no libonnxruntime: ./dev npu fetches one");
    return;
  }
  g_autofree char *folder = gem_test_folder_new(), *path = g_build_filename(folder, "cpu.conf", NULL);
  g_autofree char *lines = g_strdup_printf("Library=%s\nAllowCpu=yes\n", library);
  g_assert_true(g_file_set_contents(path, lines, -1, NULL));
  g_chmod(path, 0600);
  g_setenv("GEM_NPU_ORT_DIR", folder, TRUE);
  g_setenv("ORT_DISABLE_TELEMETRY", "1", TRUE);
  check_moved("absent", "npu-ort", 0.99);
  g_unsetenv("GEM_NPU_ORT_DIR");
  gem_test_folder_remove(folder);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/placement/named", test_named);
  g_test_add_data_func("/placement/stays/refuse", "refuse", test_stays);
  g_test_add_data_func("/placement/stays/slow", "slow", test_stays);
  g_test_add_data_func("/placement/stays/wrong", "wrong", test_stays);
  g_test_add_data_func("/placement/stays/fail", "fail", test_stays);
  g_test_add_func("/placement/absent", test_absent);
  g_test_add_func("/placement/remembered", test_remembered);
  g_test_add_data_func("/placement/divided/rows", GINT_TO_POINTER(TRUE), test_divided);
  g_test_add_data_func("/placement/divided/blocks", GINT_TO_POINTER(FALSE), test_divided);
  g_test_add_func("/placement/divided/goes", test_divided_goes);
  g_test_add_func("/placement/least-rows", test_least_rows);
  g_test_add_func("/placement/decisions", test_decisions);
  g_test_add_func("/placement/fails-meanwhile", test_fails_meanwhile);
  g_test_add_func("/placement/moves-meanwhile", test_moves_meanwhile);
  g_test_add_func("/placement/moves-to-npu-ort", test_moves_to_npu_ort);
  return g_test_run();
}
