/* The kernel "linear" of the set with the tile unit (AMX): up to 128 inputs at a time for each type. */
#include "kernels/avx512/gem-avx512-amx.h"

#define LEAST_INPUTS 8 /* fewer are met as fast by vectors */
#define MOST_INPUTS  ((size_t)GEM_AVX512_MOST_TILES * GEM_AVX512_TILE_INPUTS)

void
gem_avx512_linear_amx(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  if (!gem_packed_takes_levels(weights->type) || inputs->n < LEAST_INPUTS || first >= end) {
    gem_avx512_linear(weights, first, end, inputs, y);
    return;
  }
  size_t parts = (inputs->n + MOST_INPUTS - 1) / MOST_INPUTS;
  GemAvx512TileCall call; /* whose totals need no beginning */
  call.weights = weights;
  call.chunks = gem_packed_chunks(inputs->cols);
  for (size_t part = 0; part < parts; part++) {
    size_t start = inputs->n * part / parts, n = inputs->n * (part + 1) / parts - start;
    call.inputs = (GemInputs){.n = n,
                              .cols = inputs->cols,
                              .levels = inputs->levels + start * inputs->cols,
                              .scales = inputs->scales + start * call.chunks};
    call.y = y + start * weights->rows;
    if (weights->type == GEM_TYPE_Q6_K) {
      gem_avx512_amx_linear_q6_k(&call, first, end);
    } else {
      gem_avx512_amx_linear_blocks(&call, first, end);
    }
  }
  _tile_release();
}
