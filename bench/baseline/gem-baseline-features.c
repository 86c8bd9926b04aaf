#include "bench/baseline/gem-baseline-features.h"

#include <math.h>
#include <stdlib.h>

/* Texts that a feature must stand in. */
#define LEAST_TEXTS 2u
/* A key is a field (0: any), a word and the word after it (0: none), exactly. */
#define WORD_BITS 29u

struct _GemBaselineFeatures {
  GemBaselineWords *words;
  GHashTable *numbers; /* guint64 *: key, to its feature's number + 1 */
  GArray *weights;     /* float [features]: rarity */
  gboolean fields;
};

/* ---- rows ---- */

GemBaselineRows *
gem_baseline_rows_new(void)
{
  GemBaselineRows *self = g_new0(GemBaselineRows, 1);

  self->entries = g_array_new(FALSE, FALSE, sizeof(GemBaselineEntry));
  self->ends = g_array_new(FALSE, FALSE, sizeof(gsize));
  return self;
}

void
gem_baseline_rows_free(GemBaselineRows *self)
{
  g_array_unref(self->entries);
  g_array_unref(self->ends);
  g_free(self);
}

const GemBaselineEntry *
gem_baseline_rows_get(const GemBaselineRows *self, guint row, guint *ret_n)
{
  gsize start = row == 0 ? 0 : g_array_index(self->ends, gsize, row - 1);

  *ret_n = (guint)(g_array_index(self->ends, gsize, row) - start);
  return (const GemBaselineEntry *)(const void *)self->entries->data + start;
}

void
gem_baseline_rows_end(GemBaselineRows *self)
{
  gsize end = self->entries->len;

  g_array_append_val(self->ends, end);
}

/* ---- keys ---- */

static int
compare_keys(const void *a, const void *b)
{
  guint64 left = *(const guint64 *)a, right = *(const guint64 *)b;

  return (left > right) - (left < right);
}

static void
add_key(GArray *keys, guint64 field, guint64 first, guint64 second)
{
  guint64 key = field << (2 * WORD_BITS) | first << WORD_BITS | second;

  g_array_append_val(keys, key);
}

/* Keys are small numbers side by side, which g_int64_hash makes the same of by the thousands. */
static guint
hash_key(gconstpointer key)
{
  return (guint)((*(const guint64 *)key * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) >> 32);
}

/* The keys of a text, sorted, each as often as it stands there. */
static GArray *
read_keys(const GemBaselineFeatures *self, const char *text, gboolean learn)
{
  GArray *keys = g_array_new(FALSE, FALSE, sizeof(guint64));
  g_autoptr(GArray) words = gem_baseline_words_read(self->words, text, learn);
  guint i;

  for (i = 0; i < words->len; i++) {
    const GemBaselineWord *word = &g_array_index(words, GemBaselineWord, i);
    guint32 next = i + 1 < words->len ? word[1].word : GEM_BASELINE_UNKNOWN;

    if (word->word == GEM_BASELINE_UNKNOWN) {
      continue;
    }
    add_key(keys, 0, word->word, 0);
    if (self->fields) {
      add_key(keys, word->field + 1, word->word, 0);
    }
    if (next != GEM_BASELINE_UNKNOWN) {
      add_key(keys, 0, word->word, next);
      if (self->fields) {
        add_key(keys, word->field + 1, word->word, next);
      }
    }
  }
  g_array_sort(keys, compare_keys);
  return keys;
}

/* How often the key at `from` stands in the sorted keys. */
static guint
count_same(const GArray *keys, guint from)
{
  guint n = 1;

  while (from + n < keys->len &&
         g_array_index(keys, guint64, from + n) == g_array_index(keys, guint64, from)) {
    n++;
  }
  return n;
}

/* ---- which are features ---- */

/* In how many texts each key stands. */
static GHashTable *
count_texts(const GemBaselineFeatures *self, const char *const *texts, guint n)
{
  GHashTable *counts = g_hash_table_new_full(hash_key, g_int64_equal, g_free, NULL);
  guint i, j;

  for (i = 0; i < n; i++) {
    g_autoptr(GArray) keys = read_keys(self, texts[i], TRUE);

    for (j = 0; j < keys->len; j += count_same(keys, j)) {
      guint64 *key = &g_array_index(keys, guint64, j);
      guint before = GPOINTER_TO_UINT(g_hash_table_lookup(counts, key));

      g_hash_table_insert(counts, g_memdup2(key, sizeof *key), GUINT_TO_POINTER(before + 1));
    }
  }
  return counts;
}

/* Numbers go by the keys' order, which is the order in which words first came. */
static void
number_features(GemBaselineFeatures *self, GHashTable *counts, guint n_texts)
{
  g_autoptr(GArray) kept = g_array_new(FALSE, FALSE, sizeof(guint64));
  GHashTableIter iter;
  gpointer key, value;
  guint i;

  g_hash_table_iter_init(&iter, counts);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    if (GPOINTER_TO_UINT(value) >= LEAST_TEXTS) {
      g_array_append_val(kept, *(guint64 *)key);
    }
  }
  g_array_sort(kept, compare_keys);
  for (i = 0; i < kept->len; i++) {
    const guint64 *number = &g_array_index(kept, guint64, i);
    double texts = GPOINTER_TO_UINT(g_hash_table_lookup(counts, number));
    float weight = (float)(1 + log((1.0 + n_texts) / (1.0 + texts)));

    g_hash_table_insert(self->numbers, g_memdup2(number, sizeof *number), GUINT_TO_POINTER(i + 1));
    g_array_append_val(self->weights, weight);
  }
}

GemBaselineFeatures *
gem_baseline_features_new(const char *const *texts, guint n, gboolean fields)
{
  GemBaselineFeatures *self = g_new0(GemBaselineFeatures, 1);
  g_autoptr(GHashTable) counts = NULL;

  self->words = gem_baseline_words_new();
  self->numbers = g_hash_table_new_full(hash_key, g_int64_equal, g_free, NULL);
  self->weights = g_array_new(FALSE, FALSE, sizeof(float));
  self->fields = fields && gem_baseline_words_learn_fields(self->words, texts, n) >= 2;
  counts = count_texts(self, texts, n);
  number_features(self, counts, n);
  return self;
}

void
gem_baseline_features_free(GemBaselineFeatures *self)
{
  gem_baseline_words_free(self->words);
  g_hash_table_unref(self->numbers);
  g_array_unref(self->weights);
  g_free(self);
}

gboolean
gem_baseline_features_has_fields(const GemBaselineFeatures *self)
{
  return self->fields;
}

guint
gem_baseline_features_count(const GemBaselineFeatures *self)
{
  return self->weights->len;
}

void
gem_baseline_features_append(GemBaselineFeatures *self, const char *text, GemBaselineRows *rows)
{
  g_autoptr(GArray) keys = read_keys(self, text, FALSE);
  guint first = rows->entries->len, i, same;
  double square = 0;

  for (i = 0; i < keys->len; i += same) {
    guint64 *key = &g_array_index(keys, guint64, i);
    guint number = GPOINTER_TO_UINT(g_hash_table_lookup(self->numbers, key));

    same = count_same(keys, i);
    if (number > 0) {
      float weight = g_array_index(self->weights, float, number - 1);
      GemBaselineEntry entry = {number - 1, (float)(1 + log(same)) * weight};

      square += (double)entry.value * entry.value;
      g_array_append_val(rows->entries, entry);
    }
  }
  for (i = first; i < rows->entries->len; i++) {
    g_array_index(rows->entries, GemBaselineEntry, i).value /= (float)sqrt(square);
  }
}

GemBaselineRows *
gem_baseline_features_of(GemBaselineFeatures *self, const char *const *texts, guint n)
{
  GemBaselineRows *rows = gem_baseline_rows_new();
  guint i;

  for (i = 0; i < n; i++) {
    gem_baseline_features_append(self, texts[i], rows);
    gem_baseline_rows_end(rows);
  }
  return rows;
}
