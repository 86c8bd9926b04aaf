/* Checks of what draws tokens: all but the weights themselves are exact. */
#include "tests/kernelcheck/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Below, at and above a vector of any instruction set and a block of what is looked through at once. */
static const size_t some_lengths[] = {1,  2,  3,  7,  8,  9,   15,  16,  17,  31,  32,   33,
                                      63, 64, 65, 66, 96, 127, 128, 129, 255, 513, 1000, 12801};

/* The weight of the largest. */
static const uint32_t highest = 1u << 30;

/* ---- logits ---- */

typedef enum {
  LOGITS_RANDOM,
  LOGITS_EQUAL,
  LOGITS_FEW,   /* of five values: many are the largest */
  LOGITS_ZEROS, /* of both signs, and below */
  LOGITS_HOLES, /* with infinities and what is not a number */
  LOGITS_WIDE,  /* out to the ends of floats */
  LOGITS_NONE,  /* not one is finite */
  N_LOGITS,
} LogitsPattern;

static const char *const logits_names[N_LOGITS] = {"random", "equal",    "few values", "zeros",
                                                   "holes",  "the ends", "not finite"};

static float
not_finite(Check *check)
{
  static const float values[] = {NAN, -NAN, INFINITY, -INFINITY};
  return values[check_random_below(check, COUNT(values))];
}

static float
logit(Check *check, LogitsPattern pattern)
{
  static const float zeros[] = {0.0f, -0.0f, -0x1p-149f, -1.0f};
  switch (pattern) {
  case LOGITS_EQUAL:
    return -7.25f;
  case LOGITS_FEW:
    return (float)check_random_below(check, 5) - 3.0f;
  case LOGITS_ZEROS:
    return zeros[check_random_below(check, COUNT(zeros))];
  case LOGITS_HOLES:
    return check_random_below(check, 3) == 0 ? not_finite(check) : check_random_float(check, 20.0f);
  case LOGITS_WIDE:
    return check_random_below(check, 2) ? check_random_float(check, FLT_MAX)
                                        : check_random_float(check, 1.0f);
  case LOGITS_NONE:
    return not_finite(check);
  default:
    return check_random_float(check, 12.0f);
  }
}

static float *
new_logits(Check *check, LogitsPattern pattern, size_t n)
{
  float *x = check_floats(check, "x", n);
  for (size_t i = 0; i < n; i++) {
    x[i] = logit(check, pattern);
  }
  check_seal(check, x);
  return x;
}

/* ---- find_largest ---- */

static void
check_find_largest_case(Check *check, LogitsPattern pattern, size_t n)
{
  check_case(check, "%zu values, %s", n, logits_names[pattern]);
  const float *x = new_logits(check, pattern, n);
  size_t expected = n + 1, actual = n + 1;
  check_reference(check)->find_largest(x, n, &expected);
  check_kernels(check)->find_largest(x, n, &actual);
  if (actual != expected) {
    check_fail(check, "index %zu, expected %zu", actual, expected);
  }
}

void
check_kernel_find_largest(Check *check)
{
  for (size_t l = 0; l < COUNT(some_lengths); l++) {
    for (unsigned pattern = 0; pattern < N_LOGITS; pattern++) {
      check_find_largest_case(check, pattern, some_lengths[l]);
    }
  }
}

/* ---- weigh ---- */

static void
check_weight(Check *check, const char *what, uint32_t expected, uint32_t actual)
{
  double difference = fabs((double)expected - (double)actual);
  if (!(difference <= 1 + 0x1p-18 * (double)expected) || actual > highest) {
    check_fail(check, "%s %u, expected %u", what, actual, expected);
  }
}

static void
check_weigh_case(Check *check, LogitsPattern pattern, size_t n, float sharpness)
{
  check_case(check, "%zu values, %s, sharpness %g", n, logits_names[pattern], (double)sharpness);
  const float *x = new_logits(check, pattern, n);
  uint32_t *expected = check_buffer(check, "expected weights", n * sizeof *expected, sizeof *expected);
  uint32_t *weights = check_buffer(check, "weights", n * sizeof *weights, sizeof *weights);
  size_t largest = n;
  uint64_t mass = 0, sum = 0, unused = 0;
  check_reference(check)->find_largest(x, n, &largest);
  float top = largest < n ? x[largest] : 0.0f;
  check_reference(check)->weigh(x, n, top, sharpness, expected, &unused);
  check_kernels(check)->weigh(x, n, top, sharpness, weights, &mass);
  for (size_t i = 0; i < n; i++) {
    check_weight(check, "a weight of", expected[i], weights[i]);
    sum += weights[i];
  }
  if (sum != mass) {
    check_fail(check, "a mass of %llu, but the weights have %llu", (unsigned long long)mass,
               (unsigned long long)sum);
  }
  if (largest < n && weights[largest] != highest) {
    check_fail(check, "the largest has a weight of %u", weights[largest]);
  }
  for (size_t i = 0; i < n; i += 1 + i / 8) {
    uint32_t alone;
    check_kernels(check)->weigh(x + i, 1, top, sharpness, &alone, &mass);
    check_same_bytes(check, "the weight of a value alone", weights + i, &alone, sizeof alone);
  }
}

void
check_kernel_weigh(Check *check)
{
  static const float sharpness[] = {0.25f, 1.0f, 1.3f, 5.0f, 1e4f, 1e30f};
  for (size_t l = 0; l < COUNT(some_lengths); l++) {
    for (unsigned pattern = 0; pattern < N_LOGITS; pattern++) {
      check_weigh_case(check, pattern, some_lengths[l], sharpness[(l + pattern) % COUNT(sharpness)]);
    }
  }
}

/* ---- tally, gather ---- */

/* Of all magnitudes, and every eighth one of few values. */
static uint32_t *
new_weights(Check *check, size_t n)
{
  uint32_t *weights = check_buffer(check, "weights", n * sizeof *weights, sizeof *weights);
  for (size_t i = 0; i < n; i++) {
    uint32_t weight = (uint32_t)check_random_below(check, (size_t)highest + 1);
    weights[i] = check_random_below(check, 8) ? weight >> check_random_below(check, 31) : weight & highest;
  }
  return weights;
}

static uint32_t
some_bound(Check *check, const uint32_t *weights, size_t n)
{
  const uint32_t bounds[] = {0,
                             1,
                             highest,
                             highest + 1,
                             weights[0],
                             weights[n - 1],
                             (uint32_t)check_random_below(check, (size_t)highest)};
  return bounds[check_random_below(check, COUNT(bounds))];
}

static void
check_tally_case(Check *check, size_t n)
{
  uint32_t *weights = new_weights(check, n);
  uint32_t least = some_bound(check, weights, n);
  size_t expected = 0, count = n + 1;
  uint64_t expected_mass = 0, mass = 1;
  check_seal(check, weights);
  check_reference(check)->tally(weights, n, least, &expected, &expected_mass);
  check_kernels(check)->tally(weights, n, least, &count, &mass);
  if (count != expected || mass != expected_mass) {
    check_fail(check, "%zu of least %u, %llu together, expected %zu, %llu", count, least,
               (unsigned long long)mass, expected, (unsigned long long)expected_mass);
  }
}

void
check_kernel_tally(Check *check)
{
  for (size_t l = 0; l < COUNT(some_lengths); l++) {
    for (unsigned i = 0; i < 12; i++) {
      check_case(check, "%zu weights, run %u", some_lengths[l], i);
      check_tally_case(check, some_lengths[l]);
    }
  }
}

static void
check_gather_case(Check *check, size_t n)
{
  uint32_t *weights = new_weights(check, n);
  uint32_t *expected = check_buffer(check, "expected", n * sizeof *expected, sizeof *expected);
  uint32_t *gathered = check_buffer(check, "gathered", n * sizeof *gathered, sizeof *gathered);
  uint32_t *in_place = check_buffer(check, "weights and gathered", n * sizeof *in_place, sizeof *in_place);
  uint32_t one = some_bound(check, weights, n), other = some_bound(check, weights, n);
  uint32_t least = one < other ? one : other, below = one < other ? other : one;
  size_t n_expected = 0, count = n + 1, count_in_place = n + 1;
  memcpy(in_place, weights, n * sizeof *weights);
  check_seal(check, weights);
  check_reference(check)->gather(weights, n, least, below, expected, &n_expected);
  check_kernels(check)->gather(weights, n, least, below, gathered, &count);
  check_kernels(check)->gather(in_place, n, least, below, in_place, &count_in_place);
  if (count != n_expected || count_in_place != n_expected) {
    check_fail(check, "%zu within %u .. %u, in place %zu, expected %zu", count, least, below, count_in_place,
               n_expected);
  }
  check_same_bytes(check, "gathered", expected, gathered, count * sizeof *gathered);
  check_same_bytes(check, "gathered in the place of weights", expected, in_place, count * sizeof *gathered);
}

void
check_kernel_gather(Check *check)
{
  for (size_t l = 0; l < COUNT(some_lengths); l++) {
    for (unsigned i = 0; i < 12; i++) {
      check_case(check, "%zu weights, run %u", some_lengths[l], i);
      check_gather_case(check, some_lengths[l]);
    }
  }
}
