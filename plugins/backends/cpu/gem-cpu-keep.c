/* The folder of packed matrices: its files are looked for, checked and written. */
#include "plugins/backends/cpu/gem-cpu-keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/backends/cpu/gem-cpu-kept-file.h"

#define HEXADECIMAL "0123456789abcdef"
#define UNFINISHED  ".new"

enum { NAME_BYTES = GEM_CPU_DIGEST_BYTES + sizeof UNFINISHED - 1, READ_BYTES = 256 * 1024 };

struct GemCpuKeep {
  int dir;
  /* Files that were read against their checksum: the last so many. */
  struct stat known[GEM_CPU_KEEP_FILES];
  size_t n_known; /* ever */
};

/* ---- who may write ---- */

static bool
is_private(const struct stat *status)
{
  return status->st_uid == geteuid() && (status->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* The folder; -1: there is none that can be trusted. */
static int
open_folder(const char *cache_dir)
{
  struct stat status;
  int cache = open(cache_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int dir = -1;
  if (cache < 0) {
    return -1;
  }
  if (fstat(cache, &status) == 0 && is_private(&status) &&
      (mkdirat(cache, "cpu", S_IRWXU) == 0 || errno == EEXIST)) {
    dir = openat(cache, "cpu", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  }
  close(cache);
  if (dir >= 0 && (fstat(dir, &status) != 0 || !is_private(&status))) {
    close(dir);
    return -1;
  }
  return dir;
}

GemCpuKeep *
gem_cpu_keep_new(const char *cache_dir)
{
  GemCpuKeep *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return NULL;
  }
  self->dir = open_folder(cache_dir);
  if (self->dir < 0) {
    free(self);
    return NULL;
  }
  return self;
}

void
gem_cpu_keep_free(GemCpuKeep *self)
{
  if (self != NULL) {
    close(self->dir);
    free(self);
  }
}

/* "DIGEST", or with an ending; false: that is no digest, and no name of a file. */
static bool
name_of(const char *digest, const char *ending, char name[NAME_BYTES])
{
  if (strlen(digest) != GEM_CPU_DIGEST_DIGITS || strspn(digest, HEXADECIMAL) != GEM_CPU_DIGEST_DIGITS) {
    return false;
  }
  snprintf(name, NAME_BYTES, "%s%s", digest, ending);
  return true;
}

/* ---- looking ---- */

static bool
same_time(struct timespec a, struct timespec b)
{
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool
is_known(const GemCpuKeep *self, const struct stat *status)
{
  for (size_t i = 0; i < self->n_known && i < GEM_CPU_KEEP_FILES; i++) {
    const struct stat *known = &self->known[i];
    if (known->st_dev == status->st_dev && known->st_ino == status->st_ino &&
        known->st_size == status->st_size && same_time(known->st_mtim, status->st_mtim) &&
        same_time(known->st_ctim, status->st_ctim)) {
      return true;
    }
  }
  return false;
}

static void
know(GemCpuKeep *self, const struct stat *status)
{
  self->known[self->n_known++ % GEM_CPU_KEEP_FILES] = *status;
}

/* What is kept of a model file, open; -1: nothing that can be trusted, or it cannot be opened now, with errno
 * other than 0. */
static int
open_kept(const GemCpuKeep *self, const char *digest, struct stat *ret_status)
{
  char name[NAME_BYTES];
  errno = 0;
  if (!name_of(digest, "", name)) {
    return -1;
  }
  int file = openat(self->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0 && (errno == ENOENT || errno == ELOOP)) {
    errno = 0;
  }
  if (file >= 0 &&
      (fstat(file, ret_status) != 0 || !S_ISREG(ret_status->st_mode) || !is_private(ret_status))) {
    close(file);
    errno = 0;
    return -1;
  }
  return file;
}

/* Whether its end is in the system's cache; false where the system does not say. */
static bool
is_cached(int file, const struct stat *status)
{
  uint8_t byte;
  struct iovec last = {&byte, 1};
  return status->st_size == 0 || preadv2(file, &last, 1, status->st_size - 1, RWF_NOWAIT) == 1;
}

/* Brings it into the cache: a page that is waited for when it is mapped costs more than when it is read. */
static void
read_through(int file)
{
  uint8_t *room = malloc(READ_BYTES);
  (void)posix_fadvise(file, 0, 0, POSIX_FADV_WILLNEED);
  if (room != NULL) {
    while (read(file, room, READ_BYTES) > 0) {
    }
    free(room);
  }
}

bool
gem_cpu_keep_expect(GemCpuKeep *self, const char *digest)
{
  struct stat status;
  int file = open_kept(self, digest, &status);
  if (file < 0) {
    return false;
  }
  /* Asking costs as much as a small file's mapping. The advice is a wish. */
  if (!is_cached(file, &status)) {
    (void)posix_fadvise(file, 0, 0, POSIX_FADV_WILLNEED);
  }
  close(file);
  return true;
}

GemCpuKept *
gem_cpu_keep_map(GemCpuKeep *self, const char *digest, bool *ret_missing)
{
  struct stat status;
  int file = open_kept(self, digest, &status);
  if (file < 0) {
    *ret_missing = errno == 0;
    return NULL;
  }
  if (!is_cached(file, &status)) {
    read_through(file);
  }
  bool known = is_known(self, &status);
  GemCpuKept *kept = gem_cpu_kept_file_map(file, (uint64_t)status.st_size, digest, !known);
  *ret_missing = kept == NULL && errno == 0;
  close(file);
  if (kept != NULL && !known) {
    know(self, &status);
  }
  return kept;
}

/* ---- making room ---- */

/* Of a walk through the folder: what its files take, and the oldest of them. */
typedef struct {
  uint64_t bytes;
  size_t files;
  char oldest[NAME_BYTES];
  struct timespec when;
} Folder;

static bool
is_earlier(struct timespec a, struct timespec b)
{
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* A digest, or one with the ending of a file that is being written. */
static bool
is_own(const char *name)
{
  return strspn(name, HEXADECIMAL) == GEM_CPU_DIGEST_DIGITS &&
         (name[GEM_CPU_DIGEST_DIGITS] == '\0' || strcmp(name + GEM_CPU_DIGEST_DIGITS, UNFINISHED) == 0);
}

static void
count_file(int dir, const char *name, Folder *folder)
{
  struct stat status;
  if (!is_own(name) || fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) {
    return;
  }
  if (folder->files == 0 || is_earlier(status.st_mtim, folder->when)) {
    memcpy(folder->oldest, name, strlen(name) + 1); /* is_own() */
    folder->when = status.st_mtim;
  }
  folder->files++;
  folder->bytes += (uint64_t)status.st_size;
}

static bool
walk_folder(const GemCpuKeep *self, Folder *ret_folder)
{
  int again = openat(self->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = again >= 0 ? fdopendir(again) : NULL;
  if (dir == NULL) {
    if (again >= 0) {
      close(again);
    }
    return false;
  }
  *ret_folder = (Folder){0};
  for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
    count_file(self->dir, entry->d_name, ret_folder);
  }
  closedir(dir);
  return true;
}

/* The oldest files go until there is room for one more of so many bytes. */
static bool
make_room(const GemCpuKeep *self, uint64_t bytes)
{
  Folder folder;
  if (bytes > GEM_CPU_KEEP_FILE_BYTES || !walk_folder(self, &folder)) {
    return false;
  }
  while (folder.files >= GEM_CPU_KEEP_FILES || folder.bytes + bytes > GEM_CPU_KEEP_BYTES) {
    if (unlinkat(self->dir, folder.oldest, 0) != 0 || !walk_folder(self, &folder)) {
      return false;
    }
  }
  return true;
}

/* ---- writing ---- */

/* A file of the matrices under an unfinished name, on the disk. What a full disk cannot take is not begun. */
static bool
write_unfinished(const GemCpuKeep *self,
                 const char *digest,
                 const char *name,
                 const GemCpuKeptMatrix *matrices,
                 size_t count,
                 GemCpuKeepControl *control)
{
  off_t bytes = (off_t)gem_cpu_kept_file_bytes(matrices, count);
  int file = openat(self->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0) {
    return false;
  }
  bool written = (fallocate(file, 0, 0, bytes) == 0 || errno == EOPNOTSUPP || errno == ENOSYS) &&
                 gem_cpu_kept_file_write(file, digest, matrices, count, &control->stop);
  atomic_store(&control->released, true);
  written = written && fdatasync(file) == 0;
  return close(file) == 0 && written;
}

/* By who has the folder to himself. */
static bool
write_alone(const GemCpuKeep *self,
            const char *digest,
            const GemCpuKeptMatrix *matrices,
            size_t count,
            GemCpuKeepControl *control)
{
  char name[NAME_BYTES], unfinished[NAME_BYTES];
  if (!name_of(digest, "", name) || !name_of(digest, UNFINISHED, unfinished)) {
    return false;
  }
  (void)unlinkat(self->dir, unfinished, 0);
  if (!make_room(self, gem_cpu_kept_file_bytes(matrices, count))) {
    return false;
  }
  bool written = write_unfinished(self, digest, unfinished, matrices, count, control) &&
                 renameat(self->dir, unfinished, self->dir, name) == 0;
  if (!written) {
    (void)unlinkat(self->dir, unfinished, 0);
  }
  return written;
}

bool
gem_cpu_keep_write(const GemCpuKeep *self,
                   const char *digest,
                   const GemCpuKeptMatrix *matrices,
                   size_t count,
                   GemCpuKeepControl *control)
{
  /* A description of its own: the lock is one's against other threads, too. */
  int lock = openat(self->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool written =
      lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && write_alone(self, digest, matrices, count, control);
  atomic_store(&control->released, true);
  if (lock >= 0) {
    close(lock);
  }
  return written;
}
