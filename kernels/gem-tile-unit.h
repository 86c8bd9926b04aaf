/* The tile unit (AMX) of x86 processors. */
#pragma once

/* What it multiplies. */
enum { GEM_TILE_UNIT_BYTES = 1, GEM_TILE_UNIT_BF16 = 2 };

/* A sum of the above; 0 where there is no tile unit, or the operating system does not keep its registers.
 * Asks Linux for the right to use them, which the process has from then on. */
unsigned
gem_tile_unit(void);
