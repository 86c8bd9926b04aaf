#include "plugins/backends/cpu/gem-cpu-keeping.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plugins/backends/cpu/gem-cpu-thread.h"

struct GemCpuWriting {
  pthread_t thread;
  const GemCpuKeep *keep;
  char digest[GEM_CPU_DIGEST_BYTES];
  GemCpuKeptMatrix *matrices; /* [count] */
  size_t count;
  GemCpuKeepControl control;
  atomic_bool done;
};

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
  self->is_missing = false;
  self->has_group = false;
}

/* ---- writing ---- */

static void *
write_file(void *data)
{
  GemCpuWriting *self = data;
  (void)gem_cpu_keep_write(self->keep, self->digest, self->matrices, self->count, &self->control);
  atomic_store(&self->done, true);
  return NULL;
}

/* Gives it up, unless it is written but for the disk, and waits until its matrices are not needed: for as
 * long as a part of 256 KB takes. */
static void
release(GemCpuWriting *self)
{
  const struct timespec moment = {.tv_nsec = 20000};
  atomic_store(&self->control.stop, true);
  while (!atomic_load(&self->control.released)) {
    nanosleep(&moment, NULL);
  }
}

/* Until it is on the disk, or given up. */
static void
end_writing(GemCpuKeeping *self)
{
  if (self->writing != NULL) {
    release(self->writing);
    pthread_join(self->writing->thread, NULL);
    free(self->writing->matrices);
    free(self->writing);
    self->writing = NULL;
  }
}

/* Counts one more try; false: there were enough. */
static bool
may_try(GemCpuKeeping *self)
{
  for (size_t i = 0; i < self->n_tries; i++) {
    if (strcmp(self->tries[i].digest, self->digest) == 0) {
      return self->tries[i].times++ < GEM_CPU_KEEPING_TRIES;
    }
  }
  if (self->n_tries == GEM_CPU_KEEP_FILES) {
    return false;
  }
  memcpy(self->tries[self->n_tries].digest, self->digest, sizeof self->digest);
  self->tries[self->n_tries++].times = 1;
  return true;
}

/* Takes over the draft. */
static void
begin_writing(GemCpuKeeping *self)
{
  GemCpuWriting *writing = calloc(1, sizeof *writing);
  if (writing == NULL) {
    return;
  }
  writing->keep = self->keep;
  memcpy(writing->digest, self->digest, sizeof writing->digest);
  writing->matrices = self->draft;
  writing->count = self->count;
  if (!gem_cpu_thread_start(&writing->thread, write_file, writing)) {
    free(writing);
    return;
  }
  self->writing = writing;
  self->draft = NULL;
}

static bool
is_written(const GemCpuWriting *self, const uint8_t *data)
{
  for (size_t i = 0; i < self->count; i++) {
    if (self->matrices[i].packed.data == data) {
      return true;
    }
  }
  return false;
}

/* ---- a group ---- */

void
gem_cpu_keeping_close(GemCpuKeeping *self)
{
  forget(self);
  end_writing(self);
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
    snprintf(self->digest, sizeof self->digest, "%s", digest);
    self->kept = gem_cpu_keep_map(self->keep, digest, &self->is_missing);
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
  if (!locate(self, tensor, &offset) || !self->is_missing) {
    return;
  }
  if (self->count == self->room) {
    size_t room = 2 * self->room + 16;
    GemCpuKeptMatrix *draft = realloc(self->draft, room * sizeof *draft);
    if (draft == NULL) {
      self->count = 0; /* all of it or nothing */
      self->is_missing = false;
      return;
    }
    self->draft = draft;
    self->room = room;
  }
  self->draft[self->count++] = (GemCpuKeptMatrix){.offset = offset, .packed = *packed};
}

void
gem_cpu_keeping_remove(GemCpuKeeping *self, const GemPacked *packed)
{
  if (self->writing != NULL && is_written(self->writing, packed->data)) {
    release(self->writing);
  }
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
  if (self->writing != NULL && atomic_load(&self->writing->done)) {
    end_writing(self);
  }
  if (self->count > 0 && self->writing == NULL && may_try(self)) {
    sort_draft(self);
    begin_writing(self);
  }
  forget(self);
}
