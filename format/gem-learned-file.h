/*
 * A domain that was learned on the device, as one GGUF file: a pathway file (gem-model-shape.h) that has
 * beside the residual its row of the router, and keys that say what it was learned on:
 *
 *   gem.learned.version (u32, 1), gem.learned.name, gem.learned.replaces (a domain of the model that it
 * stands in for, then of the same name; empty: it is a new one), gem.learned.general_sha256,
 *   gem.learned.router_sha256 (the files of the model, as its manifest has them); gempathway.domain is the
 *   name, too
 *
 * Tensors, beside those of a pathway: router.row.weight (F32, router width), router.row.bias (F32, 1). With e
 * a token's output of the router, the learned domain's logit is row . e + bias; it joins those of the model's
 * domains, without that of `replaces`, before the softmax.
 *
 * Whoever wrote the file is not trusted: all of it is checked when it is opened, its values included.
 */
#pragma once

#include "format/gem-model-files.h"

#define GEM_LEARNED_VERSION 1

/* What a learned file belongs to. All borrowed. */
typedef struct {
  const GemModelShape *shape;
  guint router_width;
  const char *general_sha256, *router_sha256; /* lower-case hexadecimal */
} GemLearnedBase;

/* That of an open model; INVALID for one without domains, which has no router. */
gboolean
gem_learned_base_of_model(const GemModelFiles *files, GemLearnedBase *ret_base, GError **error);

/* Whether a domain of this name can be learned: `replaces` (NULL: nothing) is the name of one of the model's
 * domains, and the name itself; or the name is plain (gem_domain_name_is_plain) and none of them. INVALID. */
gboolean
gem_learned_check_name(const GemModelShape *shape, const char *name, const char *replaces, GError **error);

/* Read-only; usable from any thread, but for the bytes of `file`'s tensors, which see. */
typedef struct {
  GemGguf *file;  /* where the residual's tensors are */
  char *name;     /* of the domain */
  char *replaces; /* NULL: none */
  guint width;    /* of the router */
  float *row;     /* [width] */
  float bias;
} GemLearnedFile;

/* Checks the whole file and keeps a reference on it. MISMATCH when it was learned on other files than the
 * base's or is of another shape; MALFORMED, MISSING or UNSUPPORTED as it is; the message names file and
 * field.
 */
GemLearnedFile *
gem_learned_file_new(GemGguf *file, const GemLearnedBase *base, GError **error);
void
gem_learned_file_free(GemLearnedFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedFile, gem_learned_file_free)

/* Writes all but the residual's tensors, which the caller adds as in a pathway file. `row` [router_width].
 * INVALID for a name that gem_learned_check_name refuses and for values that are not finite. */
gboolean
gem_learned_file_write(const GemLearnedBase *base,
                       const char *name,
                       const char *replaces,
                       const float *row,
                       float bias,
                       GemGgufWriter *writer,
                       GError **error);
