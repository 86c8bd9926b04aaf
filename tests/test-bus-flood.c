/* One client sends ten thousand calls to the whole service on a tiny random model, while another one asks. */
#include "tests/gem-test-calls.h"
#include "tests/gem-test-gemd.h"
#include "tests/gem-test-patience.h"

#define NONE gem_test_options("{}")
#define TEXT "the rain in the north and the rest"

/* What the daemon may hold more than after the first hundred calls: what lies free between pieces that stay,
 * 8 MB and a little on a busy machine. 1.3 kB lost a call would be more. */
#define SPARE_BYTES (G_GUINT64_CONSTANT(12) << 20)

static GVariant *
classify(const char *const *labels, const char *options)
{
  return g_variant_new("(s^as@a{sv})", TEXT, labels, gem_test_options(options));
}

/* Of eight calls, two that cannot succeed. */
static void
send_mixed(GDBusConnection *client, guint index, GemTestAnswers *answers)
{
  static const char *const labels[] = {"north", "south", NULL};
  static const char *const none[] = {NULL};

  switch (index % 8) {
  case 0:
    gem_test_call_async(client, "Ask",
                        g_variant_new("(s@a{sv})", TEXT, gem_test_options("{'max_tokens': <uint32 4>}")),
                        answers);
    break;
  case 1:
    gem_test_call_async(client, "Classify", classify(none, "{}"), answers);
    break;
  case 2:
    gem_test_call_async(client, "Classify", classify(labels, "{'domain': <'nowhere'>}"), answers);
    break;
  case 3:
    gem_test_call_async(client, "Classify", classify(labels, "{}"), answers);
    break;
  case 4:
  case 5:
    gem_test_call_async(client, "Route", g_variant_new("(s@a{sv})", TEXT, NONE), answers);
    break;
  default:
    gem_test_call_async(client, "CountTokens", g_variant_new("(s)", TEXT), answers);
  }
}

static void
ask(GDBusConnection *other)
{
  g_autoptr(GVariant) reply = gem_test_manager(
      other, "Ask", g_variant_new("(s@a{sv})", TEXT, gem_test_options("{'max_tokens': <uint32 4>}")));

  g_assert_nonnull(reply);
}

/* A sanitizer keeps freed memory aside, and an emulator what it translated: there only the native bytes say
 * something. */
static gboolean
memory_can_be_judged(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return FALSE;
#else
  return g_getenv("MESON_EXE_WRAPPER") == NULL;
#endif
}

/* Once half of the callers have left, the heap is trimmed. */
static void
check_held(GSubprocess *daemon, guint64 memory, guint descriptors)
{
  gint64 deadline = gem_test_deadline(20);
  guint64 held = gem_test_process_memory(daemon);

  while (memory_can_be_judged() && held >= memory + SPARE_BYTES && g_get_monotonic_time() < deadline) {
    g_usleep(50000);
    held = gem_test_process_memory(daemon);
  }

  g_test_message("%" G_GUINT64_FORMAT " bytes in memory after the first hundred calls, %" G_GUINT64_FORMAT
                 " after all",
                 memory, held);
  g_assert_cmpuint(gem_test_process_descriptors(daemon), ==, descriptors);
  if (memory_can_be_judged()) {
    g_assert_cmpuint(held, <, memory + SPARE_BYTES);
  }
}

/* Every call gets its answer, or an error of the service; what the daemon holds does not grow with the calls.
 */
static void
test_flood(void)
{
  static const GemTestFlood flood = {send_mixed, ask};
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autoptr(GDBusConnection) other = gem_test_bus_connect(gemd->bus);
  g_auto(GemTestAnswers) answers = {0};
  guint64 memory;
  guint descriptors;
  guint refused;

  gem_test_gemd_start(gemd, "ready");
  gem_test_flood(&flood, gemd->client, other, 100, &answers);
  memory = gem_test_process_memory(gemd->bus->daemon);
  descriptors = gem_test_process_descriptors(gemd->bus->daemon);
  /* Fewer than are allowed: none is refused for their number. */
  for (guint i = 0; i < 80; i++) {
    gem_test_flood(&flood, gemd->client, other, 50, &answers);
  }
  g_assert_cmpuint(answers.succeeded, >=, 80 * 36);
  gem_test_flood(&flood, gemd->client, other, 5900, &answers);
  g_assert_cmpuint(answers.answered, ==, 10000);
  refused = answers.codes[GEM_ERROR_LIMIT_EXCEEDED] + answers.codes[GEM_ERROR_BUSY];
  g_assert_cmpuint(refused, >, 0);
  g_assert_cmpuint(answers.codes[GEM_ERROR_INVALID_OPTION], >=, 80 * 6);
  g_assert_cmpuint(answers.codes[GEM_ERROR_UNKNOWN_DOMAIN], >=, 80 * 6);
  g_assert_cmpuint(answers.succeeded + refused + answers.codes[GEM_ERROR_INVALID_OPTION] +
                       answers.codes[GEM_ERROR_UNKNOWN_DOMAIN],
                   ==, 10000);
  ask(gemd->client);
  g_assert_true(g_dbus_connection_close_sync(other, NULL, NULL));
  check_held(gemd->bus->daemon, memory, descriptors);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/bus/flood", test_flood);
  return g_test_run();
}
