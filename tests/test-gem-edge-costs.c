/* What EdgeBench's runs cost: energy by zones of powercap that the test makes, operations by shapes. */
#include <math.h>
#include <string.h>

#include "bench/edge/gem-edge-energy.h"
#include "bench/edge/gem-edge-flop.h"
#include "tests/gem-test-folder.h"

#define assert_near(a, b) g_assert_cmpfloat_with_epsilon(a, b, 1e-9)

/* ---- energy ---- */

/* A zone in the folder that stands in for /sys/class/powercap. `name` NULL: it has none. */
static void
write_zone(const char *folder, const char *zone, const char *name, const char *microjoules)
{
  const struct {
    const char *file, *text;
  } files[] = {{"name", name}, {"energy_uj", microjoules}, {"max_energy_range_uj", "10000000\n"}};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(files); i++) {
    g_autofree char *path = g_build_filename(zone, files[i].file, NULL);

    if (files[i].text != NULL) {
      gem_test_write_text(folder, path, files[i].text);
    }
  }
}

/* Packages alone: neither what is part of one nor what has them as parts. */
static void
test_energy(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autoptr(GemEdgeEnergy) energy = NULL;

  write_zone(folder, "intel-rapl:0", "package-0\n", "1000000\n");
  write_zone(folder, "intel-rapl:0:0", "core\n", "5\n");
  write_zone(folder, "intel-rapl:1", "package-1\n", "9000000\n");
  write_zone(folder, "intel-rapl:2", "psys\n", "0\n");
  write_zone(folder, "intel-rapl:3", NULL, "0\n");
  write_zone(folder, "intel-rapl-mmio:0", "package-0\n", "0\n");
  energy = gem_edge_energy_new(folder);
  g_assert_null(gem_edge_energy_get_absence(energy));
  write_zone(folder, "intel-rapl:0", NULL, "3500000\n");
  write_zone(folder, "intel-rapl:1", NULL, "1000000\n"); /* began anew */
  write_zone(folder, "intel-rapl:2", NULL, "8000000\n");
  write_zone(folder, "intel-rapl:3", NULL, "8000000\n");
  write_zone(folder, "intel-rapl-mmio:0", NULL, "8000000\n");
  assert_near(gem_edge_energy_take(energy), 2.5 + 2);
  assert_near(gem_edge_energy_take(energy), 0);
  gem_test_folder_remove(folder);
}

static void
check_absence(const char *folder, const char *why)
{
  g_autoptr(GemEdgeEnergy) energy = gem_edge_energy_new(folder);

  g_assert_nonnull(strstr(gem_edge_energy_get_absence(energy), why));
  g_assert_true(isnan(gem_edge_energy_take(energy)));
}

static void
test_energy_absent(void)
{
  g_autofree char *folder = gem_test_folder_new();

  check_absence(folder, "has no zone");
  write_zone(folder, "intel-rapl:0", "psys\n", "0\n");
  check_absence(folder, "has no zone");
  write_zone(folder, "intel-rapl:1", "package-0\n", NULL);
  check_absence(folder, "intel-rapl:1/energy_uj cannot be read");
  gem_test_folder_remove(folder);
}

/* ---- operations ---- */

static void
test_flop(void)
{
  const GemModelShape shape = {.vocab = 100,
                               .width = 8,
                               .layers = 2,
                               .heads = 2,
                               .kv_heads = 1,
                               .head_dim = 4,
                               .ffn = 16,
                               .domain_ffn = 3};
  const GemRouterShape router = {.embedding = 5, .width = 6, .layers = 1, .ffn = 7, .n_domains = 4};
  GemEdgeFlop flop = gem_edge_flop_count(&shape, &router, 3);
  GemEdgeFlop alone = gem_edge_flop_count(&shape, NULL, 0);

  /* a layer: queries and output 64 each, keys and values 32 each, feed-forward 384, centroids 24 */
  assert_near(flop.general, 2 * (2 * (64 + 64 + 32 + 32 + 384 + 24) + 800));
  assert_near(flop.router, 2 * (30 + (144 + 84) + 24));
  assert_near(flop.pathway, 2 * 2 * 3 * 8 * 3);
  assert_near(alone.general, flop.general - 2 * 2 * 24);
  assert_near(alone.router, 0);
  /* The words say what the count does. */
  g_assert_nonnull(strstr(GEM_EDGE_FLOP_FORMULA, "router E W where E differs from W, and L' ("));
}

/* An encoder's operations without projection and classifier, 12 W^2 2 a layer with a feed-forward of 4 W. */
static double
count_encoder(guint layers, guint width)
{
  const GemModelShape shape = {.vocab = 1, .width = 1};
  const GemRouterShape encoder = {.embedding = width, .width = width, .layers = layers, .ffn = 4 * width};

  return gem_edge_flop_count(&shape, &encoder, 0).router;
}

/* What the paper works itself: its router, 6 layers of 256, and its chatbot, 12 * 128^2 weights. */
static void
test_flop_of_paper(void)
{
  assert_near(count_encoder(6, 256), 9437184);
  assert_near(count_encoder(1, 128), 393216);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-edge/costs/energy", test_energy);
  g_test_add_func("/gem-edge/costs/energy-absent", test_energy_absent);
  g_test_add_func("/gem-edge/costs/flop", test_flop);
  g_test_add_func("/gem-edge/costs/flop-of-paper", test_flop_of_paper);
  return g_test_run();
}
