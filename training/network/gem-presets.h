/* The named sizes of model.md, and any other from a short text. */
#pragma once

#include "format/gem-model-shape.h"

/* The eight domains of the paper, in the order of the router's classes; NULL-terminated. */
extern const char *const gem_preset_domains[];
/* How a question is put to the model: control tokens spelled out, one {text}. */
#define GEM_PRESET_ASK_TEMPLATE "<s><|user|>{text}<|model|>"

typedef struct {
  GemModelShape general;
  GemRouterShape router;
} GemPreset;
void
gem_preset_clear(GemPreset *preset);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemPreset, gem_preset_clear)

/* The default of every command. */
#define GEM_PRESET_DEFAULT "gem-mini"

/* "gem-mini", "gem-80m" or "gem-tiny" (for tests). An unknown name is an error that lists the known ones. */
gboolean
gem_preset_get(const char *name, GemPreset *ret_preset, GError **error);

/* Changes a preset by "key=value,..." with keys vocab, width, layers, heads, kv-heads, ffn, domain-ffn,
 * context, window, successors (0 or 1), clusters (16+8, or 0: dense), domains (0: none), router-embedding,
 * router-width, router-layers, router-heads, router-ffn. An unknown key or a shape that does not fit is an
 * error that names it. */
gboolean
gem_preset_apply_shape(GemPreset *preset, const char *text, GError **error);

/* Both: the preset of that name (NULL: the default) with the changes of `shape` (NULL: none). Whatever is
 * wrong is a G_OPTION_ERROR that names --preset or --shape. */
gboolean
gem_preset_get_shaped(const char *name, const char *shape, GemPreset *ret_preset, GError **error);
