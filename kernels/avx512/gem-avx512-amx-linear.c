/*
 * Many inputs on the tile unit (AMX): one instruction multiplies up to 16 inputs with the 16 rows of a panel
 * over a sub-block. Sums of integers have no way from tiles to vectors but through memory, and a tile that is
 * stored right after it was summed is waited for: so tiles are stored two sub-blocks later, and taken up as
 * vectors two later again, which keeps both units at work. Sums are those of the other sets, in their order.
 * Q6_K stays with vectors: its sub-blocks are half as wide, and their tiles cost the same
 * (docs/performance.md).
 */
#include "kernels/avx512/gem-avx512-amx.h"
#include "kernels/avx512/gem-avx512-chunk.h"

#define LEAST_INPUTS 8 /* fewer are met as fast by vectors */
#define TILE_INPUTS  GEM_AVX512_TILE_INPUTS
#define SUM_TILES    GEM_AVX512_SUM_TILES
#define LAG          (SUM_TILES / 2)

/* Chunks that are decoded before inputs meet them: results of all of them are written once. */
#define MOST_CHUNKS 6

/* A sub-block, and whole chunks of them. */
#define BLOCK_COLS   32
#define BLOCK_WORDS  (BLOCK_COLS / 4)
#define CHUNK_BLOCKS (GEM_CHUNK_COLS / BLOCK_COLS)

/* What of a call is the same for all chunks. */
typedef struct {
  const GemPacked *weights;
  const GemInputs *inputs;
  float *y;
  size_t tiles;                              /* that the inputs are cut into, all about as large */
  __m512i sums[SUM_TILES][TILE_INPUTS];      /* where tiles are stored; zeros behind their inputs */
  float totals[TILE_INPUTS][GEM_PANEL_ROWS]; /* of the chunks so far */
} Call;

/* Results of a tile of inputs with a panel: the first input's, and how many floats further on the next one's.
 */
typedef struct {
  float *values; /* NULL: there are none yet */
  size_t step;
} Results;

/* A tile of inputs that meets a chunk of one panel. */
typedef struct {
  const int8_t *levels;   /* of the first input */
  const float *scales;    /* of the first input; the next ones' are `chunks` further on each */
  const __m512i *weights; /* the panel's, of the chunk */
  const __m512 *factors;  /* the panel's, of the sub-blocks */
  Results from, to;       /* to = from + these */
  size_t n;
  __mmask16 lanes;
} Meeting;

/* Chunks of two panels, and the first of these and of their columns in the matrix. */
typedef struct {
  const GemAvx512Chunk *chunks;
  size_t n;
  size_t panel;
  size_t panels;
  size_t col;
} Group;

#define MULTIPLY(sums, tile_of_inputs, tile_of_weights)                                                      \
  _tile_zero(sums);                                                                                          \
  _tile_loadd(tile_of_inputs, levels, cols);                                                                 \
  _tile_loadd(tile_of_weights, weights, sizeof(__m512i[GEM_AVX512_CHUNK_PANELS]));                           \
  _tile_dpbssd(sums, tile_of_inputs, tile_of_weights)

/* Tile `tile` = the products of a sub-block. `tile` is a constant to the compiler. */
__attribute__((always_inline)) static inline void
multiply(size_t tile, const int8_t *levels, size_t cols, const __m512i *weights)
{
  if (tile == 0) {
    MULTIPLY(0, 4, 6);
  } else if (tile == 1) {
    MULTIPLY(1, 5, 7);
  } else if (tile == 2) {
    MULTIPLY(2, 4, 6);
  } else {
    MULTIPLY(3, 5, 7);
  }
}

/* f[inputs] += a sub-block's sums. */
__attribute__((always_inline)) static inline void
scale_sums(const __m512i *sums, __m512 scale, size_t inputs, __m512 *f)
{
#pragma GCC unroll 16
  for (size_t i = 0; i < inputs; i++) {
    f[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[i]), scale, f[i]);
    /* Here, and not where the compiler would have it, which keeps all sums in memory until then. */
    __asm__ volatile("" : "+v"(f[i]));
  }
}

/* Adds the inputs' scales times f, which is 0 then. */
__attribute__((always_inline)) static inline void
finish(const Meeting *meeting, size_t chunks, size_t inputs, __m512 *f)
{
  const float *from = meeting->from.values;
  float *to = meeting->to.values;
#pragma GCC unroll 16
  for (size_t i = 0; i < inputs; i++) {
    if (i < meeting->n) {
      __m512 scale = _mm512_set1_ps(meeting->scales[i * chunks]);
      __m512 sum = from == NULL ? _mm512_setzero_ps()
                                : _mm512_maskz_loadu_ps(meeting->lanes, from + i * meeting->from.step);
      _mm512_mask_storeu_ps(to + i * meeting->to.step, meeting->lanes, _mm512_fmadd_ps(scale, f[i], sum));
    }
    f[i] = _mm512_setzero_ps();
  }
}

/* Number `at` of a group's meetings: tile by tile, each with panel by panel, each of these chunk by chunk. */
static inline Meeting
meet(Call *call, const Group *group, size_t at)
{
  size_t chunk = at % group->n, panel = at / group->n % group->panels, tile = at / group->n / group->panels;
  /* The larger tiles come last: of a smaller one the unit has a row of the next. */
  size_t n = call->inputs->n, cols = call->inputs->cols, smaller = call->tiles - n % call->tiles;
  size_t start = tile * (n / call->tiles) + (tile > smaller ? tile - smaller : 0);
  size_t col = group->col + chunk * GEM_CHUNK_COLS, rows = call->weights->rows;
  Results y = {.values = call->y + start * rows + (group->panel + panel) * GEM_PANEL_ROWS, .step = rows};
  Results totals = {.values = call->totals[0], .step = GEM_PANEL_ROWS};
  return (Meeting){.levels = call->inputs->levels + start * cols + col,
                   .scales = call->inputs->scales + start * gem_packed_chunks(cols) + col / GEM_CHUNK_COLS,
                   .weights = &group->chunks[chunk].weights[0][panel],
                   .factors = &group->chunks[chunk].scales[0][panel],
                   .from = chunk > 0 ? totals : (Results){.values = col > 0 ? y.values : NULL, .step = rows},
                   .to = chunk + 1 < group->n ? totals : y,
                   .n = n / call->tiles + (tile >= smaller),
                   .lanes = gem_avx512_lanes(call->weights, group->panel + panel)};
}

/* Asks for a part of a chunk that is decoded next: it comes from memory while this one is met with its first
 * inputs. All at once would be more than the processor can wait for. */
__attribute__((always_inline)) static inline void
ask_ahead(const uint8_t *chunk, size_t first, size_t lines)
{
  for (size_t line = first; line < first + lines; line++) {
    _mm_prefetch((const char *)(chunk + line * 64), _MM_HINT_T0);
  }
}

/* All inputs with a group of whole chunks. What is left of one meeting is done in the first steps of the
 * next, so that no unit waits for the other. `inputs` is a constant to the compiler. */
__attribute__((always_inline)) static inline void
run_group(Call *call, const Group *group, size_t inputs)
{
  size_t cols = call->inputs->cols, chunks = gem_packed_chunks(cols);
  size_t ahead = (group->chunks->next_lines + CHUNK_BLOCKS - 1) / CHUNK_BLOCKS;
  size_t tile_meetings = group->n * group->panels;
  Meeting before = {.factors = &group->chunks->scales[0][0]};
  __m512 f[TILE_INPUTS];
#pragma GCC unroll 16
  for (size_t i = 0; i < inputs; i++) {
    f[i] = _mm512_setzero_ps();
  }
  for (size_t at = 0; at < call->tiles * tile_meetings; at++) {
    Meeting now = meet(call, group, at);
#pragma GCC unroll 8
    for (size_t sub = 0; sub < CHUNK_BLOCKS; sub++) {
      size_t tile = sub % SUM_TILES, done = (sub + LAG) % SUM_TILES;
      multiply(tile, now.levels + sub * BLOCK_COLS, cols,
               now.weights + sub * BLOCK_WORDS * GEM_AVX512_CHUNK_PANELS);
      gem_avx512_tile_store(done, call->sums[done]);
      if (at < tile_meetings) {
        ask_ahead(group->chunks[at % group->n].next[at / group->n], sub * ahead, ahead);
      }
      scale_sums(call->sums[tile],
                 sub < SUM_TILES ? before.factors[(CHUNK_BLOCKS - SUM_TILES + sub) * GEM_AVX512_CHUNK_PANELS]
                                 : now.factors[(sub - SUM_TILES) * GEM_AVX512_CHUNK_PANELS],
                 inputs, f);
      if (sub == SUM_TILES - 1) {
        finish(&before, chunks, inputs, f);
      }
    }
    before = now;
  }
#pragma GCC unroll 4
  for (size_t tile = 0; tile < SUM_TILES; tile++) {
    if (tile < LAG) {
      gem_avx512_tile_store((tile + LAG) % SUM_TILES, call->sums[(tile + LAG) % SUM_TILES]);
    }
    scale_sums(call->sums[tile], before.factors[(CHUNK_BLOCKS - SUM_TILES + tile) * GEM_AVX512_CHUNK_PANELS],
               inputs, f);
  }
  finish(&before, chunks, inputs, f);
}

/* The same with a panel's last chunk, which has fewer sub-blocks. */
static void
run_last_chunk(Call *call, const Group *group)
{
  const GemAvx512Chunk *chunk = group->chunks;
  __m512 f[TILE_INPUTS];
  for (size_t i = 0; i < TILE_INPUTS; i++) {
    f[i] = _mm512_setzero_ps();
  }
  for (size_t at = 0; at < call->tiles * group->panels; at++) {
    Meeting now = meet(call, group, at);
    for (size_t sub = 0; sub < chunk->subs; sub++) {
      multiply(0, now.levels + sub * BLOCK_COLS, call->inputs->cols,
               now.weights + sub * BLOCK_WORDS * GEM_AVX512_CHUNK_PANELS);
      gem_avx512_tile_store(0, call->sums[0]);
      scale_sums(call->sums[0], now.factors[sub * GEM_AVX512_CHUNK_PANELS], TILE_INPUTS, f);
    }
    finish(&now, gem_packed_chunks(call->inputs->cols), TILE_INPUTS, f);
  }
}

static void
run_half(Call *call, const Group *group)
{
  run_group(call, group, TILE_INPUTS / 2);
}

static void
run_whole(Call *call, const Group *group)
{
  run_group(call, group, TILE_INPUTS);
}

/* Chunks that are decoded together from column `col` on; the last one of a panel is alone where it is not
 * whole. */
static size_t
group_chunks(size_t cols, size_t col)
{
  size_t whole = (cols - col) / GEM_CHUNK_COLS;
  return whole == 0 ? 1 : whole < MOST_CHUNKS ? whole : MOST_CHUNKS;
}

static void
run_panels(Call *call, size_t first, size_t panels, bool is_half)
{
  GemAvx512Chunk chunks[MOST_CHUNKS];
  const GemPacked *weights = call->weights;
  Group group = {.chunks = chunks, .panel = first, .panels = panels};
  for (; group.col < weights->cols; group.col += group.n * GEM_CHUNK_COLS) {
    group.n = group_chunks(weights->cols, group.col);
    bool is_last = group.col + group.n * GEM_CHUNK_COLS >= weights->cols;
    size_t ahead = is_last ? panels * gem_packed_panel_bytes(weights->type, weights->cols) -
                                 gem_packed_chunk_offset(weights->type, group.col)
                           : gem_packed_chunk_offset(weights->type, group.n * GEM_CHUNK_COLS);
    for (size_t i = 0; i < group.n; i++) {
      gem_avx512_chunk_decode(weights, first, panels, group.col + i * GEM_CHUNK_COLS, ahead, 0, &chunks[i]);
    }
    /* Tiles are loaded by code that the compiler does not see into. */
    __asm__ volatile("" : : "r"(chunks) : "memory");
    if (chunks->subs < CHUNK_BLOCKS) {
      run_last_chunk(call, &group);
    } else if (is_half) {
      run_half(call, &group);
    } else {
      run_whole(call, &group);
    }
  }
}

void
gem_avx512_linear_amx(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  if (!gem_packed_takes_levels(weights->type) || inputs->n < LEAST_INPUTS || first == end) {
    gem_avx512_linear(weights, first, end, inputs, y);
    return;
  }
  if (weights->type == GEM_TYPE_Q6_K) {
    gem_avx512_amx_linear_q6_k(weights, first, end, inputs, y);
    return;
  }
  Call call = {
      .weights = weights, .inputs = inputs, .y = y, .tiles = (inputs->n + TILE_INPUTS - 1) / TILE_INPUTS};
  size_t most = (inputs->n + call.tiles - 1) / call.tiles;
  gem_avx512_tiles_configure(most, BLOCK_COLS, BLOCK_WORDS);
  for (size_t panel = first; panel < end; panel += GEM_AVX512_CHUNK_PANELS) {
    run_panels(&call, panel, end - panel < 2 ? 1 : 2, most <= TILE_INPUTS / 2);
  }
  _tile_release();
}
