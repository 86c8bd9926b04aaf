/*
 * A service that nobody needs ends, says why it stays, and loses no call, whenever it comes. On an engine
 * without a model; each test has a bus of its own.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-bus.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-patience.h"
#include "tests/gem-test-program.h"

#define NONE             gem_test_options("{}")
#define PATIENCE_SECONDS 20
#define IDLE_SETTING     "GEMD_IDLE_EXIT_MILLISECONDS=40"
#define IDLE             40000 /* us */
#define ROUNDS           80

/* ---- why it stays ---- */

static guint32
inhibitors(GDBusConnection *client, const char *kind)
{
  g_autoptr(GVariant) counts = gem_test_get(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "IdleInhibitors");
  guint32 count = 0;

  g_assert_true(g_variant_is_of_type(counts, G_VARIANT_TYPE("a{su}")));
  g_assert_true(g_variant_lookup(counts, kind, "u", &count));
  return count;
}

static void
wait_for_inhibitors(GDBusConnection *client, const char *kind, guint32 count)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (inhibitors(client, kind) != count) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_usleep(2000);
  }
}

static void
load_model(GDBusConnection *client, const char *name)
{
  g_variant_unref(gem_test_manager(client, "LoadModel", g_variant_new("(s@a{sv})", name, NONE)));
}

/* What one client does is counted for another, who looks. */
static void
test_inhibitors(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
  g_autofree char *models = gem_test_folder_new();
  g_autofree char *variable = g_strconcat("GEMD_MODEL_DIR=", models, NULL);
  g_autofree char *ok = g_build_filename(models, "ok", NULL);
  g_autofree char *held = g_build_filename(models, "other", NULL);
  g_autofree char *hold = g_build_filename(held, "hold", NULL);
  g_autofree char *state = NULL, *session = NULL;
  int stream;

  g_assert_cmpint(g_mkdir(ok, 0755), ==, 0);
  g_assert_cmpint(g_mkdir(held, 0755), ==, 0);
  g_assert_true(g_file_set_contents(hold, "", 0, NULL));
  bus->daemon_environment = g_strsplit(variable, "\n", -1);
  gem_test_bus_spawn(bus, "ok");
  state = gem_test_bus_wait_settled(bus);
  g_assert_cmpstr(state, ==, "ready");
  for (const char *const *kind =
           (const char *[]){"calls", "sessions", "requests", "jobs", "holds", "loading", "model", NULL};
       *kind != NULL; kind++) {
    g_assert_cmpuint(inhibitors(other, *kind), ==, 0);
  }
  session = gem_test_create_session(client);
  g_assert_cmpuint(inhibitors(other, "sessions"), ==, 1);
  stream = gem_test_generate(client, session, "silent", "{}", NULL);
  g_assert_cmpuint(inhibitors(other, "requests"), ==, 1);
  load_model(client, "other");
  g_assert_cmpuint(inhibitors(other, "jobs"), ==, 1);
  g_assert_cmpuint(inhibitors(other, "model"), ==, 0);
  g_assert_cmpint(g_unlink(hold), ==, 0);
  wait_for_inhibitors(other, "model", 1);
  g_assert_cmpuint(inhibitors(other, "jobs"), ==, 0);
  load_model(client, "ok"); /* the configured one */
  wait_for_inhibitors(other, "model", 0);
  close(stream);
  g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
  wait_for_inhibitors(other, "requests", 0);
  wait_for_inhibitors(other, "sessions", 0);
  gem_test_folder_remove(models);
}

static void
test_loading_inhibits(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);

  gem_test_bus_spawn(bus, "/fake/slow");
  gem_test_bus_wait_name(bus);
  g_assert_cmpuint(inhibitors(client, "loading"), ==, 1);
  wait_for_inhibitors(client, "loading", 0);
}

/* ---- the end ---- */

static GemTestBus *
new_idle_bus(void)
{
  GemTestBus *bus = gem_test_bus_new();

  bus->daemon_environment = g_strsplit(IDLE_SETTING, "\n", -1);
  return bus;
}

static void
test_ends(void)
{
  g_autoptr(GemTestBus) bus = new_idle_bus();

  gem_test_bus_spawn(bus, "/fake/ok");
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
}

/* The configuration's own setting, in seconds, and that it is heeded when it is read again. */
static void
test_configured(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autofree char *path = g_build_filename(bus->dir, "gemd.conf", NULL);
  g_autofree char *state = NULL;

  gem_test_bus_spawn(bus, "/fake/ok");
  state = gem_test_bus_wait_settled(bus);
  g_assert_cmpstr(state, ==, "ready");
  g_assert_true(g_file_set_contents(path, "[gemd]\nIdleExitSeconds=1\n", -1, NULL));
  g_subprocess_send_signal(bus->daemon, SIGHUP);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
}

/* An open session keeps it, and its end lets it go. */
static void
test_stays(void)
{
  g_autoptr(GemTestBus) bus = new_idle_bus();
  GDBusConnection *client = gem_test_bus_connect(bus);
  g_autofree char *session = NULL;

  gem_test_bus_spawn(bus, "/fake/ok");
  gem_test_bus_wait_name(bus);
  session = gem_test_create_session(client);
  g_assert_nonnull(session);
  g_usleep(10 * IDLE);
  g_assert_cmpuint(inhibitors(client, "sessions"), ==, 1);
  g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
  g_object_unref(client);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
}

/* ---- a call in the very moment ---- */

typedef struct {
  GVariant *reply;
  GError *error;
  gboolean over;
} Answer;

static void
on_answer(GObject *source, GAsyncResult *result, gpointer data)
{
  Answer *answer = data;

  answer->reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &answer->error);
  answer->over = TRUE;
}

static void
call_at(GDBusConnection *client, const char *name, const char *method, GVariant *arguments, Answer *answer)
{
  g_dbus_connection_call(client, name, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, method, arguments, NULL,
                         G_DBUS_CALL_FLAGS_NONE, (int)(gem_test_patience(25) / 1000), NULL, on_answer,
                         answer);
}

static void
answer_wait(Answer *answer)
{
  while (!answer->over) {
    g_main_context_iteration(NULL, TRUE);
  }
}

static void
answer_clear(Answer *answer)
{
  g_clear_pointer(&answer->reply, g_variant_unref);
  g_clear_error(&answer->error);
}

static char *
name_owner(GDBusConnection *client)
{
  g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
      client, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner",
      g_variant_new("(s)", GEM_BUS_NAME), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
  char *owner = NULL;

  if (reply != NULL) {
    g_variant_get(reply, "(s)", &owner);
  }
  return owner;
}

/* FALSE: it worked. */
static gboolean
is_refused(Answer *session)
{
  if (session->reply != NULL) {
    return FALSE;
  }
  g_dbus_error_strip_remote_error(session->error);
  gem_test_error_is(session->error, GEM_ERROR_SHUTTING_DOWN, "*starts it again*");
  return TRUE;
}

/* Calls stand in the daemon's socket when its time is over: one that ends with its answer is served, a
 * session, which would not last, is refused with words. The daemon is stopped until both are there. */
static void
test_queued(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  guint refused = 0;

  /* So long has the daemon to be stopped before it leaves. */
  bus->daemon_environment = g_strsplit("GEMD_IDLE_EXIT_MILLISECONDS=200", "\n", -1);
  for (guint round = 0; round < 10; round++) {
    g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
    g_autofree char *owner = NULL;
    Answer count = {0}, session = {0};

    gem_test_bus_spawn(bus, "/fake/ok");
    gem_test_bus_wait_name(bus);
    owner = name_owner(client);
    g_subprocess_send_signal(bus->daemon, SIGSTOP);
    g_assert_nonnull(owner);
    call_at(client, owner, "CountTokens", g_variant_new("(s)", "abc"), &count);
    call_at(client, owner, "CreateSession", g_variant_new("(@a{sv})", NONE), &session);
    g_dbus_connection_flush_sync(client, NULL, NULL);
    g_usleep(240000);
    g_subprocess_send_signal(bus->daemon, SIGCONT);
    answer_wait(&count);
    answer_wait(&session);
    if (g_error_matches(count.error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED)) {
      g_test_message("round %u: it had left before it was stopped", round);
    } else {
      g_assert_no_error(count.error);
      refused += is_refused(&session);
    }
    answer_clear(&count);
    answer_clear(&session);
    g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
    g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
  }
  g_test_message("the time was over before the calls were read in %u of 10 rounds", refused);
}

/* A bus that starts the service when it is called, whose files stand in `dir`. */
static GSubprocess *
start_activating_bus(const char *dir, char **ret_address)
{
  g_autoptr(GPtrArray) words = gem_test_program_words("tests", "fake-gemd");
  g_autofree char *service = g_build_filename(dir, "org.gemd.Gem1.service", NULL);
  g_autofree char *gemd_conf = g_build_filename(dir, "gemd.conf", NULL);
  g_autofree char *bus_conf = g_build_filename(dir, "bus.conf", NULL);
  g_autofree char *program = NULL, *service_text = NULL, *bus_text = NULL;
  g_autoptr(GError) error = NULL;
  GSubprocess *bus;

  g_ptr_array_add(words, NULL);
  program = g_strjoinv(" ", (GStrv)words->pdata);
  service_text = g_strdup_printf("[D-BUS Service]\nName=%s\nExec=/usr/bin/env " IDLE_SETTING
                                 " %s --session --development --model=/fake/ok --config=%s\n",
                                 GEM_BUS_NAME, program, gemd_conf);
  bus_text = g_strdup_printf(
      "<busconfig><type>session</type><listen>unix:path=%s/bus</listen>"
      "<servicedir>%s</servicedir><policy context='default'><allow own='*'/>"
      "<allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/></policy></busconfig>\n",
      dir, dir);
  g_assert_true(g_file_set_contents(gemd_conf, "[gemd]\n", -1, NULL));
  g_assert_true(g_file_set_contents(service, service_text, -1, NULL));
  g_assert_true(g_file_set_contents(bus_conf, bus_text, -1, NULL));
  bus = g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error,
                         "dbus-daemon", "--nofork", "--nopidfile", "--config-file", bus_conf, NULL);
  g_assert_no_error(error);
  *ret_address = g_strdup_printf("unix:path=%s/bus", dir);
  return bus;
}

static GDBusConnection *
connect_when_up(const char *address)
{
  gint64 end = gem_test_deadline(PATIENCE_SECONDS);

  while (g_get_monotonic_time() < end) {
    GDBusConnection *client = g_dbus_connection_new_for_address_sync(
        address,
        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL,
        NULL, NULL);

    if (client != NULL) {
      return client;
    }
    g_usleep(10000);
  }
  g_error("the bus does not listen");
}

/* A session is made, or refused once; its end lets the service go. */
static void
check_session(GDBusConnection *client)
{
  Answer answer = {0};
  g_autofree char *path = NULL;

  call_at(client, GEM_BUS_NAME, "CreateSession", g_variant_new("(@a{sv})", NONE), &answer);
  answer_wait(&answer);
  if (answer.reply == NULL) {
    g_dbus_error_strip_remote_error(answer.error);
    gem_test_error_is(answer.error, GEM_ERROR_SHUTTING_DOWN, "*starts it again*");
    answer_clear(&answer);
    answer = (Answer){0};
    call_at(client, GEM_BUS_NAME, "CreateSession", g_variant_new("(@a{sv})", NONE), &answer);
    answer_wait(&answer);
  }
  g_assert_no_error(answer.error);
  g_variant_get(answer.reply, "(o)", &path);
  g_variant_unref(gem_test_call(client, path, GEM_SESSION_INTERFACE, "Close", NULL, NULL));
  answer_clear(&answer);
}

/* Again and again about when its time is over, about when it ends, and while the next one starts. */
static void
test_moment(void)
{
  g_autofree char *dir = gem_test_folder_new();
  g_autofree char *address = NULL;
  g_autoptr(GSubprocess) bus = start_activating_bus(dir, &address);
  g_autoptr(GDBusConnection) client = connect_when_up(address);
  g_autofree char *last = NULL;
  guint starts = 0;

  (void)GEM_ERROR; /* registers the names */
  for (guint round = 0; round < ROUNDS; round++) {
    Answer answer = {0};
    char *owner;

    call_at(client, GEM_BUS_NAME, "CountTokens", g_variant_new("(s)", "abc"), &answer);
    answer_wait(&answer);
    g_assert_no_error(answer.error);
    answer_clear(&answer);
    owner = name_owner(client);
    starts += owner != NULL && g_strcmp0(owner, last) != 0;
    g_free(last);
    last = owner;
    g_usleep((gulong)(round % 3 == 0 ? g_test_rand_int_range(2 * IDLE, 4 * IDLE)
                                     : g_test_rand_int_range(IDLE - 3000, IDLE + 3000)));
    if (round % 5 == 0) {
      check_session(client);
    }
  }
  g_test_message("started %u times for %d calls", starts, ROUNDS);
  g_assert_cmpuint(starts, >, 10);
  g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
  g_subprocess_send_signal(bus, SIGTERM);
  g_assert_true(g_subprocess_wait(bus, NULL, NULL));
  gem_test_folder_remove(dir);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/bus/idle/inhibitors", test_inhibitors);
  g_test_add_func("/bus/idle/loading-inhibits", test_loading_inhibits);
  g_test_add_func("/bus/idle/ends", test_ends);
  g_test_add_func("/bus/idle/configured", test_configured);
  g_test_add_func("/bus/idle/stays", test_stays);
  g_test_add_func("/bus/idle/queued", test_queued);
  g_test_add_func("/bus/idle/moment", test_moment);
  return g_test_run();
}
