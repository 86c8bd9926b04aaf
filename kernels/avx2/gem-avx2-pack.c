/*
 * The file's blocks to panels (gem-packed.h), as fast as memory takes them: 16 bytes of each of 16 rows are
 * turned in registers.
 */
#include "kernels/avx2/gem-avx2.h"

enum {
  WORD_BYTES = 4,
  PANEL_WORD_BYTES = GEM_PANEL_ROWS * WORD_BYTES, /* one word of all rows */
  PIECE_BYTES = 16,                               /* of a row that are turned at a time */
  PIECE_WORDS = PIECE_BYTES / WORD_BYTES,
  MOST_CHUNK_BYTES = GEM_CHUNK_COLS * sizeof(float)
};

/* The same place in 16 rows: row r is at from + r * step. */
typedef struct {
  const uint8_t *from;
  size_t step;
} Rows;

/* 16 bytes of rows `row` and row + 4. */
static inline __m256i
load_two(Rows rows, size_t row)
{
  const uint8_t *from = rows.from + row * rows.step;
  return _mm256_set_m128i(gem_avx2_load_half(from + 4 * rows.step), gem_avx2_load_half(from));
}

/* The pieces of 8 rows: words[w] is word w of each. */
static inline void
turn_eight(Rows rows, size_t row, __m256i words[PIECE_WORDS])
{
  __m256i a = load_two(rows, row);
  __m256i b = load_two(rows, row + 1);
  __m256i c = load_two(rows, row + 2);
  __m256i d = load_two(rows, row + 3);
  __m256i low_ab = _mm256_unpacklo_epi32(a, b);
  __m256i high_ab = _mm256_unpackhi_epi32(a, b);
  __m256i low_cd = _mm256_unpacklo_epi32(c, d);
  __m256i high_cd = _mm256_unpackhi_epi32(c, d);
  words[0] = _mm256_unpacklo_epi64(low_ab, low_cd);
  words[1] = _mm256_unpackhi_epi64(low_ab, low_cd);
  words[2] = _mm256_unpacklo_epi64(high_ab, high_cd);
  words[3] = _mm256_unpackhi_epi64(high_ab, high_cd);
}

/* 16 bytes of 16 rows to four words. */
static inline void
pack_words(Rows rows, uint8_t *to)
{
  __m256i words[GEM_AVX2_HALVES][PIECE_WORDS];
  turn_eight(rows, 0, words[0]);
  turn_eight(rows, 8, words[1]);
#pragma GCC unroll 4
  for (size_t word = 0; word < PIECE_WORDS; word++) {
    gem_avx2_store(to + word * PANEL_WORD_BYTES, words[0][word]);
    gem_avx2_store(to + word * PANEL_WORD_BYTES + 32, words[1][word]);
  }
}

/* 8 halves of 16 rows to [8][16 rows]. */
static inline void
pack_halves(Rows rows, uint8_t *to)
{
  const __m256i low = _mm256_set1_epi32(0xffff);
  __m256i words[GEM_AVX2_HALVES][PIECE_WORDS];
  turn_eight(rows, 0, words[0]);
  turn_eight(rows, 8, words[1]);
#pragma GCC unroll 4
  for (size_t word = 0; word < PIECE_WORDS; word++, to += PANEL_WORD_BYTES) {
    __m256i a = words[0][word];
    __m256i b = words[1][word];
    /* Rows 0-3, 8-11, 4-7, 12-15. */
    __m256i even = _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
    __m256i odd = _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
    gem_avx2_store(to, _mm256_permute4x64_epi64(even, _MM_SHUFFLE(3, 1, 2, 0)));
    gem_avx2_store(to + 32, _mm256_permute4x64_epi64(odd, _MM_SHUFFLE(3, 1, 2, 0)));
  }
}

/* A word of 8 rows to its bytes 0, 1, 2, 3 of all rows. */
static inline __m256i
split_bytes(__m256i word)
{
  const __m256i in_halves = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8,
                                             12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(word, in_halves),
                                     _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* 16 bytes of 16 rows to [16][16 rows]. */
static inline void
pack_bytes(Rows rows, uint8_t *to)
{
  __m256i words[GEM_AVX2_HALVES][PIECE_WORDS];
  turn_eight(rows, 0, words[0]);
  turn_eight(rows, 8, words[1]);
#pragma GCC unroll 4
  for (size_t word = 0; word < PIECE_WORDS; word++, to += PANEL_WORD_BYTES) {
    __m256i a = split_bytes(words[0][word]);
    __m256i b = split_bytes(words[1][word]);
    __m256i bytes_0_2 = _mm256_unpacklo_epi64(a, b);
    __m256i bytes_1_3 = _mm256_unpackhi_epi64(a, b);
    gem_avx2_store(to, _mm256_permute2x128_si256(bytes_0_2, bytes_1_3, 0x20));
    gem_avx2_store(to + 32, _mm256_permute2x128_si256(bytes_0_2, bytes_1_3, 0x31));
  }
}

/* One item of `bytes` bytes of each row, side by side. */
static inline void
pack_items(Rows rows, size_t bytes, uint8_t *to)
{
#pragma GCC unroll 16
  for (size_t row = 0; row < GEM_PANEL_ROWS; row++) {
    memcpy(to + row * bytes, rows.from + row * rows.step, bytes);
  }
}

static inline Rows
rows_at(Rows rows, size_t bytes)
{
  return (Rows){rows.from + bytes, rows.step};
}

/* Blocks of a scale (half) and `pieces` times 16 bytes of words. */
GEM_AVX2_INLINE void
pack_blocks(Rows rows, size_t blocks, size_t pieces, uint8_t *chunk)
{
  uint8_t *scales = chunk + blocks * pieces * PIECE_WORDS * PANEL_WORD_BYTES;
  for (size_t block = 0; block < blocks; block++) {
    Rows stored = rows_at(rows, block * (2 + pieces * PIECE_BYTES));
    pack_items(stored, 2, scales + block * GEM_PANEL_ROWS * 2);
    for (size_t piece = 0; piece < pieces; piece++, chunk += PIECE_WORDS * PANEL_WORD_BYTES) {
      pack_words(rows_at(stored, 2 + piece * PIECE_BYTES), chunk);
    }
  }
}

/* One super-block: nibbles and pairs (192 bytes), scales (16), d (half). */
static void
pack_q6_k(Rows rows, uint8_t *chunk)
{
  for (size_t byte = 0; byte < 192; byte += PIECE_BYTES) {
    pack_words(rows_at(rows, byte), chunk + byte * GEM_PANEL_ROWS);
  }
  pack_bytes(rows_at(rows, 192), chunk + 3072);
  pack_items(rows_at(rows, 208), 2, chunk + 3328);
}

/* `count` values of 2 or 4 bytes. */
GEM_AVX2_INLINE void
pack_values(Rows rows, size_t bytes, size_t count, uint8_t *chunk)
{
  size_t value = 0;
  for (; (value + PIECE_BYTES / bytes) <= count; value += PIECE_BYTES / bytes) {
    uint8_t *to = chunk + value * bytes * GEM_PANEL_ROWS;
    if (bytes == 2) {
      pack_halves(rows_at(rows, value * bytes), to);
    } else {
      pack_words(rows_at(rows, value * bytes), to);
    }
  }
  for (; value < count; value++) {
    pack_items(rows_at(rows, value * bytes), bytes, chunk + value * bytes * GEM_PANEL_ROWS);
  }
}

static void
pack_chunk(GemType type, Rows rows, size_t width, uint8_t *chunk)
{
  switch (type) {
  case GEM_TYPE_F32:
    pack_values(rows, 4, width, chunk);
    break;
  case GEM_TYPE_F16:
    pack_values(rows, 2, width, chunk);
    break;
  case GEM_TYPE_Q4_0:
    pack_blocks(rows, width / 32, 1, chunk);
    break;
  case GEM_TYPE_Q8_0:
    pack_blocks(rows, width / 32, 2, chunk);
    break;
  case GEM_TYPE_Q6_K:
    pack_q6_k(rows, chunk);
    break;
  }
}

/* Bytes that a chunk takes of a row, in the file; the same of a row of the panel, less its padding. */
static inline size_t
stored_bytes(GemType type, size_t cols, size_t col)
{
  return gem_type_row_bytes(type, gem_packed_width(cols, col));
}

/* `stored` is the panel's first row; there are `lanes` of them, row_bytes apart. */
static void
pack_panel(GemType type, size_t cols, const uint8_t *stored, size_t row_bytes, size_t lanes, uint8_t *panel)
{
  uint8_t filled[GEM_PANEL_ROWS * MOST_CHUNK_BYTES]; /* where rows are missing: with rows of zeros */
  for (size_t col = 0; col < cols; col += GEM_CHUNK_COLS) {
    const uint8_t *from = stored + gem_type_row_bytes(type, col);
    size_t bytes = stored_bytes(type, cols, col);
    Rows rows = {from, row_bytes};
    if (lanes < GEM_PANEL_ROWS) {
      memset(filled, 0, GEM_PANEL_ROWS * bytes);
      for (size_t lane = 0; lane < lanes; lane++) {
        memcpy(filled + lane * bytes, from + lane * row_bytes, bytes);
      }
      rows = (Rows){filled, bytes};
    }
    uint8_t *chunk = panel + gem_packed_chunk_offset(type, col);
    pack_chunk(type, rows, gem_packed_width(cols, col), chunk);
    memset(chunk + GEM_PANEL_ROWS * bytes, 0,
           gem_packed_chunk_bytes(type, cols, col) - GEM_PANEL_ROWS * bytes);
  }
}

void
gem_avx2_pack(GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panels)
{
  size_t panel_bytes = gem_packed_panel_bytes(type, cols);
  size_t row_bytes = gem_type_row_bytes(type, cols);
  for (size_t row = 0; row < rows; row += GEM_PANEL_ROWS, panels += panel_bytes) {
    size_t lanes = rows - row < GEM_PANEL_ROWS ? rows - row : GEM_PANEL_ROWS;
    pack_panel(type, cols, stored + row * row_bytes, row_bytes, lanes, panels);
  }
}
