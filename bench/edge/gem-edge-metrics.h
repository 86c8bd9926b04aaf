/* What an answer is worth, 0 to 1. `right`: the right answers, one or more, of which the one counts that
 * gives the most. */
#pragma once

#include <glib.h>

/* F1 of the words that answer and right answer share, each as often as both have it; as SQuAD defines it, on
 * its normalised texts. Two texts without words are alike, one without is not like another. */
double
gem_edge_token_f1(const char *answer, const char *const *right);

/* 1 when the normalised texts are the same, else 0. */
double
gem_edge_exact_match(const char *answer, const char *const *right);

/* ROUGE-L: F1 of the longest common subsequence of words. 0 when either has no word. */
double
gem_edge_rouge_l(const char *answer, const char *const *right);

/* Mentions that a list of them has right, has wrong, and lacks. */
typedef struct {
  guint right, wrong, lacking;
} GemEdgeMentions;

/* Of the right lists that one is compared with which gives the highest F1. */
GemEdgeMentions
gem_edge_compare_mentions(const char *answer, const char *const *right);

/* right / (right + wrong), right / (right + lacking), and F1 of sums over answers (micro). 0 where nothing
 * was right, 1 where there was nothing to find and nothing was said. */
double
gem_edge_mention_precision(const GemEdgeMentions *sum);
double
gem_edge_mention_recall(const GemEdgeMentions *sum);
double
gem_edge_mention_f1(const GemEdgeMentions *sum);
