/*
 * A service that nobody needs ends, says why it stays, and loses no call, whenever it comes. On an engine
 * without a model; each test has a bus of its own.
 */
#include <gio/gunixfdmessage.h>
#include <glib/gstdio.h>
#include <poll.h>
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

static guint64
inhibitors(GDBusConnection *client, const char *kind)
{
  g_autoptr(GVariant) answer = gem_test_manager(client, "Stats", g_variant_new("(@a{sv})", NONE));
  g_autoptr(GVariant) stats = g_variant_get_child_value(answer, 0);
  g_autoptr(GVariant) counts = g_variant_lookup_value(stats, "idle_inhibitors", G_VARIANT_TYPE("a{st}"));
  guint64 count = 0;

  g_assert_nonnull(counts);
  g_variant_lookup(counts, kind, "t", &count);
  return count;
}

static void
wait_for_inhibitors(GDBusConnection *client, const char *kind, guint64 count)
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
  g_assert_cmpuint(inhibitors(other, "calls"), ==, 1); /* this one */
  for (const char *const *kind =
           (const char *[]){"sessions", "requests", "jobs", "holds", "loading", "model", NULL};
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
  g_autofree char *state = NULL;

  gem_test_bus_spawn(bus, "/fake/ok");
  state = gem_test_bus_wait_settled(bus);
  g_assert_cmpstr(state, ==, "ready");
  gem_test_bus_reload(bus, "IdleExitSeconds=1\n");
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

/* ---- while systemd has not heard yet ---- */

/* The service manager's socket. Nothing comes twice; see listen_for_barrier. */
static GSocket *
listen_as_manager(GemTestBus *bus)
{
  g_autofree char *path = g_build_filename(bus->dir, "notify", NULL);
  g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
  g_autoptr(GSocket) socket = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = g_strdup_printf(IDLE_SETTING "\nNOTIFY_SOCKET=%s", path);

  socket = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_DEFAULT, &error);
  g_assert_no_error(error);
  g_assert_true(g_socket_bind(socket, address, FALSE, &error));
  g_socket_set_timeout(socket, (guint)(gem_test_patience(PATIENCE_SECONDS) / G_USEC_PER_SEC));
  bus->daemon_environment = g_strsplit(text, "\n", -1);
  return g_steal_pointer(&socket);
}

/* Reads what the service tells up to its barrier, and takes that; it must have said before that it ends. */
static int
take_barrier(GSocket *socket)
{
  gboolean stopping = FALSE;

  while (TRUE) {
    char text[4096] = "";
    GInputVector vector = {text, sizeof text - 1};
    GSocketControlMessage **messages = NULL;
    g_autoptr(GError) error = NULL;
    int n = 0, fd = -1;
    gssize length = g_socket_receive_message(socket, NULL, &vector, 1, &messages, &n, NULL, NULL, &error);

    g_assert_no_error(error);
    text[length] = '\0';
    for (int i = 0; i < n; i++) {
      if (G_IS_UNIX_FD_MESSAGE(messages[i])) {
        g_autofree int *fds = g_unix_fd_message_steal_fds(G_UNIX_FD_MESSAGE(messages[i]), NULL);

        fd = fds[0];
      }
      g_object_unref(messages[i]);
    }
    g_free(messages);
    stopping = stopping || g_str_has_prefix(text, "STOPPING=1\n");
    if (g_str_equal(text, "BARRIER=1")) {
      g_assert_true(stopping);
      g_assert_cmpint(fd, >=, 0);
      return fd;
    }
  }
}

/* The service does not wait for the other end of it any more. */
static gboolean
is_given_up(int barrier)
{
  struct pollfd poll_fd = {.fd = barrier};

  return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLERR) != 0;
}

/* The service turns while systemd is busy with something else: properties are read, calls wait. Then its name
 * goes, and they are answered as all that come late. */
static void
test_unheard(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GSocket) manager = listen_as_manager(bus);
  g_autoptr(GVariant) version = NULL;
  g_autofree char *before = NULL, *during = NULL;
  Answer count = {0}, session = {0};
  int barrier;

  gem_test_bus_spawn(bus, "/fake/ok");
  gem_test_bus_wait_name(bus);
  before = name_owner(client);
  barrier = take_barrier(manager);
  call_at(client, before, "CountTokens", g_variant_new("(s)", "abc"), &count);
  call_at(client, before, "CreateSession", g_variant_new("(@a{sv})", NONE), &session);
  /* What was sent before has been read when this is answered. */
  version = gem_test_get(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Version");
  g_assert_nonnull(version);
  during = name_owner(client);
  g_assert_false(is_given_up(barrier));
  while (g_main_context_iteration(NULL, FALSE)) {
  }
  g_assert_false(count.over || session.over);
  g_assert_cmpstr(during, ==, before);
  close(barrier);
  answer_wait(&count);
  answer_wait(&session);
  g_assert_no_error(count.error);
  g_assert_true(is_refused(&session));
  answer_clear(&count);
  answer_clear(&session);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
}

/* Told to end meanwhile: it ends, and who waits is told. */
static void
test_terminated_unheard(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GSocket) manager = listen_as_manager(bus);
  g_autoptr(GVariant) version = NULL;
  g_autofree char *owner = NULL;
  Answer count = {0};
  int barrier;

  gem_test_bus_spawn(bus, "/fake/ok");
  gem_test_bus_wait_name(bus);
  owner = name_owner(client);
  barrier = take_barrier(manager);
  call_at(client, owner, "CountTokens", g_variant_new("(s)", "abc"), &count);
  version = gem_test_get(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Version");
  g_assert_nonnull(version);
  g_subprocess_send_signal(bus->daemon, SIGTERM);
  answer_wait(&count);
  g_dbus_error_strip_remote_error(count.error);
  gem_test_error_is(count.error, GEM_ERROR_SHUTTING_DOWN, "the service stops");
  answer_clear(&count);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
  close(barrier);
}

/* A service manager that never hears it does not keep the service for ever. */
static void
test_never_heard(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new();
  g_autoptr(GSocket) manager = listen_as_manager(bus);
  int barrier;

  gem_test_bus_spawn(bus, "/fake/ok");
  barrier = take_barrier(manager);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 0);
  close(barrier);
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
  g_test_add_func("/bus/idle/unheard", test_unheard);
  g_test_add_func("/bus/idle/terminated-unheard", test_terminated_unheard);
  g_test_add_func("/bus/idle/never-heard", test_never_heard);
  g_test_add_func("/bus/idle/moment", test_moment);
  return g_test_run();
}
