#include "format/gem-file-private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "format/gem-file-reader.h"
#include "format/gem-gguf.h"

#define SETTLED_US (2 * G_USEC_PER_SEC)

gboolean
gem_file_fail(GError **error, int number, const char *verb, const char *path)
{
  g_autofree char *name = g_filename_display_name(path);
  g_set_error(error, GEM_FORMAT_ERROR, number == ENOENT ? GEM_FORMAT_ERROR_MISSING : GEM_FORMAT_ERROR_IO,
              "cannot %s %s: %s", verb, name, g_strerror(number));
  return FALSE;
}

gboolean
gem_file_check_regular(int fd, const char *path, struct stat *ret_status, GError **error)
{
  struct stat status;
  if (fstat(fd, &status) < 0) {
    return gem_file_fail(error, errno, "open", path);
  }
  if (!S_ISREG(status.st_mode)) {
    return gem_file_fail(error, S_ISDIR(status.st_mode) ? EISDIR : EINVAL, "open", path);
  }
  *ret_status = status;
  return TRUE;
}

int
gem_file_open_regular(const char *path, struct stat *ret_status, GError **error)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    gem_file_fail(error, errno, "open", path);
    return -1;
  }
  if (!gem_file_check_regular(fd, path, ret_status, error)) {
    close(fd);
    return -1;
  }
  return fd;
}

GBytes *
gem_file_map(const char *path, GError **error)
{
  struct stat status;
  int fd = gem_file_open_regular(path, &status, error);
  if (fd < 0) {
    return NULL;
  }
  g_autoptr(GError) cause = NULL;
  g_autoptr(GMappedFile) mapping = g_mapped_file_new_from_fd(fd, FALSE, &cause);
  close(fd);
  if (mapping == NULL) {
    g_autofree char *name = g_filename_display_name(path);
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO, "cannot map %s: %s", name, cause->message);
    return NULL;
  }
  return g_mapped_file_get_bytes(mapping);
}

/* Reads until the end or `size` bytes; the bytes read, -1 with errno on error. */
static gssize
read_all(int fd, guint8 *buffer, gsize size)
{
  gsize done = 0;
  while (done < size) {
    gssize got = read(fd, buffer + done, size - done);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return -1;
    }
    if (got == 0) {
      break;
    }
    done += (gsize)got;
  }
  return (gssize)done;
}

/* ---- identity ---- */

static gboolean
same_time(struct timespec a, struct timespec b)
{
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

gboolean
gem_file_identity_equal(const GemFileIdentity *a, const GemFileIdentity *b)
{
  return a->device == b->device && a->inode == b->inode && a->size == b->size &&
         same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

GemFileIdentity
gem_file_identity_of(const struct stat *status)
{
  return (GemFileIdentity){
      .device = status->st_dev,
      .inode = status->st_ino,
      .size = (guint64)status->st_size,
      .modified = status->st_mtim,
      .changed = status->st_ctim,
  };
}

void
gem_file_identify(const char *path, GemFileIdentity *ret_identity)
{
  struct stat status;
  *ret_identity = stat(path, &status) == 0 ? gem_file_identity_of(&status) : (GemFileIdentity){0};
}

gboolean
gem_file_identity_is_settled(const GemFileIdentity *identity)
{
  gint64 changed = (gint64)identity->changed.tv_sec * G_USEC_PER_SEC + identity->changed.tv_nsec / 1000;
  return changed + SETTLED_US < g_get_real_time();
}

/* The identity of the file that was just read whole, with the status `before` the reading; zeros: not
 * certain. */
static GemFileIdentity
settled_identity(int fd, const struct stat *before)
{
  struct stat after;
  if (fstat(fd, &after) < 0) {
    return (GemFileIdentity){0};
  }
  GemFileIdentity read = gem_file_identity_of(before), left = gem_file_identity_of(&after);
  gboolean certain = gem_file_identity_equal(&read, &left) && gem_file_identity_is_settled(&read);
  return certain ? read : (GemFileIdentity){0};
}

GBytes *
gem_file_read(const char *path, gsize max, GemFileIdentity *ret_identity, GError **error)
{
  struct stat status;
  int fd = gem_file_open_regular(path, &status, error);
  if (fd < 0) {
    return NULL;
  }
  if (status.st_size < 0 || (guint64)status.st_size > max) {
    g_autofree char *name = g_filename_display_name(path);
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "%s: %" G_GINT64_FORMAT " bytes long; at most %" G_GSIZE_FORMAT " are read", name,
                (gint64)status.st_size, max);
    close(fd);
    return NULL;
  }
  gsize size = (gsize)status.st_size;
  g_autofree guint8 *buffer = g_try_malloc(MAX(size, 1));
  gssize got = buffer ? read_all(fd, buffer, size) : -1;
  int number = buffer ? errno : ENOMEM;
  GemFileIdentity identity = {0};
  if (got == status.st_size) {
    identity = settled_identity(fd, &status);
  }
  close(fd);
  if (got < 0) {
    gem_file_fail(error, number, "read", path);
    return NULL;
  }
  if (ret_identity != NULL) {
    *ret_identity = identity;
  }
  return g_bytes_new_take(g_steal_pointer(&buffer), (gsize)got);
}

gboolean
gem_file_hash(const char *path, guint64 *ret_size, char **ret_sha256, GError **error)
{
  g_autoptr(GemFileReader) file = gem_file_reader_open(path, error);
  if (file == NULL) {
    return FALSE;
  }
  char *sha256 = gem_file_reader_hash(file, error);
  if (sha256 == NULL) {
    return FALSE;
  }
  *ret_size = gem_file_reader_get_size(file);
  *ret_sha256 = sha256;
  return TRUE;
}

/* Writes all parts; 0, or the errno. */
static int
write_parts(int fd, GPtrArray *parts)
{
  for (guint i = 0; i < parts->len; i++) {
    gsize left;
    const guint8 *data = g_bytes_get_data(parts->pdata[i], &left);
    while (left > 0) {
      gssize written = write(fd, data, left);
      if (written < 0 && errno == EINTR) {
        continue;
      }
      if (written < 0) {
        return errno;
      }
      data += written;
      left -= (gsize)written;
    }
  }
  return 0;
}

gboolean
gem_file_overwrite(int fd, const char *name, GBytes *bytes, GError **error)
{
  g_autoptr(GPtrArray) parts = g_ptr_array_new();
  g_ptr_array_add(parts, bytes);
  int number = ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 ? errno : write_parts(fd, parts);
  if (number == 0 && fsync(fd) < 0) {
    number = errno;
  }
  return number == 0 || gem_file_fail(error, number, "write", name);
}

/* A new file beside `path`, with the mode that the umask leaves; -1 with errno on error. */
static int
create_beside(const char *path, char **ret_temporary)
{
  for (guint attempt = 0; attempt < 100; attempt++) {
    g_autofree char *temporary = g_strdup_printf("%s.%08x.tmp", path, g_random_int());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
      *ret_temporary = g_steal_pointer(&temporary);
      return fd;
    }
    if (errno != EEXIST) {
      return -1;
    }
  }
  errno = EEXIST;
  return -1;
}

GPtrArray *
gem_file_list_missing(const char *path)
{
  GPtrArray *missing = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *at = g_strdup(path);
  /* "." is not there where the working folder is gone, and nothing is above it. */
  while (strcmp(at, ".") != 0 && !g_file_test(at, G_FILE_TEST_EXISTS)) {
    char *above = g_path_get_dirname(at);
    g_ptr_array_add(missing, g_steal_pointer(&at));
    at = above;
  }
  return missing;
}

void
gem_file_sync_folder(const char *folder)
{
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
}

/* A device or a pipe would be gone, or what leads to it, and a file stand in its place. A link that leads to
 * a file, or nowhere, may be replaced. */
static gboolean
check_replaceable(const char *path, GError **error)
{
  struct stat status;
  gboolean special = stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
  if (special) {
    g_autofree char *name = g_filename_display_name(path);
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO, "cannot write %s: not a regular file", name);
  }
  return !special;
}

gboolean
gem_file_replace(const char *path, GPtrArray *parts, GError **error)
{
  g_autofree char *temporary = NULL;
  if (!check_replaceable(path, error)) {
    return FALSE;
  }
  int fd = create_beside(path, &temporary);
  if (fd < 0) {
    return gem_file_fail(error, errno, "write", path);
  }

  int number = write_parts(fd, parts);
  if (number == 0 && fsync(fd) < 0) {
    number = errno;
  }
  if (close(fd) < 0 && number == 0) {
    number = errno;
  }
  if (number == 0 && rename(temporary, path) < 0) {
    number = errno;
  }
  if (number != 0) {
    unlink(temporary);
    return gem_file_fail(error, number, "write", path);
  }
  g_autofree char *folder = g_path_get_dirname(path);
  gem_file_sync_folder(folder);
  return TRUE;
}
