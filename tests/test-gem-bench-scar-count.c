/* The count of what SCAR lets tokens see, against the rule itself. */
#include "bench/direct/gem-bench-scar-count.h"

enum { N = 70 };

static guint64
count_by_rule(const guint8 *clusters, guint n, guint window, gboolean successors)
{
  guint64 pairs = 0;
  guint i, j;

  for (i = 0; i < n; i++) {
    for (j = 0; j <= i; j++) {
      guint of = successors && j > 0 ? j - 1 : j;

      pairs += clusters[i] == clusters[of] || i - j < window || j == 0;
    }
  }
  return pairs;
}

static void
test_pairs(void)
{
  static const guint windows[] = {0, 1, 4, 69, 70, 1000}, clusters[] = {1, 2, 8, 256};
  g_autoptr(GRand) random = g_rand_new_with_seed(3);
  guint8 of[N];
  gsize w, k;
  guint n;

  for (k = 0; k < G_N_ELEMENTS(clusters); k++) {
    for (n = 0; n < N; n++) {
      of[n] = (guint8)g_rand_int_range(random, 0, (gint32)clusters[k]);
    }
    for (w = 0; w < G_N_ELEMENTS(windows); w++) {
      for (n = 0; n <= N; n++) {
        for (gboolean successors = FALSE; successors <= TRUE; successors++) {
          g_assert_cmpuint(gem_bench_count_scar_pairs(of, n, windows[w], successors), ==,
                           count_by_rule(of, n, windows[w], successors));
        }
      }
    }
  }
}

/* One cluster, or a window over everything, is dense attention. */
static void
test_dense(void)
{
  const guint8 same[N] = {0};
  guint8 different[N];
  guint i;

  for (i = 0; i < N; i++) {
    different[i] = (guint8)i;
  }
  g_assert_cmpuint(gem_bench_count_dense_pairs(N), ==, 70 * 71 / 2);
  g_assert_cmpuint(gem_bench_count_scar_pairs(same, N, 0, FALSE), ==, 70 * 71 / 2);
  g_assert_cmpuint(gem_bench_count_scar_pairs(different, N, N, FALSE), ==, 70 * 71 / 2);
  g_assert_cmpuint(gem_bench_count_dense_pairs(500000), ==, G_GUINT64_CONSTANT(125000250000));
}

/* The paper's example: 128 tokens, 16 clusters, and 8 where power is low. */
static void
test_paper(void)
{
  double clustered = (double)gem_bench_count_of_paper(128, 16),
         dense = (double)gem_bench_count_of_paper(128, 0);

  g_assert_cmpuint(gem_bench_count_of_paper(128, 16), ==, 2176);
  g_assert_cmpuint(gem_bench_count_of_paper(128, 0), ==, 16384);
  g_assert_cmpuint(gem_bench_count_of_paper(128, 8), ==, 1152);
  g_assert_cmpfloat_with_epsilon(1 - clustered / dense, 0.8671875, 1e-12); /* the reduction */
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/scar-count/pairs", test_pairs);
  g_test_add_func("/gem-bench/scar-count/dense", test_dense);
  g_test_add_func("/gem-bench/scar-count/paper", test_paper);
  return g_test_run();
}
