/* What a linear choice among answers that differ from line to line looks at: the words of a candidate, and a
 * few numbers of how it stands to the input and to the other candidates. */
#pragma once

#include "bench/baseline/gem-baseline-features.h"

/* A line: its input and its candidates, borrowed. */
typedef struct {
  const char *input;
  const char *const *candidates;
} GemBaselineQuestion;

typedef struct _GemBaselineCandidates GemBaselineCandidates;

/* Learns words and their rarity from `questions` [n]. */
GemBaselineCandidates *
gem_baseline_candidates_new(const GemBaselineQuestion *questions, guint n);
void
gem_baseline_candidates_free(GemBaselineCandidates *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBaselineCandidates, gem_baseline_candidates_free)

/* Features have numbers from 0 to below this. */
guint
gem_baseline_candidates_count(const GemBaselineCandidates *self);

/* A row for each candidate of each question, `ret_ends` [n] as gem_baseline_ranker_new wants them: words and
 * pairs of the candidate (tf-idf, of length 1); then, of the candidate's words by their rarity, the share
 * that stands in the input and the mean share that stands in another candidate; of the input's, the share
 * that stands in the candidate; of the candidate's word pairs and letter trigrams, the share that stands in
 * the input; the logarithm of its number of words, less the mean of the candidates'; and which one it is. */
GemBaselineRows *
gem_baseline_candidates_of(GemBaselineCandidates *self,
                           const GemBaselineQuestion *questions,
                           guint n,
                           guint **ret_ends);
