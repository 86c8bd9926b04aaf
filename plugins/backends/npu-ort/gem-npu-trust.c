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

bool
gem_npu_check_owner(const char *path, int fd, GemPluginError *error)
{
  struct stat status;
  if (fstat(fd, &status) != 0) {
    gem_plugin_set_error(error, "%s: %s", path, strerror(errno));
    return false;
  }
  if (!is_owner_trusted(status.st_uid) || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    gem_plugin_set_error(error, "%s must belong to root and be writable by root alone", path);
    return false;
  }
  return true;
}

static bool
check_path(const char *path, int flags, GemPluginError *error)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
  if (fd < 0) {
    gem_plugin_set_error(error, "%s: %s", path, strerror(errno));
    return false;
  }
  bool trusted = gem_npu_check_owner(path, fd, error);
  close(fd);
  return trusted;
}

bool
gem_npu_check_library(const char *path, GemPluginError *error)
{
  char *file = realpath(path, NULL);
  if (file == NULL) {
    gem_plugin_set_error(error, "%s: %s", path, strerror(errno));
    return false;
  }
  bool trusted = check_path(file, 0, error);
  char *slash = strrchr(file, '/');
  if (trusted && slash != NULL && slash != file) {
    *slash = '\0'; /* in a folder that others may write to, nothing that was seen of the file lasts */
    trusted = check_path(file, O_DIRECTORY, error);
  }
  free(file);
  return trusted;
}
