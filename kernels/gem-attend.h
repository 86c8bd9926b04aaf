/*
 * What attention has in common on all instruction sets: how query rows, heads, lists and chunks are walked
 * through, and the steps that give the same bits everywhere. A set's own file includes this, and gives the
 * walk its way to do one chunk; everything is inlined there. Inside the kernels only.
 *
 * A query is one head of one row. It goes through what it sees in chunks of 256 members, which begin at
 * multiples of 256 in their list; lists are taken one after the other. With e = the exponent of two of the
 * score (score / ln 2), M the largest e so far, S the sum of weights and A the weighted values, a chunk of
 * which the query sees anything changes
 *
 *   M' = max(M, e of the chunk), f = 2^(M - M'), w = 2^(e - M'), S = S f + sum w, A = A f + sum w value
 *
 * and at the end out = A * (1 / S). Chunks that it sees nothing of, and members that it does not see, change
 * nothing: not a bit of a query's result depends on the queries beside it.
 */
#pragma once

#include <math.h>

#include "kernels/gem-kv.h"

enum {
  GEM_ATTEND_QUERIES = 4, /* that go through a chunk together */
  GEM_ATTEND_MEMBERS = GEM_KV_CHUNK_TILES * GEM_KV_TILE,
  GEM_ATTEND_LEVEL = 16383, /* the largest weight of a chunk, in two halves of 7 bits */
  GEM_ATTEND_AHEAD = 4,     /* tiles whose keys are asked for before their turn */
};

/* Below this a largest value is zero: one over it must be a number. */
#define GEM_ATTEND_SMALLEST 0x1p-100f
/* The scale of infinite keys and values, as its upper half: with an infinite one weights would become no
 * numbers, which no integer stands for. */
#define GEM_ATTEND_LARGEST_SCALE 0x7f7f
/* In place of minus infinity. */
#define GEM_ATTEND_NOTHING (-3e38f)

typedef struct {
  const float *q;    /* [head_dim] */
  int8_t *levels;    /* [D] of q, for tiles of 8 bits */
  int32_t level_sum; /* of those */
  float factor;      /* what a product with a key is to be multiplied by to give e */
  float largest;     /* M */
  float sum;         /* S */
  float *out;        /* [head_dim] A */
  uint32_t from, to; /* of the list at hand */
} GemAttendQuery;

typedef struct {
  size_t dim; /* D */
  size_t head_dim;
  size_t n_tiles;
  uint32_t member; /* the first of the first tile */
  bool asks;       /* for what comes: of the first queries of a share */
  size_t n_heads;  /* those of the chunk, and of up to GEM_ATTEND_AHEAD tiles that follow it */
  const uint8_t *heads[GEM_KV_CHUNK_TILES + GEM_ATTEND_AHEAD]; /* the kv head in each */
} GemAttendChunk;

/* Takes up to GEM_ATTEND_QUERIES queries through one chunk, of which at least one sees something. */
typedef void
GemAttendRun(GemAttendQuery *queries, size_t count, const GemAttendChunk *chunk);
/* Sets levels, level_sum and factor (e per product) from q. */
typedef void
GemAttendPrepare(GemAttendQuery *query, const GemKvForm *form);

/* ---- steps ---- */

/* 2^x for x <= 0, of which only -125 and above counts: rounded x as exponent, the rest by a polynomial of
 * relative error 1.1e-7. These operations in this order: vectors give the same bits. */
#define GEM_EXP2_LEAST -125.0f
#define GEM_EXP2_SHIFT 0x1.8p23f
#define GEM_EXP2_1     0x1.62e42cp-1f
#define GEM_EXP2_2     0x1.ebf9c4p-3f
#define GEM_EXP2_3     0x1.c6b56cp-5f
#define GEM_EXP2_4     0x1.3ce93ep-7f
#define GEM_EXP2_5     0x1.5c733ap-10f

static inline float
gem_attend_exp2(float x)
{
  float bounded = x > GEM_EXP2_LEAST ? x : GEM_EXP2_LEAST;
  float shifted = bounded + GEM_EXP2_SHIFT;
  float rest = bounded - (shifted - GEM_EXP2_SHIFT);
  float power = fmaf(GEM_EXP2_5, rest, GEM_EXP2_4);
  power = fmaf(power, rest, GEM_EXP2_3);
  power = fmaf(power, rest, GEM_EXP2_2);
  power = fmaf(power, rest, GEM_EXP2_1);
  power = fmaf(power, rest, 1.0f);
  uint32_t exponent;
  uint32_t bits;
  memcpy(&exponent, &shifted, sizeof exponent);
  memcpy(&bits, &power, sizeof bits);
  bits += exponent << 23; /* its low bits are x rounded; the others leave */
  memcpy(&power, &bits, sizeof power);
  return power;
}

/* e per product of a level of the query with a key, where the query's largest |q| is `largest`. */
static inline float
gem_attend_factor(float largest, size_t head_dim)
{
  const float inverse_ln_2 = 0x1.715476p0f;
  return largest > GEM_ATTEND_SMALLEST ? largest / 127.0f * (inverse_ln_2 / sqrtf((float)head_dim)) : 0.0f;
}

/* From a weight to its level, where the chunk's largest is `largest`. */
static inline float
gem_attend_inverse(float largest)
{
  return largest > GEM_ATTEND_SMALLEST ? GEM_ATTEND_LEVEL / largest : 0.0f;
}

/* Which of the 16 members from `member` on the query sees, as bits. */
static inline uint32_t
gem_attend_mask(const GemAttendQuery *query, uint32_t member)
{
  uint32_t from = query->from > member ? query->from - member : 0;
  uint32_t to = query->to > member ? query->to - member : 0;
  uint32_t below = to < GEM_KV_TILE ? (1u << to) - 1 : 0xffff;
  return from < GEM_KV_TILE ? below & ~((1u << from) - 1) : 0;
}

/* Whether it sees any of the chunk. */
static inline bool
gem_attend_sees(const GemAttendQuery *query, const GemAttendChunk *chunk)
{
  uint32_t end = chunk->member + (uint32_t)chunk->n_tiles * GEM_KV_TILE;
  return query->from < query->to && query->from < end && query->to > chunk->member;
}

/* M' and f, from the largest e of a chunk. */
static inline float
gem_attend_raise(GemAttendQuery *query, float largest)
{
  float raised = largest > query->largest ? largest : query->largest;
  float fading = gem_attend_exp2(query->largest - raised);
  query->largest = raised;
  return fading;
}

/* Sums over a chunk are kept in 16 lanes, one a place, and taken together like this. */
static inline float
gem_attend_sum_lanes(float lanes[GEM_KV_TILE])
{
  for (size_t width = GEM_KV_TILE / 2; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; lane++) {
      lanes[lane] += lanes[lane + width];
    }
  }
  return lanes[0];
}

/* Heads stand so far apart, tile by tile, that a Zen 4 does not see where the walk goes; a Xeon
 * gained nothing by being told (docs/performance.md). Asks for the values of tile t, which come after all
 * keys of its chunk, and for the keys of one further on. Always inline, as gem_packed_ask_ahead(). */
__attribute__((always_inline)) static inline void
gem_attend_ask_ahead(const GemAttendChunk *chunk, size_t t)
{
  size_t bytes = gem_kv_values_offset(chunk->dim);
  if (!chunk->asks) {
    return;
  }
  for (size_t at = 0; at < bytes; at += GEM_KV_ALIGNMENT) {
    __builtin_prefetch(chunk->heads[t] + bytes + at, 0, 2);
  }
  for (size_t at = 0; t + GEM_ATTEND_AHEAD < chunk->n_heads && at < bytes; at += GEM_KV_ALIGNMENT) {
    __builtin_prefetch(chunk->heads[t + GEM_ATTEND_AHEAD] + at, 0, 2);
  }
}

/* ---- the walk ---- */

/* Some queries of a share, all of one kv head. */
typedef struct {
  const GemKvForm *form;
  const GemKvQueries *all;
  const GemKvGroup *group;
  size_t kv_head;
  size_t count;
  bool asks;
  GemAttendQuery queries[GEM_ATTEND_QUERIES];
  uint32_t rows[GEM_ATTEND_QUERIES]; /* their rows within the group */
} GemAttendBatch;

/* The queries of that kv head from the `next`-th on, row by row. */
static inline void
gem_attend_gather(GemAttendBatch *batch, const GemKvShare *share, size_t next)
{
  size_t head_dim = batch->form->head_dim;
  size_t heads_each = batch->all->heads / batch->form->kv_heads;
  size_t left = (share->end_row - share->first_row) * heads_each - next;
  batch->count = left < GEM_ATTEND_QUERIES ? left : GEM_ATTEND_QUERIES;
  for (size_t i = 0; i < batch->count; i++) {
    const GemKvGroup *group = batch->group;
    uint32_t in_group = share->first_row + (uint32_t)((next + i) / heads_each);
    size_t row = group->rows != NULL ? group->rows[in_group] : group->first_row + in_group;
    size_t head = batch->kv_head * heads_each + (next + i) % heads_each;
    size_t at = (row * batch->all->heads + head) * head_dim;
    batch->rows[i] = in_group;
    batch->queries[i].q = batch->all->q + at;
    batch->queries[i].out = batch->all->out + at;
    batch->queries[i].largest = GEM_ATTEND_NOTHING;
    batch->queries[i].sum = 0.0f;
    memset(batch->queries[i].out, 0, head_dim * sizeof(float));
  }
}

/* What the batch sees of a list: false when it is nothing; otherwise the tiles first .. end - 1 hold it all.
 */
static inline bool
gem_attend_find_tiles(GemAttendBatch *batch, const GemKvPart *part, uint32_t *first, uint32_t *end)
{
  uint32_t from = UINT32_MAX;
  uint32_t to = 0;
  for (size_t i = 0; i < batch->count; i++) {
    GemAttendQuery *query = &batch->queries[i];
    query->from = part->from[batch->rows[i]];
    query->to = part->to[batch->rows[i]];
    if (query->from < query->to) {
      from = query->from < from ? query->from : from;
      to = query->to > to ? query->to : to;
    }
  }
  *first = from / GEM_KV_TILE;
  *end = to / GEM_KV_TILE + (to % GEM_KV_TILE > 0);
  return from < to;
}

static inline void
gem_attend_part(GemAttendBatch *batch, const GemKvPart *part, GemAttendRun run)
{
  uint32_t tile;
  uint32_t end;
  if (!gem_attend_find_tiles(batch, part, &tile, &end)) {
    return;
  }
  size_t offset = batch->kv_head * gem_kv_head_bytes(batch->form);
  GemAttendChunk chunk = {
      .dim = gem_kv_dim(batch->form), .head_dim = batch->form->head_dim, .asks = batch->asks};
  for (; tile < end; tile += (uint32_t)chunk.n_tiles) {
    uint32_t most = GEM_KV_CHUNK_TILES - tile % GEM_KV_CHUNK_TILES;
    chunk.n_tiles = end - tile < most ? end - tile : most;
    chunk.member = tile * GEM_KV_TILE;
    for (size_t t = 0; t < chunk.n_tiles; t++) {
      chunk.heads[t] = part->tiles[tile - part->first_tile + t] + offset;
    }
    chunk.n_heads = chunk.n_tiles;
    for (; chunk.n_heads < chunk.n_tiles + GEM_ATTEND_AHEAD && tile + chunk.n_heads < end; chunk.n_heads++) {
      chunk.heads[chunk.n_heads] = part->tiles[tile - part->first_tile + chunk.n_heads] + offset;
    }
    run(batch->queries, batch->count, &chunk);
  }
}

/* out = A / S; zeros when nothing was seen. */
static inline void
gem_attend_finish(const GemAttendQuery *query, size_t head_dim)
{
  float share = query->sum > 0.0f ? 1.0f / query->sum : 0.0f;
  float *out = query->out;
#pragma omp simd
  for (size_t i = 0; i < head_dim; i++) {
    out[i] *= share;
  }
}

static inline void
gem_attend_walk_asking(const GemKvForm *form,
                       const GemKvQueries *queries,
                       const GemKvGroup *group,
                       const GemKvShare *share,
                       GemAttendPrepare prepare,
                       GemAttendRun run,
                       bool asks)
{
  _Alignas(GEM_KV_ALIGNMENT) int8_t levels[GEM_ATTEND_QUERIES][GEM_KV_MOST_DIM];
  GemAttendBatch batch = {.form = form, .all = queries, .group = group};
  size_t all = (share->end_row - share->first_row) * (queries->heads / form->kv_heads);
  for (batch.kv_head = share->first_kv_head; batch.kv_head < share->end_kv_head; batch.kv_head++) {
    for (size_t next = 0; next < all; next += batch.count) {
      gem_attend_gather(&batch, share, next);
      batch.asks = asks && next == 0;
      for (size_t i = 0; i < batch.count; i++) {
        batch.queries[i].levels = levels[i];
        prepare(&batch.queries[i], form);
      }
      for (size_t p = 0; p < group->n_parts; p++) {
        gem_attend_part(&batch, &group->parts[p], run);
      }
      for (size_t i = 0; i < batch.count; i++) {
        gem_attend_finish(&batch.queries[i], form->head_dim);
      }
    }
  }
}

static inline void
gem_attend_walk(const GemKvForm *form,
                const GemKvQueries *queries,
                const GemKvGroup *group,
                const GemKvShare *share,
                GemAttendPrepare prepare,
                GemAttendRun run)
{
  gem_attend_walk_asking(form, queries, group, share, prepare, run, false);
}
