/* Block types: the layouts byte by byte as the format defines them, half precision, and how well the
 * quantizers do. */
#include <math.h>
#include <string.h>

#include <glib.h>

#include "kernels/gem-types.h"

static const GemType all_types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q4_0, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K};

static void
fill_normal(GRand *random, float *values, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    double radius = sqrt(-2.0 * log(1.0 - g_rand_double(random)));
    values[i] = (float)(radius * cos(2.0 * G_PI * g_rand_double(random)));
  }
}

static double
squared_error(const float *a, const float *b, size_t n)
{
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) {
    sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
  }
  return sum;
}

/* Mean squared error over `blocks` rows of 256 standard normal values. */
static double
error_of_type(GemType type, guint blocks)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(7);
  double sum = 0.0;
  for (guint i = 0; i < blocks; i++) {
    float values[256], back[256];
    guint8 row[1024];
    fill_normal(random, values, 256);
    gem_quantize_row(type, values, row, 256);
    gem_dequantize_row(type, row, back, 256);
    sum += squared_error(values, back, 256);
  }
  return sum / (256.0 * blocks);
}

static void
test_metadata(void)
{
  g_assert_cmpuint(gem_type_row_bytes(GEM_TYPE_F32, 3), ==, 12);
  g_assert_cmpuint(gem_type_row_bytes(GEM_TYPE_F16, 3), ==, 6);
  g_assert_cmpuint(gem_type_row_bytes(GEM_TYPE_Q4_0, 64), ==, 36);
  g_assert_cmpuint(gem_type_row_bytes(GEM_TYPE_Q8_0, 64), ==, 68);
  g_assert_cmpuint(gem_type_row_bytes(GEM_TYPE_Q6_K, 512), ==, 420);
  g_assert_cmpuint(gem_type_row_bytes(GEM_TYPE_Q4_0, 33), ==, 0);
  g_assert_cmpuint(gem_type_row_bytes(GEM_TYPE_Q6_K, 128), ==, 0);
  g_assert_cmpuint(gem_type_row_bytes(GEM_TYPE_F32, G_MAXSIZE), ==, 0);
  g_assert_cmpuint(gem_type_block_cols(GEM_TYPE_Q6_K), ==, 256);
  g_assert_cmpuint(gem_type_block_bytes(GEM_TYPE_Q6_K), ==, 210);

  for (gsize i = 0; i < G_N_ELEMENTS(all_types); i++) {
    GemType found = GEM_TYPE_F32;
    g_assert_true(gem_type_is_known(all_types[i]));
    g_autofree char *lower = g_ascii_strdown(gem_type_name(all_types[i]), -1);
    g_assert_true(gem_type_from_name(lower, &found));
    g_assert_cmpint(found, ==, all_types[i]);
  }
  GemType untouched = GEM_TYPE_Q6_K;
  g_assert_false(gem_type_from_name("Q5_0", &untouched));
  g_assert_cmpint(untouched, ==, GEM_TYPE_Q6_K);
  g_assert_false(gem_type_is_known(3));
  g_assert_null(gem_type_name(12));
}

static void
test_half_known(void)
{
  const struct {
    float value;
    guint16 half;
  } cases[] = {
      {0.0f, 0x0000},
      {-0.0f, 0x8000},
      {1.0f, 0x3c00},
      {-2.0f, 0xc000},
      {65504.0f, 0x7bff},
      {65519.0f, 0x7bff},
      {65520.0f, 0x7c00},
      {1e30f, 0x7c00},
      {-1e30f, 0xfc00},
      {0x1p-14f, 0x0400},
      {0x1p-24f, 0x0001},
      {0x1p-25f, 0x0000},
      {0x1.000002p-25f, 0x0001},
      {-0x1.8p-24f, 0x8002},
      {0x1.ff8p-15f, 0x03ff},
      {0x1.ffcp-15f, 0x0400},
      {0x1.002p0f, 0x3c00},
      {0x1.006p0f, 0x3c02},
      {0x1.00201p0f, 0x3c01},
      {INFINITY, 0x7c00},
      {0.333333343f, 0x3555},
      {1e-45f, 0x0000},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_assert_cmphex(gem_float_to_half(cases[i].value), ==, cases[i].half);
  }
  g_assert_cmpfloat(gem_half_to_float(0x0001), ==, 0x1p-24f);
  g_assert_cmpfloat(gem_half_to_float(0x83ff), ==, -0x1.ff8p-15f);
  g_assert_cmpfloat(gem_half_to_float(0x3555), ==, 0x1.554p-2f);
  g_assert_true(isnan(gem_half_to_float(gem_float_to_half(NAN))));
}

/* Every half comes back from single as it was; every value between two halves goes to the nearer one. */
static void
test_half_all(void)
{
  for (guint half = 0; half <= 0xffff; half++) {
    float value = gem_half_to_float((guint16)half);
    if (isnan(value)) {
      g_assert_true((half & 0x7fff) > 0x7c00);
      g_assert_true(isnan(gem_half_to_float(gem_float_to_half(value))));
      continue;
    }
    g_assert_cmphex(gem_float_to_half(value), ==, half);
    if ((half & 0x7fff) >= 0x7bff) {
      continue;
    }
    float next = gem_half_to_float((guint16)(half + 1));
    float middle = (value + next) / 2.0f;
    guint even = half & 1 ? half + 1 : half;
    g_assert_cmphex(gem_float_to_half(middle), ==, even);
    g_assert_cmphex(gem_float_to_half(nextafterf(middle, value)), ==, half);
    g_assert_cmphex(gem_float_to_half(nextafterf(middle, next)), ==, half + 1);
  }
}

/* A Q4_0 block spelled out: d = 0.5, byte j = low nibble j, high nibble 15 - j. */
static void
test_q4_0_layout(void)
{
  guint8 block[18] = {0x00, 0x38};
  float values[32];
  for (guint j = 0; j < 16; j++) {
    block[2 + j] = (guint8)(j | (15 - j) << 4);
  }
  gem_dequantize_row(GEM_TYPE_Q4_0, block, values, 32);
  for (int j = 0; j < 16; j++) {
    g_assert_cmpfloat(values[j], ==, 0.5f * (float)(j - 8));
    g_assert_cmpfloat(values[16 + j], ==, 0.5f * (float)(7 - j));
  }
}

static void
test_q8_0_layout(void)
{
  guint8 block[34] = {0x00, 0xb4}; /* d = -0.25 */
  float values[32];
  for (int i = 0; i < 32; i++) {
    block[2 + i] = (guint8)(gint8)(8 * i - 128);
  }
  gem_dequantize_row(GEM_TYPE_Q8_0, block, values, 32);
  for (int i = 0; i < 32; i++) {
    g_assert_cmpfloat(values[i], ==, -0.25f * (float)(8 * i - 128));
  }
}

/* The type's own definition: d = max / 127, nearest integer. */
static void
test_q8_0_quantize(void)
{
  float values[32] = {-254.0f, 127.0f, 1.0f, 2.9f, -3.1f, 0.0f};
  const gint8 expected[6] = {-127, 64, 0, 1, -2, 0}; /* 63.5 goes to the even 64 */
  guint8 block[34];
  gem_quantize_row(GEM_TYPE_Q8_0, values, block, 32);
  const gint8 *levels = (const gint8 *)block + 2;
  g_assert_cmpfloat(gem_half_to_float((guint16)(block[0] | block[1] << 8)), ==, 2.0f);
  for (int i = 0; i < 6; i++) {
    g_assert_true(levels[i] == expected[i]);
  }
}

/* Q6_K from the format's definition, value by value: which byte and bits hold value i. */
static void
test_q6_k_layout(void)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(11);
  guint8 block[210];
  for (guint i = 0; i < 208; i++) {
    block[i] = (guint8)g_rand_int(random);
  }
  block[208] = 0x00;
  block[209] = 0x2c; /* d = 1/16 */

  float values[256];
  gem_dequantize_row(GEM_TYPE_Q6_K, block, values, 256);
  for (int half = 0; half < 2; half++) {
    const guint8 *low = block + 64 * half;
    const guint8 *high = block + 128 + 32 * half;
    const gint8 *scales = (const gint8 *)block + 192 + 8 * half;
    for (int l = 0; l < 32; l++) {
      int levels[4] = {
          (low[l] & 15) | (high[l] & 3) << 4,
          (low[l + 32] & 15) | (high[l] >> 2 & 3) << 4,
          low[l] >> 4 | (high[l] >> 4 & 3) << 4,
          low[l + 32] >> 4 | (high[l] >> 6 & 3) << 4,
      };
      for (int run = 0; run < 4; run++) {
        int group = l / 16 + 2 * run;
        float expected = (float)scales[group] * (float)(levels[run] - 32) / 16.0f;
        g_assert_cmpfloat(values[128 * half + 32 * run + l], ==, expected);
      }
    }
  }
}

/* Blocks that were made of exact levels come back with no error at all. */
static void
test_exact(void)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  for (gsize t = 0; t < G_N_ELEMENTS(all_types); t++) {
    float values[256], back[256];
    guint8 row[1024];
    /* Levels -8 .. 7 of 0.125, both ends in each group: exact in every type but for Q6_K's coarser group
     * scale. */
    for (int i = 0; i < 256; i++) {
      values[i] = 0.125f * (float)(i % 16 == 0 ? -8 : i % 16 == 1 ? 7 : g_rand_int_range(random, -8, 8));
    }
    gem_quantize_row(all_types[t], values, row, 256);
    gem_dequantize_row(all_types[t], row, back, 256);
    double largest = all_types[t] == GEM_TYPE_Q8_0 ? 1.0 / 254.0 + 1e-3 : 1e-3;
    for (int i = 0; i < 256; i++) {
      g_assert_cmpfloat_with_epsilon(values[i], back[i], largest);
    }
  }
}

/* The least mean squared error that any scale reaches on groups of `group` normal values with integers lowest
 * .. -lowest - 1 (a dense search over scales), and that of the scale which puts the largest magnitude at
 * `lowest`. */
static void
error_bounds(int group, int lowest, double *ret_best, double *ret_plain)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(7);
  *ret_best = *ret_plain = 0.0;
  for (int i = 0; i < 200; i++) {
    float values[32], extreme = 0.0f;
    fill_normal(random, values, group);
    for (int j = 0; j < group; j++) {
      extreme = fabsf(values[j]) > fabsf(extreme) ? values[j] : extreme;
    }

    double best = G_MAXDOUBLE;
    for (int step = 0; step <= 800; step++) {
      double scale = extreme / lowest * (0.7 + 0.6 * (step % 401) / 400.0) * (step > 400 ? -1.0 : 1.0);
      double error = 0.0;
      for (int j = 0; j < group; j++) {
        double level = CLAMP(rint(values[j] / scale), lowest, -lowest - 1);
        error += (values[j] - level * scale) * (values[j] - level * scale);
      }
      best = MIN(best, error);
      if (step == 200) {
        *ret_plain += error / (200.0 * group);
      }
    }
    *ret_best += best / (200.0 * group);
  }
}

/* The searches come close to the best that any scale reaches, and clearly below the plain max-based scale. */
static void
test_quality(void)
{
  double best, plain;
  double q4_0 = error_of_type(GEM_TYPE_Q4_0, 400);
  error_bounds(32, -8, &best, &plain);
  g_test_message("Q4_0 %g, best %g, plain %g", q4_0, best, plain);
  g_assert_cmpfloat(q4_0, <, 1.05 * best);
  g_assert_cmpfloat(q4_0, <, 0.92 * plain);

  double q6_k = error_of_type(GEM_TYPE_Q6_K, 400);
  error_bounds(16, -32, &best, &plain);
  g_test_message("Q6_K %g, best %g, plain %g", q6_k, best, plain);
  g_assert_cmpfloat(q6_k, <, 1.2 * best);
  g_assert_cmpfloat(q6_k, <, plain);

  g_assert_cmpfloat(error_of_type(GEM_TYPE_Q8_0, 400), <, 3.5e-5);
  g_assert_cmpfloat(error_of_type(GEM_TYPE_F16, 100), <, 1e-7);
  g_assert_cmpfloat(error_of_type(GEM_TYPE_F32, 4), ==, 0.0);
}

/* Zeros, tiny and huge values, one value alone: finite, and no value moves further than the largest. */
static void
test_extremes(void)
{
  const float magnitudes[] = {0.0f, 1e-38f, 1e-30f, 1e-9f, 1e-7f, 1e-5f, 1.0f, 1e4f, 1e9f, 3e38f};
  for (gsize t = 0; t < G_N_ELEMENTS(all_types); t++) {
    for (gsize m = 0; m < G_N_ELEMENTS(magnitudes); m++) {
      if (all_types[t] == GEM_TYPE_F16 && magnitudes[m] > 65504.0f) {
        continue;
      }
      float values[256] = {0}, back[256];
      guint8 row[1024];
      values[200] = magnitudes[m];
      values[201] = -magnitudes[m] / 3.0f;
      gem_quantize_row(all_types[t], values, row, 256);
      gem_dequantize_row(all_types[t], row, back, 256);
      for (int i = 0; i < 256; i++) {
        g_assert_true(isfinite(back[i]));
        g_assert_cmpfloat(fabsf(values[i] - back[i]), <=, fabsf(values[200]));
      }
    }
  }
}

/* Rows and values need no alignment, and nothing beyond the row is touched. */
static void
test_bounds(void)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(3);
  for (gsize t = 0; t < G_N_ELEMENTS(all_types); t++) {
    gsize bytes = gem_type_row_bytes(all_types[t], 512);
    float values[512], back[513];
    fill_normal(random, values, 512);
    g_autofree guint8 *odd = g_malloc(bytes + 3);
    g_autofree guint8 *even = g_malloc(bytes);
    memset(odd, 0xa5, bytes + 3);
    gem_quantize_row(all_types[t], values, odd + 1, 512);
    gem_quantize_row(all_types[t], values, even, 512);
    g_assert_cmpmem(odd + 1, bytes, even, bytes);
    g_assert_cmphex(odd[0], ==, 0xa5);
    g_assert_cmphex(odd[bytes + 1], ==, 0xa5);

    back[512] = 42.0f;
    gem_dequantize_row(all_types[t], odd + 1, back, 512);
    g_assert_cmpfloat(back[512], ==, 42.0f);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/types/metadata", test_metadata);
  g_test_add_func("/types/half/known", test_half_known);
  g_test_add_func("/types/half/all", test_half_all);
  g_test_add_func("/types/q4_0/layout", test_q4_0_layout);
  g_test_add_func("/types/q8_0/layout", test_q8_0_layout);
  g_test_add_func("/types/q8_0/quantize", test_q8_0_quantize);
  g_test_add_func("/types/q6_k/layout", test_q6_k_layout);
  g_test_add_func("/types/exact", test_exact);
  g_test_add_func("/types/quality", test_quality);
  g_test_add_func("/types/extremes", test_extremes);
  g_test_add_func("/types/bounds", test_bounds);
  return g_test_run();
}
