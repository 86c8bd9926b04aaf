#include "bench/direct/limits/gem-limits-peaks.h"

/* Rounds that one repetition makes: a few microseconds. */
#define ROUNDS 1000u

static const GemLimitsPeak peaks[] = {
#ifdef GEM_LIMITS_WITH_AMX
    {"int8 AMX", "Gop/s", GEM_LIMITS_HAS_AMX_INT8, gem_limits_amx_int8, GEM_LIMITS_AMX_INT8_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_AVX512_VNNI
    {"int8 VNNI-512", "Gop/s", GEM_LIMITS_HAS_AVX512 | GEM_LIMITS_HAS_AVX512_VNNI,
     gem_limits_avx512_vnni_int8, GEM_LIMITS_VNNI_512_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_AVX_VNNI
    {"int8 VNNI-256", "Gop/s", GEM_LIMITS_HAS_AVX2 | GEM_LIMITS_HAS_AVX_VNNI, gem_limits_avx_vnni_int8,
     GEM_LIMITS_VNNI_256_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_AVX512_VNNI
    {"int8 VNNI-256", "Gop/s", GEM_LIMITS_HAS_AVX512 | GEM_LIMITS_HAS_AVX512_VNNI,
     gem_limits_avx512_vnni_int8_256, GEM_LIMITS_VNNI_256_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_AVX2
    {"int8 AVX2 maddubs", "Gop/s", GEM_LIMITS_HAS_AVX2, gem_limits_avx2_int8, GEM_LIMITS_AVX2_INT8_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_NEON_I8MM
    {"int8 NEON i8mm", "Gop/s", GEM_LIMITS_HAS_NEON_I8MM, gem_limits_neon_i8mm, GEM_LIMITS_NEON_I8MM_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_NEON_DOT
    {"int8 NEON dot", "Gop/s", GEM_LIMITS_HAS_NEON_DOT, gem_limits_neon_dot, GEM_LIMITS_NEON_DOT_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_NEON
    {"int8 NEON smull", "Gop/s", GEM_LIMITS_HAS_NEON, gem_limits_neon_int8, GEM_LIMITS_NEON_INT8_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_AVX512_BF16
    {"bf16 AVX-512", "Gflop/s", GEM_LIMITS_HAS_AVX512 | GEM_LIMITS_HAS_AVX512_BF16, gem_limits_avx512_bf16,
     GEM_LIMITS_AVX512_BF16_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_AVX512
    {"fp32 FMA-512", "Gflop/s", GEM_LIMITS_HAS_AVX512, gem_limits_avx512_fp32, GEM_LIMITS_AVX512_FP32_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_AVX2
    {"fp32 FMA-256", "Gflop/s", GEM_LIMITS_HAS_AVX2, gem_limits_avx2_fp32, GEM_LIMITS_AVX2_FP32_ROUND},
#endif
#ifdef GEM_LIMITS_WITH_NEON
    {"fp32 NEON", "Gflop/s", GEM_LIMITS_HAS_NEON, gem_limits_neon_fp32, GEM_LIMITS_NEON_FP32_ROUND},
#endif
    {NULL},
};

GPtrArray *
gem_limits_peaks_find(GemLimitsFeatures features)
{
  g_autoptr(GHashTable) found = g_hash_table_new(g_str_hash, g_str_equal);
  GPtrArray *result = g_ptr_array_new();
  const GemLimitsPeak *peak;

  for (peak = peaks; peak->name != NULL; peak++) {
    if ((peak->needs & ~features) == 0 && g_hash_table_add(found, (gpointer)peak->name)) {
      g_ptr_array_add(result, (gpointer)peak);
    }
  }
  return result;
}

static gboolean
multiply(const GemLimitsProbe *probe, guint thread, guint64 times)
{
  const GemLimitsPeak *peak = probe->data;
  guint64 left = times * ROUNDS, made = 0;

  (void)thread;
  while (left > 0) {
    guint64 rounds = MIN(left, GEM_LIMITS_MOST_ROUNDS);

    made += peak->loop(rounds);
    left -= rounds;
  }
  return made == times * ROUNDS * peak->round;
}

GemLimitsProbe *
gem_limits_peaks_new_probe(const GemLimitsPeak *peak, guint threads)
{
  GemLimitsProbe fields = {
      .name = g_strdup(peak->name),
      .threads = threads,
      .amount = 2.0 * peak->round * ROUNDS * threads / 1e9,
      .work = multiply,
      .data = peak,
  };

  return gem_limits_probe_new(&fields);
}
