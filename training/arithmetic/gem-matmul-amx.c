/* A block of results stands in four accumulator tiles. */
#include "training/arithmetic/gem-matmul-amx.h"

#if defined(__x86_64__) && defined(GEM_HAVE_AMX)

#include "kernels/gem-tile-shapes.h"
#include "kernels/gem-tile-unit.h"

bool
gem_matmul_amx_available(void)
{
  return gem_matmul_bf16_available() && (gem_tile_unit() & GEM_TILE_UNIT_BF16) != 0;
}

static void
multiply_block(const uint16_t *a, const uint16_t *b, size_t steps, bool add, float *c, size_t ldc)
{
  size_t stride = ldc * sizeof(float);
  if (add) {
    _tile_loadd(0, c, stride);
    _tile_loadd(1, c + 16, stride);
    _tile_loadd(2, c + 16 * ldc, stride);
    _tile_loadd(3, c + 16 * ldc + 16, stride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (size_t s = 0; s < steps; s++, a += 2 * GEM_BF16_TILE_VALUES, b += 2 * GEM_BF16_TILE_VALUES) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + GEM_BF16_TILE_VALUES, 64);
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + GEM_BF16_TILE_VALUES, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, stride);
  _tile_stored(1, c + 16, stride);
  _tile_stored(2, c + 16 * ldc, stride);
  _tile_stored(3, c + 16 * ldc + 16, stride);
}

void
gem_matmul_amx(const GemProduct *product)
{
  gem_tile_shapes_load_largest();
  gem_matmul_bf16(product, multiply_block);
  _tile_release();
}

#else

bool
gem_matmul_amx_available(void)
{
  return false;
}

void
gem_matmul_amx(const GemProduct *product)
{
  __builtin_trap(); /* never reached: gem_matmul_amx_available() is false */
}

#endif
