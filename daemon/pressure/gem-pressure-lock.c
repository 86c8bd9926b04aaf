#include "daemon/pressure/gem-pressure-lock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* "7f00-7f80 r-xp 0000 fe:00 12 /usr/lib/libc.so.6": the range of a file that holds code and is not written.
 * Data of other files (locales, caches of fonts) is none. */
static gboolean
parse_mapping(const char *line, gsize *ret_start, gsize *ret_end)
{
  gsize start = 0, end = 0;
  char access[5] = "";
  int path = 0;

  if (sscanf(line, "%zx-%zx %4s %*s %*s %*s %n", &start, &end, access, &path) != 3 || path == 0 ||
      line[path] != '/' || access[1] == 'w' || access[0] != 'r') {
    return FALSE;
  }
  if (access[2] != 'x' && strstr(line + path, ".so") == NULL) {
    return FALSE;
  }
  *ret_start = start;
  *ret_end = end;
  return TRUE;
}

gsize
gem_pressure_lock_code(void)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  gsize bytes = 0;
  int failed = 0;

  if (!g_file_get_contents("/proc/self/maps", &text, NULL, NULL)) {
    return 0;
  }
  lines = g_strsplit(text, "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++) {
    gsize start, end;

    if (!parse_mapping(lines[i], &start, &end)) {
      continue;
    }
    if (mlock2((const void *)start, end - start, MLOCK_ONFAULT) == 0) { // NOLINT(performance-no-int-to-ptr)
      bytes += end - start;
    } else {
      failed = errno;
    }
  }
  if (failed != 0) {
    g_debug("memory pressure: not all of the code stays in memory: %s", g_strerror(failed));
  }
  return bytes;
}
