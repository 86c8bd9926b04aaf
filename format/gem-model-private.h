/* What the readers of general.gguf, router.gguf and pathway files share. Not for others. */
#pragma once

#include "format/gem-gguf-private.h"
#include "format/gem-model-shape.h"

#define GEM_ARCHITECTURE_MODEL   "gem"
#define GEM_ARCHITECTURE_LLAMA   "llama"
#define GEM_ARCHITECTURE_ROUTER  "gemrouter"
#define GEM_ARCHITECTURE_PATHWAY "gempathway"

/* Ranges of what a file may say. Products of any three of them stay below 2^63. */
#define GEM_MAX_VOCAB        4194304u
#define GEM_MAX_WIDTH        65536u
#define GEM_MAX_LAYERS       512u
#define GEM_MAX_HEADS        512u
#define GEM_MAX_HEAD_DIM     4096u
#define GEM_MAX_FEED_FORWARD 1048576u
#define GEM_MAX_CONTEXT      16777216u

/* Reads `ARCHITECTURE.NAME` keys of one file. */
typedef struct {
  GemGguf *file;
  const char *architecture;
} GemModelKeys;

/* An integer in least .. most. */
gboolean
gem_model_keys_uint(
    const GemModelKeys *keys, const char *name, guint least, guint most, guint *ret_value, GError **error);
/* The same; `absent` where there is no such key. */
gboolean
gem_model_keys_uint_or(const GemModelKeys *keys,
                       const char *name,
                       guint least,
                       guint most,
                       guint absent,
                       guint *ret_value,
                       GError **error);
/* A number in least .. most. */
gboolean
gem_model_keys_float(
    const GemModelKeys *keys, const char *name, double least, double most, float *ret_value, GError **error);
/* The key's full name. Transfer full. */
char *
gem_model_keys_name(const GemModelKeys *keys, const char *name);
gboolean
gem_model_keys_has(const GemModelKeys *keys, const char *name);
/* "FILE: key ARCHITECTURE.NAME: MESSAGE"; always FALSE. */
gboolean
gem_model_keys_fail(
    const GemModelKeys *keys, GError **error, GemFormatError code, const char *name, const char *format, ...)
    G_GNUC_PRINTF(5, 6);
/* The domains' names, in the order of the router's classes: plain and distinct, at most GEM_MAX_DOMAINS.
 * Transfer full. */
GStrv
gem_model_keys_domains(const GemModelKeys *keys, GError **error);

/* The file's general.architecture is this one; MISMATCH otherwise. */
gboolean
gem_model_check_architecture(GemGguf *file, const char *architecture, GError **error);
/* Writes what every file starts with: architecture, and the version of the block types. */
void
gem_model_write_architecture(GemGgufWriter *writer, const char *architecture);
