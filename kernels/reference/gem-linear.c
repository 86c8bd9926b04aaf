#include "kernels/reference/gem-blocks.h"
#include "kernels/reference/gem-reference.h"

#include <math.h>

/* Columns of a sub-block, which has one scale, and how many a chunk of 256 columns has at most. */
#define SUB_COLS     16
#define MOST_SUBS    16
#define CHUNK_LEVELS (GEM_CHUNK_COLS * GEM_PANEL_ROWS)

/* A chunk of a panel, decoded. */
typedef struct {
  size_t subs; /* with the columns of sub-block s at first_col[s] .. + sub_cols - 1 of the chunk */
  size_t sub_cols;
  size_t first_col[MOST_SUBS];
  float scales[MOST_SUBS][GEM_PANEL_ROWS];        /* not of Q6_K */
  int8_t whole_scales[MOST_SUBS][GEM_PANEL_ROWS]; /* of Q6_K, each times d */
  float d[GEM_PANEL_ROWS];
  int8_t levels[GEM_CHUNK_COLS][GEM_PANEL_ROWS]; /* less their offset, by column */
} Chunk;

static void
decode_q4_0(const uint8_t *words, size_t blocks, Chunk *chunk)
{
  for (size_t i = 0; i < blocks * 4 * GEM_PANEL_ROWS * 4; i++) {
    size_t byte = i % 4;
    size_t lane = i / 4 % GEM_PANEL_ROWS;
    size_t word = i / 4 / GEM_PANEL_ROWS % 4;
    size_t col = i / 4 / GEM_PANEL_ROWS / 4 * 32 + word * 4 + byte;
    chunk->levels[col][lane] = (int8_t)((words[i] & 15) - 8);
    chunk->levels[col + 16][lane] = (int8_t)((words[i] >> 4) - 8);
  }
}

static void
decode_q8_0(const uint8_t *words, size_t blocks, Chunk *chunk)
{
  for (size_t i = 0; i < blocks * 8 * GEM_PANEL_ROWS * 4; i++) {
    chunk->levels[i / 4 / GEM_PANEL_ROWS * 4 + i % 4][i / 4 % GEM_PANEL_ROWS] = (int8_t)words[i];
  }
}

/* Blocks of 32 columns, a scale (half) each, behind `words` words a block. */
static void
decode_block_scales(const uint8_t *scales, size_t blocks, Chunk *chunk)
{
  chunk->subs = blocks;
  chunk->sub_cols = 32;
  for (size_t block = 0; block < blocks; block++) {
    chunk->first_col[block] = block * 32;
    for (size_t lane = 0; lane < GEM_PANEL_ROWS; lane++) {
      chunk->scales[block][lane] = gem_block_load_half(scales + (block * GEM_PANEL_ROWS + lane) * 2);
    }
  }
}

/* Column of value `part` (0 .. 3) of the bytes at word w, byte b of the high pairs: the file's order. */
static size_t
q6_k_column(size_t word, size_t byte, size_t part)
{
  return word / 8 * 128 + part * 32 + word % 8 * 4 + byte;
}

static void
decode_q6_k(const uint8_t *data, Chunk *chunk)
{
  const uint8_t *pairs = data + 2048;
  for (size_t i = 0; i < 16 * GEM_PANEL_ROWS * 4; i++) {
    size_t byte = i % 4;
    size_t lane = i / 4 % GEM_PANEL_ROWS;
    size_t word = i / 4 / GEM_PANEL_ROWS;
    for (size_t part = 0; part < 4; part++) {
      /* Parts 0 and 2 share the first 8 words of a half, 1 and 3 the last 8. */
      size_t low_word = word / 8 * 16 + part % 2 * 8 + word % 8;
      uint8_t low = data[(low_word * GEM_PANEL_ROWS + lane) * 4 + byte];
      int nibble = part < 2 ? low & 15 : low >> 4;
      int pair = pairs[i] >> 2 * part & 3;
      chunk->levels[q6_k_column(word, byte, part)][lane] = (int8_t)((nibble | pair << 4) - 32);
    }
  }
}

/* A whole scale for each sub-block of 16 columns, in the order of columns, and d for all of them. */
static void
decode_q6_k_scales(const uint8_t *data, Chunk *chunk)
{
  chunk->subs = MOST_SUBS;
  chunk->sub_cols = SUB_COLS;
  for (size_t sub = 0; sub < MOST_SUBS; sub++) {
    chunk->first_col[sub] = sub * SUB_COLS;
  }
  memcpy(chunk->whole_scales, data + 3072, sizeof chunk->whole_scales);
  for (size_t lane = 0; lane < GEM_PANEL_ROWS; lane++) {
    chunk->d[lane] = gem_block_load_half(data + 3328 + lane * 2);
  }
}

static void
decode_chunk(GemType type, const uint8_t *data, size_t width, Chunk *chunk)
{
  size_t blocks = width / 32;
  if (type == GEM_TYPE_Q6_K) {
    decode_q6_k(data, chunk);
    decode_q6_k_scales(data, chunk);
  } else if (type == GEM_TYPE_Q8_0) {
    decode_q8_0(data, blocks, chunk);
    decode_block_scales(data + blocks * 8 * GEM_PANEL_ROWS * 4, blocks, chunk);
  } else {
    decode_q4_0(data, blocks, chunk);
    decode_block_scales(data + blocks * 4 * GEM_PANEL_ROWS * 4, blocks, chunk);
  }
}

/* sums[lane] = sum over the sub-block of (q - offset) * level. */
static void
multiply_sub(const Chunk *chunk, size_t sub, const int8_t *levels, int32_t *sums)
{
  memset(sums, 0, GEM_PANEL_ROWS * sizeof *sums);
  for (size_t col = chunk->first_col[sub]; col < chunk->first_col[sub] + chunk->sub_cols; col++) {
    for (size_t lane = 0; lane < GEM_PANEL_ROWS; lane++) {
      sums[lane] += chunk->levels[col][lane] * levels[col];
    }
  }
}

/* f[lane] = sum over the chunk of (q - offset) * level * scale. */
static void
multiply_chunk(const Chunk *chunk, const int8_t *levels, float *f)
{
  memset(f, 0, GEM_PANEL_ROWS * sizeof *f);
  for (size_t sub = 0; sub < chunk->subs; sub++) {
    int32_t sums[GEM_PANEL_ROWS];
    multiply_sub(chunk, sub, levels, sums);
    for (size_t lane = 0; lane < GEM_PANEL_ROWS; lane++) {
      f[lane] = fmaf((float)sums[lane], chunk->scales[sub][lane], f[lane]);
    }
  }
}

/* The same for whole scales, which leave all but d to integers: at most 256 * 127 * 32 * 128 = 2^27. */
static void
multiply_chunk_whole(const Chunk *chunk, const int8_t *levels, float *f)
{
  int32_t total[GEM_PANEL_ROWS] = {0};
  for (size_t sub = 0; sub < chunk->subs; sub++) {
    int32_t sums[GEM_PANEL_ROWS];
    multiply_sub(chunk, sub, levels, sums);
    for (size_t lane = 0; lane < GEM_PANEL_ROWS; lane++) {
      total[lane] += sums[lane] * chunk->whole_scales[sub][lane];
    }
  }
  for (size_t lane = 0; lane < GEM_PANEL_ROWS; lane++) {
    f[lane] = chunk->d[lane] * (float)total[lane];
  }
}

/* One chunk of a quantized panel with all inputs: y[i * stride + lane]. */
static void
add_levels(GemType type,
           const uint8_t *data,
           size_t first_col,
           size_t lanes,
           const GemInputs *inputs,
           float *y,
           size_t stride)
{
  Chunk chunk;
  decode_chunk(type, data, gem_packed_width(inputs->cols, first_col), &chunk);
  for (size_t i = 0; i < inputs->n; i++) {
    float f[GEM_PANEL_ROWS];
    float scale = inputs->scales[i * gem_packed_chunks(inputs->cols) + first_col / GEM_CHUNK_COLS];
    (type == GEM_TYPE_Q6_K ? multiply_chunk_whole
                           : multiply_chunk)(&chunk, inputs->levels + i * inputs->cols + first_col, f);
    for (size_t lane = 0; lane < lanes; lane++) {
      y[i * stride + lane] = fmaf(scale, f[lane], y[i * stride + lane]);
    }
  }
}

/* One chunk of a panel of floats or halves with all inputs. */
static void
add_values(GemType type,
           const uint8_t *data,
           size_t first_col,
           size_t lanes,
           const GemInputs *inputs,
           float *y,
           size_t stride)
{
  size_t width = gem_packed_width(inputs->cols, first_col);
  float weights[GEM_CHUNK_COLS * GEM_PANEL_ROWS];
  gem_dequantize_row(type, data, weights, width * GEM_PANEL_ROWS);
  for (size_t i = 0; i < inputs->n; i++) {
    const float *x = inputs->values + i * inputs->cols + first_col;
    for (size_t col = 0; col < width; col++) {
      for (size_t lane = 0; lane < lanes; lane++) {
        y[i * stride + lane] = fmaf(weights[col * GEM_PANEL_ROWS + lane], x[col], y[i * stride + lane]);
      }
    }
  }
}

void
gem_reference_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  size_t panel_bytes = gem_packed_panel_bytes(weights->type, weights->cols);
  for (size_t panel = first; panel < end; panel++) {
    size_t row = panel * GEM_PANEL_ROWS;
    size_t lanes = weights->rows - row < GEM_PANEL_ROWS ? weights->rows - row : GEM_PANEL_ROWS;
    for (size_t i = 0; i < inputs->n; i++) {
      memset(y + i * weights->rows + row, 0, lanes * sizeof *y);
    }
    for (size_t col = 0; col < weights->cols; col += GEM_CHUNK_COLS) {
      const uint8_t *data = weights->data + panel * panel_bytes + gem_packed_chunk_offset(weights->type, col);
      if (gem_packed_takes_levels(weights->type)) {
        add_levels(weights->type, data, col, lanes, inputs, y + row, weights->rows);
      } else {
        add_values(weights->type, data, col, lanes, inputs, y + row, weights->rows);
      }
    }
  }
}
