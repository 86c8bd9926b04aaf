#include "plugins/backends/npu-ort/gem-npu-settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/backends/npu-ort/gem-npu-trust.h"
#include "plugins/support/gem-plugin-support.h"

#define LONGEST_LINE 512

static const char *
settings_folder(void)
{
#ifdef GEM_NPU_ORT_DIR_FROM_ENVIRONMENT
  const char *dir = secure_getenv("GEM_NPU_ORT_DIR");
  if (dir != NULL && *dir != '\0') {
    return dir;
  }
#endif
  return GEM_NPU_ORT_DIR;
}

static bool
copy_value(char *to, size_t size, const char *value)
{
  return *value != '\0' && (size_t)snprintf(to, size, "%s", value) < size;
}

static bool
take_option(GemNpuProvider *provider, const char *value)
{
  const char *colon = strchr(value, ':');
  size_t n = provider->n_options;
  if (colon == NULL || colon == value || n == GEM_NPU_OPTIONS ||
      (size_t)(colon - value) >= sizeof provider->keys[n]) {
    return false;
  }
  memcpy(provider->keys[n], value, (size_t)(colon - value));
  provider->keys[n][colon - value] = '\0';
  provider->n_options++;
  return copy_value(provider->values[n], sizeof provider->values[n], colon + 1);
}

static bool
take_setting(GemNpuSettings *self, const char *key, const char *value)
{
  GemNpuProvider *last = self->n_providers > 0 ? &self->providers[self->n_providers - 1] : NULL;
  if (strcmp(key, "Library") == 0) {
    return *value == '/' && copy_value(self->library, sizeof self->library, value);
  }
  if (strcmp(key, "AllowCpu") == 0) {
    self->allow_cpu = strcmp(value, "yes") == 0;
    return self->allow_cpu || strcmp(value, "no") == 0;
  }
  if (strcmp(key, "Provider") == 0 && self->n_providers < GEM_NPU_PROVIDERS) {
    last = &self->providers[self->n_providers++];
    return copy_value(last->name, sizeof last->name, value);
  }
  if (strcmp(key, "Path") == 0 && last != NULL) {
    return *value == '/' && copy_value(last->path, sizeof last->path, value);
  }
  return strcmp(key, "Option") == 0 && last != NULL && take_option(last, value);
}

static bool
read_lines(GemNpuSettings *self, const char *path, FILE *file, GemPluginError *error)
{
  char line[LONGEST_LINE];
  for (unsigned number = 1; fgets(line, sizeof line, file) != NULL; number++) {
    line[strcspn(line, "\r\n")] = '\0';
    char *key = line + strspn(line, " \t");
    if (*key == '\0' || *key == '#') {
      continue;
    }
    char *equals = strchr(key, '=');
    if (equals != NULL) {
      *equals = '\0';
    }
    if (equals == NULL || !take_setting(self, key, equals + 1)) {
      gem_plugin_set_error(error, "%s: line %u is not understood", path, number);
      return false;
    }
  }
  return true;
}

static bool
read_file(GemNpuSettings *self, int folder, const char *path, const char *name, GemPluginError *error)
{
  int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    gem_plugin_set_error(error, "%s: %s", path, strerror(errno));
    return false;
  }
  FILE *file = gem_npu_check_owner(path, fd, error) ? fdopen(fd, "r") : NULL;
  if (file == NULL) {
    close(fd);
    return false;
  }
  bool read = read_lines(self, path, file, error);
  fclose(file);
  return read;
}

static int
is_settings_file(const struct dirent *entry)
{
  size_t length = strlen(entry->d_name);
  return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* A provider is a name and a library. */
static bool
check_providers(const GemNpuSettings *self, const char *folder, GemPluginError *error)
{
  for (size_t i = 0; i < self->n_providers; i++) {
    if (self->providers[i].path[0] == '\0') {
      gem_plugin_set_error(error, "%s: Provider=%s has no Path", folder, self->providers[i].name);
      return false;
    }
  }
  return true;
}

bool
gem_npu_settings_read(GemNpuSettings *self, GemPluginError *error)
{
  const char *folder = settings_folder();
  *self = (GemNpuSettings){0};
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) {
      return true;
    }
    gem_plugin_set_error(error, "%s: %s", folder, strerror(errno));
    return false;
  }
  struct dirent **entries = NULL;
  int n =
      gem_npu_check_owner(folder, fd, error) ? scandirat(fd, ".", &entries, is_settings_file, alphasort) : -1;
  bool read = n >= 0;
  for (int i = 0; i < n; i++) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
    read = read && read_file(self, fd, path, entries[i]->d_name, error);
    free(entries[i]);
  }
  free(entries);
  close(fd);
  return read && check_providers(self, folder, error);
}
