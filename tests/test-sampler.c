#include <math.h>
#include <stdlib.h>

#include "daemon/engine/gem-sampler.h"
#include "kernels/gem-kernels.h"

static guint32
pick(GemSampler *sampler, const float *logits, guint n)
{
  guint32 token = G_MAXUINT32;

  g_assert_true(gem_sampler_pick(sampler, logits, n, &token));
  g_assert_cmpuint(token, <, n);
  return token;
}

static void
test_greedy(void)
{
  static const float logits[] = {-1, 3, 2.5F, 3, -7};
  static const float holes[] = {NAN, -INFINITY, -2, NAN, -1, INFINITY};
  g_autoptr(GemSampler) sampler = gem_sampler_new(0, 3, 0.5, 1);

  g_assert_cmpuint(pick(sampler, logits, G_N_ELEMENTS(logits)), ==, 1);
  g_assert_cmpuint(pick(sampler, holes, G_N_ELEMENTS(holes)), ==, 4);
}

static void
test_nothing_finite(void)
{
  static const float logits[] = {NAN, -INFINITY, INFINITY};
  g_autoptr(GemSampler) greedy = gem_sampler_new(0, 0, 1, 1);
  g_autoptr(GemSampler) drawing = gem_sampler_new(1, 0, 0.9, 1);
  guint32 token = 77;

  g_assert_false(gem_sampler_pick(greedy, logits, 3, &token));
  g_assert_false(gem_sampler_pick(drawing, logits, 3, &token));
  g_assert_cmpuint(token, ==, 77);
}

/* The generator is xoshiro256** over splitmix64: its first outputs for seed 0, from the published code. */
static void
test_generator(void)
{
  g_autoptr(GemSampler) sampler = gem_sampler_new(1, 0, 1, 0);

  g_assert_cmpfloat(gem_sampler_next_uniform(sampler), ==, (double)(0x99ec5f36cb75f2b4 >> 11) * 0x1p-53);
  g_assert_cmpfloat(gem_sampler_next_uniform(sampler), ==, (double)(0xbf6e1f784956452a >> 11) * 0x1p-53);
}

static void
test_seed(void)
{
  float logits[64];
  g_autoptr(GemSampler) a = gem_sampler_new(1.3, 0, 1, 42);
  g_autoptr(GemSampler) b = gem_sampler_new(1.3, 0, 1, 42);
  g_autoptr(GemSampler) c = gem_sampler_new(1.3, 0, 1, 43);
  guint differs = 0;

  for (guint i = 0; i < G_N_ELEMENTS(logits); i++) {
    logits[i] = sinf((float)i);
  }
  for (guint i = 0; i < 200; i++) {
    guint32 token = pick(a, logits, G_N_ELEMENTS(logits));

    g_assert_cmpuint(token, ==, pick(b, logits, G_N_ELEMENTS(logits)));
    differs += token != pick(c, logits, G_N_ELEMENTS(logits)) ? 1 : 0;
  }
  g_assert_cmpuint(differs, >, 100);
}

/* How often each token is drawn, against softmax(logits / temperature) over those that may be drawn. */
static void
check_frequencies(GemSampler *sampler, double temperature, const gboolean *allowed)
{
  static const float logits[] = {0.5F, 2, 1, -1, 0.9F, -3};
  enum { N = G_N_ELEMENTS(logits), DRAWS = 60000 };
  guint counts[N] = {0};
  double sum = 0;

  for (guint i = 0; i < DRAWS; i++) {
    counts[pick(sampler, logits, N)]++;
  }
  for (guint i = 0; i < N; i++) {
    sum += allowed[i] ? exp((double)logits[i] / temperature) : 0;
  }
  for (guint i = 0; i < N; i++) {
    double expected = allowed[i] ? exp((double)logits[i] / temperature) / sum : 0;

    if (!allowed[i]) {
      g_assert_cmpuint(counts[i], ==, 0);
    }
    g_assert_cmpfloat_with_epsilon((double)counts[i] / DRAWS, expected, 0.01);
  }
}

static void
test_temperature(void)
{
  static const gboolean all[] = {TRUE, TRUE, TRUE, TRUE, TRUE, TRUE};
  g_autoptr(GemSampler) warm = gem_sampler_new(1, 0, 1, 5);
  g_autoptr(GemSampler) hot = gem_sampler_new(2.5, 0, 1, 5);

  check_frequencies(warm, 1, all);
  check_frequencies(hot, 2.5, all);
}

static void
test_top_k(void)
{
  static const gboolean three[] = {FALSE, TRUE, TRUE, FALSE, TRUE, FALSE};
  static const gboolean all[] = {TRUE, TRUE, TRUE, TRUE, TRUE, TRUE};
  g_autoptr(GemSampler) sampler = gem_sampler_new(1, 3, 1, 6);
  g_autoptr(GemSampler) more_than_there_are = gem_sampler_new(1, 100, 1, 6);

  check_frequencies(sampler, 1, three);
  check_frequencies(more_than_there_are, 1, all);
}

/* Shares: 1: .514, 2: .189, 4: .171, 0: .115, 3: .026, 5: .003 of softmax at temperature 1. */
static void
test_top_p(void)
{
  static const gboolean one[] = {FALSE, TRUE, FALSE, FALSE, FALSE, FALSE};
  static const gboolean two[] = {FALSE, TRUE, TRUE, FALSE, FALSE, FALSE};
  static const gboolean four[] = {TRUE, TRUE, TRUE, FALSE, TRUE, FALSE};
  g_autoptr(GemSampler) low = gem_sampler_new(1, 0, 0.4, 7);
  g_autoptr(GemSampler) middle = gem_sampler_new(1, 0, 0.6, 7);
  g_autoptr(GemSampler) high = gem_sampler_new(1, 0, 0.95, 7);
  /* Of the three that top-k leaves, token 1 has .588: two are needed for 0.7. */
  g_autoptr(GemSampler) both = gem_sampler_new(1, 3, 0.7, 7);

  check_frequencies(low, 1, one);
  check_frequencies(middle, 1, two);
  check_frequencies(high, 1, four);
  check_frequencies(both, 1, two);
}

/* Of equal logits the lowest ids are kept. */
static void
test_ties(void)
{
  static const float logits[] = {1, 1, 1, 1, 1, 1, 1, 1};
  g_autoptr(GemSampler) sampler = gem_sampler_new(1, 3, 1, 8);
  guint seen = 0;

  for (guint i = 0; i < 1000; i++) {
    seen |= 1U << pick(sampler, logits, G_N_ELEMENTS(logits));
  }
  g_assert_cmpuint(seen, ==, 0x7);
}

/* ---- against all tokens in order ---- */

typedef struct {
  guint32 weight;
  guint32 token;
} Ranked;

static int
compare_ranked(gconstpointer a, gconstpointer b)
{
  const Ranked *x = a, *y = b;

  return x->weight != y->weight ? (x->weight > y->weight ? -1 : 1) : (x->token < y->token ? -1 : 1);
}

/* How many of ranked[n] are kept, and their mass. */
static guint
cut_ranked(const Ranked *ranked, guint n, guint top_k, double top_p, guint64 *ret_mass)
{
  guint kept = top_k > 0 ? MIN(top_k, n) : n;
  guint64 mass = 0, wanted, sum = 0;

  for (guint i = 0; i < kept; i++) {
    mass += ranked[i].weight;
  }
  wanted = (guint64)ceil(top_p * (double)mass);
  for (guint i = 0; i < kept; i++) {
    sum += ranked[i].weight;
    if (sum >= MAX(wanted, 1)) {
      *ret_mass = sum;
      return i + 1;
    }
  }
  g_assert_not_reached();
}

/* The token that sorting them all leads to; `uniform` is the sampler's draw. */
static guint32
pick_by_rank(const float *logits, guint n, double temperature, guint top_k, double top_p, double uniform)
{
  g_autofree guint32 *weights = g_new(guint32, n);
  g_autofree Ranked *ranked = g_new(Ranked, n);
  g_autofree gboolean *is_kept = g_new0(gboolean, n);
  gsize largest = 0;
  guint64 mass = 0, target;
  guint kept;

  gem_kernels_best()->find_largest(logits, n, &largest);
  gem_kernels_best()->weigh(logits, n, logits[largest], (float)(1 / temperature), weights, &mass);
  for (guint32 i = 0; i < n; i++) {
    ranked[i] = (Ranked){weights[i], i};
  }
  qsort(ranked, n, sizeof *ranked, compare_ranked);
  kept = cut_ranked(ranked, n, top_k, top_p, &mass);
  for (guint i = 0; i < kept; i++) {
    is_kept[ranked[i].token] = TRUE;
  }
  target = (guint64)(uniform * (double)mass);
  for (guint32 i = 0; i < n; i++) {
    if (is_kept[i] && target < weights[i]) {
      return i;
    }
    target -= is_kept[i] ? weights[i] : 0;
  }
  g_assert_not_reached();
}

/* Random, of few values (so that cuts fall among equals), all equal, steep, and with holes. */
static float
logit_of_pattern(guint pattern, GRand *rand)
{
  double value = g_rand_double_range(rand, -1, 1);

  switch (pattern) {
  case 0:
    return (float)(6 * value);
  case 1:
    return floorf((float)(4 * value));
  case 2:
    return 1;
  case 3:
    return (float)(300 * value);
  default:
    return value > 0.5 ? -INFINITY : (float)value;
  }
}

static void
test_against_sort(void)
{
  static const guint sizes[] = {1, 2, 5, 64, 257, 1000, 12800};
  static const guint top_ks[] = {0, 0, 2, 40, 700};
  static const double top_ps[] = {1, 0.95, 0.9, 0.5, 1e-9};
  g_autoptr(GRand) rand = g_rand_new_with_seed(9);
  g_autofree float *logits = g_new(float, 12800);

  for (guint run = 0; run < 500; run++) {
    guint n = sizes[run % G_N_ELEMENTS(sizes)], top_k = top_ks[run / 7 % G_N_ELEMENTS(top_ks)];
    double top_p = top_ps[run / 3 % G_N_ELEMENTS(top_ps)], temperature = run % 2 ? 0.8 : 2.5;
    g_autoptr(GemSampler) sampler = gem_sampler_new(temperature, top_k, top_p, run);
    g_autoptr(GemSampler) generator = gem_sampler_new(temperature, top_k, top_p, run);

    for (guint i = 0; i < n; i++) {
      logits[i] = logit_of_pattern(run / 5 % 5, rand);
    }
    logits[n / 2] = 1; /* one is a number */
    for (guint i = 0; i < 4; i++) {
      double uniform = gem_sampler_next_uniform(generator);

      g_assert_cmpuint(pick(sampler, logits, n), ==,
                       pick_by_rank(logits, n, temperature, top_k, top_p, uniform));
    }
  }
}

static guint searches;

static void
count_search(const float *x, size_t n, size_t *ret_index)
{
  searches++;
  *ret_index = 2;
}

/* The set that the environment names, as it does for backend cpu: any. The sets are no constants, so one can
 * be told from the others by a function of the test's own. */
static void
test_chosen_kernels(void)
{
  static const float logits[] = {0, 1, 2};
  g_autofree char *before = g_strdup(g_getenv("GEM_CPU_KERNELS"));

  for (gsize i = 0; i < gem_kernels_count(); i++) {
    GemKernels *kernels = (GemKernels *)gem_kernels_nth(i);
    const GemKernels original = *kernels;
    g_setenv("GEM_CPU_KERNELS", kernels->name, TRUE);
    g_assert_true(gem_kernels_chosen() == kernels);
    g_autoptr(GemSampler) sampler = gem_sampler_new(0, 0, 1, 1);
    kernels->find_largest = count_search;
    searches = 0;
    g_assert_cmpuint(pick(sampler, logits, G_N_ELEMENTS(logits)), ==, 2);
    *kernels = original;
    g_assert_cmpuint(searches, ==, 1);
  }
  g_setenv("GEM_CPU_KERNELS", "abacus", TRUE);
  g_assert_null(gem_kernels_chosen());
  g_autoptr(GemSampler) sampler = gem_sampler_new(0, 0, 1, 1);
  g_assert_cmpuint(pick(sampler, logits, G_N_ELEMENTS(logits)), ==, 2);
  if (before != NULL) {
    g_setenv("GEM_CPU_KERNELS", before, TRUE);
  } else {
    g_unsetenv("GEM_CPU_KERNELS");
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/sampler/greedy", test_greedy);
  g_test_add_func("/sampler/nothing-finite", test_nothing_finite);
  g_test_add_func("/sampler/generator", test_generator);
  g_test_add_func("/sampler/seed", test_seed);
  g_test_add_func("/sampler/temperature", test_temperature);
  g_test_add_func("/sampler/top-k", test_top_k);
  g_test_add_func("/sampler/top-p", test_top_p);
  g_test_add_func("/sampler/ties", test_ties);
  g_test_add_func("/sampler/against-sort", test_against_sort);
  g_test_add_func("/sampler/chosen-kernels", test_chosen_kernels);
  return g_test_run();
}
