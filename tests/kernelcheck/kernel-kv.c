/* Checks of keys and values in tiles: storing them, and attention over them. */
#include "tests/kernelcheck/kernels.h"
#include "tests/kernelcheck/patterns.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { MOST_POSITIONS = 40, MOST_TILES = 40, MOST_PARTS = 3 };

/* ---- kv_store ---- */

typedef void (*StoreFunction)(const GemKvForm *form,
                              const float *keys,
                              const float *values,
                              size_t n,
                              uint8_t *const *tiles,
                              const uint8_t *places);

static StoreFunction
find_store(const GemKernels *kernels, bool half)
{
  return half ? kernels->kv_store_half : kernels->kv_store;
}

/* n positions over a few tiles, in their order or against it, from any place on. */
static void
check_store_case(Check *check, const GemKvForm *form, ValuesPattern pattern, size_t n)
{
  size_t row = form->kv_heads * form->head_dim, bytes = gem_kv_tile_bytes(form);
  size_t n_tiles = (n + GEM_KV_TILE - 1) / GEM_KV_TILE + 1;
  uint8_t *expected_tiles[MOST_POSITIONS], *tiles[MOST_POSITIONS], places[MOST_POSITIONS];
  size_t first = check_random_below(check, GEM_KV_TILE);
  bool backwards = check_random_below(check, 3) == 0;
  check_case(check, "%zu positions of %zu heads of %zu from place %zu on%s, values %s", n, form->kv_heads,
             form->head_dim, first, backwards ? ", backwards" : "", values_pattern_name(pattern));
  float *keys = check_floats(check, "keys", n * row);
  float *values = check_floats(check, "values", n * row);
  uint8_t *expected = check_buffer(check, "expected tiles", n_tiles * bytes, GEM_KV_ALIGNMENT);
  uint8_t *actual = check_buffer(check, "tiles", n_tiles * bytes, GEM_KV_ALIGNMENT);
  fill_values(check, pattern, n * form->kv_heads, form->head_dim, keys);
  fill_values(check, pattern, n * form->kv_heads, form->head_dim, values);
  check_seal(check, keys);
  check_seal(check, values);
  for (size_t i = 0; i < n; i++) {
    size_t at = first + (backwards ? n - 1 - i : i);
    expected_tiles[i] = expected + at / GEM_KV_TILE * bytes;
    tiles[i] = actual + at / GEM_KV_TILE * bytes;
    places[i] = (uint8_t)(at % GEM_KV_TILE);
  }
  find_store(check_reference(check), form->half)(form, keys, values, n, expected_tiles, places);
  find_store(check_kernels(check), form->half)(form, keys, values, n, tiles, places);
  check_same_bytes(check, "the tiles", expected, actual, n_tiles * bytes);
}

static void
check_store(Check *check, bool half)
{
  static const size_t dims[] = {1, 2, 6, 15, 16, 17, 20, 32, 48, 64, 80, 128, 256};
  static const size_t heads[] = {1, 2, 3, 8};
  static const size_t counts[] = {1, 2, 4, 7, 16, 23, MOST_POSITIONS};
  size_t number = 0;
  for (size_t d = 0; d < COUNT(dims); d++) {
    for (int pattern = 0; pattern < N_VALUES; pattern++, number++) {
      GemKvForm form = {.kv_heads = heads[number % COUNT(heads)], .head_dim = dims[d], .half = half};
      check_store_case(check, &form, (ValuesPattern)pattern, counts[number % COUNT(counts)]);
    }
  }
}

void
check_kernel_kv_store(Check *check)
{
  check_store(check, false);
}

void
check_kernel_kv_store_half(Check *check)
{
  check_store(check, true);
}

/* ---- attend ---- */

typedef struct {
  GemKvForm form;
  size_t heads;
  uint32_t rows; /* of the group, among as many others */
  uint32_t n_parts;
  uint32_t members; /* of each list */
  ValuesPattern keys, q;
} Shape;

typedef struct {
  const Shape *shape;
  const uint8_t *tiles[MOST_PARTS][MOST_TILES];
  GemKvPart parts[MOST_PARTS];
  uint32_t *numbers; /* [rows] */
  const float *q;    /* [2 rows][heads][head_dim] */
} Scene;

/* `members` positions, stored by the reference; what is left of the last tile is never written. */
static void
fill_list(Check *check, const Shape *shape, const uint8_t *tiles[MOST_TILES])
{
  size_t row = shape->form.kv_heads * shape->form.head_dim, bytes = gem_kv_tile_bytes(&shape->form);
  size_t n_tiles = (shape->members + GEM_KV_TILE - 1) / GEM_KV_TILE;
  uint8_t *memory = check_buffer(check, "tiles", n_tiles * bytes, GEM_KV_ALIGNMENT);
  float *keys = check_floats(check, "keys", row);
  float *values = check_floats(check, "values", row);
  for (uint32_t m = 0; m < shape->members; m++) {
    uint8_t *tile = memory + m / GEM_KV_TILE * bytes, place = m % GEM_KV_TILE;
    tiles[m / GEM_KV_TILE] = tile;
    fill_values(check, shape->keys, shape->form.kv_heads, shape->form.head_dim, keys);
    fill_values(check, VALUES_RANDOM, shape->form.kv_heads, shape->form.head_dim, values);
    find_store(check_reference(check), shape->form.half)(&shape->form, keys, values, 1, &tile, &place);
  }
  check_seal(check, memory);
}

/* All of a list, its end, a piece, one member, nothing. */
static void
choose_range(Check *check, uint32_t members, uint32_t *from, uint32_t *to)
{
  size_t kind = check_random_below(check, 6);
  *from = kind == 0 ? 0 : (uint32_t)check_random_below(check, members);
  *to = members;
  if (kind >= 2) {
    *to = *from + 1 + (uint32_t)check_random_below(check, members - *from);
  }
  if (kind == 4) {
    *to = *from + 1;
  }
  if (kind == 5) {
    *to = *from / 2;
  }
}

static void
fill_scene(Check *check, Scene *scene)
{
  const Shape *shape = scene->shape;
  size_t width = shape->heads * shape->form.head_dim;
  float *q = check_floats(check, "q", 2 * shape->rows * width);
  scene->numbers = check_buffer(check, "rows", shape->rows * sizeof(uint32_t), sizeof(uint32_t));
  fill_values(check, shape->q, 2 * shape->rows * shape->heads, shape->form.head_dim, q);
  for (uint32_t i = 0; i < shape->rows; i++) {
    scene->numbers[i] = 2 * i + (uint32_t)check_random_below(check, 2);
  }
  check_seal(check, q);
  check_seal(check, scene->numbers);
  scene->q = q;
  for (uint32_t p = 0; p < shape->n_parts; p++) {
    uint32_t *from = check_buffer(check, "from", shape->rows * sizeof *from, sizeof *from);
    uint32_t *to = check_buffer(check, "to", shape->rows * sizeof *to, sizeof *to);
    uint32_t gone = (uint32_t)check_random_below(check, 3);
    fill_list(check, shape, scene->tiles[p]);
    for (uint32_t i = 0; i < shape->rows; i++) {
      choose_range(check, shape->members, &from[i], &to[i]);
      from[i] += gone * GEM_KV_TILE;
      to[i] += gone * GEM_KV_TILE;
    }
    check_seal(check, from);
    check_seal(check, to);
    scene->parts[p] = (GemKvPart){.tiles = scene->tiles[p], .first_tile = gone, .from = from, .to = to};
  }
}

static void
attend(const GemKernels *kernels, const Scene *scene, const GemKvShare *share, float *out)
{
  const Shape *shape = scene->shape;
  GemKvQueries queries = {.heads = shape->heads, .q = scene->q, .out = out};
  GemKvGroup group = {
      .rows = scene->numbers, .n = shape->rows, .n_parts = shape->n_parts, .parts = scene->parts};
  (shape->form.half ? kernels->attend_half : kernels->attend)(&shape->form, &queries, &group, share);
}

/* All at once, and piece by piece: rows cut in two, and each head. */
static void
check_attend_case(Check *check, const Shape *shape)
{
  Scene scene = {.shape = shape};
  size_t values = 2 * shape->rows * shape->heads * shape->form.head_dim;
  check_case(check, "%u rows, %zu heads of %zu, %zu with keys, %u lists of %u; keys %s, queries %s",
             shape->rows, shape->heads, shape->form.head_dim, shape->form.kv_heads, shape->n_parts,
             shape->members, values_pattern_name(shape->keys), values_pattern_name(shape->q));
  fill_scene(check, &scene);
  float *expected = check_floats(check, "expected out", values);
  float *out = check_floats(check, "out", values);
  float *pieces = check_floats(check, "out in pieces", values);
  uint32_t cut = (uint32_t)check_random_below(check, shape->rows);
  GemKvShare share = {.end_row = shape->rows, .end_kv_head = (uint32_t)shape->form.kv_heads};
  attend(check_reference(check), &scene, &share, expected);
  attend(check_kernels(check), &scene, &share, out);
  check_same(check, "out", expected, out, values);
  for (uint32_t head = 0; head < shape->form.kv_heads; head++) {
    attend(check_kernels(check), &scene, &(GemKvShare){0, cut, head, head + 1}, pieces);
    attend(check_kernels(check), &scene, &(GemKvShare){cut, shape->rows, head, head + 1}, pieces);
  }
  check_same(check, "out in pieces", expected, pieces, values);
}

static void
check_attend(Check *check, bool half)
{
  static const size_t heads[][2] = {{1, 1}, {8, 8}, {8, 2}, {6, 2}, {5, 1}};
  static const size_t dims[] = {1, 2, 6, 16, 20, 32, 48, 64, 80, 96, 128, 160, 256};
  static const uint32_t rows[] = {1, 2, 3, 4, 5, 9};
  static const uint32_t members[] = {1, 2, 15, 16, 17, 40, 255, 256, 257, 300, 600};
  static const ValuesPattern patterns[] = {VALUES_RANDOM, VALUES_RANDOM, VALUES_MIXED,
                                           VALUES_SIGNS,  VALUES_ZERO,   VALUES_ONE_HOT,
                                           VALUES_TINY,   VALUES_HUGE,   VALUES_NOT_FINITE};
  size_t number = 0;
  for (size_t d = 0; d < COUNT(dims); d++) {
    for (size_t m = 0; m < COUNT(members); m++, number++) {
      Shape shape = {
          .form = {.kv_heads = heads[number % COUNT(heads)][1], .head_dim = dims[d], .half = half},
          .heads = heads[number % COUNT(heads)][0],
          .rows = rows[number % COUNT(rows)],
          .n_parts = 1 + (uint32_t)number % MOST_PARTS,
          .members = members[m],
          .keys = patterns[number % COUNT(patterns)],
          .q = patterns[number / 3 % COUNT(patterns)],
      };
      check_attend_case(check, &shape);
    }
  }
}

void
check_kernel_attend(Check *check)
{
  check_attend(check, false);
}

void
check_kernel_attend_half(Check *check)
{
  check_attend(check, true);
}
