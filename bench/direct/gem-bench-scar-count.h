/* Work of attention, counted: what SCAR lets tokens see, in place of timing it. */
#pragma once

#include <glib.h>

/* Pairs of a token and one that it sees, itself among them, of the first n tokens: j <= i and (j is on the
 * list of i's cluster, or i - j < window, or j == 0); lists by gem_list_of_position. clusters [n]. */
guint64
gem_bench_count_scar_pairs(const guint8 *clusters, guint n, guint window, gboolean successors);
/* The same when every token sees all before it. */
guint64
gem_bench_count_dense_pairs(guint n);

/* What the paper (arXiv 2503.22698) counts for a sequence of n tokens: k n + n comparisons with k clusters,
 * n^2 for dense attention (k 0). It leaves out the attention inside the clusters. */
guint64
gem_bench_count_of_paper(guint n, guint clusters);
