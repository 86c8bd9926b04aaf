/* Batches of sequences of different lengths. */
#include <string.h>

#include "training/text/gem-batch.h"

static void
test_append(void)
{
  const guint32 first[] = {7, 8, 9}, second[] = {4}, third[] = {5, 6};
  const guint32 tokens[] = {7, 8, 9, 4, 5, 6}, positions[] = {0, 1, 2, 0, 0, 1}, starts[] = {0, 3, 4, 6};
  const gint32 targets[] = {8, 9, -1, -1, 6, -1};
  const gint8 routes[] = {2, 2, 2, GEM_ROUTE_GENERAL, 0, 0};
  const float weights[] = {0.5f, 0.5f, 0.0f, 0.0f, 2.0f, 0.0f};
  g_autoptr(GemBatch) batch = gem_batch_new(8);
  gem_batch_append(batch, first, 3, 2, 0.5f);
  gem_batch_append(batch, second, 1, GEM_ROUTE_GENERAL, 1.0f);
  gem_batch_append(batch, third, 2, 0, 2.0f);
  g_assert_cmpuint(batch->n, ==, 6);
  g_assert_cmpuint(gem_batch_room(batch), ==, 2);
  g_assert_cmpuint(gem_batch_n_sequences(batch), ==, 3);
  g_assert_cmpmem(batch->token, 6 * sizeof(guint32), tokens, sizeof tokens);
  g_assert_cmpmem(batch->position, 6 * sizeof(guint32), positions, sizeof positions);
  g_assert_cmpmem(batch->target, 6 * sizeof(gint32), targets, sizeof targets);
  g_assert_cmpmem(batch->route, 6, routes, sizeof routes);
  g_assert_cmpmem(batch->weight, 6 * sizeof(float), weights, sizeof weights);
  g_assert_cmpmem(batch->start->data, 4 * sizeof(guint32), starts, sizeof starts);
}

/* The last token of a sequence has no target, so it weighs nothing, whatever its weight says. */
static void
test_total_weight(void)
{
  const guint32 tokens[] = {1, 2, 3};
  g_autoptr(GemBatch) batch = gem_batch_new(8);
  g_assert_cmpfloat(gem_batch_total_weight(batch), ==, 0.0);
  gem_batch_append(batch, tokens, 3, 0, 0.25f);
  gem_batch_append(batch, tokens, 2, 0, 3.0f);
  batch->weight[2] = 100.0f;
  g_assert_cmpfloat(gem_batch_total_weight(batch), ==, 3.5);
}

/* What a batch held before it was cleared does not show. */
static void
test_clear(void)
{
  const guint32 tokens[] = {1, 2, 3};
  g_autoptr(GemBatch) batch = gem_batch_new(4);
  gem_batch_append(batch, tokens, 3, 1, 1.0f);
  batch->prefix[0] = 3;
  gem_batch_clear(batch);
  g_assert_cmpuint(batch->n, ==, 0);
  g_assert_cmpuint(gem_batch_room(batch), ==, 4);
  g_assert_cmpuint(gem_batch_n_sequences(batch), ==, 0);
  gem_batch_append(batch, tokens, 2, 0, 1.0f);
  g_assert_cmpuint(batch->prefix[0], ==, 0);
  g_assert_cmpint(batch->target[1], ==, -1);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/batch/append", test_append);
  g_test_add_func("/batch/total-weight", test_total_weight);
  g_test_add_func("/batch/clear", test_clear);
  return g_test_run();
}
