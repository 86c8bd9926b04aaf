/* The processor: what it is called, what vector instructions it has, and how much of it is this process's. */
#pragma once

#include <glib.h>

/* Instructions that a probe may need. One that the system does not let programs use (its registers are not
 * saved) counts as missing. */
typedef enum {
  GEM_LIMITS_HAS_AVX2 = 1 << 0, /* with FMA */
  GEM_LIMITS_HAS_AVX_VNNI = 1 << 1,
  GEM_LIMITS_HAS_AVX512 = 1 << 2, /* F, BW, DQ and VL */
  GEM_LIMITS_HAS_AVX512_VNNI = 1 << 3,
  GEM_LIMITS_HAS_AVX512_BF16 = 1 << 4,
  GEM_LIMITS_HAS_AMX_INT8 = 1 << 5,
  GEM_LIMITS_HAS_NEON = 1 << 6,
  GEM_LIMITS_HAS_NEON_DOT = 1 << 7,
  GEM_LIMITS_HAS_NEON_I8MM = 1 << 8,
} GemLimitsFeatures;

GemLimitsFeatures
gem_limits_cpu_get_features(void);
/* "avx2 avx512 ...", "none" without any. Transfer full. */
char *
gem_limits_cpu_describe_features(GemLimitsFeatures features);

/* As the system names it; the architecture where it does not. Transfer full. */
char *
gem_limits_cpu_get_name(void);

/* Processors that this process may run on; at least 1. */
guint
gem_limits_cpu_count(void);
