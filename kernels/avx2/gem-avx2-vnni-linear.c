#include "kernels/avx2/gem-avx2-vnni-dot.h"

#define AHEAD(type) GEM_AHEAD_NEXT
#include "kernels/avx2/gem-avx2-linear.h"

void
gem_avx2_vnni_linear(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  run_linear(weights, first, end, inputs, y);
}
