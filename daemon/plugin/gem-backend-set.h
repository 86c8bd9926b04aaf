/*
 * The backends that the plugin folders hold: each is probed, the best one that works is opened. For the
 * engine thread; the list of what was found may be read from anywhere once it is made.
 */
#pragma once

#include "daemon/plugin/gem-backend-info.h"
#include "daemon/plugin/gem-plugin-loader.h"

typedef struct GemBackendSet GemBackendSet;

/* Probes all backend modules and opens `name`, or, when that is NULL, the supported one with the highest
 * score of those that do everything, and of devices that run pathways beside it. A device that is named comes
 * with the best of the others; when it cannot be used, they come alone, and the log says why. `cache_dir`:
 * for what backends make that can be made again; NULL: there is none. GEM_ERROR_FAILED, with the reason of
 * each, when none can be used. */
GemBackendSet *
gem_backend_set_open(
    const GemPluginLoader *loader, const char *name, guint threads, const char *cache_dir, GError **error);
/* Closes backend and module: every matrix must be gone. */
void
gem_backend_set_free(GemBackendSet *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBackendSet, gem_backend_set_free)

/* The backend that does everything, and its name; valid until free. */
const GemBackend *
gem_backend_set_get(GemBackendSet *self);
const char *
gem_backend_set_get_name(GemBackendSet *self);

/* The device that may run whole pathways (GemBackendFunctions.compile), with what is known of it (may be
 * NULL); NULL: there is none. Valid until free. */
const GemBackend *
gem_backend_set_get_device(GemBackendSet *self, const GemBackendInfo **ret_info);

/* What the device and the backend that does everything are, by all that their results and their speed depend
 * on, as text. Transfer full. */
char *
gem_backend_set_describe(GemBackendSet *self, guint threads);

/* Whether that backend could be opened now. Any thread. */
gboolean
gem_backend_set_is_there(const GemPluginLoader *loader, const char *name);

GemBackendInfo *
gem_backend_info_copy(const GemBackendInfo *info);

/* Of GemBackendInfo, in the order of their names; transfer full. */
GPtrArray *
gem_backend_set_list(GemBackendSet *self);
