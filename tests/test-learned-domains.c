/*
 * Learned domains as the service has them, on an engine that a test plays (fake-engine.h): which model they
 * are of, the order in which they come into it, another engine meanwhile, and what the process that learned
 * has written.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/learned/gem-learned-output.h"
#include "daemon/learned/gem-learned-private.h"
#include "tests/fake-engine.h"
#include "tests/gem-test-folder.h"

#define OWNER 1000
#define NAME  "letters"
/* As the engine tells it. */
#define MODEL "general.gguf:router.gguf"
/* The sizes of the versions' files: by these the engine knows them. */
#define FIRST_BYTES  7
#define SECOND_BYTES 8
/* Another size than what can be read of it, as one that changes meanwhile. */
#define OTHER_SIZE "/sys/devices/system/cpu/online"

typedef struct {
  GemConfig *config;
  char *folder;
  GemLearned *learned;
  GemEngine *engine;
  GemLearnedEntry *entry;
} Fixture;

/* ---- steps ---- */

static void
settle(void)
{
  while (g_main_context_iteration(NULL, FALSE)) {
  }
}

static GemEngine *
new_engine(gboolean learns)
{
  GemEngine *engine = gem_engine_new(&(GemEngineConfig){.model_path = "/fake/ok"}, NULL);

  engine->learns = learns;
  return engine;
}

static void
on_ready(gpointer data)
{
  *(gboolean *)data = TRUE;
}

/* A domain of two versions, the first of which is in force; no engine yet. */
static void
set_up(Fixture *self, gconstpointer data)
{
  gboolean ready = FALSE;

  self->config = gem_config_new();
  self->folder = gem_test_folder_new();
  self->config->state_dir = g_strdup(self->folder);
  gem_test_write_text(self->folder, "learned/1000/" NAME "/domain",
                      "[domain]\nFormat=1\nReplaces=\nShared=false\n"
                      "[version]\nFile=1\nLearnedAt=1\nModel=" MODEL "\n"
                      "[previous]\nFile=2\nLearnedAt=1\nModel=" MODEL "\n");
  gem_test_write_text(self->folder, "learned/1000/" NAME "/version-1.gguf", "GGUF..1");
  gem_test_write_text(self->folder, "learned/1000/" NAME "/version-2.gguf", "GGUF...2");
  self->learned = gem_learned_new(self->config, NULL, NULL);
  gem_learned_when_ready(self->learned, on_ready, &ready);
  while (!ready) {
    g_main_context_iteration(NULL, TRUE);
  }
  self->engine = new_engine(TRUE);
  self->entry = gem_learned_find(self->learned, OWNER, NAME);
  g_assert_nonnull(self->entry);
}

static void
tear_down(Fixture *self, gconstpointer data)
{
  gem_learned_free(self->learned);
  g_object_unref(self->engine);
  gem_config_unref(self->config);
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
}

/* ---- which model is served ---- */

/* That is known from what was loaded: there are no files of it any more. */
static void
test_identity(Fixture *self, gconstpointer data)
{
  gem_learned_take_model(self->learned, self->engine);
  settle();
  g_assert_cmpuint(self->engine->additions->len, ==, 1);
  gem_fake_end_addition(self->engine, 0, NULL);
  settle();
  g_assert_true(self->entry->serving);
  g_assert_null(self->entry->unusable);
}

/* ---- the way into the engine ---- */

typedef struct {
  guint times;
  int code; /* of the error; -1: none */
} Told;

static void
on_told(const GError *error, gpointer data)
{
  Told *told = data;

  told->times++;
  told->code = error != NULL ? error->code : -1;
}

/* Whatever comes in the engine's time, it is the last one that stays. */
static void
test_order(Fixture *self, gconstpointer data)
{
  GemLearnedVersion first = self->entry->record->version;
  Told told[2] = {0};

  gem_learned_take_model(self->learned, self->engine);
  settle();
  gem_fake_end_addition(self->engine, 0, NULL);
  settle();
  gem_learned_serve(self->entry, on_told, &told[0]);
  self->entry->record->version = self->entry->record->previous;
  self->entry->record->previous = first;
  gem_learned_serve(self->entry, on_told, &told[1]);
  while (self->engine->additions->len > 0) {
    gem_fake_end_addition(self->engine, self->engine->additions->len - 1, NULL);
    settle();
  }
  g_assert_cmpuint(self->engine->learned_bytes, ==, SECOND_BYTES);
  g_assert_cmpuint(told[0].times, ==, 1);
  g_assert_cmpuint(told[1].times, ==, 1);
  g_assert_cmpint(told[1].code, ==, -1);
  g_assert_true(self->entry->serving);
  g_assert_cmpuint(self->entry->entering, ==, 0);
}

/* One of several does not come in: the next has its turn, and each is told its own. */
static void
test_order_failing(Fixture *self, gconstpointer data)
{
  Told told[3] = {0};

  gem_learned_take_model(self->learned, self->engine);
  for (guint i = 0; i < G_N_ELEMENTS(told); i++) {
    gem_learned_serve(self->entry, on_told, &told[i]);
  }
  settle();
  gem_fake_end_addition(self->engine, 0, NULL);
  settle();
  gem_fake_end_addition(self->engine, 0, NULL);
  settle();
  gem_fake_end_addition(self->engine, 0,
                        g_error_new_literal(GEM_ERROR, GEM_ERROR_PATHWAY, "it does not hold"));
  settle();
  g_assert_false(self->entry->serving);
  gem_fake_end_addition(self->engine, 0, NULL);
  settle();
  g_assert_cmpint(told[0].code, ==, -1);
  g_assert_cmpint(told[1].code, ==, GEM_ERROR_PATHWAY);
  g_assert_cmpint(told[2].code, ==, -1);
  g_assert_true(self->entry->serving);
  g_assert_cmpuint(self->engine->additions->len, ==, 0);
}

/* Another engine takes over meanwhile: that the one before ends is no failure of the domain. `data`: the
 * other one has no learned domains. */
static void
test_other_engine(Fixture *self, gconstpointer data)
{
  g_autoptr(GemEngine) other = new_engine(data == NULL);
  Told told = {0};

  gem_learned_take_model(self->learned, self->engine);
  settle();
  gem_fake_end_addition(self->engine, 0, NULL);
  settle();
  gem_learned_serve(self->entry, on_told, &told);
  gem_learned_take_model(self->learned, other);
  settle();
  gem_fake_end_addition(self->engine, 0,
                        g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the engine ends"));
  settle();
  g_assert_cmpuint(told.times, ==, data == NULL ? 0 : 1);
  while (other->additions->len > 0) {
    gem_fake_end_addition(other, 0, NULL);
    settle();
  }
  g_assert_cmpuint(told.times, ==, 1);
  g_assert_cmpint(told.code, ==, data == NULL ? -1 : GEM_ERROR_MODEL_CHANGED);
  g_assert_cmpint(self->entry->serving, ==, data == NULL);
  g_assert_cmpuint(other->learned_bytes, ==, data == NULL ? FIRST_BYTES : 0);
}

/* The service ends while one is on its way and another waits: both are told. */
static void
test_end(Fixture *self, gconstpointer data)
{
  Told told[2] = {0};
  g_autoptr(GemLearnedEntry) entry = gem_learned_entry_ref(self->entry);

  gem_learned_take_model(self->learned, self->engine);
  settle();
  gem_fake_end_addition(self->engine, 0, NULL);
  settle();
  gem_learned_serve(entry, on_told, &told[0]);
  gem_learned_serve(entry, on_told, &told[1]);
  gem_learned_take_out(entry);
  gem_fake_end_addition(self->engine, 0, NULL);
  settle();
  g_assert_cmpuint(told[0].times, ==, 1);
  g_assert_cmpuint(told[1].times, ==, 1);
  g_assert_cmpint(told[1].code, ==, GEM_ERROR_CANCELLED);
  g_assert_cmpuint(self->engine->additions->len, ==, 0);
}

/* ---- what the process that learned has written ---- */

static void
check_refused(const char *output, const char *path, const char *pattern)
{
  g_autoptr(GError) error = NULL;

  g_assert_false(gem_learned_output_copy(output, path, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_FAILED);
  g_assert_true(g_pattern_match_simple(pattern, error->message));
  g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void
test_output(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *output = g_build_filename(folder, "output", NULL);
  g_autofree char *link = g_build_filename(folder, "link", NULL);
  g_autofree char *fifo = g_build_filename(folder, "fifo", NULL);
  g_autofree char *path = g_build_filename(folder, "version-1.gguf", NULL);
  g_autofree char *bytes = NULL;
  g_autoptr(GError) error = NULL;

  check_refused(output, path, "the learned file: *");
  gem_test_write_text(folder, "output", "");
  check_refused(output, path, "the learned file: nothing was written");
  g_assert_cmpint(symlink("output", link), ==, 0);
  check_refused(link, path, "the learned file: *");
  g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
  check_refused(fifo, path, "the learned file: *");
  g_assert_cmpint(truncate(output, (off_t)GEM_LEARNED_MOST_OUTPUT_BYTES + 1), ==, 0);
  check_refused(output, path, "the learned file: *large*");
  if (g_file_test(OTHER_SIZE, G_FILE_TEST_EXISTS)) {
    check_refused(OTHER_SIZE, path, "the learned file: it changed *");
  }
  gem_test_write_text(folder, "output", "GGUF and more");
  g_assert_true(gem_learned_output_copy(output, path, &error));
  g_assert_no_error(error);
  g_assert_true(g_file_get_contents(path, &bytes, NULL, NULL));
  g_assert_cmpstr(bytes, ==, "GGUF and more");
  gem_test_folder_remove(folder);
}

/* ---- where they are kept ---- */

static void
on_begun(GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **)data = g_object_ref(result);
}

/* The folder of all domains may be a link, to where there is more room. */
static void
test_linked(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *state = g_build_filename(folder, "state", NULL);
  g_autofree char *kept = g_build_filename(folder, "kept", NULL);
  g_autofree char *link = g_build_filename(state, "learned", NULL);
  g_autoptr(GemLearnedStore) store = gem_learned_store_new(state);
  g_autoptr(GemLearnedRecord) record = gem_learned_record_new(OWNER, NAME);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  int fd;

  g_assert_cmpint(mkdir(state, 0700), ==, 0);
  g_assert_cmpint(mkdir(kept, 0700), ==, 0);
  g_assert_cmpint(symlink(kept, link), ==, 0);
  gem_learned_store_begin_async(store, record, on_begun, &result);
  while (result == NULL) {
    g_main_context_iteration(NULL, TRUE);
  }
  fd = gem_learned_store_begin_finish(result, &error);
  g_assert_no_error(error);
  close(fd);
  gem_test_folder_remove(folder);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/learned-domains/identity", Fixture, NULL, set_up, test_identity, tear_down);
  g_test_add("/learned-domains/order", Fixture, NULL, set_up, test_order, tear_down);
  g_test_add("/learned-domains/order-failing", Fixture, NULL, set_up, test_order_failing, tear_down);
  g_test_add("/learned-domains/other-engine", Fixture, NULL, set_up, test_other_engine, tear_down);
  g_test_add("/learned-domains/other-model", Fixture, "other", set_up, test_other_engine, tear_down);
  g_test_add("/learned-domains/end", Fixture, NULL, set_up, test_end, tear_down);
  g_test_add_func("/learned-domains/output", test_output);
  g_test_add_func("/learned-domains/linked", test_linked);
  return g_test_run();
}
