#include "tests/gem-test-scene.h"

#include <string.h>

#include "tests/gem-test-modules.h"
#include "tests/gem-test-patience.h"

void
gem_test_scene_open(GemTestScene *self)
{
  self->runtime = gem_test_engine_open_runtime(self->test, &self->files);
  self->step = gem_step_new(self->runtime, NULL);
}

void
gem_test_scene_close(GemTestScene *self)
{
  gem_step_free(self->step);
  gem_runtime_close(self->runtime);
  gem_model_files_free(self->files);
}

/* A scene whose device behaves like that; `backend`: the one that is named, or NULL. Not opened yet. */
GemTestScene *
gem_test_scene_new(const char *behaviour, const char *backend)
{
  GemTestScene *self = g_new0(GemTestScene, 1);
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

void
gem_test_scene_free(GemTestScene *self)
{
  gem_test_engine_free(self->test);
  gem_test_folder_remove(self->plugin_dir);
  gem_test_folder_remove(self->cache_dir);
  g_free(self->plugin_dir);
  g_free(self->cache_dir);
  g_free(self);
}

gboolean
gem_test_scene_is_on_device(const GemTestScene *self, const char *name)
{
  guint index;
  g_assert_true(gem_pager_find(self->runtime->pager, name, &index));
  g_autoptr(GemPathwayInfo) info = gem_pager_get_info(self->runtime->pager, index);
  return info->backend != NULL && !g_str_equal(info->backend, "cpu");
}

/* ---- the log ---- */

static GMutex log_mutex;
static GPtrArray *messages; /* char* */

static GLogWriterOutput
keep_message(GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
  (void)data;
  const char *message = NULL;
  gboolean has_id = FALSE;
  for (gsize i = 0; i < n; i++) {
    message = g_str_equal(fields[i].key, "MESSAGE") ? fields[i].value : message;
    has_id = has_id || g_str_equal(fields[i].key, "MESSAGE_ID");
  }
  if (has_id && message != NULL) {
    g_mutex_lock(&log_mutex);
    g_ptr_array_add(messages, g_strdup(message));
    g_mutex_unlock(&log_mutex);
  }
  return g_log_writer_default(level, fields, n, NULL);
}

void
gem_test_scene_keep_log(void)
{
  messages = g_ptr_array_new_with_free_func(g_free);
  g_log_set_writer_func(keep_message, NULL, NULL);
}

guint
gem_test_scene_count_log(const char *part)
{
  guint count = 0;
  g_mutex_lock(&log_mutex);
  for (guint i = 0; i < messages->len; i++) {
    count += strstr(messages->pdata[i], part) != NULL ? 1 : 0;
  }
  g_ptr_array_set_size(messages, 0);
  g_mutex_unlock(&log_mutex);
  return count;
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
GArray *
gem_test_scene_run_tokens(
    GemTestScene *self, const guint32 *tokens, guint n, guint8 route, void (*between)(GemTestScene *, guint))
{
  g_autoptr(GError) error = NULL;
  Choices choices = {.vocab = self->runtime->vocab, .best = g_array_new(FALSE, FALSE, sizeof(guint32))};
  GemSequenceState *sequence = gem_sequence_state_new(self->runtime, 0);
  const GemRouting routing = {.forced = TRUE, .route = route};
  g_assert_true(gem_sequence_state_append(self->runtime, sequence, tokens, n, &routing, NULL, NULL));
  GemStepSpan span = {.sequence = sequence, .output = keep_best, .data = &choices};
  for (guint block = 0; gem_sequence_state_pending(sequence) > 0; block++) {
    span.rows = MIN(GEM_TEST_SCENE_BLOCK, gem_sequence_state_pending(sequence));
    g_assert_true(gem_step_run(self->step, &span, 1, &error));
    g_assert_no_error(error);
    if (between != NULL) {
      between(self, block);
    }
  }
  gem_sequence_state_free(self->runtime, sequence);
  return choices.best;
}

GArray *
gem_test_scene_run(GemTestScene *self, guint n, void (*between)(GemTestScene *, guint))
{
  g_autofree guint32 *tokens = g_new(guint32, n);
  for (guint i = 0; i < n; i++) {
    tokens[i] = (i * 37 + 11) % self->runtime->vocab;
  }
  return gem_test_scene_run_tokens(self, tokens, n, 0, between);
}

/* ---- what is remembered ---- */

char *
gem_test_scene_placement_file(const GemTestScene *self)
{
  return g_build_filename(self->cache_dir, "placement", NULL);
}

/* Writes the decisions for every pathway that stands in the file: for single rows, and for blocks, which take
 * the device an eighth of the time then. */
void
gem_test_scene_divide_decisions(const GemTestScene *self, gboolean row, gboolean block)
{
  g_autofree char *path = gem_test_scene_placement_file(self);
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

void
gem_test_scene_rewrite_decisions(const GemTestScene *self, gboolean device)
{
  gem_test_scene_divide_decisions(self, device, device);
}

void
gem_test_scene_settle(GemTestScene *self)
{
  g_assert_true(gem_pager_settle_all(self->runtime->pager, gem_test_deadline(30) - g_get_monotonic_time()));
}

void
gem_test_scene_wait_for_device(GemTestScene *self, const char *name)
{
  gem_test_scene_settle(self);
  g_assert_true(gem_test_scene_is_on_device(self, name));
}
