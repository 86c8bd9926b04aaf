/* How pre-training reads what is drawn from the corpus: as a sequence of a batch, with the weights of its
 * tokens and forks (docs/training.md, "What happens in `pretrain`"). */
#pragma once

#include "training/text/gem-ask-frame.h"
#include "training/text/gem-corpus.h"
#include "training/text/gem-passage-contest.h"

typedef struct {
  double residual_dropout; /* share of documents that run without their domain's residual */
  gboolean general_only;   /* all do */
  double input_share; /* of the tasks' lines whose inputs are learned, too; of the others the answer alone */
  double input_dropout;  /* of the tokens of an input that is not learned: left out */
  double answer_weight;  /* of each of an answer's tokens */
  double answer_least;   /* of all of them together, at least; not where it is taught as a choice */
  double choice_weight;  /* of the forks of an answer together; 0: it is not taught as a choice */
  double contest_weight; /* of an answer's contest with other choices of its line; 0: there is none. With one
                            its forks are not taught */
  guint most_rivals;     /* of these choices, drawn anew each time */
  guint longest;         /* tokens of a prompt with another choice, at most */
  double
      passage_share; /* of windows of the corpus: a passage, and which sentence comes next (contest_weight) */
  double copy_share; /* of the other windows of the corpus: a passage, and pieces of it again */
} GemPretrainDrawOptions;

typedef struct {
  GemPretrainDrawOptions options;
  guint32 bos;                   /* stands before a later window of a long document */
  GemAskFrame frame;             /* borrowed */
  const GemSentences *sentences; /* borrowed; NULL: no passages */
} GemPretrainDraw;

/* Appends the draw, for which the batch has room with one token more. `window` (guint32) is scratch. */
void
gem_pretrain_draw_append(
    const GemPretrainDraw *self, const GemDraw *draw, GemRandom *random, GArray *window, GemBatch *batch);
