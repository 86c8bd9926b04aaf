/* Over the logits of a vocabulary. Weights are below 2^31: comparisons of signed integers, which every
 * instruction set has, do for them. */
#include "kernels/portable/gem-portable-math.h"
#include "kernels/portable/gem-portable.h"

/* Values that are looked through at once before it is asked where among them. */
enum { AT_ONCE = 64 };

static inline bool
is_finite(float x)
{
  return (gem_portable_bits(x) & 0x7f800000u) != 0x7f800000u;
}

/* ---- find_largest ---- */

/* By their order as integers; the zeros are made one, and what is not finite comes before all. */
static int32_t
largest_order(const float *x, size_t n)
{
  int32_t largest = INT32_MIN;
#pragma omp simd reduction(max : largest)
  for (size_t i = 0; i < n; i++) {
    int32_t order = gem_portable_order((int32_t)gem_portable_bits(x[i] + 0.0f));
    order = is_finite(x[i]) ? order : INT32_MIN;
    largest = order > largest ? order : largest;
  }
  return largest;
}

static bool
has_value(const float *x, size_t n, float value)
{
  uint32_t found = 0;
#pragma omp simd reduction(| : found)
  for (size_t i = 0; i < n; i++) {
    found |= x[i] == value ? 1u : 0u;
  }
  return found != 0;
}

/* It is there. */
static size_t
first_of_value(const float *x, size_t n, float value)
{
  size_t i = 0;
  while (i + AT_ONCE < n && !has_value(x + i, AT_ONCE, value)) {
    i += AT_ONCE;
  }
  while (x[i] != value) {
    i++;
  }
  return i;
}

void
GEM_PORTABLE(find_largest)(const float *x, size_t n, size_t *ret_index)
{
  int32_t largest = largest_order(x, n);
  if (largest == INT32_MIN) {
    *ret_index = n;
    return;
  }
  *ret_index = first_of_value(x, n, gem_portable_float((uint32_t)gem_portable_order(largest)));
}

/* ---- weights ---- */

/* Sums of weights in two halves of 32 bits each, which vectors add without making them wider. */
typedef struct {
  uint32_t count, low, high;
} Sums;

/* Weights that two such halves hold the sum of: 2^16 low halves, 2^18 high ones. */
enum { MOST_SUMMED = 1 << 16 };

static inline uint64_t
mass_of(Sums sums)
{
  return ((uint64_t)sums.high << 16) + sums.low;
}

static inline size_t
summed_at_once(size_t n)
{
  return n < MOST_SUMMED ? n : MOST_SUMMED;
}

static uint64_t
weigh_some(const float *x, size_t n, float largest, float sharpness, uint32_t *weights)
{
  uint32_t low = 0, high = 0;
#pragma omp simd reduction(+ : low, high)
  for (size_t i = 0; i < n; i++) {
    float share = gem_portable_exp(sharpness * (x[i] - largest));
    uint32_t weight = (uint32_t)(int32_t)(0x1p30f * (is_finite(x[i]) ? share : 0.0f));
    weights[i] = weight;
    low += weight & 0xffffu;
    high += weight >> 16;
  }
  return mass_of((Sums){.low = low, .high = high});
}

void
GEM_PORTABLE(weigh)(
    const float *x, size_t n, float largest, float sharpness, uint32_t *weights, uint64_t *ret_mass)
{
  *ret_mass = 0;
  for (size_t first = 0; first < n; first += MOST_SUMMED) {
    *ret_mass += weigh_some(x + first, summed_at_once(n - first), largest, sharpness, weights + first);
  }
}

static Sums
tally_some(const uint32_t *weights, size_t n, uint32_t least)
{
  uint32_t count = 0, low = 0, high = 0;
#pragma omp simd reduction(+ : count, low, high)
  for (size_t i = 0; i < n; i++) {
    bool counts = (int32_t)weights[i] >= (int32_t)least;
    uint32_t weight = counts ? weights[i] : 0u;
    count += counts ? 1u : 0u;
    low += weight & 0xffffu;
    high += weight >> 16;
  }
  return (Sums){.count = count, .low = low, .high = high};
}

void
GEM_PORTABLE(tally)(const uint32_t *weights, size_t n, uint32_t least, size_t *ret_count, uint64_t *ret_mass)
{
  *ret_count = 0;
  *ret_mass = 0;
  for (size_t first = 0; first < n; first += MOST_SUMMED) {
    Sums sums = tally_some(weights + first, summed_at_once(n - first), least);
    *ret_count += sums.count;
    *ret_mass += mass_of(sums);
  }
}

/* Whether any is within least .. least + span - 1. */
static bool
has_within(const uint32_t *weights, size_t n, uint32_t least, uint32_t span)
{
  uint32_t found = 0;
#pragma omp simd reduction(| : found)
  for (size_t i = 0; i < n; i++) {
    found |= weights[i] - least < span ? 1u : 0u;
  }
  return found != 0;
}

void
GEM_PORTABLE(gather)(
    const uint32_t *weights, size_t n, uint32_t least, uint32_t below, uint32_t *gathered, size_t *ret_count)
{
  size_t count = 0;
  uint32_t span = below - least;
  for (size_t first = 0; first < n; first += AT_ONCE) {
    size_t width = n - first < AT_ONCE ? n - first : AT_ONCE;
    if (!has_within(weights + first, width, least, span)) {
      continue;
    }
    /* Written whether it counts or not, over the next: no branch has to be foretold. */
    for (size_t i = first; i < first + width; i++) {
      uint32_t weight = weights[i];
      gathered[count] = weight;
      count += weight - least < span ? 1 : 0;
    }
  }
  *ret_count = count;
}
