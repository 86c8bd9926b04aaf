/* The text of a data folder as an adaptation takes it. */
#pragma once

#include "training/adapt/gem-adapt-text.h"
#include "training/text/gem-corpus.h"

/* What of a domain is learned; may be joined. */
typedef enum {
  GEM_ADAPT_DAPT = 1 << 0, /* its plain text */
  GEM_ADAPT_TAPT = 1 << 1, /* the inputs of its tasks, as the model is asked them, without answers */
  GEM_ADAPT_TASK = 1 << 2, /* the labelled lines of its tasks */
} GemAdaptKinds;

/* "dapt", "tapt", "task", or several with "+" between. */
gboolean
gem_adapt_kinds_parse(const char *text, GemAdaptKinds *ret_kinds, GError **error);

/* Errors, with its name, when one of `tasks` is none of the domain's that were read: it would go unseen. */
gboolean
gem_adapt_data_check_tasks(const GemCorpus *corpus, gint8 domain, const char *const *tasks, GError **error);

/* Appends the domain's texts of these kinds to `texts` (of GemAdaptText), each source a group. `tasks`: names
 * of the tasks that are meant, without their domain; NULL: all. The corpus is borrowed from. */
void
gem_adapt_data_add_texts(
    GArray *texts, const GemCorpus *corpus, gint8 domain, GemAdaptKinds kinds, const char *const *tasks);

/* Appends the plain text of all other domains and of none, each a group. */
void
gem_adapt_data_add_replay(GArray *replay, const GemCorpus *corpus, gint8 besides);
