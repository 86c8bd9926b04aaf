#include "kernels/neon/gem-neon.h"

/* A scale (half) for each block of 32 columns and each row. */
static void
decode_block_scales(const uint8_t *scales, size_t blocks, GemNeonChunk *chunk)
{
  chunk->subs = blocks;
  chunk->sub_words = 8;
  for (size_t block = 0; block < blocks; block++) {
    chunk->first_col[block] = block * 32;
    for (size_t row = 0; row < GEM_PANEL_ROWS; row += GEM_NEON_GROUP_ROWS) {
      vst1q_f32(chunk->scales[block] + row,
                gem_neon_load_halves(scales + (block * GEM_PANEL_ROWS + row) * 2));
    }
  }
}

static void
decode_q4_0(const uint8_t *data, size_t blocks, GemNeonChunk *chunk)
{
  int8_t *to = chunk->decoded;
  for (size_t block = 0; block < blocks; block++, to += 8 * GEM_NEON_WORD_BYTES) {
    for (size_t i = 0; i < 4 * GEM_NEON_WORD_BYTES; i += 16, data += 16) {
      uint8x16_t nibbles = vld1q_u8(data);
      vst1q_s8(to + i, vsubq_s8(gem_neon_low_nibbles(nibbles), vdupq_n_s8(8)));
      vst1q_s8(to + i + 4 * GEM_NEON_WORD_BYTES, vsubq_s8(gem_neon_high_nibbles(nibbles), vdupq_n_s8(8)));
    }
  }
  chunk->weights = chunk->decoded;
  decode_block_scales(data, blocks, chunk);
}

/* The panel has the form that is wanted. */
static void
decode_q8_0(const uint8_t *data, size_t blocks, GemNeonChunk *chunk)
{
  chunk->weights = (const int8_t *)data;
  decode_block_scales(data + blocks * 8 * GEM_NEON_WORD_BYTES, blocks, chunk);
}

/* `weights` are those of word `word` of each of four neighbouring sub-blocks. */
static inline void
store_q6_k(const uint8x16_t *weights, int8_t *to)
{
  for (size_t part = 0; part < 4; part++) {
    vst1q_s8(to + part * 4 * GEM_NEON_WORD_BYTES,
             vsubq_s8(vreinterpretq_s8_u8(weights[part]), vdupq_n_s8(32)));
  }
}

static void
decode_q6_k(const uint8_t *data, GemNeonChunk *chunk)
{
  int8_t *to = chunk->decoded;
  for (size_t g = 0; g < 4; g++, to += 16 * GEM_NEON_WORD_BYTES) {
    GemNeonQ6kGroup from = gem_neon_q6_k_group(data, g);
    for (size_t part = 0; part < 4; part++) {
      chunk->first_col[g * 4 + part] = from.col + part * 32;
    }
    for (size_t i = 0; i < 4 * GEM_NEON_WORD_BYTES; i += 16) {
      uint8x16_t weights[4];
      gem_neon_join_q6_k(vld1q_u8(from.pairs + i), vld1q_u8(from.even + i), vld1q_u8(from.odd + i), weights);
      store_q6_k(weights, to + i);
    }
  }
  chunk->weights = chunk->decoded;
  chunk->subs = 16;
  chunk->sub_words = 4;
  gem_neon_decode_q6_k_scales(data, chunk->whole_scales);
  for (size_t row = 0; row < GEM_PANEL_ROWS; row += GEM_NEON_GROUP_ROWS) {
    vst1q_f32(chunk->d + row, gem_neon_q6_k_d(data, row));
  }
}

void
gem_neon_decode_q6_k_scales(const uint8_t *data, int32_t (*scales)[GEM_PANEL_ROWS])
{
  const int8_t *stored = (const int8_t *)data + 48 * GEM_NEON_WORD_BYTES;
  for (size_t sub = 0; sub < GEM_NEON_MOST_SUBS; sub++) {
    size_t col = gem_neon_q6_k_group(data, sub / 4).col + sub % 4 * 32;
    int8x16_t bytes = vld1q_s8(stored + col / 16 * GEM_PANEL_ROWS);
    int16x8_t low = vmovl_s8(vget_low_s8(bytes));
    int16x8_t high = vmovl_high_s8(bytes);
    vst1q_s32(scales[sub], vmovl_s16(vget_low_s16(low)));
    vst1q_s32(scales[sub] + 4, vmovl_high_s16(low));
    vst1q_s32(scales[sub] + 8, vmovl_s16(vget_low_s16(high)));
    vst1q_s32(scales[sub] + 12, vmovl_high_s16(high));
  }
}

void
gem_neon_decode(GemType type, const uint8_t *data, size_t width, GemNeonChunk *chunk)
{
  chunk->type = type;
  if (type == GEM_TYPE_Q6_K) {
    decode_q6_k(data, chunk);
  } else if (type == GEM_TYPE_Q8_0) {
    decode_q8_0(data, width / 32, chunk);
  } else {
    decode_q4_0(data, width / 32, chunk);
  }
}
