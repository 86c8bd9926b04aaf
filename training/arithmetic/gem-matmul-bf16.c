/*
 * Rounding, packing and walking. Operands are packed in parts that fit the second-level cache; edges are
 * filled with zeros, so that the inner loop knows whole tiles only.
 */
#include "training/arithmetic/gem-matmul-bf16.h"

#if defined(__x86_64__) && defined(GEM_HAVE_BF16)

#include <immintrin.h>
#include <pthread.h>
#include <stdlib.h>

#define BLOCK_K      1024         /* values of k packed at a time */
#define BLOCK_VALUES (256 * 1024) /* of a packed operand: 512 KiB, two of them in the second-level cache */

/* Packed operands of A, then of B, kept from call to call: one block a thread, freed when it ends. */
static _Thread_local uint16_t *packed;
static pthread_key_t packed_key; /* frees it */
static pthread_once_t packed_once = PTHREAD_ONCE_INIT;

bool
gem_matmul_bf16_available(void)
{
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

static void
make_packed_key(void)
{
  if (pthread_key_create(&packed_key, free) != 0) {
    abort(); /* as g_malloc does; below too */
  }
}

static uint16_t *
packed_of_thread(void)
{
  if (packed == NULL) {
    pthread_once(&packed_once, make_packed_key);
    packed = aligned_alloc(64, 2 * BLOCK_VALUES * sizeof(uint16_t));
    if (packed == NULL || pthread_setspecific(packed_key, packed) != 0) {
      abort();
    }
  }
  return packed;
}

static inline size_t
least(size_t a, size_t b)
{
  return a < b ? a : b;
}

static inline __mmask16
mask_of(size_t count)
{
  return count >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << count) - 1);
}

/* 32 values of one row as bfloat16, zeros beyond `count`. */
static inline __m512i
round_row(const float *row, size_t count)
{
  __m512 low = _mm512_maskz_loadu_ps(mask_of(count), row);
  __m512 high = count > 16 ? _mm512_maskz_loadu_ps(mask_of(count - 16), row + 16) : _mm512_setzero_ps();
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Rows of k and k + 1, 16 columns: pairs (row0[c], row1[c]). */
static inline __m512i
round_pair(const float *row0, const float *row1, size_t columns)
{
  __mmask16 mask = mask_of(columns);
  __m512 even = row0 ? _mm512_maskz_loadu_ps(mask, row0) : _mm512_setzero_ps();
  __m512 odd = row1 ? _mm512_maskz_loadu_ps(mask, row1) : _mm512_setzero_ps();
  __m512i joined = (__m512i)_mm512_cvtne2ps_pbh(odd, even); /* 16 even, then 16 odd */
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                              23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(interleave, joined);
}

/* 16 x 16 words transposed: row r of `out` (stride 64 bytes) = column r of `rows`. */
static inline void
transpose_words(__m512i rows[16], uint16_t *out)
{
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    _mm512_store_si512(out + (size_t)(i)*GEM_BF16_TILE_K, _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88));
    _mm512_store_si512(out + (size_t)(i + 8) * GEM_BF16_TILE_K, _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd));
    _mm512_store_si512(out + (size_t)(i + 4) * GEM_BF16_TILE_K,
                       _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88));
    _mm512_store_si512(out + (size_t)(i + 12) * GEM_BF16_TILE_K,
                       _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd));
  }
}

/* The 16 rows (or columns) from `first` of an operand stored [outer][k]: one vector of 32 values of k each.
 */
static inline void
load_rows(const float *data, size_t ld, size_t outer, size_t k, size_t first, size_t k0, __m512i rows[16])
{
  for (size_t r = 0; r < 16; r++) {
    rows[r] = first + r < outer ? round_row(data + (first + r) * ld + k0, k - k0) : _mm512_setzero_si512();
  }
}

/* The 16 pairs of k from k0, 16 columns from `first`, of an operand stored [k][outer]. */
static inline void
load_pairs(const float *data, size_t ld, size_t outer, size_t k, size_t first, size_t k0, __m512i pairs[16])
{
  for (size_t p = 0; p < 16; p++) {
    size_t even = k0 + 2 * p;
    const float *row0 = even < k && first < outer ? data + even * ld + first : NULL;
    const float *row1 = even + 1 < k && first < outer ? data + (even + 1) * ld + first : NULL;
    pairs[p] = round_pair(row0, row1, first < outer ? outer - first : 0);
  }
}

/* The k_count x outer_count corner of an operand as tiles, in the order in which the product reads them:
 * stripe of 32, then k, then two tiles. `pairs_wanted`: B's layout (pairs of k as rows); else A's (16 rows of
 * 32 values). `k_major`: stored [k][outer], and so read k by k. */
static void
pack(const float *data, size_t ld, bool k_major, bool pairs_wanted, size_t outer, size_t k, uint16_t *out)
{
  size_t stripes = (outer + GEM_BF16_STRIPE - 1) / GEM_BF16_STRIPE,
         steps = (k + GEM_BF16_TILE_K - 1) / GEM_BF16_TILE_K;
  for (size_t i = 0; i < stripes * steps; i++) {
    size_t stripe = k_major ? i % stripes : i / steps, step = k_major ? i / stripes : i % steps;
    for (size_t half = 0; half < 2; half++) {
      uint16_t *tile = out + ((stripe * steps + step) * 2 + half) * GEM_BF16_TILE_VALUES;
      size_t first = stripe * GEM_BF16_STRIPE + half * 16, k0 = step * GEM_BF16_TILE_K;
      __m512i rows[16];
      if (k_major) {
        load_pairs(data, ld, outer, k, first, k0, rows);
      } else {
        load_rows(data, ld, outer, k, first, k0, rows);
      }
      if (k_major == pairs_wanted) {
        for (size_t r = 0; r < 16; r++) {
          _mm512_store_si512(tile + r * GEM_BF16_TILE_K, rows[r]);
        }
      } else {
        transpose_words(rows, tile);
      }
    }
  }
}

/* A block that reaches over the edge goes through a square of its own. */
static void
multiply_edge(GemBf16Block *multiply_block,
              const uint16_t *a,
              const uint16_t *b,
              size_t steps,
              bool add,
              size_t rows,
              size_t columns,
              float *c,
              size_t ldc)
{
  float square[GEM_BF16_STRIPE * GEM_BF16_STRIPE] __attribute__((aligned(64)));
  multiply_block(a, b, steps, false, square, GEM_BF16_STRIPE);
  for (size_t r = 0; r < rows; r++) {
    for (size_t j = 0; j < columns; j++) {
      c[r * ldc + j] = square[r * GEM_BF16_STRIPE + j] + (add ? c[r * ldc + j] : 0.0f);
    }
  }
}

/* One block of A against one of B, both packed. */
static void
multiply_packed(GemBf16Block *multiply_block,
                const uint16_t *tiles_a,
                const uint16_t *tiles_b,
                size_t m,
                size_t n,
                size_t steps,
                bool add,
                float *c,
                size_t ldc)
{
  size_t stripe_values = steps * 2 * GEM_BF16_TILE_VALUES;
  for (size_t i = 0; i < m; i += GEM_BF16_STRIPE, tiles_a += stripe_values) {
    const uint16_t *stripe_b = tiles_b;
    for (size_t j = 0; j < n; j += GEM_BF16_STRIPE, stripe_b += stripe_values) {
      if (m - i >= GEM_BF16_STRIPE && n - j >= GEM_BF16_STRIPE) {
        multiply_block(tiles_a, stripe_b, steps, add, c + i * ldc + j, ldc);
      } else {
        multiply_edge(multiply_block, tiles_a, stripe_b, steps, add, least(m - i, GEM_BF16_STRIPE),
                      least(n - j, GEM_BF16_STRIPE), c + i * ldc + j, ldc);
      }
    }
  }
}

void
gem_matmul_bf16(const GemProduct *product, GemBf16Block *multiply_block)
{
  const GemProduct p = *product;
  size_t block_k = least(p.k, BLOCK_K);
  size_t block_steps = (block_k + GEM_BF16_TILE_K - 1) / GEM_BF16_TILE_K;
  size_t block_outer = BLOCK_VALUES / (block_steps * GEM_BF16_TILE_K) / GEM_BF16_STRIPE * GEM_BF16_STRIPE;
  uint16_t *tiles_a = packed_of_thread();
  uint16_t *tiles_b = tiles_a + BLOCK_VALUES;
  for (size_t k0 = 0; k0 < p.k; k0 += block_k) {
    size_t depth = least(p.k - k0, block_k);
    size_t steps = (depth + GEM_BF16_TILE_K - 1) / GEM_BF16_TILE_K;
    for (size_t j = 0; j < p.n; j += block_outer) {
      size_t columns = least(p.n - j, block_outer);
      pack(p.transpose_b ? p.b + j * p.ldb + k0 : p.b + k0 * p.ldb + j, p.ldb, !p.transpose_b, true, columns,
           depth, tiles_b);
      for (size_t i = 0; i < p.m; i += block_outer) {
        size_t rows = least(p.m - i, block_outer);
        pack(p.transpose_a ? p.a + k0 * p.lda + i : p.a + i * p.lda + k0, p.lda, p.transpose_a, false, rows,
             depth, tiles_a);
        multiply_packed(multiply_block, tiles_a, tiles_b, rows, columns, steps, p.add || k0 > 0,
                        p.c + i * p.ldc + j, p.ldc);
      }
    }
  }
}

#else

bool
gem_matmul_bf16_available(void)
{
  return false;
}

void
gem_matmul_bf16(const GemProduct *product, GemBf16Block *multiply_block)
{
  __builtin_trap(); /* never reached: gem_matmul_bf16_available() is false */
}

#endif
