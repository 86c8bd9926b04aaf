#include "bench/questions/gem-bench-labels.h"

#include <string.h>

/* dbus/org.gemd.Gem1.Manager.xml, Classify */
#define FEWEST_LABELS    2u
#define MOST_LABELS      256u
#define MOST_LABEL_BYTES 1024u
#define MOST_ALL_BYTES   16384u

gboolean
gem_bench_labels_are_valid(GStrv labels)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  gsize bytes = 0;
  guint i;

  for (i = 0; labels[i] != NULL; i++) {
    gsize length = strlen(labels[i]);

    if (length < 1 || length > MOST_LABEL_BYTES || !g_hash_table_add(seen, labels[i])) {
      return FALSE;
    }
    bytes += length;
  }
  return i >= FEWEST_LABELS && i <= MOST_LABELS && bytes <= MOST_ALL_BYTES;
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
