#include "bench/gem-bench-machine.h"

#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The processor's name, as the kernel has it; NULL where it has none (not on every architecture). */
static char *
read_processor(void)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  guint i;

  if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL)) {
    return NULL;
  }
  lines = g_strsplit(text, "\n", -1);
  for (i = 0; lines[i] != NULL; i++) {
    const char *colon = strchr(lines[i], ':');

    if (colon != NULL && g_str_has_prefix(lines[i], "model name")) {
      return g_strstrip(g_strdup(colon + 1));
    }
  }
  return NULL;
}

char *
gem_bench_machine_describe(void)
{
  g_autofree char *processor = read_processor();
  struct utsname system = {0};
  double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
  guint n = g_get_num_processors();

  (void)uname(&system);
  return g_strdup_printf("%s%s%u %s, %.1f GB, %s %s %s", processor == NULL ? "" : processor,
                         processor == NULL ? "" : ", ", n, n == 1 ? "processor" : "processors", memory / 1e9,
                         system.sysname, system.release, system.machine);
}
