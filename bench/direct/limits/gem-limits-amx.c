#include "bench/direct/limits/gem-limits-amx.h"

#include "bench/direct/limits/gem-limits-kernels.h"

_Static_assert((int)GEM_LIMITS_AMX_INT8_ROUND == (int)GEM_LIMITS_AMX_ROUND, "the round that others know");

uint64_t
gem_limits_amx_int8(uint64_t rounds)
{
  return gem_limits_amx_run(rounds);
}
