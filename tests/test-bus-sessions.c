/*
 * Thousands of sessions on the whole service, each ended in one of all ways there are: what the service holds
 * after all of them is what it held after the first hundred. Ten times as many with GEM_TEST_THOROUGH.
 */
#include "tests/gem-test-calls.h"
#include "tests/gem-test-gemd.h"

#include <unistd.h>

#include "tests/gem-test-patience.h"

#define FIRST_SESSIONS    100u
#define QUICK_SESSIONS    1000u
#define THOROUGH_SESSIONS 10000u
#define SETTLE_SECONDS    20u
/* Memory that may have been added since: what the C library keeps between allocations. */
#define SPARE_BYTES (G_GUINT64_CONSTANT(1) << 20)

typedef enum {
  CLOSE_IDLE,    /* no turn ever ran */
  CLOSE_DONE,    /* after a turn that was read to its end */
  CLOSE_RUNNING, /* in the middle of a turn */
  CANCEL,        /* the turn; then the session is closed */
  CLOSE_READER,  /* and the session stays until its connection leaves */
  LEAVE_IDLE,    /* with the connection */
  LEAVE_RUNNING, /* with the connection, in the middle of a turn */
  LEAVE_UNREAD,  /* the turn is over, its answer was never read */
  N_WAYS,
} Way;

static void
call(GDBusConnection *client, const char *path, const char *interface, const char *method)
{
  g_autoptr(GVariant) reply = gem_test_call(client, path, interface, method, NULL, NULL);
}

/* The reading end of a turn that goes on for a while; -1 when this way has none. */
static int
start_turn(Way way, GDBusConnection *client, const char *session, char **ret_request)
{
  const char *options = way == CLOSE_DONE || way == LEAVE_UNREAD ? "{'max_tokens': <uint32 2>, 'raw': <true>}"
                                                                 : "{'max_tokens': <uint32 100>}";

  if (way == CLOSE_IDLE || way == LEAVE_IDLE) {
    return -1;
  }
  return gem_test_generate(client, session, "the rain in the north and the rest", options, ret_request);
}

/* One session, up to where its connection leaves; the reading end that is still open then, or -1. */
static int
use_session(Way way, GDBusConnection *client)
{
  g_autofree char *session = gem_test_create_session(client);
  g_autofree char *request = NULL;
  int fd = start_turn(way, client, session, &request);

  switch (way) {
  case CLOSE_DONE:
    g_free(gem_test_read_all(fd));
    fd = -1;
    call(client, session, GEM_SESSION_INTERFACE, "Close");
    break;
  case CANCEL:
    /* It may have ended by itself: then there is no such object any more. */
    call(client, request, GEM_REQUEST_INTERFACE, "Cancel");
    call(client, session, GEM_SESSION_INTERFACE, "Close");
    break;
  case CLOSE_IDLE:
  case CLOSE_RUNNING:
    call(client, session, GEM_SESSION_INTERFACE, "Close");
    break;
  case CLOSE_READER:
    close(fd);
    fd = -1;
    break;
  default: /* with the connection */
    break;
  }
  return fd;
}

/* A session of each way, on a connection of their own that leaves. */
static void
use_sessions(GemTestBus *bus)
{
  g_autoptr(GDBusConnection) client = gem_test_bus_connect(bus);
  int fds[N_WAYS];

  for (guint way = 0; way < N_WAYS; way++) {
    fds[way] = use_session(way, client);
  }
  g_assert_true(g_dbus_connection_close_sync(client, NULL, NULL));
  for (guint way = 0; way < N_WAYS; way++) {
    if (fds[way] >= 0) {
      close(fds[way]);
    }
  }
}

/* Waits until the service has no more descriptors than that: it hears of the last ones' leaving in its own
 * time. */
static void
wait_descriptors(GSubprocess *daemon, guint descriptors)
{
  gint64 end = gem_test_deadline(SETTLE_SECONDS);

  while (gem_test_process_descriptors(daemon) > descriptors) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    g_usleep(5000);
  }
}

/* As of test-bus-flood.c: a sanitizer keeps what was freed, an emulator what it translated. */
static gboolean
memory_can_be_judged(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return FALSE;
#else
  return g_getenv("MESON_EXE_WRAPPER") == NULL;
#endif
}

static void
test_sessions(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  guint sessions = g_getenv("GEM_TEST_THOROUGH") != NULL ? THOROUGH_SESSIONS : QUICK_SESSIONS;
  guint descriptors;
  guint64 memory, held;
  guint used = 0;

  g_free(gemd->bus->config_text);
  gemd->bus->config_text =
      g_strdup("[gemd]\nContextTokens=256\nPrefillBlock=8\nMaxSessions=512\nMaxSessionsPerUser="
               "512\nMaxRequests=512\nMaxRequestsPerUser=512\n"
               "MaxStreams=512\nMaxStreamsPerUser=512\nMaxTokens=1000000\nMaxTokensPerUser=1000000\n");
  gem_test_gemd_start(gemd, "ready");
  descriptors = gem_test_process_descriptors(gemd->bus->daemon);
  for (; used < FIRST_SESSIONS; used += N_WAYS) {
    use_sessions(gemd->bus);
  }
  wait_descriptors(gemd->bus->daemon, descriptors);
  memory = gem_test_process_memory(gemd->bus->daemon);
  for (; used < sessions; used += N_WAYS) {
    use_sessions(gemd->bus);
  }
  wait_descriptors(gemd->bus->daemon, descriptors);
  held = gem_test_process_memory(gemd->bus->daemon);
  g_test_message("%u sessions: %" G_GUINT64_FORMAT " bytes in memory after the first %u, %" G_GUINT64_FORMAT
                 " after all",
                 used, memory, FIRST_SESSIONS, held);
  if (memory_can_be_judged()) {
    g_assert_cmpuint(held, <, memory + SPARE_BYTES);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/bus/sessions", test_sessions);
  return g_test_run();
}
