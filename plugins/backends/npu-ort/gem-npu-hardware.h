/*
 * What the kernel knows of NPUs: /sys/class/accel, and the nodes of /dev/accel.
 */
#pragma once

#include "plugins/gem-plugin.h"

/* The first accelerator whose node is open to this process; the first of all when none is. */
typedef struct {
  char node[64];    /* "/dev/accel/accel0"; empty: there is none */
  char driver[64];  /* "intel_vpu"; empty: not known */
  char version[72]; /* of the driver, or of the kernel that it came with */
  char vendor[16];  /* "0x8086" */
} GemNpuHardware;

void
gem_npu_hardware_find(GemNpuHardware *ret_hardware);

/* Whether the node is open to this process; the error says what is in the way. */
bool
gem_npu_hardware_check(const GemNpuHardware *self, GemPluginError *error);
