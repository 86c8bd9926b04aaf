/*
 * The inner loops of the probes. Plain C, one file for each set of instructions, compiled for those alone:
 * call one only where the processor has them. What the compiler does not know is not there
 * (GEM_LIMITS_WITH_...).
 *
 * Every loop returns what it has done, counted by the work itself: an instruction that does something else,
 * or memory that fails, is found out. That no compiler has shortened a loop is seen in its instructions
 * (tests/test-gem-bench-loops.sh).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Sets that are read are whole multiples of so many bytes. */
#define GEM_LIMITS_READ_STEP 512u

/* Rounds of one call: sums of ones stay exact in single precision. */
#define GEM_LIMITS_MOST_ROUNDS (UINT64_C(1) << 22)

/* Reads the set, whose 64-bit words are all the same, `passes` times; the sum of all that were read. `data`
 * is aligned to 64 bytes. */
typedef uint64_t (*GemLimitsReadLoop)(const void *data, size_t bytes, uint64_t passes);

/* Makes `rounds` (at most GEM_LIMITS_MOST_ROUNDS) rounds of multiply-adds in independent chains, enough of
 * them to keep every unit busy. All factors are 1, so the sum of all chains is the number of multiply-adds
 * that were made. */
typedef uint64_t (*GemLimitsPeakLoop)(uint64_t rounds);

uint64_t
gem_limits_read_portable(const void *data, size_t bytes, uint64_t passes);
uint64_t
gem_limits_read_avx2(const void *data, size_t bytes, uint64_t passes);
uint64_t
gem_limits_read_avx512(const void *data, size_t bytes, uint64_t passes);
uint64_t
gem_limits_read_neon(const void *data, size_t bytes, uint64_t passes);

/* Multiply-adds of a round. */
enum {
  GEM_LIMITS_AVX2_INT8_ROUND = 8 * 32,
  GEM_LIMITS_AVX2_FP32_ROUND = 12 * 8,
  GEM_LIMITS_VNNI_256_ROUND = 12 * 32,
  GEM_LIMITS_VNNI_512_ROUND = 16 * 64,
  GEM_LIMITS_AVX512_BF16_ROUND = 16 * 32,
  GEM_LIMITS_AMX_INT8_ROUND = 6 * 16 * 16 * 64,
  GEM_LIMITS_AVX512_FP32_ROUND = 16 * 16,
  GEM_LIMITS_NEON_INT8_ROUND = 8 * 16,
  GEM_LIMITS_NEON_FP32_ROUND = 16 * 4,
  GEM_LIMITS_NEON_DOT_ROUND = 16 * 16,
  GEM_LIMITS_NEON_I8MM_ROUND = 16 * 32,
};

/* 8 bits without a dot product: pairs to 16 bits, pairs of those to 32 (maddubs, madd, add). */
uint64_t
gem_limits_avx2_int8(uint64_t rounds);
uint64_t
gem_limits_avx2_fp32(uint64_t rounds);
/* The dot product of 8 bits in 256-bit registers, encoded as AVX-VNNI and as AVX-512. */
uint64_t
gem_limits_avx_vnni_int8(uint64_t rounds);
uint64_t
gem_limits_avx512_vnni_int8_256(uint64_t rounds);
uint64_t
gem_limits_avx512_vnni_int8(uint64_t rounds);
uint64_t
gem_limits_avx512_bf16(uint64_t rounds);
/* Tiles of 16 by 64 bytes; only where gem_tile_unit() has been asked. */
uint64_t
gem_limits_amx_int8(uint64_t rounds);
uint64_t
gem_limits_avx512_fp32(uint64_t rounds);
/* 8 bits without a dot product: products of 16 bits, pairs of those added to 32 (smull, smlal2, sadalp). */
uint64_t
gem_limits_neon_int8(uint64_t rounds);
uint64_t
gem_limits_neon_fp32(uint64_t rounds);
uint64_t
gem_limits_neon_dot(uint64_t rounds);
uint64_t
gem_limits_neon_i8mm(uint64_t rounds);
