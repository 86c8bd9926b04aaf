/*
 * The file's blocks to panels: squares of 16 bytes a row are turned over in registers, by zipping the first
 * half of them with the second as often as it takes for rows to be columns.
 */
#include "kernels/neon/gem-neon.h"

/* The blocks of one chunk: where each row's begin. Rows beyond the matrix read zeros. */
typedef struct {
  const uint8_t *rows[GEM_PANEL_ROWS];
} Stored;

static inline void
turn_words(uint32x4_t *v)
{
  for (size_t round = 0; round < 2; round++) {
    uint32x4_t zipped[4] = {vzip1q_u32(v[0], v[2]), vzip2q_u32(v[0], v[2]), vzip1q_u32(v[1], v[3]),
                            vzip2q_u32(v[1], v[3])};
    memcpy(v, zipped, sizeof zipped);
  }
}

static inline void
turn_halves(uint16x8_t *v)
{
  for (size_t round = 0; round < 3; round++) {
    uint16x8_t zipped[8];
    for (size_t i = 0; i < 4; i++) {
      zipped[2 * i] = vzip1q_u16(v[i], v[i + 4]);
      zipped[2 * i + 1] = vzip2q_u16(v[i], v[i + 4]);
    }
    memcpy(v, zipped, sizeof zipped);
  }
}

static inline void
turn_bytes(uint8x16_t *v)
{
  for (size_t round = 0; round < 4; round++) {
    uint8x16_t zipped[16];
    for (size_t i = 0; i < 8; i++) {
      zipped[2 * i] = vzip1q_u8(v[i], v[i + 8]);
      zipped[2 * i + 1] = vzip2q_u8(v[i], v[i + 8]);
    }
    memcpy(v, zipped, sizeof zipped);
  }
}

/* `words` words of each row, from byte `at` of its chunk, to [words][16 rows]. */
static void
pack_words(const Stored *stored, size_t at, size_t words, uint8_t *to)
{
  size_t word = 0;
  for (; word + 4 <= words; word += 4, at += 16, to += 4 * GEM_NEON_WORD_BYTES) {
    for (size_t row = 0; row < GEM_PANEL_ROWS; row += 4) {
      uint32x4_t square[4];
      for (size_t i = 0; i < 4; i++) {
        square[i] = vreinterpretq_u32_u8(vld1q_u8(stored->rows[row + i] + at));
      }
      turn_words(square);
      for (size_t i = 0; i < 4; i++) {
        vst1q_u8(to + i * GEM_NEON_WORD_BYTES + row * 4, vreinterpretq_u8_u32(square[i]));
      }
    }
  }
  for (; word < words; word++, at += 4) {
    for (size_t row = 0; row < GEM_PANEL_ROWS; row++, to += 4) {
      memcpy(to, stored->rows[row] + at, 4);
    }
  }
}

/* `count` halves of each row, from byte `at` on, to [count][16 rows]. */
static void
pack_halves(const Stored *stored, size_t at, size_t count, uint8_t *to)
{
  size_t half = 0;
  for (; half + 8 <= count; half += 8, at += 16, to += 16 * GEM_PANEL_ROWS) {
    for (size_t row = 0; row < GEM_PANEL_ROWS; row += 8) {
      uint16x8_t square[8];
      for (size_t i = 0; i < 8; i++) {
        square[i] = vreinterpretq_u16_u8(vld1q_u8(stored->rows[row + i] + at));
      }
      turn_halves(square);
      for (size_t i = 0; i < 8; i++) {
        vst1q_u8(to + (i * GEM_PANEL_ROWS + row) * 2, vreinterpretq_u8_u16(square[i]));
      }
    }
  }
  for (; half < count; half++, at += 2) {
    for (size_t row = 0; row < GEM_PANEL_ROWS; row++, to += 2) {
      memcpy(to, stored->rows[row] + at, 2);
    }
  }
}

/* 16 bytes of each row, from byte `at` on, to [16][16 rows]. */
static void
pack_bytes(const Stored *stored, size_t at, uint8_t *to)
{
  uint8x16_t square[16];
  for (size_t row = 0; row < GEM_PANEL_ROWS; row++) {
    square[row] = vld1q_u8(stored->rows[row] + at);
  }
  turn_bytes(square);
  for (size_t i = 0; i < 16; i++) {
    vst1q_u8(to + i * GEM_PANEL_ROWS, square[i]);
  }
}

/* Blocks of 32 columns: a scale (half), then `words` words. */
static void
pack_blocks(const Stored *stored, size_t blocks, size_t words, uint8_t *chunk)
{
  uint8_t *scales = chunk + blocks * words * GEM_NEON_WORD_BYTES;
  for (size_t block = 0; block < blocks; block++) {
    size_t at = block * (2 + words * 4);
    pack_halves(stored, at, 1, scales + block * GEM_PANEL_ROWS * 2);
    pack_words(stored, at + 2, words, chunk + block * words * GEM_NEON_WORD_BYTES);
  }
}

/* One super-block: low nibbles, high pairs, scales, d. */
static void
pack_q6_k(const Stored *stored, uint8_t *chunk)
{
  pack_words(stored, 0, 48, chunk);
  pack_bytes(stored, 192, chunk + 48 * GEM_NEON_WORD_BYTES);
  pack_halves(stored, 208, 1, chunk + 48 * GEM_NEON_WORD_BYTES + 16 * GEM_PANEL_ROWS);
}

static void
pack_chunk(GemType type, const Stored *stored, size_t width, uint8_t *chunk)
{
  switch (type) {
  case GEM_TYPE_F32:
    pack_words(stored, 0, width, chunk);
    break;
  case GEM_TYPE_F16:
    pack_halves(stored, 0, width, chunk);
    break;
  case GEM_TYPE_Q4_0:
    pack_blocks(stored, width / 32, 4, chunk);
    break;
  case GEM_TYPE_Q8_0:
    pack_blocks(stored, width / 32, 8, chunk);
    break;
  case GEM_TYPE_Q6_K:
    pack_q6_k(stored, chunk);
    break;
  }
}

/* `rows` rows of one panel, 1 .. 16. */
static void
pack_panel(GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panel)
{
  static const uint8_t zeros[GEM_CHUNK_COLS * sizeof(float)];
  size_t row_bytes = gem_type_row_bytes(type, cols);
  for (size_t col = 0; col < cols; col += GEM_CHUNK_COLS) {
    size_t width = gem_packed_width(cols, col);
    uint8_t *chunk = panel + gem_packed_chunk_offset(type, col);
    Stored from;
    for (size_t row = 0; row < GEM_PANEL_ROWS; row++) {
      from.rows[row] = row < rows ? stored + row * row_bytes + gem_type_row_bytes(type, col) : zeros;
    }
    pack_chunk(type, &from, width, chunk);
    size_t used = GEM_PANEL_ROWS * gem_type_row_bytes(type, width);
    memset(chunk + used, 0, gem_packed_chunk_bytes(type, cols, col) - used);
  }
}

void
gem_neon_pack(GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panels)
{
  size_t panel_bytes = gem_packed_panel_bytes(type, cols);
  size_t row_bytes = gem_type_row_bytes(type, cols);
  for (size_t row = 0; row < rows; row += GEM_PANEL_ROWS) {
    size_t left = rows - row;
    pack_panel(type, left < GEM_PANEL_ROWS ? left : GEM_PANEL_ROWS, cols, stored + row * row_bytes,
               panels + row / GEM_PANEL_ROWS * panel_bytes);
  }
}
