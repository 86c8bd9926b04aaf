/*
 * Many inputs with Q6_K on the tile unit. Scales of sub-blocks are whole, so that weights are decoded to four
 * times level times scale, -16256 .. 16384, and cut in two bytes: high with a sign, low without. A job is two
 * tiles of inputs with a chunk of a panel, four steps of 64 columns. Sums of integers have no way from tiles
 * to vectors but through memory; each tile of them is stored when the next job needs it. Vectors join high
 * and low sums and multiply them by d meanwhile, and decode what comes next: neither waits for the other.
 */
#include "kernels/avx512/gem-avx512-amx.h"

#define TILE_INPUTS GEM_AVX512_TILE_INPUTS
#define JOB_TILES   2  /* of inputs */
#define STEP_COLS   64 /* of a tile of inputs */
#define STEP_WORDS  (STEP_COLS / 4)
#define CHUNK_STEPS (GEM_CHUNK_COLS / STEP_COLS)
#define CHUNK_SUBS  16 /* of 16 columns */
#define SUB_WORDS   4
#define PARTS       2 /* high and low */

/* Weights of a chunk of a panel, 256 * high + low, and d / 4. */
typedef struct {
  __m512i words[CHUNK_STEPS][PARTS][STEP_WORDS];
  __m512 d;
} Chunk;

typedef struct {
  GemAvx512Target targets[JOB_TILES];
  __m512 d;
} Job;

typedef struct {
  GemAvx512TileCall *call;
  Chunk chunks[2];                             /* this one and the next, in turn */
  __m512i sums[JOB_TILES][PARTS][TILE_INPUTS]; /* where tiles are stored */
} Products;

/* What the steps of a chunk's jobs decode: the chunk that follows. */
typedef struct {
  const uint8_t *data;
  Chunk *chunk;
  size_t subs, done;
  size_t steps, step;
} Ahead;

/* Four times the levels, 0 .. 252, of part 0 .. 3 of bytes of pairs; `part` is a constant to the compiler. */
__attribute__((always_inline)) static inline __m512i
join(const uint8_t *nibbles, const uint8_t *pairs, size_t part)
{
  __m512i low = _mm512_loadu_si512(nibbles), high = _mm512_loadu_si512(pairs);
  low = part < 2 ? _mm512_slli_epi16(low, 2) : _mm512_srli_epi16(low, 2);
  high = part == 3 ? high : _mm512_slli_epi16(high, (unsigned)(6 - 2 * part));
  __m512i joined = _mm512_ternarylogic_epi32(_mm512_set1_epi8(0x3f), low, high, 0xca);
  return _mm512_and_si512(joined, _mm512_set1_epi8((char)0xfc));
}

/* Four words that share scales: number `part`, a constant to the compiler, of a quarter of the chunk. */
__attribute__((always_inline)) static inline void
decode_part(const uint8_t *data, size_t quarter, size_t part, Chunk *chunk)
{
  const __m512i repeat =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
  const __m512i neighbours =
      _mm512_broadcast_i32x4(_mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  const __mmask64 even_bytes = 0x5555555555555555, odd_bytes = ~even_bytes;
  size_t half = quarter / 2, word = half * 32 + part * 8 + quarter % 2 * SUB_WORDS;
  const uint8_t *nibbles = data + (half * 16 + part % 2 * 8 + quarter % 2 * SUB_WORDS) * 64;
  const uint8_t *pairs = data + 2048 + quarter * 256;
  __m512i scales = gem_avx512_whole_scales(data + 3072 + word * 4);
  __m512i even_scales = _mm512_maskz_shuffle_epi8(even_bytes, scales, repeat);
  __m512i odd_scales = _mm512_maskz_shuffle_epi8(odd_bytes, scales, repeat);
  __m512i offsets = _mm512_maddubs_epi16(_mm512_set1_epi8((char)(4 * 32)), even_scales);
#pragma GCC unroll 4
  for (size_t i = 0; i < SUB_WORDS; i++, word++) {
    __m512i levels = join(nibbles + i * 64, pairs + i * 64, part);
    __m512i even = _mm512_sub_epi16(_mm512_maddubs_epi16(levels, even_scales), offsets);
    __m512i odd = _mm512_sub_epi16(_mm512_maddubs_epi16(levels, odd_scales), offsets);
    __m512i(*to)[STEP_WORDS] = chunk->words[word / STEP_WORDS];
    to[0][word % STEP_WORDS] = _mm512_mask_shuffle_epi8(odd, even_bytes, even, neighbours);
    to[1][word % STEP_WORDS] = _mm512_mask_shuffle_epi8(even, odd_bytes, odd, neighbours);
  }
}

static inline void
decode_sub(const uint8_t *data, size_t sub, Chunk *chunk)
{
  switch (sub % 4) {
  case 0:
    decode_part(data, sub / 4, 0, chunk);
    break;
  case 1:
    decode_part(data, sub / 4, 1, chunk);
    break;
  case 2:
    decode_part(data, sub / 4, 2, chunk);
    break;
  default:
    decode_part(data, sub / 4, 3, chunk);
  }
}

/* The share of one step. */
static inline void
decode_ahead(Ahead *ahead)
{
  ahead->step++;
  for (; ahead->done * ahead->steps < ahead->subs * ahead->step; ahead->done++) {
    gem_packed_ask_ahead(GEM_TYPE_Q6_K, ahead->data, ahead->done, CHUNK_SUBS, GEM_AHEAD_NEXT);
    decode_sub(ahead->data, ahead->done, ahead->chunk);
    if (ahead->done == 0) {
      ahead->chunk->d = _mm512_mul_ps(gem_avx512_scales(ahead->data + 3328), _mm512_set1_ps(0.25f));
    }
  }
}

/* One tile's sums, of which high ones are 256 times too small. */
__attribute__((always_inline)) static inline void
finish(const Products *self, const Job *job, size_t tile)
{
  const __m512i(*sums)[TILE_INPUTS] = self->sums[tile];
  for (size_t i = 0; i < self->call->tile_inputs; i++) {
    __m512i whole = _mm512_add_epi32(_mm512_slli_epi32(sums[0][i], 8), sums[1][i]);
    __m512 f = _mm512_mul_ps(job->d, _mm512_cvtepi32_ps(whole));
    gem_avx512_target_add(&job->targets[tile], self->call->chunks, i, f);
  }
}

/* Sums of the job before are stored just before their tile is needed again: by then they are long ready. */
#define BEGIN(tile)                                                                                          \
  if (step == 0) {                                                                                           \
    _tile_stored(tile, self->sums[(tile) / PARTS][(tile) % PARTS], GEM_TILE_ROW_BYTES);                      \
    _tile_zero(tile);                                                                                        \
  }

/* Tiles 0 and 1 are high and low sums of the first tile of inputs, 2 and 3 those of the second. */
__attribute__((always_inline)) static inline void
multiply(Products *self, const Job *job, const Chunk *chunk, size_t step)
{
  size_t cols = self->call->inputs.cols;
  _tile_loadd(4, job->targets[0].levels + step * STEP_COLS, cols);
  _tile_loadd(6, chunk->words[step][0], sizeof(__m512i));
  BEGIN(0);
  _tile_dpbssd(0, 4, 6);
  _tile_loadd(7, chunk->words[step][1], sizeof(__m512i));
  BEGIN(1);
  _tile_dpbsud(1, 4, 7);
  _tile_loadd(5, job->targets[1].levels + step * STEP_COLS, cols);
  BEGIN(2);
  _tile_dpbssd(2, 5, 6);
  BEGIN(3);
  _tile_dpbsud(3, 5, 7);
}

/* A job, and meanwhile what is left of the one before it, if there is one. */
__attribute__((always_inline)) static inline void
run_job(Products *self, const Job *job, const Job *before, const Chunk *chunk, Ahead *ahead)
{
  GEM_AVX512_TILES_LOOK_AT(self);
#pragma GCC unroll 4
  for (size_t step = 0; step < CHUNK_STEPS; step++) {
    multiply(self, job, chunk, step);
    if (step >= CHUNK_STEPS - JOB_TILES && before != NULL) {
      finish(self, before, step - (CHUNK_STEPS - JOB_TILES));
    }
    decode_ahead(ahead);
  }
}

static void
end_jobs(Products *self, const Job *job)
{
#pragma GCC unroll 4
  for (size_t tile = 0; tile < GEM_AVX512_SUM_TILES; tile++) {
    gem_avx512_tile_store(tile, self->sums[tile / PARTS][tile % PARTS]);
  }
  for (size_t tile = 0; tile < JOB_TILES; tile++) {
    finish(self, job, tile);
  }
}

static void
run(GemAvx512TileCall *call, size_t first, size_t end)
{
  Products self;
  Job jobs[2], *before = NULL;
  GemAvx512Place place = {.panel = first};
  const uint8_t *data = call->weights->data + first * call->chunks * GEM_Q6_K_CHUNK_BYTES;
  Ahead ahead = {.data = data, .chunk = &self.chunks[0], .subs = CHUNK_SUBS, .steps = 1};
  self.call = call;
  decode_ahead(&ahead);
  for (size_t at = 0, number = 0; place.panel < end; at++) {
    GemAvx512Place next = gem_avx512_place_next(place, call->weights->cols);
    const Chunk *chunk = &self.chunks[at % 2];
    data += GEM_Q6_K_CHUNK_BYTES; /* chunks stand one after the other */
    ahead = (Ahead){.data = data,
                    .chunk = &self.chunks[(at + 1) % 2],
                    .subs = next.panel < end ? CHUNK_SUBS : 0,
                    .steps = call->tiles / JOB_TILES * CHUNK_STEPS};
    for (size_t tile = 0; tile < call->tiles; tile += JOB_TILES, number++) {
      Job *job = &jobs[number % 2];
      gem_avx512_tile_aim(call, place, tile, &job->targets[0]);
      gem_avx512_tile_aim(call, place, tile + 1, &job->targets[1]);
      job->d = chunk->d;
      run_job(&self, job, before, chunk, &ahead);
      before = job;
    }
    place = next;
  }
  end_jobs(&self, before);
}

void
gem_avx512_amx_linear_q6_k(GemAvx512TileCall *call, size_t first, size_t end)
{
  const size_t job_inputs = JOB_TILES * TILE_INPUTS;
  size_t n = call->inputs.n;
  call->tiles = (n + job_inputs - 1) / job_inputs * JOB_TILES;
  call->tile_inputs = (n + call->tiles - 1) / call->tiles;
  gem_avx512_tiles_shape(call->tile_inputs, STEP_COLS, STEP_WORDS);
  run(call, first, end);
}
