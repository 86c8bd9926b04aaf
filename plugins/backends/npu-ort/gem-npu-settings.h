/*
 * What the administrator says of ONNX Runtime and of its providers: files *.conf of one folder, in the order
 * of their names, with lines KEY=VALUE and comments (#):
 *
 *   Library=PATH     of libonnxruntime, in place of the soname
 *   Provider=NAME    a vendor's provider, such as OpenVINOExecutionProvider; the next two are about it
 *   Path=PATH        its library
 *   Option=KEY:VALUE given to it
 *   AllowCpu=yes     pathways may run on ONNX Runtime's own CPU provider when there is no NPU: to try it out
 *
 * The folder and each file belong to root and are writable by root alone, since they name code to load.
 */
#pragma once

#include "plugins/gem-plugin.h"

#define GEM_NPU_PROVIDERS 8
#define GEM_NPU_OPTIONS   8

typedef struct {
  char name[64];
  char path[256];
  char keys[GEM_NPU_OPTIONS][64];
  char values[GEM_NPU_OPTIONS][128];
  size_t n_options;
} GemNpuProvider;

typedef struct {
  char library[256]; /* empty: the soname */
  bool allow_cpu;
  GemNpuProvider providers[GEM_NPU_PROVIDERS];
  size_t n_providers;
} GemNpuSettings;

/* Reads the folder; one that is not there says nothing. False: a file that is not root's, cannot be read, or
 * has a line that is not understood; the error names file and line. */
bool
gem_npu_settings_read(GemNpuSettings *self, GemPluginError *error);
