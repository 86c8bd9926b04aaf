/*
 * A set of trained tensors, laid out one after another in one array of floats: values, gradients and AdamW's
 * moments of a network share this layout, so that each is one allocation and one loop. Tensors that a product
 * reads together (q, k and v; gate and up) are declared one after the other and so are one matrix.
 */
#pragma once

#include <gio/gio.h>

#include "format/gem-gguf.h"

typedef struct {
  char *name; /* as in GGUF, "blk.0.attn_q.weight" */
  char *part; /* the file it is exported to: "general", "router", "pathway-legal" */
  gsize rows, cols;
  gsize offset;    /* floats from the start of the set */
  gboolean decays; /* weight decay: matrices, not norms */
  float deviation; /* of the normal distribution it starts from; 0: zeros, -1: ones */
} GemParameter;

typedef struct {
  GPtrArray *items; /* of GemParameter */
  gsize size;       /* floats in all */
} GemParameters;

GemParameters *
gem_parameters_new(void);
void
gem_parameters_free(GemParameters *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemParameters, gem_parameters_free)

/* Appends a tensor; returns its offset. */
gsize
gem_parameters_add(GemParameters *self,
                   const char *part,
                   gsize rows,
                   gsize cols,
                   float deviation,
                   const char *name_format,
                   ...) G_GNUC_PRINTF(6, 7);

/* A zeroed array of the set's size, aligned for vectors; free with g_aligned_free. */
float *
gem_parameters_alloc(const GemParameters *self);

/* Start values, the same for the same seed whatever the machine. */
void
gem_parameters_init(const GemParameters *self, guint64 seed, float *values);

/* `other`, of the file at `path`, has the same tensors in the same order; else an error that names the first
 * one that differs. */
gboolean
gem_parameters_check_same(const GemParameters *self,
                          const GemParameters *other,
                          const char *path,
                          GError **error);

/* To and from a file, each tensor as F32 under prefix + part + "/" + name. Reading takes any type and needs
 * each tensor in its shape. */
gboolean
gem_parameters_write(const GemParameters *self,
                     const char *prefix,
                     const float *values,
                     GemGgufWriter *writer,
                     GError **error);
gboolean
gem_parameters_read(
    const GemParameters *self, const char *prefix, GemGguf *file, float *values, GError **error);
/* Whether the file has all tensors that the former would read (`prefix` NULL: under their bare names): before
 * anything is allocated for a shape that a file merely states. */
gboolean
gem_parameters_check_file(const GemParameters *self, const char *prefix, GemGguf *file, GError **error);
/* The tensors of one part, from a file of a model folder, under their bare names. */
gboolean
gem_parameters_read_part(
    const GemParameters *self, const char *part, GemGguf *file, float *values, GError **error);
