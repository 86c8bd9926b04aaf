#include "plugins/backends/npu-ort/gem-npu-blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/backends/npu-ort/gem-npu-sha256.h"
#include "plugins/support/gem-plugin-support.h"

#define LONGEST_PATH 512

#define DRAFT ".draft" /* KEY.PROCESS-NUMBER.draft: as the provider writes it */
#define PART  ".part"  /* the same with the hash, but not whole yet */

static atomic_uint drafts; /* that this process has given out */

static void
path_of(const char *dir, const char *key, const char *suffix, char *ret_path, size_t size)
{
  snprintf(ret_path, size, "%s/%s%s", dir, key, suffix);
}

static bool
ends_with(const char *name, const char *suffix)
{
  size_t length = strlen(name), end = strlen(suffix);
  return length >= end && strcmp(name + length - end, suffix) == 0;
}

/* Drafts of processes that are gone, and of this one's predecessor by its number. */
static bool
is_left_over(const char *name)
{
  if (!ends_with(name, DRAFT) && !ends_with(name, PART)) {
    return false;
  }
  const char *dot = strchr(name, '.');
  long process = dot != NULL ? strtol(dot + 1, NULL, 10) : 0;
  if (process == (long)getpid()) {
    return atomic_load(&drafts) == 0;
  }
  return process <= 0 || (kill((pid_t)process, 0) != 0 && errno == ESRCH);
}

/* Whether nobody else could have written what is open. */
static bool
check_trusted(const char *path, const struct stat *status, GemPluginError *error)
{
  if ((status->st_uid != 0 && status->st_uid != geteuid()) || (status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    gem_plugin_set_error(
        error, "%.160s is not used: it must belong to user %ld or root, and be writable by that one alone",
        path, (long)geteuid());
    return false;
  }
  return true;
}

/* -1: it cannot be opened, or others may write to it. */
static int
open_folder(const char *path, int flags, GemPluginError *error)
{
  struct stat status;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
  if (fd < 0 || fstat(fd, &status) != 0) {
    gem_plugin_set_error(error, "%.160s is not used: %s", path, strerror(errno));
  } else if (check_trusted(path, &status, error)) {
    return fd;
  }
  if (fd >= 0) {
    close(fd);
  }
  return -1;
}

/* Who may write there could put another folder in the place of this one. */
static bool
check_folder_above(const char *dir, GemPluginError *error)
{
  char above[LONGEST_PATH];
  snprintf(above, sizeof above, "%s/..", dir);
  int fd = open_folder(above, 0, error);
  if (fd >= 0) {
    close(fd);
  }
  return fd >= 0;
}

static void
remove_left_overs(int dir)
{
  DIR *entries = fdopendir(dir);
  for (const struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
    if (is_left_over(entry->d_name)) {
      unlinkat(dir, entry->d_name, 0);
    }
  }
  if (entries != NULL) {
    closedir(entries);
  } else {
    close(dir);
  }
}

bool
gem_npu_blobs_open(const char *dir, GemPluginError *error)
{
  if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
    gem_plugin_set_error(error, "%.160s is not used: %s", dir, strerror(errno));
    return false;
  }
  int fd = open_folder(dir, O_NOFOLLOW, error);
  if (fd < 0) {
    return false;
  }
  if (!check_folder_above(dir, error)) {
    close(fd);
    return false;
  }
  remove_left_overs(fd);
  return true;
}

void
gem_npu_blob_key(const void *model, size_t size, const char *identity, char ret_key[GEM_NPU_BLOB_KEY])
{
  GemNpuSha256 sum;
  uint8_t hash[GEM_NPU_SHA256_BYTES];
  gem_npu_sha256_begin(&sum);
  gem_npu_sha256_update(&sum, identity, strlen(identity) + 1);
  gem_npu_sha256_update(&sum, model, size);
  gem_npu_sha256_finish(&sum, hash);
  for (size_t i = 0; i < sizeof hash; i++) {
    snprintf(ret_key + 2 * i, 3, "%02x", hash[i]);
  }
}

/* What a file begins with. */
static void
hash_contents(const char *key, const uint8_t *bytes, size_t size, uint8_t ret_hash[GEM_NPU_SHA256_BYTES])
{
  GemNpuSha256 sum;
  gem_npu_sha256_begin(&sum);
  gem_npu_sha256_update(&sum, key, strlen(key) + 1);
  gem_npu_sha256_update(&sum, bytes, size);
  gem_npu_sha256_finish(&sum, ret_hash);
}

/* ---- reading ---- */

static bool
read_all(int fd, uint8_t *bytes, size_t size)
{
  for (size_t done = 0; done < size;) {
    ssize_t n = read(fd, bytes + done, size - done);
    if (n <= 0 && !(n < 0 && errno == EINTR)) {
      return false;
    }
    done += n > 0 ? (size_t)n : 0;
  }
  return true;
}

/* A file whole; released by free(). NULL: there is none, or it cannot be read, and `error` is set when it is
 * not to be trusted. */
static uint8_t *
read_file(const char *path, size_t *ret_size, GemPluginError *error)
{
  struct stat status;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) {
    return NULL;
  }
  bool is_readable = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
                     (error == NULL || check_trusted(path, &status, error));
  uint8_t *bytes = is_readable ? malloc((size_t)status.st_size) : NULL;
  if (bytes != NULL && !read_all(fd, bytes, (size_t)status.st_size)) {
    free(bytes);
    bytes = NULL;
  }
  if (bytes != NULL) {
    *ret_size = (size_t)status.st_size;
    futimens(fd, (const struct timespec[]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}}); /* it was used */
  }
  close(fd);
  return bytes;
}

bool
gem_npu_blob_load(const char *dir, const char *key, uint8_t **ret_bytes, size_t *ret_size)
{
  char path[LONGEST_PATH];
  uint8_t hash[GEM_NPU_SHA256_BYTES];
  size_t size = 0;
  GemPluginError error = {""};
  path_of(dir, key, "", path, sizeof path);
  uint8_t *bytes = read_file(path, &size, &error);
  if (error.message[0] != '\0') {
    fprintf(stderr, "backend npu-ort: %s\n", error.message);
  }
  if (bytes == NULL) {
    return false;
  }
  if (size > sizeof hash) {
    hash_contents(key, bytes + sizeof hash, size - sizeof hash, hash);
  }
  if (size <= sizeof hash || memcmp(hash, bytes, sizeof hash) != 0) {
    unlink(path);
    free(bytes);
    return false;
  }
  memmove(bytes, bytes + sizeof hash, size - sizeof hash);
  *ret_bytes = bytes;
  *ret_size = size - sizeof hash;
  return true;
}

void
gem_npu_blob_remove(const char *dir, const char *key)
{
  char path[LONGEST_PATH];
  path_of(dir, key, "", path, sizeof path);
  unlink(path);
}

/* ---- writing ---- */

static bool
write_all(int fd, const uint8_t *bytes, size_t size)
{
  for (size_t done = 0; done < size;) {
    ssize_t n = write(fd, bytes + done, size - done);
    if (n < 0 && errno != EINTR) {
      return false;
    }
    done += n > 0 ? (size_t)n : 0;
  }
  return true;
}

void
gem_npu_blob_draft(const char *dir, const char *key, char *ret_path, size_t size)
{
  char suffix[64];
  snprintf(suffix, sizeof suffix, ".%ld-%u" DRAFT, (long)getpid(), atomic_fetch_add(&drafts, 1));
  path_of(dir, key, suffix, ret_path, size);
  unlink(ret_path);
}

static bool
write_part(const char *path, const char *key, const void *bytes, size_t size)
{
  uint8_t hash[GEM_NPU_SHA256_BYTES];
  hash_contents(key, bytes, size, hash);
  unlink(path);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return false;
  }
  bool written = write_all(fd, hash, sizeof hash) && write_all(fd, bytes, size) && fsync(fd) == 0;
  return close(fd) == 0 && written;
}

/* ---- how many there are ---- */

typedef struct {
  char name[GEM_NPU_BLOB_KEY];
  size_t bytes;
  struct timespec used;
} Blob;

static int
by_use(const void *a, const void *b)
{
  const struct timespec *x = &((const Blob *)a)->used, *y = &((const Blob *)b)->used;
  if (x->tv_sec != y->tv_sec) {
    return x->tv_sec < y->tv_sec ? -1 : 1;
  }
  return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static int
is_blob(const struct dirent *entry)
{
  return strlen(entry->d_name) == GEM_NPU_BLOB_KEY - 1;
}

static void
remove_oldest(const char *dir, size_t most)
{
  struct dirent **entries = NULL;
  int n = scandir(dir, &entries, is_blob, NULL);
  Blob *blobs = n > 0 ? calloc((size_t)n, sizeof *blobs) : NULL;
  size_t total = 0;
  for (int i = 0; i < n; i++) {
    char path[LONGEST_PATH];
    struct stat status;
    path_of(dir, entries[i]->d_name, "", path, sizeof path);
    if (blobs != NULL && stat(path, &status) == 0) {
      snprintf(blobs[i].name, sizeof blobs[i].name, "%.64s", entries[i]->d_name);
      blobs[i].bytes = (size_t)status.st_size;
      blobs[i].used = status.st_mtim;
      total += blobs[i].bytes;
    }
    free(entries[i]);
  }
  free(entries);
  if (blobs != NULL) {
    qsort(blobs, (size_t)n, sizeof *blobs, by_use);
  }
  for (int i = 0; blobs != NULL && i < n && total > most; i++) {
    gem_npu_blob_remove(dir, blobs[i].name);
    total -= blobs[i].bytes;
  }
  free(blobs);
}

void
gem_npu_blob_keep(const char *dir, const char *key, const char *draft, size_t most)
{
  char part[LONGEST_PATH + sizeof PART], path[LONGEST_PATH];
  size_t size = 0;
  snprintf(part, sizeof part, "%s%s", draft, PART);
  path_of(dir, key, "", path, sizeof path);
  uint8_t *bytes = read_file(draft, &size, NULL); /* of this process; others cannot reach into the folder */
  unlink(draft);
  if (bytes == NULL || !write_part(part, key, bytes, size) || rename(part, path) != 0) {
    unlink(part);
  }
  free(bytes);
  remove_oldest(dir, most);
}
