#include "plugins/backends/cpu/gem-cpu-keeping.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void
gem_cpu_keeping_open(GemCpuKeeping *self, const GemBackendOptions *options)
{
  *self = (GemCpuKeeping){0};
  if (options->struct_size < offsetof(GemBackendOptions, locate) + sizeof options->locate ||
      options->cache_dir == NULL || options->locate == NULL) {
    return;
  }
  self->locate = options->locate;
  self->keep = gem_cpu_keep_new(options->cache_dir);
}

static void
forget(GemCpuKeeping *self)
{
  if (self->kept != NULL) {
    gem_cpu_kept_unref(self->kept);
  }
  free(self->draft);
  self->kept = NULL;
  self->draft = NULL;
  self->count = self->room = 0;
  self->digest[0] = '\0';
  self->has_group = false;
}

void
gem_cpu_keeping_close(GemCpuKeeping *self)
{
  forget(self);
  gem_cpu_keep_free(self->keep);
  self->keep = NULL;
}

void
gem_cpu_keeping_begin(GemCpuKeeping *self)
{
  forget(self);
  self->has_group = self->keep != NULL;
}

/* Where a tensor of the group's model file lies in it; false: it is not to be kept, or of another file. */
static bool
locate(GemCpuKeeping *self, const GemTensorView *tensor, uint64_t *ret_offset)
{
  const char *digest;
  if (!self->has_group || !self->locate(tensor, &digest, ret_offset) ||
      strlen(digest) >= sizeof self->digest) {
    return false;
  }
  if (self->digest[0] == '\0') {
    strcpy(self->digest, digest);
    self->kept = gem_cpu_keep_map(self->keep, digest);
  }
  return strcmp(self->digest, digest) == 0;
}

const uint8_t *
gem_cpu_keeping_find(GemCpuKeeping *self, const GemTensorView *tensor, GemType type, GemCpuKept **ret_kept)
{
  uint64_t offset;
  if (!locate(self, tensor, &offset) || self->kept == NULL) {
    return NULL;
  }
  const uint8_t *data = gem_cpu_kept_find(self->kept, offset, type, tensor->rows, tensor->cols);
  if (data != NULL) {
    *ret_kept = gem_cpu_kept_ref(self->kept);
  }
  return data;
}

void
gem_cpu_keeping_add(GemCpuKeeping *self, const GemTensorView *tensor, const GemPacked *packed)
{
  uint64_t offset;
  if (!locate(self, tensor, &offset) || self->kept != NULL) {
    return;
  }
  if (self->count == self->room) {
    size_t room = 2 * self->room + 16;
    GemCpuKeptMatrix *draft = realloc(self->draft, room * sizeof *draft);
    if (draft == NULL) {
      return; /* it will be packed again */
    }
    self->draft = draft;
    self->room = room;
  }
  self->draft[self->count++] = (GemCpuKeptMatrix){.offset = offset, .packed = *packed};
}

void
gem_cpu_keeping_remove(GemCpuKeeping *self, const GemPacked *packed)
{
  for (size_t i = 0; i < self->count; i++) {
    if (self->draft[i].packed.data == packed->data) {
      self->draft[i] = self->draft[--self->count];
      return;
    }
  }
}

static int
compare_matrices(const void *first, const void *second)
{
  const GemCpuKeptMatrix *a = first, *b = second;
  return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* In the order of the model file, each once. */
static void
sort_draft(GemCpuKeeping *self)
{
  size_t count = 0;
  qsort(self->draft, self->count, sizeof *self->draft, compare_matrices);
  for (size_t i = 0; i < self->count; i++) {
    if (count == 0 || self->draft[count - 1].offset != self->draft[i].offset) {
      self->draft[count++] = self->draft[i];
    }
  }
  self->count = count;
}

void
gem_cpu_keeping_end(GemCpuKeeping *self)
{
  if (self->count > 0) {
    sort_draft(self);
    (void)gem_cpu_keep_write(self->keep, self->digest, self->draft, self->count);
  }
  forget(self);
}
