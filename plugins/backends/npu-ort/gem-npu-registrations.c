#include "plugins/backends/npu-ort/gem-npu-registrations.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "plugins/support/gem-plugin-support.h"

/* A vendor's library that has been opened stays, as ONNX Runtime's does (gem-ort-library.c): it has threads
 * and a C++ run-time, too. */
#define PIN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

#define MOST_REGISTRATIONS 32

/* ONNX Runtime 1.27 does not look into /sys/class/accel; a provider may find its NPU by itself. */
#define LAST_RELEASE_WITHOUT_NPUS 27

typedef struct {
  const void *handle; /* of ONNX Runtime's library: another one has an environment of its own */
  char name[64];
  char path[256];
  unsigned users; /* 0: a free place */
} Registration;

/* Whoever has taken one has this module open: the table is empty when the module leaves the process. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Registration registrations[MOST_REGISTRATIONS];

static Registration *
find(const GemOrtLibrary *library, const char *name)
{
  for (size_t i = 0; i < MOST_REGISTRATIONS; i++) {
    Registration *each = &registrations[i];
    if (each->users > 0 && each->handle == library->handle && strcmp(each->name, name) == 0) {
      return each;
    }
  }
  return NULL;
}

static Registration *
find_free(void)
{
  for (size_t i = 0; i < MOST_REGISTRATIONS; i++) {
    if (registrations[i].users == 0) {
      return &registrations[i];
    }
  }
  return NULL;
}

static bool
open_provider(const GemOrtLibrary *library, const GemNpuProvider *provider, GemPluginError *error)
{
  char what[400];
  snprintf(what, sizeof what, "provider %s (%s)", provider->name, provider->path);
  void *handle = dlopen(provider->path, PIN_FLAGS);
  if (handle == NULL) {
    gem_plugin_set_error(error, "%s: %s", what, dlerror());
    return false;
  }
  bool opened = gem_ort_library_check(
      library, library->api.register_library(library->env, provider->name, provider->path), what, error);
  dlclose(handle);
  return opened;
}

static bool
add(const GemOrtLibrary *library, const GemNpuProvider *provider, GemPluginError *error)
{
  Registration *place = find_free();
  if (place == NULL) {
    gem_plugin_set_error(error, "provider %s: %d are registered, and there is no room for more",
                         provider->name, MOST_REGISTRATIONS);
    return false;
  }
  if (!open_provider(library, provider, error)) {
    return false;
  }
  *place = (Registration){.handle = library->handle, .users = 1};
  memcpy(place->name, provider->name, sizeof place->name);
  memcpy(place->path, provider->path, sizeof place->path);
  return true;
}

/* One more user of what is registered. */
static bool
join(Registration *self, const GemNpuProvider *provider, GemPluginError *error)
{
  if (strcmp(self->path, provider->path) != 0) {
    gem_plugin_set_error(error,
                         "provider %s is in use from %s: another library of it needs a new start of gemd",
                         self->name, self->path);
    return false;
  }
  self->users++;
  return true;
}

bool
gem_npu_registration_take(const GemOrtLibrary *library, const GemNpuProvider *provider, GemPluginError *error)
{
  pthread_mutex_lock(&mutex);
  Registration *there = find(library, provider->name);
  bool taken = there != NULL ? join(there, provider, error) : add(library, provider, error);
  pthread_mutex_unlock(&mutex);
  return taken;
}

void
gem_npu_registration_release(const GemOrtLibrary *library, const char *name)
{
  pthread_mutex_lock(&mutex);
  Registration *self = find(library, name);
  if (self != NULL && --self->users == 0) {
    OrtStatus *status = library->api.unregister_library(library->env, name);
    if (status != NULL) { /* there is nothing to be done about it: the next that wants it is told */
      library->api.release_status(status);
    }
  }
  pthread_mutex_unlock(&mutex);
}

static bool
is_named(const GemNpuSettings *settings, const char *name)
{
  for (size_t i = 0; i < settings->n_providers; i++) {
    if (strcmp(settings->providers[i].name, name) == 0) {
      return true;
    }
  }
  return false;
}

/* While the list is read nobody may register: it is ONNX Runtime's own, and moves when it grows. */
const OrtEpDevice *
gem_npu_registrations_find_npu(const GemOrtLibrary *library,
                               const GemNpuSettings *settings,
                               GemPluginError *error)
{
  const GemOrtApi *api = &library->api;
  const OrtEpDevice *const *devices = NULL;
  const OrtEpDevice *found = NULL;
  size_t n = 0;
  pthread_mutex_lock(&mutex);
  bool listed =
      gem_ort_library_check(library, api->get_devices(library->env, &devices, &n), "its devices", error);
  for (size_t i = 0; listed && found == NULL && i < n; i++) {
    bool is_npu = api->hardware_type(api->device_hardware(devices[i])) == GEM_ORT_HARDWARE_NPU;
    found = is_npu && is_named(settings, api->device_provider(devices[i])) ? devices[i] : NULL;
  }
  pthread_mutex_unlock(&mutex);
  if (listed && found == NULL) {
    gem_plugin_set_error(error, "none of the providers named in the settings has an NPU%s",
                         library->release <= LAST_RELEASE_WITHOUT_NPUS
                             ? " (on Linux ONNX Runtime 1.27 and older shows them none)"
                             : "");
  }
  return found;
}
