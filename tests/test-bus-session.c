/* Session and Request over a real bus, on an engine without a model. */
#include "tests/gem-test-bus.h"

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-patience.h"

static GemTestBus *bus;

enum { END, STOP, LIMIT, CONTEXT, CANCELLED, SHUTDOWN, FAILED };

static guint32
tokens_of(GDBusConnection *client, const char *session)
{
  g_autoptr(GVariant) value = gem_test_get(client, session, GEM_SESSION_INTERFACE, "Tokens");

  return g_variant_get_uint32(value);
}

static void
check_stat_u(GemTestEar *ear, const char *key, guint32 expected)
{
  guint32 value = 0;

  g_assert_true(g_variant_lookup(ear->stats, key, "u", &value));
  g_assert_cmpuint(value, ==, expected);
}

static void
test_turns(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *request = NULL;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  const char *reason = NULL;
  guint64 seed = 0;
  int fd = gem_test_generate(client, session, "h\xc3\xa9 ", "{'max_tokens': <uint32 5>, 'seed': <uint64 3>}",
                             &request);

  first = gem_test_read_all(fd);
  g_assert_cmpstr(first, ==, "h\xc3\xa9 h\xc3\xa9 h\xc3\xa9 h\xc3\xa9 h\xc3\xa9 ");
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->reason, ==, LIMIT);
  g_assert_cmpstr(ear->path, ==, request);
  g_assert_true(g_variant_lookup(ear->stats, "reason", "&s", &reason));
  g_assert_cmpstr(reason, ==, "limit");
  g_assert_true(g_variant_lookup(ear->stats, "seed", "t", &seed) && seed == 3);
  check_stat_u(ear, "prompt_tokens", 4);
  check_stat_u(ear, "generated_tokens", 5);
  check_stat_u(ear, "slides", 0);
  g_assert_cmpuint(ear->routes->len, ==, 0);
  g_assert_cmpuint(tokens_of(client, session), ==, 9);

  second = gem_test_read_all(gem_test_generate(client, session, "b", "{'max_tokens': <uint32 1>}", NULL));
  gem_test_ear_wait(ear, 2);
  g_assert_cmpstr(second, ==, "b");
  g_assert_cmpuint(tokens_of(client, session), ==, 11);
}

/* The path is known beforehand; the object is gone when Finished arrives. */
static void
test_handle_token(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *other = gem_test_create_session(client);
  g_autofree char *request = NULL;
  g_autofree char *sender = g_strdelimit(g_strdup(g_dbus_connection_get_unique_name(client) + 1), ".", '_');
  g_autofree char *expected = g_strconcat(GEM_REQUEST_PATH "/", sender, "_mine", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = NULL;
  int fd = gem_test_generate(client, session, "silent", "{'handle_token': <'mine'>}", &request);

  g_assert_cmpstr(request, ==, expected);
  gem_test_generate_fails(client, other, "x", "{'handle_token': <'mine'>}", GEM_ERROR_INVALID_OPTION,
                          "*handle_token*");
  reply = gem_test_call(client, request, GEM_REQUEST_INTERFACE, "Cancel", NULL, &error);
  g_assert_no_error(error);
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->reason, ==, CANCELLED);
  close(fd);
  g_clear_pointer(&reply, g_variant_unref);
  reply = gem_test_call(client, request, GEM_REQUEST_INTERFACE, "Cancel", NULL, &error);
  g_assert_error(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD);
}

static void
test_busy(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  int fd = gem_test_generate(client, session, "silent", "{}", NULL);

  gem_test_generate_fails(client, session, "x", "{}", GEM_ERROR_BUSY, "*");
  close(fd);
  gem_test_ear_wait(ear, 1);
  close(gem_test_generate(client, session, "x", "{}", NULL));
  gem_test_ear_wait(ear, 2);
}

static void
test_generate_fails(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *long_prompt = g_strnfill(4096, 'a');
  g_autofree char *longer = g_strnfill(GEM_MAX_TEXT_BYTES + 1, 'a');

  gem_test_generate_fails(client, session, "", "{}", GEM_ERROR_INVALID_TEXT, "*0 bytes*");
  gem_test_generate_fails(client, session, longer, "{}", GEM_ERROR_INVALID_TEXT, "*262145*262144*");
  gem_test_generate_fails(client, session, long_prompt, "{}", GEM_ERROR_CONTEXT_EXCEEDED, "*4096*4096*");
  gem_test_generate_fails(client, session, "x", "{'domain': <'legal'>}", GEM_ERROR_INVALID_OPTION,
                          "*\"domain\"*");
  gem_test_generate_fails(client, session, "x", "{'max_tokens': <uint32 4097>}", GEM_ERROR_INVALID_OPTION,
                          "*max_tokens*1 to 4096*");
  gem_test_generate_fails(client, session, "x", "{'handle_token': <'a/b'>}", GEM_ERROR_INVALID_OPTION,
                          "*handle_token*");
  /* None of these left the session busy, or a token in it. */
  g_assert_cmpuint(tokens_of(client, session), ==, 0);
  close(gem_test_generate(client, session, "x", "{}", NULL));
}

static void
test_failure(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *text = gem_test_read_all(gem_test_generate(client, session, "fail", "{}", NULL));
  const char *value = NULL;

  gem_test_ear_wait(ear, 1);
  g_assert_cmpstr(text, ==, "fail");
  g_assert_cmpuint(ear->reason, ==, FAILED);
  g_assert_true(g_variant_lookup(ear->stats, "error", "&s", &value));
  g_assert_cmpstr(value, ==, "org.gemd.Gem1.Error.Failed");
  g_assert_true(g_variant_lookup(ear->stats, "message", "&s", &value));
  g_assert_cmpstr(value, ==, "asked to fail");
}

static void
test_routes(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *prompt = g_strnfill(300, 'l');
  const char *pathway = NULL;
  guint64 offset = 0;
  int fd = gem_test_generate(client, session, prompt, "{'routes': <true>, 'max_tokens': <uint32 1>}", NULL);

  gem_test_ear_wait(ear, 1);
  close(fd);
  g_assert_cmpuint(ear->routes->len, ==, 300);
  for (guint i = 0; i < 300; i++) {
    g_variant_get_child(ear->routes->pdata[i], 1, "t", &offset);
    g_assert_cmpuint(offset, ==, i);
  }
  g_variant_get_child(ear->routes->pdata[0], 3, "&s", &pathway);
  g_assert_cmpstr(pathway, ==, "legal");
}

/* The reader goes away, while text comes and while none does. */
static void
test_close_cancels(void)
{
  static const char *const prompts[] = {"silent", "flood"};
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);

  for (guint i = 0; i < G_N_ELEMENTS(prompts); i++) {
    g_autofree char *session = gem_test_create_session(client);
    int fd = gem_test_generate(client, session, prompts[i], "{'max_tokens': <uint32 4096>}", NULL);

    g_usleep(20000);
    close(fd);
    gem_test_ear_wait(ear, i + 1);
    g_assert_cmpuint(ear->reason, ==, CANCELLED);
  }
}

/* A reader that does not read: the engine waits for it, others do not, and nothing is lost. */
static void
test_slow_reader(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *other = gem_test_create_session(client);
  g_autofree char *text = NULL;
  g_autofree char *quick = NULL;
  guint32 before;
  int fd = gem_test_generate(client, session, "flood", "{'max_tokens': <uint32 512>}", NULL);

  gem_test_run_for(300);
  before = tokens_of(client, session);
  /* Pipe and queue: 64 KiB each, a token more. */
  g_assert_cmpuint(before, <=, 5 + 2 * 16 + 2);
  quick = gem_test_read_all(gem_test_generate(client, other, "q", "{'max_tokens': <uint32 9>}", NULL));
  g_assert_cmpstr(quick, ==, "qqqqqqqqq");
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(tokens_of(client, session), ==, before);
  text = gem_test_read_all(fd);
  g_assert_cmpuint(strlen(text), ==, 512 * 4096);
  gem_test_ear_wait(ear, 2);
  g_assert_cmpuint(ear->reason, ==, LIMIT);
}

/* Finished comes after the pipe's end, so a reader that reads late still gets all. */
static void
test_finished_after_end(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *text = NULL;
  int fd = gem_test_generate(client, session, "flood", "{'max_tokens': <uint32 20>}", NULL);

  gem_test_run_for(200);
  g_assert_cmpuint(ear->finished, ==, 0); /* 80 KiB: more than the pipe holds */
  text = gem_test_read_all(fd);
  g_assert_cmpuint(strlen(text), ==, 20 * 4096);
  gem_test_ear_wait(ear, 1);
}

static void
test_two_clients(void)
{
  g_autoptr(GDBusConnection) one = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) two = gem_test_bus_connect(bus);
  g_autofree char *first = gem_test_create_session(one);
  g_autofree char *second = gem_test_create_session(two);
  int fds[2] = {gem_test_generate(one, first, "slow", "{'max_tokens': <uint32 4096>}", NULL),
                gem_test_generate(two, second, "slow", "{'max_tokens': <uint32 4096>}", NULL)};
  char piece[4];

  /* Both are alive at the same time: each gives something, turn by turn. */
  for (guint round = 0; round < 3; round++) {
    for (guint i = 0; i < 2; i++) {
      g_assert_cmpint(read(fds[i], piece, sizeof piece), ==, 4);
      g_assert_cmpint(memcmp(piece, "slow", 4), ==, 0);
    }
  }
  close(fds[0]);
  close(fds[1]);
}

/* To anyone else the objects do not exist: not to call, not to look at, not in a list. */
static void
test_owner_alone(void)
{
  g_autoptr(GDBusConnection) owner = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(owner);
  g_autofree char *session = gem_test_create_session(owner);
  g_autofree char *request = NULL;
  static const char *const lists[] = {GEM_SESSION_PATH, GEM_REQUEST_PATH};
  g_autofree char *mangled = g_strdelimit(g_strdup(g_dbus_connection_get_unique_name(owner) + 1), ".", '_');
  int fd = gem_test_generate(owner, session, "silent", "{'handle_token': <'secret_token'>}", &request);
  const struct {
    const char *path, *interface, *method;
    GVariant *parameters;
  } calls[] = {
      {session, GEM_SESSION_INTERFACE, "Close", NULL},
      {session, GEM_SESSION_INTERFACE, "Generate", g_variant_new("(s@a{sv})", "x", gem_test_options("{}"))},
      {session, "org.freedesktop.DBus.Properties", "Get",
       g_variant_new("(ss)", GEM_SESSION_INTERFACE, "Tokens")},
      {session, "org.freedesktop.DBus.Properties", "GetAll", g_variant_new("(s)", GEM_SESSION_INTERFACE)},
      {request, GEM_REQUEST_INTERFACE, "Cancel", NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(calls); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply =
        gem_test_call(other, calls[i].path, calls[i].interface, calls[i].method, calls[i].parameters, &error);

    g_assert_null(reply);
    g_assert_true(g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD) ||
                  g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_OBJECT) ||
                  g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_INTERFACE) ||
                  g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS));
  }
  for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
    g_autoptr(GVariant) reply =
        gem_test_call(other, lists[i], "org.freedesktop.DBus.Introspectable", "Introspect", NULL, NULL);
    const char *xml = "";

    if (reply != NULL) {
      g_variant_get(reply, "(&s)", &xml);
    }
    g_assert_null(strstr(xml, strrchr(session, '/') + 1));
    g_assert_null(strstr(xml, "secret_token"));
    g_assert_null(strstr(xml, mangled));
  }
  /* Nothing of it touched the turn. */
  g_assert_cmpuint(ear->finished, ==, 0);
  g_assert_cmpuint(tokens_of(owner, session), ==, 6);
  close(fd);
  gem_test_ear_wait(ear, 1);
}

/* A third party that listens to everything it may hears nothing of a turn. */
static void
on_overheard(GDBusConnection *connection,
             const char *sender,
             const char *path,
             const char *interface,
             const char *signal,
             GVariant *parameters,
             gpointer data)
{
  if (!g_str_has_prefix(interface, "org.freedesktop.DBus") || strstr(path, "/org/gemd") != NULL) {
    *(guint *)data += 1;
  }
}

static void
test_third_party_hears_nothing(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) third = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  guint heard = 0;
  guint subscription = g_dbus_connection_signal_subscribe(
      third, NULL, NULL, NULL, NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE, on_overheard, &heard, NULL);
  g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
      third, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch",
      g_variant_new("(s)", "eavesdrop=true,interface='" GEM_REQUEST_INTERFACE "'"), NULL,
      G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);

  g_free(gem_test_read_all(
      gem_test_generate(client, session, "abc", "{'routes': <true>, 'max_tokens': <uint32 1>}", NULL)));
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->routes->len, ==, 3);
  gem_test_run_for(100);
  g_assert_cmpuint(heard, ==, 0);
  g_dbus_connection_signal_unsubscribe(third, subscription);
}

static guint
read_state(int fd)
{
  char buffer[4096];
  gssize length = read(fd, buffer, sizeof buffer);

  return length > 0 ? 1 : length == 0 ? 0 : 2;
}

/* The caller leaves with a turn running: the stream ends although its reading end is still held. */
static void
test_leaving_cancels(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *session = gem_test_create_session(client);
  gint64 end = gem_test_deadline(10);
  int fd = gem_test_generate(client, session, "silent", "{}", NULL);

  g_assert_true(g_unix_set_fd_nonblocking(fd, TRUE, NULL));
  g_assert_cmpuint(read_state(fd), ==, 2);
  g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
  while (read_state(fd) != 0) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_usleep(5000);
  }
  close(fd);
}

static void
test_close(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *session = gem_test_create_session(client);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = NULL;
  int fd = gem_test_generate(client, session, "silent", "{}", NULL);

  reply = gem_test_call(client, session, GEM_SESSION_INTERFACE, "Close", NULL, &error);
  g_assert_no_error(error);
  gem_test_ear_wait(ear, 1);
  g_assert_cmpuint(ear->reason, ==, CANCELLED);
  close(fd);
  g_clear_pointer(&reply, g_variant_unref);
  reply = gem_test_call(client, session, GEM_SESSION_INTERFACE, "Close", NULL, &error);
  g_assert_null(reply);
  g_assert_nonnull(error);
}

/* Calls that are on their way when their object goes: each is answered, none does harm. */
static void
test_close_in_a_row(void)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *again = NULL;

  for (guint i = 0; i < 50; i++) {
    g_dbus_connection_call(client, GEM_BUS_NAME, session, GEM_SESSION_INTERFACE, "Close", NULL, NULL,
                           G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
    g_dbus_connection_call(client, GEM_BUS_NAME, session, "org.freedesktop.DBus.Properties", "GetAll",
                           g_variant_new("(s)", GEM_SESSION_INTERFACE), NULL, G_DBUS_CALL_FLAGS_NONE, -1,
                           NULL, NULL, NULL);
  }
  again = gem_test_create_session(client);
  g_assert_cmpstr(again, !=, session);
}

int
main(int argc, char **argv)
{
  int status;

  g_test_init(&argc, &argv, NULL);
  bus = gem_test_bus_new_with_daemon();
  g_test_add_func("/bus/session/turns", test_turns);
  g_test_add_func("/bus/session/handle-token", test_handle_token);
  g_test_add_func("/bus/session/busy", test_busy);
  g_test_add_func("/bus/session/generate-fails", test_generate_fails);
  g_test_add_func("/bus/session/failure", test_failure);
  g_test_add_func("/bus/session/routes", test_routes);
  g_test_add_func("/bus/session/close-cancels", test_close_cancels);
  g_test_add_func("/bus/session/slow-reader", test_slow_reader);
  g_test_add_func("/bus/session/finished-after-end", test_finished_after_end);
  g_test_add_func("/bus/session/two-clients", test_two_clients);
  g_test_add_func("/bus/session/owner-alone", test_owner_alone);
  g_test_add_func("/bus/session/third-party-hears-nothing", test_third_party_hears_nothing);
  g_test_add_func("/bus/session/leaving-cancels", test_leaving_cancels);
  g_test_add_func("/bus/session/close", test_close);
  g_test_add_func("/bus/session/close-in-a-row", test_close_in_a_row);
  status = g_test_run();
  gem_test_bus_free(bus);
  return status;
}
