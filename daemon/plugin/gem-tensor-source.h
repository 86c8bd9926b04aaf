/*
 * How a module sees a model file: a GemTensorSource over a GemGguf, and a GemShape from a GemModelShape, so
 * that modules need to know the plugin ABI alone.
 */
#pragma once

#include "format/gem-gguf.h"
#include "format/gem-model-shape.h"
#include "plugins/gem-plugin.h"

/* Keeps a reference on `file`. Strings live as long as the source. For one thread at a time, but for the
 * reading of a tensor's parts. */
GemTensorSource *
gem_tensor_source_new(GemGguf *file);
void
gem_tensor_source_free(GemTensorSource *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTensorSource, gem_tensor_source_free)

/* The SHA-256 that the file was found to have, in lower-case hexadecimal: its tensors may be kept by it. */
void
gem_tensor_source_set_digest(GemTensorSource *self, const char *digest);
/* GemBackendOptions.locate, for tensors of such sources; false: of others, or without a digest. */
bool
gem_tensor_source_locate(const GemTensorView *view, const char **ret_digest, uint64_t *ret_offset);

/* Why a module that gave this `reason` could not be opened: what could not be read, if that was it. Lives as
 * long as both. */
const char *
gem_tensor_source_explain(const GemTensorSource *self, const GemPluginError *reason);

/* What could not be read; NULL: nothing. */
const GError *
gem_tensor_source_get_error(const GemTensorSource *self);

/* The part of the hyper-parameters that modules read; copies, nothing to free. */
GemShape
gem_shape_for_plugins(const GemModelShape *shape);
