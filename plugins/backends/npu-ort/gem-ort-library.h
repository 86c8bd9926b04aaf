/*
 * libonnxruntime, opened at run time: it is never a reason for the service not to start, nor for a build to
 * need it.
 */
#pragma once

#include "plugins/backends/npu-ort/gem-ort-api.h"
#include "plugins/gem-plugin.h"

typedef struct {
  void *handle; /* of dlopen */
  char path[256];
  char version[32]; /* "1.30.0" */
  uint32_t release; /* 30 of it; 0: it is not known */
  uint32_t api_version;
  GemOrtApi api;
  OrtEnv *env;
  OrtMemoryInfo *memory; /* of the process */
} GemOrtLibrary;

/* Opens `path`, or the soname when it is empty, takes the highest table that it has of those we know, and
 * makes its environment. It sends reports of its use from release 1.29 on, unless the environment variable
 * ORT_DISABLE_TELEMETRY is 1 before it is opened: it is not opened then. NULL: it is absent, broken or too
 * old; one line says which. */
GemOrtLibrary *
gem_ort_library_open(const char *path, GemPluginError *error);
void
gem_ort_library_close(GemOrtLibrary *self);

/* Whether a call went well; takes the status. `what` was tried. */
bool
gem_ort_library_check(const GemOrtLibrary *self, OrtStatus *status, const char *what, GemPluginError *error);
