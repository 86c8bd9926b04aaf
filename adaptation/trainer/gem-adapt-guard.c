#include "adaptation/trainer/gem-adapt-guard.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* A sanitizer's shadow counts as private memory, and is larger than any limit. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

static gboolean
fail(GError **error, const char *what)
{
  int number = errno;
  g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(number), "cannot %s: %s", what,
              g_strerror(number));
  return FALSE;
}

gboolean
gem_adapt_guard_enter(GError **error)
{
  const struct rlimit none = {0, 0};
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
    return fail(error, "close the process's memory to others");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    return fail(error, "give up new privileges");
  }
  return setrlimit(RLIMIT_CORE, &none) == 0 || fail(error, "give up core files");
}

/* Addresses that count as private memory and are hardly touched: the library's, a thread's stack, and
 * OpenBLAS's buffers, which waits for ever where it gets none. */
#define ADDRESSES          ((guint64)512 << 20)
#define ADDRESSES_A_THREAD ((guint64)128 << 20)

gboolean
gem_adapt_guard_limit_memory(guint64 bytes, guint threads, GError **error)
{
  guint64 most = bytes + ADDRESSES + (threads + g_get_num_processors()) * ADDRESSES_A_THREAD;
  const struct rlimit limit = {most, most};
  return IS_SANITIZED || setrlimit(RLIMIT_DATA, &limit) == 0 || fail(error, "limit the process's memory");
}
