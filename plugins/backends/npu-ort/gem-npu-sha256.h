/* SHA-256 (FIPS 180-4): modules use no library for it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GEM_NPU_SHA256_BYTES 32

typedef struct {
  uint32_t state[8];
  uint64_t bytes; /* so far */
  uint8_t block[64];
} GemNpuSha256;

void
gem_npu_sha256_begin(GemNpuSha256 *self);
void
gem_npu_sha256_update(GemNpuSha256 *self, const void *data, size_t size);
void
gem_npu_sha256_finish(GemNpuSha256 *self, uint8_t ret_hash[GEM_NPU_SHA256_BYTES]);
