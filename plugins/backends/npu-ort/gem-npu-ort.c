/*
 * The backend for NPUs: whole pathways as sessions of ONNX Runtime, whose execution providers reach the
 * devices of several vendors. It declines, with one line that says why, where there is none.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plugins/backends/npu-ort/gem-npu-blobs.h"
#include "plugins/backends/npu-ort/gem-npu-session.h"
#include "plugins/support/gem-plugin-support.h"

struct GemBackendState {
  GemNpuDevice device;
};

/* One pathway: a session a layer for single rows, and one for blocks, since devices want shapes that do not
 * change; ONNX Runtime's own CPU provider takes any number of rows, and the second is not there. */
struct GemCompiled {
  uint32_t layers;
  GemNpuSession *singles; /* [layers] */
  GemNpuSession *blocks;  /* [layers], or NULL */
};

/* Options decide what a device gives and how fast: decisions are kept by them, in a form that shows none. */
static void
describe_settings(const GemNpuDevice *device, GemProbeReport *report)
{
  char identity[2048], key[GEM_NPU_BLOB_KEY];
  gem_npu_device_describe(device, identity, sizeof identity);
  gem_npu_blob_key("", 0, identity, key);
  snprintf(report->reason, sizeof report->reason, "settings %s", key);
}

/* Decisions and compiled pathways are kept by what is said here: versions belong to it. */
static void
describe(const GemNpuDevice *device, GemProbeReport *report)
{
  const GemNpuHardware *hardware = &device->hardware;
  if (device->device == NULL) {
    snprintf(report->device, sizeof report->device, "CPU, in place of an NPU");
  } else if (hardware->node[0] == '\0') {
    snprintf(report->device, sizeof report->device, "NPU");
  } else {
    snprintf(report->device, sizeof report->device, "%.32s (%.20s, %.30s)", hardware->node,
             hardware->driver[0] != '\0' ? hardware->driver : "driver unknown", hardware->version);
  }
  snprintf(report->kernels, sizeof report->kernels, "ONNX Runtime %.20s, %.36s%s%.16s, %s",
           device->library->version, device->name, device->version[0] != '\0' ? " " : "", device->version,
           gem_npu_form_name(device->lowering.form));
  describe_settings(device, report);
}

static GemProbeResult
npu_probe(GemProbeReport *ret_report)
{
  GemPluginError error = {""};
  GemNpuDevice device;
  *ret_report = (GemProbeReport){.score = 5};
  GemProbeResult result = gem_npu_device_open(&device, &error);
  if (result != GEM_PROBE_SUPPORTED) {
    snprintf(ret_report->device, sizeof ret_report->device, "NPU");
    snprintf(ret_report->reason, sizeof ret_report->reason, "%.159s", error.message);
    return result;
  }
  describe(&device, ret_report);
  gem_npu_device_close(&device);
  return result;
}

static GemBackendState *
npu_open(const GemBackendOptions *options, GemPluginError *error)
{
  GemBackendState *self = calloc(1, sizeof *self);
  if (self == NULL) {
    gem_plugin_set_error(error, "backend npu-ort: out of memory");
    return NULL;
  }
  GemPluginError reason = {""};
  if (gem_npu_device_open(&self->device, &reason) != GEM_PROBE_SUPPORTED) {
    gem_plugin_set_error(error, "backend npu-ort: %.200s", reason.message);
    free(self);
    return NULL;
  }
  bool has_cache = options->struct_size >= offsetof(GemBackendOptions, cache_dir) + sizeof options->cache_dir;
  if (has_cache && options->cache_dir != NULL) {
    gem_npu_device_keep_in(&self->device, options->cache_dir);
  }
  return self;
}

static void
npu_close(GemBackendState *self)
{
  gem_npu_device_close(&self->device);
  free(self);
}

/* ---- pathways ---- */

static void
close_sessions(const GemBackendState *self, GemNpuSession *sessions, uint32_t layers)
{
  for (uint32_t layer = 0; sessions != NULL && layer < layers; layer++) {
    if (sessions[layer].width > 0) {
      gem_npu_session_close(&sessions[layer], &self->device);
    }
  }
  free(sessions);
}

static GemNpuSession *
open_sessions(GemBackendState *self,
              const GemNpuLowering *lowering,
              const GemPathwayTensors *tensors,
              uint32_t rows,
              GemPluginError *error)
{
  GemNpuSession *sessions = calloc(tensors->layers, sizeof *sessions);
  if (sessions == NULL) {
    gem_plugin_set_error(error, "out of memory");
    return NULL;
  }
  for (uint32_t layer = 0; layer < tensors->layers; layer++) {
    GemPluginError reason = {""};
    if (!gem_npu_session_open(&sessions[layer], &self->device, lowering, &tensors->feed_forwards[layer], rows,
                              &reason)) {
      gem_plugin_set_error(error, "layer %u: %.200s", layer, reason.message);
      close_sessions(self, sessions, tensors->layers);
      return NULL;
    }
  }
  return sessions;
}

static void
npu_compiled_free(GemBackendState *self, GemCompiled *compiled)
{
  close_sessions(self, compiled->singles, compiled->layers);
  close_sessions(self, compiled->blocks, compiled->layers);
  free(compiled);
}

/* With one lowering for all layers. */
static GemCompiled *
compile_as(GemBackendState *self,
           const GemNpuLowering *lowering,
           const GemPathwayTensors *tensors,
           GemPluginError *error)
{
  bool any_rows = self->device.device == NULL;
  GemCompiled *compiled = calloc(1, sizeof *compiled);
  if (compiled == NULL) {
    gem_plugin_set_error(error, "out of memory");
    return NULL;
  }
  compiled->layers = tensors->layers;
  compiled->singles = open_sessions(self, lowering, tensors, any_rows ? 0 : 1, error);
  if (compiled->singles != NULL && !any_rows) {
    compiled->blocks = open_sessions(self, lowering, tensors, GEM_NPU_BLOCK, error);
  }
  if (compiled->singles == NULL || (compiled->blocks == NULL && !any_rows)) {
    npu_compiled_free(self, compiled);
    return NULL;
  }
  return compiled;
}

/* A device may run all of a feed-forward but what rounds its inputs, or know no scales by block: it is asked
 * again for plainer forms. How far they are from right is measured before one is used. */
static GemCompiled *
npu_compile(GemBackendState *self, const GemPathwayTensors *tensors, GemPluginError *error)
{
  GemNpuLowering lowering = self->device.lowering;
  GemCompiled *compiled = compile_as(self, &lowering, tensors, error);
  GemPluginError unused = {""}; /* the first says what is in the way */
  lowering.rounds_inputs = false;
  for (unsigned form = lowering.form; compiled == NULL && self->device.device != NULL && form < GEM_NPU_FORMS;
       form++) {
    lowering.form = (GemNpuForm)form;
    compiled = compile_as(self, &lowering, tensors, &unused);
  }
  return compiled;
}

static size_t
npu_compiled_bytes(const GemCompiled *compiled)
{
  size_t bytes = sizeof *compiled;
  for (uint32_t layer = 0; layer < compiled->layers; layer++) {
    bytes += compiled->singles[layer].model_bytes;
    bytes += compiled->blocks != NULL ? compiled->blocks[layer].model_bytes : 0;
  }
  return bytes;
}

/* Blocks for as long as there is more than a row; a block that is not full costs what a full one does. */
static bool
npu_run(GemBackendState *self,
        GemCompiled *compiled,
        uint32_t layer,
        const float *x,
        size_t n,
        float *y,
        GemPluginError *error)
{
  GemNpuSession *single = &compiled->singles[layer];
  GemNpuSession *block = compiled->blocks != NULL ? &compiled->blocks[layer] : single;
  size_t width = single->width;
  float *results = n > GEM_NPU_BLOCK ? calloc(n * width, sizeof *results) : NULL;
  if (n > GEM_NPU_BLOCK && results == NULL) {
    gem_plugin_set_error(error, "out of memory");
    return false;
  }
  /* Several calls: y must be as it was when a later one fails. */
  float *to = results != NULL ? results : y;
  bool ran = true;
  for (size_t done = 0; ran && done < n;) {
    size_t rows = n - done < GEM_NPU_BLOCK ? n - done : GEM_NPU_BLOCK;
    ran = gem_npu_session_run(rows == 1 ? single : block, &self->device, x + done * width, (uint32_t)rows,
                              to + done * width, error);
    done += rows;
  }
  for (size_t i = 0; ran && results != NULL && i < n * width; i++) {
    y[i] += results[i];
  }
  free(results);
  return ran;
}

static const GemBackendFunctions functions = {
    .probe = npu_probe,
    .open = npu_open,
    .close = npu_close,
    .compile = npu_compile,
    .compiled_free = npu_compiled_free,
    .compiled_bytes = npu_compiled_bytes,
    .run = npu_run,
};

GEM_PLUGIN_DEFINE(
    GEM_PLUGIN_BACKEND, "npu-ort", "1.0", "Apache-2.0", "Pathways on NPUs, through ONNX Runtime", functions)
