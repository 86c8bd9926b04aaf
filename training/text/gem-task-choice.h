/* Which tasks are read, and how often: the list of `gem-train pretrain --tasks`. */
#pragma once

#include "training/text/gem-corpus.h"

/* "PATTERN[=TIMES],...": names of tasks ("legal/contract_nli") in which * and ? stand for others. */
typedef struct {
  GPtrArray *patterns; /* of GemTaskPattern */
  gboolean by_times;   /* TIMES was given for one at least */
} GemTaskChoice;

/* Errors name the entry that is empty, or whose TIMES is not between 0.001 and 1000. */
GemTaskChoice *
gem_task_choice_parse(const char *text, GError **error);
void
gem_task_choice_free(GemTaskChoice *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTaskChoice, gem_task_choice_free)

/* Whether any entry is about the source. */
gboolean
gem_task_choice_has(const GemTaskChoice *self, const char *source);

/* Sets the `times` of the corpus's tasks: of the first entry that is about a task; 1 where it says none.
 * An entry that is about none of them is an error that names it: a wrong name would go unseen. */
gboolean
gem_task_choice_apply(const GemTaskChoice *self, GemCorpus *corpus, GError **error);
