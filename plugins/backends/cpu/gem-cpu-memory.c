#include "plugins/backends/cpu/gem-cpu-memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/gem-packed.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

#define LARGE_PAGE ((size_t)2 << 20)

/* Bytes of small pages that are fetched as one piece. */
#define PIECE_BYTES ((size_t)256 << 10)

/* Beyond the bytes of the file: a 64th (kernels/gem-packed.h pads by less), and a panel's padding of a few
 * dozen small matrices. */
#define SLACK(bytes) ((bytes) / 64 + 65536)

struct GemCpuGroup {
  uint8_t *start; /* aligned to LARGE_PAGE */
  size_t bytes;   /* that are mapped, whole pages */
  size_t large;   /* of them, that large pages are wanted for */
  size_t wanted;  /* that it was made for: whole pages of those that will be used, but for padding */
  size_t used;
  size_t live; /* of what is used, not given back yet */
  bool ended;
};

static size_t
round_up(size_t bytes, size_t step)
{
  return (bytes + step - 1) / step * step;
}

static size_t
page_bytes(void)
{
  return (size_t)sysconf(_SC_PAGESIZE);
}

/* Addresses that start at a large page; NULL: none. What was mapped to find one goes back. */
static uint8_t *
map_aligned(size_t bytes)
{
  uint8_t *map = mmap(NULL, bytes + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) {
    return NULL;
  }
  size_t before = round_up((uintptr_t)map, LARGE_PAGE) - (uintptr_t)map;
  if (before > 0) {
    munmap(map, before);
  }
  munmap(map + before + bytes, LARGE_PAGE - before);
  return map + before;
}

GemCpuGroup *
gem_cpu_group_new(size_t bytes)
{
  if (bytes > SIZE_MAX / 2) {
    return NULL;
  }
  GemCpuGroup *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return NULL;
  }
  self->bytes = round_up(bytes + SLACK(bytes), page_bytes());
  self->start = map_aligned(self->bytes);
  if (self->start == NULL) {
    free(self);
    return NULL;
  }
  /* The last part is of small pages: a large one would take more than is needed. A wish, as all advice. */
  self->large = bytes / LARGE_PAGE * LARGE_PAGE;
  self->wanted = round_up(bytes, page_bytes());
  if (self->large > 0) {
    (void)madvise(self->start, self->large, MADV_HUGEPAGE);
  }
  return self;
}

static void
group_free(GemCpuGroup *self)
{
  if (self->bytes > 0) {
    munmap(self->start, self->bytes);
  }
  free(self);
}

void
gem_cpu_group_end(GemCpuGroup *self)
{
  size_t kept = round_up(self->used, page_bytes());
  if (kept < self->bytes) {
    munmap(self->start + kept, self->bytes - kept);
    self->bytes = kept;
  }
  self->ended = true;
  if (self->live == 0) {
    group_free(self);
  }
}

uint8_t *
gem_cpu_group_take(GemCpuGroup *self, size_t bytes)
{
  if (bytes > self->bytes - self->used) {
    return NULL;
  }
  uint8_t *data = self->start + self->used;
  self->used += bytes;
  self->live += bytes;
  return data;
}

void
gem_cpu_group_fetch(const uint8_t *data, size_t bytes)
{
  /* All at once: a fault for each would cost as much as the packing. Those that are there stay as they are.
   */
  uintptr_t first = (uintptr_t)data / page_bytes() * page_bytes();
  uintptr_t end = round_up((uintptr_t)data + bytes, page_bytes());
  (void)madvise((void *)first, end - first, MADV_POPULATE_WRITE);
}

size_t
gem_cpu_group_pieces(const GemCpuGroup *self)
{
  return self->large / LARGE_PAGE + (self->wanted - self->large + PIECE_BYTES - 1) / PIECE_BYTES;
}

void
gem_cpu_group_fetch_piece(const GemCpuGroup *self, size_t piece)
{
  size_t n_large = self->large / LARGE_PAGE;
  size_t first = piece < n_large ? piece * LARGE_PAGE : self->large + (piece - n_large) * PIECE_BYTES;
  size_t bytes = piece < n_large ? LARGE_PAGE : PIECE_BYTES;
  size_t left = self->wanted - first;
  gem_cpu_group_fetch(self->start + first, bytes < left ? bytes : left);
}

void
gem_cpu_group_return(GemCpuGroup *self, uint8_t *data, size_t bytes)
{
  self->live -= bytes;
  if (!self->ended && data + bytes == self->start + self->used) {
    self->used -= bytes; /* the last one: a vector that was only unpacked */
  }
  if (self->ended && self->live == 0) {
    group_free(self);
  }
}
