/* Memory between two pages that may not be touched, which it reaches on one side. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  const char *name;
  uint8_t *bytes;
  size_t size;
  bool is_sealed;
  uint8_t fill;
  uint8_t *map; /* with the pages that may not be touched, one at each end */
  size_t map_bytes;
} Guarded;

/* `size` bytes of `fill`. At the end: the page follows the size rounded up to `alignment` (a power of 2);
 * otherwise the page goes before. false: there is no memory. */
bool
guarded_init(Guarded *self, const char *name, size_t size, size_t alignment, bool at_end, uint8_t fill);
void
guarded_free(Guarded *self);

/* Writing to it faults. */
void
guarded_seal(Guarded *self);

/* Whether a byte beside it that could be written was; `ret_at` is where, counted from its beginning. */
bool
guarded_find_damage(const Guarded *self, ptrdiff_t *ret_at);

/* Whether the address belongs to it or the pages around it; `ret_at` as above. */
bool
guarded_has(const Guarded *self, const void *address, ptrdiff_t *ret_at);
