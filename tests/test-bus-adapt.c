/*
 * Learning a domain through the service: what is taken, how it ends, and what is left. gemd with its modules
 * on a tiny random model; the process that learns is one that does what its text says (fake-trainer.c).
 */
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/gem-test-adapt.h"
#include "tests/gem-test-learned-file.h"
#include "tests/gem-test-patience.h"

#define PATIENCE_SECONDS 30
#define NONE             gem_test_options("{}")
#define NOBODY           "65534"

static int
compare_names(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
call_manager(GemTestAdapt *self, const char *method, const char *name)
{
  g_autoptr(GVariant) reply =
      gem_test_manager(self->gemd->client, method, g_variant_new("(s@a{sv})", name, NONE));
}

/* Files of the domain in the store, in order, with blanks between; NULL: there is no folder. */
static char *
list_files(GemTestAdapt *self, const char *name)
{
  g_autofree char *user = g_strdup_printf("%u", geteuid());
  g_autofree char *path = g_build_filename(self->state, "learned", user, name, NULL);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  const char *file;

  while (dir != NULL && (file = g_dir_read_name(dir)) != NULL) {
    g_ptr_array_add(names, g_strdup(file));
  }
  g_ptr_array_sort(names, compare_names);
  g_ptr_array_add(names, NULL);
  return dir != NULL ? g_strjoinv(" ", (char **)names->pdata) : NULL;
}

static void
check_files(GemTestAdapt *self, const char *name, const char *expected)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);
  g_autofree char *files = list_files(self, name);

  /* What goes, goes after the answer. */
  while (g_strcmp0(files, expected) != 0 && g_get_monotonic_time() < end) {
    g_usleep(5000);
    g_free(files);
    files = list_files(self, name);
  }
  g_assert_cmpstr(files, ==, expected);
}

/* ---- it is learned ---- */

static void
test_learn(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = gem_test_adapt_start(self, "mywork", "learn", FALSE);
  g_autoptr(GVariant) kind = gem_test_get(self->gemd->client, job, GEM_JOB_INTERFACE, "Kind");
  g_autoptr(GVariant) domain = NULL;
  g_autoptr(GVariant) figures = NULL;
  double before = 0, after = 0;
  gboolean mine = FALSE, shared = TRUE, serving = FALSE, can_undo = TRUE;
  guint64 bytes = 0;

  g_assert_cmpstr(g_variant_get_string(kind, NULL), ==, "adapt-domain");
  gem_test_job_ear_wait(self->ear, 1, "done");
  g_assert_true(g_variant_lookup(self->ear->details, "held_out_before", "d", &before));
  g_assert_true(g_variant_lookup(self->ear->details, "held_out_after", "d", &after));
  g_assert_cmpfloat(before, ==, 100);
  g_assert_cmpfloat(after, ==, 50);
  gem_test_adapt_check_state(self, "mywork", "ready");
  domain = gem_test_adapt_find(self->gemd->client, "mywork");
  g_assert_true(g_variant_lookup(domain, "mine", "b", &mine) && mine);
  g_assert_true(g_variant_lookup(domain, "shared", "b", &shared) && !shared);
  g_assert_true(g_variant_lookup(domain, "serving", "b", &serving) && serving);
  g_assert_true(g_variant_lookup(domain, "can_undo", "b", &can_undo) && !can_undo);
  g_assert_true(g_variant_lookup(domain, "bytes", "t", &bytes) && bytes > 0);
  g_assert_true(g_variant_lookup(domain, "figures", "@a{sv}", &figures));
  g_assert_true(g_variant_lookup(figures, "held_out_after", "d", &after));
  check_files(self, "mywork", "domain version-1.gguf");
}

/* The order of what is told: progress grows, and the phase is one of the words. */
static void
test_progress(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = NULL;
  g_autoptr(GVariant) phase = NULL;

  gem_test_adapt_hold(self);
  job = gem_test_adapt_start(self, "mywork", "learn", TRUE);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  phase = gem_test_get(self->gemd->client, job, GEM_JOB_INTERFACE, "Phase");
  g_assert_cmpstr(g_variant_get_string(phase, NULL), ==, "learning");
  check_files(self, "mywork", "checkpoint domain output text");
  /* What changes is told a few times a second: of a learning that is over sooner nothing would be. */
  while (self->ear->progress_running == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_unlink(self->held);
  gem_test_job_ear_wait(self->ear, 1, "done");
  g_assert_cmpfloat(self->ear->progress, ==, 1);
  check_files(self, "mywork", "domain version-1.gguf");
}

static void
test_again_and_undo(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *first = gem_test_adapt_start(self, "mywork", "learn", FALSE);
  g_autofree char *second = NULL;

  gem_test_job_ear_wait(self->ear, 1, "done");
  second = gem_test_adapt_start(self, "mywork", "learn", FALSE);
  g_assert_nonnull(second);
  gem_test_job_ear_wait(self->ear, 2, "done");
  check_files(self, "mywork", "domain version-1.gguf version-2.gguf");
  call_manager(self, "UndoAdaptation", "mywork");
  check_files(self, "mywork", "domain version-1.gguf");
  gem_test_adapt_check_state(self, "mywork", "ready");
  call_manager(self, "UndoAdaptation", "mywork");
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
  check_files(self, "mywork", NULL);
  gem_test_manager_fails(self->gemd->client, "UndoAdaptation", g_variant_new("(s@a{sv})", "mywork", NONE),
                         GEM_ERROR_UNKNOWN_DOMAIN, "*");
}

static void
test_forget(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = gem_test_adapt_start(self, "mywork", "learn", FALSE);

  gem_test_job_ear_wait(self->ear, 1, "done");
  call_manager(self, "ForgetDomain", "mywork");
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
  check_files(self, "mywork", NULL);
  gem_test_manager_fails(self->gemd->client, "ForgetDomain", g_variant_new("(s@a{sv})", "mywork", NONE),
                         GEM_ERROR_UNKNOWN_DOMAIN, "*");
}

static void
wait_serving(GemTestAdapt *self, const char *name)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);
  gboolean serving = FALSE;

  while (!serving) {
    g_autoptr(GVariant) domain = gem_test_adapt_find(self->gemd->client, name);

    g_assert_nonnull(domain);
    g_assert_true(g_variant_lookup(domain, "serving", "b", &serving));
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_usleep(5000);
  }
}

/* What cannot be deleted is not forgotten: it serves on, and its user may try again. */
static void
test_forget_fails(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = gem_test_adapt_start(self, "mywork", "learn", FALSE);
  g_autofree char *user = g_strdup_printf("%u", geteuid());
  g_autofree char *record = g_build_filename(self->state, "learned", user, "mywork", "domain", NULL);

  gem_test_job_ear_wait(self->ear, 1, "done");
  check_files(self, "mywork", "domain version-1.gguf");
  /* A folder in its place: nobody can unlink that. */
  g_assert_cmpint(g_unlink(record), ==, 0);
  g_assert_cmpint(g_mkdir(record, 0700), ==, 0);
  gem_test_manager_fails(self->gemd->client, "ForgetDomain", g_variant_new("(s@a{sv})", "mywork", NONE),
                         GEM_ERROR_FAILED, "the record of the domain: *");
  wait_serving(self, "mywork");
  check_files(self, "mywork", "domain version-1.gguf");
  g_assert_cmpint(g_rmdir(record), ==, 0);
  call_manager(self, "ForgetDomain", "mywork");
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
  check_files(self, "mywork", NULL);
}

/* ---- it is not ---- */

static void
test_refused(GemTestAdapt *self, gconstpointer data)
{
  const char *word = ((const GemTestAdaptCase *)data)->word;
  g_autofree char *job = gem_test_adapt_start(self, "mywork", word, FALSE);
  g_autoptr(GVariant) domain = NULL;
  const char *reason = NULL;
  double worst = 0;

  gem_test_job_ear_wait(self->ear, 1, "refused");
  g_assert_true(g_variant_lookup(self->ear->details, "reason", "&s", &reason));
  g_assert_true(g_variant_lookup(self->ear->details, "worst_other_percent", "d", &worst));
  g_assert_true(strlen(reason) > 0);
  gem_test_adapt_check_state(self, "mywork", "refused");
  check_files(self, "mywork", "domain");
  domain = gem_test_adapt_find(self->gemd->client, "mywork");
  g_assert_true(g_variant_lookup(domain, "last_reason", "&s", &reason));
}

/* What serves goes on doing so. */
static void
test_refused_beside_a_version(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *first = gem_test_adapt_start(self, "mywork", "learn", FALSE);
  g_autofree char *second = NULL;

  gem_test_job_ear_wait(self->ear, 1, "done");
  second = gem_test_adapt_start(self, "mywork", "boast", FALSE);
  g_assert_nonnull(second);
  gem_test_job_ear_wait(self->ear, 2, "refused");
  gem_test_adapt_check_state(self, "mywork", "ready");
  check_files(self, "mywork", "domain version-1.gguf");
}

static void
test_fails(GemTestAdapt *self, gconstpointer data)
{
  const char *word = ((const GemTestAdaptCase *)data)->word;
  g_autofree char *job = gem_test_adapt_start(self, "mywork", word, FALSE);

  gem_test_job_ear_wait(self->ear, 1, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Failed",
                               g_str_equal(word, "fail")     ? "*the text is too short"
                               : g_str_equal(word, "peek")   ? "*nothing else is open"
                               : g_str_equal(word, "babble") ? "*rules of its channel"
                                                             : "*died");
  gem_test_adapt_check_state(self, "mywork", "failed");
  check_files(self, "mywork", "domain");
}

static void
test_dies_once(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *learned = gem_test_learned_file_write(self->gemd->folder, "mywork", 0);
  g_autofree char *text = g_strdup_printf("die-once\nlearn %s", learned);
  g_autoptr(GError) error = NULL;
  g_autofree char *job = gem_test_adapt_call(
      self->gemd->client, "mywork", gem_test_adapt_text(text, GEM_TEST_ADAPT_BYTES, 0), "{}", &error);

  g_assert_no_error(error);
  gem_test_job_ear_wait(self->ear, 1, "done");
}

static void
test_cancel(GemTestAdapt *self, gconstpointer data)
{
  const char *how = ((const GemTestAdaptCase *)data)->word;
  g_autofree char *job = NULL;
  g_autoptr(GVariant) reply = NULL;

  gem_test_adapt_hold(self);
  job = gem_test_adapt_start(self, "mywork", "learn", TRUE);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  if (g_str_equal(how, "Cancel")) {
    reply = gem_test_call(self->gemd->client, job, GEM_JOB_INTERFACE, "Cancel", NULL, NULL);
    g_assert_nonnull(reply);
  } else {
    call_manager(self, how, "mywork");
  }
  gem_test_job_ear_wait(self->ear, 1, "cancelled");
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
  check_files(self, "mywork", NULL);
}

/* One that says nothing can be given up. */
static void
test_cancel_copying(GemTestAdapt *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *job = NULL;
  int ends[2];

  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  job = gem_test_adapt_call(self->gemd->client, "mywork", ends[0], "{}", &error);
  g_assert_no_error(error);
  g_assert_nonnull(job);
  gem_test_adapt_wait_state(self, "mywork", "learning", "copying");
  call_manager(self, "ForgetDomain", "mywork");
  gem_test_job_ear_wait(self->ear, 1, "cancelled");
  close(ends[1]);
  check_files(self, "mywork", NULL);
}

/* ---- one at a time ---- */

static void
test_queue(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *first = NULL, *second = NULL, *third = NULL;

  gem_test_adapt_hold(self);
  first = gem_test_adapt_start(self, "first", "learn", TRUE);
  gem_test_adapt_wait_state(self, "first", "learning", "learning");
  second = gem_test_adapt_start(self, "second", "learn", FALSE);
  g_assert_nonnull(second);
  gem_test_adapt_wait_state(self, "second", "learning", "waiting");
  third = gem_test_adapt_start(self, "third", "learn", FALSE);
  gem_test_adapt_wait_state(self, "third", "learning", "waiting");
  gem_test_adapt_fails(self, "second", gem_test_adapt_orders(self, "mywork", "learn", FALSE), "{}",
                       GEM_ERROR_BUSY, "*second*being learned*");
  call_manager(self, "ForgetDomain", "second");
  gem_test_job_ear_wait(self->ear, 1, "cancelled");
  g_unlink(self->held);
  gem_test_job_ear_wait(self->ear, 3, "done");
  g_assert_cmpstr(self->ear->earlier, ==, first);
  g_assert_cmpstr(self->ear->path, ==, third);
  g_assert_null(gem_test_adapt_find(self->gemd->client, "second"));
}

static void
test_quota(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = gem_test_adapt_start(self, "first", "learn", FALSE);
  g_autofree char *again = NULL;

  gem_test_job_ear_wait(self->ear, 1, "done");
  gem_test_adapt_fails(self, "second", gem_test_adapt_orders(self, "mywork", "learn", FALSE), "{}",
                       GEM_ERROR_LIMIT_EXCEEDED, "MaxLearnedPerUser: 1 are in use, 1 are allowed");
  /* The same once more is none more. */
  again = gem_test_adapt_start(self, "first", "learn", FALSE);
  g_assert_nonnull(again);
  gem_test_job_ear_wait(self->ear, 2, "done");
}

/* ---- restarts ---- */

static void
restart(GemTestAdapt *self, int signal_number)
{
  g_subprocess_send_signal(self->gemd->bus->daemon, signal_number);
  gem_test_bus_wait_exit(self->gemd->bus);
}

static void
test_restart(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  gem_test_adapt_hold(self);
  job = gem_test_adapt_start(self, "mywork", "learn", TRUE);
  g_assert_nonnull(job);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  restart(self, ((const GemTestAdaptCase *)data)->number);
  gem_test_gemd_start(self->gemd, "ready");
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  check_files(self, "mywork", "checkpoint domain output text");
  g_unlink(self->held);
  gem_test_adapt_wait_state(self, "mywork", "ready", NULL);
  check_files(self, "mywork", "domain version-1.gguf");
  /* What is ready is there again, too. */
  restart(self, SIGTERM);
  gem_test_gemd_start(self->gemd, "ready");
  gem_test_adapt_wait_state(self, "mywork", "ready", NULL);
}

/* ---- where nothing can be learned ---- */

static void
test_not_supported(GemTestAdapt *self, gconstpointer data)
{
  restart(self, SIGTERM);
  gem_test_adapt_set_environment(self, FALSE);
  gem_test_gemd_start(self->gemd, "ready");
  gem_test_adapt_fails(self, "mywork", gem_test_adapt_orders(self, "mywork", "learn", FALSE), "{}",
                       GEM_ERROR_NOT_SUPPORTED, "*not installed*");
  restart(self, SIGTERM);
  g_strfreev(g_steal_pointer(&self->gemd->bus->daemon_environment));
  gem_test_gemd_start(self->gemd, "ready");
  gem_test_adapt_fails(self, "mywork", gem_test_adapt_orders(self, "mywork", "learn", FALSE), "{}",
                       GEM_ERROR_NOT_SUPPORTED, "*no folder*");
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
}

/* The store cannot be written to, and holds what is no record. */
static void
test_broken_store(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *user = g_strdup_printf("%u", geteuid());
  g_autofree char *good = gem_test_adapt_start(self, "good", "learn", FALSE);
  g_autofree char *folder = g_build_filename(self->state, "learned", user, "torn", NULL);
  g_autofree char *record = g_build_filename(folder, "domain", NULL);
  g_autofree char *kept = g_build_filename(folder, "version-1.gguf", NULL);
  g_autofree char *replacing = g_build_filename(self->state, "learned", user, "legal", NULL);
  g_autofree char *replaced = g_build_filename(replacing, "domain", NULL);
  g_autofree char *odd = g_build_filename(self->state, "learned", user, "Odd Name", NULL);
  g_autofree char *closed = g_build_filename(self->state, "learned", NOBODY, NULL);
  g_autofree char *stray = g_build_filename(self->state, "learned", "notes", NULL);
  g_autofree char *version = g_build_filename(self->state, "learned", user, "good", "version-1.gguf", NULL);
  g_autofree char *log = NULL;
  g_autoptr(GVariant) domain = NULL;
  gboolean serving = TRUE;

  gem_test_job_ear_wait(self->ear, 1, "done");
  restart(self, SIGTERM);
  g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
  g_assert_true(g_file_set_contents(record, "[domain]\nFormat=1\nReplaces=\n[version]\nFile=x\n", -1, NULL));
  g_assert_true(g_file_set_contents(kept, "what was learned", -1, NULL));
  /* Nobody may stand in for a domain of the model but `adaptive`. */
  g_assert_cmpint(g_mkdir_with_parents(replacing, 0700), ==, 0);
  g_assert_true(g_file_set_contents(replaced, "[domain]\nFormat=1\nReplaces=legal\n", -1, NULL));
  g_assert_cmpint(g_mkdir_with_parents(odd, 0700), ==, 0);
  g_assert_true(g_file_set_contents(version, "GGUF that is none", -1, NULL));
  /* No folder where a user's is to be: it cannot be opened, whoever asks. What is no user's is passed over.
   */
  g_assert_true(g_file_set_contents(closed, "", 0, NULL));
  g_assert_true(g_file_set_contents(stray, "", 0, NULL));
  self->gemd->bus->pipe_log = TRUE;
  self->gemd->bus->daemon_environment =
      g_environ_setenv(self->gemd->bus->daemon_environment, "G_MESSAGES_DEBUG", "all", TRUE);
  gem_test_gemd_start(self->gemd, "ready");
  g_assert_null(gem_test_adapt_find(self->gemd->client, "torn"));
  /* What cannot be read is left to who can; what is nothing goes. */
  g_assert_true(g_file_test(record, G_FILE_TEST_EXISTS));
  g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
  g_assert_true(g_file_test(replaced, G_FILE_TEST_EXISTS));
  g_assert_false(g_file_test(odd, G_FILE_TEST_EXISTS));
  /* Nor is anything learned in its place, which would go the way of all learnings that are given up. */
  gem_test_adapt_fails(self, "torn", gem_test_adapt_orders(self, "torn", "learn", FALSE), "{}",
                       GEM_ERROR_FAILED, "*cannot be read*");
  g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
  gem_test_adapt_wait_state(self, "good", "unusable", NULL);
  domain = gem_test_adapt_find(self->gemd->client, "good");
  g_assert_true(g_variant_lookup(domain, "serving", "b", &serving) && !serving);
  call_manager(self, "ForgetDomain", "good");
  g_assert_null(gem_test_adapt_find(self->gemd->client, "good"));
  log = gem_test_bus_end_log(self->gemd->bus);
  g_assert_nonnull(strstr(log, "3 records or folders of learned domains cannot be read"));
  g_assert_nonnull(strstr(log, "learned domains: 1, users with a folder: 1"));
}

static void
test_no_room(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *learned = g_build_filename(self->state, "learned", NULL);
  g_autofree char *job = NULL;

  /* As good as a disk that is full: nothing can be made there. */
  g_assert_true(g_file_set_contents(learned, "", 0, NULL));
  job = gem_test_adapt_start(self, "mywork", "learn", FALSE);
  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Failed", "the copy of the text: *");
}

/* ---- others ---- */

static void
test_outlives_caller(GemTestAdapt *self, gconstpointer data)
{
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(self->gemd->bus);
  g_autoptr(GError) error = NULL;
  g_autofree char *job = NULL;

  gem_test_adapt_hold(self);
  job = gem_test_adapt_call(other, "mywork", gem_test_adapt_orders(self, "mywork", "learn", TRUE), "{}",
                            &error);
  g_assert_no_error(error);
  g_assert_nonnull(job);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  g_assert_true(g_dbus_connection_close_sync(other, NULL, NULL));
  g_unlink(self->held);
  gem_test_adapt_wait_state(self, "mywork", "ready", NULL);
}

/* busctl as another user: what it prints. */
static char *
ask_as_nobody(
    GemTestAdapt *self, const char *method, const char *signature, const char *first, const char *second)
{
  g_autofree char *address = g_strconcat("--address=", self->gemd->bus->address, NULL);
  g_autoptr(GError) error = NULL;
  char *output = NULL;
  g_autoptr(GSubprocess) process = g_subprocess_new(
      G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, &error, "setpriv", "--reuid=" NOBODY,
      "--regid=" NOBODY, "--clear-groups", "busctl", address, "call", GEM_BUS_NAME, GEM_OBJECT_PATH,
      GEM_MANAGER_INTERFACE, method, signature, first, second, NULL);

  g_assert_no_error(error);
  g_assert_true(g_subprocess_communicate_utf8(process, NULL, NULL, &output, NULL, &error));
  g_assert_no_error(error);
  return output;
}

static void
share(GemTestAdapt *self, gboolean shared)
{
  g_autoptr(GVariant) reply =
      gem_test_manager(self->gemd->client, "ShareDomain",
                       g_variant_new("(usb@a{sv})", (guint32)geteuid(), "mywork", shared, NONE));
}

static void
test_other_user(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *setpriv = g_find_program_in_path("setpriv"), *busctl = g_find_program_in_path("busctl");
  g_autofree char *job = NULL, *seen = NULL, *forgotten = NULL, *shared = NULL, *hidden = NULL;

  if (geteuid() != 0 || setpriv == NULL || busctl == NULL) {
    g_test_skip("needs root, setpriv and busctl");
    return;
  }
  gem_test_adapt_hold(self);
  job = gem_test_adapt_start(self, "mywork", "learn", TRUE);
  g_assert_nonnull(job);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  seen = ask_as_nobody(self, "LearnedDomains", "a{sv}", "0", NULL);
  g_assert_cmpstr(g_strstrip(seen), ==, "aa{sv} 0");
  g_unlink(self->held);
  gem_test_job_ear_wait(self->ear, 1, "done");
  forgotten = ask_as_nobody(self, "ForgetDomain", "sa{sv}", "mywork", "0");
  g_assert_nonnull(strstr(forgotten, "no domain of that name"));
  share(self, TRUE);
  shared = ask_as_nobody(self, "LearnedDomains", "a{sv}", "0", NULL);
  g_assert_nonnull(strstr(shared, "\"mywork\""));
  /* Its figures tell of its owner's text. */
  g_assert_null(strstr(shared, "held_out"));
  share(self, FALSE);
  hidden = ask_as_nobody(self, "LearnedDomains", "a{sv}", "0", NULL);
  g_assert_cmpstr(g_strstrip(hidden), ==, "aa{sv} 0");
  gem_test_adapt_check_state(self, "mywork", "ready");
}

int
main(int argc, char **argv)
{
  static const GemTestAdaptTest tests[] = {
      {"/bus/adapt/learn", test_learn},
      {"/bus/adapt/progress", test_progress},
      {"/bus/adapt/again-and-undo", test_again_and_undo},
      {"/bus/adapt/forget", test_forget},
      {"/bus/adapt/forget-fails", test_forget_fails},
      {"/bus/adapt/refuses", test_refused, {.word = "refuse"}},
      {"/bus/adapt/breaks-bounds", test_refused, {.word = "boast"}},
      {"/bus/adapt/refused-beside-a-version", test_refused_beside_a_version},
      {"/bus/adapt/fails", test_fails, {.word = "fail"}},
      {"/bus/adapt/dies", test_fails, {.word = "die"}},
      {"/bus/adapt/babbles", test_fails, {.word = "babble"}},
      {"/bus/adapt/sees-nothing-else", test_fails, {.word = "peek"}},
      {"/bus/adapt/dies-once", test_dies_once},
      {"/bus/adapt/cancel", test_cancel, {.word = "Cancel"}},
      {"/bus/adapt/cancel-by-forgetting", test_cancel, {.word = "ForgetDomain"}},
      {"/bus/adapt/cancel-by-undoing", test_cancel, {.word = "UndoAdaptation"}},
      {"/bus/adapt/cancel-copying", test_cancel_copying},
      {"/bus/adapt/queue", test_queue},
      {"/bus/adapt/quota", test_quota, {.config = "MaxLearnedPerUser=1\n"}},
      {"/bus/adapt/restart", test_restart, {.number = SIGTERM}},
      {"/bus/adapt/killed", test_restart, {.number = SIGKILL}},
      {"/bus/adapt/not-supported", test_not_supported},
      {"/bus/adapt/broken-store", test_broken_store},
      {"/bus/adapt/no-room", test_no_room},
      {"/bus/adapt/outlives-caller", test_outlives_caller},
      {"/bus/adapt/other-user", test_other_user},
      {NULL},
  };

  g_test_init(&argc, &argv, NULL);
  gem_test_adapt_add(tests);
  return g_test_run();
}
