/* What the comparison with llama.cpp makes of the programs' output: who says the same, and figures and
 * ratios. The comparison itself is `./dev peers`. */
#include <math.h>
#include <string.h>

#include "tests/peers/peers-greedy.h"
#include "tests/peers/peers-speed.h"

/* ---- greedy tokens ---- */

#define TEXT                                                                                                 \
  "prompt 1 547 2922\n"                                                                                      \
  "token 271 9.75 8.00 2.5\n"

static void
test_same(void)
{
  const char *gem = TEXT "token 5 7.10 6.50 2.5\nprompt 1 9\ntoken 6 3.00 1.00 2.0\ntoken 7 3.00 1.00 2.0\n";
  const char *llama =
      TEXT "token 5 7.15 6.50 2.5\nprompt 1 9\ntoken 6 3.00 1.00 2.0\ntoken 7 3.01 1.00 2.0\n";
  GemPeersAgreement sums;
  g_autoptr(GError) error = NULL;

  g_assert_true(gem_peers_compare_greedy(gem, llama, &sums, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(sums.texts, ==, 2);
  g_assert_cmpuint(sums.tokens, ==, 4);
  g_assert_cmpuint(sums.near_ties, ==, 0);
  g_assert_cmpfloat_with_epsilon(sums.most_apart, 0.02, 1e-6);
}

/* After a near tie the rest of the text is another story; the next text counts again. */
static void
test_near_tie(void)
{
  const char *gem = TEXT "token 5 7.10 7.00 2.5\ntoken 8 1.0 0.0 2.5\nprompt 1 9\ntoken 6 3.00 1.00 2.0\n";
  const char *llama = TEXT "token 4 7.10 7.05 2.5\ntoken 9 9.0 0.0 2.5\nprompt 1 9\ntoken 6 3.00 1.00 2.0\n";
  GemPeersAgreement sums;
  g_autoptr(GError) error = NULL;

  g_assert_true(gem_peers_compare_greedy(gem, llama, &sums, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(sums.near_ties, ==, 1);
  g_assert_cmpuint(sums.tokens, ==, 2);
  g_assert_cmpfloat_with_epsilon(sums.largest_tie, 0.04, 1e-6);
}

static void
test_different(void)
{
  const char *const pairs[][3] = {
      {"prompt 1 2\n", "prompt 1 3\n", "text 1: its tokens differ: prompt 1 2 (gemd) and prompt 1 3"},
      /* one of the two was sure */
      {TEXT "token 5 7.10 7.00 2.5\n", TEXT "token 4 7.10 6.00 2.5\n", "text 1: token 2: 5 (gemd) and 4"},
      {TEXT "token 5 8.10 7.00 2.5\n", TEXT "token 5 7.10 6.00 2.5\n", "text 1: token 2: greatest logits"},
      {TEXT "token 5 nan 7.00 2.5\n", TEXT "token 5 7.10 6.00 2.5\n", "text 1: token 2: greatest logits"},
      {TEXT, TEXT "token 5 7.10 6.00 2.5\n", "2 lines (gemd) and 3"},
      {TEXT "prompt 1\ntoken\n", TEXT "prompt 1\ntoken 1 2 1 1\n", "text 2: no tokens, but 'token'"},
      {TEXT "token 5 7.10 7.05 2.5\ntoken 8 1.0 0.0 2.5\ntoken 8 1.0 0.0 2.5\n",
       TEXT "token 4 7.10 7.05 2.5\ntoken 9 1.0 0.0 2.5\ntoken 9 1.0 0.0 2.5\n",
       "near ties left 1 of 4 tokens"},
      {"", "", "0 lines (gemd) and 0"},
  };

  for (guint i = 0; i < G_N_ELEMENTS(pairs); i++) {
    GemPeersAgreement sums;
    g_autoptr(GError) error = NULL;

    g_assert_false(gem_peers_compare_greedy(pairs[i][0], pairs[i][1], &sums, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_FAILED);
    if (strstr(error->message, pairs[i][2]) == NULL) {
      g_test_message("no '%s' in: %s", pairs[i][2], error->message);
      g_test_fail();
    }
  }
}

/* ---- speed ---- */

static void
take(GemPeersSpeed *speed, GemPeersRun run, const char *prefill, double peak)
{
  g_autofree char *json =
      g_strdup_printf("{\"version\": \"1\", \"kernels\": \"k\", \"load_ms\": {\"values\": [3, 5, 4]},"
                      "\"prefill_tokens_per_second\": {\"min\": 1, \"values\": [%s]},"
                      "\"peak_resident_bytes\": %g}",
                      prefill, peak);
  g_autoptr(GError) error = NULL;

  g_assert_true(gem_peers_speed_take(speed, run, json, &error));
  g_assert_no_error(error);
}

static double
figure_at(const GArray *figures, guint turn)
{
  g_assert_cmpuint(turn, <, figures->len);
  return g_array_index(figures, double, turn);
}

/* Medians of the rounds, ratios of the turns, gemd above llama.cpp. */
static void
test_figures(void)
{
  g_autoptr(GemPeersSpeed) speed = gem_peers_speed_new("folder/34m-Q4_0.gguf");
  g_autoptr(GArray) ratios = NULL;

  g_assert_cmpstr(speed->file, ==, "34m-Q4_0");
  take(speed, GEM_PEERS_GEMD, "100, 900, 300", 1000);
  take(speed, GEM_PEERS_LLAMA, "100, 200, 150", 2000);
  take(speed, GEM_PEERS_GEMD, "400", 1000);
  take(speed, GEM_PEERS_LLAMA, "100", 4000);
  g_assert_cmpfloat(figure_at(speed->figures[GEM_PEERS_GEMD][GEM_PEERS_PREFILL], 0), ==, 300);
  g_assert_cmpfloat(figure_at(speed->figures[GEM_PEERS_LLAMA][GEM_PEERS_LOAD], 1), ==, 4);
  g_assert_true(isnan(figure_at(speed->figures[GEM_PEERS_LLAMA][GEM_PEERS_DECODE], 0)));
  ratios = gem_peers_speed_ratios(speed, GEM_PEERS_GEMD, GEM_PEERS_LLAMA, GEM_PEERS_PREFILL);
  g_assert_cmpuint(ratios->len, ==, 2);
  g_assert_cmpfloat(figure_at(ratios, 0), ==, 2);
  g_assert_cmpfloat(figure_at(ratios, 1), ==, 4);
  g_clear_pointer(&ratios, g_array_unref);
  ratios = gem_peers_speed_ratios(speed, GEM_PEERS_GEMD, GEM_PEERS_LLAMA, GEM_PEERS_PEAK);
  g_assert_cmpfloat(figure_at(ratios, 1), ==, 0.25);
  g_assert_cmpstr(speed->descriptions[0], ==, "1, k");
}

/* A router's whole turns stand beside what llama.cpp reads. */
static void
test_router(void)
{
  g_autoptr(GemPeersSpeed) speed = gem_peers_speed_new("bert-6x256-Q6_K.gguf");
  g_autoptr(GArray) ratios = NULL;
  g_autoptr(GError) error = NULL;
  const char *router = "{\"turn_tokens_per_second\": {\"values\": [900, 600, 800]}}";

  g_assert_true(gem_peers_speed_take(speed, GEM_PEERS_GEMD, router, &error));
  g_assert_no_error(error);
  take(speed, GEM_PEERS_LLAMA, "200", 1000);
  ratios = gem_peers_speed_ratios(speed, GEM_PEERS_GEMD, GEM_PEERS_LLAMA, GEM_PEERS_PREFILL);
  g_assert_cmpfloat(figure_at(ratios, 0), ==, 4);
}

static void
test_no_results(void)
{
  const char *const texts[] = {"", "[]", "{\"load_ms\"", "speed: nothing"};

  for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autoptr(GemPeersSpeed) speed = gem_peers_speed_new("x");
    g_autoptr(GError) error = NULL;

    g_assert_false(gem_peers_speed_take(speed, GEM_PEERS_LLAMA, texts[i], &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/peers/greedy/same", test_same);
  g_test_add_func("/peers/greedy/near-tie", test_near_tie);
  g_test_add_func("/peers/greedy/different", test_different);
  g_test_add_func("/peers/speed/figures", test_figures);
  g_test_add_func("/peers/speed/router", test_router);
  g_test_add_func("/peers/speed/no-results", test_no_results);
  return g_test_run();
}
