/*
 * The providers' libraries that this process has registered with ONNX Runtime. Its environment is one for the
 * whole process, while several backends may be open at a time (the service opens a model's next engine while
 * the old one serves, and probes meanwhile): each library is registered by the first that wants it, and taken
 * back by the last that lets it go. Any thread.
 */
#pragma once

#include "plugins/backends/npu-ort/gem-npu-settings.h"
#include "plugins/backends/npu-ort/gem-ort-library.h"

/* Registers the provider's library, or counts one more user of it; for each success,
 * gem_npu_registration_release. False: it is broken, or the name is in use with another library. */
bool
gem_npu_registration_take(const GemOrtLibrary *library,
                          const GemNpuProvider *provider,
                          GemPluginError *error);
void
gem_npu_registration_release(const GemOrtLibrary *library, const char *name);

/* The first device of type NPU that one of the providers of the settings drives, all of which are taken; it
 * is there for as long as they are. NULL: there is none. */
const OrtEpDevice *
gem_npu_registrations_find_npu(const GemOrtLibrary *library,
                               const GemNpuSettings *settings,
                               GemPluginError *error);
