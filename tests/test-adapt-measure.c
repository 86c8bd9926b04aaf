/* What two measurements of a text come to, when one of them is no number, too. */
#include <math.h>

#include "adaptation/trainer/gem-adapt-measure.h"

static GArray *
two_texts(void)
{
  const GemAdaptText text = {.n = 8, .group = 3};
  GArray *texts = g_array_new(FALSE, FALSE, sizeof text);
  g_array_append_val(texts, text);
  g_array_append_val(texts, text);
  return texts;
}

static void
test_perplexity(void)
{
  const GemAdaptSums good = {.loss = 8.0, .tokens = 4}, none = {0}, lost = {.loss = NAN, .tokens = 4},
                     endless = {.loss = INFINITY, .tokens = 4};
  g_assert_cmpfloat_with_epsilon(gem_adapt_sums_perplexity(&good), exp(2.0), 1e-9);
  g_assert_cmpfloat(gem_adapt_sums_perplexity(&none), ==, 1.0);
  g_assert_cmpfloat(gem_adapt_sums_perplexity(&lost), ==, INFINITY);
  g_assert_cmpfloat(gem_adapt_sums_perplexity(&endless), ==, INFINITY);
}

static void
test_compare(void)
{
  const GemAdaptSums before[] = {{.loss = 4.0, .tokens = 4}, {.loss = 8.0, .tokens = 4}},
                     after[] = {{.loss = 4.4, .tokens = 4}, {.loss = 8.4, .tokens = 4}},
                     lost[] = {{.loss = 4.0, .tokens = 4}, {.loss = NAN, .tokens = 4}};
  g_autoptr(GArray) texts = two_texts();
  GemAdaptChange change = gem_adapt_sums_compare(texts, before, after, 3);
  g_assert_cmpuint(change.tokens, ==, 8);
  g_assert_cmpfloat_with_epsilon(change.percent, 100.0 * (exp(0.1) - 1.0), 1e-9);
  g_assert_cmpfloat(gem_adapt_sums_compare(texts, before, lost, 3).percent, ==, INFINITY);
  g_assert_cmpfloat(gem_adapt_sums_compare(texts, lost, lost, 3).percent, ==, INFINITY);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/adapt-measure/perplexity", test_perplexity);
  g_test_add_func("/adapt-measure/compare", test_compare);
  return g_test_run();
}
