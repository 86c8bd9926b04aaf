#include "kernels/gem-kernel-sets.h"
#include "kernels/gem-tile-unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifdef GEM_KERNELS_X86
#include <cpuid.h>
#endif
#ifdef GEM_KERNELS_ARM
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

enum { MOST_SETS = 8 };

static GemKernels tables[MOST_SETS];
static size_t n_tables;
static const GemKernels *best;

/* What `set` has no function for is that of the complete table `below`. */
static const GemKernels *
add_table(const GemKernels *set, const GemKernels *below)
{
  GemKernels *table = &tables[n_tables++];
  *table = *set;
#define COMPLETE(result, name, parameters)                                                                   \
  if (table->name == NULL) {                                                                                 \
    table->name = below->name;                                                                               \
  }
  GEM_KERNEL_LIST(COMPLETE)
#undef COMPLETE
  return table;
}

#ifdef GEM_KERNELS_X86
/* What not every compiler has a name for. Their registers are those of AVX2. */
#define BIT_AVX_VNNI (1u << 4)

static bool
has_f16c(void)
{
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

static bool
has_avx_vnni(void)
{
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & BIT_AVX_VNNI) != 0;
}

/* A set and its tuning for AMD's processors run on any, and are checked on any; the vendor says which is the
 * better one. AVX-VNNI has no tuning of its own: AMD's processors that have it have AVX-512, too.
 * __builtin_cpu_supports also asks (XGETBV) whether the operating system keeps the registers. */
static void
add_tables(void)
{
  bool is_amd = __builtin_cpu_is("amd");
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) {
    return;
  }
  const GemKernels *set = add_table(&gem_avx2_kernels, best);
  const GemKernels *tuned = add_table(&gem_avx2_amd_kernels, set);
  best = is_amd ? tuned : set;

  if (has_avx_vnni()) {
    best = set = add_table(&gem_avx2_vnni_kernels, set);
  }

  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
      !__builtin_cpu_supports("avx512vnni")) {
    return;
  }
  set = add_table(&gem_avx512_kernels, set);
  tuned = add_table(&gem_avx512_amd_kernels, set);
  best = is_amd ? tuned : set;

#ifdef GEM_KERNELS_AMX
  if ((gem_tile_unit() & GEM_TILE_UNIT_BYTES) != 0) {
    best = add_table(&gem_avx512_amx_kernels, set);
  }
#endif
}
#elif defined(GEM_KERNELS_ARM)
static void
add_tables(void)
{
  best = add_table(&gem_neon_kernels, best);

  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) == 0) {
    return;
  }
  best = add_table(&gem_neon_dot_kernels, best);

  if ((getauxval(AT_HWCAP2) & HWCAP2_I8MM) == 0) {
    return;
  }
  best = add_table(&gem_neon_i8mm_kernels, best);
}
#else
static void
add_tables(void)
{
}
#endif

static void
choose(void)
{
  best = add_table(&gem_reference_kernels, &gem_reference_kernels);
  add_tables();
}

static void
choose_once(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose);
}

size_t
gem_kernels_count(void)
{
  choose_once();
  return n_tables;
}

const GemKernels *
gem_kernels_nth(size_t index)
{
  return index < gem_kernels_count() ? &tables[index] : NULL;
}

const GemKernels *
gem_kernels_reference(void)
{
  return gem_kernels_nth(0);
}

const GemKernels *
gem_kernels_best(void)
{
  choose_once();
  return best;
}

const GemKernels *
gem_kernels_by_name(const char *name)
{
  for (size_t i = 0; i < gem_kernels_count(); i++) {
    if (strcmp(tables[i].name, name) == 0) {
      return &tables[i];
    }
  }
  return NULL;
}

const GemKernels *
gem_kernels_chosen(void)
{
#ifdef GEM_CPU_KERNELS_FROM_ENVIRONMENT
  const char *name = secure_getenv("GEM_CPU_KERNELS");
  if (name != NULL && *name != '\0') {
    return gem_kernels_by_name(name);
  }
#endif
  return gem_kernels_best();
}
