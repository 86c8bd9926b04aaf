#include "kernels/avx512/gem-avx512.h"

typedef void (*SingleFunction)(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y);
typedef void (*ManyFunction)(
    const GemPacked *weights, size_t panel, size_t panels, const GemInputs *inputs, float *y);

static inline void
run_linear(SingleFunction single,
           ManyFunction many,
           const GemPacked *weights,
           size_t first,
           size_t end,
           const GemInputs *inputs,
           float *y)
{
  if (!gem_packed_takes_levels(weights->type)) {
    gem_avx512_linear_floats(weights, first, end, inputs, y);
    return;
  }
  if (inputs->n == 1) {
    for (size_t panel = first; panel < end; panel++) {
      single(weights, panel, inputs, y + panel * GEM_PANEL_ROWS);
    }
    return;
  }
  for (size_t panel = first; panel < end; panel += 2) {
    many(weights, panel, end - panel < 2 ? 1 : 2, inputs, y);
  }
}

void
gem_avx512_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  run_linear(gem_avx512_linear_single, gem_avx512_linear_many, weights, first, end, inputs, y);
}

void
gem_avx512_linear_amd(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  run_linear(gem_avx512_linear_single_amd, gem_avx512_linear_many_amd, weights, first, end, inputs, y);
}
