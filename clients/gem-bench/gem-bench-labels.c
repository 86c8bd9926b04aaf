#include "clients/gem-bench/gem-bench-labels.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Labels of a part beside the first. */
#define OTHERS (GEM_BENCH_MOST_LABELS - 1)

gboolean
gem_bench_labels_are_valid(GStrv labels)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  guint i;

  for (i = 0; labels[i] != NULL; i++) {
    if (labels[i][0] == '\0' || !g_hash_table_add(seen, labels[i])) {
      return FALSE;
    }
  }
  return i >= 2;
}

guint
gem_bench_labels_count_parts(guint n)
{
  return (n - 1 + OTHERS - 1) / OTHERS;
}

const char **
gem_bench_labels_get_part(GStrv labels, guint part)
{
  const char **labels_of_part = g_new0(const char *, GEM_BENCH_MOST_LABELS + 1);
  guint i, first = 1 + part * OTHERS;

  labels_of_part[0] = labels[0];
  for (i = 0; i < OTHERS && labels[first + i] != NULL; i++) {
    labels_of_part[1 + i] = labels[first + i];
  }
  return labels_of_part;
}

/* A probability too small for a double counts as the smallest one. */
static double
log_probability(GVariant *answer, gsize index)
{
  double probability;

  g_variant_get_child(answer, index, "(&sd)", NULL, &probability);
  return log(fmax(probability, DBL_MIN));
}

/* The service takes log-likelihoods to the labels' mean length: another one in each part. */
static double
mean_label_bytes(GVariant *answer)
{
  gsize i, n = g_variant_n_children(answer), bytes = 0;

  for (i = 0; i < n; i++) {
    const char *label;

    g_variant_get_child(answer, i, "(&sd)", &label, NULL);
    bytes += strlen(label);
  }
  return (double)bytes / (double)n;
}

void
gem_bench_labels_take_part(GVariant *answer, guint part, double *scores)
{
  double first = log_probability(answer, 0);
  double mean_bytes = mean_label_bytes(answer);
  gsize i;

  scores[0] = 0;
  for (i = 1; i < g_variant_n_children(answer); i++) {
    scores[part * OTHERS + i] = (log_probability(answer, i) - first) / mean_bytes;
  }
}

guint
gem_bench_labels_choose(const double *scores, guint n)
{
  guint i, best = 0;

  for (i = 1; i < n; i++) {
    best = scores[i] > scores[best] ? i : best;
  }
  return best;
}
