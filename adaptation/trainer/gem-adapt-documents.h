/*
 * The text of a domain as token ids, split in two: what is learned from, and what it is judged by.
 *
 * A document stands between blank lines. One in ten is held out, by the seed; a long one is cut into windows,
 * of each thirty of which three in a row are held out, and the windows beside those are left out of both, so
 * that nothing that is learned touches what is held out. A document that is there more than once is never
 * held out.
 */
#pragma once

#include "format/gem-tokenizer.h"
#include "training/adapt/gem-adapt-text.h"

#define GEM_ADAPT_WINDOW   256u /* tokens of a long document's window */
#define GEM_ADAPT_HELD_OUT 512u /* tokens of the longest text that is measured */

typedef struct {
  guint32 *tokens; /* of all texts */
  gsize n_tokens;  /* of the documents, with <s> and </s> */
  gsize n_allocated;
  GArray *learned;  /* GemAdaptText, documents and parts of them */
  GArray *held_out; /* GemAdaptText, at most GEM_ADAPT_HELD_OUT tokens each, <s> first */
} GemAdaptDocuments;

/* `text` is checked (gem-adapt-text-check.h) and ends with a NUL. ask_template: each document stands in it,
 * as questions do; NULL: it stands alone. INVALID_DATA when there is not enough to learn from and to judge
 * by. */
GemAdaptDocuments *
gem_adapt_documents_new(const char *text,
                        gsize length,
                        GemTokenizer *tokenizer,
                        const char *ask_template,
                        guint64 seed,
                        GError **error);
/* Wipes the tokens. */
void
gem_adapt_documents_free(GemAdaptDocuments *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAdaptDocuments, gem_adapt_documents_free)
