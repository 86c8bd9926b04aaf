/*
 * Learning a domain through the service while the disk lets it wait, or does not do what it is to: files are
 * held open by leases. gemd with its modules on a tiny random model; the process that learns is one that does
 * what its text says (fake-trainer.c).
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-adapt.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-learned-file.h"
#include "tests/gem-test-patience.h"

/* What a manifest may have. */
#define MANIFEST_BYTES (1u << 20)

/* ---- steps ---- */

/* The store waits when a text for that domain, of which there is nothing yet, is to be copied: until the
 * descriptor is closed. -1: skipped. */
static int
hold_store(GemTestAdapt *self, const char *name)
{
  g_autofree char *path = gem_test_adapt_path(self, NULL, name, "text");
  g_autofree char *folder = g_path_get_dirname(path);
  int fd;

  g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
  g_assert_true(g_file_set_contents(path, "", 0, NULL));
  fd = gem_test_adapt_hold_open(path);
  if (fd < 0) {
    g_test_skip("no leases on files here");
  }
  return fd;
}

/* Comments, as many as a manifest may have: to read it takes a while. */
static void
make_slow(const char *folder)
{
  g_autofree char *path = g_build_filename(folder, "manifest", NULL);
  g_autofree char *bytes = NULL;
  g_autoptr(GString) text = NULL;
  gsize length = 0;

  g_assert_true(g_file_get_contents(path, &bytes, &length, NULL));
  text = g_string_new_len(bytes, (gssize)length);
  while (text->len + 2 < MANIFEST_BYTES) {
    g_string_append(text, "#\n");
  }
  g_assert_true(g_file_set_contents(path, text->str, (gssize)text->len, NULL));
}

/* There is a model of that name for LoadModel, the same as the one that is served. */
static char *
add_model(GemTestAdapt *self, const char *name)
{
  g_autofree char *models = gem_test_folder_new();
  g_autofree char *variable = g_strconcat("GEMD_MODEL_DIR=", models, NULL);
  g_autofree char *folder = g_build_filename(models, name, NULL);
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  GemTestBus *bus = self->gemd->bus;

  g_assert_cmpint(g_mkdir(folder, 0755), ==, 0);
  gem_test_model_write(folder, &self->gemd->shape, GEM_TYPE_F16, 11);
  make_slow(folder);
  g_strv_builder_addv(builder, (const char **)bus->daemon_environment);
  g_strv_builder_add(builder, variable);
  g_strfreev(bus->daemon_environment);
  bus->daemon_environment = g_strv_builder_end(builder);
  gem_test_adapt_restart(self, SIGTERM, "ready");
  return g_steal_pointer(&models);
}

/* ---- another model meanwhile ---- */

/* What is about to be started while another model is being read waits for that. */
static void
test_model_while_starting(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *models = add_model(self, "again");
  g_autofree char *first = NULL, *second = NULL, *third = NULL, *load = NULL;
  int store;

  gem_test_adapt_hold(self);
  first = gem_test_adapt_start(self, "first", "learn", TRUE);
  gem_test_adapt_wait_state(self, "first", "learning", "learning");
  second = gem_test_adapt_start_orders(self, "second", "");
  gem_test_adapt_wait_state(self, "second", "learning", "waiting");
  store = hold_store(self, "third");
  if (store < 0) {
    gem_test_folder_remove(models);
    return;
  }
  third = gem_test_adapt_start_orders(self, "third", "");
  gem_test_job_cancel(self->gemd->client, first);
  gem_test_job_ear_wait(self->ear, 1, "cancelled");
  gem_test_run_for(300); /* its process has gone, and the second's turn has come */

  load = gem_test_load_model(self->gemd->client, "again", "{}");
  gem_test_job_ear_wait(self->ear, 2, "done");
  close(store);
  gem_test_job_ear_wait(self->ear, 4, "done");
  gem_test_adapt_check_boolean(self, "second", "serving", TRUE);
  gem_test_adapt_check_boolean(self, "third", "serving", TRUE);
  gem_test_folder_remove(models);
}

/* ---- what cannot be written, or deleted ---- */

/* The record cannot be replaced any more, until it is mended. */
static char *
break_record(GemTestAdapt *self, const char *name)
{
  g_autofree char *record = gem_test_adapt_path(self, NULL, name, "domain");
  char *within = g_build_filename(record, "within", NULL);

  g_assert_cmpint(g_unlink(record), ==, 0);
  g_assert_cmpint(g_mkdir_with_parents(within, 0700), ==, 0);
  return within;
}

static void
mend_record(const char *within)
{
  g_autofree char *record = g_path_get_dirname(within);

  g_assert_cmpint(g_rmdir(within), ==, 0);
  g_assert_cmpint(g_rmdir(record), ==, 0);
}

static void
check_fails(GemTestAdapt *self, const char *method)
{
  gem_test_manager_fails(self->gemd->client, method,
                         g_variant_new("(s@a{sv})", "mywork", gem_test_options("{}")), GEM_ERROR_FAILED, "*");
}

/* What failed is not in force. */
static void
test_unwritten(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *within = NULL;

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_learn(self, "mywork", 2);
  within = break_record(self, "mywork");
  gem_test_manager_fails(self->gemd->client, "ShareDomain", gem_test_adapt_make_share("mywork", TRUE),
                         GEM_ERROR_FAILED, "*");
  gem_test_adapt_check_boolean(self, "mywork", "shared", FALSE);
  mend_record(within);
  gem_test_adapt_share(self, "mywork", TRUE);
  g_free(break_record(self, "mywork"));
  gem_test_manager_fails(self->gemd->client, "ShareDomain", gem_test_adapt_make_share("mywork", FALSE),
                         GEM_ERROR_FAILED, "*");
  gem_test_adapt_check_boolean(self, "mywork", "shared", TRUE);
  check_fails(self, "UndoAdaptation");
  gem_test_adapt_check_boolean(self, "mywork", "shared", TRUE);
  gem_test_adapt_check_boolean(self, "mywork", "can_undo", TRUE);
  gem_test_adapt_check_boolean(self, "mywork", "serving", TRUE);
  mend_record(within);
  gem_test_adapt_manager(self, "UndoAdaptation", "mywork");
  gem_test_adapt_check_boolean(self, "mywork", "can_undo", FALSE);
  gem_test_adapt_check_boolean(self, "mywork", "shared", FALSE);
  gem_test_adapt_check_boolean(self, "mywork", "serving", TRUE);
}

/* A learning is given up even when that cannot be written down: a second call would take the version. */
static void
test_given_up(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *within = NULL, *job = NULL;

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_hold(self);
  job = gem_test_adapt_start(self, "mywork", "learn", TRUE);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  within = break_record(self, "mywork");
  gem_test_adapt_manager(self, "UndoAdaptation", "mywork");
  gem_test_job_ear_wait(self->ear, 2, "cancelled");
  gem_test_adapt_check_state(self, "mywork", "ready");
  gem_test_adapt_check_boolean(self, "mywork", "serving", TRUE);
  mend_record(within);
}

/* The text of a first learning is gone before the call is answered; where it cannot go, that is told, and the
 * domain stays as one that failed. */
static void
test_undeleted(GemTestAdapt *self, gconstpointer data)
{
  static const char *const methods[] = {"ForgetDomain", "UndoAdaptation"};

  gem_test_adapt_hold(self);
  for (guint i = 0; i < G_N_ELEMENTS(methods); i++) {
    g_autofree char *within = gem_test_adapt_path(self, NULL, "mywork", "folder");
    g_autofree char *folder = g_path_get_dirname(within);
    g_autofree char *first = gem_test_adapt_start(self, "mywork", "learn", TRUE), *second = NULL;

    gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
    g_assert_cmpint(g_mkdir(within, 0700), ==, 0);
    check_fails(self, methods[i]);
    gem_test_adapt_check_state(self, "mywork", "failed");
    check_fails(self, methods[i]);
    gem_test_adapt_check_state(self, "mywork", "failed");
    g_assert_cmpint(g_rmdir(within), ==, 0);
    gem_test_adapt_manager(self, methods[i], "mywork");
    g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
    g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
    second = gem_test_adapt_start(self, "mywork", "learn", TRUE);
    gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
    gem_test_adapt_manager(self, methods[i], "mywork");
    g_assert_false(g_file_test(folder, G_FILE_TEST_EXISTS));
  }
}

/* What was learned and could not be written down leaves nothing: it would take the room of what is to be. */
static void
test_uncommitted(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *output = gem_test_adapt_path(self, NULL, "mywork", "output");
  g_autofree char *second = gem_test_adapt_path(self, NULL, "mywork", "version-2.gguf");
  g_autofree char *within = NULL, *job = NULL;

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_hold(self);
  job = gem_test_adapt_start(self, "mywork", "learn", TRUE);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  within = break_record(self, "mywork");
  g_assert_cmpint(g_unlink(self->held), ==, 0);
  gem_test_job_ear_wait(self->ear, 2, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Failed", "the record of the domain: *");
  gem_test_adapt_check_state(self, "mywork", "ready");
  gem_test_adapt_check_boolean(self, "mywork", "serving", TRUE);
  g_assert_false(g_file_test(output, G_FILE_TEST_EXISTS));
  g_assert_false(g_file_test(second, G_FILE_TEST_EXISTS));
  mend_record(within);
  gem_test_adapt_learn(self, "mywork", 3);
}

/* ---- the end of the service ---- */

static gboolean
has_failed_last(GemTestAdapt *self, const char *name)
{
  g_autoptr(GVariant) domain = gem_test_adapt_find(self->gemd->client, name);

  g_assert_nonnull(domain);
  return g_variant_lookup(domain, "last_result", "s", NULL);
}

/* Until so much of the text has come in. */
static void
wait_text(GemTestAdapt *self, const char *name, gsize bytes)
{
  g_autofree char *path = gem_test_adapt_path(self, NULL, name, "text");
  gint64 end = gem_test_deadline(30);
  GStatBuf status = {0};

  while (g_stat(path, &status) != 0 || (gsize)status.st_size < bytes) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_usleep(5000);
  }
}

/* The text has come, and its order is being written down: it is learned after the next start, and that is
 * what its user is told. */
static void
test_stopped_while_keeping(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *learned = gem_test_learned_file_write(self->gemd->folder, "mywork", 0);
  g_autofree char *orders = g_strdup_printf("learn %s\n", learned);
  g_autofree char *filler = g_strnfill(GEM_TEST_ADAPT_BYTES, 'a');
  g_autofree char *fails = NULL, *job = NULL, *other = NULL;
  g_autoptr(GError) error = NULL;
  int ends[2], store;

  gem_test_adapt_learn(self, "mywork", 1);
  fails = gem_test_adapt_start(self, "mywork", "fail", FALSE);
  gem_test_job_ear_wait(self->ear, 2, "failed");
  g_assert_true(has_failed_last(self, "mywork"));
  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  job = gem_test_adapt_call(self->gemd->client, "mywork", ends[0], "{}", &error);
  g_assert_no_error(error);
  g_assert_cmpint(write(ends[1], orders, strlen(orders)), ==, (gssize)strlen(orders));
  wait_text(self, "mywork", strlen(orders)); /* the store is done with it */
  store = hold_store(self, "other");
  if (store < 0) {
    close(ends[1]);
    return;
  }
  other = gem_test_adapt_start_orders(self, "other", "");
  g_assert_cmpint(write(ends[1], filler, GEM_TEST_ADAPT_BYTES), ==, GEM_TEST_ADAPT_BYTES);
  close(ends[1]);
  while (has_failed_last(self, "mywork")) {
    g_usleep(5000);
  }
  gem_test_adapt_wait_state(self, "mywork", "learning", "copying");
  gem_test_job_cancel(self->gemd->client, other);
  gem_test_job_ear_wait(self->ear, 3, "cancelled");
  g_subprocess_send_signal(self->gemd->bus->daemon, SIGTERM);
  gem_test_job_ear_wait(self->ear, 4, "failed");
  g_assert_cmpstr(self->ear->path, ==, job);
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.ShuttingDown", "*goes on with its next start");
  close(store);
  gem_test_bus_wait_exit(self->gemd->bus);
  gem_test_gemd_start(self->gemd, "ready");
  gem_test_adapt_wait_state(self, "mywork", "ready", NULL);
  gem_test_adapt_check_boolean(self, "mywork", "can_undo", TRUE);
  g_assert_null(gem_test_adapt_find(self->gemd->client, "other"));
}

int
main(int argc, char **argv)
{
  static const GemTestAdaptTest tests[] = {
      {"/bus/adapt-store/model-while-starting", test_model_while_starting},
      {"/bus/adapt-store/unwritten", test_unwritten},
      {"/bus/adapt-store/given-up", test_given_up},
      {"/bus/adapt-store/undeleted", test_undeleted},
      {"/bus/adapt-store/uncommitted", test_uncommitted},
      {"/bus/adapt-store/stopped-while-keeping", test_stopped_while_keeping},
      {NULL},
  };

  g_test_init(&argc, &argv, NULL);
  gem_test_adapt_add(tests);
  return g_test_run();
}
