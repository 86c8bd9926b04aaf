/* gem-bench tells whoever waits before a terminal how far it is. */
#include <fcntl.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-client.h"
#include "tests/gem-test-program.h"

typedef struct {
  const char *name;
  const char *const *arguments;
  const char *says[2]; /* stand in what the terminal got */
} Case;

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const Case cases[] = {
    {"sampling", WORDS("sampling", "--vocabulary", "100000", "--rounds", "5"), {" of 60, ", "top-p"}},
    {"limits", WORDS("limits", "--quick", "--largest", "1"), {"filling memory ...", "filling memory ..."}},
    {"storm",
     WORDS("storm", "--clients", "2", "--seconds", "2", "--spare", "4096"),
     {"answers without a storm ...", " left: seconds of the storm"}},
};

/* What the terminal got until the program ended, while the service answers. */
static gboolean
on_readable(gint terminal, GIOCondition condition, gpointer data)
{
  char bytes[4096];
  ssize_t n = read(terminal, bytes, sizeof bytes);

  if (n > 0) {
    g_string_append_len(data, bytes, n);
  }
  return n > 0; /* an error is the end of a terminal that nobody has open */
}

static void
on_ended(GObject *process, GAsyncResult *result, gpointer data)
{
  *(gboolean *)data = TRUE;
}

static void
test_terminal(gconstpointer data)
{
  const Case *one = data;
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_autoptr(GPtrArray) words = gem_test_program_words("bench", "gem-bench");
  g_autoptr(GString) shown = g_string_new(NULL);
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GError) error = NULL;
  gboolean ended = FALSE;
  int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) {
    g_test_skip("there is no terminal to be had");
    return;
  }
  g_subprocess_launcher_take_stderr_fd(launcher, open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC));
  g_subprocess_launcher_setenv(launcher, "DBUS_SYSTEM_BUS_ADDRESS", gem_test_service_get_address(service),
                               TRUE);
  for (gsize i = 0; one->arguments[i] != NULL; i++) {
    g_ptr_array_add(words, g_strdup(one->arguments[i]));
  }
  g_ptr_array_add(words, NULL);
  process = g_subprocess_launcher_spawnv(launcher, (const char *const *)words->pdata, &error);
  g_assert_no_error(error);
  g_subprocess_launcher_close(launcher);
  g_unix_fd_add(terminal, G_IO_IN | G_IO_HUP, on_readable, shown);
  g_subprocess_wait_async(process, NULL, on_ended, &ended);
  while (!ended) {
    g_main_context_iteration(NULL, TRUE);
  }
  while (g_main_context_iteration(NULL, FALSE)) {
  }
  g_test_message("%s", shown->str);
  for (gsize i = 0; i < G_N_ELEMENTS(one->says); i++) {
    g_assert_nonnull(strstr(shown->str, one->says[i]));
  }
  g_assert_cmpint(g_subprocess_get_exit_status(process), ==, 0);
  close(terminal);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = g_strconcat("/gem-bench/progress/", cases[i].name, NULL);

    g_test_add_data_func(path, &cases[i], test_terminal);
  }
  return g_test_run();
}
