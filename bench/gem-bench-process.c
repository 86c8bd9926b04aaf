#include "bench/gem-bench-process.h"

#include <string.h>

/* A field of /proc/PROCESS/status that is stated in kB; 0 when there is none. */
static guint64
read_field(const char *process, const char *field)
{
  g_autofree char *path = g_build_filename("/proc", process, "status", NULL);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents(path, &text, NULL, NULL)) {
    return 0;
  }
  line = strstr(text, field);
  return line == NULL ? 0 : g_ascii_strtoull(line + strlen(field), NULL, 10) * 1024;
}

guint64
gem_bench_process_get_peak(void)
{
  return read_field("self", "\nVmHWM:");
}

guint64
gem_bench_process_get_resident(pid_t process)
{
  g_autofree char *name = g_strdup_printf("%d", (int)process);

  return read_field(name, "\nVmRSS:");
}

guint
gem_bench_process_count_descriptors(pid_t process)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)process);
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name(dir) != NULL) {
    n++;
  }
  return n;
}
