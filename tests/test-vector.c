/* The fused functions between matrix products against double precision, forwards, and backwards against
 * differences of the double-precision function. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-training.h"
#include "training/arithmetic/gem-vector.h"

/* |a - b| within `relative` of the larger, or `relative` itself where both are small. */
static void
assert_close(double a, double b, double relative)
{
  g_assert_cmpfloat_with_epsilon(a, b, relative * MAX(1.0, MAX(fabs(a), fabs(b))));
}

/* The derivative of f at x[i], by differences. */
typedef double (*Function)(const double *x, gconstpointer data);

static double
derivative(Function f, double *x, gsize i, gconstpointer data)
{
  const double h = 1e-5, kept = x[i];
  x[i] = kept + h;
  double above = f(x, data);
  x[i] = kept - h;
  double below = f(x, data);
  x[i] = kept;
  return (above - below) / (2.0 * h);
}

static double *
widen(const float *x, gsize n)
{
  double *wide = g_new(double, n);
  for (gsize i = 0; i < n; i++) {
    wide[i] = (double)x[i];
  }
  return wide;
}

/* ---- norm ---- */

enum { NORM_WIDTH = 37 };

/* x[d], then weight[d]: the sum of dy y. */
static double
rms_norm_sum(const double *x_and_weight, gconstpointer dy)
{
  const float *factors = dy;
  double squares = 0.0, sum = 0.0;
  for (gsize j = 0; j < NORM_WIDTH; j++) {
    squares += x_and_weight[j] * x_and_weight[j];
  }
  double inverse = 1.0 / sqrt(squares / NORM_WIDTH + 1e-5);
  for (gsize j = 0; j < NORM_WIDTH; j++) {
    sum += (double)factors[j] * x_and_weight[j] * inverse * x_and_weight[NORM_WIDTH + j];
  }
  return sum;
}

static void
test_rms_norm(void)
{
  enum { N = 3 };
  g_autofree float *x = gem_test_normal_new(N * NORM_WIDTH, 1), *weight = gem_test_normal_new(NORM_WIDTH, 2);
  g_autofree float *dy = gem_test_normal_new(N * NORM_WIDTH, 3), *dx = gem_test_normal_new(N * NORM_WIDTH, 4);
  g_autofree float *y = g_new(float, N *NORM_WIDTH), *dweight = gem_test_normal_new(NORM_WIDTH, 5);
  g_autofree float *dx_before = g_memdup2(dx, N * NORM_WIDTH * sizeof(float));
  g_autofree float *dweight_before = g_memdup2(dweight, NORM_WIDTH * sizeof(float));
  float inverse[N];
  gem_rms_norm_forward(x, weight, N, NORM_WIDTH, 1e-5f, inverse, y);
  gem_rms_norm_backward(x, weight, inverse, dy, N, NORM_WIDTH, dx, dweight);
  double dweight_expected[NORM_WIDTH] = {0};
  for (gsize i = 0; i < N; i++) {
    double row[2 * NORM_WIDTH];
    for (gsize j = 0; j < NORM_WIDTH; j++) {
      row[j] = (double)x[i * NORM_WIDTH + j];
      row[NORM_WIDTH + j] = (double)weight[j];
    }
    for (gsize j = 0; j < NORM_WIDTH; j++) {
      float one[NORM_WIDTH] = {0};
      one[j] = 1.0f;
      assert_close((double)y[i * NORM_WIDTH + j], rms_norm_sum(row, one), 1e-5);
      /* gradients are added to what is there */
      assert_close((double)(dx[i * NORM_WIDTH + j] - dx_before[i * NORM_WIDTH + j]),
                   derivative(rms_norm_sum, row, j, dy + i * NORM_WIDTH), 1e-5);
      dweight_expected[j] += derivative(rms_norm_sum, row, NORM_WIDTH + j, dy + i * NORM_WIDTH);
    }
  }
  for (gsize j = 0; j < NORM_WIDTH; j++) {
    assert_close((double)(dweight[j] - dweight_before[j]), dweight_expected[j], 1e-5);
  }
}

/* ---- positions ---- */

static void
test_rope(void)
{
  enum { N = 5, HEADS = 3, DIM = 16, ROTATED = 12, STRIDE = HEADS * DIM + 7, POSITIONS = 700 };
  const guint32 positions[N] = {0, 1, 17, 699, 3};
  g_autofree float *table = gem_rope_table_new(POSITIONS, ROTATED, 10000.0);
  g_autofree float *x = gem_test_normal_new(N * STRIDE, 6);
  g_autofree float *before = g_memdup2(x, N * STRIDE * sizeof(float));
  gem_rope_apply(x, STRIDE, positions, N, HEADS, DIM, ROTATED, table, 1);
  for (gsize i = 0; i < N; i++) {
    for (gsize j = 0; j < STRIDE; j++) {
      gsize in_head = j % DIM, at = i * STRIDE + j;
      if (j >= (gsize)HEADS * DIM || in_head >= ROTATED) {
        g_assert_cmpfloat(x[at], ==, before[at]); /* past the heads, and what a head does not rotate */
        continue;
      }
      double angle = positions[i] * pow(10000.0, -(double)(in_head - in_head % 2) / ROTATED);
      double pair = (double)before[in_head % 2 == 0 ? at + 1 : at - 1];
      double expected = (double)before[at] * cos(angle) + (in_head % 2 == 0 ? -pair : pair) * sin(angle);
      assert_close((double)x[at], expected, 1e-6);
    }
  }
  gem_rope_apply(x, STRIDE, positions, N, HEADS, DIM, ROTATED, table, -1);
  for (gsize i = 0; i < (gsize)N * STRIDE; i++) {
    assert_close((double)x[i], (double)before[i], 1e-6);
  }
}

/* ---- activations ---- */

/* x is gate, then up. */
static double
swiglu(const double *x, gconstpointer data)
{
  return x[0] / (1.0 + exp(-x[0])) * x[1];
}

static double
gelu(const double *x, gconstpointer data)
{
  return 0.5 * x[0] * (1.0 + tanh(sqrt(2.0 / G_PI) * (x[0] + 0.044715 * x[0] * x[0] * x[0])));
}

static void
test_swiglu(void)
{
  enum { N = 3, F = 29 };
  g_autofree float *gate_up = gem_test_normal_new(N * 2 * F, 7), *dout = gem_test_normal_new(N * F, 8);
  g_autofree float *out = g_new(float, N *F), *dgate_up = g_new(float, N * 2 * F);
  for (gsize i = 0; i < (gsize)N * 2 * F; i++) {
    gate_up[i] *= 4.0f;
  }
  gem_swiglu_forward(gate_up, N, F, out);
  gem_swiglu_backward(gate_up, dout, N, F, dgate_up);
  for (gsize i = 0; i < N; i++) {
    for (gsize j = 0; j < F; j++) {
      gsize gate = i * 2 * F + j, up = gate + F;
      double x[2] = {(double)gate_up[gate], (double)gate_up[up]}, back = (double)dout[i * F + j];
      assert_close((double)out[i * F + j], swiglu(x, NULL), 2e-6);
      assert_close((double)dgate_up[gate], back * derivative(swiglu, x, 0, NULL), 2e-5);
      assert_close((double)dgate_up[up], back * derivative(swiglu, x, 1, NULL), 2e-5);
    }
  }
}

static void
test_gelu(void)
{
  enum { N = 101 };
  g_autofree float *dout = gem_test_normal_new(N, 9), *in_place = g_memdup2(dout, N * sizeof(float));
  float x[N], out[N], dx[N];
  for (gsize i = 0; i < N; i++) {
    x[i] = -10.0f + 0.2f * (float)i;
  }
  gem_gelu_forward(x, N, out);
  gem_gelu_backward(x, dout, N, dx);
  gem_gelu_backward(x, in_place, N, in_place);
  for (gsize i = 0; i < N; i++) {
    double at = (double)x[i];
    assert_close((double)out[i], gelu(&at, NULL), 2e-6);
    assert_close((double)dx[i], (double)dout[i] * derivative(gelu, &at, 0, NULL), 2e-5);
    g_assert_cmpfloat(in_place[i], ==, dx[i]);
  }
}

/* ---- soft-max ---- */

typedef struct {
  const guint8 *visible; /* NULL: all */
  const float *factors;
  gsize n;
  double scale;
} Softmax;

/* Sum of factors times probabilities. */
static double
softmax_sum(const double *s, gconstpointer data)
{
  const Softmax *self = data;
  double sum = 0.0, weighted = 0.0;
  for (gsize j = 0; j < self->n; j++) {
    double e = self->visible == NULL || self->visible[j] ? exp(s[j] * self->scale) : 0.0;
    sum += e;
    weighted += e * (double)self->factors[j];
  }
  return weighted / sum;
}

static void
test_masked_softmax(void)
{
  enum { LENGTH = 45, END = 39 };
  g_autofree float *scores = gem_test_normal_new(LENGTH, 10), *p = g_memdup2(scores, LENGTH * sizeof(float));
  g_autofree float *dp = gem_test_normal_new(LENGTH, 11), *ds = g_memdup2(dp, LENGTH * sizeof(float));
  g_autofree double *wide = widen(scores, LENGTH);
  guint8 visible[LENGTH];
  for (gsize j = 0; j < LENGTH; j++) {
    visible[j] = j % 3 != 1;
    scores[j] = p[j] = visible[j] ? p[j] : 1e6f; /* what is masked may be the largest */
    wide[j] = (double)p[j];
  }
  gem_masked_softmax_row(p, visible, END, LENGTH, 0.4f);
  gem_softmax_backward_row(p, ds, END, LENGTH, 0.4f);
  double sum = 0.0;
  for (gsize j = 0; j < LENGTH; j++) {
    float one[LENGTH] = {0};
    one[j] = 1.0f;
    Softmax forward = {visible, one, END, 0.4}, backward = {visible, dp, END, 0.4};
    gboolean seen = j < END && visible[j];
    assert_close((double)p[j], seen ? softmax_sum(wide, &forward) : 0.0, 1e-6);
    assert_close((double)ds[j], seen ? derivative(softmax_sum, wide, j, &backward) : 0.0, 1e-6);
    g_assert_true(seen || (p[j] == 0.0f && ds[j] == 0.0f));
    sum += (double)p[j];
  }
  assert_close(sum, 1.0, 1e-6);
}

/* One visible position has it all, whatever its score and whatever hides beside it. */
static void
test_softmax_of_one(void)
{
  const float scores[] = {-1e4f, 0.0f, 1e4f};
  for (gsize i = 0; i < G_N_ELEMENTS(scores); i++) {
    for (gsize only = 0; only < 20; only++) {
      float s[20];
      guint8 visible[20] = {0};
      for (gsize j = 0; j < G_N_ELEMENTS(s); j++) {
        s[j] = j % 2 == 0 ? 1e4f : -1e4f;
      }
      visible[only] = 1;
      s[only] = scores[i];
      gem_masked_softmax_row(s, visible, 20, 20, 1.0f);
      for (gsize j = 0; j < G_N_ELEMENTS(s); j++) {
        g_assert_cmpfloat(s[j], ==, j == only ? 1.0f : 0.0f);
      }
    }
  }
}

/* ---- loss ---- */

typedef struct {
  gsize n;
  guint target;
} CrossEntropy;

static double
cross_entropy(const double *logits, gconstpointer data)
{
  const CrossEntropy *self = data;
  double top = logits[0], sum = 0.0;
  for (gsize j = 1; j < self->n; j++) {
    top = MAX(top, logits[j]);
  }
  for (gsize j = 0; j < self->n; j++) {
    sum += exp(logits[j] - top);
  }
  return log(sum) + top - logits[self->target];
}

static void
test_cross_entropy(void)
{
  enum { N = 519 };
  const CrossEntropy data = {N, 17};
  g_autofree float *logits = gem_test_normal_new(N, 12), *gradient = g_memdup2(logits, N * sizeof(float));
  g_autofree double *wide = widen(logits, N);
  assert_close(gem_cross_entropy_row(gradient, N, data.target, 0.25f), cross_entropy(wide, &data), 1e-6);
  for (gsize j = 0; j < N; j++) {
    g_assert_cmpfloat_with_epsilon((double)gradient[j], 0.25 * derivative(cross_entropy, wide, j, &data),
                                   1e-6);
  }
  /* without a weight the probabilities stay */
  gem_cross_entropy_row(logits, N, data.target, 0.0f);
  double sum = 0.0;
  for (gsize j = 0; j < N; j++) {
    sum += (double)logits[j];
  }
  assert_close(sum, 1.0, 1e-6);
  assert_close(-log((double)logits[data.target]), cross_entropy(wide, &data), 1e-5);
}

/* ---- extremes ---- */

static void
assert_all_finite(const float *x, gsize n)
{
  for (gsize i = 0; i < n; i++) {
    g_assert_true(isfinite(x[i]));
  }
}

/* Values that training should not meet, and may: all results stay numbers. */
static void
test_extremes(void)
{
  enum { N = 32 };
  float x[2 * N], dout[2 * N], out[2 * N], back[2 * N], weight[2 * N], dweight[2 * N] = {0}, inverse[1];
  for (gsize i = 0; i < (gsize)2 * N; i++) {
    x[i] = (i / 2 % 2 == 0 ? 1.0f : -1.0f) * (i % 2 == 0 ? 1e4f : 0.0f);
    dout[i] = i % 3 == 0 ? 1e4f : -1e4f;
    weight[i] = 1.0f;
  }
  gem_swiglu_forward(x, 1, N, out);
  assert_all_finite(out, N);
  gem_swiglu_backward(x, dout, 1, N, back);
  assert_all_finite(back, 2 * N);
  gem_gelu_forward(x, 2 * N, out);
  assert_all_finite(out, 2 * N);
  g_assert_cmpfloat(out[0], ==, 1e4f);
  g_assert_cmpfloat_with_epsilon((double)out[2], 0.0, 1e-6); /* of -1e4 */
  gem_gelu_backward(x, dout, 2 * N, back);
  assert_all_finite(back, 2 * N);
  gem_rms_norm_forward(x, weight, 1, 2 * N, 1e-5f, inverse, out);
  assert_all_finite(out, 2 * N);
  memset(back, 0, sizeof back);
  gem_rms_norm_backward(x, weight, inverse, dout, 1, 2 * N, back, dweight);
  assert_all_finite(back, 2 * N);
  memset(out, 0, sizeof out);
  gem_rms_norm_forward(out, weight, 1, 2 * N, 1e-5f, inverse, back); /* of nothing */
  assert_all_finite(back, 2 * N);
  double loss = gem_cross_entropy_row(x, 2 * N, 2, 1.0f);
  assert_close(loss, 2e4 + log(16.0), 1e-6); /* 16 logits of 1e4 against a target of -1e4 */
  assert_all_finite(x, 2 * N);
}

/* ---- the rest ---- */

static void
test_nearest(void)
{
  const float means[] = {1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 1.0f, -1.0f, 0.0f};
  const float east[] = {2.0f, 1.0f}, north[] = {0.5f, 3.0f}, west[] = {-5.0f, 1.0f}, nowhere[] = {0.0f, 0.0f};
  g_assert_cmpuint(gem_vector_nearest(east, means, 4, 2), ==, 0);
  g_assert_cmpuint(gem_vector_nearest(north, means, 4, 2), ==, 1); /* the first of equals */
  g_assert_cmpuint(gem_vector_nearest(west, means, 4, 2), ==, 3);
  g_assert_cmpuint(gem_vector_nearest(nowhere, means, 4, 2), ==, 0);
}

static void
test_sums(void)
{
  enum { N = 9001 }; /* more than two of the blocks in which squares are summed */
  g_autofree float *x = gem_test_normal_new(N, 13), *y = gem_test_normal_new(N, 14);
  g_autofree float *before = g_memdup2(y, N * sizeof(float));
  double squares = 0.0;
  for (gsize i = 0; i < N; i++) {
    squares += (double)x[i] * (double)x[i];
  }
  assert_close(gem_vector_square_sum(x, N), squares, 1e-6);
  gem_vector_add(y, x, N - 1);
  gem_vector_add_scaled(y, x, -0.5f, N - 1);
  gem_vector_scale(y, 3.0f, N - 1);
  for (gsize i = 0; i + 1 < N; i++) {
    assert_close((double)y[i], 3.0 * ((double)before[i] + 0.5 * (double)x[i]), 1e-6);
  }
  g_assert_cmpfloat(y[N - 1], ==, before[N - 1]);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/vector/rms-norm", test_rms_norm);
  g_test_add_func("/vector/rope", test_rope);
  g_test_add_func("/vector/swiglu", test_swiglu);
  g_test_add_func("/vector/gelu", test_gelu);
  g_test_add_func("/vector/softmax/masked", test_masked_softmax);
  g_test_add_func("/vector/softmax/of-one", test_softmax_of_one);
  g_test_add_func("/vector/cross-entropy", test_cross_entropy);
  g_test_add_func("/vector/extremes", test_extremes);
  g_test_add_func("/vector/nearest", test_nearest);
  g_test_add_func("/vector/sums", test_sums);
  return g_test_run();
}
