#include "kernels/gem-packed.h"

#include <string.h>

static size_t
round_up(size_t bytes)
{
  return (bytes + GEM_PACKED_ALIGNMENT - 1) / GEM_PACKED_ALIGNMENT * GEM_PACKED_ALIGNMENT;
}

bool
gem_packed_takes_levels(GemType type)
{
  return type != GEM_TYPE_F32 && type != GEM_TYPE_F16;
}

size_t
gem_packed_chunk_bytes(GemType type, size_t cols, size_t first)
{
  return round_up(GEM_PANEL_ROWS * gem_type_row_bytes(type, gem_packed_width(cols, first)));
}

size_t
gem_packed_chunk_offset(GemType type, size_t first)
{
  return first / GEM_CHUNK_COLS * round_up(GEM_PANEL_ROWS * gem_type_row_bytes(type, GEM_CHUNK_COLS));
}

size_t
gem_packed_panel_bytes(GemType type, size_t cols)
{
  if (gem_type_row_bytes(type, cols) == 0) {
    return 0;
  }
  size_t last = (cols - 1) / GEM_CHUNK_COLS * GEM_CHUNK_COLS;
  return gem_packed_chunk_offset(type, last) + gem_packed_chunk_bytes(type, cols, last);
}

/* Each part starts aligned. */
size_t
gem_inputs_bytes(size_t n, size_t cols)
{
  return round_up(n * cols) + round_up(n * gem_packed_chunks(cols) * sizeof(float)) +
         round_up(n * cols / GEM_SUM_COLS * sizeof(int32_t));
}

void
gem_inputs_place(GemInputs *inputs, void *memory)
{
  uint8_t *bytes = memory;
  inputs->levels = (int8_t *)bytes;
  bytes += round_up(inputs->n * inputs->cols);
  inputs->scales = (float *)(void *)bytes;
  bytes += round_up(inputs->n * gem_packed_chunks(inputs->cols) * sizeof(float));
  inputs->sums = (int32_t *)(void *)bytes;
}

/* Every 16th item of `bytes` bytes: what pack spread over the lanes. */
static void
gather(const uint8_t *from, size_t bytes, size_t count, uint8_t *to)
{
  for (size_t i = 0; i < count; i++) {
    memcpy(to + i * bytes, from + i * GEM_PANEL_ROWS * bytes, bytes);
  }
}

/* One row of a chunk as the file's blocks had it. */
static void
unpack_chunk(GemType type, const uint8_t *chunk, size_t width, size_t lane, uint8_t *stored)
{
  if (!gem_packed_takes_levels(type)) {
    size_t bytes = gem_type_block_bytes(type);
    gather(chunk + lane * bytes, bytes, width, stored);
    return;
  }
  if (type == GEM_TYPE_Q6_K) {
    gather(chunk + lane * 4, 4, 32, stored);
    gather(chunk + 2048 + lane * 4, 4, 16, stored + 128);
    gather(chunk + 3072 + lane, 1, 16, stored + 192);
    memcpy(stored + 208, chunk + 3328 + lane * 2, 2);
    return;
  }
  size_t blocks = width / gem_type_block_cols(type);
  size_t block_bytes = gem_type_block_bytes(type);
  const uint8_t *scales = chunk + blocks * (block_bytes - 2) * GEM_PANEL_ROWS;
  for (size_t block = 0; block < blocks; block++, stored += block_bytes) {
    memcpy(stored, scales + (block * GEM_PANEL_ROWS + lane) * 2, 2);
    gather(chunk + block * (block_bytes - 2) * GEM_PANEL_ROWS + lane * 4, 4, (block_bytes - 2) / 4,
           stored + 2);
  }
}

void
gem_packed_row(const GemPacked *packed, size_t row, float *values)
{
  uint8_t stored[GEM_CHUNK_COLS * sizeof(float)];
  const uint8_t *panel =
      packed->data + row / GEM_PANEL_ROWS * gem_packed_panel_bytes(packed->type, packed->cols);
  for (size_t first = 0; first < packed->cols; first += GEM_CHUNK_COLS) {
    size_t width = gem_packed_width(packed->cols, first);
    unpack_chunk(packed->type, panel + gem_packed_chunk_offset(packed->type, first), width,
                 row % GEM_PANEL_ROWS, stored);
    gem_dequantize_row(packed->type, stored, values + first, width);
  }
}
