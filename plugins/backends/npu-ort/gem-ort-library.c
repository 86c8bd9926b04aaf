#include "plugins/backends/npu-ort/gem-ort-library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/support/gem-plugin-support.h"

#define SONAME "libonnxruntime.so.1"

/* A library that has been opened stays: its threads and its C++ run-time do not survive being unmapped. */
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

#define TAKE(place, name, field, result, parameters)                                                         \
  memcpy(&api->field, &table->functions[(place)], sizeof api->field);

static void
take_functions(GemOrtApi *api, const GemOrtTable *table, bool with_devices)
{
  GEM_ORT_FUNCTIONS(TAKE)
  if (with_devices) {
    GEM_ORT_DEVICE_FUNCTIONS(TAKE)
  }
}

/* "1.23.2" -> 23, the release whose table a library has at most; 0: a version that is not known. */
static uint32_t
release_of(const char *version)
{
  unsigned major = 0, minor = 0;
  return sscanf(version, "%u.%u", &major, &minor) == 2 && major == 1 ? minor : 0;
}

static bool
take_table(GemOrtLibrary *self, const GemOrtBase *base, GemPluginError *error)
{
  snprintf(self->version, sizeof self->version, "%s", base->get_version());
  /* By its version first: a library prints a line of its own when it is asked for a table that it lacks. */
  uint32_t release = self->release = release_of(self->version);
  uint32_t newest = release < GEM_ORT_API_NEWEST ? release : GEM_ORT_API_NEWEST;
  for (uint32_t version = newest; version >= GEM_ORT_API_SESSIONS; version--) {
    const GemOrtTable *table = base->get_api(version);
    if (table != NULL) {
      self->api_version = version;
      take_functions(&self->api, table, version >= GEM_ORT_API_DEVICES);
      return true;
    }
  }
  gem_plugin_set_error(error, "%s is ONNX Runtime %s, which is %s: 1.%d or newer of 1.x is needed",
                       self->path, self->version, release > 0 ? "too old" : "not known",
                       GEM_ORT_API_SESSIONS);
  return false;
}

static bool
open_library(GemOrtLibrary *self, GemPluginError *error)
{
  const char *telemetry = getenv("ORT_DISABLE_TELEMETRY");
  if (telemetry == NULL || strcmp(telemetry, "1") != 0) {
    gem_plugin_set_error(error, "%s is not opened: ORT_DISABLE_TELEMETRY=1 must be in the environment",
                         self->path);
    return false;
  }
  self->handle = dlopen(self->path, OPEN_FLAGS);
  if (self->handle == NULL) {
    gem_plugin_set_error(error, "%s", dlerror());
    return false;
  }
  GemOrtGetBase get_base;
  void *symbol = dlsym(self->handle, "OrtGetApiBase");
  memcpy(&get_base, &symbol, sizeof get_base);
  const GemOrtBase *base = symbol != NULL ? get_base() : NULL;
  if (base == NULL) {
    gem_plugin_set_error(error, "%s is not ONNX Runtime: it has no OrtGetApiBase", self->path);
    return false;
  }
  return take_table(self, base, error);
}

static bool
make_environment(GemOrtLibrary *self, GemPluginError *error)
{
  const GemOrtApi *api = &self->api;
  return gem_ort_library_check(self, api->create_env(GEM_ORT_LOGGING_FATAL, "gemd", &self->env),
                               "its environment", error) &&
         gem_ort_library_check(self, api->disable_telemetry(self->env), "no telemetry", error) &&
         gem_ort_library_check(
             self, api->create_memory_info(GEM_ORT_DEVICE_ALLOCATOR, GEM_ORT_MEMORY_DEFAULT, &self->memory),
             "its description of memory", error);
}

GemOrtLibrary *
gem_ort_library_open(const char *path, GemPluginError *error)
{
  GemOrtLibrary *self = calloc(1, sizeof *self);
  if (self == NULL) {
    gem_plugin_set_error(error, "out of memory");
    return NULL;
  }
  snprintf(self->path, sizeof self->path, "%s", *path != '\0' ? path : SONAME);
  if (!open_library(self, error) || !make_environment(self, error)) {
    gem_ort_library_close(self);
    return NULL;
  }
  return self;
}

void
gem_ort_library_close(GemOrtLibrary *self)
{
  if (self->memory != NULL) {
    self->api.release_memory_info(self->memory);
  }
  if (self->env != NULL) {
    self->api.release_env(self->env);
  }
  if (self->handle != NULL) {
    dlclose(self->handle);
  }
  free(self);
}

bool
gem_ort_library_check(const GemOrtLibrary *self, OrtStatus *status, const char *what, GemPluginError *error)
{
  if (status == NULL) {
    return true;
  }
  char line[1024];
  snprintf(line, sizeof line, "%s", self->api.error_message(status));
  self->api.release_status(status);
  line[strcspn(line, "\r\n")] = '\0';
  gem_plugin_set_error(error, "ONNX Runtime %s: %s: %s", self->version, what, line);
  return false;
}
