/* Benchmarks of keys and values in tiles: 8 heads of 64, a token of an answer and rows of a prompt. */
#include "tests/kernelcheck/kernels.h"

enum { HEADS = 8, HEAD_DIM = 64, WIDTH = HEADS * HEAD_DIM, MOST_ROWS = 128, MOST_MEMBERS = 2048, LAYERS = 8 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
  uint32_t rows, members;
} cases[] = {{1, 128}, {1, 2048}, {MOST_ROWS, 128}, {MOST_ROWS, 2048}};

/* ---- kv_store ---- */

typedef void
StoreFunction(const GemKvForm *form,
              const float *keys,
              const float *values,
              size_t n,
              uint8_t *const *tiles,
              const uint8_t *places);

typedef struct {
  const GemKernels *kernels;
  GemKvForm form;
  const float *keys, *values; /* [MOST_ROWS][WIDTH] */
  uint8_t *tiles[MOST_ROWS];
  uint8_t places[MOST_ROWS];
  size_t n;
} StoreWork;

static void
call_store(void *data)
{
  StoreWork *work = data;
  (work->form.half ? work->kernels->kv_store_half : work->kernels->kv_store)(
      &work->form, work->keys, work->values, work->n, work->tiles, work->places);
}

static void
bench_store(Bench *bench, bool half)
{
  static const size_t counts[] = {1, MOST_ROWS};
  StoreWork work = {.kernels = bench_kernels(bench),
                    .form = {.kv_heads = HEADS, .head_dim = HEAD_DIM, .half = half},
                    .keys = bench_floats(bench, MOST_ROWS * WIDTH),
                    .values = bench_floats(bench, MOST_ROWS * WIDTH)};
  size_t tile_bytes = gem_kv_tile_bytes(&work.form);
  uint8_t *memory = bench_memory(bench, MOST_ROWS / GEM_KV_TILE * tile_bytes);
  for (size_t i = 0; i < MOST_ROWS; i++) {
    work.tiles[i] = memory + i / GEM_KV_TILE * tile_bytes;
    work.places[i] = i % GEM_KV_TILE;
  }
  for (size_t c = 0; c < COUNT(counts); c++) {
    work.n = counts[c];
    double bytes = (double)work.n * (2.0 * WIDTH * sizeof(float) + (double)tile_bytes / GEM_KV_TILE);
    bench_measure(bench, &(BenchCost){.bytes = bytes, .set_bytes = bytes}, call_store, &work,
                  "%zu positions, %d heads of %d", work.n, HEADS, HEAD_DIM);
  }
}

void
bench_kernel_kv_store(Bench *bench)
{
  bench_store(bench, false);
}

void
bench_kernel_kv_store_half(Bench *bench)
{
  bench_store(bench, true);
}

/* ---- attend ---- */

typedef struct {
  const GemKernels *kernels;
  GemKvForm form;
  GemKvQueries queries;
  const uint8_t *tiles[LAYERS][MOST_MEMBERS / GEM_KV_TILE];
  uint32_t from[MOST_ROWS], to[MOST_ROWS];
  uint32_t rows;
  size_t layer; /* the next: a layer's keys have left the nearest cache when their turn comes again */
} AttendWork;

static void
call_attend(void *data)
{
  AttendWork *work = data;
  GemKvPart part = {.tiles = work->tiles[work->layer], .from = work->from, .to = work->to};
  GemKvGroup group = {.n = work->rows, .n_parts = 1, .parts = &part};
  GemKvShare share = {.end_row = work->rows, .end_kv_head = HEADS};
  (work->form.half ? work->kernels->attend_half : work->kernels->attend)(&work->form, &work->queries, &group,
                                                                         &share);
  work->layer = (work->layer + 1) % LAYERS;
}

static void
make_tiles(Bench *bench, AttendWork *work)
{
  size_t tile_bytes = gem_kv_tile_bytes(&work->form);
  uint8_t *memory = bench_memory(bench, LAYERS * MOST_MEMBERS / GEM_KV_TILE * tile_bytes);
  const float *values = bench_floats(bench, 2 * (WIDTH + MOST_MEMBERS));
  StoreFunction *store = work->form.half ? gem_kernels_best()->kv_store_half : gem_kernels_best()->kv_store;
  for (size_t i = 0; i < LAYERS * MOST_MEMBERS; i++) {
    uint8_t *tile = memory + i / GEM_KV_TILE * tile_bytes, place = i % GEM_KV_TILE;
    const float *key = values + i % MOST_MEMBERS;
    store(&work->form, key, key + WIDTH + MOST_MEMBERS, 1, &tile, &place);
    work->tiles[i / MOST_MEMBERS][i % MOST_MEMBERS / GEM_KV_TILE] = tile;
  }
}

/* Rows at the end of so many members, each of which sees those before it. */
static void
bench_attend(Bench *bench, bool half)
{
  AttendWork work = {.kernels = bench_kernels(bench),
                     .form = {.kv_heads = HEADS, .head_dim = HEAD_DIM, .half = half},
                     .queries = {.heads = HEADS,
                                 .q = bench_floats(bench, MOST_ROWS * WIDTH),
                                 .out = bench_floats(bench, MOST_ROWS * WIDTH)}};
  make_tiles(bench, &work);
  for (size_t c = 0; c < COUNT(cases); c++) {
    double seen = 0;
    work.rows = cases[c].rows;
    for (uint32_t i = 0; i < work.rows; i++) {
      work.to[i] = cases[c].members - work.rows + 1 + i;
      seen += work.to[i];
    }
    double bytes = (double)cases[c].members / GEM_KV_TILE * (double)gem_kv_tile_bytes(&work.form);
    /* Weights are multiplied in two halves. */
    BenchCost cost = {half ? BENCH_FLOAT : BENCH_INT8, (half ? 4.0 : 6.0) * seen * WIDTH, bytes,
                      LAYERS * bytes};
    bench_measure(bench, &cost, call_attend, &work, "%u of %u rows, %d heads of %d", work.rows,
                  cases[c].members, HEADS, HEAD_DIM);
  }
}

void
bench_kernel_attend(Bench *bench)
{
  bench_attend(bench, false);
}

void
bench_kernel_attend_half(Bench *bench)
{
  bench_attend(bench, true);
}
