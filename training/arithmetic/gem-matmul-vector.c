/* A block of results is made in parts of 8 rows, whose 16 sums stay in registers over all of k. */
#include "training/arithmetic/gem-matmul-vector.h"

#if defined(__x86_64__) && defined(GEM_HAVE_BF16)

#include <immintrin.h>
#include <string.h>

enum { PART_ROWS = 8, LANES = 16, HALVES = GEM_BF16_STRIPE / LANES, PAIRS = GEM_BF16_TILE_K / 2 };

bool
gem_matmul_vector_is_worthwhile(void)
{
  return gem_matmul_bf16_available() && __builtin_cpu_is("amd");
}

static inline __m512bh
load_pairs(const uint16_t *pairs)
{
  return (__m512bh)_mm512_load_si512(pairs);
}

/* A pair of values of k, for all columns. */
static inline __m512bh
broadcast_pair(const uint16_t *pair)
{
  int32_t word;
  memcpy(&word, pair, sizeof word);
  return (__m512bh)_mm512_set1_epi32(word);
}

/* Eight rows of a block: a is their first row in its tile. */
static inline void
multiply_part(const uint16_t *a, const uint16_t *b, size_t steps, bool add, float *c, size_t ldc)
{
  __m512 sums[PART_ROWS][HALVES];
#pragma GCC unroll 8
  for (size_t r = 0; r < PART_ROWS; r++) {
#pragma GCC unroll 2
    for (size_t half = 0; half < HALVES; half++) {
      sums[r][half] = add ? _mm512_loadu_ps(c + r * ldc + half * LANES) : _mm512_setzero_ps();
    }
  }
  for (size_t s = 0; s < steps; s++, a += 2 * GEM_BF16_TILE_VALUES, b += 2 * GEM_BF16_TILE_VALUES) {
    for (size_t pair = 0; pair < PAIRS; pair++) {
      __m512bh first = load_pairs(b + pair * GEM_BF16_PAIR_VALUES);
      __m512bh second = load_pairs(b + GEM_BF16_TILE_VALUES + pair * GEM_BF16_PAIR_VALUES);
#pragma GCC unroll 8
      for (size_t r = 0; r < PART_ROWS; r++) {
        __m512bh value = broadcast_pair(a + r * GEM_BF16_TILE_K + 2 * pair);
        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], value, first);
        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], value, second);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < PART_ROWS; r++) {
#pragma GCC unroll 2
    for (size_t half = 0; half < HALVES; half++) {
      _mm512_storeu_ps(c + r * ldc + half * LANES, sums[r][half]);
    }
  }
}

static void
multiply_block(const uint16_t *a, const uint16_t *b, size_t steps, bool add, float *c, size_t ldc)
{
  for (size_t row = 0; row < GEM_BF16_STRIPE; row += PART_ROWS) {
    size_t tile = row / GEM_BF16_TILE_ROWS;
    size_t within = row % GEM_BF16_TILE_ROWS;
    multiply_part(a + tile * GEM_BF16_TILE_VALUES + within * GEM_BF16_TILE_K, b, steps, add, c + row * ldc,
                  ldc);
  }
}

void
gem_matmul_vector(const GemProduct *product)
{
  gem_matmul_bf16(product, multiply_block);
}

#else

bool
gem_matmul_vector_is_worthwhile(void)
{
  return false;
}

void
gem_matmul_vector(const GemProduct *product)
{
  __builtin_trap(); /* never reached: gem_matmul_bf16_available() is false */
}

#endif
