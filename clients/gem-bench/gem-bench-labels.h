/*
 * A choice among more labels than one call of Classify takes: asked in parts that have their first label in
 * common. Each answer is a softmax, p_i = exp(s_i) / sum exp(s_j), so log p_i - log p_first = s_i - s_first
 * in every part, and the labels of all parts can be compared: the same choice as of one call.
 */
#pragma once

#include <glib.h>

/* Labels that org.gemd.Gem1.Manager.Classify() takes. */
#define GEM_BENCH_MOST_LABELS 64u

/* Whether labels can be asked for at all: two at least, no two alike, none empty. */
gboolean
gem_bench_labels_are_valid(GStrv labels);

/* Calls that `n` labels (2 or more) need. */
guint
gem_bench_labels_count_parts(guint n);

/* The labels of a part: borrowed strings in a vector ended by NULL; free the vector. */
const char **
gem_bench_labels_get_part(GStrv labels, guint part);

/* Adds a part's answer, a(sd), to `scores` [labels]: s_i - s_first of each of the part's labels,
 * where s is a label's log-likelihood a byte. */
void
gem_bench_labels_take_part(GVariant *answer, guint part, double *scores);

/* Index of the highest score; the first of equal ones. */
guint
gem_bench_labels_choose(const double *scores, guint n);
