#include "kernels/gem-tile-unit.h"

#ifdef GEM_KERNELS_X86
#include <cpuid.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What not every compiler and C library has a name for. */
#define BIT_AMX_BF16        (1u << 22)
#define BIT_AMX_TILE        (1u << 24)
#define BIT_AMX_INT8        (1u << 25)
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_XTILEDATA  18

static unsigned products;

static void
ask(void)
{
  unsigned eax, ebx, ecx, edx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & BIT_AMX_TILE) == 0 ||
      syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) != 0) {
    return;
  }
  products = ((edx & BIT_AMX_INT8) != 0 ? GEM_TILE_UNIT_BYTES : 0) |
             ((edx & BIT_AMX_BF16) != 0 ? GEM_TILE_UNIT_BF16 : 0);
}

unsigned
gem_tile_unit(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, ask);
  return products;
}
#else
unsigned
gem_tile_unit(void)
{
  return 0;
}
#endif
