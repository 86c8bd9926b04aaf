#include "kernels/avx512/gem-avx512.h"

void
gem_avx512_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  if (!gem_packed_takes_levels(weights->type)) {
    gem_avx512_linear_floats(weights, first, end, inputs, y);
    return;
  }
  if (inputs->n == 1) {
    for (size_t panel = first; panel < end; panel++) {
      gem_avx512_linear_single(weights, panel, inputs, y + panel * GEM_PANEL_ROWS);
    }
    return;
  }
  for (size_t panel = first; panel < end; panel += 2) {
    gem_avx512_linear_many(weights, panel, end - panel < 2 ? 1 : 2, inputs, y);
  }
}
