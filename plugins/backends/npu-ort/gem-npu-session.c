#include "plugins/backends/npu-ort/gem-npu-session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/backends/npu-ort/gem-npu-blobs.h"
#include "plugins/support/gem-plugin-support.h"

#define ALIGNMENT 64

/* ---- options ---- */

static bool
set(const GemNpuDevice *device,
    OrtSessionOptions *options,
    const char *key,
    const char *value,
    GemPluginError *error)
{
  return gem_ort_library_check(device->library, device->library->api.add_config(options, key, value), key,
                               error);
}

/* The device, and nothing but it: what it cannot run whole it shall not run. */
static bool
use_device(const GemNpuDevice *device, OrtSessionOptions *options, GemPluginError *error)
{
  const GemNpuProvider *provider = device->provider;
  const char *keys[GEM_NPU_OPTIONS], *values[GEM_NPU_OPTIONS];
  for (size_t i = 0; i < provider->n_options; i++) {
    keys[i] = provider->keys[i];
    values[i] = provider->values[i];
  }
  return set(device, options, "session.disable_cpu_ep_fallback", "1", error) &&
         gem_ort_library_check(device->library,
                               device->library->api.append_devices(options, device->library->env,
                                                                   &device->device, 1, keys, values,
                                                                   provider->n_options),
                               device->name, error);
}

static bool
set_options(const GemNpuDevice *device, OrtSessionOptions *options, GemPluginError *error)
{
  const GemOrtLibrary *library = device->library;
  const GemOrtApi *api = &library->api;
  /* One thread: calls are short, and threads that wait would take the CPU from the other backend. */
  return gem_ort_library_check(library, api->set_intra_threads(options, 1), "one thread", error) &&
         gem_ort_library_check(library, api->set_inter_threads(options, 1), "one thread", error) &&
         gem_ort_library_check(library, api->set_optimization(options, GEM_ORT_OPTIMIZE_ALL), "optimization",
                               error) &&
         gem_ort_library_check(library, api->disable_arena(options), "no arena", error) &&
         set(device, options, "session.intra_op.allow_spinning", "0", error) &&
         /* The graph has rounded its inputs; the CPU provider shall not do so again in its own way. */
         set(device, options, "session.qdq_matmulnbits_accuracy_level", "1", error) &&
         (device->device == NULL || use_device(device, options, error));
}

/* ---- bindings ---- */

static void
unbind(GemNpuSession *self, const GemOrtApi *api)
{
  if (self->x != NULL) {
    api->release_value(self->x);
  }
  if (self->y != NULL) {
    api->release_value(self->y);
  }
  self->x = self->y = NULL;
  self->bound = 0;
}

static bool
bind_rows(GemNpuSession *self, const GemNpuDevice *device, uint32_t rows, GemPluginError *error)
{
  if (self->bound == rows) {
    return true;
  }
  const GemOrtLibrary *library = device->library;
  const GemOrtApi *api = &library->api;
  const int64_t shape[] = {rows, self->width};
  size_t bytes = (size_t)rows * self->width * sizeof(float);
  unbind(self, api);
  bool bound =
      gem_ort_library_check(
          library, api->create_tensor(library->memory, self->input, bytes, shape, 2, GEM_ORT_FLOAT, &self->x),
          "input", error) &&
      gem_ort_library_check(
          library,
          api->create_tensor(library->memory, self->output, bytes, shape, 2, GEM_ORT_FLOAT, &self->y),
          "output", error) &&
      gem_ort_library_check(library, api->bind_input(self->binding, GEM_NPU_GRAPH_INPUT, self->x), "input",
                            error) &&
      gem_ort_library_check(library, api->bind_output(self->binding, GEM_NPU_GRAPH_OUTPUT, self->y), "output",
                            error);
  self->bound = bound ? rows : 0;
  return bound;
}

/* Inputs of a device that has memory of its own are copied there when they are bound, not when they are read
 * (about 1 us). */
static bool
bind_again(GemNpuSession *self, const GemNpuDevice *device, GemPluginError *error)
{
  const GemOrtLibrary *library = device->library;
  return device->device == NULL ||
         gem_ort_library_check(library, library->api.bind_input(self->binding, GEM_NPU_GRAPH_INPUT, self->x),
                               "input", error);
}

/* What is no number would stay in the text for good: a device may say that all is well and give it. */
static bool
check_numbers(const float *values, size_t n, const char *device, GemPluginError *error)
{
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(values[i])) {
      gem_plugin_set_error(error, "%s gave a value that is not a finite number", device);
      return false;
    }
  }
  return true;
}

/* ---- the session ---- */

/* A session of a model; `draft`: where what the provider compiles is to be written, or NULL. */
static bool
create_session(GemNpuSession *self,
               const GemNpuDevice *device,
               const void *model,
               size_t bytes,
               const char *draft,
               GemPluginError *error)
{
  const GemOrtLibrary *library = device->library;
  OrtSessionOptions *options = NULL;
  bool made = gem_ort_library_check(library, library->api.create_options(&options), "options", error) &&
              set_options(device, options, error) &&
              (draft == NULL || (set(device, options, "ep.context_enable", "1", error) &&
                                 set(device, options, "ep.context_embed_mode", "1", error) &&
                                 set(device, options, "ep.context_file_path", draft, error))) &&
              gem_ort_library_check(
                  library, library->api.create_session(library->env, model, bytes, options, &self->session),
                  device->name, error);
  if (options != NULL) {
    library->api.release_options(options);
  }
  return made;
}

/* From what was compiled before, or by compiling and keeping it. False: neither, and it is to be made as if
 * nothing were kept. */
static bool
create_kept(GemNpuSession *self, const GemNpuDevice *device, const void *model, size_t bytes, const char *key)
{
  char draft[512];
  uint8_t *kept;
  size_t kept_bytes;
  GemPluginError unused = {""};
  if (gem_npu_blob_load(device->blobs, key, &kept, &kept_bytes)) {
    bool made = create_session(self, device, kept, kept_bytes, NULL, &unused);
    free(kept);
    if (made) {
      return true;
    }
    gem_npu_blob_remove(device->blobs, key);
  }
  gem_npu_blob_draft(device->blobs, key, draft, sizeof draft);
  bool made = create_session(self, device, model, bytes, draft, &unused);
  gem_npu_blob_keep(device->blobs, key, draft, GEM_NPU_BLOBS_MOST);
  return made;
}

/* Graphs in a row that a provider compiles when nothing is to be kept, and not else, before it is taken for
 * one that has nothing to keep: one or two may have met with a full disk or a busy device. */
#define MOST_UNKEPT 3

/* With a cache. A provider that has nothing to keep fails when it is asked for it. */
static bool
create_with_cache(
    GemNpuSession *self, GemNpuDevice *device, const void *model, size_t bytes, GemPluginError *error)
{
  char key[GEM_NPU_BLOB_KEY], identity[2048];
  gem_npu_device_describe(device, identity, sizeof identity);
  gem_npu_blob_key(model, bytes, identity, key);
  bool keeps = atomic_load(&device->n_unkept) < MOST_UNKEPT;
  if (keeps && create_kept(self, device, model, bytes, key)) {
    atomic_store(&device->n_unkept, 0);
    return true;
  }
  bool made = create_session(self, device, model, bytes, NULL, error);
  if (keeps && made) {
    atomic_fetch_add(&device->n_unkept, 1);
  }
  return made;
}

static bool
make_session(GemNpuSession *self,
             GemNpuDevice *device,
             const GemNpuLowering *lowering,
             const GemFeedForwardTensors *tensors,
             GemPluginError *error)
{
  const GemOrtLibrary *library = device->library;
  uint8_t *model;
  if (!gem_npu_graph_make(tensors, lowering, self->rows, &model, &self->model_bytes, error)) {
    return false;
  }
  bool keeps = device->device != NULL && device->blobs[0] != '\0';
  bool made = (keeps ? create_with_cache(self, device, model, self->model_bytes, error)
                     : create_session(self, device, model, self->model_bytes, NULL, error)) &&
              gem_ort_library_check(library, library->api.create_binding(self->session, &self->binding),
                                    "binding", error);
  free(model);
  return made;
}

bool
gem_npu_session_open(GemNpuSession *self,
                     GemNpuDevice *device,
                     const GemNpuLowering *lowering,
                     const GemFeedForwardTensors *tensors,
                     uint32_t rows,
                     GemPluginError *error)
{
  *self = (GemNpuSession){.rows = rows, .width = (uint32_t)tensors->gate.cols};
  size_t most = rows > 0 ? rows : GEM_NPU_BLOCK;
  size_t bytes = (most * self->width * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  self->input = aligned_alloc(ALIGNMENT, bytes);
  self->output = aligned_alloc(ALIGNMENT, bytes);
  if (self->input == NULL || self->output == NULL) {
    gem_plugin_set_error(error, "out of memory (%zu bytes)", bytes);
    gem_npu_session_close(self, device);
    return false;
  }
  memset(self->input, 0, bytes);
  if (!make_session(self, device, lowering, tensors, error) ||
      !bind_rows(self, device, rows > 0 ? rows : 1, error)) {
    gem_npu_session_close(self, device);
    return false;
  }
  return true;
}

void
gem_npu_session_close(GemNpuSession *self, const GemNpuDevice *device)
{
  const GemOrtApi *api = &device->library->api;
  unbind(self, api);
  if (self->binding != NULL) {
    api->release_binding(self->binding);
  }
  if (self->session != NULL) {
    api->release_session(self->session);
  }
  free(self->input);
  free(self->output);
  *self = (GemNpuSession){0};
}

bool
gem_npu_session_run(GemNpuSession *self,
                    const GemNpuDevice *device,
                    const float *x,
                    uint32_t n,
                    float *y,
                    GemPluginError *error)
{
  const GemOrtLibrary *library = device->library;
  size_t count = (size_t)n * self->width;
  if (!bind_rows(self, device, self->rows > 0 ? self->rows : n, error)) {
    return false;
  }
  memcpy(self->input, x, count * sizeof *x);
  bool ran =
      bind_again(self, device, error) &&
      gem_ort_library_check(library, library->api.run(self->session, NULL, self->binding), "a call", error) &&
      check_numbers(self->output, count, device->name, error);
  for (size_t i = 0; ran && i < count; i++) {
    y[i] += self->output[i];
  }
  /* What a caller's text left must not stay; rows beyond n were zeros before and are again. */
  memset(self->input, 0, count * sizeof *x);
  memset(self->output, 0, count * sizeof *x);
  return ran;
}
