/*
 * Texts that repeat themselves: a passage, then pieces of it in any order (docs/training.md, "Copies"). What
 * stands in a text comes again in its answers; so little text as a small model reads does not teach that.
 */
#pragma once

#include "training/arithmetic/gem-random.h"
#include "training/text/gem-batch.h"
#include "training/text/gem-corpus.h"

/* The shortest sequence that holds a passage and a piece. */
#define GEM_COPIES_LEAST_SEQUENCE 32u

/* Appends a passage of the draw, which is of the corpus, and pieces of it: <s>, 16 tokens or more, then a
 * third to a half of all tokens; at most `longest` in all and no more than the batch has room for. FALSE,
 * with nothing appended: there is too little text or room. `window` (guint32) is scratch. */
gboolean
gem_copies_append(const GemDraw *draw,
                  guint32 bos,
                  guint longest,
                  gint8 route,
                  GemRandom *random,
                  GArray *window,
                  GemBatch *batch);
