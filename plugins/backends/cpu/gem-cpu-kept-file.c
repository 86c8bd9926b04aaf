#include "plugins/backends/cpu/gem-cpu-kept-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LANES      8
#define PART_BYTES ((size_t)256 << 10) /* that are checked or written at a time */
#define PIECE      (LANES * sizeof(uint64_t))

static const char magic[8] = "GEMPACK";

struct GemCpuKept {
  size_t references;
  const uint8_t *map;
  size_t bytes;
  const GemCpuKeptEntry *entries; /* in `map` */
  size_t count;
};

_Static_assert(sizeof(GemCpuKeptHead) == 128, "a whole number of pieces");
_Static_assert(PIECE == (size_t)GEM_PACKED_ALIGNMENT,
               "all that follows the head is a whole number of pieces");

static uint64_t
round_up(uint64_t bytes)
{
  return (bytes + GEM_PACKED_ALIGNMENT - 1) / GEM_PACKED_ALIGNMENT * GEM_PACKED_ALIGNMENT;
}

static uint64_t
first_place(size_t count)
{
  return round_up(sizeof(GemCpuKeptHead) + count * sizeof(GemCpuKeptEntry));
}

static size_t
bytes_of(const GemPacked *packed)
{
  return gem_packed_bytes(packed->type, packed->rows, packed->cols);
}

/* ---- the checksum ---- */

/* Against bytes that were never written, or turned over: not against who makes them on purpose. */
typedef struct {
  uint64_t lanes[LANES];
} Check;

static void
check_add(Check *self, const void *data, size_t bytes)
{
  const uint8_t *from = data;
  for (size_t at = 0; at < bytes; at += PIECE) {
    uint64_t words[LANES];
    memcpy(words, from + at, sizeof words);
    for (size_t i = 0; i < LANES; i++) {
      self->lanes[i] = (self->lanes[i] ^ words[i]) * 0x9e3779b97f4a7c15u;
      self->lanes[i] ^= self->lanes[i] >> 29;
    }
  }
}

/* In pieces: a large matrix takes a while, and nobody wants it when `stop` is set. */
static void
check_matrix(Check *self, const GemPacked *packed, const atomic_bool *stop)
{
  size_t bytes = bytes_of(packed);
  for (size_t at = 0; at < bytes && !atomic_load(stop); at += PART_BYTES) {
    check_add(self, packed->data + at, bytes - at < PART_BYTES ? bytes - at : PART_BYTES);
  }
}

static uint64_t
check_get(const Check *self)
{
  uint64_t sum = 1;
  for (size_t i = 0; i < LANES; i++) {
    sum = (sum ^ self->lanes[i]) * 0xff51afd7ed558ccdu;
    sum ^= sum >> 32;
  }
  return sum;
}

/* ---- writing ---- */

uint64_t
gem_cpu_kept_file_bytes(const GemCpuKeptMatrix *matrices, size_t count)
{
  uint64_t bytes = first_place(count);
  for (size_t i = 0; i < count; i++) {
    bytes += bytes_of(&matrices[i].packed);
  }
  return bytes;
}

static bool
write_all(int file, const void *data, size_t bytes, const atomic_bool *stop)
{
  const uint8_t *from = data;
  while (bytes > 0) {
    if (atomic_load(stop)) {
      return false;
    }
    ssize_t written = write(file, from, bytes < PART_BYTES ? bytes : PART_BYTES);
    if (written < 0 && errno != EINTR) {
      return false;
    }
    if (written > 0) {
      from += written;
      bytes -= (size_t)written;
    }
  }
  return true;
}

static void
describe(const GemCpuKeptMatrix *matrices, size_t count, GemCpuKeptEntry *entries)
{
  uint64_t place = first_place(count);
  for (size_t i = 0; i < count; i++) {
    const GemPacked *packed = &matrices[i].packed;
    entries[i] = (GemCpuKeptEntry){.offset = matrices[i].offset,
                                   .place = place,
                                   .rows = packed->rows,
                                   .cols = packed->cols,
                                   .type = (uint32_t)packed->type};
    place += bytes_of(packed);
  }
}

bool
gem_cpu_kept_file_write(
    int file, const char *digest, const GemCpuKeptMatrix *matrices, size_t count, const atomic_bool *stop)
{
  size_t start = first_place(count);
  uint8_t *beginning = calloc(1, start); /* head and entries */
  if (beginning == NULL) {
    return false;
  }
  GemCpuKeptHead head = {.form = GEM_PACKED_FORM, .count = (uint32_t)count};
  Check check = {0};
  memcpy(head.magic, magic, sizeof magic);
  memcpy(head.digest, digest, sizeof head.digest);
  head.bytes = gem_cpu_kept_file_bytes(matrices, count);
  describe(matrices, count, (GemCpuKeptEntry *)(void *)(beginning + sizeof head));
  memcpy(beginning, &head, sizeof head);
  check_add(&check, beginning, start);
  for (size_t i = 0; i < count && !atomic_load(stop); i++) {
    check_matrix(&check, &matrices[i].packed, stop);
  }
  head.check = check_get(&check);
  memcpy(beginning, &head, sizeof head);
  bool written = write_all(file, beginning, start, stop);
  free(beginning);
  for (size_t i = 0; i < count && written; i++) {
    written = write_all(file, matrices[i].packed.data, bytes_of(&matrices[i].packed), stop);
  }
  return written;
}

/* ---- mapping ---- */

/* Whether an entry's type is one that is packed, its order that of the model file, and its bytes lie in the
 * file. */
static bool
entry_holds(const GemCpuKept *self, size_t i)
{
  const GemCpuKeptEntry *entry = &self->entries[i];
  if (!gem_type_is_known(entry->type) || entry->rows == 0 || entry->rows > self->bytes || entry->cols == 0 ||
      entry->cols > self->bytes || (i > 0 && entry->offset <= self->entries[i - 1].offset)) {
    return false;
  }
  size_t panel_bytes = gem_packed_panel_bytes((GemType)entry->type, entry->cols);
  if (panel_bytes == 0 || gem_packed_panels(entry->rows) > self->bytes / panel_bytes) {
    return false;
  }
  size_t bytes = gem_packed_bytes((GemType)entry->type, entry->rows, entry->cols);
  return entry->place % GEM_PACKED_ALIGNMENT == 0 && entry->place <= self->bytes &&
         bytes <= self->bytes - entry->place;
}

static bool
holds(const GemCpuKept *self, const char *digest, bool checked)
{
  const GemCpuKeptHead *head = (const void *)self->map;
  if (memcmp(head->magic, magic, sizeof magic) != 0 || head->form != GEM_PACKED_FORM ||
      memcmp(head->digest, digest, sizeof head->digest) != 0 || head->bytes != self->bytes ||
      self->bytes % PIECE != 0 || head->count > (self->bytes - sizeof *head) / sizeof(GemCpuKeptEntry)) {
    return false;
  }
  if (checked) {
    GemCpuKeptHead unchecked = *head;
    Check check = {0};
    unchecked.check = 0;
    check_add(&check, &unchecked, sizeof unchecked);
    check_add(&check, self->map + sizeof *head, self->bytes - sizeof *head);
    if (check_get(&check) != head->check) {
      return false;
    }
  }
  for (size_t i = 0; i < self->count; i++) {
    if (!entry_holds(self, i)) {
      return false;
    }
  }
  return true;
}

GemCpuKept *
gem_cpu_kept_file_map(int file, uint64_t bytes, const char *digest, bool checked)
{
  errno = 0;
  if (bytes < sizeof(GemCpuKeptHead) || bytes > GEM_CPU_KEEP_FILE_BYTES) {
    return NULL;
  }
  GemCpuKept *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return NULL;
  }
  void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  if (map == MAP_FAILED) {
    free(self);
    return NULL;
  }
  *self = (GemCpuKept){.references = 1,
                       .map = map,
                       .bytes = bytes,
                       .entries = (const void *)((const uint8_t *)map + sizeof(GemCpuKeptHead)),
                       .count = ((const GemCpuKeptHead *)map)->count};
  if (!holds(self, digest, checked)) {
    gem_cpu_kept_unref(self);
    errno = 0;
    return NULL;
  }
  return self;
}

GemCpuKept *
gem_cpu_kept_ref(GemCpuKept *self)
{
  self->references++;
  return self;
}

void
gem_cpu_kept_unref(GemCpuKept *self)
{
  if (--self->references == 0) {
    munmap((void *)(uintptr_t)self->map, self->bytes);
    free(self);
  }
}

static int
compare_offsets(const void *key, const void *entry)
{
  uint64_t a = *(const uint64_t *)key, b = ((const GemCpuKeptEntry *)entry)->offset;
  return a < b ? -1 : a > b;
}

const uint8_t *
gem_cpu_kept_find(const GemCpuKept *self, uint64_t offset, GemType type, size_t rows, size_t cols)
{
  const GemCpuKeptEntry *entry = bsearch(&offset, self->entries, self->count, sizeof *entry, compare_offsets);
  if (entry == NULL || entry->type != (uint32_t)type || entry->rows != rows || entry->cols != cols) {
    return NULL;
  }
  return self->map + entry->place;
}
