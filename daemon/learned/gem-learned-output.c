#include "daemon/learned/gem-learned-output.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbus/gem-error.h"

static gboolean
fail(const char *why, GError **error)
{
  g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "the learned file: %s", why);
  return FALSE;
}

/* The output as it was found, and no more of it than that: a process that still has it open may write on.
 * NULL with `error`. */
static char *
read_output(int fd, gsize *ret_length, GError **error)
{
  g_autofree char *bytes = NULL;
  struct stat info;
  gsize length = 0, room;
  gssize n = 1;

  if (fstat(fd, &info) != 0) {
    fail(g_strerror(errno), error);
    return NULL;
  }
  if (!S_ISREG(info.st_mode) || info.st_size == 0) {
    fail("nothing was written", error);
    return NULL;
  }
  if ((guint64)info.st_size > GEM_LEARNED_MOST_OUTPUT_BYTES) {
    fail(g_strerror(EFBIG), error);
    return NULL;
  }
  room = (gsize)info.st_size + 1; /* one more shows that there is more */
  bytes = g_malloc(room);
  while (length < room && n != 0) {
    n = pread(fd, bytes + length, room - length, (off_t)length);
    if (n < 0 && errno != EINTR) {
      fail(g_strerror(errno), error);
      return NULL;
    }
    length += (gsize)MAX(n, 0);
  }
  if (length != (gsize)info.st_size) {
    fail("it changed while it was copied", error);
    return NULL;
  }
  *ret_length = length;
  return g_steal_pointer(&bytes);
}

gboolean
gem_learned_output_copy(const char *output, const char *path, GError **error)
{
  g_autofree char *bytes = NULL;
  g_autoptr(GError) local = NULL;
  gsize length = 0;
  int fd = open(output, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

  if (fd < 0) {
    return fail(g_strerror(errno), error);
  }
  bytes = read_output(fd, &length, error);
  close(fd);
  if (bytes == NULL) {
    return FALSE;
  }
  return g_file_set_contents_full(path, bytes, (gssize)length,
                                  G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                  &local) ||
         fail(g_strerror(g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOSPC) ? ENOSPC : EIO), error);
}
