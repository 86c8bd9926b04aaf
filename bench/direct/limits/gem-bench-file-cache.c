#include "bench/direct/limits/gem-bench-file-cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of the first `size` of a file that are in memory; all of them when the system does not say. */
static guint64
count_cached(int file, gsize size)
{
  gsize page = (gsize)sysconf(_SC_PAGESIZE), n = (size + page - 1) / page, i;
  g_autofree unsigned char *in_memory = g_new(unsigned char, n);
  void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
  guint64 cached = 0;

  if (map == MAP_FAILED) {
    return size;
  }
  if (mincore(map, size, in_memory) != 0) {
    cached = size;
  } else {
    for (i = 0; i < n; i++) {
      cached += in_memory[i] & 1 ? page : 0;
    }
  }
  munmap(map, size);
  return cached;
}

/* 0, or the errno of what failed. */
static int
drop(int file, guint64 *ret_left)
{
  struct stat status;
  int failed;

  /* Pages that were not written yet cannot be dropped. */
  if (fdatasync(file) != 0 || fstat(file, &status) != 0) {
    return errno;
  }
  failed = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  if (failed == 0) {
    *ret_left = status.st_size == 0 ? 0 : count_cached(file, (gsize)status.st_size);
  }
  return failed;
}

gboolean
gem_bench_file_cache_drop(const char *path, guint64 *ret_left, GError **error)
{
  int file = open(path, O_RDONLY | O_CLOEXEC);
  int failed = file < 0 ? errno : drop(file, ret_left);

  if (file >= 0) {
    close(file);
  }
  if (failed != 0) {
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(failed), "%s: %s", path,
                g_strerror(failed));
    return FALSE;
  }
  return TRUE;
}
