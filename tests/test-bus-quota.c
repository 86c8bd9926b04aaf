/*
 * Quotas on the bus: each refusal names its key, and every way out gives back what was taken. On an engine
 * without a model, where a token is a byte.
 */
#include "tests/gem-test-calls.h"

#include <string.h>
#include <unistd.h>

#define NONE gem_test_options("{}")

static void
close_session(GDBusConnection *client, const char *session)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(client, session, GEM_SESSION_INTERFACE, "Close", NULL, &error);

  g_assert_no_error(error);
}

static void
cancel(GDBusConnection *client, const char *request)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(client, request, GEM_REQUEST_INTERFACE, "Cancel", NULL, &error);

  g_assert_no_error(error);
}

/* Waits until a turn is let in, which takes until the service has heard of what made room for it. */
static void
wait_admitted(GDBusConnection *client, const char *session)
{
  for (guint i = 0; i < 400; i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = gem_test_call(
        client, session, GEM_SESSION_INTERFACE, "Generate",
        g_variant_new("(s@a{sv})", "xxxxxxxxxx", gem_test_options("{'max_tokens': <uint32 1>}")), &error);

    if (reply != NULL) {
      return;
    }
    g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
    gem_test_run_for(10);
  }
  g_test_fail_printf("what was taken is not given back");
}

/* ---- tokens in flight, and each way in which a turn ends ---- */

typedef enum { CANCEL, CLOSE_READER, CLOSE_SESSION, LEAVE, FINISH, FAIL, N_WAYS } Way;

static void
end_turn(Way way, GDBusConnection *client, const char *session, const char *request, int fd)
{
  switch (way) {
  case CANCEL:
    cancel(client, request);
    break;
  case CLOSE_SESSION:
    close_session(client, session);
    break;
  case LEAVE:
    g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
    break;
  default: /* the reader closes, or the turn ends by itself */
    break;
  }
  close(fd);
}

static void
test_tokens(gconstpointer data)
{
  Way way = GPOINTER_TO_UINT(data);
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxTokensPerUser=100\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *second = gem_test_create_session(other);
  g_autofree char *request = NULL;
  const char *prompt = way == FINISH ? "xxxxxx" : way == FAIL ? "fail" : "silent";
  int fd = gem_test_generate(client, session, prompt, "{'max_tokens': <uint32 94>}", &request);

  if (way != FINISH && way != FAIL) {
    gem_test_generate_fails(other, second, "xxxxxxxxxx", "{'max_tokens': <uint32 1>}",
                            GEM_ERROR_LIMIT_EXCEEDED,
                            "MaxTokensPerUser: 100 are in use, 11 more are wanted, 100 are allowed");
  }
  end_turn(way, client, session, request, fd);
  wait_admitted(other, second);
}

/* ---- keys and values ---- */

/* The fake engine's cache takes 1 KiB a token. A session keeps what its tokens take when a turn is over, and
 * its end gives that back. */
static void
test_kv_cache(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxKvCachePerUser=1M\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *first = gem_test_create_session(client);
  g_autofree char *second = gem_test_create_session(client);
  g_autofree char *request = NULL;
  int fd;

  gem_test_generate_fails(client, first, "silent", "{'max_tokens': <uint32 1019>}", GEM_ERROR_LIMIT_EXCEEDED,
                          "MaxKvCachePerUser: 0 are in use, 1049600 more are wanted, 1048576 are allowed");
  fd = gem_test_generate(client, first, "silent", "{'max_tokens': <uint32 1018>}", &request);
  gem_test_generate_fails(client, second, "x", "{'max_tokens': <uint32 1>}", GEM_ERROR_LIMIT_EXCEEDED,
                          "MaxKvCachePerUser: 1048576 are in use, 2048 more are wanted, 1048576 are allowed");
  cancel(client, request);
  gem_test_ear_wait(ear, 1);
  close(fd);
  /* Six tokens are in the first session now. */
  gem_test_generate_fails(client, second, "silent", "{'max_tokens': <uint32 1018>}", GEM_ERROR_LIMIT_EXCEEDED,
                          "MaxKvCachePerUser: 6144 are in use, 1048576 more are wanted, 1048576 are allowed");
  /* Its next turn is asked only for what it does not have yet. */
  fd = gem_test_generate(client, first, "silent", "{'max_tokens': <uint32 1012>}", NULL);
  close_session(client, first);
  gem_test_ear_wait(ear, 2);
  close(fd);
  close(gem_test_generate(client, second, "silent", "{'max_tokens': <uint32 1018>}", NULL));
}

/* While a turn of a closed session still runs, its cache is there and counts. */
static void
test_kv_cache_of_closed(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxKvCachePerUser=1M\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *first = gem_test_create_session(client);
  g_autofree char *second = gem_test_create_session(client);
  int fd = gem_test_generate(client, first, "stubborn", "{'max_tokens': <uint32 1000>}", NULL);

  close_session(client, first);
  gem_test_generate_fails(
      client, second, "silent", "{'max_tokens': <uint32 100>}", GEM_ERROR_LIMIT_EXCEEDED,
      "MaxKvCachePerUser: 1032192 are in use, 108544 more are wanted, 1048576 are allowed");
  gem_test_ear_wait(ear, 1);
  close(fd);
  close(gem_test_generate(client, second, "silent", "{'max_tokens': <uint32 100>}", NULL));
}

/* ---- an Ask is a turn too ---- */

static void
test_ask(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxTokensPerUser=100\nMaxKvCachePerUser=1M\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *session = gem_test_create_session(client);
  int fd;

  gem_test_manager_fails(
      client, "Ask", g_variant_new("(s@a{sv})", "silent", gem_test_options("{'max_tokens': <uint32 95>}")),
      GEM_ERROR_LIMIT_EXCEEDED, "MaxTokensPerUser: 0 are in use, 101 more are wanted, 100 are allowed");
  for (guint i = 0; i < 3; i++) {
    g_autoptr(GVariant) reply = gem_test_manager(
        client, "Ask", g_variant_new("(s@a{sv})", "x", gem_test_options("{'max_tokens': <uint32 90>}")));
  }
  fd = gem_test_generate(client, session, "silent", "{'max_tokens': <uint32 90>}", NULL);
  gem_test_manager_fails(
      client, "Ask", g_variant_new("(s@a{sv})", "hello", gem_test_options("{'max_tokens': <uint32 10>}")),
      GEM_ERROR_LIMIT_EXCEEDED, "MaxTokensPerUser: 96 are in use, 15 more are wanted, 100 are allowed");
  close(fd);
}

/* Two batch asks that do not end take one of the two places at most: an interactive one comes through. */
static void
test_batch_asks(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("ParallelAsks=2\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) leaving = gem_test_bus_connect(bus);
  g_autoptr(GVariant) reply = NULL;

  for (guint i = 0; i < 2; i++) {
    g_dbus_connection_call(leaving, GEM_BUS_NAME, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Ask",
                           g_variant_new("(s@a{sv})", "silent", gem_test_options("{'priority': <'batch'>}")),
                           NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL, NULL);
  }
  g_assert_true(g_dbus_connection_flush_sync(leaving, NULL, NULL));
  reply = gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", "x", NONE));
  g_assert_nonnull(reply);
  gem_test_manager_fails(client, "Ask",
                         g_variant_new("(s@a{sv})", "x", gem_test_options("{'priority': <'high'>}")),
                         GEM_ERROR_INVALID_OPTION, "option \"priority\": \"high\"; interactive or batch*");
}

/* ---- streams, turns and calls ---- */

/* An answer that nobody reads keeps its stream, though the engine has long been done with the turn. */
static void
test_streams(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("MaxStreamsPerUser=1\nMaxRequestsPerUser=1\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autofree char *first = gem_test_create_session(client);
  g_autofree char *second = gem_test_create_session(client);
  /* More than the pipe takes, less than what pauses the engine. */
  int fd = gem_test_generate(client, first, "flood", "{'max_tokens': <uint32 28>}", NULL);
  gboolean done = FALSE;

  for (guint i = 0; i < 400 && !done; i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = gem_test_call(client, second, GEM_SESSION_INTERFACE, "Generate",
                                              g_variant_new("(s@a{sv})", "x", NONE), &error);

    g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
    g_dbus_error_strip_remote_error(error);
    done = g_str_equal(error->message, "MaxStreamsPerUser: 1 are in use, 1 are allowed");
    gem_test_run_for(done ? 1 : 10);
  }
  g_assert_true(done);
  g_free(gem_test_read_all(fd));
  gem_test_ear_wait(ear, 1);
  close(gem_test_generate(client, second, "x", "{}", NULL));
}

/* ---- readers that stop ---- */

/* A turn whose answer fits the pipe: it cannot stall, however slow this machine is. */
static void
read_short(GDBusConnection *client, const char *session)
{
  g_autofree char *text =
      gem_test_read_all(gem_test_generate(client, session, "flood", "{'max_tokens': <uint32 10>}", NULL));

  g_assert_cmpuint(strlen(text), ==, 10 * 4096);
}

/* A turn whose reader takes nothing is dropped, while another one's goes on; so is one that the engine has
 * long finished, and both give their streams back. */
static void
test_slow_reader(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config("StreamSeconds=1\nMaxStreamsPerUser=3\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(bus);
  g_autoptr(GemTestEar) ear = gem_test_ear_new(client);
  g_autoptr(GemTestEar) other_ear = gem_test_ear_new(other);
  g_autoptr(GVariant) stats = NULL;
  g_autoptr(GVariant) numbers = NULL;
  guint64 dropped = 0;
  g_autofree char *endless = gem_test_create_session(client);
  g_autofree char *finished = gem_test_create_session(client);
  g_autofree char *session = gem_test_create_session(other);
  int fds[2] = {
      gem_test_generate(client, endless, "flood", "{'max_tokens': <uint32 4000>}", NULL),
      /* More than the pipe takes, less than what pauses the engine. */
      gem_test_generate(client, finished, "flood", "{'max_tokens': <uint32 28>}", NULL),
  };

  for (guint i = 1; i <= 3; i++) {
    read_short(other, session);
    gem_test_ear_wait(other_ear, i);
    g_assert_cmpuint(other_ear->reason, ==, 2);
  }
  for (guint i = 1; i <= 2; i++) {
    const char *reason = NULL;

    gem_test_ear_wait(ear, i);
    g_assert_cmpuint(ear->reason, ==, 7);
    g_assert_true(g_variant_lookup(ear->stats, "reason", "&s", &reason));
    g_assert_cmpstr(reason, ==, "slow-reader");
  }
  for (guint i = 0; i < 2; i++) {
    g_autofree char *text = gem_test_read_all(fds[i]); /* what the pipe holds, and then the end */

    g_assert_cmpuint(strlen(text), <=, 64 * 1024);
  }
  stats = gem_test_manager(client, "Stats", g_variant_new("(@a{sv})", NONE));
  numbers = g_variant_get_child_value(stats, 0);
  g_assert_true(g_variant_lookup(numbers, "readers_dropped", "t", &dropped) && dropped == 2);
  /* Three streams are allowed: those of the two are free again. */
  for (guint i = 0; i < 2; i++) {
    fds[i] = gem_test_generate(client, i == 0 ? endless : finished, "silent", "{}", NULL);
  }
  read_short(other, session);
  close(fds[0]);
  close(fds[1]);
}

static void
test_totals(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_config(
      "MaxRequests=1\nMaxStreams=2\nMaxTokens=1000\nMaxKvCache=1M\nMaxCalls=2\n");
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  g_autofree char *first = gem_test_create_session(client);
  g_autofree char *second = gem_test_create_session(client);
  g_auto(GemTestAnswers) answers = {0};
  int fd;

  gem_test_generate_fails(client, first, "silent", "{'max_tokens': <uint32 1000>}", GEM_ERROR_LIMIT_EXCEEDED,
                          "MaxTokens: 0 are in use, 1006 more are wanted, 1000 are allowed");
  fd = gem_test_generate(client, first, "silent", "{}", NULL);
  gem_test_generate_fails(client, second, "x", "{}", GEM_ERROR_LIMIT_EXCEEDED,
                          "MaxRequests: 1 are in use, 1 are allowed");
  close(fd);
  gem_test_call_many(client, 3, "Score", "slow", "{}", &answers);
  gem_test_answers_wait(&answers, 3);
  g_assert_cmpuint(answers.codes[GEM_ERROR_LIMIT_EXCEEDED], ==, 1);
  g_assert_cmpstr(answers.message, ==, "MaxCalls: 2 are in use, 2 are allowed");
}

int
main(int argc, char **argv)
{
  static const char *const ways[N_WAYS] = {"cancel", "close-reader", "close-session",
                                           "leave",  "finish",       "fail"};

  g_test_init(&argc, &argv, NULL);
  for (guint way = 0; way < N_WAYS; way++) {
    g_autofree char *path = g_strdup_printf("/bus/quota/tokens/%s", ways[way]);

    g_test_add_data_func(path, GUINT_TO_POINTER(way), test_tokens);
  }
  g_test_add_func("/bus/quota/kv-cache", test_kv_cache);
  g_test_add_func("/bus/quota/kv-cache-of-closed", test_kv_cache_of_closed);
  g_test_add_func("/bus/quota/ask", test_ask);
  g_test_add_func("/bus/quota/batch-asks", test_batch_asks);
  g_test_add_func("/bus/quota/streams", test_streams);
  g_test_add_func("/bus/quota/slow-reader", test_slow_reader);
  g_test_add_func("/bus/quota/totals", test_totals);
  return g_test_run();
}
