/*
 * The most that an instruction set can do: independent sums in registers, and reads of whole vectors.
 * Compiled once a set, with its flags and its name as GEM_KERNEL_SET.
 */
#include "tests/kernelcheck/limits.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef float Floats __attribute__((vector_size(VECTOR_BYTES)));
typedef uint64_t Words __attribute__((vector_size(VECTOR_BYTES)));

enum { SUMS = 12, LANES = VECTOR_BYTES / sizeof(float) };

/* ---- bytes: a step of one sum, and its operations ---- */

#if defined(__AVX512VNNI__)
typedef __m512i Bytes, Sums;
#define FILL(value)     _mm512_set1_epi8(value)
#define STEP(sum, a, b) _mm512_dpbusd_epi32(sum, a, b)
#define STEP_OPERATIONS 128
#define OPAQUE          "+v"
#elif defined(__AVXVNNI__)
typedef __m256i Bytes, Sums;
#define FILL(value)     _mm256_set1_epi8(value)
#define STEP(sum, a, b) _mm256_dpbusd_avx_epi32(sum, a, b)
#define STEP_OPERATIONS 64
#define OPAQUE          "+x"
#elif defined(__AVX2__)
/* Products of bytes, pairs of them added to words: what the multipliers do without VNNI. */
typedef __m256i Bytes, Sums;
#define FILL(value)     _mm256_set1_epi8(value)
#define STEP(sum, a, b) _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b))
#define STEP_OPERATIONS 64
#define OPAQUE          "+x"
#elif defined(__ARM_FEATURE_MATMUL_INT8)
typedef int8x16_t Bytes;
typedef int32x4_t Sums;
#define FILL(value)     vdupq_n_s8(value)
#define STEP(sum, a, b) vmmlaq_s32(sum, a, b)
#define STEP_OPERATIONS 64
#define OPAQUE          "+w"
#elif defined(__ARM_FEATURE_DOTPROD)
typedef int8x16_t Bytes;
typedef int32x4_t Sums;
#define FILL(value)     vdupq_n_s8(value)
#define STEP(sum, a, b) vdotq_s32(sum, a, b)
#define STEP_OPERATIONS 32
#define OPAQUE          "+w"
#elif defined(__aarch64__)
typedef int8x8_t Bytes;
typedef int16x8_t Sums;
#define FILL(value)     vdup_n_s8(value)
#define STEP(sum, a, b) vmlal_s8(sum, a, b)
#define STEP_OPERATIONS 16
#define OPAQUE          "+w"
#else
#error "no probe for this instruction set"
#endif

static double
probe_int8(size_t rounds, uint64_t *keep)
{
  Sums sums[SUMS];
  Bytes a = FILL(3), b = FILL(1);
  for (int i = 0; i < SUMS; i++) {
    sums[i] = (Sums){0};
  }
  for (size_t round = 0; round < rounds; round++) {
    __asm__ volatile("" : OPAQUE(a)); /* not the same factor as the round before, for all that is known */
    for (int i = 0; i < SUMS; i++) {
      sums[i] = STEP(sums[i], a, b);
    }
  }
  for (int i = 0; i < SUMS; i++) {
    *keep += (uint64_t)sums[i][0];
  }
  return (double)rounds * SUMS * STEP_OPERATIONS;
}

static double
probe_floats(size_t rounds, uint64_t *keep)
{
  Floats sums[SUMS];
  Floats factor, term;
  for (int lane = 0; lane < LANES; lane++) {
    factor[lane] = 0.5f;
    term[lane] = 1.0f;
  }
  for (int i = 0; i < SUMS; i++) {
    sums[i] = term;
  }
  for (size_t round = 0; round < rounds; round++) {
    for (int i = 0; i < SUMS; i++) {
      sums[i] = sums[i] * factor + term;
    }
  }
  for (int i = 0; i < SUMS; i++) {
    *keep += (uint64_t)sums[i][0];
  }
  return (double)rounds * SUMS * LANES * 2;
}

static double
probe_read(const void *memory, size_t bytes, uint64_t *keep)
{
  enum { AT_ONCE = 8 };
  const Words *words = memory;
  Words sums[AT_ONCE] = {0};
  for (size_t i = 0; i < bytes / VECTOR_BYTES; i += AT_ONCE) {
    for (int j = 0; j < AT_ONCE; j++) {
      sums[j] += words[i + (size_t)j];
    }
  }
  for (int j = 0; j < AT_ONCE; j++) {
    *keep += sums[j][0];
  }
  return (double)bytes;
}

#define PROBE_OF(name)      kernelcheck_probe_##name
#define EXPAND(macro, name) macro(name)

extern const Probe EXPAND(PROBE_OF, GEM_KERNEL_SET);
const Probe EXPAND(PROBE_OF, GEM_KERNEL_SET) = {
    .set = GEM_KERNELCHECK_SET_NAME,
    .int8 = probe_int8,
    .floats = probe_floats,
    .read = probe_read,
};
