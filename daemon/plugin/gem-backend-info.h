/* What is known of a backend: one that is in use, one that cannot be, and why. */
#pragma once

#include <glib.h>

typedef struct {
  char *name, *version, *device, *kernels, *reason; /* reason: why it is not in use; may be NULL */
  gint score;
  gboolean in_use;
  gboolean deferred; /* a device that could not be used then, and may be later */
} GemBackendInfo;
void
gem_backend_info_free(GemBackendInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBackendInfo, gem_backend_info_free)
