#include "tests/gem-test-client.h"

#include <signal.h>
#include <string.h>

#include "tests/gem-test-program.h"

void
gem_test_run_clear(GemTestRun *run)
{
  g_clear_pointer(&run->out, g_free);
  g_clear_pointer(&run->err, g_free);
}

GSubprocess *
gem_test_program_start(GemTestService *self,
                       const char *folder,
                       const char *name,
                       const char *const *arguments,
                       gboolean with_input)
{
  GSubprocessFlags flags = G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE |
                           (with_input ? G_SUBPROCESS_FLAGS_STDIN_PIPE : G_SUBPROCESS_FLAGS_NONE);
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(flags);
  g_autoptr(GPtrArray) argv = gem_test_program_words(folder, name);
  g_autoptr(GError) error = NULL;
  GSubprocess *client;
  guint i;

  if (self != NULL) {
    g_subprocess_launcher_setenv(launcher, "DBUS_SYSTEM_BUS_ADDRESS", gem_test_service_get_address(self),
                                 TRUE);
  }
  g_subprocess_launcher_unsetenv(launcher, "DBUS_SESSION_BUS_ADDRESS");
  g_subprocess_launcher_setenv(launcher, "LC_ALL", "C", TRUE);
  for (i = 0; arguments[i] != NULL; i++) {
    g_ptr_array_add(argv, g_strdup(arguments[i]));
  }
  g_ptr_array_add(argv, NULL);
  client = g_subprocess_launcher_spawnv(launcher, (const char *const *)argv->pdata, &error);
  g_assert_no_error(error);
  return client;
}

GSubprocess *
gem_test_client_start(GemTestService *self, const char *const *arguments, gboolean with_input)
{
  return gem_test_program_start(self, "clients/gem-client", "gem-client", arguments, with_input);
}

static void
on_communicated(GObject *source, GAsyncResult *result, gpointer data)
{
  GAsyncResult **ret_result = data;

  *ret_result = g_object_ref(result);
}

static char *
to_string(GBytes *bytes)
{
  gsize size;
  const char *data = g_bytes_get_data(bytes, &size);

  return size == 0 ? g_strdup("") : g_strndup(data, size);
}

void
gem_test_client_finish(GSubprocess *client, const char *input, GemTestRun *ret_run)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GBytes) in = input == NULL ? NULL : g_bytes_new(input, strlen(input));
  g_autoptr(GBytes) out = NULL;
  g_autoptr(GBytes) err = NULL;
  g_autoptr(GError) error = NULL;

  g_subprocess_communicate_async(client, in, NULL, on_communicated, &result);
  while (result == NULL) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_subprocess_communicate_finish(client, result, &out, &err, &error);
  g_assert_no_error(error);
  ret_run->out = to_string(out);
  ret_run->err = to_string(err);
  ret_run->status = g_subprocess_get_if_exited(client) ? g_subprocess_get_exit_status(client) : -1;
}

void
gem_test_client_run(GemTestService *self,
                    const char *const *arguments,
                    const char *input,
                    GemTestRun *ret_run)
{
  g_autoptr(GSubprocess) client = gem_test_client_start(self, arguments, input != NULL);

  gem_test_client_finish(client, input, ret_run);
}

JsonNode *
gem_test_parse_json(const char *text)
{
  g_autoptr(GError) error = NULL;
  JsonNode *node = json_from_string(text, &error);

  g_assert_no_error(error);
  g_assert_nonnull(node);
  return node;
}

gboolean
gem_test_client_interrupt(gpointer data)
{
  g_subprocess_send_signal(G_SUBPROCESS(data), SIGINT);
  return G_SOURCE_REMOVE;
}

/* Waits until the client has printed something. */
void
gem_test_client_wait_output(GSubprocess *client)
{
  GPollableInputStream *out = G_POLLABLE_INPUT_STREAM(g_subprocess_get_stdout_pipe(client));

  while (!g_pollable_input_stream_is_readable(out)) {
    g_main_context_iteration(NULL, FALSE);
    g_usleep(1000);
  }
}
