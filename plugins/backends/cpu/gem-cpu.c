/*
 * The backend that every machine has: the plain C kernels on the CPU. A matrix is a copy of the file's blocks
 * as they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "kernels/gem-kernels.h"
#include "plugins/gem-plugin.h"
#include "plugins/support/gem-plugin-support.h"

/* Rows that one pass of a feed-forward takes: enough to use each weight often, few enough for the caches. */
#define FEED_FORWARD_ROWS 64

struct GemBackendState {
  const GemKernels *kernels;
  void *levels; /* inputs rounded to int8; grows like scratch */
  size_t levels_bytes;
  float *scratch; /* grows to what the largest call needed; the engine thread is the only user */
  size_t scratch_values;
};

struct GemMatrix {
  GemPacked packed;
  uint8_t *data; /* of `packed` */
};

static GemProbeResult
cpu_probe(GemProbeReport *ret_report)
{
  struct utsname system;
  const char *machine = uname(&system) == 0 ? system.machine : "unknown";
  *ret_report = (GemProbeReport){.score = 10};
  snprintf(ret_report->device, sizeof ret_report->device, "%.60s CPU", machine);
  snprintf(ret_report->kernels, sizeof ret_report->kernels, "%s", gem_kernels_best()->name);
  return GEM_PROBE_SUPPORTED;
}

static GemBackendState *
cpu_open(GemPluginError *error)
{
  GemBackendState *self = calloc(1, sizeof *self);
  if (self == NULL) {
    gem_plugin_set_error(error, "backend cpu: out of memory");
    return NULL;
  }
  self->kernels = gem_kernels_best();
  return self;
}

static void
cpu_close(GemBackendState *self)
{
  free(self->levels);
  free(self->scratch);
  free(self);
}

/* Scratch of at least that many floats; what it held is lost. A few hundred KiB at most, and its callers have
 * no way to fail: out of memory ends the process, as it does for an allocation of the daemon's own. */
static float *
reserve_scratch(GemBackendState *self, size_t values)
{
  if (values > self->scratch_values) {
    size_t grown = values + values / 2;
    free(self->scratch);
    self->scratch = malloc(grown * sizeof *self->scratch);
    if (self->scratch == NULL) {
      fprintf(stderr, "backend cpu: out of memory (%zu bytes of scratch)\n", grown * sizeof *self->scratch);
      abort();
    }
    self->scratch_values = grown;
  }
  return self->scratch;
}

static void *
reserve_levels(GemBackendState *self, size_t bytes)
{
  if (bytes > self->levels_bytes) {
    free(self->levels);
    self->levels = aligned_alloc(GEM_PACKED_ALIGNMENT, bytes);
    if (self->levels == NULL) {
      fprintf(stderr, "backend cpu: out of memory (%zu bytes of inputs)\n", bytes);
      abort();
    }
    self->levels_bytes = bytes;
  }
  return self->levels;
}

static GemMatrix *
cpu_matrix_new(GemBackendState *self, const GemTensorView *tensor, GemPluginError *error)
{
  if (!gem_type_is_known(tensor->type)) {
    gem_plugin_set_error(error, "type %u is not known", tensor->type);
    return NULL;
  }
  size_t row_bytes = gem_type_row_bytes((GemType)tensor->type, tensor->cols);
  if (row_bytes == 0 || tensor->bytes / row_bytes != tensor->rows || tensor->bytes % row_bytes != 0) {
    gem_plugin_set_error(error, "%zu x %zu values of type %s do not make %zu bytes", tensor->rows,
                         tensor->cols, gem_type_name(tensor->type), tensor->bytes);
    return NULL;
  }

  GemMatrix *matrix = malloc(sizeof *matrix);
  size_t bytes = gem_packed_bytes((GemType)tensor->type, tensor->rows, tensor->cols);
  uint8_t *data = aligned_alloc(GEM_PACKED_ALIGNMENT, bytes);
  if (matrix == NULL || data == NULL) {
    free(matrix);
    free(data);
    gem_plugin_set_error(error, "out of memory (%zu bytes)", bytes);
    return NULL;
  }
  matrix->packed =
      (GemPacked){.type = (GemType)tensor->type, .rows = tensor->rows, .cols = tensor->cols, .data = data};
  matrix->data = data;
  self->kernels->pack(matrix->packed.type, tensor->rows, tensor->cols, tensor->data, data);
  return matrix;
}

static void
cpu_matrix_free(GemBackendState *self, GemMatrix *matrix)
{
  free(matrix->data);
  free(matrix);
}

static size_t
cpu_matrix_bytes(const GemMatrix *matrix)
{
  const GemPacked *packed = &matrix->packed;
  return sizeof *matrix + gem_packed_bytes(packed->type, packed->rows, packed->cols);
}

static void
cpu_matrix_row(GemBackendState *self, const GemMatrix *matrix, size_t row, float *values)
{
  gem_packed_row(&matrix->packed, row, values);
}

static void
cpu_linear(GemBackendState *self, const GemMatrix *matrix, const float *x, size_t n, float *y)
{
  GemInputs inputs = {.n = n, .cols = matrix->packed.cols, .values = x};
  if (gem_packed_takes_levels(matrix->packed.type)) {
    gem_inputs_place(&inputs, reserve_levels(self, gem_inputs_bytes(n, inputs.cols)));
    self->kernels->quantize(&inputs, 0, n);
  }
  self->kernels->linear(&matrix->packed, 0, gem_packed_panels(matrix->packed.rows), &inputs, y);
}

static void
cpu_feed_forward(GemBackendState *self, const GemFeedForward *ffn, const float *x, size_t n, float *y)
{
  size_t width = ffn->down->packed.rows;
  size_t hidden = ffn->down->packed.cols;
  size_t most = n < FEED_FORWARD_ROWS ? n : FEED_FORWARD_ROWS;
  float *gate = reserve_scratch(self, most * (2 * hidden + width)); /* [most][hidden] */
  float *up = gate + most * hidden;                                 /* [most][hidden] */
  float *down = up + most * hidden;                                 /* [most][width] */

  for (size_t first = 0; first < n; first += most) {
    size_t rows = n - first < most ? n - first : most;
    cpu_linear(self, ffn->gate, x + first * width, rows, gate);
    cpu_linear(self, ffn->up, x + first * width, rows, up);
    self->kernels->swiglu(gate, up, rows * hidden, gate);
    cpu_linear(self, ffn->down, gate, rows, down);
    for (size_t i = 0; i < rows * width; i++) {
      y[first * width + i] += down[i];
    }
  }
}

static void
cpu_rms_norm(
    GemBackendState *self, const float *x, const float *weight, size_t n, size_t d, float epsilon, float *y)
{
  self->kernels->rms_norm(x, weight, n, d, epsilon, y);
}

static void
cpu_rope(GemBackendState *self,
         float *x,
         const uint32_t *positions,
         size_t n,
         size_t heads,
         size_t head_dim,
         size_t rope_dim,
         float base)
{
  self->kernels->rope(x, positions, n, heads, head_dim, rope_dim, base);
}

static void
cpu_gelu(GemBackendState *self, float *x, size_t count)
{
  self->kernels->gelu(x, count);
}

static void
cpu_softmax(GemBackendState *self, float *x, size_t n)
{
  self->kernels->softmax(x, n);
}

static void
cpu_scar_assign(GemBackendState *self,
                const float *u,
                size_t n,
                size_t d,
                const float *centroids,
                size_t k,
                uint8_t *clusters)
{
  self->kernels->scar_assign(u, n, d, centroids, k, clusters);
}

static GemKvRows
kernel_rows(const GemKeyValueRows *rows)
{
  return (GemKvRows){
      .type = (GemType)rows->type,
      .data = rows->data,
      .row_bytes = rows->row_bytes,
      .head_bytes = rows->head_bytes,
  };
}

static void
cpu_attend(GemBackendState *self,
           const float *q,
           size_t heads,
           size_t kv_heads,
           size_t head_dim,
           const GemKeyValueRows *keys,
           const GemKeyValueRows *values,
           const uint32_t *visible,
           size_t count,
           float *out)
{
  GemKvRows key_rows = kernel_rows(keys);
  GemKvRows value_rows = kernel_rows(values);
  float *scores = reserve_scratch(self, count);
  self->kernels->attend(q, heads, kv_heads, head_dim, &key_rows, &value_rows, visible, count, scores, out);
}

static const GemBackendFunctions functions = {
    .probe = cpu_probe,
    .open = cpu_open,
    .close = cpu_close,
    .matrix_new = cpu_matrix_new,
    .matrix_free = cpu_matrix_free,
    .matrix_bytes = cpu_matrix_bytes,
    .matrix_row = cpu_matrix_row,
    .linear = cpu_linear,
    .feed_forward = cpu_feed_forward,
    .rms_norm = cpu_rms_norm,
    .rope = cpu_rope,
    .gelu = cpu_gelu,
    .softmax = cpu_softmax,
    .scar_assign = cpu_scar_assign,
    .attend = cpu_attend,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_BACKEND, "cpu", "1.0", "Apache-2.0", "Plain C kernels on the CPU", functions)
