/*
 * Limits and deadlines, and what a client that floods the service does to others. On an engine without a
 * model; each test has a bus and a daemon of its own.
 */
#include "tests/gem-test-calls.h"
#include "tests/gem-test-patience.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <gio/gunixfdlist.h>

#define NONE gem_test_options("{}")

static void
test_session_limits(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxSessionsPerUser=2\nMaxRequestsPerUser=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *first = gem_test_create_session(client);
  g_autofree char *second = gem_test_create_session(other);
  g_autofree char *third = NULL;
  int fd = gem_test_generate(client, first, "silent", "{}", NULL);

  /* Connections of one user count together. */
  gem_test_manager_fails(client, "CreateSession", g_variant_new("(@a{sv})", NONE), GEM_ERROR_LIMIT_EXCEEDED,
                         "MaxSessionsPerUser: 2 are in use, 2 are allowed");
  gem_test_generate_fails(other, second, "x", "{}", GEM_ERROR_LIMIT_EXCEEDED,
                          "MaxRequestsPerUser: 1 are in use, 1 are allowed");
  close(fd);
  gem_test_ear_wait(ear, 1);
  close(gem_test_generate(other, second, "x", "{}", NULL));
  /* A session is given back by its caller's leaving, too. */
  g_assert_true(g_dbus_connection_close_sync(other, NULL, NULL));
  gem_test_run_for(100);
  third = gem_test_create_session(client);
  g_assert_nonnull(third);
}

/* A new session, or NULL and the error's message. */
static char *
try_session(GDBusConnection *client, char **ret_message)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = gem_test_call(client, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "CreateSession",
                                             g_variant_new("(@a{sv})", NONE), &error);
  char *path = NULL;

  if (answer != NULL) {
    g_variant_get(answer, "(o)", &path);
  } else {
    *ret_message = g_strdup(error->message);
  }
  return path;
}

/* However many callers there are, what each of them had is given back when it leaves. */
static void
test_many_callers_leave(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxSessions=100\nMaxSessionsPerUser=100\n");
  g_autoptr(GDBusConnection) last = gem_test_bus_connect(bus);
  GDBusConnection *clients[60];
  gint64 deadline = gem_test_deadline(20);
  guint open = 0;

  for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
    clients[i] = gem_test_bus_connect(bus);
    g_free(gem_test_create_session(clients[i]));
  }
  for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
    g_assert_true(g_dbus_connection_close_sync(clients[i], NULL, NULL));
    g_object_unref(clients[i]);
  }
  while (open < 100 && g_get_monotonic_time() < deadline) {
    g_autofree char *message = NULL;
    g_autofree char *session = try_session(last, &message);

    open += session != NULL;
  }
  g_assert_cmpuint(open, ==, 100);
}

/* Waits until one more session is refused with this message, or allowed (NULL). */
static void
wait_session(GDBusConnection *client, const char *wanted)
{
  guint i;

  for (i = 0; i < 100; i++) {
    g_autofree char *message = NULL;
    g_autofree char *path = try_session(client, &message);

    if (g_strcmp0(message, wanted) == 0) {
      return;
    }
    gem_test_run_for(50);
  }
  g_test_fail_printf("the new configuration is not heeded");
}

static void
test_reload(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxSessionsPerUser=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *first = gem_test_create_session(client);

  wait_session(client, "MaxSessionsPerUser: 1 are in use, 1 are allowed");
  gem_test_bus_reload(bus, "MaxSessionsPerUser=2\n");
  wait_session(client, NULL);
  wait_session(client, "MaxSessionsPerUser: 2 are in use, 2 are allowed");
  /* Below what is in use: nothing is taken away. */
  gem_test_bus_reload(bus, "MaxSessionsPerUser=1\n");
  wait_session(client, "MaxSessionsPerUser: 2 are in use, 1 are allowed");
  gem_test_bus_reload(bus, "MaxSessionsPerUser=none\n");
  gem_test_run_for(100);
  wait_session(client, "MaxSessionsPerUser: 2 are in use, 1 are allowed");
  close(gem_test_generate(client, first, "x", "{}", NULL));
}

static void
test_total_sessions(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxSessions=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *first = gem_test_create_session(client);

  gem_test_manager_fails(client, "CreateSession", g_variant_new("(@a{sv})", NONE), GEM_ERROR_LIMIT_EXCEEDED,
                         "MaxSessions: 1 are in use, 1 are allowed");
}

/* The answer of a closed session that nobody reads takes no place of a session or an ask. */
static void
test_unread_answer(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxSessions=1\nParallelAsks=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *closed = gem_test_create_session(client);
  g_autofree char *open = NULL;
  /* More than the pipe takes, less than what pauses the engine. */
  int fd = gem_test_generate(client, closed, "flood", "{'max_tokens': <uint32 28>}", NULL);
  g_autoptr(GVariant) reply = NULL;
  g_autofree char *answer = NULL;

  gem_test_run_for(500);
  g_variant_unref(gem_test_call(client, closed, GEM_SESSION_INTERFACE, "Close", NULL, NULL));
  open = gem_test_create_session(client);
  g_assert_nonnull(open);
  reply = gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", "x", NONE));
  g_assert_nonnull(reply);
  answer = gem_test_read_all(fd);
  g_assert_cmpuint(strlen(answer), ==, 28 * 4096);
}

static void
test_call_limits(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxCallsPerClient=3\nMaxCallsPerUser=5\n");
  g_autoptr(GDBusConnection) one = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) two = gem_test_bus_connect(bus);
  g_auto(GemTestAnswers) first = {0};
  g_auto(GemTestAnswers) second = {0};

  gem_test_call_many(one, 4, "Score", "slow", "{}", &first);
  gem_test_run_for(50);
  gem_test_call_many(two, 3, "Score", "slow", "{}", &second);
  gem_test_answers_wait(&first, 4);
  gem_test_answers_wait(&second, 3);
  g_assert_cmpuint(first.succeeded, ==, 3);
  g_assert_cmpuint(first.codes[GEM_ERROR_LIMIT_EXCEEDED], ==, 1);
  g_assert_cmpstr(first.message, ==, "MaxCallsPerClient: 3 are in use, 3 are allowed");
  g_assert_cmpuint(second.succeeded, ==, 2);
  g_assert_cmpstr(second.message, ==, "MaxCallsPerUser: 5 are in use, 5 are allowed");
}

/* Asks that do not end: the first is cut at its deadline, with what there is; the next never starts. */
static void
test_ask_deadline(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("AskSeconds=1\nParallelAsks=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_auto(GemTestAnswers) waiting = {0};
  g_autoptr(GVariant) reply = NULL;
  g_autoptr(GVariant) stats = NULL;
  const char *answer = NULL;
  const char *reason = NULL;
  gboolean truncated = FALSE;

  gem_test_call_many(client, 2, "Ask", "stubborn", "{}", &waiting);
  gem_test_answers_wait(&waiting, 2);
  g_assert_cmpuint(waiting.succeeded, ==, 1);
  g_assert_cmpuint(waiting.codes[GEM_ERROR_BUSY], ==, 1);

  reply = gem_test_manager(
      client, "Ask", g_variant_new("(s@a{sv})", "slow", gem_test_options("{'max_tokens': <uint32 256>}")));
  g_variant_get_child(reply, 0, "&s", &answer);
  stats = g_variant_get_child_value(reply, 1);
  g_assert_true(g_str_has_prefix(answer, "slowslow"));
  g_assert_true(g_variant_lookup(stats, "truncated", "b", &truncated) && truncated);
  g_assert_true(g_variant_lookup(stats, "reason", "&s", &reason));
  g_assert_cmpstr(reason, ==, "deadline");
}

/* More work for the engine than fits the time: what did not come to run is told so, and another connection
 * comes before the rest of it. */
static void
test_late_calls(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("AskSeconds=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
  g_auto(GemTestAnswers) answers = {0};
  g_autoptr(GVariant) reply = NULL;

  gem_test_call_many(client, 60, "Score", "slow", "{}", &answers);
  gem_test_run_for(50);
  reply = gem_test_manager(other, "Score", g_variant_new("(s@a{sv})", "slow", NONE));
  g_assert_nonnull(reply);
  gem_test_answers_wait(&answers, 60);
  g_assert_cmpuint(answers.succeeded, >=, 4);
  g_assert_cmpuint(answers.codes[GEM_ERROR_BUSY], >=, 20);
  g_assert_cmpuint(answers.succeeded + answers.codes[GEM_ERROR_BUSY], ==, 60);
}

/* Calls that wait for memory until their time is over hear that, before the bus gives up on them. */
static void
test_starved(void)
{
  static const char *const methods[] = {"Ask", "Route", "Embed", "Score"};
  static const char *const labels[] = {"yes", "no", NULL};
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("AskSeconds=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);

  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
    gem_test_manager_fails(client, methods[i], g_variant_new("(s@a{sv})", "starve", NONE),
                           GEM_ERROR_LIMIT_EXCEEDED, "MemoryLimit: *");
  }
  gem_test_manager_fails(client, "Classify", g_variant_new("(s^as@a{sv})", "starve", labels, NONE),
                         GEM_ERROR_LIMIT_EXCEEDED, "MemoryLimit: *");
}

/* The bus goes away while calls of all kinds wait: the service ends, and says why. */
static void
test_bus_lost(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("ParallelAsks=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);

  for (guint i = 0; i < 8; i++) {
    g_dbus_connection_call(client, GEM_BUS_NAME, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                           i < 3 ? "Ask" : "Score",
                           g_variant_new("(s@a{sv})", i < 3 ? "silent" : "slow", NONE), NULL,
                           G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
  }
  g_assert_true(g_dbus_connection_flush_sync(client, NULL, NULL));
  gem_test_run_for(100);
  g_dbus_connection_set_exit_on_close(client, FALSE);
  g_subprocess_send_signal(bus->bus, SIGTERM);
  g_assert_cmpint(gem_test_bus_wait_exit(bus), ==, 1);
}

/* A caller that leaves gives its turn to the next. */
static void
test_ask_caller_leaves(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("ParallelAsks=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) leaving = gem_test_bus_connect(bus);
  g_autoptr(GVariant) reply = NULL;

  for (guint i = 0; i < 3; i++) {
    g_dbus_connection_call(leaving, GEM_BUS_NAME, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Ask",
                           g_variant_new("(s@a{sv})", "silent", NONE), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL,
                           NULL, NULL);
  }
  g_assert_true(g_dbus_connection_flush_sync(leaving, NULL, NULL));
  gem_test_run_for(100);
  g_assert_true(g_dbus_connection_close_sync(leaving, NULL, NULL));
  reply = gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", "x", NONE));
  g_assert_nonnull(reply);
}

static void
send_slow(GDBusConnection *client, guint index, GemTestAnswers *answers)
{
  gem_test_call_async(client, "Score", g_variant_new("(s@a{sv})", "slow", NONE), answers);
}

static void
count_tokens(GDBusConnection *other)
{
  g_autoptr(GVariant) reply = gem_test_manager(other, "CountTokens", g_variant_new("(s)", "abc"));

  g_assert_nonnull(reply);
}

/* Ten thousand calls at once: each is answered, most with the limit's name; another client is served in
 * between, at once. */
static void
test_flood(void)
{
  static const GemTestFlood flood = {send_slow, count_tokens};
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
  g_auto(GemTestAnswers) answers = {0};

  gem_test_flood(&flood, client, other, 10000, &answers);
  g_assert_cmpuint(answers.succeeded, >=, 64);
  g_assert_cmpuint(answers.succeeded + answers.codes[GEM_ERROR_LIMIT_EXCEEDED], ==, 10000);
  g_assert_cmpstr(answers.message, ==, "MaxCallsPerClient: 64 are in use, 64 are allowed");
}

static void
on_any_reply(GObject *source, GAsyncResult *result, gpointer data)
{
  guint *replies = data;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, NULL);

  (*replies)++;
}

/* Sends `count` writing ends of one pipe with a call that waits; returns the reading end. */
static int
send_descriptors(
    GDBusConnection *client, const char *method, GVariant *parameters, guint count, guint *replies)
{
  g_autoptr(GUnixFDList) list = g_unix_fd_list_new();
  int ends[2];

  g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
  for (guint i = 0; i < count; i++) {
    g_assert_cmpint(g_unix_fd_list_append(list, ends[1], NULL), ==, (gint)i);
  }
  close(ends[1]);
  g_dbus_connection_call_with_unix_fd_list(client, GEM_BUS_NAME, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                                           method, parameters, NULL, G_DBUS_CALL_FLAGS_NONE, -1, list, NULL,
                                           on_any_reply, replies);
  return ends[0];
}

/* Lets go of the client; its calls end, one way or another. */
static void
leave(GDBusConnection *client, const guint *replies, guint sent)
{
  g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
  while (*replies < sent) {
    g_main_context_iteration(NULL, TRUE);
  }
}

/* Refused before the call waits for anything: it does not count among those that do. */
static void
test_large_calls(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxCallsPerClient=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *text = g_strnfill(GEM_MAX_CALL_BYTES, 'x'),
                  *label = g_strnfill(GEM_MAX_CALL_BYTES / 2, 'x');
  const char *const labels[] = {label, label, NULL};
  guint replies = 0;

  close(send_descriptors(client, "Ask", g_variant_new("(s@a{sv})", "silent", NONE), 1, &replies));
  gem_test_manager_fails(client, "CountTokens", g_variant_new("(s)", text), GEM_ERROR_INVALID_TEXT,
                         "the text has 655360 bytes, up to 262144 are taken");
  gem_test_manager_fails(client, "Classify", g_variant_new("(s^as@a{sv})", "x", labels, NONE),
                         GEM_ERROR_INVALID_OPTION,
                         "the arguments have 6553* bytes together, up to 655360 are taken");
  gem_test_manager_fails(client, "CountTokens", g_variant_new("(s)", "x"), GEM_ERROR_LIMIT_EXCEEDED,
                         "MaxCallsPerClient: 1 are in use, 1 are allowed");
  g_assert_cmpuint(replies, ==, 0);
  leave(client, &replies, 1);
}

/* A turn's arguments are bounded as those of other calls are, before anything looks through them. */
static void
test_large_turns(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *stop = g_strnfill(GEM_MAX_CALL_BYTES, 'x');
  g_autofree char *options = g_strdup_printf("{'stop': <['%s']>}", stop);

  gem_test_generate_fails(client, session, "x", options, GEM_ERROR_INVALID_OPTION,
                          "the arguments have 655* bytes together, up to 655360 are taken");
  gem_test_generate_fails(client, session, stop, "{}", GEM_ERROR_INVALID_TEXT,
                          "the text has 655360 bytes, up to 262144 are taken");
  close(gem_test_generate(client, session, "x", "{}", NULL));
}

/* What nobody asked for is closed while the call that it came with still waits. */
static void
test_unwanted_descriptors(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  guint replies = 0;
  gint64 deadline = gem_test_deadline(20);
  int ends[] = {
      send_descriptors(client, "Ask", g_variant_new("(s@a{sv})", "silent", NONE), 16, &replies),
      send_descriptors(client, "AdaptDomain", g_variant_new("(sh@a{sv})", "x", 0, NONE), 2, &replies)};

  for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
    struct pollfd end = {.fd = ends[i], .events = POLLIN};

    while (poll(&end, 1, 0) == 0 && g_get_monotonic_time() < deadline) {
      gem_test_run_for(10);
    }
    g_assert_cmpint(end.revents, ==, POLLHUP);
    close(ends[i]);
  }
  g_assert_cmpuint(replies, <=, 1); /* Ask still waits */
  leave(client, &replies, 2);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/bus/limits/large-calls", test_large_calls);
  g_test_add_func("/bus/limits/large-turns", test_large_turns);
  g_test_add_func("/bus/limits/unwanted-descriptors", test_unwanted_descriptors);
  g_test_add_func("/bus/limits/session-limits", test_session_limits);
  g_test_add_func("/bus/limits/many-callers-leave", test_many_callers_leave);
  g_test_add_func("/bus/limits/reload", test_reload);
  g_test_add_func("/bus/limits/total-sessions", test_total_sessions);
  g_test_add_func("/bus/limits/unread-answer", test_unread_answer);
  g_test_add_func("/bus/limits/call-limits", test_call_limits);
  g_test_add_func("/bus/limits/ask-deadline", test_ask_deadline);
  g_test_add_func("/bus/limits/late-calls", test_late_calls);
  g_test_add_func("/bus/limits/starved", test_starved);
  g_test_add_func("/bus/limits/bus-lost", test_bus_lost);
  g_test_add_func("/bus/limits/ask-caller-leaves", test_ask_caller_leaves);
  g_test_add_func("/bus/limits/flood", test_flood);
  return g_test_run();
}
