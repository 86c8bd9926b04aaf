/*
 * Many inputs with Q4_0 or Q8_0 on the tile unit: one instruction multiplies a tile of inputs with the 16
 * rows of a panel over a block. Each block has scales of its own, so that its sums go to vectors at once. A
 * tile that is stored right after it was summed is waited for: tiles are stored two blocks later, and taken
 * up two later again, which keeps both units at work. Sums are those of the other sets, in their order.
 */
#include "kernels/avx512/gem-avx512-amx.h"

#define TILE_INPUTS  GEM_AVX512_TILE_INPUTS
#define SUM_TILES    GEM_AVX512_SUM_TILES
#define LAG          (SUM_TILES / 2)
#define BLOCK_COLS   32
#define BLOCK_WORDS  (BLOCK_COLS / 4)
#define CHUNK_BLOCKS (GEM_CHUNK_COLS / BLOCK_COLS)
#define AHEAD_CHUNKS 3 /* how far ahead weights are asked for */

/* A chunk of a panel. */
typedef struct {
  const uint8_t *weights; /* [blocks][8 words][16 rows] words of 4 int8; of Q8_0 the packed ones */
  const __m512 *scales;   /* [blocks] */
  size_t blocks;
} Chunk;

/* What the steps of a chunk's tiles decode: the chunk that follows. */
typedef struct {
  const uint8_t *data;
  __m512i *words;
  __m512 *scales;
  size_t blocks, done;
  size_t steps, step;
} Ahead;

/* A tile of inputs with a chunk. */
typedef struct {
  GemAvx512Target target;
  const __m512 *scales;
} Job;

typedef struct {
  GemAvx512TileCall *call;
  __m512i sums[SUM_TILES][TILE_INPUTS];        /* where tiles are stored */
  __m512i words[2][CHUNK_BLOCKS][BLOCK_WORDS]; /* of this chunk and the next, of Q4_0 */
  __m512 scales[3][CHUNK_BLOCKS];              /* and those of the chunk before, of which sums may be left */
} Blocks;

/* One block of the chunk ahead. */
__attribute__((always_inline)) static inline void
decode_block(GemType type, Ahead *ahead)
{
  const __m512i low = _mm512_set1_epi8(0x0f), offset = _mm512_set1_epi8(8);
  size_t block = ahead->done++;
  size_t block_bytes = type == GEM_TYPE_Q4_0 ? 256 : 512;
  gem_packed_ask(ahead->data + AHEAD_CHUNKS * (block_bytes + 32) * CHUNK_BLOCKS + block * (block_bytes + 32),
                 block_bytes + 32, GEM_AHEAD_NEXT);
  ahead->scales[block] = gem_avx512_scales(ahead->data + ahead->blocks * block_bytes + block * 32);
  if (type == GEM_TYPE_Q8_0) {
    return;
  }
  __m512i *words = ahead->words + block * BLOCK_WORDS;
#pragma GCC unroll 4
  for (size_t word = 0; word < 4; word++) {
    __m512i nibbles = _mm512_loadu_si512(ahead->data + block * 256 + word * 64);
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(nibbles, 4), low);
    words[word] = _mm512_sub_epi8(_mm512_and_si512(nibbles, low), offset);
    words[4 + word] = _mm512_sub_epi8(high, offset);
  }
}

/* The share of one step. */
__attribute__((always_inline)) static inline void
decode_ahead(GemType type, Ahead *ahead)
{
  ahead->step++;
  while (ahead->done * ahead->steps < ahead->blocks * ahead->step) {
    decode_block(type, ahead);
  }
}

#define MULTIPLY(sums, tile_of_inputs, tile_of_weights)                                                      \
  _tile_zero(sums);                                                                                          \
  _tile_loadd(tile_of_inputs, levels, cols);                                                                 \
  _tile_loadd(tile_of_weights, weights, sizeof(__m512i));                                                    \
  _tile_dpbssd(sums, tile_of_inputs, tile_of_weights)

/* Tile `tile` = the products of a block. `tile` is a constant to the compiler. */
__attribute__((always_inline)) static inline void
multiply(size_t tile, const int8_t *levels, size_t cols, const uint8_t *weights)
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

/* f[inputs] += a block's sums. */
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

/* The results of a tile; f is 0 then. */
__attribute__((always_inline)) static inline void
finish(const Blocks *self, const GemAvx512Target *results, size_t inputs, __m512 *f)
{
  const GemAvx512Target target = *results; /* results might be anywhere */
  const size_t tile_inputs = self->call->tile_inputs, chunks = self->call->chunks;
#pragma GCC unroll 16
  for (size_t i = 0; i < inputs; i++) {
    if (i < tile_inputs) {
      gem_avx512_target_add(&target, chunks, i, f[i]);
    }
    f[i] = _mm512_setzero_ps();
  }
}

/* A whole chunk; and what is left of the job before, whose last sums are in tiles and memory. `type` and
 * `inputs` are constants to the compiler. */
__attribute__((always_inline)) static inline void
run_job(GemType type,
        Blocks *self,
        const Job *job,
        const Job *before,
        const uint8_t *weights,
        size_t inputs,
        Ahead *ahead,
        __m512 *f)
{
  size_t cols = self->call->inputs.cols;
  GEM_AVX512_TILES_LOOK_AT(self);
#pragma GCC unroll 8
  for (size_t block = 0; block < CHUNK_BLOCKS; block++) {
    size_t tile = block % SUM_TILES, done = (block + LAG) % SUM_TILES;
    multiply(tile, job->target.levels + block * BLOCK_COLS, cols, weights + block * BLOCK_WORDS * 64);
    gem_avx512_tile_store(done, self->sums[done]);
    decode_ahead(type, ahead);
    if (before != NULL || block >= SUM_TILES) {
      const __m512 *scales = block < SUM_TILES ? before->scales + CHUNK_BLOCKS : job->scales;
      scale_sums(self->sums[tile], *(scales + block - SUM_TILES), inputs, f);
    }
    if (block == SUM_TILES - 1 && before != NULL) {
      finish(self, &before->target, inputs, f);
    }
  }
}

/* What is left of the last job. */
__attribute__((always_inline)) static inline void
end_jobs(Blocks *self, const Job *job, size_t inputs, __m512 *f)
{
#pragma GCC unroll 4
  for (size_t tile = 0; tile < SUM_TILES; tile++) {
    if (tile < LAG) {
      gem_avx512_tile_store(tile + LAG, self->sums[tile + LAG]);
    }
    scale_sums(self->sums[tile], job->scales[CHUNK_BLOCKS - SUM_TILES + tile], inputs, f);
  }
  finish(self, &job->target, inputs, f);
}

/* A chunk that is not whole. */
__attribute__((always_inline)) static inline void
run_short_job(GemType type, Blocks *self, const Job *job, const Chunk *chunk, size_t inputs, Ahead *ahead)
{
  __m512 f[TILE_INPUTS];
  GEM_AVX512_TILES_LOOK_AT(self);
#pragma GCC unroll 16
  for (size_t i = 0; i < inputs; i++) {
    f[i] = _mm512_setzero_ps();
  }
  for (size_t block = 0; block < chunk->blocks; block++) {
    multiply(0, job->target.levels + block * BLOCK_COLS, self->call->inputs.cols,
             chunk->weights + block * BLOCK_WORDS * 64);
    gem_avx512_tile_store(0, self->sums[0]);
    decode_ahead(type, ahead);
    scale_sums(self->sums[0], job->scales[block], inputs, f);
  }
  finish(self, &job->target, inputs, f);
}

static const uint8_t *
chunk_data(const GemPacked *weights, GemAvx512Place place)
{
  return weights->data + place.panel * gem_packed_panel_bytes(weights->type, weights->cols) +
         gem_packed_chunk_offset(weights->type, place.col);
}

/* To decode chunk number `at`, which is at that place, in so many steps; nothing at a place behind `end`. */
static Ahead
look_ahead(Blocks *self, GemAvx512Place place, size_t end, size_t at, size_t steps)
{
  const GemPacked *weights = self->call->weights;
  return (Ahead){.data = chunk_data(weights, place),
                 .words = self->words[at % 2][0],
                 .scales = self->scales[at % 3],
                 .blocks = place.panel < end ? gem_packed_width(weights->cols, place.col) / BLOCK_COLS : 0,
                 .steps = steps};
}

__attribute__((always_inline)) static inline void
run(GemType type, GemAvx512TileCall *call, size_t first, size_t end, size_t inputs)
{
  Blocks self;
  self.call = call;
  Job jobs[2], *before = NULL;
  GemAvx512Place place = {.panel = first};
  Ahead ahead = look_ahead(&self, place, end, 0, 1);
  __m512 f[TILE_INPUTS];
#pragma GCC unroll 16
  for (size_t i = 0; i < inputs; i++) {
    f[i] = _mm512_setzero_ps();
  }
  decode_ahead(type, &ahead);
  for (size_t at = 0, number = 0; place.panel < end; at++) {
    Chunk chunk = {.weights = type == GEM_TYPE_Q8_0 ? chunk_data(call->weights, place)
                                                    : (const uint8_t *)self.words[at % 2],
                   .scales = self.scales[at % 3],
                   .blocks = gem_packed_width(call->weights->cols, place.col) / BLOCK_COLS};
    GemAvx512Place next = gem_avx512_place_next(place, call->weights->cols);
    ahead = look_ahead(&self, next, end, at + 1, call->tiles * chunk.blocks);
    for (size_t tile = 0; tile < call->tiles; tile++, number++) {
      Job *job = &jobs[number % 2];
      gem_avx512_tile_aim(call, place, tile, &job->target);
      job->scales = chunk.scales;
      if (chunk.blocks == CHUNK_BLOCKS) {
        run_job(type, &self, job, before, chunk.weights, inputs, &ahead, f);
        before = job;
      } else {
        if (before != NULL) {
          end_jobs(&self, before, inputs, f);
          before = NULL;
        }
        run_short_job(type, &self, job, &chunk, inputs, &ahead);
      }
    }
    place = next;
  }
  if (before != NULL) {
    end_jobs(&self, before, inputs, f);
  }
}

#define DEFINE_RUN(name, type, inputs)                                                                       \
  static void name(GemAvx512TileCall *call, size_t first, size_t end)                                        \
  {                                                                                                          \
    run(type, call, first, end, inputs);                                                                     \
  }
DEFINE_RUN(run_q4_0, GEM_TYPE_Q4_0, TILE_INPUTS)
DEFINE_RUN(run_q4_0_half, GEM_TYPE_Q4_0, TILE_INPUTS / 2)
DEFINE_RUN(run_q8_0, GEM_TYPE_Q8_0, TILE_INPUTS)
DEFINE_RUN(run_q8_0_half, GEM_TYPE_Q8_0, TILE_INPUTS / 2)

void
gem_avx512_amx_linear_blocks(GemAvx512TileCall *call, size_t first, size_t end)
{
  size_t n = call->inputs.n;
  call->tiles = (n + TILE_INPUTS - 1) / TILE_INPUTS;
  call->tile_inputs = (n + call->tiles - 1) / call->tiles;
  bool is_half = call->tile_inputs <= TILE_INPUTS / 2;
  gem_avx512_tiles_shape(call->tile_inputs, BLOCK_COLS, BLOCK_WORDS);
  if (call->weights->type == GEM_TYPE_Q4_0) {
    (is_half ? run_q4_0_half : run_q4_0)(call, first, end);
  } else {
    (is_half ? run_q8_0_half : run_q8_0)(call, first, end);
  }
}
