/*
 * Learning a domain through the service, one thing after another: what is asked for while something else is
 * under way, what is tried again and how often, and what is left when it fails. gemd with its modules on a
 * tiny random model; the process that learns is one that does what its text says (fake-trainer.c).
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-adapt.h"
#include "tests/gem-test-calls.h"
#include "tests/gem-test-learned-file.h"
#include "tests/gem-test-patience.h"

#define PATIENCE_SECONDS 30
#define NONE             gem_test_options("{}")
#define OTHER_USER       "4242"

/* ---- steps ---- */

/* No text can be routed to it. */
static void
check_not_served(GemTestAdapt *self, const char *name)
{
  g_autofree char *options = g_strdup_printf("{'domain': <'%s'>, 'max_tokens': <uint32 1>}", name);

  gem_test_manager_fails(self->gemd->client, "Ask",
                         g_variant_new("(s@a{sv})", "hello", gem_test_options(options)),
                         GEM_ERROR_UNKNOWN_DOMAIN, "*");
}

static void
write_record(GemTestAdapt *self, const char *user, const char *name, const char *record)
{
  g_autofree char *path = gem_test_adapt_path(self, user, name, "domain");
  g_autofree char *folder = g_path_get_dirname(path);

  g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
  g_assert_true(g_file_set_contents(path, record, -1, NULL));
}

/* ---- what is asked for while it is on its way into the engine ---- */

static void
on_reply(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

  g_assert_no_error(error);
  ++*(guint *)data;
}

static void
send(GemTestAdapt *self, const char *method, GVariant *arguments, guint *replies)
{
  g_dbus_connection_call(self->gemd->client, GEM_BUS_NAME, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, method,
                         arguments, NULL, G_DBUS_CALL_FLAGS_NONE,
                         (int)(gem_test_patience(PATIENCE_SECONDS) / 1000), NULL, on_reply, replies);
}

static void
wait_replies(const guint *replies, guint expected)
{
  while (*replies < expected) {
    g_main_context_iteration(NULL, TRUE);
  }
}

/* The version before comes back, and while it does, the domain is forgotten: nothing serves then. */
static void
test_forget_at_once(GemTestAdapt *self, gconstpointer data)
{
  guint replies = 0;

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_learn(self, "mywork", 2);
  send(self, "UndoAdaptation", g_variant_new("(s@a{sv})", "mywork", NONE), &replies);
  send(self, "ForgetDomain", g_variant_new("(s@a{sv})", "mywork", NONE), &replies);
  wait_replies(&replies, 2);
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
  check_not_served(self, "mywork");
}

/* One after the other, each from what the one before left. */
static void
test_undo_at_once(GemTestAdapt *self, gconstpointer data)
{
  guint replies = 0;

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_learn(self, "mywork", 2);
  send(self, "UndoAdaptation", g_variant_new("(s@a{sv})", "mywork", NONE), &replies);
  send(self, "ShareDomain", gem_test_adapt_make_share("mywork", TRUE), &replies);
  send(self, "UndoAdaptation", g_variant_new("(s@a{sv})", "mywork", NONE), &replies);
  wait_replies(&replies, 3);
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
  check_not_served(self, "mywork");
}

/* What was undone serves no more, even when what was before it cannot. */
static void
test_undo_to_none(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *first = gem_test_adapt_path(self, NULL, "mywork", "version-1.gguf");

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_learn(self, "mywork", 2);
  g_assert_true(g_file_set_contents(first, "GGUF that is none", -1, NULL));
  gem_test_adapt_manager(self, "UndoAdaptation", "mywork");
  gem_test_adapt_wait_state(self, "mywork", "unusable", NULL);
  gem_test_adapt_check_boolean(self, "mywork", "serving", FALSE);
  check_not_served(self, "mywork");
}

/* ---- sharing ---- */

/* What an administrator shared was learned from another text. */
static void
test_learned_anew(GemTestAdapt *self, gconstpointer data)
{
  gboolean told = FALSE;

  gem_test_adapt_learn(self, "mywork", 1);
  g_assert_false(g_variant_lookup(self->ear->details, "no_longer_shared", "b", &told));
  gem_test_adapt_share(self, "mywork", TRUE);
  gem_test_adapt_check_boolean(self, "mywork", "shared", TRUE);
  gem_test_adapt_learn(self, "mywork", 2);
  g_assert_true(g_variant_lookup(self->ear->details, "no_longer_shared", "b", &told) && told);
  gem_test_adapt_check_boolean(self, "mywork", "shared", FALSE);
  gem_test_adapt_restart(self, SIGTERM, "ready");
  gem_test_adapt_check_boolean(self, "mywork", "shared", FALSE);
}

static guint64
bytes_of(GemTestAdapt *self, const char *name)
{
  g_autoptr(GVariant) domain = gem_test_adapt_find(self->gemd->client, name);
  guint64 bytes = 0;

  g_assert_nonnull(domain);
  g_assert_true(g_variant_lookup(domain, "bytes", "t", &bytes));
  return bytes;
}

/* Of the version that serves, whichever that is. */
static void
test_bytes(GemTestAdapt *self, gconstpointer data)
{
  guint64 bytes;

  gem_test_adapt_learn(self, "mywork", 1);
  bytes = bytes_of(self, "mywork");
  g_assert_cmpuint(bytes, >, 0);
  gem_test_adapt_learn(self, "mywork", 2);
  gem_test_adapt_restart(self, SIGTERM, "ready");
  g_assert_cmpuint(bytes_of(self, "mywork"), ==, bytes);
  gem_test_adapt_manager(self, "UndoAdaptation", "mywork");
  g_assert_cmpuint(bytes_of(self, "mywork"), ==, bytes);
}

/* What an administrator shared was the version that went. */
static void
test_undone(GemTestAdapt *self, gconstpointer data)
{
  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_learn(self, "mywork", 2);
  gem_test_adapt_share(self, "mywork", TRUE);
  gem_test_adapt_check_boolean(self, "mywork", "shared", TRUE);
  gem_test_adapt_manager(self, "UndoAdaptation", "mywork");
  gem_test_adapt_check_boolean(self, "mywork", "shared", FALSE);
  gem_test_adapt_restart(self, SIGTERM, "ready");
  gem_test_adapt_check_boolean(self, "mywork", "shared", FALSE);
  gem_test_adapt_wait_state(self, "mywork", "ready", NULL);
}

/* Two of a name cannot be shared, although one of them does not serve; who is told that is not told whose. */
static void
test_share_beside_another(GemTestAdapt *self, gconstpointer data)
{
  g_autoptr(GVariant) reply = NULL;
  g_autoptr(GError) error = NULL;

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_restart(self, SIGTERM, NULL);
  write_record(self, OTHER_USER, "mywork",
               "[domain]\nFormat=1\nReplaces=\nShared=true\n"
               "[version]\nFile=1\nLearnedAt=1\nModel=of another\n");
  gem_test_gemd_start(self->gemd, "ready");
  reply = gem_test_call(self->gemd->client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "ShareDomain",
                        gem_test_adapt_make_share("mywork", TRUE), &error);
  g_assert_null(reply);
  gem_test_error_is(error, GEM_ERROR_INVALID_OPTION, "*another user's domain mywork is shared already*");
  g_assert_null(strstr(error->message, OTHER_USER));
  gem_test_adapt_check_boolean(self, "mywork", "shared", FALSE);
}

/* ---- how often it is tried ---- */

/* Processes that never spoke are not held against the text. */
static void
test_mute(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = gem_test_adapt_start_orders(self, "mywork", "mute 2\ndie-until 4\n");

  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "done");
}

static void
test_always_mute(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = gem_test_adapt_start_orders(self, "mywork", "mute 4\n");

  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Failed", "*died");
}

/* The service itself may be what a text kills. */
static void
test_service_dies(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *job = NULL;

  gem_test_adapt_hold(self);
  job = gem_test_adapt_start(self, "mywork", "learn", TRUE);
  g_assert_nonnull(job);
  for (guint i = 0; i < 3; i++) {
    gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
    gem_test_adapt_restart(self, SIGKILL, "ready");
  }
  gem_test_adapt_wait_state(self, "mywork", "failed", NULL);
}

/* One is not held up by another that has to wait for its next start. */
static void
test_others_meanwhile(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *first = gem_test_adapt_start_orders(self, "first", "die-until 2\n");
  g_autofree char *second = gem_test_adapt_start_orders(self, "second", "");

  gem_test_job_ear_wait(self->ear, 1, "done");
  g_assert_cmpstr(self->ear->path, ==, second);
  gem_test_job_ear_wait(self->ear, 2, "done");
  g_assert_cmpstr(self->ear->path, ==, first);
}

/* ---- what is told ---- */

static void
on_changed(GDBusConnection *connection,
           const char *sender,
           const char *path,
           const char *interface,
           const char *signal,
           GVariant *parameters,
           gpointer data)
{
  ++*(guint *)data;
}

/* However often the process speaks, its caller is not flooded: four times a second, and what comes at once.
 */
static void
test_flood(GemTestAdapt *self, gconstpointer data)
{
  gint64 began = g_get_monotonic_time();
  guint changes = 0;
  guint subscription = g_dbus_connection_signal_subscribe(
      self->gemd->client, GEM_BUS_NAME, "org.freedesktop.DBus.Properties", "PropertiesChanged", NULL, NULL,
      G_DBUS_SIGNAL_FLAGS_NONE, on_changed, &changes, NULL);
  g_autofree char *job = gem_test_adapt_start_orders(self, "mywork", "flood 20000\n");

  g_assert_nonnull(job);
  gem_test_job_ear_wait(self->ear, 1, "done");
  g_assert_cmpuint(changes, >, 0);
  g_assert_cmpuint(changes, <=, 3 + (g_get_monotonic_time() - began) / 250000);
  g_dbus_connection_signal_unsubscribe(self->gemd->client, subscription);
}

/* A text that was not there as a whole is not gone on with. */
static void
test_stopped_while_copying(GemTestAdapt *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *job = NULL;
  int ends[2];

  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  job = gem_test_adapt_call(self->gemd->client, "mywork", ends[0], "{}", &error);
  g_assert_no_error(error);
  g_assert_nonnull(job);
  gem_test_adapt_wait_state(self, "mywork", "learning", "copying");
  g_subprocess_send_signal(self->gemd->bus->daemon, SIGTERM);
  gem_test_job_ear_wait(self->ear, 1, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.ShuttingDown", "*sent again*");
  close(ends[1]);
  gem_test_bus_wait_exit(self->gemd->bus);
}

/* Whoever waits for the store is answered when the service stops, although the store has not been read. */
static void
test_stopped_while_reading(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *path = gem_test_adapt_path(self, NULL, "mywork", "domain");
  g_auto(GemTestAnswers) answers = {0};
  int fd;

  gem_test_adapt_restart(self, SIGTERM, NULL);
  write_record(self, NULL, "mywork", "[domain]\nFormat=1\nReplaces=\nShared=false\n");
  fd = gem_test_adapt_hold_open(path);
  if (fd < 0) {
    g_test_skip("no leases on files here");
    return;
  }
  gem_test_gemd_start(self->gemd, "ready");
  gem_test_call_async(self->gemd->client, "LearnedDomains", g_variant_new("(@a{sv})", NONE), &answers);
  /* One that came later has had its turn: the first one waits for the store. */
  g_variant_unref(gem_test_manager(self->gemd->client, "Stats", g_variant_new("(@a{sv})", NONE)));
  g_assert_cmpuint(answers.answered, ==, 0);
  g_subprocess_send_signal(self->gemd->bus->daemon, SIGTERM);
  gem_test_answers_wait(&answers, 1);
  g_assert_cmpuint(answers.codes[GEM_ERROR_SHUTTING_DOWN], ==, 1);
  close(fd);
  gem_test_bus_wait_exit(self->gemd->bus);
}

/* ---- where there is no model, or another ---- */

static void
test_without_model(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *general = g_build_filename(self->gemd->folder, "general.gguf", NULL);

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_learn(self, "other", 2);
  gem_test_adapt_restart(self, SIGTERM, NULL);
  g_assert_cmpint(g_unlink(general), ==, 0);
  gem_test_gemd_start(self->gemd, "failed");
  gem_test_adapt_check_boolean(self, "mywork", "serving", FALSE);
  gem_test_adapt_share(self, "mywork", TRUE);
  gem_test_adapt_check_boolean(self, "mywork", "shared", TRUE);
  gem_test_adapt_manager(self, "ForgetDomain", "mywork");
  gem_test_adapt_manager(self, "UndoAdaptation", "other");
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
  g_assert_null(gem_test_adapt_find(self->gemd->client, "other"));
}

/* What is to be learned waits while there is no model, and can be given up: the version that there is stays.
 */
static void
test_waiting_without_model(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *general = g_build_filename(self->gemd->folder, "general.gguf", NULL);
  g_autofree char *away = g_strconcat(general, ".away", NULL);
  g_autofree char *first = NULL, *second = NULL;

  gem_test_adapt_learn(self, "mywork", 1);
  gem_test_adapt_hold(self);
  first = gem_test_adapt_start(self, "mywork", "learn", TRUE);
  second = gem_test_adapt_start(self, "other", "learn", TRUE);
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  gem_test_adapt_wait_state(self, "other", "learning", "waiting");
  gem_test_adapt_restart(self, SIGKILL, NULL);
  g_assert_cmpint(g_rename(general, away), ==, 0);
  gem_test_gemd_start(self->gemd, "failed");
  gem_test_adapt_wait_state(self, "mywork", "learning", "waiting");
  gem_test_adapt_wait_state(self, "other", "learning", "waiting");
  gem_test_adapt_manager(self, "UndoAdaptation", "mywork");
  gem_test_adapt_check_state(self, "mywork", "ready");
  g_assert_cmpint(g_rename(away, general), ==, 0);
  g_assert_cmpint(g_unlink(self->held), ==, 0);
  gem_test_adapt_restart(self, SIGTERM, "ready");
  gem_test_adapt_wait_state(self, "mywork", "ready", NULL);
  gem_test_adapt_check_boolean(self, "mywork", "can_undo", FALSE);
  gem_test_adapt_wait_state(self, "other", "ready", NULL);
}

/* What it stands in for is of the model that is served, whatever was true of the one before. */
static void
test_replaces(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *path = gem_test_adapt_path(self, NULL, "adaptive", "domain");
  g_autofree char *record = NULL;

  gem_test_adapt_restart(self, SIGTERM, NULL);
  write_record(self, NULL, "adaptive",
               "[domain]\nFormat=1\nReplaces=adaptive\nShared=false\n"
               "[version]\nFile=1\nLearnedAt=1\nModel=of another\n");
  gem_test_gemd_start(self->gemd, "ready");
  gem_test_adapt_wait_state(self, "adaptive", "unusable", NULL);
  gem_test_adapt_learn(self, "adaptive", 1);
  g_assert_true(g_file_get_contents(path, &record, NULL, NULL));
  g_assert_nonnull(strstr(record, "Replaces=\n"));
}

/* ---- the texts of the model's domains ---- */

static guint
count_replays(GemTestAdapt *self)
{
  g_autofree char *path = g_build_filename(self->state, "replay", NULL);
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  guint count = 0;

  while (dir != NULL && g_dir_read_name(dir) != NULL) {
    count++;
  }
  return count;
}

/* Those that lack a domain, which may come back, are not kept. */
static void
test_incomplete_replay(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *file = g_strdup_printf("pathway-%s.gguf", self->gemd->shape.domains[1]);
  g_autofree char *path = g_build_filename(self->gemd->folder, file, NULL);
  g_autofree char *away = g_strconcat(path, ".away", NULL);

  g_assert_cmpint(g_rename(path, away), ==, 0);
  gem_test_adapt_restart(self, SIGTERM, "ready");
  gem_test_adapt_learn(self, "mywork", 1);
  g_assert_cmpuint(count_replays(self), ==, 0);
  g_assert_cmpint(g_rename(away, path), ==, 0);
  gem_test_adapt_restart(self, SIGTERM, "ready");
  gem_test_adapt_learn(self, "mywork", 2);
  g_assert_cmpuint(count_replays(self), ==, 1);
}

/* Texts that are written anew before each start are the service's own progress: a process that never speaks
 * is given up all the same. */
static void
test_mute_after_replay(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *file = g_strdup_printf("pathway-%s.gguf", self->gemd->shape.domains[1]);
  g_autofree char *path = g_build_filename(self->gemd->folder, file, NULL);
  g_autofree char *job = NULL;

  g_assert_cmpint(g_unlink(path), ==, 0);
  gem_test_adapt_restart(self, SIGTERM, "ready");
  job = gem_test_adapt_start_orders(self, "mywork", "mute 4\n");
  gem_test_job_ear_wait(self->ear, 1, "failed");
  gem_test_job_ear_check_error(self->ear, "org.gemd.Gem1.Error.Failed", "*died");
}

int
main(int argc, char **argv)
{
  static const GemTestAdaptTest tests[] = {
      {"/bus/adapt-order/forget-at-once", test_forget_at_once},
      {"/bus/adapt-order/undo-at-once", test_undo_at_once},
      {"/bus/adapt-order/undo-to-none", test_undo_to_none},
      {"/bus/adapt-order/learned-anew", test_learned_anew},
      {"/bus/adapt-order/undone", test_undone},
      {"/bus/adapt-order/bytes", test_bytes},
      {"/bus/adapt-order/share-beside-another", test_share_beside_another},
      {"/bus/adapt-order/mute", test_mute},
      {"/bus/adapt-order/always-mute", test_always_mute},
      {"/bus/adapt-order/service-dies", test_service_dies},
      {"/bus/adapt-order/others-meanwhile", test_others_meanwhile},
      {"/bus/adapt-order/flood", test_flood},
      {"/bus/adapt-order/stopped-while-copying", test_stopped_while_copying},
      {"/bus/adapt-order/stopped-while-reading", test_stopped_while_reading},
      {"/bus/adapt-order/without-model", test_without_model},
      {"/bus/adapt-order/waiting-without-model", test_waiting_without_model},
      {"/bus/adapt-order/replaces", test_replaces},
      {"/bus/adapt-order/incomplete-replay", test_incomplete_replay},
      {"/bus/adapt-order/mute-after-replay", test_mute_after_replay},
      {NULL},
  };

  g_test_init(&argc, &argv, NULL);
  gem_test_adapt_add(tests);
  return g_test_run();
}
