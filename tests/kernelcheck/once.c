/*
 * One call of one kernel, for a tool that follows every instruction of it (cycles.sh):
 *
 *   kernelcheck-once SET linear TYPE ROWS COLS N    a matrix of ROWS x COLS with N inputs
 *   kernelcheck-once SET quantize COLS N            the rounding of N inputs of COLS values
 *   kernelcheck-once SET rms_norm|swiglu|gelu|rope|kv_store D
 *                                                   one row of D values; the last two: heads of 64
 *   kernelcheck-once SET attend MEMBERS N           N rows of 8 heads of 64, which all see MEMBERS positions
 * of 8 bits
 *
 * The call stands between entry and end of gem_once. Values are ordinary; no kernel of these runs longer for
 * others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gem-kernels.h"

enum { ALIGNMENT = 64, HEADS = 8, HEAD_DIM = 64, WIDTH = HEADS * HEAD_DIM };

typedef struct {
  const GemKernels *kernels;
  const char *kernel;
  GemPacked weights;
  GemInputs inputs;
  GemKvForm form;
  GemKvPart part;
  uint8_t *tile;
  float *y;
} Once;

static void
attend(const Once *once)
{
  GemKvQueries queries = {.heads = HEADS, .q = once->inputs.values, .out = once->y};
  GemKvGroup group = {.n = (uint32_t)once->inputs.n, .n_parts = 1, .parts = &once->part};
  GemKvShare share = {.end_row = group.n, .end_kv_head = HEADS};
  once->kernels->attend(&once->form, &queries, &group, &share);
}

/* The function that is followed. */
void
gem_once(const Once *once);

__attribute__((noinline)) void
gem_once(const Once *once)
{
  const GemKernels *kernels = once->kernels;
  const GemInputs *inputs = &once->inputs;
  uint32_t position = 100;
  uint8_t *tile = once->tile, place = (uint8_t)(position % GEM_KV_TILE);

  if (strcmp(once->kernel, "linear") == 0) {
    kernels->linear(&once->weights, 0, gem_packed_panels(once->weights.rows), inputs, once->y);
  } else if (strcmp(once->kernel, "quantize") == 0) {
    kernels->quantize(inputs, 0, inputs->n);
  } else if (strcmp(once->kernel, "rms_norm") == 0) {
    kernels->rms_norm(inputs->values, inputs->values, 1, inputs->cols, 1e-5f, once->y);
  } else if (strcmp(once->kernel, "swiglu") == 0) {
    kernels->swiglu(inputs->values, inputs->values, inputs->cols, once->y);
  } else if (strcmp(once->kernel, "rope") == 0) {
    kernels->rope(once->y, &position, 1, inputs->cols / HEAD_DIM, HEAD_DIM, HEAD_DIM, 10000.0f);
  } else if (strcmp(once->kernel, "gelu") == 0) {
    kernels->gelu(once->y, inputs->cols);
  } else if (strcmp(once->kernel, "kv_store") == 0) {
    kernels->kv_store(&once->form, inputs->values, inputs->values, 1, &tile, &place);
  } else if (strcmp(once->kernel, "attend") == 0) {
    attend(once);
  }
}

static void *
allocate(size_t bytes)
{
  size_t whole = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  void *memory = aligned_alloc(ALIGNMENT, whole);

  if (memory == NULL) {
    fprintf(stderr, "kernelcheck-once: no memory for %zu bytes\n", bytes);
    exit(1);
  }
  memset(memory, 0, whole);
  return memory;
}

static GemInputs
make_inputs(const GemKernels *kernels, size_t cols, size_t n)
{
  float *values = allocate(n * cols * sizeof *values);
  for (size_t i = 0; i < n * cols; i++) {
    values[i] = (float)(i % 17) - 7.5f;
  }
  GemInputs inputs = {.n = n, .cols = cols, .values = values};
  gem_inputs_place(&inputs, allocate(gem_inputs_bytes(n, cols)));
  kernels->quantize(&inputs, 0, n);
  return inputs;
}

/* `members` positions, stored as a set stores them, and all rows see all. */
static void
make_tiles(Once *once, size_t members, size_t n)
{
  once->form = (GemKvForm){.kv_heads = HEADS, .head_dim = HEAD_DIM};
  size_t n_tiles = (members + GEM_KV_TILE - 1) / GEM_KV_TILE, bytes = gem_kv_tile_bytes(&once->form);
  uint8_t *memory = allocate(n_tiles * bytes);
  const uint8_t **tiles = allocate(n_tiles * sizeof *tiles);
  float *values = allocate((WIDTH + members) * sizeof *values);
  uint32_t *from = allocate(n * sizeof *from), *to = allocate(n * sizeof *to);
  for (size_t i = 0; i < WIDTH + members; i++) {
    values[i] = (float)(i * 7 % 23) / 11.5f - 1.0f;
  }
  for (size_t m = 0; m < members; m++) {
    uint8_t *tile = memory + m / GEM_KV_TILE * bytes, place = m % GEM_KV_TILE;
    once->kernels->kv_store(&once->form, values + m, values + m, 1, &tile, &place);
    tiles[m / GEM_KV_TILE] = tile;
  }
  for (size_t i = 0; i < n; i++) {
    to[i] = (uint32_t)members;
  }
  once->part = (GemKvPart){.tiles = tiles, .from = from, .to = to};
}

static const GemKernels *
find_kernels(const char *set)
{
  const GemKernels *kernels = gem_kernels_by_name(set);

  if (kernels == NULL) {
    fprintf(stderr, "kernelcheck-once: this machine has no set '%s'\n", set);
    exit(2);
  }
  return kernels;
}

static GemType
find_type(const char *name)
{
  static const GemType types[] = {GEM_TYPE_Q4_0, GEM_TYPE_Q6_K, GEM_TYPE_Q8_0, GEM_TYPE_F16, GEM_TYPE_F32};

  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (strcmp(gem_type_name(types[i]), name) == 0) {
      return types[i];
    }
  }
  fprintf(stderr, "kernelcheck-once: no type '%s'\n", name);
  exit(2);
}

int
main(int argc, char **argv)
{
  if (argc < 4) {
    fprintf(stderr, "usage: kernelcheck-once SET KERNEL [TYPE ROWS] COLS|MEMBERS [N]\n");
    return 2;
  }
  Once once = {.kernels = find_kernels(argv[1]), .kernel = argv[2]};
  bool is_linear = strcmp(once.kernel, "linear") == 0 && argc == 7;
  size_t cols = strtoul(argv[is_linear ? 5 : 3], NULL, 10);
  size_t n = argc > 4 ? strtoul(argv[argc - 1], NULL, 10) : 1;
  size_t rows = is_linear ? strtoul(argv[4], NULL, 10) : 1;

  if (strcmp(once.kernel, "attend") == 0) {
    make_tiles(&once, cols, n);
    cols = WIDTH;
  } else if (strcmp(once.kernel, "kv_store") == 0) {
    once.form = (GemKvForm){.kv_heads = cols / HEAD_DIM, .head_dim = HEAD_DIM};
    once.tile = allocate(gem_kv_tile_bytes(&once.form));
  }
  once.inputs = make_inputs(once.kernels, cols, n);
  once.y = allocate(n * (rows > cols ? rows : cols) * sizeof *once.y);
  if (is_linear) {
    GemType type = find_type(argv[3]);
    once.weights = (GemPacked){.type = type, .rows = rows, .cols = cols};
    once.weights.data = allocate(gem_packed_bytes(type, rows, cols));
  }
  gem_once(&once);
  return 0;
}
