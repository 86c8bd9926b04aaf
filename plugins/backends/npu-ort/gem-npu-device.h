/*
 * Which NPU there is, and which provider drives it: an own look at what the kernel knows, then what the
 * providers that the administrator has named say.
 */
#pragma once

#include "plugins/backends/npu-ort/gem-npu-graph.h"
#include "plugins/backends/npu-ort/gem-npu-settings.h"
#include "plugins/backends/npu-ort/gem-ort-library.h"

/* The first accelerator of /sys/class/accel. */
typedef struct {
  char node[64];   /* "/dev/accel/accel0"; empty: there is none */
  char driver[64]; /* "intel_vpu"; empty: not known */
  char vendor[16]; /* "0x8086" */
} GemNpuHardware;

void
gem_npu_hardware_find(GemNpuHardware *ret_hardware);

/* What pathways run on. */
typedef struct {
  GemOrtLibrary *library;
  GemNpuHardware hardware;
  GemNpuSettings settings;
  const OrtEpDevice *device; /* NULL: ONNX Runtime's own CPU provider */
  const GemNpuProvider *provider;
  char name[64]; /* the provider's */
  GemNpuForm form;
} GemNpuDevice;

/* GEM_PROBE_SUPPORTED: *ret_device is filled, to be closed. Else `error` says why in one line. DEFERRED:
 * there is an NPU that cannot be used now. */
GemProbeResult
gem_npu_device_open(GemNpuDevice *ret_device, GemPluginError *error);
void
gem_npu_device_close(GemNpuDevice *self);
