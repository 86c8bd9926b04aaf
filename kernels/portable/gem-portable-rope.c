/*
 * Rotary positions. Angles are doubles, since a position of thousands leaves a single too few bits behind the
 * point; what is left of them after whole quarters of a turn is small, and single from there on.
 */
#include "kernels/portable/gem-portable-math.h"
#include "kernels/portable/gem-portable.h"

/* Pairs of a head that are rotated at a time. */
enum { PAIRS = 64 };

typedef struct {
  float cosine[PAIRS];
  float sine[PAIRS];
} Rotations;

/* frequency[i] = first * ratio^i of that many pairs at least, by doubling what is there. */
static void
fill_frequencies(double first, double ratio, size_t pairs, double *frequency)
{
  double power = ratio;
  frequency[0] = first;
  for (size_t filled = 1; filled < pairs; filled *= 2, power *= power) {
#pragma omp simd
    for (size_t i = 0; i < filled; i++) {
      frequency[filled + i] = frequency[i] * power;
    }
  }
}

/* Cosine and sine of position * frequency: of r, |r| <= pi / 4, and a number of quarter turns. */
static void
fill_rotations(double position, const double *frequency, size_t pairs, Rotations *rotations)
{
  float rest[PAIRS];
  uint32_t quarters[PAIRS];
#pragma omp simd
  for (size_t i = 0; i < pairs; i++) {
    double angle = position * frequency[i];
    double shifted = fma(angle, 0x1.45f306dc9c883p-1, GEM_PORTABLE_DOUBLE_ROUNDER);
    double turns = shifted - GEM_PORTABLE_DOUBLE_ROUNDER;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    quarters[i] = (uint32_t)bits;
    rest[i] = (float)fma(turns, -0x1.1a62633145c07p-54, fma(turns, -0x1.921fb54442d18p0, angle));
  }
#pragma omp simd
  for (size_t i = 0; i < pairs; i++) {
    float square = rest[i] * rest[i];
    float s = fmaf(fmaf(fmaf(0x1.6cd878p-19f, square, -0x1.a00f9ep-13f), square, 0x1.11110ep-7f), square,
                   -0x1.555556p-3f);
    s = fmaf(s * square, rest[i], rest[i]);
    float c =
        fmaf(fmaf(fmaf(0x1.99eb9cp-16f, square, -0x1.6c0c34p-10f), square, 0x1.55553ep-5f), square, -0.5f);
    c = fmaf(c, square, 1.0f);
    uint32_t is_odd = 0u - (quarters[i] & 1u);
    uint32_t cosine = (gem_portable_bits(s) & is_odd) | (gem_portable_bits(c) & ~is_odd);
    uint32_t sine = (gem_portable_bits(c) & is_odd) | (gem_portable_bits(s) & ~is_odd);
    rotations->cosine[i] = gem_portable_float(cosine ^ ((quarters[i] + 1u) << 30 & 0x80000000u));
    rotations->sine[i] = gem_portable_float(sine ^ (quarters[i] << 30 & 0x80000000u));
  }
}

static void
rotate(float *pair, size_t pairs, const Rotations *rotations)
{
#pragma omp simd
  for (size_t i = 0; i < pairs; i++) {
    float first = pair[2 * i], second = pair[2 * i + 1];
    pair[2 * i] = fmaf(first, rotations->cosine[i], -(second * rotations->sine[i]));
    pair[2 * i + 1] = fmaf(first, rotations->sine[i], second * rotations->cosine[i]);
  }
}

void
GEM_PORTABLE(rope)(
    float *x, const uint32_t *positions, size_t n, size_t heads, size_t head_dim, size_t rope_dim, float base)
{
  double frequency[PAIRS];
  Rotations rotations;
  double ratio = pow(base, -2.0 / (double)rope_dim);
  double first = 1.0;
  for (size_t dim = 0; dim < rope_dim; dim += 2 * PAIRS) {
    size_t pairs = rope_dim - dim < 2 * PAIRS ? (rope_dim - dim) / 2 : PAIRS;
    fill_frequencies(first, ratio, pairs, frequency);
    first = frequency[pairs - 1] * ratio;
    for (size_t row = 0; row < n; row++) {
      fill_rotations(positions[row], frequency, pairs, &rotations);
      for (size_t head = 0; head < heads; head++) {
        rotate(x + (row * heads + head) * head_dim + dim, pairs, &rotations);
      }
    }
  }
}
