#include "tests/npu-ort/gem-provider-network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "GemTestNetwork1"

/* ---- from a graph ---- */

/* The constant of that name with its two dimensions (the second 1 where it has one); NULL: there is none. */
static const void *
find_constant(
    const GemProviderApi *api, const OrtGraph *graph, const char *name, size_t n, int64_t *ret_shape)
{
  size_t count = 0;
  const void *found = NULL;
  if (api->count_initializers(graph, &count) != NULL || count == 0) {
    return NULL;
  }
  const OrtValueInfo **infos = calloc(count, sizeof *infos);
  if (infos != NULL && api->initializers(graph, infos, count) == NULL) {
    for (size_t i = 0; i < count && found == NULL; i++) {
      const char *each = "";
      const OrtValue *value = NULL;
      OrtTensorTypeAndShapeInfo *shape = NULL;
      void *data = NULL;
      if (api->value_name(infos[i], &each) == NULL && strcmp(each, name) == 0 &&
          api->initializer(infos[i], &value) == NULL && api->tensor_shape(value, &shape) == NULL &&
          api->dimensions(shape, ret_shape, n) == NULL &&
          api->tensor_data((OrtValue *)value, &data) == NULL) {
        found = data;
      }
      if (shape != NULL) {
        api->release_shape(shape);
      }
    }
  }
  free(infos);
  return found;
}

/* The matrix that makes `output`, which graphs have as [cols][rows], as [rows][cols]. */
static float *
read_matrix(const GemProviderApi *api,
            const OrtGraph *graph,
            const char *output,
            uint32_t *ret_rows,
            uint32_t *ret_cols,
            uint32_t *ret_rounded)
{
  char levels_name[32], scales_name[32];
  int64_t shape[2] = {0}, scale_shape[1] = {0};
  snprintf(levels_name, sizeof levels_name, "%s.levels", output);
  snprintf(scales_name, sizeof scales_name, "%s.scales", output);
  const int8_t *levels = find_constant(api, graph, levels_name, 2, shape);
  const float *scales = find_constant(api, graph, scales_name, 1, scale_shape);
  snprintf(levels_name, sizeof levels_name, "%s.matrix", output);
  const float *values = levels == NULL ? find_constant(api, graph, levels_name, 2, shape) : NULL;
  if ((levels == NULL || scales == NULL || scale_shape[0] != shape[1]) && values == NULL) {
    return NULL;
  }
  size_t rows = (size_t)shape[1], cols = (size_t)shape[0];
  float *matrix = malloc(rows * cols * sizeof *matrix);
  for (size_t i = 0; matrix != NULL && i < rows * cols; i++) {
    size_t row = i % rows, col = i / rows;
    matrix[row * cols + col] = values != NULL ? values[i] : (float)levels[i] * scales[row];
  }
  *ret_rows = (uint32_t)rows;
  *ret_cols = (uint32_t)cols;
  *ret_rounded = values == NULL ? 1 : 0;
  return matrix;
}

bool
gem_provider_network_read(GemProviderNetwork *self, const GemProviderApi *api, const OrtGraph *graph)
{
  uint32_t rows[3] = {0}, cols[3] = {0}, rounded[3] = {0};
  *self = (GemProviderNetwork){.gate = read_matrix(api, graph, "gate", &rows[0], &cols[0], &rounded[0]),
                               .up = read_matrix(api, graph, "up", &rows[1], &cols[1], &rounded[1]),
                               .down = read_matrix(api, graph, "y", &rows[2], &cols[2], &rounded[2])};
  self->width = cols[0];
  self->hidden = rows[0];
  self->rounded = rounded[0];
  bool fits = self->gate != NULL && self->up != NULL && self->down != NULL && rows[1] == rows[0] &&
              cols[1] == cols[0] && rows[2] == cols[0] && cols[2] == rows[0] && rounded[1] == rounded[0] &&
              rounded[2] == rounded[0];
  if (!fits) {
    gem_provider_network_clear(self);
  }
  return fits;
}

void
gem_provider_network_clear(GemProviderNetwork *self)
{
  free(self->gate);
  free(self->up);
  free(self->down);
  *self = (GemProviderNetwork){0};
}

/* ---- as bytes: the magic, three numbers, three matrices ---- */

#define NUMBERS (3 * sizeof(uint32_t))

void *
gem_provider_network_save(const GemProviderNetwork *self, size_t *ret_size)
{
  size_t bytes = (size_t)self->width * self->hidden * sizeof(float);
  uint8_t *to = malloc(sizeof MAGIC + NUMBERS + 3 * bytes);
  if (to != NULL) {
    uint8_t *at = to + sizeof MAGIC + NUMBERS;
    memcpy(to, MAGIC, sizeof MAGIC);
    memcpy(to + sizeof MAGIC, (const uint32_t[]){self->width, self->hidden, self->rounded}, NUMBERS);
    memcpy(at, self->gate, bytes);
    memcpy(at + bytes, self->up, bytes);
    memcpy(at + 2 * bytes, self->down, bytes);
    *ret_size = sizeof MAGIC + NUMBERS + 3 * bytes;
  }
  return to;
}

static float *
copy(const uint8_t *from, size_t bytes)
{
  float *to = malloc(bytes);
  if (to != NULL) {
    memcpy(to, from, bytes);
  }
  return to;
}

bool
gem_provider_network_load(GemProviderNetwork *self, const void *bytes, size_t size)
{
  const uint8_t *from = bytes;
  uint32_t numbers[3];
  if (size < sizeof MAGIC + NUMBERS || memcmp(from, MAGIC, sizeof MAGIC) != 0) {
    return false;
  }
  memcpy(numbers, from + sizeof MAGIC, NUMBERS);
  size_t matrix = (size_t)numbers[0] * numbers[1] * sizeof(float);
  if (size != sizeof MAGIC + NUMBERS + 3 * matrix) {
    return false;
  }
  from += sizeof MAGIC + NUMBERS;
  *self = (GemProviderNetwork){.width = numbers[0],
                               .hidden = numbers[1],
                               .rounded = numbers[2],
                               .gate = copy(from, matrix),
                               .up = copy(from + matrix, matrix),
                               .down = copy(from + 2 * matrix, matrix)};
  if (self->gate == NULL || self->up == NULL || self->down == NULL) {
    gem_provider_network_clear(self);
    return false;
  }
  return true;
}

/* ---- running ---- */

/* As kernels/gem-packed.h rounds: 8 bits, a scale for each 256. */
static void
round_inputs(const float *x, size_t n, float *to)
{
  for (size_t first = 0; first < n; first += 256) {
    size_t end = first + 256 < n ? first + 256 : n;
    float largest = 0.0f;
    for (size_t i = first; i < end; i++) {
      largest = fmaxf(largest, fabsf(x[i]));
    }
    float scale = fmaxf(largest / 127.0f, 1e-30f);
    for (size_t i = first; i < end; i++) {
      to[i] = rintf(x[i] / scale) * scale;
    }
  }
}

static float
product(const float *row, const float *x, size_t n)
{
  float sum = 0.0f;
  for (size_t i = 0; i < n; i++) {
    sum += row[i] * x[i];
  }
  return sum;
}

static void
run_row(const GemProviderNetwork *self, const float *x, float *input, float *hidden, float *y)
{
  memcpy(input, x, self->width * sizeof *input);
  if (self->rounded != 0) {
    round_inputs(x, self->width, input);
  }
  for (size_t i = 0; i < self->hidden; i++) {
    float gate = product(self->gate + i * self->width, input, self->width);
    hidden[i] = gate / (1.0f + expf(-gate)) * product(self->up + i * self->width, input, self->width);
  }
  if (self->rounded != 0) {
    round_inputs(hidden, self->hidden, hidden);
  }
  for (size_t i = 0; i < self->width; i++) {
    y[i] = product(self->down + i * self->hidden, hidden, self->hidden);
  }
}

bool
gem_provider_network_run(const GemProviderNetwork *self, const float *x, size_t n, float *y)
{
  float *input = malloc(self->width * sizeof *input), *hidden = malloc(self->hidden * sizeof *hidden);
  bool has_room = input != NULL && hidden != NULL;
  for (size_t row = 0; has_room && row < n; row++) {
    run_row(self, x + row * self->width, input, hidden, y + row * self->width);
  }
  free(input);
  free(hidden);
  return has_room;
}
