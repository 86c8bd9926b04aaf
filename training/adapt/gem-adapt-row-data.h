/*
 * The text that a router's row learns from, in the data folder's case: what is asked of a model stands in the
 * ask template, and so do the lines of tasks; documents do not. A row that saw the template in its own text
 * alone would take whatever stands in it. So every second document, of either side, is put into it.
 */
#pragma once

#include "format/gem-tokenizer.h"
#include "training/adapt/gem-adapt-text.h"

typedef struct {
  GemAdaptData data;      /* what to hand on; borrows from this and from what it was made of */
  GArray *texts, *replay; /* of GemAdaptText */
  GArray *tokens;         /* guint32, of what was put into the template */
} GemAdaptRowData;

/* Of the documents that are put into the template a window is taken that fits a crop of the row with it: of
 * each second one of those the beginning, of the others one by chance. Texts that begin as the template does
 * are in it already. Errors: those of gem_tokenizer_encode_template. */
gboolean
gem_adapt_row_data_init(GemAdaptRowData *self,
                        const GemAdaptData *data,
                        GemTokenizer *tokenizer,
                        const char *ask_template,
                        guint64 seed,
                        GError **error);
void
gem_adapt_row_data_clear(GemAdaptRowData *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemAdaptRowData, gem_adapt_row_data_clear)
