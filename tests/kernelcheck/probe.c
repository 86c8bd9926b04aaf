/*
 * The most that an instruction set can do: independent sums in registers (bench/direct/limits), and reads of
 * whole vectors. What is multiplied is what the kernels multiply with, so that none can be faster.
 * Compiled once a set, with its flags and its name as GEM_KERNEL_SET.
 */
#include "bench/direct/limits/gem-limits-chains.h"
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

enum { CHAINS = 12, LANES = VECTOR_BYTES / sizeof(float) };

/* ---- bytes: a step of one sum, and its operations ---- */

#if defined(__AMX_INT8__)
#include "bench/direct/limits/gem-limits-amx.h"
#elif defined(__AVX512VNNI__)
typedef __m512i Bytes, Sums;
#define FILL(value)     _mm512_set1_epi8(value)
#define STEP(sum, a, b) _mm512_dpbusd_epi32(sum, a, b)
#define STEP_OPERATIONS 128
#elif defined(__AVXVNNI__)
typedef __m256i Bytes, Sums;
#define FILL(value)     _mm256_set1_epi8(value)
#define STEP(sum, a, b) _mm256_dpbusd_avx_epi32(sum, a, b)
#define STEP_OPERATIONS 64
#elif defined(__AVX2__)
/* Products of bytes, pairs of them added to words: what the multipliers do without VNNI. */
typedef __m256i Bytes, Sums;
#define FILL(value)     _mm256_set1_epi8(value)
#define STEP(sum, a, b) _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b))
#define STEP_OPERATIONS 64
#elif defined(__ARM_FEATURE_MATMUL_INT8)
typedef int8x16_t Bytes;
typedef int32x4_t Sums;
#define FILL(value)     vdupq_n_s8(value)
#define STEP(sum, a, b) vmmlaq_s32(sum, a, b)
#define STEP_OPERATIONS 64
#elif defined(__ARM_FEATURE_DOTPROD)
typedef int8x16_t Bytes;
typedef int32x4_t Sums;
#define FILL(value)     vdupq_n_s8(value)
#define STEP(sum, a, b) vdotq_s32(sum, a, b)
#define STEP_OPERATIONS 32
#elif defined(__aarch64__)
typedef int8x8_t Bytes;
typedef int16x8_t Sums;
#define FILL(value)     vdup_n_s8(value)
#define STEP(sum, a, b) vmlal_s8(sum, a, b)
#define STEP_OPERATIONS 16
#else
#error "no probe for this instruction set"
#endif

/* Of the functions below, so that the instructions of each set are found under names of their own. */
#define EXPAND(macro, name) macro(name)
#define INT8_OF(name)       kernelcheck_int8_##name
#define FLOATS_OF(name)     kernelcheck_floats_##name

#define KEEP(j) *keep += (uint64_t)sum##j[0];

#if defined(__AMX_INT8__)
static double
EXPAND(INT8_OF, GEM_KERNEL_SET)(size_t rounds, uint64_t *keep)
{
  *keep += gem_limits_amx_run(rounds);
  return (double)rounds * GEM_LIMITS_AMX_ROUND * 2;
}
#else
/* `a` is another one for every step, for all that the compiler knows: else one product would do for all sums.
 */
#define BEGIN(j)                                                                                             \
  Sums sum##j = {0};                                                                                         \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY(j)                                                                                          \
  GEM_LIMITS_HIDE(a);                                                                                        \
  sum##j = STEP(sum##j, a, b);

static double
EXPAND(INT8_OF, GEM_KERNEL_SET)(size_t rounds, uint64_t *keep)
{
  Bytes a = FILL(3), b = FILL(1);
  GEM_LIMITS_HIDE(b);
  GEM_LIMITS_EACH_12(BEGIN)
  for (size_t round = 0; round < rounds; round++) {
    GEM_LIMITS_EACH_12(MULTIPLY)
  }
  GEM_LIMITS_EACH_12(KEEP)
  return (double)rounds * CHAINS * STEP_OPERATIONS;
}
#endif

#define BEGIN_FLOATS(j)                                                                                      \
  Floats sum##j = {0};                                                                                       \
  GEM_LIMITS_HIDE(sum##j);
#define MULTIPLY_FLOATS(j) sum##j = sum##j * factor + term;

static double
EXPAND(FLOATS_OF, GEM_KERNEL_SET)(size_t rounds, uint64_t *keep)
{
  Floats factor, term;
  for (int lane = 0; lane < LANES; lane++) {
    factor[lane] = 0.5f;
    term[lane] = 1.0f;
  }
  GEM_LIMITS_HIDE(factor);
  GEM_LIMITS_HIDE(term);
  GEM_LIMITS_EACH_12(BEGIN_FLOATS)
  for (size_t round = 0; round < rounds; round++) {
    GEM_LIMITS_EACH_12(MULTIPLY_FLOATS)
  }
  GEM_LIMITS_EACH_12(KEEP)
  return (double)rounds * CHAINS * LANES * 2;
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

#define PROBE_OF(name) kernelcheck_probe_##name

extern const Probe EXPAND(PROBE_OF, GEM_KERNEL_SET);
const Probe EXPAND(PROBE_OF, GEM_KERNEL_SET) = {
    .set = GEM_KERNELCHECK_SET_NAME,
    .int8 = EXPAND(INT8_OF, GEM_KERNEL_SET),
    .floats = EXPAND(FLOATS_OF, GEM_KERNEL_SET),
    .read = probe_read,
};
