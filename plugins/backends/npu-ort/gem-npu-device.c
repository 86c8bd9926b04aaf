#include "plugins/backends/npu-ort/gem-npu-device.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/support/gem-plugin-support.h"

#define ACCELERATORS "/sys/class/accel"
#define CPU_PROVIDER "CPUExecutionProvider"

/* ---- what the kernel knows ---- */

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

void
gem_npu_hardware_find(GemNpuHardware *ret_hardware)
{
  struct dirent **entries = NULL;
  int n = scandir(ACCELERATORS, &entries, is_accelerator, alphasort);
  *ret_hardware = (GemNpuHardware){0};
  if (n > 0) {
    const char *name = entries[0]->d_name;
    char path[128], target[256];
    snprintf(ret_hardware->node, sizeof ret_hardware->node, "/dev/accel/%.32s", name);
    snprintf(path, sizeof path, ACCELERATORS "/%.32s/device/vendor", name);
    read_line(path, ret_hardware->vendor, sizeof ret_hardware->vendor);
    snprintf(path, sizeof path, ACCELERATORS "/%.32s/device/driver", name);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(target, '/');
    snprintf(ret_hardware->driver, sizeof ret_hardware->driver, "%.60s", slash != NULL ? slash + 1 : target);
  }
  for (int i = 0; i < n; i++) {
    free(entries[i]);
  }
  free(entries);
}

/* ---- what the providers know ---- */

static const GemNpuProvider *
provider_of(const GemNpuSettings *settings, const char *name)
{
  for (size_t i = 0; i < settings->n_providers; i++) {
    if (strcmp(settings->providers[i].name, name) == 0) {
      return &settings->providers[i];
    }
  }
  return NULL;
}

static bool
register_providers(GemNpuDevice *self, GemPluginError *error)
{
  const GemOrtLibrary *library = self->library;
  if (self->settings.n_providers > 0 && library->api_version < GEM_ORT_API_DEVICES) {
    gem_plugin_set_error(error, "ONNX Runtime %s is too old for providers: 1.%d or newer is needed",
                         library->version, GEM_ORT_API_DEVICES);
    return false;
  }
  for (size_t i = 0; i < self->settings.n_providers; i++) {
    const GemNpuProvider *provider = &self->settings.providers[i];
    char what[320];
    snprintf(what, sizeof what, "provider %s (%s)", provider->name, provider->path);
    if (!gem_ort_library_check(library,
                               library->api.register_library(library->env, provider->name, provider->path),
                               what, error)) {
      return false;
    }
  }
  return true;
}

/* The first NPU that a provider of the settings drives. */
static bool
find_npu(GemNpuDevice *self, GemPluginError *error)
{
  const GemOrtApi *api = &self->library->api;
  const OrtEpDevice *const *devices = NULL;
  size_t n = 0;
  if (self->settings.n_providers == 0 ||
      !gem_ort_library_check(self->library, api->get_devices(self->library->env, &devices, &n), "its devices",
                             error)) {
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    const char *name = api->device_provider(devices[i]);
    const GemNpuProvider *provider = provider_of(&self->settings, name);
    if (provider != NULL && api->hardware_type(api->device_hardware(devices[i])) == GEM_ORT_HARDWARE_NPU) {
      self->device = devices[i];
      self->provider = provider;
      snprintf(self->name, sizeof self->name, "%s", name);
      return true;
    }
  }
  gem_plugin_set_error(error, "none of the providers named in the settings has an NPU");
  return false;
}

static void
describe_missing(const GemNpuDevice *self, const char *reason, GemPluginError *error)
{
  GemPluginError cause;
  snprintf(cause.message, sizeof cause.message, "%s", reason);
  if (self->hardware.node[0] == '\0') {
    gem_plugin_set_error(error, "the providers of the settings have no NPU: %.200s", cause.message);
    return;
  }
  gem_plugin_set_error(error, "NPU %s (driver %s) has no provider: %.150s", self->hardware.node,
                       self->hardware.driver[0] != '\0' ? self->hardware.driver : "unknown", cause.message);
}

static bool
open_npu(GemNpuDevice *self, GemPluginError *error)
{
  GemPluginError reason = {"no file of the settings names one"};
  if (self->library == NULL) {
    self->library = gem_ort_library_open(self->settings.library, &reason);
  }
  if (self->library != NULL && register_providers(self, &reason) && find_npu(self, &reason)) {
    self->form = gem_npu_form_of_provider(self->name);
    return true;
  }
  describe_missing(self, reason.message, error);
  return false;
}

static bool
open_cpu(GemNpuDevice *self, GemPluginError *error)
{
  if (self->library == NULL) {
    self->library = gem_ort_library_open(self->settings.library, error);
  }
  if (self->library == NULL) {
    return false;
  }
  snprintf(self->name, sizeof self->name, "%s", CPU_PROVIDER);
  self->form = gem_npu_form_of_provider(self->name);
  return true;
}

GemProbeResult
gem_npu_device_open(GemNpuDevice *ret_device, GemPluginError *error)
{
  GemNpuDevice self = {0};
  if (!gem_npu_settings_read(&self.settings, error)) {
    return GEM_PROBE_UNSUPPORTED;
  }
  gem_npu_hardware_find(&self.hardware);
  bool has_npu = self.hardware.node[0] != '\0' || self.settings.n_providers > 0;
  if (!has_npu && !self.settings.allow_cpu) {
    gem_plugin_set_error(error, "this machine has no NPU: nothing in " ACCELERATORS
                                ", and no provider in the settings");
    return GEM_PROBE_UNSUPPORTED;
  }
  bool opened = has_npu && open_npu(&self, error);
  if (!opened && self.settings.allow_cpu) {
    opened = open_cpu(&self, error);
  }
  if (!opened) {
    gem_npu_device_close(&self);
    return has_npu ? GEM_PROBE_DEFERRED : GEM_PROBE_UNSUPPORTED;
  }
  *ret_device = self;
  if (ret_device->provider != NULL) { /* it points into the settings, which have moved */
    ret_device->provider = provider_of(&ret_device->settings, ret_device->name);
  }
  return GEM_PROBE_SUPPORTED;
}

void
gem_npu_device_close(GemNpuDevice *self)
{
  if (self->library != NULL) {
    for (size_t i = 0; i < self->settings.n_providers && self->library->api.unregister_library != NULL; i++) {
      OrtStatus *status =
          self->library->api.unregister_library(self->library->env, self->settings.providers[i].name);
      if (status != NULL) { /* it was never registered */
        self->library->api.release_status(status);
      }
    }
    gem_ort_library_close(self->library);
    self->library = NULL;
  }
}
