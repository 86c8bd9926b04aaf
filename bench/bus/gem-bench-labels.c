#include "bench/bus/gem-bench-labels.h"

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
gem_bench_labels_choose(GVariant *answer)
{
  double highest = -1;
  guint i, choice = 0;

  for (i = 0; i < g_variant_n_children(answer); i++) {
    double probability;

    g_variant_get_child(answer, i, "(&sd)", NULL, &probability);
    if (probability > highest) {
      highest = probability;
      choice = i;
    }
  }
  return choice;
}
