#include "plugins/backends/cpu/gem-cpu-memory.h"

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

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* since Linux 4.17 */
#endif

struct GemCpuGroup {
  uint8_t *start; /* aligned to LARGE_PAGE; NULL: nothing is mapped yet */
  size_t there;   /* bytes that it took over, pages that are there; mapped before the rest is */
  size_t bytes;   /* that it has or will have, whole pages */
  size_t large;   /* of them, that large pages are wanted for */
  size_t wanted;  /* that it was made for: whole pages of those that will be used, but for padding */
  size_t used;
  size_t live;  /* of what is used, not given back yet */
  bool begun;   /* something was taken, or tried to */
  bool fetched; /* next to all that is wanted was there from the beginning */
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
  self->large = bytes / LARGE_PAGE * LARGE_PAGE;
  self->wanted = round_up(bytes, page_bytes());
  return self;
}

static void
unmap(GemCpuGroup *self)
{
  if (self->start != NULL) {
    munmap(self->start, self->there > 0 ? self->there : self->bytes);
  }
  self->start = NULL;
  self->there = 0;
}

static void
group_free(GemCpuGroup *self)
{
  unmap(self);
  free(self);
}

/* Whether what was taken over is enough, but for padding, of which there may be none: what does not fit then
 * has memory of its own. */
static bool
is_enough(const GemCpuGroup *self)
{
  return self->there >= self->wanted - self->wanted / 32;
}

/* Brings what was taken over to its own size; false: it is too small, and there is something behind it. */
static bool
fit(GemCpuGroup *self)
{
  uint8_t *end = self->start + self->there;
  if (self->there > self->bytes) {
    munmap(self->start + self->bytes, self->there - self->bytes);
    return true;
  }
  if (is_enough(self)) {
    self->bytes = self->there;
    return true;
  }
  uint8_t *more = mmap(end, self->bytes - self->there, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (more != MAP_FAILED && more != end) {
    munmap(more, self->bytes - self->there); /* a system that takes the flag for a wish */
  }
  return more == end;
}

/* Addresses for all of it. */
static bool
map(GemCpuGroup *self)
{
  if (self->start != NULL && !fit(self)) {
    unmap(self);
  }
  self->fetched = self->start != NULL && is_enough(self);
  if (self->start == NULL) {
    self->start = map_aligned(self->bytes);
  }
  self->there = 0; /* from here on, what is mapped is `bytes` */
  /* The last part is of small pages: a large one would take more than is needed. A wish, as all advice. */
  if (self->start != NULL && self->large > 0 && !self->fetched) {
    (void)madvise(self->start, self->large, MADV_HUGEPAGE);
  }
  return self->start != NULL;
}

void
gem_cpu_group_end(GemCpuGroup *self)
{
  self->ended = true;
  if (self->live == 0) {
    group_free(self);
    return;
  }
  size_t kept = round_up(self->used, page_bytes());
  if (kept < self->bytes) {
    munmap(self->start + kept, self->bytes - kept);
    self->bytes = kept;
  }
}

void
gem_cpu_group_give_back(GemCpuGroup *self)
{
  if (!self->begun) {
    unmap(self);
  }
}

bool
gem_cpu_group_is_new(const GemCpuGroup *self)
{
  return !self->begun;
}

uint8_t *
gem_cpu_group_take(GemCpuGroup *self, size_t bytes)
{
  if (!self->begun) {
    self->begun = true;
    if (!map(self)) {
      self->bytes = 0;
    }
  }
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
  if (self->fetched || self->bytes == 0) {
    return 0;
  }
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

/* Whether `heir` took over what is mapped of a group that goes. */
static bool
leave_to(GemCpuGroup *heir, const GemCpuGroup *self)
{
  if (heir == NULL || heir->begun || heir->start != NULL || self->start == NULL) {
    return false;
  }
  heir->start = self->start;
  heir->there = self->bytes;
  return true;
}

void
gem_cpu_group_return(GemCpuGroup *self, uint8_t *data, size_t bytes, GemCpuGroup *heir)
{
  self->live -= bytes;
  if (!self->ended && data + bytes == self->start + self->used) {
    self->used -= bytes; /* the last one: a vector that was only unpacked */
  }
  if (self->ended && self->live == 0) {
    if (leave_to(heir, self)) {
      free(self);
    } else {
      group_free(self);
    }
  }
}
