#include "bench/gem-bench-file.h"

#include <string.h>

static gboolean
append(GFile *file, const char *text, GError **error)
{
  g_autoptr(GFileOutputStream) stream = g_file_append_to(file, G_FILE_CREATE_NONE, NULL, error);

  return stream != NULL &&
         g_output_stream_write_all(G_OUTPUT_STREAM(stream), text, strlen(text), NULL, NULL, error) &&
         g_output_stream_close(G_OUTPUT_STREAM(stream), NULL, error);
}

gboolean
gem_bench_file_write(const char *path, const char *text, GError **error)
{
  g_autoptr(GFile) file = g_file_new_for_path(path);
  gboolean written;

  if (g_file_query_file_type(file, G_FILE_QUERY_INFO_NONE, NULL) == G_FILE_TYPE_SPECIAL) {
    written = append(file, text, error);
  } else {
    written =
        g_file_replace_contents(file, text, strlen(text), NULL, FALSE, G_FILE_CREATE_NONE, NULL, NULL, error);
  }
  if (!written) {
    g_prefix_error(error, "%s: ", path);
  }
  return written;
}
