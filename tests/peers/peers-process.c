#include "tests/peers/peers-process.h"

char *
gem_peers_program(const char *name)
{
  const char *folder = g_getenv("GEM_BUILD_DIR");

  return g_build_filename(folder != NULL ? folder : ".", name, NULL);
}

char *
gem_peers_run(const char *const *argv, const char *input, GError **error)
{
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *out = NULL, *messages = NULL;

  process = g_subprocess_newv(
      argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
      error);
  if (process == NULL ||
      !g_subprocess_communicate_utf8(process, input != NULL ? input : "", NULL, &out, &messages, error)) {
    g_prefix_error(error, "%s: ", argv[0]);
    return NULL;
  }
  if (!g_subprocess_get_successful(process)) {
    g_autofree char *name = g_path_get_basename(argv[0]);

    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s %s failed: %s", name, argv[1],
                g_strchomp(messages));
    return NULL;
  }
  return g_steal_pointer(&out);
}
