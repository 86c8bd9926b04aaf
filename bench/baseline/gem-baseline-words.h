/* Words of a text, as numbers, for bags of words: lower case, runs of letters and digits; a character of its
 * own where a script writes no spaces (Chinese, Japanese, Thai ...), and each sign of punctuation. */
#pragma once

#include <glib.h>

/* A word that was not learned. */
#define GEM_BASELINE_UNKNOWN 0u
/* Fields have the numbers 1 to this; 0 is a text's part before the first of them. */
#define GEM_BASELINE_FIELDS 62u

typedef struct {
  guint32 word;  /* from 1 on; GEM_BASELINE_UNKNOWN */
  guint32 field; /* of the text, see gem_baseline_words_learn_fields */
} GemBaselineWord;

typedef struct _GemBaselineWords GemBaselineWords;

GemBaselineWords *
gem_baseline_words_new(void);
void
gem_baseline_words_free(GemBaselineWords *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBaselineWords, gem_baseline_words_free)

/* Makes fields of the headings that texts begin lines with ("Premise: ...", "Utterance: ..."): each that
 * stands in a tenth of `texts`, the most frequent ones first. Returns how many there are. */
guint
gem_baseline_words_learn_fields(GemBaselineWords *self, const char *const *texts, guint n);

/* The words of `text` in their order, of GemBaselineWord; with `learn` new ones get numbers. Transfer full.
 */
GArray *
gem_baseline_words_read(GemBaselineWords *self, const char *text, gboolean learn);
