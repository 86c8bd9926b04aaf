#include "plugins/backends/npu-ort/gem-npu-device.h"

#include <stdio.h>
#include <string.h>

#include "plugins/backends/npu-ort/gem-npu-blobs.h"
#include "plugins/backends/npu-ort/gem-npu-registrations.h"
#include "plugins/backends/npu-ort/gem-npu-trust.h"
#include "plugins/support/gem-plugin-support.h"

#define CPU_PROVIDER "CPUExecutionProvider"

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
take_provider(GemNpuDevice *self, const GemNpuProvider *provider, GemPluginError *error)
{
  GemNpuProvider checked = *provider;
  if (!gem_npu_check_library(provider->path, checked.path, sizeof checked.path, error) ||
      !gem_npu_registration_take(self->library, &checked, error)) {
    return false;
  }
  self->n_taken++;
  return true;
}

static bool
take_providers(GemNpuDevice *self, GemPluginError *error)
{
  const GemOrtLibrary *library = self->library;
  if (self->settings.n_providers > 0 && library->api_version < GEM_ORT_API_DEVICES) {
    gem_plugin_set_error(error, "ONNX Runtime %s is too old for providers: 1.%d or newer is needed",
                         library->version, GEM_ORT_API_DEVICES);
    return false;
  }
  for (size_t i = 0; i < self->settings.n_providers; i++) {
    if (!take_provider(self, &self->settings.providers[i], error)) {
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
  const OrtEpDevice *device = gem_npu_registrations_find_npu(self->library, &self->settings, error);
  if (device == NULL) {
    return false;
  }
  const char *name = api->device_provider(device);
  const char *version = api->get_value(api->device_metadata(device), "version");
  self->device = device;
  self->provider = provider_of(&self->settings, name);
  snprintf(self->name, sizeof self->name, "%s", name);
  snprintf(self->version, sizeof self->version, "%.31s", version != NULL ? version : "");
  return true;
}

/* ONNX Runtime as the settings name it, else as the linker finds it. */
static bool
open_library(GemNpuDevice *self, GemPluginError *error)
{
  const char *configured = self->settings.library;
  GemPluginError of_configured = {""}, of_soname = {""};
  char file[sizeof self->settings.library];
  if (self->library == NULL && configured[0] != '\0' &&
      gem_npu_check_library(configured, file, sizeof file, &of_configured)) {
    self->library = gem_ort_library_open(file, &of_configured);
  }
  if (self->library == NULL) {
    self->library = gem_ort_library_open("", &of_soname);
  }
  if (self->library == NULL) {
    gem_plugin_set_error(error, "%.160s%s%.80s", of_configured.message, configured[0] != '\0' ? "; " : "",
                         of_soname.message);
  }
  return self->library != NULL;
}

/* An NPU that the kernel knows and nobody drives is reported as exactly that. */
static bool
has_provider(const GemNpuDevice *self, GemPluginError *error)
{
  if (self->settings.n_providers > 0) {
    return true;
  }
  gem_plugin_set_error(error, "NPU %s (driver %s) has no provider: no file of the settings names one",
                       self->hardware.node,
                       self->hardware.driver[0] != '\0' ? self->hardware.driver : "unknown");
  return false;
}

static void
choose_lowering(GemNpuDevice *self)
{
  self->lowering = (GemNpuLowering){.form = gem_npu_form_of_provider(self->name),
                                    .rounds_inputs = true,
                                    .is_half = self->device != NULL,
                                    .has_bytes = gem_npu_has_bytes(self->name, self->library->api_version)};
}

/* There is an NPU, or a provider that may have one. */
static bool
open_npu(GemNpuDevice *self, GemPluginError *error)
{
  GemPluginError reason = {""};
  bool is_known = self->hardware.node[0] != '\0';
  if (!has_provider(self, error) || (is_known && !gem_npu_hardware_check(&self->hardware, error))) {
    return false;
  }
  if (open_library(self, &reason) && take_providers(self, &reason) && find_npu(self, &reason)) {
    choose_lowering(self);
    return true;
  }
  gem_plugin_set_error(error, "%s%s: %.200s", is_known ? "NPU " : "the providers of the settings have no NPU",
                       self->hardware.node, reason.message);
  return false;
}

static bool
open_cpu(GemNpuDevice *self, GemPluginError *error)
{
  if (!open_library(self, error)) {
    return false;
  }
  snprintf(self->name, sizeof self->name, "%s", CPU_PROVIDER);
  choose_lowering(self);
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
    gem_plugin_set_error(
        error, "this machine has no NPU: nothing in /sys/class/accel, and no provider in the settings");
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
    while (self->n_taken > 0) {
      gem_npu_registration_release(self->library, self->settings.providers[--self->n_taken].name);
    }
    gem_ort_library_close(self->library);
    self->library = NULL;
  }
}

void
gem_npu_device_keep_in(GemNpuDevice *self, const char *cache_dir)
{
  GemPluginError error = {""};
  int length = snprintf(self->blobs, sizeof self->blobs, "%s/npu-ort", cache_dir);
  if ((size_t)length >= sizeof self->blobs) {
    gem_plugin_set_error(&error, "%.160s is not used: its path is too long", cache_dir);
  } else {
    gem_npu_blobs_open(self->blobs, &error);
  }
  if (error.message[0] != '\0') {
    fprintf(stderr, "backend npu-ort: nothing that is compiled is kept: %s\n", error.message);
    self->blobs[0] = '\0';
  }
}

void
gem_npu_device_describe(const GemNpuDevice *self, char *ret_text, size_t size)
{
  int length =
      snprintf(ret_text, size, "ONNX Runtime %s; %s %s; %s %s %s", self->library->version, self->name,
               self->version, self->hardware.vendor, self->hardware.driver, self->hardware.version);
  const GemNpuProvider *provider = self->provider;
  for (size_t i = 0; provider != NULL && i < provider->n_options && (size_t)length < size; i++) {
    length +=
        snprintf(ret_text + length, size - (size_t)length, "; %s=%s", provider->keys[i], provider->values[i]);
  }
}
