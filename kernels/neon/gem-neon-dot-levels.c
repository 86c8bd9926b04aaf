/* Quantized matrices with the dot product. */
#include "kernels/neon/gem-neon-dot-sums.h"

enum { TILE_INPUTS = 4 };

#include "kernels/neon/gem-neon-multiply.h"

/* The next set has nothing better for one input. */
void
gem_neon_dot_single(
    GemType type, const uint8_t *data, size_t width, const int8_t *levels, const int32_t *sums, float *f)
{
  single(type, data, width, levels, sums, f);
}

void
gem_neon_dot_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  static const GemNeonSteps steps = {.single = single, .most_single = 3, .many = many};
  if (!gem_packed_takes_levels(weights->type)) {
    gem_neon_linear_floats(weights, first, end, inputs, y);
    return;
  }
  gem_neon_linear_levels(&steps, weights, first, end, inputs, y);
}
