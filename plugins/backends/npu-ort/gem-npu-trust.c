#include "plugins/backends/npu-ort/gem-npu-trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/support/gem-plugin-support.h"

static bool
is_owner_trusted(uid_t owner)
{
#ifdef GEM_NPU_ORT_DIR_FROM_ENVIRONMENT
  return owner == 0 || owner == geteuid();
#else
  return owner == 0;
#endif
}

static bool
check_open(const char *path, int fd, bool may_be_sticky, GemPluginError *error)
{
  struct stat status;
  if (fstat(fd, &status) != 0) {
    gem_plugin_set_error(error, "%s: %s", path, strerror(errno));
    return false;
  }
  bool is_shared = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  bool is_sticky = may_be_sticky && (status.st_mode & S_ISVTX) != 0;
  if (!is_owner_trusted(status.st_uid) || (is_shared && !is_sticky)) {
    gem_plugin_set_error(error, "%s must belong to root and be writable by root alone", path);
    return false;
  }
  return true;
}

bool
gem_npu_check_owner(const char *path, int fd, GemPluginError *error)
{
  return check_open(path, fd, false, error);
}

static bool
check_path(const char *path, int flags, bool may_be_sticky, GemPluginError *error)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
  if (fd < 0) {
    gem_plugin_set_error(error, "%s: %s", path, strerror(errno));
    return false;
  }
  bool trusted = check_open(path, fd, may_be_sticky, error);
  close(fd);
  return trusted;
}

/* In a folder that others may write to, nothing that was seen of what lies in it lasts. Cuts `file` down. */
static bool
check_folders_above(char *file, GemPluginError *error)
{
  bool trusted = true, is_first = true;
  for (char *slash = strrchr(file, '/'); trusted && slash != NULL && slash != file;
       slash = strrchr(file, '/')) {
    *slash = '\0';
    trusted = check_path(file, O_DIRECTORY, !is_first, error);
    is_first = false;
  }
  return trusted && check_path("/", O_DIRECTORY, !is_first, error);
}

bool
gem_npu_check_library(const char *path, char *ret_file, size_t size, GemPluginError *error)
{
  char *file = realpath(path, NULL), *folders = file != NULL ? strdup(file) : NULL;
  bool trusted = false;
  if (folders == NULL) {
    gem_plugin_set_error(error, "%s: %s", path, strerror(errno));
  } else if (strlen(file) >= size) {
    gem_plugin_set_error(error, "%s: what it leads to has a path of more than %zu bytes", path, size - 1);
  } else {
    trusted = check_path(file, 0, false, error) && check_folders_above(folders, error);
  }
  if (trusted) {
    memcpy(ret_file, file, strlen(file) + 1);
  }
  free(folders);
  free(file);
  return trusted;
}
