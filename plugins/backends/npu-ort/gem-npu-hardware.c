#include "plugins/backends/npu-ort/gem-npu-hardware.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "plugins/support/gem-plugin-support.h"

#define ACCELERATORS "/sys/class/accel"
#define NODES        "/dev/accel/"

static void
read_line(const char *path, char *line, size_t size)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, line, size - 1) : -1;
  line[n > 0 ? n : 0] = '\0';
  line[strcspn(line, "\n")] = '\0';
  if (fd >= 0) {
    close(fd);
  }
}

static int
is_accelerator(const struct dirent *entry)
{
  return strncmp(entry->d_name, "accel", 5) == 0 && strlen(entry->d_name) < 32;
}

/* A driver of the kernel's own has no version but that of the kernel. */
static void
read_version(GemNpuHardware *self, const char *name)
{
  char path[128];
  struct utsname kernel;
  snprintf(path, sizeof path, ACCELERATORS "/%.32s/device/driver/module/version", name);
  read_line(path, self->version, sizeof self->version);
  if (self->version[0] == '\0' && uname(&kernel) == 0) {
    snprintf(self->version, sizeof self->version, "Linux %.60s", kernel.release);
  }
}

static void
describe(GemNpuHardware *self, const char *name)
{
  char path[128], target[256];
  snprintf(self->node, sizeof self->node, NODES "%.32s", name);
  snprintf(path, sizeof path, ACCELERATORS "/%.32s/device/vendor", name);
  read_line(path, self->vendor, sizeof self->vendor);
  snprintf(path, sizeof path, ACCELERATORS "/%.32s/device/driver", name);
  ssize_t length = readlink(path, target, sizeof target - 1);
  target[length > 0 ? length : 0] = '\0';
  const char *slash = strrchr(target, '/');
  snprintf(self->driver, sizeof self->driver, "%.60s", slash != NULL ? slash + 1 : target);
  read_version(self, name);
}

static bool
is_open(const struct dirent *entry)
{
  char node[64];
  snprintf(node, sizeof node, NODES "%.32s", entry->d_name);
  return access(node, R_OK | W_OK) == 0;
}

void
gem_npu_hardware_find(GemNpuHardware *ret_hardware)
{
  struct dirent **entries = NULL;
  int n = scandir(ACCELERATORS, &entries, is_accelerator, alphasort);
  *ret_hardware = (GemNpuHardware){0};
  int chosen = 0;
  while (chosen < n && !is_open(entries[chosen])) {
    chosen++;
  }
  if (n > 0) {
    describe(ret_hardware, entries[chosen < n ? chosen : 0]->d_name);
  }
  for (int i = 0; i < n; i++) {
    free(entries[i]);
  }
  free(entries);
}

bool
gem_npu_hardware_check(const GemNpuHardware *self, GemPluginError *error)
{
  if (access(self->node, R_OK | W_OK) == 0) {
    return true;
  }
  gem_plugin_set_error(error, "NPU %s (driver %s) is closed to the service: %s; see drop-in npu.conf",
                       self->node, self->driver[0] != '\0' ? self->driver : "unknown", strerror(errno));
  return false;
}
