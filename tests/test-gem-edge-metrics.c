/* What EdgeBench counts, on cases worked by hand, and the values that the paper works itself. */
#include <math.h>

#include "bench/edge/gem-edge-metrics.h"
#include "bench/edge/gem-edge-spread.h"
#include "bench/edge/gem-edge-text.h"
#include "bench/edge/gem-edge-transfer.h"

#define RIGHT(...) ((const char *const[]){__VA_ARGS__, NULL})

#define assert_near(a, b) g_assert_cmpfloat_with_epsilon(a, b, 1e-9)

/* ---- texts ---- */

static void
check_words(GPtrArray *words, const char *joined)
{
  g_autofree char *text = NULL;

  g_ptr_array_add(words, NULL);
  text = g_strjoinv("|", (char **)words->pdata);
  g_assert_cmpstr(text, ==, joined);
  g_ptr_array_unref(words);
}

static void
test_normalise(void)
{
  static const struct {
    const char *text, *normalised;
  } cases[] = {
      {"The  Cat\tsat.", "cat sat"},
      {"A man, an apple, the end", "man apple end"},
      {"anthem theory a1", "anthem theory a1"},
      {"U.S.A.", "usa"},
      {"the-end", "theend"},
      {"«the» end", "«"
                    " » end"},
      {"ÉTÉ", "été"},
      {"Straße", "straße"},
      {" \n", ""},
      {"the", ""},
      {"$1,234.5", "12345"},
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *normalised = gem_edge_normalise(cases[i].text);

    g_assert_cmpstr(normalised, ==, cases[i].normalised);
  }
}

static void
test_words(void)
{
  check_words(gem_edge_split_words("two words"), "two|words");
  check_words(gem_edge_split_words(""), "");
  check_words(gem_edge_split_words("北京 2008"), "北|京|2008");
  check_words(gem_edge_split_words("abc東京x"), "abc|東|京|x");
  check_words(gem_edge_split_words("ที่นี่"), "ที่|นี่");
  check_words(gem_edge_split_words("한국어 말"), "한국어|말");
  check_words(gem_edge_split_rouge("It's 5 p.m., the END"), "it|s|5|p|m|the|end");
  check_words(gem_edge_split_rouge("東京、日本"), "東|京|日|本");
}

/* ---- answers ---- */

static void
test_token_f1(void)
{
  /* 2 words of 3 said, 2 of 4 wanted: 2 * 2/3 * 2/4 / (2/3 + 2/4) = 4/7 */
  assert_near(gem_edge_token_f1("black cat sat", RIGHT("The black cat slept deeply")), 4.0 / 7);
  assert_near(gem_edge_token_f1("the Cat!", RIGHT("a cat")), 1);
  assert_near(gem_edge_token_f1("dog", RIGHT("cat")), 0);
  /* each word as often as both have it: 1 of 3 said, 1 of 1 wanted */
  assert_near(gem_edge_token_f1("no no no", RIGHT("no")), 0.5);
  assert_near(gem_edge_token_f1("no", RIGHT("no no no")), 0.5);
  /* the best of several */
  assert_near(gem_edge_token_f1("june 10 1853", RIGHT("1853", "June 10, 1853", "June")), 1);
  assert_near(gem_edge_token_f1("", RIGHT("cat")), 0);
  assert_near(gem_edge_token_f1("the", RIGHT("a")), 1);
  /* a letter each: 2 of 2 said, 2 of 3 wanted */
  assert_near(gem_edge_token_f1("東京", RIGHT("東京都")), 0.8);
}

static void
test_exact_match(void)
{
  assert_near(gem_edge_exact_match("The Cat.", RIGHT("cat")), 1);
  assert_near(gem_edge_exact_match("cat sat", RIGHT("cat")), 0);
  assert_near(gem_edge_exact_match("cat", RIGHT("dog", "Cat")), 1);
}

static void
test_rouge(void)
{
  /* common subsequence "police the gunman": 3 of 4 both: 0.75; as in the paper that defines it */
  assert_near(gem_edge_rouge_l("police kill the gunman", RIGHT("police killed the gunman")), 0.75);
  assert_near(gem_edge_rouge_l("the gunman kill police", RIGHT("police killed the gunman")), 0.5);
  /* 2 of 3 said, 2 of 5 wanted: 0.5 */
  assert_near(gem_edge_rouge_l("a c x", RIGHT("a b c d e")), 0.5);
  assert_near(gem_edge_rouge_l("x", RIGHT("y", "x")), 1);
  assert_near(gem_edge_rouge_l("", RIGHT("x")), 0);
  assert_near(gem_edge_rouge_l("x", RIGHT("...")), 0);
}

static void
test_mentions(void)
{
  GemEdgeMentions counts =
      gem_edge_compare_mentions("Aspirin;  head  ache; x; x", RIGHT("aspirin; head ache; y"));
  GemEdgeMentions none = gem_edge_compare_mentions("", RIGHT(""));
  GemEdgeMentions best = gem_edge_compare_mentions("a; b", RIGHT("c", "b; a", "a"));

  g_assert_cmpuint(counts.right, ==, 2);
  g_assert_cmpuint(counts.wrong, ==, 1);
  g_assert_cmpuint(counts.lacking, ==, 1);
  assert_near(gem_edge_mention_f1(&counts), 2.0 / 3);
  counts.wrong = 6;
  assert_near(gem_edge_mention_precision(&counts), 0.25);
  assert_near(gem_edge_mention_recall(&counts), 2.0 / 3);
  assert_near(gem_edge_mention_f1(&counts), 4.0 / 11);
  assert_near(gem_edge_mention_f1(&none), 1);
  g_assert_cmpuint(best.right, ==, 2);
  g_assert_cmpuint(best.lacking, ==, 0);
}

/* ---- the paper's ---- */

static void
test_transfer(void)
{
  static const double others[] = {0.40, 0.45, 0.50};

  g_assert_cmpfloat_with_epsilon(gem_edge_generality_gap(0.95, 0.40), 0.578947368, 1e-9);
  g_assert_cmpfloat_with_epsilon(gem_edge_generality_gap(0.90, 0.62), 0.311111111, 1e-9);
  g_assert_cmpfloat_with_epsilon(gem_edge_transfer_ratio(0.90, 0.60), 0.666666667, 1e-9);
  g_assert_cmpfloat_with_epsilon(gem_edge_transfer_ratio(0.95, 0.40), 0.421052632, 1e-9);
  assert_near(gem_edge_specialisation(0.90, (const double[]){0.30}, 1), 3.0);
  g_assert_cmpfloat_with_epsilon(gem_edge_specialisation(0.95, others, 3), 2.111111111, 1.2e-9);
  assert_near(gem_edge_generality_gap(0.5, 0.6), -0.2);
  assert_near(gem_edge_on_scale(0.6, 0.2, 1), 0.5);
  assert_near(gem_edge_on_scale(0.1, 0.2, 0.7), -0.2);
  g_assert_true(isnan(gem_edge_generality_gap(0, 0.4)));
  g_assert_true(isnan(gem_edge_on_scale(0.5, 0.5, 0.5)));
  g_assert_true(isnan(gem_edge_specialisation(0.5, others, 0)));
  assert_near(gem_edge_mean((const double[]){1, NAN, 2}, 3), 1.5);
}

/* ---- spread ---- */

static double
mean_of_drawn(const guint *drawn, gsize n, gconstpointer data)
{
  const double *values = data;
  double sum = 0;
  gsize i;

  for (i = 0; i < n; i++) {
    sum += values[drawn[i]];
  }
  return sum / (double)n;
}

static void
test_scores(void)
{
  static const double values[] = {0, 1, 0, 1, 1, 1, 0, 1, 1, 1};
  GemEdgeScore mean = gem_edge_score_mean(values, 10);
  GemEdgeScore drawn = gem_edge_score_bootstrap(10, mean_of_drawn, values);
  GemEdgeScore both = gem_edge_score_combine((const GemEdgeScore[]){{0.2, 0.03}, {0.6, 0.04}, {NAN, NAN}}, 3);

  assert_near(mean.value, 0.7);
  assert_near(mean.standard_error, sqrt(2.1 / 9 / 10));
  assert_near(drawn.value, 0.7);
  /* The same error to within what 200 rounds give: sqrt(0.21 / 10) = 0.145. */
  g_assert_cmpfloat_with_epsilon(drawn.standard_error, 0.145, 0.03);
  assert_near(both.value, 0.4);
  assert_near(both.standard_error, 0.025);
  g_assert_true(isnan(gem_edge_score_mean(values, 0).value));
  g_assert_true(isnan(gem_edge_score_mean(values, 1).standard_error));
  g_assert_true(isnan(gem_edge_score_combine(&both, 0).value));
}

static void
test_baselines(void)
{
  static const guint targets[] = {0, 0, 0, 1}, two[] = {2, 2, 2, 2}, mixed[] = {2, 2, 2, 4};

  /* Shares 3/4 and 1/4, guessed by halves: 2 * 3/8 / (5/4) = 3/5 and 2 * 1/8 / (3/4) = 1/3. */
  assert_near(gem_edge_chance_f1(targets, two, 4), (0.6 + 1.0 / 3) / 2);
  /* One line with four labels: 3/2 of 3 right and 7/4 guessed, 1/4 of 1 and 7/4, nothing of 0 and 1/4 twice.
   */
  assert_near(gem_edge_chance_f1(targets, mixed, 4), (2 * 1.5 / 4.75 + 2 * 0.25 / 2.75) / 4);
  /* Of class 0 2 * 3/4 / (7/4) = 6/7, of class 1 nothing. */
  assert_near(gem_edge_majority_f1(targets, 4, 2), 3.0 / 7);
  assert_near(gem_edge_majority_f1(targets, 4, 3), 3.0 / 7);
  g_assert_true(isnan(gem_edge_chance_f1(targets, two, 0)));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-edge/metrics/normalise", test_normalise);
  g_test_add_func("/gem-edge/metrics/words", test_words);
  g_test_add_func("/gem-edge/metrics/token-f1", test_token_f1);
  g_test_add_func("/gem-edge/metrics/exact-match", test_exact_match);
  g_test_add_func("/gem-edge/metrics/rouge", test_rouge);
  g_test_add_func("/gem-edge/metrics/mentions", test_mentions);
  g_test_add_func("/gem-edge/metrics/transfer", test_transfer);
  g_test_add_func("/gem-edge/metrics/scores", test_scores);
  g_test_add_func("/gem-edge/metrics/baselines", test_baselines);
  return g_test_run();
}
