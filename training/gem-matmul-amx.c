/*
 * A product is cut into blocks of 32 x 32 results, each in four accumulator tiles. Both operands are rounded
 * and packed into tiles first, in parts that fit the second-level cache: A: tiles of 16 rows x 32 values of
 * k;   B: tiles of 16 pairs of k x 16 columns x 2. Edges are filled with zeros, so the inner loop knows whole
 * tiles only.
 */
#include "training/gem-matmul-amx.h"

#if defined(__x86_64__) && defined(GEM_HAVE_AMX)

#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TILE_ROWS           16
#define TILE_K              32                   /* values of k in a tile */
#define TILE_VALUES         (TILE_ROWS * TILE_K) /* 512 bfloat16: 1 KiB */
#define STRIPE              32                   /* rows or columns of one block of results */
#define BLOCK_K             1024                 /* values of k packed at a time */
#define BLOCK_VALUES        (256 * 1024) /* of a packed operand: 512 KiB, two of them in the second-level cache */
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA  18

typedef uint16_t Bf16;

/* Packed operands of A, then of B, kept from call to call: one block a thread, freed when it ends. */
static _Thread_local Bf16 *packed;
static pthread_key_t packed_key; /* frees it */
static pthread_once_t packed_once = PTHREAD_ONCE_INIT;

bool
gem_matmul_amx_available(void)
{
  static int state = -1;
  if (state < 0) {
    bool cpu = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16") &&
               __builtin_cpu_supports("avx512bw");
    unsigned a = 7, b, c = 0, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    bool amx = (d & (1u << 22)) && (d & (1u << 24)); /* AMX-BF16 and AMX-TILE */
    state = cpu && amx && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
  }
  return state == 1;
}

static void
make_packed_key(void)
{
  if (pthread_key_create(&packed_key, free) != 0) {
    abort(); /* as g_malloc does; below too */
  }
}

static Bf16 *
packed_of_thread(void)
{
  if (packed == NULL) {
    pthread_once(&packed_once, make_packed_key);
    packed = aligned_alloc(64, 2 * BLOCK_VALUES * sizeof(Bf16));
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
transpose_words(__m512i rows[16], Bf16 *out)
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
    _mm512_store_si512(out + (size_t)(i)*TILE_K, _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88));
    _mm512_store_si512(out + (size_t)(i + 8) * TILE_K, _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd));
    _mm512_store_si512(out + (size_t)(i + 4) * TILE_K, _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88));
    _mm512_store_si512(out + (size_t)(i + 12) * TILE_K, _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd));
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
pack(const float *data, size_t ld, bool k_major, bool pairs_wanted, size_t outer, size_t k, Bf16 *out)
{
  size_t stripes = (outer + STRIPE - 1) / STRIPE, steps = (k + TILE_K - 1) / TILE_K;
  for (size_t i = 0; i < stripes * steps; i++) {
    size_t stripe = k_major ? i % stripes : i / steps, step = k_major ? i / stripes : i % steps;
    for (size_t half = 0; half < 2; half++) {
      Bf16 *tile = out + ((stripe * steps + step) * 2 + half) * TILE_VALUES;
      size_t first = stripe * STRIPE + half * 16, k0 = step * TILE_K;
      __m512i rows[16];
      if (k_major) {
        load_pairs(data, ld, outer, k, first, k0, rows);
      } else {
        load_rows(data, ld, outer, k, first, k0, rows);
      }
      if (k_major == pairs_wanted) {
        for (size_t r = 0; r < 16; r++) {
          _mm512_store_si512(tile + r * TILE_K, rows[r]);
        }
      } else {
        transpose_words(rows, tile);
      }
    }
  }
}

static void
configure_tiles(void)
{
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    config.row_bytes[i] = 64;
    config.rows[i] = TILE_ROWS;
  }
  _tile_loadconfig(&config);
}

/* 32 x 32 results at c, over `steps` tiles of k. */
static inline void
multiply_block(const Bf16 *a, const Bf16 *b, size_t steps, bool add, float *c, size_t ldc)
{
  size_t stride = ldc * sizeof(float);
  if (add) {
    _tile_loadd(0, c, stride);
    _tile_loadd(1, c + 16, stride);
    _tile_loadd(2, c + 16 * ldc, stride);
    _tile_loadd(3, c + 16 * ldc + 16, stride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (size_t s = 0; s < steps; s++, a += 2 * TILE_VALUES, b += 2 * TILE_VALUES) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + TILE_VALUES, 64);
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + TILE_VALUES, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, stride);
  _tile_stored(1, c + 16, stride);
  _tile_stored(2, c + 16 * ldc, stride);
  _tile_stored(3, c + 16 * ldc + 16, stride);
}

/* A block that reaches over the edge goes through a square of its own. */
static void
multiply_edge(
    const Bf16 *a, const Bf16 *b, size_t steps, bool add, size_t rows, size_t columns, float *c, size_t ldc)
{
  float square[STRIPE * STRIPE] __attribute__((aligned(64)));
  multiply_block(a, b, steps, false, square, STRIPE);
  for (size_t r = 0; r < rows; r++) {
    for (size_t j = 0; j < columns; j++) {
      c[r * ldc + j] = square[r * STRIPE + j] + (add ? c[r * ldc + j] : 0.0f);
    }
  }
}

/* One block of A against one of B, both packed. */
static void
multiply_packed(const Bf16 *tiles_a,
                const Bf16 *tiles_b,
                size_t m,
                size_t n,
                size_t steps,
                bool add,
                float *c,
                size_t ldc)
{
  size_t stripe_values = steps * 2 * TILE_VALUES;
  for (size_t i = 0; i < m; i += STRIPE, tiles_a += stripe_values) {
    const Bf16 *stripe_b = tiles_b;
    for (size_t j = 0; j < n; j += STRIPE, stripe_b += stripe_values) {
      if (m - i >= STRIPE && n - j >= STRIPE) {
        multiply_block(tiles_a, stripe_b, steps, add, c + i * ldc + j, ldc);
      } else {
        multiply_edge(tiles_a, stripe_b, steps, add, least(m - i, STRIPE), least(n - j, STRIPE),
                      c + i * ldc + j, ldc);
      }
    }
  }
}

void
gem_matmul_amx(bool transpose_a,
               bool transpose_b,
               size_t m,
               size_t n,
               size_t k,
               const float *a,
               size_t lda,
               const float *b,
               size_t ldb,
               bool add,
               float *c,
               size_t ldc)
{
  size_t block_k = least(k, BLOCK_K), block_steps = (block_k + TILE_K - 1) / TILE_K;
  size_t block_outer = BLOCK_VALUES / (block_steps * TILE_K) / STRIPE * STRIPE;
  Bf16 *tiles_a = packed_of_thread(), *tiles_b = tiles_a + BLOCK_VALUES;
  configure_tiles();
  for (size_t k0 = 0; k0 < k; k0 += block_k) {
    size_t depth = least(k - k0, block_k), steps = (depth + TILE_K - 1) / TILE_K;
    for (size_t j = 0; j < n; j += block_outer) {
      size_t columns = least(n - j, block_outer);
      pack(transpose_b ? b + j * ldb + k0 : b + k0 * ldb + j, ldb, !transpose_b, true, columns, depth,
           tiles_b);
      for (size_t i = 0; i < m; i += block_outer) {
        size_t rows = least(m - i, block_outer);
        pack(transpose_a ? a + k0 * lda + i : a + i * lda + k0, lda, transpose_a, false, rows, depth,
             tiles_a);
        multiply_packed(tiles_a, tiles_b, rows, columns, steps, add || k0 > 0, c + i * ldc + j, ldc);
      }
    }
  }
  _tile_release();
}

#else

bool
gem_matmul_amx_available(void)
{
  return false;
}

void
gem_matmul_amx(bool transpose_a,
               bool transpose_b,
               size_t m,
               size_t n,
               size_t k,
               const float *a,
               size_t lda,
               const float *b,
               size_t ldb,
               bool add,
               float *c,
               size_t ldc)
{
  __builtin_trap(); /* never reached: gem_matmul_amx_available() is false */
}

#endif
