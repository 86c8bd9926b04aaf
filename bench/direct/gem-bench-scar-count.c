#include "bench/direct/gem-bench-scar-count.h"

#include "plugins/gem-plugin.h"

guint64
gem_bench_count_scar_pairs(const guint8 *clusters, guint n, guint window, gboolean successors)
{
  guint outside[G_MAXUINT8 + 1] = {0}; /* tokens on each cluster's list before the window */
  guint64 pairs = 0;
  guint i, start = 0;

  for (i = 0; i < n; i++) {
    guint first = i + 1 > window ? i + 1 - window : 0; /* the window is first .. i */

    for (; start < first; start++) {
      outside[gem_list_of_position(clusters, start, successors)]++;
    }
    pairs += outside[clusters[i]] + (i + 1 - first);
    if (first > 0 && clusters[0] != clusters[i]) {
      pairs++;
    }
  }
  return pairs;
}

guint64
gem_bench_count_dense_pairs(guint n)
{
  return (guint64)n * ((guint64)n + 1) / 2;
}

guint64
gem_bench_count_of_paper(guint n, guint clusters)
{
  return clusters == 0 ? (guint64)n * n : (guint64)clusters * n + n;
}
