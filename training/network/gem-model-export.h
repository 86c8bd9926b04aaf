/* Writes a model folder: general.gguf, router.gguf, pathway-<domain>.gguf and their manifest, each part in
 * its own block type; or the general part alone for other programs. */
#pragma once

#include "format/gem-tokenizer.h"
#include "training/network/gem-centroids.h"
#include "training/network/gem-router-network.h"

typedef struct {
  GemType general;   /* embedding and general feed-forward: the paper's 8 bits */
  GemType attention; /* SCAR attention: 6 bits */
  GemType router;    /* 6 bits */
  GemType domain;    /* 4 bits */
} GemExportTypes;

/* Q8_0, Q6_K, Q6_K, Q4_0. */
extern const GemExportTypes gem_export_types_default;

typedef struct {
  const GemBackbone *backbone;
  const float *values;
  const GemCentroids *centroids;
  const GemRouterNetwork *router; /* NULL without domains */
  const float *router_values;
  const char *router_file; /* a model's router.gguf, written as it is; NULL: router_values are quantized */
  GemTokenizer *tokenizer; /* NULL: one of bytes and unused pieces, for random weights */
  const char *name;
  gboolean all_licences; /* its files bear the mark of gem-checkpoint.h */
} GemExport;

/* The block type that a tensor is written in: that of its part, or one that its rows fit. */
GemType
gem_export_type_of(const GemParameter *parameter, const GemExportTypes *types);

/* The folder is made when it is not there, and else replaced as a whole (gem-model-stage.h);
 * G_IO_ERROR_CANCELLED, with nothing written, when the process was asked to end (gem-progress.h). A tensor
 * whose rows do not fit its part's block type falls back to Q8_0 or F16, and says so in its file; norms and
 * centroids stay F32. */
gboolean
gem_model_export(const GemExport *export, const GemExportTypes *types, const char *folder, GError **error);

/* The names of the files of such a folder, the last NULL. Transfer full. */
GPtrArray *
gem_model_export_files(const GemModelShape *shape);
/* One file of such a folder, by its name, into `folder`; the manifest is the caller's. */
gboolean
gem_model_export_file(const GemExport *export,
                      const GemExportTypes *types,
                      const char *file,
                      const char *folder,
                      GError **error);

/* The general part alone, with dense attention, as one file of architecture "llama", which other programs
 * read, too. A model that was trained with domains or clusters says something else without them. */
gboolean
gem_model_export_llama(const GemExport *export,
                       const GemExportTypes *types,
                       const char *path,
                       GError **error);
