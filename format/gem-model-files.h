/*
 * A model as it lies on disk: a folder with a manifest, or one Llama-architecture GGUF file, which is a GEM
 * without domains and with dense attention.
 *
 * The files of a folder are verified, and then read a tensor at a time: what changes on disk meanwhile is
 * found out and refused (gem_gguf_check_unchanged), what changes later cannot hurt. A lone file is read like
 * that, too, but there is nothing to verify it by.
 */
#pragma once

#include "format/gem-manifest.h"
#include "format/gem-model-shape.h"

#define GEM_MODEL_GENERAL_FILE "general.gguf"
#define GEM_MODEL_ROUTER_FILE  "router.gguf"

/* Read-only for all but the functions below; usable from any thread. */
typedef struct {
  char *name;            /* the manifest's, or the lone file's without its ending */
  GemManifest *manifest; /* NULL for a lone file */
  GemGguf *general;
  GemGguf *router; /* NULL without domains */
  GemModelShape shape;
  GemRouterShape router_shape; /* zeros without domains */
} GemModelFiles;

/* Opens general.gguf and, when the model has domains, router.gguf: size and SHA-256, every key, every
 * tensor's shape, and that both agree on vocabulary and domains. Pathway files are not looked at: a missing
 * or broken one leaves the rest usable. */
GemModelFiles *
gem_model_files_open(const char *path, GError **error);
/* The same with a record of files that need not be hashed again; it outlives the files. NULL: none. */
GemModelFiles *
gem_model_files_open_recorded(const char *path, GemVerified *record, GError **error);
void
gem_model_files_free(GemModelFiles *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemModelFiles, gem_model_files_free)

/* MISMATCH when a file of the model has changed since it was opened: to be asked when all is read. */
gboolean
gem_model_files_check_unchanged(GemModelFiles *self, GError **error);

/* Opens and verifies pathway-DOMAIN.gguf: hash, domain, width, layers, every tensor's shape; its tensors are
 * not read ahead. INVALID for a
 * domain that the model does not have; MISSING, IO, MALFORMED or MISMATCH as the file is. */
GemGguf *
gem_model_files_open_pathway(GemModelFiles *self, const char *domain, GError **error);

/* Has the system read that file ahead, when it is not in its cache; does not wait, and says nothing of a file
 * that is not there. */
void
gem_model_files_expect_pathway(GemModelFiles *self, const char *domain);

/* Which file that is now; zeros, which no file has, when there is none. */
void
gem_model_files_identify_pathway(GemModelFiles *self, const char *domain, GemFileIdentity *ret_identity);

/* The SHA-256 that the manifest has of that file; NULL: it is not listed. */
const char *
gem_model_files_get_pathway_digest(GemModelFiles *self, const char *domain);

/* "pathway-DOMAIN.gguf". Transfer full. */
char *
gem_model_pathway_file(const char *domain);
