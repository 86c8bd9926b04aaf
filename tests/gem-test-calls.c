#include "tests/gem-test-calls.h"

#include <unistd.h>

#include "tests/gem-test-patience.h"

#define ANSWER_SECONDS 40
#define OTHER_SECONDS  5

void
gem_test_answers_clear(GemTestAnswers *answers)
{
  g_clear_pointer(&answers->message, g_free);
}

static void
on_answer(GObject *source, GAsyncResult *result, gpointer data)
{
  GemTestAnswers *answers = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);

  answers->answered++;
  if (reply != NULL) {
    answers->succeeded++;
    return;
  }
  if (error->domain != GEM_ERROR) {
    g_error("no error of the service: %s", error->message);
  }
  answers->codes[error->code]++;
  if (error->code == GEM_ERROR_LIMIT_EXCEEDED) {
    g_dbus_error_strip_remote_error(error);
    g_free(answers->message);
    answers->message = g_strdup(error->message);
  }
}

void
gem_test_call_async(GDBusConnection *client,
                    const char *method,
                    GVariant *parameters,
                    GemTestAnswers *answers)
{
  (void)GEM_ERROR; /* registers the names */
  g_dbus_connection_call(client, GEM_BUS_NAME, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, method, parameters,
                         NULL, G_DBUS_CALL_FLAGS_NONE, (int)(gem_test_patience(ANSWER_SECONDS) / 1000), NULL,
                         on_answer, answers);
}

void
gem_test_call_many(GDBusConnection *client,
                   guint count,
                   const char *method,
                   const char *text,
                   const char *options,
                   GemTestAnswers *answers)
{
  for (guint i = 0; i < count; i++) {
    gem_test_call_async(client, method, g_variant_new("(s@a{sv})", text, gem_test_options(options)), answers);
  }
}

void
gem_test_answers_wait(const GemTestAnswers *answers, guint count)
{
  gint64 end = gem_test_deadline(ANSWER_SECONDS);

  while (answers->answered < count) {
    g_assert_cmpint(g_get_monotonic_time(), <, end);
    if (!g_main_context_iteration(NULL, FALSE)) {
      g_usleep(1000);
    }
  }
}

/* ---- a flood ---- */

void
gem_test_flood(const GemTestFlood *flood,
               GDBusConnection *client,
               GDBusConnection *other,
               guint count,
               GemTestAnswers *answers)
{
  guint expected = answers->answered + count;
  gint64 end = gem_test_deadline(ANSWER_SECONDS);
  gint64 longest = 0;
  guint asked = 0;

  for (guint i = 0; i < count; i++) {
    flood->send(client, i, answers);
  }
  for (; answers->answered < expected; asked++) {
    gint64 began = g_get_monotonic_time();

    g_assert_cmpint(began, <, end);
    flood->ask(other);
    longest = MAX(longest, g_get_monotonic_time() - began);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
  }
  g_test_message("the longest of the other's %u calls took %.3f s", asked, (double)longest / G_USEC_PER_SEC);
  g_assert_cmpint(longest, <, gem_test_patience(OTHER_SECONDS));
}

/* ---- what a process holds ---- */

static char *
process_path(GSubprocess *process, const char *name)
{
  return g_build_filename("/proc", g_subprocess_get_identifier(process), name, NULL);
}

guint64
gem_test_process_memory(GSubprocess *process)
{
  g_autofree char *path = process_path(process, "statm");
  g_autofree char *text = NULL;
  g_auto(GStrv) pages = NULL; /* all, resident, ... */

  g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
  pages = g_strsplit(text, " ", 3);
  return g_ascii_strtoull(pages[1], NULL, 10) * (guint64)sysconf(_SC_PAGESIZE);
}

guint
gem_test_process_descriptors(GSubprocess *process)
{
  g_autofree char *path = process_path(process, "fd");
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  guint count = 0;

  g_assert_nonnull(dir);
  while (g_dir_read_name(dir) != NULL) {
    count++;
  }
  return count;
}
