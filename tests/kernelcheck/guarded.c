#include "tests/kernelcheck/guarded.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t
page_bytes(void)
{
  return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t
round_up(size_t bytes, size_t unit)
{
  return (bytes + unit - 1) / unit * unit;
}

/* Between the two guards. */
static uint8_t *
usable(const Guarded *self, size_t *ret_bytes)
{
  *ret_bytes = self->map_bytes - 2 * page_bytes();
  return self->map + page_bytes();
}

bool
guarded_init(Guarded *self, const char *name, size_t size, size_t alignment, bool at_end, uint8_t fill)
{
  size_t aligned = round_up(size, alignment);
  size_t bytes = round_up(aligned > 0 ? aligned : 1, page_bytes());
  *self = (Guarded){.name = name, .size = size, .fill = fill, .map_bytes = bytes + 2 * page_bytes()};
  self->map = mmap(NULL, self->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (self->map == MAP_FAILED) {
    return false;
  }
  uint8_t *start = usable(self, &bytes);
  if (mprotect(start, bytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(self->map, self->map_bytes);
    return false;
  }
  memset(start, fill, bytes);
  self->bytes = at_end ? start + bytes - aligned : start;
  return true;
}

void
guarded_free(Guarded *self)
{
  munmap(self->map, self->map_bytes);
}

void
guarded_seal(Guarded *self)
{
  size_t bytes;
  uint8_t *start = usable(self, &bytes);
  self->is_sealed = mprotect(start, bytes, PROT_READ) == 0;
}

bool
guarded_find_damage(const Guarded *self, ptrdiff_t *ret_at)
{
  size_t bytes;
  const uint8_t *start = usable(self, &bytes);
  for (const uint8_t *byte = start; byte < start + bytes; byte++) {
    if (byte == self->bytes) {
      byte += self->size;
      if (byte == start + bytes) {
        break;
      }
    }
    if (*byte != self->fill) {
      *ret_at = byte - self->bytes;
      return true;
    }
  }
  return false;
}

bool
guarded_has(const Guarded *self, const void *address, ptrdiff_t *ret_at)
{
  const uint8_t *byte = address;
  if (byte < self->map || byte >= self->map + self->map_bytes) {
    return false;
  }
  *ret_at = byte - self->bytes;
  return true;
}
