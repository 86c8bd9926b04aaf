/*
 * What is done to each row, or each value, by itself, shared out to the threads where there are many values:
 * a prompt's, or those of many streams. The norm and the positions of one token stay with the caller.
 */
#include "plugins/backends/cpu/gem-cpu.h"

/* Values that a thread must have for its start to pay: a microsecond or two of work with AVX-512, more with
 * others. */
#define LEAST_NORMED    8192
#define LEAST_ROTATED   8192
#define LEAST_ACTIVATED 4096

/* Parts of activations begin with whole vectors of every instruction set. */
#define VECTOR_VALUES 64

/* Parts for `count` values in `most` pieces that stay whole. */
static size_t
count_parts(const GemBackendState *self, size_t count, size_t least, size_t most)
{
  size_t parts = count / least;
  return gem_cpu_pool_cut(parts < most ? parts : most, gem_cpu_pool_threads(self->pool));
}

/* ---- norm ---- */

typedef struct {
  const GemKernels *kernels;
  const float *x; /* [n][d] */
  const float *weight;
  size_t n, d;
  float epsilon;
  float *y; /* [n][d] */
} Norm;

static void
norm_part(void *context, size_t part, size_t parts)
{
  const Norm *self = context;
  size_t first = self->n * part / parts;
  size_t end = self->n * (part + 1) / parts;
  self->kernels->rms_norm(self->x + first * self->d, self->weight, end - first, self->d, self->epsilon,
                          self->y + first * self->d);
}

void
gem_cpu_rms_norm(
    GemBackendState *self, const float *x, const float *weight, size_t n, size_t d, float epsilon, float *y)
{
  Norm norm = {
      .kernels = self->kernels, .x = x, .weight = weight, .n = n, .d = d, .epsilon = epsilon, .y = y};
  gem_cpu_pool_run(self->pool, norm_part, &norm, count_parts(self, n * d, LEAST_NORMED, n));
}

/* ---- positions ---- */

typedef struct {
  const GemKernels *kernels;
  float *x; /* [n][heads][head_dim] */
  const uint32_t *positions;
  size_t n, heads, head_dim, rope_dim;
  float base;
} Rotation;

static void
rotate_part(void *context, size_t part, size_t parts)
{
  const Rotation *self = context;
  size_t first = self->n * part / parts;
  size_t end = self->n * (part + 1) / parts;
  self->kernels->rope(self->x + first * self->heads * self->head_dim, self->positions + first, end - first,
                      self->heads, self->head_dim, self->rope_dim, self->base);
}

void
gem_cpu_rope(GemBackendState *self,
             float *x,
             const uint32_t *positions,
             size_t n,
             size_t heads,
             size_t head_dim,
             size_t rope_dim,
             float base)
{
  Rotation rotation = {
      .kernels = self->kernels,
      .x = x,
      .positions = positions,
      .n = n,
      .heads = heads,
      .head_dim = head_dim,
      .rope_dim = rope_dim,
      .base = base,
  };
  gem_cpu_pool_run(self->pool, rotate_part, &rotation,
                   count_parts(self, n * heads * head_dim, LEAST_ROTATED, n));
}

/* ---- activation ---- */

typedef struct {
  const GemKernels *kernels;
  float *x;
  size_t count;
} Activation;

static void
activate_part(void *context, size_t part, size_t parts)
{
  const Activation *self = context;
  size_t vectors = self->count / VECTOR_VALUES;
  size_t first = vectors * part / parts * VECTOR_VALUES;
  size_t end = part + 1 == parts ? self->count : vectors * (part + 1) / parts * VECTOR_VALUES;
  self->kernels->gelu(self->x + first, end - first);
}

void
gem_cpu_gelu(GemBackendState *self, float *x, size_t count)
{
  Activation activation = {.kernels = self->kernels, .x = x, .count = count};
  gem_cpu_pool_run(self->pool, activate_part, &activation,
                   count_parts(self, count, LEAST_ACTIVATED, count / VECTOR_VALUES));
}
