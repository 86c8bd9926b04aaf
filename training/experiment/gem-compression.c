#include "training/experiment/gem-compression.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static gsize
size_of(const GemParameter *parameter)
{
  return parameter->rows * parameter->cols;
}

void
gem_compression_apply_types(const GemParameters *parameters, const GemExportTypes *types, float *values)
{
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    GemType type = gem_export_type_of(parameter, types);
    g_autofree guint8 *row = g_malloc(gem_type_row_bytes(type, parameter->cols));
    for (gsize r = 0; r < parameter->rows; r++) {
      float *value = values + parameter->offset + r * parameter->cols;
      gem_quantize_row(type, value, row, parameter->cols);
      gem_dequantize_row(type, row, value, parameter->cols);
    }
  }
}

static void
round_block(float *values, gsize n, float levels)
{
  float largest = 0.0f;
  for (gsize i = 0; i < n; i++) {
    largest = MAX(largest, fabsf(values[i]));
  }
  float scale = gem_half_to_float(gem_float_to_half(largest / levels)); /* as it would be kept */
  for (gsize i = 0; scale > 0.0f && i < n; i++) {
    values[i] = roundf(values[i] / scale) * scale;
  }
}

void
gem_compression_apply_bits(const GemParameters *parameters, guint bits, float *values)
{
  float levels = (float)((1u << (bits - 1)) - 1);
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    for (gsize r = 0; parameter->rows > 1 && r < parameter->rows; r++) {
      float *row = values + parameter->offset + r * parameter->cols;
      for (gsize first = 0; first < parameter->cols; first += GEM_COMPRESSION_BLOCK) {
        round_block(row + first, MIN(parameter->cols - first, GEM_COMPRESSION_BLOCK), levels);
      }
    }
  }
}

static int
compare_floats(gconstpointer a, gconstpointer b)
{
  float left = *(const float *)a, right = *(const float *)b;
  return (left > right) - (left < right);
}

void
gem_compression_prune(const GemParameters *parameters, double share, float *values)
{
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    gsize n = size_of(parameter), gone = (gsize)(share * (double)n);
    if (parameter->rows == 1 || gone == 0) {
      continue;
    }
    float *own = values + parameter->offset;
    g_autofree float *sorted = g_new(float, n);
    for (gsize j = 0; j < n; j++) {
      sorted[j] = fabsf(own[j]);
    }
    qsort(sorted, n, sizeof(float), compare_floats);
    float least = sorted[MIN(gone, n - 1)];
    for (gsize j = 0; j < n; j++) {
      own[j] = fabsf(own[j]) < least ? 0.0f : own[j];
    }
  }
}

double
gem_compression_bytes(const GemParameter *parameter, const GemExportTypes *types, guint bits, double pruned)
{
  if (parameter->rows == 1) {
    return (double)(parameter->cols * sizeof(float));
  }
  if (bits > 0) {
    double blocks = ceil((double)parameter->cols / GEM_COMPRESSION_BLOCK);
    return (double)parameter->rows * ((double)parameter->cols * bits / 8.0 + 2.0 * blocks);
  }
  GemType type = gem_export_type_of(parameter, types);
  return (double)(parameter->rows * gem_type_row_bytes(type, parameter->cols)) * (1.0 - pruned);
}
