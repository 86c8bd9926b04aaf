/* Quantized matrices without a dot product. */
#include "kernels/neon/gem-neon-sums.h"

enum { TILE_INPUTS = 2 };

#include "kernels/neon/gem-neon-multiply.h"

void
gem_neon_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  static const GemNeonSteps steps = {.single = single, .most_single = 2, .many = many};
  if (!gem_packed_takes_levels(weights->type)) {
    gem_neon_linear_floats(weights, first, end, inputs, y);
    return;
  }
  gem_neon_linear_levels(&steps, weights, first, end, inputs, y);
}
