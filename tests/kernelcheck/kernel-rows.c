/* Checks of what works on rows of floats: within rounding of the reference, and a row alone as among others.
 */
#include "tests/kernelcheck/kernels.h"
#include "tests/kernelcheck/patterns.h"

#include <math.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Below, at and above a vector of any instruction set. */
static const size_t some_lengths[] = {1,  2,  3,  4,  5,  7,  8,   9,   15,  16,  17,  31,  32,
                                      33, 48, 63, 64, 65, 96, 100, 127, 255, 512, 513, 1536};
static const size_t some_counts[] = {1, 2, 3, 4, 5, 8, 9, 17};

/* ---- curves: against the C library in double precision ---- */

/* Every 4093rd float from 2^-20 to 88, then the same below zero. */
enum { SWEEP_FIRST = 0x35800000, SWEEP_END = 0x42b00000, SWEEP_STEP = 4093 };
enum { SWEEP_HALF = (SWEEP_END - SWEEP_FIRST) / SWEEP_STEP, SWEEP = 2 * SWEEP_HALF };

static float *
new_sweep(Check *check, const char *name)
{
  float *x = check_floats(check, name, SWEEP);
  for (uint32_t i = 0; i < SWEEP_HALF; i++) {
    uint32_t bits = SWEEP_FIRST + i * SWEEP_STEP;
    memcpy(x + i, &bits, sizeof bits);
    x[SWEEP_HALF + i] = -x[i];
  }
  return x;
}

/* How far `actual` may be from `expected`. */
static void
check_curve(Check *check, const char *curve, float x, double expected, double actual, double most)
{
  if (!(fabs(actual - expected) <= most)) {
    check_fail(check, "%s(%a) is %.9g, expected %.9g, at most %.2g away", curve, (double)x, actual, expected,
               most);
  }
}

/* ---- rms_norm ---- */

static void
check_rms_norm_case(Check *check, ValuesPattern pattern, size_t n, size_t d, float epsilon)
{
  check_case(check, "%zu x %zu, values %s, epsilon %g", n, d, values_pattern_name(pattern), (double)epsilon);
  float *x = check_floats(check, "x", n * d);
  float *weight = check_floats(check, "weight", d);
  float *expected = check_floats(check, "expected y", n * d);
  float *y = check_floats(check, "y", n * d);
  float *alone = check_floats(check, "y alone", d);
  float *in_place = check_floats(check, "x and y", n * d);
  fill_values(check, pattern, n, d, x);
  fill_values(check, VALUES_RANDOM, 1, d, weight);
  memcpy(in_place, x, n * d * sizeof *x);
  check_seal(check, x);
  check_seal(check, weight);
  check_reference(check)->rms_norm(x, weight, n, d, epsilon, expected);
  check_kernels(check)->rms_norm(x, weight, n, d, epsilon, y);
  check_close(check, "y", expected, y, n * d, 1e-37, 4e-6);
  check_kernels(check)->rms_norm(in_place, weight, n, d, epsilon, in_place);
  check_same(check, "y in the place of x", y, in_place, n * d);
  for (size_t i = 0; i < n; i++) {
    check_kernels(check)->rms_norm(x + i * d, weight, 1, d, epsilon, alone);
    check_same(check, "y of a row alone", y + i * d, alone, d);
  }
}

void
check_kernel_rms_norm(Check *check)
{
  for (size_t l = 0; l < COUNT(some_lengths); l++) {
    for (unsigned pattern = 0; pattern < N_VALUES; pattern++) {
      size_t n = some_counts[(l + pattern) % COUNT(some_counts)];
      check_rms_norm_case(check, pattern, n, some_lengths[l], pattern % 2 ? 1e-5f : 1e-6f);
    }
  }
}

/* ---- rope ---- */

typedef struct {
  size_t n, heads, head_dim, rope_dim;
  float base;
} RopeShape;

/* A pair keeps its length: what rounding may change is a share of that. */
static void
check_pairs(Check *check, const RopeShape *shape, const float *before, const float *expected, const float *x)
{
  for (size_t i = 0; i < shape->n * shape->heads * shape->head_dim; i += shape->head_dim) {
    for (size_t j = 0; j < shape->rope_dim; j += 2) {
      double length = hypot((double)before[i + j], (double)before[i + j + 1]);
      check_close(check, "a rotated pair", expected + i + j, x + i + j, 2, 4e-7 * length, 0);
    }
    check_same(check, "what is not rotated", before + i + shape->rope_dim, x + i + shape->rope_dim,
               shape->head_dim - shape->rope_dim);
  }
}

static void
check_rope_case(Check *check, const RopeShape *shape, uint32_t highest)
{
  size_t row = shape->heads * shape->head_dim, values = shape->n * row;
  check_case(check, "n %zu, %zu heads of %zu, rope_dim %zu, base %g, positions up to %u", shape->n,
             shape->heads, shape->head_dim, shape->rope_dim, (double)shape->base, highest);
  float *before = check_floats(check, "x before", values);
  float *expected = check_floats(check, "expected x", values);
  float *x = check_floats(check, "x", values);
  float *alone = check_floats(check, "x alone", row);
  uint32_t *positions = check_buffer(check, "positions", shape->n * sizeof *positions, sizeof *positions);
  fill_values(check, check_random_below(check, 4) ? VALUES_RANDOM : VALUES_MIXED, 1, values, before);
  memcpy(expected, before, values * sizeof *x);
  memcpy(x, before, values * sizeof *x);
  for (size_t i = 0; i < shape->n; i++) {
    positions[i] = i == 0 ? highest : (uint32_t)check_random_below(check, (size_t)highest + 1);
  }
  check_seal(check, positions);
  check_seal(check, before);
  check_reference(check)->rope(expected, positions, shape->n, shape->heads, shape->head_dim, shape->rope_dim,
                               shape->base);
  check_kernels(check)->rope(x, positions, shape->n, shape->heads, shape->head_dim, shape->rope_dim,
                             shape->base);
  check_pairs(check, shape, before, expected, x);
  for (size_t i = 0; i < shape->n; i++) {
    memcpy(alone, before + i * row, row * sizeof *x);
    check_kernels(check)->rope(alone, positions + i, 1, shape->heads, shape->head_dim, shape->rope_dim,
                               shape->base);
    check_same(check, "x of a row alone", x + i * row, alone, row);
  }
}

void
check_kernel_rope(Check *check)
{
  static const uint32_t highest[] = {0, 1, 7, 511, 2048, 8192, 131072, 1000000};
  static const size_t dims[][2] = {{2, 2},   {4, 4},   {6, 4},   {10, 6},  {16, 16},   {32, 32}, {34, 32},
                                   {48, 48}, {64, 64}, {64, 32}, {80, 80}, {128, 128}, {65, 64}, {256, 256}};
  for (size_t h = 0; h < COUNT(highest); h++) {
    for (size_t i = 0; i < COUNT(dims); i++) {
      check_rope_case(check,
                      &(RopeShape){.n = some_counts[(h + i) % COUNT(some_counts)],
                                   .heads = 1 + (h * 5 + i) % 9,
                                   .head_dim = dims[i][0],
                                   .rope_dim = dims[i][1],
                                   .base = i % 2 ? 10000.0f : 500000.0f},
                      highest[h]);
    }
  }
}

/* ---- softmax ---- */

typedef enum { SOFTMAX_RANDOM, SOFTMAX_EQUAL, SOFTMAX_SPREAD, SOFTMAX_MASKED, N_SOFTMAX } SoftmaxPattern;

static float
softmax_value(Check *check, SoftmaxPattern pattern, size_t i)
{
  switch (pattern) {
  case SOFTMAX_EQUAL:
    return -1e30f;
  case SOFTMAX_SPREAD: /* down to where nothing is left */
    return check_random_float(check, 120.0f);
  case SOFTMAX_MASKED: /* the first is a number */
    return i > 0 && check_random_below(check, 2) ? -INFINITY : check_random_float(check, 1e4f);
  default:
    return check_random_float(check, 8.0f);
  }
}

static void
check_softmax_case(Check *check, SoftmaxPattern pattern, size_t n)
{
  static const char *const names[] = {"random", "equal", "spread", "masked"};
  check_case(check, "%zu values, %s", n, names[pattern]);
  float *expected = check_floats(check, "expected x", n);
  float *x = check_floats(check, "x", n);
  for (size_t i = 0; i < n; i++) {
    expected[i] = softmax_value(check, pattern, i);
  }
  memcpy(x, expected, n * sizeof *x);
  check_reference(check)->softmax(expected, n);
  check_kernels(check)->softmax(x, n);
  /* The reference adds one value after the other. */
  check_close(check, "x", expected, x, n, 2e-38, 3e-6 + 2e-9 * (double)n);
}

/* The shares of two values are to each other as their exponentials. */
static void
check_softmax_curve(Check *check)
{
  check_case(check, "the curve");
  float *x = new_sweep(check, "x below zero") + SWEEP_HALF;
  float *shares = check_floats(check, "x", SWEEP_HALF);
  x[0] = 0.0f;
  memcpy(shares, x, SWEEP_HALF * sizeof *x);
  check_kernels(check)->softmax(shares, SWEEP_HALF);
  for (size_t i = 0; i < SWEEP_HALF && x[i] > -70.0f; i++) {
    double expected = exp((double)x[i]);
    check_curve(check, "exp", x[i], expected, (double)shares[i] / (double)shares[0], 4e-7 * expected);
  }
}

void
check_kernel_softmax(Check *check)
{
  check_softmax_curve(check);
  for (size_t l = 0; l < COUNT(some_lengths); l++) {
    for (unsigned pattern = 0; pattern < N_SOFTMAX; pattern++) {
      check_softmax_case(check, pattern, some_lengths[l]);
    }
  }
  check_softmax_case(check, SOFTMAX_RANDOM, 12800);
}

/* ---- swiglu and gelu: value by value ---- */

/* Dense where the curve bends, sparse outwards to the largest numbers. */
static float
activation_input(Check *check)
{
  static const float marks[] = {0.0f,    -0.0f,  0x1p-149f, -0x1p-130f, 87.0f,  -87.4f, 88.8f,  -88.8f,
                                -103.9f, 104.0f, 1e4f,      -1e4f,      -1e30f, 1e30f,  1e-20f, -1e-20f};
  switch (check_random_below(check, 4)) {
  case 0:
    return marks[check_random_below(check, COUNT(marks))];
  case 1:
    return check_random_float(check, 130.0f);
  default:
    return check_random_float(check, 6.0f);
  }
}

static void
check_swiglu_case(Check *check, size_t count)
{
  check_case(check, "%zu values", count);
  float *gate = check_floats(check, "gate", count);
  float *up = check_floats(check, "up", count);
  float *expected = check_floats(check, "expected out", count);
  float *out = check_floats(check, "out", count);
  float *in_place = check_floats(check, "gate and out", count);
  for (size_t i = 0; i < count; i++) {
    gate[i] = activation_input(check);
    up[i] = check_random_float(check, 3.0f);
  }
  memcpy(in_place, gate, count * sizeof *gate);
  check_seal(check, gate);
  check_seal(check, up);
  check_reference(check)->swiglu(gate, up, count, expected);
  check_kernels(check)->swiglu(gate, up, count, out);
  check_close(check, "out", expected, out, count, 1e-35, 3e-6);
  check_kernels(check)->swiglu(in_place, up, count, in_place);
  check_same(check, "out in the place of gate", out, in_place, count);
  for (size_t i = 0; i < count; i++) {
    float alone;
    check_kernels(check)->swiglu(gate + i, up + i, 1, &alone);
    check_same(check, "out of a value alone", out + i, &alone, 1);
  }
}

static void
check_swiglu_curve(Check *check)
{
  check_case(check, "the curve");
  const float *gate = new_sweep(check, "gate");
  float *up = check_floats(check, "up", SWEEP);
  float *out = check_floats(check, "out", SWEEP);
  for (size_t i = 0; i < SWEEP; i++) {
    up[i] = 1.0f;
  }
  check_kernels(check)->swiglu(gate, up, SWEEP, out);
  for (size_t i = 0; i < SWEEP; i++) {
    double expected = (double)gate[i] / (1.0 + exp(-(double)gate[i]));
    check_curve(check, "silu", gate[i], expected, (double)out[i], 4e-7 * fabs(expected) + 1e-35);
  }
}

void
check_kernel_swiglu(Check *check)
{
  check_swiglu_curve(check);
  for (size_t l = 0; l < COUNT(some_lengths); l++) {
    check_swiglu_case(check, some_lengths[l]);
  }
}

static void
check_gelu_case(Check *check, size_t count)
{
  check_case(check, "%zu values", count);
  float *before = check_floats(check, "x before", count);
  float *expected = check_floats(check, "expected x", count);
  float *x = check_floats(check, "x", count);
  for (size_t i = 0; i < count; i++) {
    float input = activation_input(check);
    before[i] = fabsf(input) < 1e12f ? input : 50.0f; /* its cube is a number */
  }
  memcpy(expected, before, count * sizeof *x);
  memcpy(x, before, count * sizeof *x);
  check_reference(check)->gelu(expected, count);
  check_kernels(check)->gelu(x, count);
  for (size_t i = 0; i < count; i++) {
    /* The reference adds 1 to what is near -1. */
    check_close(check, "x", expected + i, x + i, 1, 4e-7 * fabs((double)before[i]), 0);
    float alone = before[i];
    check_kernels(check)->gelu(&alone, 1);
    check_same(check, "x of a value alone", x + i, &alone, 1);
  }
}

static void
check_gelu_curve(Check *check)
{
  check_case(check, "the curve");
  const float *before = new_sweep(check, "x before");
  float *x = new_sweep(check, "x");
  check_kernels(check)->gelu(x, SWEEP);
  for (size_t i = 0; i < SWEEP; i++) {
    double v = (double)before[i];
    double expected = 0.5 * v * (1.0 + tanh(0.79788456080286536 * (v + 0.044715 * v * v * v)));
    check_curve(check, "gelu", before[i], expected, (double)x[i], 2e-7 * fabs(v));
  }
}

void
check_kernel_gelu(Check *check)
{
  check_gelu_curve(check);
  for (size_t l = 0; l < COUNT(some_lengths); l++) {
    check_gelu_case(check, some_lengths[l]);
  }
}
