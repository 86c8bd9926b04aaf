#include "bench/edge/gem-edge-metrics.h"

#include "bench/edge/gem-edge-text.h"

static double
f1_of(double precision, double recall)
{
  return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

/* Words that both have, each as often as both have it. */
static guint
count_common(const GPtrArray *a, const GPtrArray *b)
{
  g_autoptr(GHashTable) left = g_hash_table_new(g_str_hash, g_str_equal); /* word -> times in a */
  guint i, common = 0;

  for (i = 0; i < a->len; i++) {
    guint times = GPOINTER_TO_UINT(g_hash_table_lookup(left, a->pdata[i]));

    g_hash_table_insert(left, a->pdata[i], GUINT_TO_POINTER(times + 1));
  }
  for (i = 0; i < b->len; i++) {
    guint times = GPOINTER_TO_UINT(g_hash_table_lookup(left, b->pdata[i]));

    if (times > 0) {
      common++;
      g_hash_table_insert(left, b->pdata[i], GUINT_TO_POINTER(times - 1));
    }
  }
  return common;
}

double
gem_edge_token_f1(const char *answer, const char *const *right)
{
  g_autofree char *said = gem_edge_normalise(answer);
  g_autoptr(GPtrArray) words = gem_edge_split_words(said);
  double best = 0;

  for (; *right != NULL; right++) {
    g_autofree char *wanted = gem_edge_normalise(*right);
    g_autoptr(GPtrArray) wanted_words = gem_edge_split_words(wanted);
    double value;

    if (words->len == 0 || wanted_words->len == 0) {
      value = words->len == wanted_words->len;
    } else {
      double common = count_common(words, wanted_words);

      value = f1_of(common / words->len, common / wanted_words->len);
    }
    best = MAX(best, value);
  }
  return best;
}

double
gem_edge_exact_match(const char *answer, const char *const *right)
{
  g_autofree char *said = gem_edge_normalise(answer);

  for (; *right != NULL; right++) {
    g_autofree char *wanted = gem_edge_normalise(*right);

    if (g_str_equal(said, wanted)) {
      return 1;
    }
  }
  return 0;
}

/* Length of the longest common subsequence; a row of the table at a time. */
static guint
longest_common(const GPtrArray *a, const GPtrArray *b)
{
  g_autofree guint *row = g_new0(guint, b->len + 1);
  guint i, j;

  for (i = 0; i < a->len; i++) {
    guint diagonal = 0; /* of the row before, one to the left */

    for (j = 0; j < b->len; j++) {
      guint above = row[j + 1];

      row[j + 1] = g_str_equal(a->pdata[i], b->pdata[j]) ? diagonal + 1 : MAX(above, row[j]);
      diagonal = above;
    }
  }
  return row[b->len];
}

double
gem_edge_rouge_l(const char *answer, const char *const *right)
{
  g_autoptr(GPtrArray) words = gem_edge_split_rouge(answer);
  double best = 0;

  for (; *right != NULL; right++) {
    g_autoptr(GPtrArray) wanted = gem_edge_split_rouge(*right);

    if (words->len > 0 && wanted->len > 0) {
      double common = longest_common(words, wanted);

      best = MAX(best, f1_of(common / words->len, common / wanted->len));
    }
  }
  return best;
}

/* ---- mentions ---- */

GemEdgeMentions
gem_edge_compare_mentions(const char *answer, const char *const *right)
{
  g_autoptr(GHashTable) said = gem_edge_split_mentions(answer);
  GemEdgeMentions best = {0};
  double highest = -1;

  for (; *right != NULL; right++) {
    g_autoptr(GHashTable) wanted = gem_edge_split_mentions(*right);
    GemEdgeMentions counts = {0};
    GHashTableIter iter;
    gpointer mention;

    g_hash_table_iter_init(&iter, said);
    while (g_hash_table_iter_next(&iter, &mention, NULL)) {
      counts.right += g_hash_table_contains(wanted, mention);
    }
    counts.wrong = g_hash_table_size(said) - counts.right;
    counts.lacking = g_hash_table_size(wanted) - counts.right;
    if (gem_edge_mention_f1(&counts) > highest) {
      highest = gem_edge_mention_f1(&counts);
      best = counts;
    }
  }
  return best;
}

static double
share(guint part, guint whole, const GemEdgeMentions *sum)
{
  if (whole > 0) {
    return (double)part / whole;
  }
  return sum->right + sum->wrong + sum->lacking == 0;
}

double
gem_edge_mention_precision(const GemEdgeMentions *sum)
{
  return share(sum->right, sum->right + sum->wrong, sum);
}

double
gem_edge_mention_recall(const GemEdgeMentions *sum)
{
  return share(sum->right, sum->right + sum->lacking, sum);
}

double
gem_edge_mention_f1(const GemEdgeMentions *sum)
{
  return share(2 * sum->right, 2 * sum->right + sum->wrong + sum->lacking, sum);
}
