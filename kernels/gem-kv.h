/*
 * The form in which keys and values of earlier tokens are kept: the same for all instruction sets.
 *
 * A tile holds 16 positions of one layer of one sequence, all heads. Which positions those are is their
 * owner's choice: the tiles of a list hold its members in order, member m at place m % 16 of tile m / 16. A
 * kernel is given lists and, for each query row, the range of members that it sees, so that rows which see
 * the same lists share what is read of them.
 *
 * In a tile the kv heads stand one after the other, each in gem_kv_head_bytes(). With D = head_dim rounded up
 * to 16 (what is beyond head_dim is 0), a head of 8 bits is
 *
 *   [D / 4][16 positions][4]   levels of keys: lanes are positions, so that no sum is taken across lanes
 *   [4 quads][D][4 positions]  levels of values: lanes are dimensions
 *   [16] scales of keys, [16] scales of values
 *
 * where a position's level is round(x / scale), and its scale max |x| / 127, rounded up to the upper half of
 * a single (bfloat16). What is no number counts for nothing and is the level 0; a scale is finite, so that an
 * infinity is the largest level of the largest scale. A head of halves is
 *
 *   [D][16 positions] keys, [16 positions][D] values
 *
 * What stands at a place that was never written is never looked at.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
  GEM_KV_TILE = 16,        /* positions */
  GEM_KV_CHUNK_TILES = 16, /* tiles whose weights are rounded together */
  GEM_KV_ALIGNMENT = 64,   /* bytes, of a tile */
  GEM_KV_MOST_DIM = 4096,  /* values of a head */
};

typedef struct {
  size_t kv_heads;
  size_t head_dim; /* 1 .. GEM_KV_MOST_DIM */
  bool half;       /* halves in place of 8 bits and a scale */
} GemKvForm;

/* What the rows of a group see of one list. */
typedef struct {
  const uint8_t *const *tiles; /* of the list, from tile `first_tile` on */
  uint32_t first_tile;
  const uint32_t *from; /* [n] each row of the group sees members from .. to - 1; none when from >= to */
  const uint32_t *to;
} GemKvPart;

/* Query rows, and what they see: the same lists, in this order. A member must not be in two of them. */
typedef struct {
  const uint32_t *rows; /* [n] their indices in q and out; NULL: from first_row on */
  uint32_t first_row;
  uint32_t n;
  uint32_t n_parts;
  const GemKvPart *parts;
} GemKvGroup;

typedef struct {
  size_t heads;   /* a multiple of kv_heads: head h reads kv head h * kv_heads / heads */
  const float *q; /* [rows][heads][head_dim] */
  float *out;     /* the same */
} GemKvQueries;

/* The rows and heads of a group that one call is to do; other rows and heads of `out` are not touched. */
typedef struct {
  uint32_t first_row, end_row; /* within the group */
  uint32_t first_kv_head, end_kv_head;
} GemKvShare;

/* ---- places in a tile ---- */

/* D: values of a head with their padding. */
static inline size_t
gem_kv_dim(const GemKvForm *form)
{
  return (form->head_dim + 15) / 16 * 16;
}

/* Of one head in a tile; a multiple of GEM_KV_ALIGNMENT. */
static inline size_t
gem_kv_head_bytes(const GemKvForm *form)
{
  size_t dim = gem_kv_dim(form);
  return form->half ? 2 * GEM_KV_TILE * dim * sizeof(uint16_t)
                    : 2 * GEM_KV_TILE * dim + 2 * GEM_KV_TILE * sizeof(uint16_t);
}

static inline size_t
gem_kv_tile_bytes(const GemKvForm *form)
{
  return form->kv_heads * gem_kv_head_bytes(form);
}

/* Where the parts of a head of 8 bits begin, from its beginning on. */
static inline size_t
gem_kv_values_offset(size_t dim)
{
  return GEM_KV_TILE * dim;
}

static inline size_t
gem_kv_key_scales_offset(size_t dim)
{
  return 2 * GEM_KV_TILE * dim;
}

static inline size_t
gem_kv_value_scales_offset(size_t dim)
{
  return 2 * GEM_KV_TILE * dim + GEM_KV_TILE * sizeof(uint16_t);
}

/* Four levels of a key, and one of a value. */
static inline size_t
gem_kv_key_at(size_t place, size_t four)
{
  return (four * GEM_KV_TILE + place) * 4;
}

static inline size_t
gem_kv_value_at(size_t dim, size_t place, size_t i)
{
  return (place / 4 * dim + i) * 4 + place % 4;
}

static inline float
gem_kv_scale(uint16_t upper_half)
{
  uint32_t bits = (uint32_t)upper_half << 16;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return scale;
}

/* ---- what needs no instruction set of its own ---- */

/* Copies one position. */
void
gem_kv_copy(const GemKvForm *form, const uint8_t *from, size_t from_place, uint8_t *to, size_t to_place);

/* Reads one back: keys, values [kv_heads][head_dim]. */
void
gem_kv_read(const GemKvForm *form, const uint8_t *tile, size_t place, float *keys, float *values);
