#include "kernels/avx2/gem-avx2-dot.h"

/* As a Zen 4 had it with this set's narrower reads, for one input to a few (docs/performance.md): it reads
 * what follows at once by itself where the walk goes straight on, which Q6_K's does not within a chunk, but
 * gains by being asked for what lies further on. */
#define AHEAD(type) ((type) == GEM_TYPE_Q6_K ? GEM_AHEAD_NEXT : GEM_AHEAD_FAR)
#include "kernels/avx2/gem-avx2-linear.h"

void
gem_avx2_linear_amd(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  run_linear(weights, first, end, inputs, y);
}
