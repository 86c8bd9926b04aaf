/* Weights in the form that the kernels take: packed once, when they come in. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "plugins/backends/cpu/gem-cpu.h"
#include "plugins/support/gem-plugin-support.h"

/* Bytes that are read and packed at a time: they stay in a core's own cache between the two. */
#define PART_BYTES 65536

typedef enum { PACKED, OUT_OF_MEMORY, NOT_READ } Outcome;

typedef struct {
  const GemKernels *kernels;
  const GemTensorView *tensor;
  const GemMatrix *matrix;
  size_t panels;      /* of a part */
  bool fetches;       /* the pages of a part, by who packs it */
  atomic_int outcome; /* Outcome: of a part that failed, if one did. Its errno stays with its thread */
} Packing;

/* Packs `rows` rows, `offset` bytes into the tensor, that lie on disk, by way of `room`, if they fit. */
static Outcome
pack_from_disk(
    const Packing *packing, size_t rows, size_t offset, size_t bytes, uint8_t *room, uint8_t *panels)
{
  const GemTensorView *tensor = packing->tensor;
  uint8_t *stored = bytes <= PART_BYTES ? room : malloc(bytes);
  if (stored == NULL) {
    return OUT_OF_MEMORY;
  }
  bool there = tensor->read(tensor, offset, bytes, stored);
  if (there) {
    packing->kernels->pack(packing->matrix->packed.type, rows, tensor->cols, stored, panels);
  }
  if (stored != room) {
    free(stored);
  }
  return there ? PACKED : NOT_READ;
}

/* Panels from `part` of `parts` to the next: whole ones, so that no two parts write to the same. */
static void
pack_part(void *context, size_t part, size_t parts)
{
  uint8_t room[PART_BYTES];
  Packing *packing = context;
  const GemTensorView *tensor = packing->tensor;
  const GemPacked *packed = &packing->matrix->packed;
  size_t count = gem_packed_panels(packed->rows);
  size_t first = part * packing->panels;
  size_t end = part + 1 == parts ? count : first + packing->panels;
  size_t panel_bytes = gem_packed_panel_bytes(packed->type, packed->cols);
  size_t row_bytes = gem_type_row_bytes(packed->type, packed->cols);
  size_t first_row = first * GEM_PANEL_ROWS;
  size_t rows = (end == count ? packed->rows : end * GEM_PANEL_ROWS) - first_row;
  uint8_t *panels = packing->matrix->data + first * panel_bytes;

  if (packing->fetches) {
    gem_cpu_group_fetch(panels, (end - first) * panel_bytes);
  }
  if (tensor->data != NULL) {
    const uint8_t *stored = tensor->data;
    packing->kernels->pack(packed->type, rows, packed->cols, stored + first_row * row_bytes, panels);
  } else {
    Outcome outcome = pack_from_disk(packing, rows, first_row * row_bytes, rows * row_bytes, room, panels);
    if (outcome != PACKED) {
      atomic_store(&packing->outcome, outcome);
    }
  }
}

static Outcome
pack(const GemBackendState *self, const GemTensorView *tensor, const GemMatrix *matrix)
{
  size_t panels = gem_packed_panels(tensor->rows);
  size_t stored_bytes = GEM_PANEL_ROWS * gem_type_row_bytes(matrix->packed.type, tensor->cols);
  Packing packing = {
      .kernels = self->kernels,
      .tensor = tensor,
      .matrix = matrix,
      .panels = stored_bytes < PART_BYTES ? PART_BYTES / stored_bytes : 1,
      .fetches = matrix->group != NULL && !self->fetched,
  };
  gem_cpu_pool_run_patiently(self->pool, pack_part, &packing, (panels + packing.panels - 1) / packing.panels);
  return (Outcome)atomic_load(&packing.outcome);
}

static void
fetch_part(void *context, size_t part, size_t parts)
{
  gem_cpu_group_fetch_piece(context, part);
}

/* Memory of the group that has begun; NULL: there is none, or it has none left, or needs none. */
static uint8_t *
take_of_group(GemBackendState *self, size_t bytes)
{
  if (self->group == NULL || self->keeping.kept != NULL) {
    return NULL; /* of a file that is kept little is left to pack: no more than vectors */
  }
  bool is_new = gem_cpu_group_is_new(self->group);
  uint8_t *data = gem_cpu_group_take(self->group, bytes);
  if (!is_new) {
    return data;
  }
  /* One thread packs into pages that it has just had cleared, and that are in its cache. Several would wait
   * for each other, or clear the same large page, so they fetch all before they pack. */
  size_t pieces = gem_cpu_group_pieces(self->group);
  self->fetched = pieces == 0 || gem_cpu_pool_threads(self->pool) > 1;
  if (self->fetched) {
    gem_cpu_pool_run_patiently(self->pool, fetch_part, self->group, pieces);
  }
  return data;
}

/* Sets `data` and `group`. */
static bool
take_memory(GemBackendState *self, GemMatrix *matrix, size_t bytes)
{
  matrix->data = take_of_group(self, bytes);
  if (matrix->data != NULL) {
    matrix->group = self->group;
    return true;
  }
  matrix->data = aligned_alloc(GEM_PACKED_ALIGNMENT, bytes);
  return matrix->data != NULL;
}

/* Memory of its own, and packed into it. False: `error` says why; `matrix` is gone. */
static bool
pack_new(GemBackendState *self, const GemTensorView *tensor, GemMatrix *matrix, GemPluginError *error)
{
  const GemPacked *packed = &matrix->packed;
  size_t bytes = gem_packed_bytes(packed->type, packed->rows, packed->cols);
  if (!take_memory(self, matrix, bytes)) {
    free(matrix);
    gem_plugin_set_error(error, "out of memory (%zu bytes)", bytes);
    return false;
  }
  matrix->packed.data = matrix->data;
  Outcome outcome = pack(self, tensor, matrix);
  if (outcome != PACKED) {
    gem_cpu_matrix_free(self, matrix);
  }
  if (outcome == OUT_OF_MEMORY) {
    gem_plugin_set_error(error, "out of memory (%zu bytes)",
                         GEM_PANEL_ROWS * gem_type_row_bytes((GemType)tensor->type, tensor->cols));
    errno = ENOMEM;
  } else if (outcome == NOT_READ) {
    gem_plugin_set_error(error, "its bytes cannot be read");
  }
  return outcome == PACKED;
}

GemMatrix *
gem_cpu_matrix_new(GemBackendState *self, const GemTensorView *tensor, GemPluginError *error)
{
  if (!gem_type_is_known(tensor->type)) {
    gem_plugin_set_error(error, "type %u is not known", tensor->type);
    return NULL;
  }
  GemType type = (GemType)tensor->type;
  size_t row_bytes = gem_type_row_bytes(type, tensor->cols);
  if (row_bytes == 0 || tensor->bytes / row_bytes != tensor->rows || tensor->bytes % row_bytes != 0) {
    gem_plugin_set_error(error, "%zu x %zu values of type %s do not make %zu bytes", tensor->rows,
                         tensor->cols, gem_type_name(tensor->type), tensor->bytes);
    return NULL;
  }

  GemMatrix *matrix = calloc(1, sizeof *matrix);
  if (matrix == NULL) {
    gem_plugin_set_error(error, "out of memory (%zu bytes)", sizeof *matrix);
    return NULL;
  }
  matrix->packed = (GemPacked){.type = type, .rows = tensor->rows, .cols = tensor->cols};
  matrix->packed.data = gem_cpu_keeping_find(&self->keeping, tensor, type, &matrix->kept);
  if (matrix->packed.data != NULL) {
    if (self->group != NULL) {
      gem_cpu_group_give_back(self->group);
    }
    return matrix;
  }
  if (!pack_new(self, tensor, matrix, error)) {
    return NULL;
  }
  gem_cpu_keeping_add(&self->keeping, tensor, &matrix->packed);
  return matrix;
}

void
gem_cpu_matrix_free(GemBackendState *self, GemMatrix *matrix)
{
  const GemPacked *packed = &matrix->packed;
  gem_cpu_keeping_remove(&self->keeping, packed);
  if (matrix->kept != NULL) {
    gem_cpu_kept_unref(matrix->kept);
  } else if (matrix->group != NULL) {
    gem_cpu_group_return(matrix->group, matrix->data,
                         gem_packed_bytes(packed->type, packed->rows, packed->cols), self->group);
  } else {
    free(matrix->data);
  }
  free(matrix);
}

void
gem_cpu_group_begin(GemBackendState *self, size_t bytes)
{
  /* Without a group matrices have memory of their own each. */
  self->group = gem_cpu_group_new(bytes);
  gem_cpu_keeping_begin(&self->keeping);
}

void
gem_cpu_group_finish(GemBackendState *self)
{
  gem_cpu_keeping_end(&self->keeping);
  if (self->group != NULL) {
    gem_cpu_group_end(self->group);
    self->group = NULL;
  }
}

size_t
gem_cpu_matrix_bytes(const GemMatrix *matrix)
{
  const GemPacked *packed = &matrix->packed;
  return sizeof *matrix + gem_packed_bytes(packed->type, packed->rows, packed->cols);
}

void
gem_cpu_matrix_row(GemBackendState *self, const GemMatrix *matrix, size_t row, float *values)
{
  gem_packed_row(&matrix->packed, row, values);
}
