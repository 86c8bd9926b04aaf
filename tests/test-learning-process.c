/* The process that learns, as the service sees it: one that takes too long is ended, and one that was told to
 * go is waited for. It is one that does what its text says (fake-trainer.c). */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "daemon/learned/gem-learning.h"
#include "daemon/learned/gem-trainer.h"
#include "format/gem-model-files.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-model.h"

#define TEXTS_A_DOMAIN 64u /* as the service makes them */
#define LONG_SECONDS   3600u
/* In which a thread does what it is not to do. */
#define WHILE_MILLISECONDS 500

typedef struct {
  GemConfig *config;
  char *folder, *held; /* while that file is there, it goes on */
  GemAdaptPacket *start;
  guint told, ended, gone;
  char *error; /* of the end; NULL: it had a last word */
} Fixture;

static int
new_file(gconstpointer data, gsize size)
{
  int fd = memfd_create("file", MFD_CLOEXEC);

  g_assert_cmpint(write(fd, data, size), ==, (gssize)size);
  return fd;
}

static int
new_replay(void)
{
  g_autoptr(GVariant) texts = NULL;
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE("a(ss)"));
  for (guint i = 0; i < 2 * TEXTS_A_DOMAIN; i++) {
    g_variant_builder_add(&builder, "(ss)", i < TEXTS_A_DOMAIN ? "general" : "legal", "a text");
  }
  texts = g_variant_ref_sink(g_variant_builder_end(&builder));
  return new_file(g_variant_get_data(texts), g_variant_get_size(texts));
}

static void
set_up(Fixture *self, gconstpointer data)
{
  g_autofree char *orders = NULL, *hash = g_strnfill(64, '0');
  GemAdaptStart *start;

  self->config = gem_config_new();
  self->config->adapt_program = g_build_filename(g_getenv("GEM_BUILD_DIR"), "tests", "fake-trainer", NULL);
  self->folder = gem_test_folder_new();
  self->held = g_build_filename(self->folder, "held", NULL);
  g_assert_true(g_file_set_contents(self->held, "", 0, NULL));
  orders = g_strdup_printf("hold %s\nrefuse\n", self->held);
  self->start = gem_adapt_packet_new(GEM_ADAPT_START);
  start = &self->start->start;
  start->name = g_strdup("letters");
  start->general_sha256 = g_strdup(hash);
  start->router_sha256 = g_strdup(hash);
  start->memory_bytes = GEM_ADAPT_LEAST_MEMORY;
  start->seconds = 10;
  start->threads = 1;
  start->files[GEM_ADAPT_TEXT] = new_file(orders, strlen(orders));
  start->files[GEM_ADAPT_GENERAL] = new_file("GGUF", 4);
  start->files[GEM_ADAPT_ROUTER] = new_file("GGUF", 4);
  start->files[GEM_ADAPT_REPLAY] = new_replay();
  start->files[GEM_ADAPT_CHECKPOINT] = new_file("", 0);
  start->files[GEM_ADAPT_OUTPUT] = new_file("", 0);
  gem_adapt_start_add_pathway(start, "legal", new_file("GGUF", 4));
}

static void
tear_down(Fixture *self, gconstpointer data)
{
  g_unlink(self->held);
  gem_adapt_packet_free(self->start);
  gem_config_unref(self->config);
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
  g_free(self->held);
  g_free(self->error);
}

static void
on_progress(const GemAdaptProgress *progress, gpointer data)
{
  ((Fixture *)data)->told++;
}

static void
on_ended(const GemAdaptPacket *packet, const GError *error, gpointer data)
{
  Fixture *self = data;

  self->ended++;
  self->error = error != NULL ? g_strdup(error->message) : NULL;
}

static void
on_gone(gpointer data)
{
  ((Fixture *)data)->gone++;
}

static GemTrainer *
start_trainer(Fixture *self, guint most_seconds)
{
  static const GemTrainerEvents events = {on_progress, on_ended};
  g_autoptr(GError) error = NULL;
  GemTrainer *trainer = gem_trainer_start(self->config, self->start, most_seconds, &events, self, &error);

  g_assert_no_error(error);
  while (self->told == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  return trainer;
}

/* However much it has to tell. */
static void
test_deadline(Fixture *self, gconstpointer data)
{
  GemTrainer *trainer = start_trainer(self, 1);

  while (self->ended == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_cmpstr(self->error, ==, "the process that learns did not come to its end in time");
  gem_trainer_free(trainer);
}

/* It goes, and only then is it said to be gone; nothing else is heard of it. */
static void
test_leave(Fixture *self, gconstpointer data)
{
  GemTrainer *trainer = start_trainer(self, LONG_SECONDS);
  guint told = self->told;
  guint8 byte;
  int checkpoint = self->start->start.files[GEM_ADAPT_CHECKPOINT];

  gem_trainer_leave(trainer, FALSE, on_gone, self);
  g_assert_cmpuint(self->gone, ==, 0);
  while (self->gone == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_cmpuint(self->told, ==, told);
  g_assert_cmpuint(self->ended, ==, 0);
  /* It did not die of it: it wrote, last of all, that it was told to go. */
  g_assert_cmpint(pread(checkpoint, &byte, 1, 0), ==, 1);
  g_assert_cmpint(byte, ==, 'l');
}

/* One that is not to write any more does not. */
static void
test_leave_now(Fixture *self, gconstpointer data)
{
  GemTrainer *trainer = start_trainer(self, LONG_SECONDS);

  gem_trainer_leave(trainer, TRUE, on_gone, self);
  while (self->gone == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_cmpuint(self->ended, ==, 0);
}

/* Whoever waits for its end may give that up. */
static void
test_free(Fixture *self, gconstpointer data)
{
  GemTrainer *trainer = start_trainer(self, LONG_SECONDS);

  gem_trainer_leave(trainer, TRUE, on_gone, self);
  gem_trainer_free(trainer);
  g_assert_cmpuint(self->gone, ==, 0);
}

/* ---- a start that is given up ---- */

static void
on_phase(double share, const char *phase, gpointer data)
{
}

static void
on_over(GemLearningEnd end, GVariant *figures, const char *reason, const GError *error, gpointer data)
{
  g_assert_not_reached();
}

static gboolean
on_time(gpointer data)
{
  *(gboolean *)data = TRUE;
  return G_SOURCE_REMOVE;
}

/* The model there, as if it had been loaded. */
static GemLearnedModel *
model_of(const char *folder)
{
  g_autoptr(GemManifest) manifest = gem_manifest_load(folder, NULL);

  return gem_learned_model_new(folder, gem_manifest_get_sha256(manifest, GEM_MODEL_GENERAL_FILE),
                               gem_manifest_get_sha256(manifest, GEM_MODEL_ROUTER_FILE), NULL);
}

/* While it opens the model: what it would have opened after that may be the next start's by then. */
static void
test_given_up(Fixture *self, gconstpointer data)
{
  static const GemLearningEvents events = {on_phase, on_over};
  const GemEngineConfig fake = {.model_path = "/fake/ok"};
  g_autoptr(GemEngine) engine = gem_engine_new(&fake, NULL);
  g_autoptr(GemLearnedStore) store = gem_learned_store_new(self->folder);
  g_autoptr(GemLearnedRecord) record = gem_learned_record_new(1000, "letters");
  g_autofree char *folder = gem_learned_store_get_folder(store, record);
  g_autofree char *text = g_build_filename(folder, "text", NULL);
  g_autofree char *output = g_build_filename(folder, "output", NULL);
  g_autofree char *general = g_build_filename(self->folder, "general.gguf", NULL);
  g_autofree char *bytes = NULL;
  g_auto(GemModelShape) shape = {0};
  g_autoptr(GemLearnedModel) model = NULL;
  gboolean over = FALSE;
  int held;

  gem_test_model_shape(&shape);
  gem_test_model_write(self->folder, &shape, GEM_TYPE_F16, 11);
  model = model_of(self->folder);
  gem_learned_record_set_order(record, &(GemLearnedOrder){.model = model->identity, .mode = (char *)"dapt"});
  g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
  g_assert_true(g_file_set_contents(text, "", 0, NULL));
  g_assert_true(g_file_set_contents(output, "the next one's", -1, NULL));
  held = open(general, O_RDWR | O_CLOEXEC);
  signal(SIGIO, SIG_IGN);
  if (fcntl(held, F_SETLEASE, F_WRLCK) < 0) {
    g_test_skip("no leases on files here");
    close(held);
    return;
  }
  gem_learning_free(gem_learning_new(store, self->config, engine, model, record, &events, NULL));
  close(held);
  g_timeout_add(WHILE_MILLISECONDS, on_time, &over);
  while (!over) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_true(g_file_get_contents(output, &bytes, NULL, NULL));
  g_assert_cmpstr(bytes, ==, "the next one's");
}

typedef struct {
  GemLearningEnd end;
  GError *error;
} Over;

static void
on_not_begun(GemLearningEnd end, GVariant *figures, const char *reason, const GError *error, gpointer data)
{
  Over *over = data;

  over->end = end;
  over->error = g_error_copy(error);
}

/* There is no descriptor left: that is neither the text's fault nor another model, and is tried again. */
static void
test_few_files(Fixture *self, gconstpointer data)
{
  static const GemLearningEvents events = {on_phase, on_not_begun};
  g_autoptr(GemEngine) engine = gem_engine_new(&(GemEngineConfig){.model_path = "/fake/ok"}, NULL);
  g_autoptr(GemLearnedStore) store = gem_learned_store_new(self->folder);
  g_autoptr(GemLearnedRecord) record = gem_learned_record_new(1000, "letters");
  g_auto(GemModelShape) shape = {0};
  g_autoptr(GemLearnedModel) model = NULL;
  g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE); /* what it opens is open */
  Over over = {.end = GEM_LEARNING_DONE};
  struct rlimit before, few;
  GemLearning *learning;
  int next = dup(STDERR_FILENO);

  gem_test_model_shape(&shape);
  gem_test_model_write(self->folder, &shape, GEM_TYPE_F16, 11);
  model = model_of(self->folder);
  gem_learned_record_set_order(record, &(GemLearnedOrder){.model = model->identity, .mode = (char *)"dapt"});
  close(next);
  g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
  few = before;
  few.rlim_cur = (rlim_t)next;
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &few), ==, 0);
  learning = gem_learning_new(store, self->config, engine, model, record, &events, &over);
  while (over.error == NULL) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
  gem_learning_free(learning);
  g_assert_cmpint(over.end, ==, GEM_LEARNING_NOT_BEGUN);
  g_assert_error(over.error, GEM_ERROR, GEM_ERROR_FAILED);
  g_assert_true(g_str_has_prefix(over.error->message, "the files of the model cannot be read: "));
  g_error_free(over.error);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/learning-process/deadline", Fixture, NULL, set_up, test_deadline, tear_down);
  g_test_add("/learning-process/leave", Fixture, NULL, set_up, test_leave, tear_down);
  g_test_add("/learning-process/leave-now", Fixture, NULL, set_up, test_leave_now, tear_down);
  g_test_add("/learning-process/free", Fixture, NULL, set_up, test_free, tear_down);
  g_test_add("/learning-process/given-up", Fixture, NULL, set_up, test_given_up, tear_down);
  g_test_add("/learning-process/few-files", Fixture, NULL, set_up, test_few_files, tear_down);
  return g_test_run();
}
