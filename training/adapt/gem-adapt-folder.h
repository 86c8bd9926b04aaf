/* The folder of an adapted model: what has learned is written, every other file is the starting model's, byte
 * for byte. */
#pragma once

#include "format/gem-model-files.h"
#include "training/adapt/gem-learned-tensors.h"

/* The block types that the model's own files have. */
gboolean
gem_adapt_folder_read_types(GemModelFiles *files, GemExportTypes *ret_types, GError **error);

/* `row`: the classifier's row of `domain`, NULL: the router stays. The folder is made when it is not there,
 * and is not that of `files`. */
gboolean
gem_adapt_folder_write(GemModelFiles *files,
                       const GemExport *export,
                       const GemExportTypes *types,
                       GemLearns learns,
                       gint8 domain,
                       const float *row,
                       const char *folder,
                       GError **error);
