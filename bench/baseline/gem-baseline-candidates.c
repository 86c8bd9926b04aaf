#include "bench/baseline/gem-baseline-candidates.h"

#include <math.h>

/* Positions that are told apart; further ones are as the last. */
#define POSITIONS 12u

/* The numbers that stand behind the features of words. */
enum {
  IN_INPUT,
  OF_INPUT,
  PAIRS_IN_INPUT,
  LETTERS_IN_INPUT,
  IN_OTHERS,
  LENGTH,
  POSITION,
  N_NUMBERS = POSITION + POSITIONS
};

struct _GemBaselineCandidates {
  GemBaselineFeatures *features; /* of candidates */
  GemBaselineWords *words;       /* of everything that was seen; grows */
  GHashTable *texts;             /* word to count: in how many questions it was learned */
  guint n_questions;
};

/* What is in a text, each once and sorted. */
typedef struct {
  GArray *words;   /* guint64 */
  GArray *pairs;   /* guint64: a word and the next one */
  GArray *letters; /* guint64: three characters of 21 bits */
  guint length;    /* in words */
} Contents;

static void
contents_clear(gpointer data)
{
  Contents *self = data;

  g_array_unref(self->words);
  g_array_unref(self->pairs);
  g_array_unref(self->letters);
}

static int
compare_numbers(const void *a, const void *b)
{
  guint64 left = *(const guint64 *)a, right = *(const guint64 *)b;

  return (left > right) - (left < right);
}

static void
sort_once(GArray *numbers)
{
  guint i, kept = 0;

  g_array_sort(numbers, compare_numbers);
  for (i = 0; i < numbers->len; i++) {
    if (i == 0 || g_array_index(numbers, guint64, i) != g_array_index(numbers, guint64, kept - 1)) {
      g_array_index(numbers, guint64, kept++) = g_array_index(numbers, guint64, i);
    }
  }
  g_array_set_size(numbers, kept);
}

static GArray *
read_letters(const char *text)
{
  GArray *letters = g_array_new(FALSE, FALSE, sizeof(guint64));
  g_autofree char *lower = g_utf8_strdown(text, -1);
  guint64 last = 0;
  const char *at;
  guint n = 0;

  for (at = lower; *at != '\0'; at = g_utf8_next_char(at)) {
    gunichar c = g_utf8_get_char(at);

    n = g_unichar_isalnum(c) ? n + 1 : 0;
    last = (last << 21 | c) & ((G_GUINT64_CONSTANT(1) << 63) - 1);
    if (n >= 3) {
      g_array_append_val(letters, last);
    }
  }
  return letters;
}

static Contents
read_contents(GemBaselineCandidates *self, const char *text)
{
  g_autoptr(GArray) words = gem_baseline_words_read(self->words, text, TRUE);
  Contents contents = {g_array_new(FALSE, FALSE, sizeof(guint64)), g_array_new(FALSE, FALSE, sizeof(guint64)),
                       read_letters(text), words->len};
  guint i;

  for (i = 0; i < words->len; i++) {
    guint64 word = g_array_index(words, GemBaselineWord, i).word;

    g_array_append_val(contents.words, word);
    if (i + 1 < words->len) {
      word = word << 32 | g_array_index(words, GemBaselineWord, i + 1).word;
      g_array_append_val(contents.pairs, word);
    }
  }
  sort_once(contents.words);
  sort_once(contents.pairs);
  sort_once(contents.letters);
  return contents;
}

/* ---- learning ---- */

static void
learn_words(GemBaselineCandidates *self, const char *text, GHashTable *seen)
{
  g_autoptr(GArray) words = gem_baseline_words_read(self->words, text, TRUE);
  guint i;

  for (i = 0; i < words->len; i++) {
    gpointer word = GUINT_TO_POINTER(g_array_index(words, GemBaselineWord, i).word);

    if (g_hash_table_add(seen, word)) {
      guint before = GPOINTER_TO_UINT(g_hash_table_lookup(self->texts, word));

      g_hash_table_insert(self->texts, word, GUINT_TO_POINTER(before + 1));
    }
  }
}

GemBaselineCandidates *
gem_baseline_candidates_new(const GemBaselineQuestion *questions, guint n)
{
  GemBaselineCandidates *self = g_new0(GemBaselineCandidates, 1);
  g_autoptr(GPtrArray) candidates = g_ptr_array_new();
  guint i, j;

  self->words = gem_baseline_words_new();
  self->texts = g_hash_table_new(NULL, NULL);
  self->n_questions = n;
  for (i = 0; i < n; i++) {
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

    learn_words(self, questions[i].input, seen);
    for (j = 0; questions[i].candidates[j] != NULL; j++) {
      learn_words(self, questions[i].candidates[j], seen);
      g_ptr_array_add(candidates, (gpointer)questions[i].candidates[j]);
    }
  }
  self->features = gem_baseline_features_new((const char *const *)candidates->pdata, candidates->len, FALSE);
  return self;
}

void
gem_baseline_candidates_free(GemBaselineCandidates *self)
{
  gem_baseline_features_free(self->features);
  gem_baseline_words_free(self->words);
  g_hash_table_unref(self->texts);
  g_free(self);
}

guint
gem_baseline_candidates_count(const GemBaselineCandidates *self)
{
  return gem_baseline_features_count(self->features) + N_NUMBERS;
}

/* ---- rows ---- */

static double
weigh_word(const GemBaselineCandidates *self, guint64 word)
{
  guint texts = GPOINTER_TO_UINT(g_hash_table_lookup(self->texts, GUINT_TO_POINTER((guint)word)));

  return 1 + log((1.0 + self->n_questions) / (1.0 + texts));
}

/* The share of `part` that stands in `whole`, both sorted; by rarity when `weighed`. 0 of nothing. */
static double
share(const GemBaselineCandidates *self, const GArray *part, const GArray *whole, gboolean weighed)
{
  double sum = 0, found = 0;
  guint i, j = 0;

  for (i = 0; i < part->len; i++) {
    guint64 number = g_array_index(part, guint64, i);
    double weight = weighed ? weigh_word(self, number) : 1;

    while (j < whole->len && g_array_index(whole, guint64, j) < number) {
      j++;
    }
    sum += weight;
    found += j < whole->len && g_array_index(whole, guint64, j) == number ? weight : 0;
  }
  return sum > 0 ? found / sum : 0;
}

/* The numbers of candidate `which` of `candidates` (Contents). */
static void
find_numbers(const GemBaselineCandidates *self,
             const Contents *input,
             const GArray *candidates,
             guint which,
             double *numbers)
{
  const Contents *candidate = &g_array_index(candidates, Contents, which);
  double mean = 0, others = 0;
  guint i;

  for (i = 0; i < candidates->len; i++) {
    const Contents *other = &g_array_index(candidates, Contents, i);

    mean += log1p(other->length) / candidates->len;
    others += i == which ? 0 : share(self, candidate->words, other->words, TRUE) / (candidates->len - 1);
  }
  numbers[IN_INPUT] = share(self, candidate->words, input->words, TRUE);
  numbers[OF_INPUT] = share(self, input->words, candidate->words, TRUE);
  numbers[PAIRS_IN_INPUT] = share(self, candidate->pairs, input->pairs, FALSE);
  numbers[LETTERS_IN_INPUT] = share(self, candidate->letters, input->letters, FALSE);
  numbers[IN_OTHERS] = others;
  numbers[LENGTH] = log1p(candidate->length) - mean;
  numbers[POSITION + MIN(which, POSITIONS - 1)] = 1;
}

static guint
add_question(GemBaselineCandidates *self, const GemBaselineQuestion *question, GemBaselineRows *rows)
{
  Contents input = read_contents(self, question->input);
  g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(Contents));
  guint n_words = gem_baseline_features_count(self->features), i, j;

  g_array_set_clear_func(candidates, contents_clear);
  for (i = 0; question->candidates[i] != NULL; i++) {
    Contents contents = read_contents(self, question->candidates[i]);

    g_array_append_val(candidates, contents);
  }
  for (i = 0; i < candidates->len; i++) {
    double numbers[N_NUMBERS] = {0};

    gem_baseline_features_append(self->features, question->candidates[i], rows);
    find_numbers(self, &input, candidates, i, numbers);
    for (j = 0; j < N_NUMBERS; j++) {
      GemBaselineEntry entry = {n_words + j, (float)numbers[j]};

      if (numbers[j] != 0) {
        g_array_append_val(rows->entries, entry);
      }
    }
    gem_baseline_rows_end(rows);
  }
  contents_clear(&input);
  return candidates->len;
}

GemBaselineRows *
gem_baseline_candidates_of(GemBaselineCandidates *self,
                           const GemBaselineQuestion *questions,
                           guint n,
                           guint **ret_ends)
{
  GemBaselineRows *rows = gem_baseline_rows_new();
  guint *ends = g_new(guint, n);
  guint i, end = 0;

  for (i = 0; i < n; i++) {
    end += add_question(self, &questions[i], rows);
    ends[i] = end;
  }
  *ret_ends = ends;
  return rows;
}
