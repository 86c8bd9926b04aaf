/*
 * A device for tests: runs pathways in single precision, on inputs rounded as all backends do. The
 * environment variable GEM_TEST_DEVICE says how it behaves, and may change while it runs:
 *   absent       there is none
 *   later        there is one, which cannot be used while the file that GEM_TEST_DEVICE_HOLD names is there
 *   refuse       no pathway can be compiled
 *   slow         a call takes 20 ms
 *   wrong        what it gives is too large
 *   wrong-row    that of single rows alone
 *   wrong-layer  that of the first layer alone
 *   nan          what it gives is no number
 *   fail         every call fails
 *   fail-third   two calls work, and those after them fail
 *   hang         asked whether it is there it does not come back while the file that GEM_TEST_DEVICE_HOLD
 * names is there Anything else, or nothing: it works. While the file that GEM_TEST_DEVICE_HOLD names is
 * there, compile adds a byte to it and does not come back; the same with GEM_TEST_DEVICE_HOLD_FREE when what
 * was compiled is freed, for ten seconds at most. Taken apart under a call that is held so it ends the
 * process, as a vendor's library may. GEM_TEST_DEVICE_OPTIONS is what it says of its settings.
 */
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/gem-types.h"
#include "plugins/gem-plugin.h"
#include "plugins/support/gem-plugin-support.h"

struct GemBackendState {
  int unused;
};

typedef struct {
  size_t rows, cols;
  float *values;
} Matrix;

struct GemCompiled {
  uint32_t layers;
  Matrix *matrices; /* [layers][gate, up, down] */
};

static bool
is_told(const char *behaviour)
{
  const char *told = getenv("GEM_TEST_DEVICE");
  return told != NULL && strcmp(told, behaviour) == 0;
}

static atomic_int held; /* calls by GEM_TEST_DEVICE_HOLD */

/* Milliseconds; 0: for ever. */
static void
wait_while_held(const char *variable, unsigned most)
{
  const char *path = getenv(variable);
  int fd = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
  if (fd < 0) {
    return;
  }
  bool wrote = write(fd, "c", 1) == 1;
  for (unsigned i = 0; wrote && (most == 0 || i < most) && access(path, F_OK) == 0; i++) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  wrote = write(fd, "e", 1) == 1; /* whoever looks sees that it ended before it was let go */
  close(fd);
}

static void
wait_while_device_is_held(void)
{
  atomic_fetch_add(&held, 1);
  wait_while_held("GEM_TEST_DEVICE_HOLD", 0);
  atomic_fetch_sub(&held, 1);
}

__attribute__((destructor)) static void
take_apart(void)
{
  const char *hold = getenv("GEM_TEST_DEVICE_HOLD");
  if (atomic_load(&held) > 0 && hold != NULL && access(hold, F_OK) == 0) {
    abort();
  }
}

static GemProbeResult
device_probe(GemProbeReport *ret_report)
{
  *ret_report = (GemProbeReport){.score = 5};
  if (is_told("hang")) {
    wait_while_device_is_held();
  }
  snprintf(ret_report->device, sizeof ret_report->device, "test device");
  if (is_told("absent")) {
    snprintf(ret_report->reason, sizeof ret_report->reason, "there is no test device");
    return GEM_PROBE_UNSUPPORTED;
  }
  const char *hold = getenv("GEM_TEST_DEVICE_HOLD");
  if (is_told("later") && hold != NULL && access(hold, F_OK) == 0) {
    snprintf(ret_report->reason, sizeof ret_report->reason, "the test device is not ready");
    return GEM_PROBE_DEFERRED;
  }
  const char *options = getenv("GEM_TEST_DEVICE_OPTIONS");
  snprintf(ret_report->reason, sizeof ret_report->reason, "%s", options != NULL ? options : "");
  return GEM_PROBE_SUPPORTED;
}

static GemBackendState *
device_open(const GemBackendOptions *options, GemPluginError *error)
{
  (void)options;
  GemBackendState *self = calloc(1, sizeof *self);
  if (self == NULL) {
    gem_plugin_set_error(error, "out of memory");
  }
  return self;
}

static void
device_close(GemBackendState *self)
{
  free(self);
}

static void
device_compiled_free(GemBackendState *self, GemCompiled *compiled)
{
  (void)self;
  wait_while_held("GEM_TEST_DEVICE_HOLD_FREE", 60000);
  for (uint32_t i = 0; compiled->matrices != NULL && i < 3 * compiled->layers; i++) {
    free(compiled->matrices[i].values);
  }
  free(compiled->matrices);
  free(compiled);
}

static bool
read_matrix(Matrix *matrix, const GemTensorView *tensor)
{
  uint8_t *bytes = malloc(tensor->bytes);
  *matrix = (Matrix){.rows = tensor->rows,
                     .cols = tensor->cols,
                     .values = malloc(tensor->rows * tensor->cols * sizeof(float))};
  bool read = bytes != NULL && matrix->values != NULL;
  if (read && tensor->data != NULL) {
    memcpy(bytes, tensor->data, tensor->bytes);
  } else if (read) {
    read = tensor->read(tensor, 0, tensor->bytes, bytes);
  }
  for (size_t row = 0; read && row < tensor->rows; row++) {
    gem_dequantize_row((GemType)tensor->type, bytes + row * (tensor->bytes / tensor->rows),
                       matrix->values + row * tensor->cols, tensor->cols);
  }
  free(bytes);
  return read;
}

static GemCompiled *
device_compile(GemBackendState *self, const GemPathwayTensors *tensors, GemPluginError *error)
{
  wait_while_device_is_held();
  if (is_told("refuse")) {
    gem_plugin_set_error(error, "the test device was told to refuse");
    return NULL;
  }
  GemCompiled *compiled = calloc(1, sizeof *compiled);
  if (compiled == NULL) {
    gem_plugin_set_error(error, "out of memory");
    return NULL;
  }
  compiled->layers = tensors->layers;
  compiled->matrices = calloc(3 * (size_t)tensors->layers, sizeof *compiled->matrices);
  bool read = compiled->matrices != NULL;
  for (uint32_t l = 0; read && l < tensors->layers; l++) {
    const GemFeedForwardTensors *layer = &tensors->feed_forwards[l];
    read = read_matrix(&compiled->matrices[3 * l], &layer->gate) &&
           read_matrix(&compiled->matrices[3 * l + 1], &layer->up) &&
           read_matrix(&compiled->matrices[3 * l + 2], &layer->down);
  }
  if (!read) {
    device_compiled_free(self, compiled);
    gem_plugin_set_error(error, "its weights cannot be read");
    return NULL;
  }
  return compiled;
}

static size_t
device_compiled_bytes(const GemCompiled *compiled)
{
  size_t bytes = sizeof *compiled;
  for (uint32_t i = 0; i < 3 * compiled->layers; i++) {
    bytes += compiled->matrices[i].rows * compiled->matrices[i].cols * sizeof(float);
  }
  return bytes;
}

/* Inputs as quantized matrices read them (kernels/gem-packed.h): 8 bits, a scale for each 256. */
static void
round_inputs(const float *x, size_t n, float *rounded)
{
  for (size_t first = 0; first < n; first += 256) {
    size_t end = first + 256 < n ? first + 256 : n;
    float largest = 1e-30f;
    for (size_t i = first; i < end; i++) {
      largest = fmaxf(largest, fabsf(x[i]));
    }
    for (size_t i = first; i < end; i++) {
      rounded[i] = rintf(x[i] * 127.0f / largest) * largest / 127.0f;
    }
  }
}

static float
product(const Matrix *matrix, size_t row, const float *x)
{
  float sum = 0.0f;
  for (size_t i = 0; i < matrix->cols; i++) {
    sum += matrix->values[row * matrix->cols + i] * x[i];
  }
  return sum;
}

/* By what is given is multiplied. */
static float
error_factor(uint32_t layer, size_t n)
{
  if (is_told("nan")) {
    return NAN;
  }
  bool wrong = is_told("wrong") || (is_told("wrong-row") && n == 1) || (is_told("wrong-layer") && layer == 0);
  return wrong ? 2.0f : 1.0f;
}

static bool
run_row(const Matrix *layer, const float *x, float factor, float *y)
{
  const Matrix *gate = &layer[0], *up = &layer[1], *down = &layer[2];
  float *hidden = calloc(gate->rows, sizeof *hidden);
  float *levels = calloc(gate->cols, sizeof *levels);
  if (hidden == NULL || levels == NULL) {
    free(hidden);
    free(levels);
    return false;
  }
  round_inputs(x, gate->cols, levels);
  for (size_t i = 0; i < gate->rows; i++) {
    float g = product(gate, i, levels);
    hidden[i] = g / (1.0f + expf(-g)) * product(up, i, levels);
  }
  free(levels);
  round_inputs(hidden, gate->rows, hidden);
  for (size_t i = 0; i < down->rows; i++) {
    y[i] += product(down, i, hidden) * factor;
  }
  free(hidden);
  return true;
}

static bool
device_run(GemBackendState *self,
           GemCompiled *compiled,
           uint32_t layer,
           const float *x,
           size_t n,
           float *y,
           GemPluginError *error)
{
  static unsigned calls; /* since it was told to fail so: of the engine thread alone */
  (void)self;
  calls = is_told("fail-third") ? calls + 1 : 0;
  if (is_told("fail") || calls > 2) {
    gem_plugin_set_error(error, "the test device was told to fail");
    return false;
  }
  if (is_told("slow")) {
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  }
  const Matrix *matrices = &compiled->matrices[3 * layer];
  for (size_t row = 0; row < n; row++) {
    if (!run_row(matrices, x + row * matrices->cols, error_factor(layer, n), y + row * matrices->cols)) {
      gem_plugin_set_error(error, "out of memory");
      return false;
    }
  }
  return true;
}

static const GemBackendFunctions functions = {
    .probe = device_probe,
    .open = device_open,
    .close = device_close,
    .compile = device_compile,
    .compiled_free = device_compiled_free,
    .compiled_bytes = device_compiled_bytes,
    .run = device_run,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_BACKEND, "device", "1.0", "Apache-2.0", "A device for tests", functions)
