/* The end of a storm that waits no more: replies that come afterwards find nothing of it in the stack. On an
 * engine without a model. */
#include <signal.h>
#include <string.h>

#include "bench/bus/gem-bench-storm.h"
#include "tests/gem-test-bus.h"

#define PATTERN 0x5a
/* More than what storms and their callers take of the stack. */
#define STACK_BYTES 65536u
/* For replies that are on their way, in ms. */
#define LATE_MILLISECONDS 500u

/* What was asked by now is not answered. */
static gboolean
stop_daemon(gpointer data)
{
  GemTestBus *bus = data;

  g_subprocess_send_signal(bus->daemon, SIGSTOP);
  return G_SOURCE_REMOVE;
}

/* Its own memory is where that of the function called before was. */
static G_GNUC_NO_INLINE void
check_late_replies(void)
{
  guint8 stack[STACK_BYTES];
  guint8 *volatile bytes = stack; /* nobody is to think that it is not looked at */

  memset(bytes, PATTERN, sizeof stack);
  gem_test_run_for(LATE_MILLISECONDS);
  for (gsize i = 0; i < sizeof stack; i++) {
    g_assert_cmpuint(bytes[i], ==, PATTERN);
  }
}

static void
test_late_replies(void)
{
  g_autoptr(GemTestBus) bus = gem_test_bus_new_with_daemon();
  GemVerbOptions options = {.address = bus->address};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemRemote) remote = gem_remote_open(&options, &error);
  g_autoptr(GemStormScript) script = NULL;
  g_auto(GemStormTally) tally = {0};
  const GemStormPlan plan = {.address = bus->address, .clients = 8, .seed = 1, .seconds = 0.4};

  g_assert_no_error(error);
  script = gem_storm_script_new(remote, 4, &error);
  g_assert_no_error(error);
  gem_storm_tally_init(&tally);
  g_timeout_add(200, stop_daemon, bus);
  g_assert_true(gem_storm_run(remote, &plan, script, &tally, &error));
  check_late_replies();
  g_assert_cmpuint(gem_storm_tally_sum(&tally, GEM_STORM_LOST), >, 0);
  g_subprocess_send_signal(bus->daemon, SIGCONT);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/storm-end/late-replies", test_late_replies);
  return g_test_run();
}
