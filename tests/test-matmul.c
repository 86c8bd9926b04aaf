/* All engines of matrix products against double precision: every transposition, sizes on and off the tiles'
 * edges, rows longer than what is read of them, and nothing touched outside of the result. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-training.h"
#include "training/arithmetic/gem-lanes.h"
#include "training/arithmetic/gem-matmul-amx.h"
#include "training/arithmetic/gem-matmul-vector.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"

#define GUARD -12345.5f /* stands around the result */

typedef struct {
  gsize m, n, k;
} Size;

/* Around the tile unit's 16, 32 (one block of results) and 1,024 (values of k packed at a time); the last two
 * need a second block of rows and of columns. */
static const Size sizes[] = {
    {1, 1, 1},    {1, 33, 2},   {5, 7, 3},     {16, 16, 32},    {32, 32, 32},    {33, 31, 65},
    {64, 96, 64}, {17, 65, 33}, {3, 40, 1025}, {290, 18, 1030}, {18, 290, 1030},
};

/* Round to nearest, ties to even, at 8 significant bits. */
static float
round_to_bf16(float value)
{
  union {
    float value;
    guint32 bits;
  } word = {.value = value};
  word.bits = (word.bits + 0x7fff + (word.bits >> 16 & 1)) & 0xffff0000u;
  return word.value;
}

/* A matrix as stored, rows of `ld` floats; what stands between the rows is not a number, and must not be
 * read. */
static float *
new_operand(gsize rows, gsize cols, gsize ld, guint64 stream)
{
  g_autofree float *values = gem_test_normal_new(rows * cols, stream);
  float *stored = g_new0(float, (rows - 1) * ld + cols);
  for (gsize i = 0; i < (rows - 1) * ld + cols; i++) {
    stored[i] = i % ld < cols ? values[i / ld * cols + i % ld] : NAN;
  }
  return stored;
}

static double
operand_at(const float *stored, gsize ld, gboolean transposed, gsize row, gsize col, gboolean rounded)
{
  float value = transposed ? stored[col * ld + row] : stored[row * ld + col];
  return (double)(rounded ? round_to_bf16(value) : value);
}

/* One product against its definition. The sum of k products in single precision, in whatever order, is off by
 * at most (k + 2) 2^-24 times the sum of their magnitudes; the tile unit rounds a little more often. */
static void
check_product(const char *engine, const Size *size, gboolean transpose_a, gboolean transpose_b, gboolean add)
{
  const gboolean rounded = strcmp(engine, "fp32") != 0;
  const gsize m = size->m, n = size->n, k = size->k;
  const gsize lda = (transpose_a ? m : k) + 3, ldb = (transpose_b ? k : n) + 5, ldc = n + 4;
  g_autofree float *a = new_operand(transpose_a ? k : m, transpose_a ? m : k, lda, 1);
  g_autofree float *b = new_operand(transpose_b ? n : k, transpose_b ? k : n, ldb, 2);
  g_autofree float *before = gem_test_normal_new(m * n, 3), *framed = g_new(float, (m + 2) * ldc);
  float *c = framed + ldc;
  for (gsize i = 0; i < (m + 2) * ldc; i++) {
    framed[i] = GUARD;
  }
  for (gsize i = 0; i < m; i++) {
    for (gsize j = 0; j < n; j++) {
      c[i * ldc + j] = add ? before[i * n + j] : NAN;
    }
  }
  if (strcmp(engine, "vector") == 0) {
    gem_matmul_vector(&(GemProduct){transpose_a, transpose_b, m, n, k, a, lda, b, ldb, add, c, ldc});
  } else {
    gem_matmul(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, add, c, ldc);
  }
  for (gsize i = 0; i < m; i++) {
    for (gsize j = 0; j < n; j++) {
      double expected = add ? (double)before[i * n + j] : 0.0, magnitude = fabs(expected);
      for (gsize x = 0; x < k; x++) {
        double term =
            operand_at(a, lda, transpose_a, i, x, rounded) * operand_at(b, ldb, transpose_b, x, j, rounded);
        expected += term;
        magnitude += fabs(term);
      }
      double bound = (double)(k + 2) * magnitude * (rounded ? 0x1p-23 : 0x1p-24);
      g_assert_cmpfloat_with_epsilon((double)c[i * ldc + j], expected, bound + 1e-30);
    }
  }
  for (gsize i = 0; i < (m + 2) * ldc; i++) {
    if (i < ldc || i >= (m + 1) * ldc || i % ldc >= n) {
      g_assert_cmpfloat(framed[i], ==, GUARD);
    }
  }
}

static gboolean
select_engine(const char *name)
{
  g_autoptr(GError) error = NULL;
  if (strcmp(name, "fp32") != 0 && !gem_matmul_bf16_available()) {
    g_test_skip("this CPU cannot multiply bfloat16");
    return FALSE;
  }
  if (strcmp(name, "vector") == 0) {
    return TRUE; /* "bf16" may be the tile unit */
  }
  g_assert_true(gem_matmul_select(name, &error));
  g_assert_no_error(error);
  return TRUE;
}

static void
test_products(gconstpointer engine)
{
  if (!select_engine(engine)) {
    return;
  }
  for (gsize s = 0; s < G_N_ELEMENTS(sizes); s++) {
    for (int form = 0; form < 8; form++) {
      check_product(engine, &sizes[s], form & 1, form & 2, form & 4);
    }
  }
}

/* A product over nothing is zero, or leaves what was there. */
static void
test_empty(gconstpointer engine)
{
  if (!select_engine(engine)) {
    return;
  }
  const float a[3] = {NAN, NAN, NAN};
  float c[3] = {1.0f, 2.0f, GUARD};
  gem_matmul(FALSE, FALSE, 1, 2, 0, a, 1, a, 2, TRUE, c, 2);
  g_assert_cmpfloat(c[0], ==, 1.0f);
  g_assert_cmpfloat(c[1], ==, 2.0f);
  gem_matmul(FALSE, FALSE, 1, 2, 0, a, 1, a, 2, FALSE, c, 2);
  g_assert_cmpfloat(c[0], ==, 0.0f);
  g_assert_cmpfloat(c[1], ==, 0.0f);
  gem_matmul(FALSE, FALSE, 0, 2, 1, a, 1, a, 2, FALSE, c, 2);
  gem_matmul(FALSE, FALSE, 1, 0, 1, a, 1, a, 2, FALSE, c, 2);
  g_assert_cmpfloat(c[2], ==, GUARD);
}

typedef struct {
  float *a, *b;
  float *c[4];
} Shared;

enum { LANE_M = 70, LANE_N = 50, LANE_K = 90 };

static void
multiply_in_lane(guint lane, gpointer data)
{
  Shared *self = data;
  for (int round = 0; round < 20; round++) {
    gem_matmul(FALSE, TRUE, LANE_M, LANE_N, LANE_K, self->a, LANE_K, self->b, LANE_K, FALSE, self->c[lane],
               LANE_N);
  }
}

/* Products on several threads at once do not get in each other's way: all give the same bits. */
static void
test_lanes(gconstpointer engine)
{
  if (!select_engine(engine)) {
    return;
  }
  Shared self = {.a = gem_test_normal_new(LANE_M * LANE_K, 4), .b = gem_test_normal_new(LANE_N * LANE_K, 5)};
  g_autoptr(GemLanes) lanes = gem_lanes_new(G_N_ELEMENTS(self.c));
  for (gsize lane = 0; lane < G_N_ELEMENTS(self.c); lane++) {
    self.c[lane] = g_new0(float, LANE_M *LANE_N);
  }
  gem_lanes_run(lanes, multiply_in_lane, &self);
  for (gsize lane = 0; lane < G_N_ELEMENTS(self.c); lane++) {
    g_assert_cmpfloat(self.c[lane][0], !=, 0.0f);
    gem_test_assert_same_bytes(self.c[0], self.c[lane], LANE_M * LANE_N * sizeof(float), "lane's product");
  }
  for (gsize lane = 0; lane < G_N_ELEMENTS(self.c); lane++) {
    g_free(self.c[lane]);
  }
  g_free(self.a);
  g_free(self.b);
}

static void
test_select(void)
{
  g_autoptr(GError) error = NULL;
  g_assert_true(gem_matmul_select("fp32", NULL));
  g_assert_false(gem_matmul_is_rounded());
  g_assert_false(gem_matmul_select("fp64", &error));
  g_assert_nonnull(strstr(error->message, "--matmul=fp64"));
  g_assert_false(gem_matmul_is_rounded());
  g_assert_true(gem_matmul_select("auto", NULL));
  g_assert_cmpint(gem_matmul_is_rounded(), ==,
                  gem_matmul_amx_available() || gem_matmul_vector_is_worthwhile());
  g_autofree char *line = gem_matmul_describe();
  g_assert_nonnull(strstr(line, "Gflop/s"));
  /* The tile unit is several times as fast as the vectors: none that is there may be left out. */
  g_assert_cmpint(strstr(line, "tile unit") != NULL, ==, gem_matmul_amx_available());
  g_assert_cmpint(strstr(line, "in vectors") != NULL, ==,
                  !gem_matmul_amx_available() && gem_matmul_vector_is_worthwhile());
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/matmul/select", test_select);
  g_test_add_data_func("/matmul/fp32/products", "fp32", test_products);
  g_test_add_data_func("/matmul/fp32/empty", "fp32", test_empty);
  g_test_add_data_func("/matmul/fp32/lanes", "fp32", test_lanes);
  g_test_add_data_func("/matmul/bf16/products", "bf16", test_products);
  g_test_add_data_func("/matmul/bf16/empty", "bf16", test_empty);
  g_test_add_data_func("/matmul/bf16/lanes", "bf16", test_lanes);
  g_test_add_data_func("/matmul/vector/products", "vector", test_products);
  return g_test_run();
}
