#include "bench/direct/limits/gem-limits-chains.h"
#include "bench/direct/limits/gem-limits-kernels.h"

/* As wide as the compiler makes it for any processor of the architecture. */
typedef uint64_t Words __attribute__((vector_size(16), may_alias));

#define BEGIN(j)                                                                                             \
  Words sum##j = {0, 0};                                                                                     \
  GEM_LIMITS_HIDE(sum##j);
#define READ(j) sum##j += from[j];
#define ADD(j)  sum += sum##j[0] + sum##j[1];

uint64_t
gem_limits_read_portable(const void *data, size_t bytes, uint64_t passes)
{
  uint64_t sum = 0;

  GEM_LIMITS_EACH_8(BEGIN)
  for (uint64_t pass = 0; pass < passes; pass++) {
    const Words *from = data, *end = from + bytes / sizeof *from;
    for (; from < end; from += 8) {
      GEM_LIMITS_EACH_8(READ)
    }
    GEM_LIMITS_HIDE_MEMORY();
  }
  GEM_LIMITS_EACH_8(ADD)
  return sum;
}
