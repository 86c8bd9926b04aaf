/* clang-format off */
/*
 * The forms in which the linear kernels take weights and inputs: the same for all instruction sets.
 *
 * A packed matrix is cut into panels of 16 rows, a panel into chunks of up to 256 columns, which stand one
 * after the other. Vector lanes are rows: the 16 words or floats at one column stand together, so that no sum
 * is ever taken across lanes. A chunk of `c` columns (blocks of 32: b = c / 32) holds
 *
 *   Q4_0   [b][4 words][16 rows] words of 4 bytes as in the file's block: the low nibbles of word w are
 *          columns 4 w .. 4 w + 3 of the block, the high ones columns 16 + 4 w ..; then [b][16 rows] scales
 *          (half)
 *   Q8_0   [b][8 words][16 rows] words of 4 int8: word w is columns 4 w .. 4 w + 3; then [b][16 rows] scales
 *          (half)
 *   Q6_K   (c = 256) [32 words][16 rows] low nibbles, [16 words][16 rows] high pairs, as in the file's block;
 *          then [16 sub-blocks][16 rows] scales (int8); then [16 rows] scales d (half)
 *   F16    [c][16 rows] halves
 *   F32    [c][16 rows] floats
 *
 * and is padded to 64 bytes. Rows beyond the matrix are zeros with scale 0. It is as large as the file's
 * blocks, but for the padding (1 % for Q6_K).
 *
 * Inputs of quantized matrices are rounded to int8, once for all their users: a chunk of 256 columns has one
 * scale, max |x| / 127. What is no number counts for nothing there, and becomes the level 0; beside an
 * infinity, which makes the scale infinite, all levels are 0, so that the products are no numbers.
 */
/* clang-format on */
#pragma once

#include "kernels/gem-types.h"

/* Packed matrices are kept on disk by some: another number for another form of the above. */
#define GEM_PACKED_FORM 1u

enum {
  GEM_PANEL_ROWS = 16,
  GEM_CHUNK_COLS = 256,
  GEM_SUM_COLS = 16,         /* columns of one of the sums below */
  GEM_PACKED_ALIGNMENT = 64, /* bytes, of a packed matrix and of int8 inputs */

  /* Chunks of 256 columns. */
  GEM_Q4_0_CHUNK_BYTES = 2304,
  GEM_Q8_0_CHUNK_BYTES = 4352,
  GEM_Q6_K_CHUNK_BYTES = 3392
};

/* What the largest |x| of a chunk must exceed: 127 / |x| is a number then. A chunk of smaller ones is zeros.
 */
#define GEM_SMALLEST_INPUT 0x1p-120f

typedef struct {
  GemType type;
  size_t rows;
  size_t cols;
  const uint8_t *data; /* gem_packed_bytes(), aligned to GEM_PACKED_ALIGNMENT */
} GemPacked;

/* The inputs of a matrix: n rows of `cols` values. */
typedef struct {
  size_t n;
  size_t cols;
  const float *values; /* [n][cols]; what matrices of floats read */
  int8_t *levels;      /* [n][cols]; what quantized matrices read; NULL when none is among the users */
  float *scales;       /* [n][chunks] */
  int32_t *sums;       /* [n][cols / GEM_SUM_COLS]: sums of so many levels */
} GemInputs;

/* Whether a matrix of that type reads levels, not values. */
bool
gem_packed_takes_levels(GemType type);

/* Bytes of one panel, a multiple of GEM_PACKED_ALIGNMENT; 0 when cols is no multiple of the type's block. */
size_t
gem_packed_panel_bytes(GemType type, size_t cols);

/* Bytes of the chunk that starts at column `first`, and where it starts in its panel. */
size_t
gem_packed_chunk_bytes(GemType type, size_t cols, size_t first);
size_t
gem_packed_chunk_offset(GemType type, size_t first);

static inline size_t
gem_packed_panels(size_t rows)
{
  return (rows + GEM_PANEL_ROWS - 1) / GEM_PANEL_ROWS;
}

static inline size_t
gem_packed_chunks(size_t cols)
{
  return (cols + GEM_CHUNK_COLS - 1) / GEM_CHUNK_COLS;
}

/* Columns of the chunk that starts at column `first`. */
static inline size_t
gem_packed_width(size_t cols, size_t first)
{
  return cols - first < GEM_CHUNK_COLS ? cols - first : GEM_CHUNK_COLS;
}

static inline size_t
gem_packed_bytes(GemType type, size_t rows, size_t cols)
{
  return gem_packed_panels(rows) * gem_packed_panel_bytes(type, cols);
}

/* How a walk through a matrix asks for what comes. Where one input meets a matrix the processor reads ahead
 * by itself, but not far enough on some: they have no room for so many instructions. */
typedef enum {
  GEM_AHEAD_NONE,
  GEM_AHEAD_NEXT, /* for the chunk that follows, into the nearest cache */
  GEM_AHEAD_FAR,  /* for what lies GEM_AHEAD_FAR_BYTES further on, into the second cache */
  GEM_AHEAD_PAGE, /* for the beginning of the page after the next, into the second cache: no more is needed
                     where the processor reads ahead by itself, which stops at the end of a page */
} GemAhead;

enum { GEM_AHEAD_FAR_BYTES = 24576, GEM_AHEAD_PAGE_BYTES = 4096, GEM_AHEAD_BEGINNING_BYTES = 1024 };

/* Asks for `bytes` from there on, which with `ahead` are constants to the compiler; not to be called where
 * nothing is asked for. Beyond a matrix it is for nothing, and does no harm. Always inline: the compiler
 * takes a function that asks and does nothing else for one that does nothing. */
__attribute__((always_inline)) static inline void
gem_packed_ask(const uint8_t *from, size_t bytes, GemAhead ahead)
{
#pragma GCC unroll 16
  for (size_t at = 0; at < bytes; at += 64) {
    if (ahead == GEM_AHEAD_NEXT) {
      __builtin_prefetch(from + at, 0, 3);
    } else {
      __builtin_prefetch(from + at, 0, 2);
    }
  }
}

/* Asks for part `part` of `parts` of what comes after `chunk`, which is of 256 columns of a quantized type,
 * as many bytes as it has itself; `ahead` is a constant to the compiler. Beyond the matrix it is for nothing,
 * and does no harm. */
__attribute__((always_inline)) static inline void
gem_packed_ask_ahead(GemType type, const uint8_t *chunk, size_t part, size_t parts, GemAhead ahead)
{
  if (ahead == GEM_AHEAD_NONE || (ahead == GEM_AHEAD_PAGE && part > 0)) {
    return;
  }
  if (ahead == GEM_AHEAD_PAGE) {
    size_t within = (size_t)((uintptr_t)chunk % GEM_AHEAD_PAGE_BYTES);
    gem_packed_ask(chunk + 2 * GEM_AHEAD_PAGE_BYTES - within, GEM_AHEAD_BEGINNING_BYTES, ahead);
    return;
  }
  size_t bytes = type == GEM_TYPE_Q4_0   ? GEM_Q4_0_CHUNK_BYTES
                 : type == GEM_TYPE_Q8_0 ? GEM_Q8_0_CHUNK_BYTES
                                         : GEM_Q6_K_CHUNK_BYTES;
  const uint8_t *next =
      chunk + (ahead == GEM_AHEAD_FAR ? GEM_AHEAD_FAR_BYTES : bytes) + part * (bytes / parts);
  gem_packed_ask(next, bytes / parts, ahead);
}

/* Bytes for levels, scales and sums of n inputs, and their places in `memory`, which is aligned to
 * GEM_PACKED_ALIGNMENT. Sets levels, scales and sums; n, cols and values stay. */
size_t
gem_inputs_bytes(size_t n, size_t cols);
void
gem_inputs_place(GemInputs *inputs, void *memory);

/* Row `row` of a packed matrix as floats: values is [cols]. */
void
gem_packed_row(const GemPacked *packed, size_t row, float *values);
