/* The file's blocks to panels: words of 16 rows side by side. gem-packed.h has the form. */
#include "kernels/reference/gem-reference.h"

/* `count` items of `bytes` bytes each, `from_step` bytes apart, to every 16th place of their size. */
static void
scatter(const uint8_t *from, size_t from_step, size_t bytes, size_t count, uint8_t *to)
{
  for (size_t i = 0; i < count; i++) {
    memcpy(to + i * GEM_PANEL_ROWS * bytes, from + i * from_step, bytes);
  }
}

/* Blocks of 32: a scale (half), then `words` words of 4 bytes. `panel` stands at the chunk, `lane` is the row
 * in it. */
static void
pack_blocks(const uint8_t *stored, size_t blocks, size_t words, size_t lane, uint8_t *chunk)
{
  uint8_t *scales = chunk + blocks * words * 4 * GEM_PANEL_ROWS;
  for (size_t block = 0; block < blocks; block++, stored += 2 + words * 4) {
    scatter(stored + 2, 4, 4, words, chunk + (block * words * GEM_PANEL_ROWS + lane) * 4);
    memcpy(scales + (block * GEM_PANEL_ROWS + lane) * 2, stored, 2);
  }
}

/* One super-block: low nibbles, high pairs, scales, d; the order of the file's. */
static void
pack_q6_k(const uint8_t *stored, size_t lane, uint8_t *chunk)
{
  scatter(stored, 4, 4, 32, chunk + lane * 4);
  scatter(stored + 128, 4, 4, 16, chunk + 2048 + lane * 4);
  scatter(stored + 192, 1, 1, 16, chunk + 3072 + lane);
  memcpy(chunk + 3328 + lane * 2, stored + 208, 2);
}

static void
pack_chunk(GemType type, const uint8_t *stored, size_t width, size_t lane, uint8_t *chunk)
{
  switch (type) {
  case GEM_TYPE_F32:
    scatter(stored, 4, 4, width, chunk + lane * 4);
    break;
  case GEM_TYPE_F16:
    scatter(stored, 2, 2, width, chunk + lane * 2);
    break;
  case GEM_TYPE_Q4_0:
    pack_blocks(stored, width / 32, 4, lane, chunk);
    break;
  case GEM_TYPE_Q8_0:
    pack_blocks(stored, width / 32, 8, lane, chunk);
    break;
  case GEM_TYPE_Q6_K:
    pack_q6_k(stored, lane, chunk);
    break;
  }
}

void
gem_reference_pack(GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panels)
{
  size_t panel_bytes = gem_packed_panel_bytes(type, cols);
  size_t row_bytes = gem_type_row_bytes(type, cols);
  memset(panels, 0, gem_packed_panels(rows) * panel_bytes);
  for (size_t row = 0; row < rows; row++) {
    uint8_t *panel = panels + row / GEM_PANEL_ROWS * panel_bytes;
    for (size_t first = 0; first < cols; first += GEM_CHUNK_COLS) {
      size_t width = gem_packed_width(cols, first);
      pack_chunk(type, stored + row * row_bytes + gem_type_row_bytes(type, first), width,
                 row % GEM_PANEL_ROWS, panel + gem_packed_chunk_offset(type, first));
    }
  }
}
