#include "kernels/avx512/gem-avx512.h"

typedef void (*FewFunction)(const GemPacked *weights, size_t panel, const GemInputs *inputs, float *y);
typedef void (*ManyFunction)(
    const GemPacked *weights, size_t panel, size_t panels, const GemInputs *inputs, float *y);

static inline void
run_linear(size_t most_few,
           FewFunction few,
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
  if (inputs->n == 0) {
    return;
  }
  if (inputs->n <= most_few) {
    for (size_t panel = first; panel < end; panel++) {
      few(weights, panel, inputs, y + panel * GEM_PANEL_ROWS);
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
  run_linear(GEM_AVX512_FEW, gem_avx512_linear_few, gem_avx512_linear_many, weights, first, end, inputs, y);
}

void
gem_avx512_linear_amd(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  if (weights->type == GEM_TYPE_Q4_0 && inputs->n == 1) {
    for (; first + 2 <= end; first += 2) {
      gem_avx512_linear_pair_amd(weights, first, inputs, y + first * GEM_PANEL_ROWS);
    }
  }
  run_linear(GEM_AVX512_FEW_AMD, gem_avx512_linear_few_amd, gem_avx512_linear_many_amd, weights, first, end,
             inputs, y);
}
