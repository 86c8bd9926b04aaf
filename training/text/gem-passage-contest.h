/*
 * Contests without labels: the sentence with which a document goes on, to be told from sentences of other
 * documents (docs/training.md, "Contests"). Any text teaches so what an answer has to do with its question.
 */
#pragma once

#include "training/text/gem-ask-frame.h"
#include "training/text/gem-corpus.h"

typedef struct {
  guint8 *ends; /* [vocabulary] whether a sentence may end with the token */
  guint32 bos, eos;
} GemSentences;

void
gem_sentences_init(GemSentences *self, GemTokenizer *tokenizer);
void
gem_sentences_clear(GemSentences *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemSentences, gem_sentences_clear)

typedef struct {
  guint most_rivals; /* sentences of other texts */
  guint longest;     /* tokens of a sequence, at most */
  float weight;      /* of the contest */
} GemPassageOptions;

/* The longest sequence that a passage needs at least. */
guint
gem_passage_contest_least_sequence(const GemAskFrame *frame);

/* Appends, in the frame and of one route, a passage of the draw, which is of the corpus, with the sentence
 * after it, and the same passage with sentences of other documents of its source, as far as the batch has
 * room and any are found; the first learns all its tokens. FALSE, with nothing appended: no sentence stands
 * after a passage there, or nothing has room. `window` (guint32) is scratch. */
gboolean
gem_passage_contest_append(const GemSentences *sentences,
                           const GemAskFrame *frame,
                           const GemPassageOptions *options,
                           const GemDraw *draw,
                           gint8 route,
                           GemRandom *random,
                           GArray *window,
                           GemBatch *batch);
