/*
 * Which NPU there is, and which provider drives it: an own look at what the kernel knows, then what the
 * providers that the administrator has named say.
 */
#pragma once

#include <stdatomic.h>

#include "plugins/backends/npu-ort/gem-npu-graph.h"
#include "plugins/backends/npu-ort/gem-npu-hardware.h"
#include "plugins/backends/npu-ort/gem-npu-settings.h"
#include "plugins/backends/npu-ort/gem-ort-library.h"

/* What pathways run on. */
typedef struct {
  GemOrtLibrary *library;
  GemNpuHardware hardware;
  GemNpuSettings settings;
  size_t n_taken;            /* of the settings' providers: those that are registered for this one */
  const OrtEpDevice *device; /* NULL: ONNX Runtime's own CPU provider */
  const GemNpuProvider *provider;
  char name[64];           /* the provider's */
  char version[32];        /* of it; empty: not known */
  GemNpuLowering lowering; /* that its provider is known to take */
  char blobs[256];         /* the folder of what it has compiled; empty: nothing is kept */
  atomic_uint n_unkept;    /* graphs in a row that gave nothing to keep */
} GemNpuDevice;

/* GEM_PROBE_SUPPORTED: *ret_device is filled, to be closed. Else `error` says why in one line. DEFERRED:
 * there is an NPU that cannot be used now. */
GemProbeResult
gem_npu_device_open(GemNpuDevice *ret_device, GemPluginError *error);
void
gem_npu_device_close(GemNpuDevice *self);

/* Keeps what the provider compiles, in a folder of this one; where it cannot be used standard error says why,
 * and nothing is kept. */
void
gem_npu_device_keep_in(GemNpuDevice *self, const char *cache_dir);
/* All that what it compiles depends on, but for the model: names, versions, options. */
void
gem_npu_device_describe(const GemNpuDevice *self, char *ret_text, size_t size);
