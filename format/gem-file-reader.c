#include "format/gem-file-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "format/gem-file-private.h"
#include "format/gem-gguf.h"
#include "format/gem-sha256.h"

#define HASH_CHUNK 262144u /* bytes: stays in the second-level cache between reading and hashing */

struct _GemFileReader {
  gatomicrefcount references;
  char *path;
  int fd;
  GemFileIdentity identity;
  gboolean settled;
};

/* Takes over `fd`. */
static GemFileReader *
new_from(int fd, const struct stat *status, const char *path)
{
  GemFileReader *self = g_new0(GemFileReader, 1);
  g_atomic_ref_count_init(&self->references);
  self->path = g_strdup(path);
  self->fd = fd;
  self->identity = gem_file_identity_of(status);
  self->settled = gem_file_identity_is_settled(&self->identity);
  return self;
}

GemFileReader *
gem_file_reader_open(const char *path, GError **error)
{
  struct stat status;
  int fd = gem_file_open_regular(path, &status, error);
  if (fd < 0) {
    return NULL;
  }
  return new_from(fd, &status, path);
}

GemFileReader *
gem_file_reader_new_from_fd(int fd, const char *name, GError **error)
{
  struct stat status;
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0 || !gem_file_check_regular(own, name, &status, error)) {
    if (own < 0) {
      gem_file_fail(error, errno, "open", name);
    } else {
      close(own);
    }
    return NULL;
  }
  return new_from(own, &status, name);
}

GemFileReader *
gem_file_reader_ref(GemFileReader *self)
{
  g_atomic_ref_count_inc(&self->references);
  return self;
}

void
gem_file_reader_unref(GemFileReader *self)
{
  if (g_atomic_ref_count_dec(&self->references)) {
    close(self->fd);
    g_free(self->path);
    g_free(self);
  }
}

guint64
gem_file_reader_get_size(GemFileReader *self)
{
  return self->identity.size;
}

const GemFileIdentity *
gem_file_reader_get_identity(GemFileReader *self)
{
  return &self->identity;
}

gboolean
gem_file_reader_is_settled(GemFileReader *self)
{
  return self->settled;
}

static gboolean
fail_changed(GemFileReader *self, GError **error)
{
  g_autofree char *name = g_filename_display_name(self->path);
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH, "%s: changed while it was read", name);
  return FALSE;
}

gboolean
gem_file_reader_read(GemFileReader *self, guint64 offset, void *buffer, gsize size, GError **error)
{
  guint8 *bytes = buffer;
  gsize done = 0;
  while (done < size) {
    gssize got = pread(self->fd, bytes + done, size - done, (off_t)(offset + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return gem_file_fail(error, errno, "read", self->path);
    }
    if (got == 0) {
      return fail_changed(self, error);
    }
    done += (gsize)got;
  }
  return TRUE;
}

char *
gem_file_reader_hash(GemFileReader *self, GError **error)
{
  g_autoptr(GemSha256) hash = gem_sha256_new();
  g_autofree guint8 *chunk = g_malloc(HASH_CHUNK);
  for (guint64 offset = 0; offset < self->identity.size; offset += HASH_CHUNK) {
    gsize size = (gsize)MIN(HASH_CHUNK, self->identity.size - offset);
    if (!gem_file_reader_read(self, offset, chunk, size, error)) {
      return NULL;
    }
    gem_sha256_update(hash, chunk, size);
  }
  return gem_sha256_finish(hash);
}

/* Whether the file's last byte is in memory; FALSE when the file system does not say. */
static gboolean
end_is_cached(GemFileReader *self)
{
  guint8 byte;
  struct iovec last = {&byte, 1};

  return self->identity.size == 0 ||
         preadv2(self->fd, &last, 1, (off_t)self->identity.size - 1, RWF_NOWAIT) == 1;
}

void
gem_file_reader_read_ahead(GemFileReader *self)
{
  /* Asking costs as much as a small file's reading: not when it was read before. The advice is a wish; a file
   * system that cannot follow it reads when it must. */
  if (!end_is_cached(self)) {
    (void)posix_fadvise(self->fd, 0, 0, POSIX_FADV_WILLNEED);
  }
}

gboolean
gem_file_reader_check_unchanged(GemFileReader *self, GError **error)
{
  struct stat status;
  if (fstat(self->fd, &status) < 0) {
    return gem_file_fail(error, errno, "examine", self->path);
  }
  GemFileIdentity now = gem_file_identity_of(&status);
  return gem_file_identity_equal(&now, &self->identity) || fail_changed(self, error);
}

gboolean
gem_file_reader_check_contents(GemFileReader *self, GError **error)
{
  struct stat status;
  if (fstat(self->fd, &status) < 0) {
    return gem_file_fail(error, errno, "examine", self->path);
  }
  GemFileIdentity now = gem_file_identity_of(&status);
  now.changed = self->identity.changed;
  return gem_file_identity_equal(&now, &self->identity) || fail_changed(self, error);
}
