/* What an adaptation reads, and how often. */
#include "training/adapt/gem-adapt-schedule.h"

enum { BOS = 1, LANES_MANY = 40 };

/* Text t has tokens 1000 t, 1000 t + 1 ... */
static GemAdaptText
text_new(guint32 t, guint n, guint answer, guint group)
{
  guint32 *tokens = g_new(guint32, n);
  for (guint i = 0; i < n; i++) {
    tokens[i] = 1000 * t + i;
  }
  return (GemAdaptText){.tokens = tokens, .n = n, .answer = answer, .group = group};
}

static void
texts_free(const GemAdaptText *texts, gsize n)
{
  for (gsize i = 0; i < n; i++) {
    g_free((gpointer)texts[i].tokens);
  }
}

static GemAdaptScheduleOptions
options_for(guint64 batches)
{
  return (GemAdaptScheduleOptions){.sequence = 16,
                                   .batch_tokens = 32,
                                   .batches = batches,
                                   .power = 1.0,
                                   .answer_weight = 2.0,
                                   .answer_least = 10.0,
                                   .seed = 3};
}

/* How often each token was read. */
static GHashTable *
count_tokens(const GemAdaptSchedule *schedule, guint64 batches)
{
  GHashTable *counts = g_hash_table_new(NULL, NULL);
  g_autoptr(GemBatch) batch = gem_batch_new(32);
  for (guint64 b = 0; b < batches; b++) {
    gem_batch_clear(batch);
    gem_adapt_schedule_fill(schedule, b, 2, batch);
    g_assert_cmpuint(gem_batch_n_sequences(batch), >, 0);
    for (gsize i = 0; i < batch->n; i++) {
      gpointer key = GUINT_TO_POINTER(batch->token[i]);
      g_assert_true(batch->route[i] == 2);
      g_hash_table_insert(counts, key,
                          GUINT_TO_POINTER(GPOINTER_TO_UINT(g_hash_table_lookup(counts, key)) + 1));
    }
  }
  return counts;
}

static guint
count_of(GHashTable *counts, guint32 token)
{
  return GPOINTER_TO_UINT(g_hash_table_lookup(counts, GUINT_TO_POINTER(token)));
}

/* Every window once before any twice: counts of any two texts differ by one at most. */
static void
test_rounds(void)
{
  GemAdaptText texts[] = {text_new(1, 10, 0, 0), text_new(2, 40, 0, 0), text_new(3, 7, 0, 0),
                          text_new(4, 1, 0, 0)};
  const GemAdaptScheduleOptions options = options_for(LANES_MANY);
  g_autoptr(GemAdaptSchedule) schedule = gem_adapt_schedule_new(texts, 4, BOS, &options);
  g_autoptr(GHashTable) counts = count_tokens(schedule, LANES_MANY);
  guint least = G_MAXUINT, most = 0;
  for (guint t = 1; t <= 3; t++) {
    for (guint i = 0; i < texts[t - 1].n; i++) {
      guint count = count_of(counts, 1000 * t + i);
      least = MIN(least, count);
      most = MAX(most, count);
    }
  }
  g_assert_cmpuint(least, >, 5);
  g_assert_cmpuint(most - least, <=, 1);
  g_assert_cmpuint(count_of(counts, 4000), ==, 0); /* one token predicts nothing */
  g_assert_cmpuint(count_of(counts, BOS), >, 0);   /* before later windows of text 2 */
  texts_free(texts, 4);
}

static void
test_same_again(void)
{
  GemAdaptText texts[] = {text_new(1, 100, 0, 0), text_new(2, 50, 0, 1)};
  GemAdaptScheduleOptions options = options_for(LANES_MANY);
  g_autoptr(GemAdaptSchedule) one = gem_adapt_schedule_new(texts, 2, BOS, &options),
                              two = gem_adapt_schedule_new(texts, 2, BOS, &options);
  options.seed++;
  g_autoptr(GemAdaptSchedule) other = gem_adapt_schedule_new(texts, 2, BOS, &options);
  g_autoptr(GemBatch) a = gem_batch_new(32), b = gem_batch_new(32), c = gem_batch_new(32);
  gboolean differs = FALSE;
  for (guint64 i = LANES_MANY; i-- > 0;) { /* in any order */
    gem_batch_clear(a);
    gem_batch_clear(b);
    gem_batch_clear(c);
    gem_adapt_schedule_fill(one, i, 0, a);
    gem_adapt_schedule_fill(two, i, 0, b);
    gem_adapt_schedule_fill(other, i, 0, c);
    g_assert_cmpmem(a->token, a->n * sizeof(guint32), b->token, b->n * sizeof(guint32));
    differs |= a->n != c->n || a->token[0] != c->token[0];
  }
  g_assert_true(differs);
  texts_free(texts, 2);
}

/* A route for all, or each text's own. */
static void
test_routes(void)
{
  GemAdaptText texts[] = {text_new(1, 40, 0, 0), text_new(2, 40, 0, 0)};
  const GemAdaptScheduleOptions options = options_for(LANES_MANY);
  texts[0].domain = 3;
  texts[1].domain = GEM_ROUTE_GENERAL;
  g_autoptr(GemAdaptSchedule) schedule = gem_adapt_schedule_new(texts, 2, BOS, &options);
  g_autoptr(GemBatch) batch = gem_batch_new(32);
  guint seen[2] = {0};
  for (guint64 i = 0; i < LANES_MANY; i++) {
    gem_batch_clear(batch);
    gem_adapt_schedule_fill(schedule, i, GEM_ADAPT_ROUTE_OF_TEXT, batch);
    for (gsize t = 0; t < batch->n; t++) {
      guint text = batch->token[t] >= 2000 ? 1 : 0;
      if (batch->token[t] != BOS) {
        g_assert_cmpint(batch->route[t], ==, texts[text].domain);
        seen[text]++;
      }
    }
  }
  g_assert_cmpuint(MIN(seen[0], seen[1]), >, 0);
  texts_free(texts, 2);
}

/* A long line keeps its end, and the tokens that predict its answer weigh more. */
static void
test_answer(void)
{
  GemAdaptText text = text_new(1, 30, 28, 0);
  const GemAdaptScheduleOptions options = options_for(1);
  g_autoptr(GemAdaptSchedule) schedule = gem_adapt_schedule_new(&text, 1, BOS, &options);
  g_autoptr(GemBatch) batch = gem_batch_new(32);
  gem_adapt_schedule_fill(schedule, 0, 0, batch);
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  g_assert_cmpuint(start[1], ==, 16);
  g_assert_cmpuint(batch->token[0], ==, BOS);
  g_assert_cmpuint(batch->token[15], ==, 1029);
  g_assert_cmpint(batch->target[13], ==, 1028);
  g_assert_cmpfloat(batch->weight[12], ==, 1.0f);
  g_assert_cmpfloat(batch->weight[13], ==, 5.0f); /* two tokens have 10 together */
  g_assert_cmpfloat(batch->weight[14], ==, 5.0f);
  texts_free(&text, 1);
}

/* With power 0 a small group is read as often as a large one. */
static void
test_groups(void)
{
  GemAdaptText texts[] = {text_new(1, 10, 0, 0), text_new(2, 10, 0, 2), text_new(3, 10, 0, 2),
                          text_new(4, 10, 0, 2), text_new(5, 10, 0, 2), text_new(6, 10, 0, 2)};
  GemAdaptScheduleOptions options = options_for(400);
  options.power = 0.0;
  g_autoptr(GemAdaptSchedule) schedule = gem_adapt_schedule_new(texts, 6, BOS, &options);
  g_autoptr(GHashTable) counts = count_tokens(schedule, 400);
  double small = count_of(counts, 1000), large = 0.0;
  for (guint32 t = 2; t <= 6; t++) {
    large += count_of(counts, 1000 * t);
  }
  g_assert_cmpfloat(small / (small + large), >, 0.42);
  g_assert_cmpfloat(small / (small + large), <, 0.58);
  texts_free(texts, 6);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/adapt-schedule/rounds", test_rounds);
  g_test_add_func("/adapt-schedule/same-again", test_same_again);
  g_test_add_func("/adapt-schedule/answer", test_answer);
  g_test_add_func("/adapt-schedule/groups", test_groups);
  g_test_add_func("/adapt-schedule/routes", test_routes);
  return g_test_run();
}
