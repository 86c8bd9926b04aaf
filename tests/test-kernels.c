/* The plain C kernels against the same mathematics written out in double, and the promises that the scheduler
 * needs: a row's result does not depend on its neighbours, and nothing beyond the output is touched. */
#include <math.h>
#include <string.h>

#include <glib.h>

#include "kernels/gem-kernels.h"

static const GemType all_types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q4_0, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K};

static float *
new_random(gsize n, double scale)
{
  float *values = g_new(float, n);
  for (gsize i = 0; i < n; i++) {
    values[i] = (float)(scale * g_test_rand_double_range(-1.0, 1.0));
  }
  return values;
}

/* ---- linear ---- */

/* rows x cols random weights, stored as `type` at an odd address; `ret_decoded` is what a reader makes of
 * them. */
static guint8 *
new_weights(GemType type, gsize rows, gsize cols, float **ret_decoded)
{
  gsize row_bytes = gem_type_row_bytes(type, cols);
  guint8 *stored = g_malloc(rows * row_bytes + 1);
  float *values = new_random(rows * cols, 0.5);
  for (gsize row = 0; row < rows; row++) {
    gem_quantize_row(type, values + row * cols, stored + 1 + row * row_bytes, cols);
    gem_dequantize_row(type, stored + 1 + row * row_bytes, values + row * cols, cols);
  }
  *ret_decoded = values;
  return stored;
}

/* Inputs as a matrix of `type` reads them; `inputs.values` becomes what the levels stand for. */
typedef struct {
  GemInputs inputs;
  float *values;
  void *memory;
} TestInputs;

static void
test_inputs_clear(TestInputs *self)
{
  g_free(self->values);
  free(self->memory);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TestInputs, test_inputs_clear)

static void
test_inputs_init(TestInputs *self, GemType type, gsize n, gsize cols)
{
  gsize chunks = gem_packed_chunks(cols);
  self->values = new_random(n * cols, 1.0);
  self->memory = NULL;
  self->inputs = (GemInputs){.n = n, .cols = cols, .values = self->values};
  if (!gem_packed_takes_levels(type)) {
    return;
  }
  self->memory = aligned_alloc(GEM_PACKED_ALIGNMENT, gem_inputs_bytes(n, cols));
  gem_inputs_place(&self->inputs, self->memory);
  gem_kernels_reference()->quantize(&self->inputs, 0, n);
  for (gsize i = 0; i < n * cols; i++) {
    float level = self->inputs.levels[i] * self->inputs.scales[i / cols * chunks + i % cols / GEM_CHUNK_COLS];
    /* Half a level of at most 1 / 127. */
    g_assert_cmpfloat_with_epsilon(level, self->values[i], 0.5 / 127 + 1e-6);
    self->values[i] = level;
  }
}

/* y[n][rows] = W x of stored rows, through the packed form. */
static void
run_linear(GemType type, const guint8 *stored, gsize rows, const GemInputs *inputs, float *y)
{
  gsize bytes = gem_packed_bytes(type, rows, inputs->cols);
  guint8 *data = aligned_alloc(GEM_PACKED_ALIGNMENT, bytes);
  GemPacked packed = {.type = type, .rows = rows, .cols = inputs->cols, .data = data};
  gem_kernels_reference()->pack(type, rows, inputs->cols, stored, data);
  gem_kernels_reference()->linear(&packed, 0, gem_packed_panels(rows), inputs, y);
  free(data);
}

static void
assert_linear(const float *decoded, gsize rows, const GemInputs *inputs, const float *y)
{
  for (gsize i = 0; i < inputs->n; i++) {
    for (gsize row = 0; row < rows; row++) {
      double expected = 0.0;
      for (gsize col = 0; col < inputs->cols; col++) {
        expected += (double)decoded[row * inputs->cols + col] * inputs->values[i * inputs->cols + col];
      }
      g_assert_cmpfloat_with_epsilon(y[i * rows + row], expected, 2e-5 * sqrt((double)inputs->cols));
    }
  }
}

/* Shapes below, at and above a panel and a chunk. */
static void
test_linear(void)
{
  const gsize shapes[][2] = {{1, 256}, {7, 512}, {16, 1024}, {17, 1280}, {40, 2560}};
  for (gsize t = 0; t < G_N_ELEMENTS(all_types); t++) {
    for (gsize s = 0; s < G_N_ELEMENTS(shapes); s++) {
      gsize rows = shapes[s][0], cols = shapes[s][1], n = 3;
      g_autofree float *decoded = NULL;
      g_autofree guint8 *stored = new_weights(all_types[t], rows, cols, &decoded);
      g_auto(TestInputs) test = {0};
      g_autofree float *y = g_new(float, n *rows + 1);
      test_inputs_init(&test, all_types[t], n, cols);
      y[n * rows] = 42.0f;
      run_linear(all_types[t], stored + 1, rows, &test.inputs, y);
      assert_linear(decoded, rows, &test.inputs, y);
      g_assert_cmpfloat(y[n * rows], ==, 42.0f);
    }
  }
}

/* Floats need no multiple of anything. */
static void
test_linear_odd(void)
{
  for (gsize cols = 1; cols < 40; cols++) {
    g_autofree float *weights = new_random(2 * cols, 1.0);
    g_auto(TestInputs) test = {0};
    float y[2];
    test_inputs_init(&test, GEM_TYPE_F32, 1, cols);
    run_linear(GEM_TYPE_F32, (const guint8 *)weights, 2, &test.inputs, y);
    assert_linear(weights, 2, &test.inputs, y);
  }
}

/* The same input alone and among others: the same bits. */
static void
test_linear_batch(void)
{
  gsize rows = 9, cols = 1536, n = 6;
  for (gsize t = 0; t < G_N_ELEMENTS(all_types); t++) {
    g_autofree float *decoded = NULL;
    g_autofree guint8 *stored = new_weights(all_types[t], rows, cols, &decoded);
    g_auto(TestInputs) test = {0};
    g_autofree float *together = g_new(float, n *rows);
    g_autofree float *alone = g_new(float, rows);
    test_inputs_init(&test, all_types[t], n, cols);
    run_linear(all_types[t], stored + 1, rows, &test.inputs, together);
    for (gsize i = 0; i < n; i++) {
      GemInputs one = {.n = 1, .cols = cols, .values = test.inputs.values + i * cols};
      if (test.inputs.levels != NULL) {
        one.levels = test.inputs.levels + i * cols;
        one.scales = test.inputs.scales + i * gem_packed_chunks(cols);
        one.sums = test.inputs.sums + i * cols / GEM_SUM_COLS;
      }
      run_linear(all_types[t], stored + 1, rows, &one, alone);
      g_assert_cmpmem(alone, rows * sizeof(float), together + i * rows, rows * sizeof(float));
    }
  }
}

/* The packed form gives each row back as it was stored. */
static void
test_packed_chunks(void)
{
  g_assert_cmpuint(gem_packed_chunk_bytes(GEM_TYPE_Q4_0, 512, 0), ==, GEM_Q4_0_CHUNK_BYTES);
  g_assert_cmpuint(gem_packed_chunk_bytes(GEM_TYPE_Q8_0, 512, 0), ==, GEM_Q8_0_CHUNK_BYTES);
  g_assert_cmpuint(gem_packed_chunk_bytes(GEM_TYPE_Q6_K, 512, 0), ==, GEM_Q6_K_CHUNK_BYTES);
}

static void
test_packed_row(void)
{
  gsize rows = 21, cols = 768;
  for (gsize t = 0; t < G_N_ELEMENTS(all_types); t++) {
    g_autofree float *decoded = NULL;
    g_autofree guint8 *stored = new_weights(all_types[t], rows, cols, &decoded);
    g_autofree float *values = g_new(float, cols);
    guint8 *data = aligned_alloc(GEM_PACKED_ALIGNMENT, gem_packed_bytes(all_types[t], rows, cols));
    GemPacked packed = {.type = all_types[t], .rows = rows, .cols = cols, .data = data};
    gem_kernels_reference()->pack(all_types[t], rows, cols, stored + 1, data);
    for (gsize row = 0; row < rows; row++) {
      gem_packed_row(&packed, row, values);
      g_assert_cmpmem(values, cols * sizeof(float), decoded + row * cols, cols * sizeof(float));
    }
    free(data);
  }
}

/* ---- norm and positions ---- */

static void
test_rms_norm(void)
{
  const gsize n = 3, d = 70;
  const double eps = 1e-5;
  g_autofree float *x = new_random(n * d, 4.0);
  g_autofree float *weight = new_random(d, 1.0);
  g_autofree float *y = g_new(float, n *d);
  memset(x + d, 0, d * sizeof(float)); /* a row of zeros stays zero */
  gem_kernels_reference()->rms_norm(x, weight, n, d, (float)eps, y);
  for (gsize row = 0; row < n; row++) {
    double mean_square = 0.0;
    for (gsize i = 0; i < d; i++) {
      mean_square += (double)x[row * d + i] * x[row * d + i] / (double)d;
    }
    for (gsize i = 0; i < d; i++) {
      g_assert_cmpfloat_with_epsilon(y[row * d + i], x[row * d + i] / sqrt(mean_square + eps) * weight[i],
                                     1e-5);
    }
  }
  gem_kernels_reference()->rms_norm(x, weight, n, d, (float)eps, x);
  g_assert_cmpmem(x, n * d * sizeof(float), y, n * d * sizeof(float));
}

/* Adjacent pairs turn by position * base^(-2i/rope_dim); what is beyond rope_dim stays. */
static void
test_rope(void)
{
  const gsize n = 4, heads = 3, head_dim = 10, rope_dim = 6;
  const guint32 positions[] = {0, 1, 7, 100000};
  g_autofree float *x = new_random(n * heads * head_dim, 1.0);
  g_autofree float *before = g_memdup2(x, n * heads * head_dim * sizeof(float));
  gem_kernels_reference()->rope(x, positions, n, heads, head_dim, rope_dim, 10000.0f);
  g_assert_cmpmem(x, heads * head_dim * sizeof(float), before, heads * head_dim * sizeof(float));
  for (gsize row = 0; row < n; row++) {
    for (gsize head = 0; head < heads; head++) {
      const float *from = before + (row * heads + head) * head_dim;
      const float *to = x + (row * heads + head) * head_dim;
      for (gsize i = 0; i < rope_dim / 2; i++) {
        double angle = positions[row] * pow(10000.0, -2.0 * (double)i / (double)rope_dim);
        g_assert_cmpfloat_with_epsilon(to[2 * i], from[2 * i] * cos(angle) - from[2 * i + 1] * sin(angle),
                                       1e-5);
        g_assert_cmpfloat_with_epsilon(to[2 * i + 1], from[2 * i] * sin(angle) + from[2 * i + 1] * cos(angle),
                                       1e-5);
      }
      g_assert_cmpmem(to + rope_dim, (head_dim - rope_dim) * sizeof(float), from + rope_dim,
                      (head_dim - rope_dim) * sizeof(float));
    }
  }
}

/* q . k depends on the distance of their positions alone. */
static void
test_rope_relative(void)
{
  const gsize head_dim = 64;
  g_autofree float *q = new_random(head_dim, 1.0);
  g_autofree float *k = new_random(head_dim, 1.0);
  double products[2];
  for (guint32 i = 0; i < 2; i++) {
    g_autofree float *q_turned = g_memdup2(q, head_dim * sizeof(float));
    g_autofree float *k_turned = g_memdup2(k, head_dim * sizeof(float));
    guint32 q_position = 40 + 1000 * i, k_position = 3 + 1000 * i;
    gem_kernels_reference()->rope(q_turned, &q_position, 1, 1, head_dim, head_dim, 10000.0f);
    gem_kernels_reference()->rope(k_turned, &k_position, 1, 1, head_dim, head_dim, 10000.0f);
    products[i] = 0.0;
    for (gsize j = 0; j < head_dim; j++) {
      products[i] += (double)q_turned[j] * k_turned[j];
    }
  }
  g_assert_cmpfloat_with_epsilon(products[0], products[1], 1e-5);
}

/* ---- activations ---- */

static void
test_softmax(void)
{
  float single = -1e30f;
  gem_kernels_reference()->softmax(&single, 1);
  g_assert_cmpfloat(single, ==, 1.0f);

  float x[4] = {1000.0f, 1000.0f + logf(2.0f), 999.0f, -1e30f};
  gem_kernels_reference()->softmax(x, 4);
  double sum = 3.0 + exp(-1.0);
  g_assert_cmpfloat_with_epsilon(x[0], 1.0 / sum, 1e-4);
  g_assert_cmpfloat_with_epsilon(x[1], 2.0 / sum, 1e-4);
  g_assert_cmpfloat_with_epsilon(x[2], exp(-1.0) / sum, 1e-4);
  g_assert_cmpfloat(x[3], ==, 0.0f);
}

static void
test_swiglu(void)
{
  float gate[6] = {0.0f, 1.0f, -2.0f, 50.0f, -200.0f, 0.3f};
  const float up[6] = {3.0f, 2.0f, 1.5f, -1.0f, 5.0f, 0.0f};
  float out[6], expected[6];
  for (int i = 0; i < 6; i++) {
    expected[i] = (float)((double)gate[i] / (1.0 + exp(-(double)gate[i])) * up[i]);
  }
  gem_kernels_reference()->swiglu(gate, up, 6, out);
  for (int i = 0; i < 6; i++) {
    g_assert_cmpfloat_with_epsilon(out[i], expected[i], 1e-5);
  }
  gem_kernels_reference()->swiglu(gate, up, 6, gate);
  g_assert_cmpmem(gate, sizeof gate, out, sizeof out);
}

static void
test_gelu(void)
{
  float x[7] = {0.0f, 1.0f, -1.0f, 3.0f, -3.0f, 100.0f, -100.0f};
  const double expected[7] = {0.0, 0.841192, -0.158808, 2.996363, -0.003637, 100.0, 0.0};
  gem_kernels_reference()->gelu(x, 7);
  for (int i = 0; i < 7; i++) {
    g_assert_cmpfloat_with_epsilon(x[i], expected[i], 2e-6);
  }
}

/* ---- SCAR ---- */

/* k random rows of unit length. */
static float *
new_centroids(gsize k, gsize d)
{
  float *centroids = new_random(k * d, 1.0);
  for (gsize j = 0; j < k; j++) {
    double square = 0.0;
    for (gsize i = 0; i < d; i++) {
      square += (double)centroids[j * d + i] * centroids[j * d + i];
    }
    for (gsize i = 0; i < d; i++) {
      centroids[j * d + i] = (float)(centroids[j * d + i] / sqrt(square));
    }
  }
  return centroids;
}

/* The paper's distance: 1 - u.mu / (|u| |mu|). */
static double
cosine_distance(const float *u, const float *mu, gsize d)
{
  double product = 0.0, u_square = 0.0, mu_square = 0.0;
  for (gsize i = 0; i < d; i++) {
    product += (double)u[i] * mu[i];
    u_square += (double)u[i] * u[i];
    mu_square += (double)mu[i] * mu[i];
  }
  return 1.0 - product / (sqrt(u_square) * sqrt(mu_square));
}

/* No centroid is nearer than the one that was chosen (to rounding). */
static void
test_scar_assign(void)
{
  const gsize n = 200, d = 24, k = 16;
  g_autofree float *u = new_random(n * d, 3.0);
  g_autofree float *centroids = new_centroids(k, d);
  guint8 clusters[200];
  gem_kernels_reference()->scar_assign(u, n, d, centroids, k, clusters);
  guint used = 0;
  for (gsize i = 0; i < n; i++) {
    g_assert_cmpuint(clusters[i], <, k);
    double chosen = cosine_distance(u + i * d, centroids + clusters[i] * d, d);
    for (gsize j = 0; j < k; j++) {
      g_assert_cmpfloat(chosen, <=, cosine_distance(u + i * d, centroids + j * d, d) + 1e-6);
    }
    used |= 1u << clusters[i];
  }
  g_assert_cmpuint(used, >, 0xff);
}

/* The lowest index wins a tie; a row of zeros is all ties; 256 clusters fit. */
static void
test_scar_ties(void)
{
  const float centroids[4 * 2] = {0, 1, 1, 0, 1, 0, 0, 1};
  const float u[3 * 2] = {5, 0, 0, 0, 1, 1};
  guint8 clusters[3];
  gem_kernels_reference()->scar_assign(u, 3, 2, centroids, 4, clusters);
  g_assert_cmpuint(clusters[0], ==, 1);
  g_assert_cmpuint(clusters[1], ==, 0);
  g_assert_cmpuint(clusters[2], ==, 0);

  g_autofree float *many = g_new0(float, 256 * 256);
  for (gsize j = 0; j < 256; j++) {
    many[j * 256 + j] = 1.0f;
  }
  gem_kernels_reference()->scar_assign(many + 255 * 256, 1, 256, many, 256, clusters);
  g_assert_cmpuint(clusters[0], ==, 255);
}

/* ---- sampling ---- */

static void
test_find_largest(void)
{
  const float x[] = {NAN, -2.0f, INFINITY, -1.0f, -1.0f, -INFINITY}, none[] = {NAN, -INFINITY, INFINITY};
  gsize index = 77;
  gem_kernels_reference()->find_largest(x, G_N_ELEMENTS(x), &index);
  g_assert_cmpuint(index, ==, 3);
  gem_kernels_reference()->find_largest(none, G_N_ELEMENTS(none), &index);
  g_assert_cmpuint(index, ==, G_N_ELEMENTS(none));
}

static void
test_weigh(void)
{
  const float x[] = {3.0f, 2.0f, NAN, INFINITY, 3.0f, -INFINITY, -40.0f};
  const double expected[] = {1, exp(-2.5), 0, 0, 1, 0, 0};
  guint32 weights[G_N_ELEMENTS(x)];
  guint64 mass = 0, sum = 0;
  gem_kernels_reference()->weigh(x, G_N_ELEMENTS(x), 3.0f, 2.5f, weights, &mass);
  for (gsize i = 0; i < G_N_ELEMENTS(x); i++) {
    g_assert_cmpfloat_with_epsilon(weights[i] * 0x1p-30, expected[i], 0x1p-30);
    sum += weights[i];
  }
  g_assert_cmpuint(mass, ==, sum);
}

static void
test_tally_and_gather(void)
{
  const guint32 highest = 1u << 30, weights[] = {5, highest, 0, 7, highest, highest, highest, 6, 5};
  const guint32 from_five[] = {5, 6, 5};
  guint32 gathered[G_N_ELEMENTS(weights)];
  gsize count = 0;
  guint64 mass = 0;
  gem_kernels_reference()->tally(weights, G_N_ELEMENTS(weights), 6, &count, &mass);
  g_assert_cmpuint(count, ==, 6);
  g_assert_cmpuint(mass, ==, 4 * (guint64)highest + 7 + 6);
  gem_kernels_reference()->gather(weights, G_N_ELEMENTS(weights), 5, 7, gathered, &count);
  g_assert_cmpmem(gathered, count * sizeof *gathered, from_five, sizeof from_five);
}

/* The widest set that there is, as its tuning for the vendor's processors where it has one. */
static void
test_best(void)
{
#if defined(__x86_64__)
  const char *set = gem_kernels_by_name("avx512-amx") != NULL  ? "avx512-amx"
                    : gem_kernels_by_name("avx512") != NULL    ? "avx512"
                    : gem_kernels_by_name("avx2-vnni") != NULL ? "avx2-vnni"
                    : gem_kernels_by_name("avx2") != NULL      ? "avx2"
                                                               : "reference";
  g_autofree char *tuned = g_strconcat(set, "-amd", NULL);
  gboolean is_tuned = __builtin_cpu_is("amd") && gem_kernels_by_name(tuned) != NULL;
  g_assert_cmpstr(gem_kernels_best()->name, ==, is_tuned ? tuned : set);
#else
  g_assert_true(gem_kernels_best() == gem_kernels_nth(gem_kernels_count() - 1));
#endif
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/kernels/best", test_best);
  g_test_add_func("/kernels/packed-chunks", test_packed_chunks);
  g_test_add_func("/kernels/packed-row", test_packed_row);
  g_test_add_func("/kernels/linear/values", test_linear);
  g_test_add_func("/kernels/linear/odd", test_linear_odd);
  g_test_add_func("/kernels/linear/batch", test_linear_batch);
  g_test_add_func("/kernels/rms-norm", test_rms_norm);
  g_test_add_func("/kernels/rope/values", test_rope);
  g_test_add_func("/kernels/rope/relative", test_rope_relative);
  g_test_add_func("/kernels/softmax", test_softmax);
  g_test_add_func("/kernels/swiglu", test_swiglu);
  g_test_add_func("/kernels/gelu", test_gelu);
  g_test_add_func("/kernels/scar/assign", test_scar_assign);
  g_test_add_func("/kernels/scar/ties", test_scar_ties);
  g_test_add_func("/kernels/sampling/find-largest", test_find_largest);
  g_test_add_func("/kernels/sampling/weigh", test_weigh);
  g_test_add_func("/kernels/sampling/tally-and-gather", test_tally_and_gather);
  return g_test_run();
}
