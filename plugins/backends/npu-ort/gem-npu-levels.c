#include "plugins/backends/npu-ort/gem-npu-levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gem-types.h"
#include "plugins/support/gem-plugin-support.h"

#define Q6_K_BLOCK  256
#define Q6_K_SCALES 192 /* offset of 16 int8 in a block of Q6_K, each of 16 values */
#define Q6_K_SCALE  208 /* offset of the half that they are multiples of */

static float
load_half(const uint8_t *bytes)
{
  return gem_half_to_float((uint16_t)(bytes[0] | bytes[1] << 8));
}

/* The scales of one row as the file's blocks state them. */
static void
read_scales(GemType type, const uint8_t *row, size_t cols, float *scales)
{
  size_t block_bytes = gem_type_block_bytes(type);
  for (size_t b = 0; b < cols / gem_type_block_cols(type); b++) {
    const uint8_t *block = row + b * block_bytes;
    if (type != GEM_TYPE_Q6_K) {
      scales[b] = load_half(block);
      continue;
    }
    float scale = load_half(block + Q6_K_SCALE);
    for (size_t i = 0; i < 16; i++) {
      scales[b * 16 + i] = scale * (float)(int8_t)block[Q6_K_SCALES + i];
    }
  }
}

static void
find_levels(GemNpuLevels *self, size_t row)
{
  const float *values = self->values + row * self->cols;
  const float *scales = self->scales + row * (self->cols / self->block);
  int8_t *levels = self->levels + row * self->cols;
  for (size_t i = 0; i < self->cols; i++) {
    float scale = scales[i / self->block];
    levels[i] = scale != 0.0f ? (int8_t)lrintf(values[i] / scale) : 0;
  }
}

static bool
take_memory(GemNpuLevels *self, size_t block, GemPluginError *error)
{
  free(self->levels);
  free(self->scales);
  self->block = block;
  self->levels = calloc(self->rows, self->cols);
  self->scales = calloc(self->rows * (self->cols / block), sizeof *self->scales);
  if (self->levels == NULL || self->scales == NULL) {
    gem_plugin_set_error(error, "out of memory (%zu x %zu values)", self->rows, self->cols);
    return false;
  }
  return true;
}

static bool
decode(GemNpuLevels *self, GemType type, const uint8_t *data, GemPluginError *error)
{
  size_t row_bytes = gem_type_row_bytes(type, self->cols);
  self->bits = type == GEM_TYPE_Q4_0 ? 4 : type == GEM_TYPE_Q8_0 || type == GEM_TYPE_Q6_K ? 8 : 0;
  self->values = malloc(self->rows * self->cols * sizeof *self->values);
  if (self->values == NULL) {
    gem_plugin_set_error(error, "out of memory (%zu x %zu values)", self->rows, self->cols);
    return false;
  }
  if (self->bits > 0 && !take_memory(self, type == GEM_TYPE_Q6_K ? 16 : 32, error)) {
    return false;
  }
  for (size_t row = 0; row < self->rows; row++) {
    gem_dequantize_row(type, data + row * row_bytes, self->values + row * self->cols, self->cols);
    if (self->bits > 0) {
      read_scales(type, data + row * row_bytes, self->cols, self->scales + row * (self->cols / self->block));
      find_levels(self, row);
    }
  }
  return true;
}

bool
gem_npu_levels_read(GemNpuLevels *self, const GemTensorView *tensor, GemPluginError *error)
{
  if (!gem_type_is_known(tensor->type)) {
    gem_plugin_set_error(error, "type %u is not known", tensor->type);
    return false;
  }
  size_t row_bytes = gem_type_row_bytes((GemType)tensor->type, tensor->cols);
  if (row_bytes == 0 || tensor->bytes / row_bytes != tensor->rows || tensor->bytes % row_bytes != 0) {
    gem_plugin_set_error(error, "%zu x %zu values of type %s do not make %zu bytes", tensor->rows,
                         tensor->cols, gem_type_name(tensor->type), tensor->bytes);
    return false;
  }
  uint8_t *stored = tensor->data == NULL ? malloc(tensor->bytes) : NULL;
  bool there = tensor->data != NULL || (stored != NULL && tensor->read(tensor, 0, tensor->bytes, stored));
  if (!there) {
    gem_plugin_set_error(error, "its %zu bytes cannot be read", tensor->bytes);
    free(stored);
    return false;
  }
  *self = (GemNpuLevels){.rows = tensor->rows, .cols = tensor->cols};
  bool decoded = decode(self, (GemType)tensor->type, stored != NULL ? stored : tensor->data, error);
  free(stored);
  if (!decoded) {
    gem_npu_levels_clear(self);
  }
  return decoded;
}

bool
gem_npu_levels_widen(GemNpuLevels *self, size_t block, GemPluginError *error)
{
  if (!take_memory(self, block, error)) {
    return false;
  }
  self->bits = 8;
  for (size_t b = 0; b < self->rows * (self->cols / block); b++) {
    float largest = 0.0f;
    for (size_t i = 0; i < block; i++) {
      largest = fmaxf(largest, fabsf(self->values[b * block + i]));
    }
    self->scales[b] = largest / 127.0f;
  }
  for (size_t row = 0; row < self->rows; row++) {
    find_levels(self, row);
  }
  return true;
}

void
gem_npu_levels_clear(GemNpuLevels *self)
{
  free(self->levels);
  free(self->scales);
  free(self->values);
  *self = (GemNpuLevels){0};
}
