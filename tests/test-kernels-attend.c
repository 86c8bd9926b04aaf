/* Keys and values in tiles, and attention over them, in plain C: against the same mathematics in double. */
#include <math.h>
#include <string.h>

#include <glib.h>

#include "kernels/gem-kernels.h"

static float *
new_random(gsize n, double scale)
{
  float *values = g_new(float, n);
  for (gsize i = 0; i < n; i++) {
    values[i] = (float)(scale * g_test_rand_double_range(-1.0, 1.0));
  }
  return values;
}

/* What 14 bits of weights leave of some hundred values within -2 .. 2. */
#define ROUNDED_WEIGHTS 2e-3
/* What single precision leaves of them: scores of some tens, each off by a few units of their last place. */
#define SINGLE_WEIGHTS 5e-5

enum { MEMBERS = 300, KV_TILES = (MEMBERS + GEM_KV_TILE - 1) / GEM_KV_TILE };

typedef struct {
  GemKvForm form;
  guint8 *memory;
  const guint8 *tiles[KV_TILES];
  float *keys; /* [MEMBERS][kv_heads][head_dim], as they are read back */
  float *values;
} List;

/* Random members in tiles that were full of what is no number. */
static void
list_init(List *list, gboolean half, gsize kv_heads, gsize head_dim)
{
  gsize row = kv_heads * head_dim;
  *list = (List){.form = {.kv_heads = kv_heads, .head_dim = head_dim, .half = half}};
  gsize bytes = gem_kv_tile_bytes(&list->form);
  list->memory = aligned_alloc(GEM_KV_ALIGNMENT, KV_TILES * bytes);
  memset(list->memory, 0xff, KV_TILES * bytes);
  list->keys = new_random(MEMBERS * row, 2.0);
  list->values = new_random(MEMBERS * row, 2.0);
  for (gsize m = 0; m < MEMBERS; m++) {
    guint8 *tile = list->memory + m / GEM_KV_TILE * bytes;
    guint8 place = m % GEM_KV_TILE;
    const GemKernels *kernels = gem_kernels_reference();
    float *keys = list->keys + m * row, *values = list->values + m * row;
    list->tiles[m / GEM_KV_TILE] = tile;
    (half ? kernels->kv_store_half : kernels->kv_store)(&list->form, keys, values, 1, &tile, &place);
    gem_kv_read(&list->form, tile, place, keys, values);
  }
}

static void
list_clear(List *list)
{
  free(list->memory);
  g_free(list->keys);
  g_free(list->values);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(List, list_clear)

/* What is read back is what was stored, but for half a level, and scales of 8 bits. */
static void
test_kv_store(void)
{
  const gsize kv_heads = 2, head_dim = 20, row = kv_heads * head_dim;
  GemKvForm form = {.kv_heads = kv_heads, .head_dim = head_dim};
  g_autofree float *keys = new_random(row, 3.0);
  g_autofree float *values = new_random(row, 1e-20);
  g_autofree float *read_keys = g_new(float, row);
  g_autofree float *read_values = g_new(float, row);
  guint8 *tile = aligned_alloc(GEM_KV_ALIGNMENT, gem_kv_tile_bytes(&form));
  keys[3] = 3.0f;
  values[head_dim] = -1e-20f;
  for (guint number = 0; number < GEM_KV_TILE; number++) {
    guint8 place = (guint8)number;

    gem_kernels_reference()->kv_store(&form, keys, values, 1, &tile, &place);
    gem_kv_read(&form, tile, place, read_keys, read_values);
    for (gsize i = 0; i < row; i++) {
      g_assert_cmpfloat_with_epsilon(read_keys[i], keys[i], 3.0 / 127 / 2 * 1.008);
      g_assert_cmpfloat_with_epsilon(read_values[i], values[i], 1e-20 / 127 / 2 * 1.008);
    }
  }
  /* A row of zeros takes the place of one that was not. */
  memset(keys, 0, row * sizeof *keys);
  gem_kernels_reference()->kv_store(&form, keys, keys, 1, &tile, &(guint8){5});
  gem_kv_read(&form, tile, 5, read_keys, read_values);
  for (gsize i = 0; i < row; i++) {
    g_assert_cmpfloat(read_keys[i], ==, 0.0);
    g_assert_cmpfloat(read_values[i], ==, 0.0);
  }
  free(tile);
}

/* Queries that 8 bits hold as they are: whole multiples of their largest / 127. */
static float *
new_queries(gsize n, gsize head_dim)
{
  float *q = g_new(float, n *head_dim);
  for (gsize i = 0; i < n; i++) {
    float step = (float)g_test_rand_double_range(0.005, 0.05);
    for (gsize d = 0; d < head_dim; d++) {
      q[i * head_dim + d] = step * (float)(d == 0 ? 127 : g_test_rand_int_range(-127, 128));
    }
  }
  return q;
}

/* Of two ranges of members, one after the other. */
typedef struct {
  guint32 from[2], to[2];
} Seen;

static gboolean
is_seen(const Seen *seen, gsize member)
{
  return (member >= seen->from[0] && member < seen->to[0]) ||
         (member >= seen->from[1] && member < seen->to[1]);
}

/* softmax(q k^T / sqrt(head_dim)) v of one head in double; zeros where nothing is seen. */
static void
expect_head(const float *q, gsize kv_head, const List *list, const Seen *seen, double *ret_out)
{
  gsize d = list->form.head_dim, row = list->form.kv_heads * d;
  double scores[MEMBERS], max = -G_MAXDOUBLE, sum = 0.0;
  memset(ret_out, 0, d * sizeof(double));
  for (gsize m = 0; m < MEMBERS; m++) {
    scores[m] = -INFINITY;
    if (is_seen(seen, m)) {
      scores[m] = 0.0;
      for (gsize i = 0; i < d; i++) {
        scores[m] += (double)q[i] * list->keys[m * row + kv_head * d + i] / sqrt((double)d);
      }
      max = MAX(max, scores[m]);
    }
  }
  for (gsize m = 0; m < MEMBERS; m++) {
    sum += exp(scores[m] - max);
  }
  for (gsize m = 0; m < MEMBERS; m++) {
    for (gsize i = 0; i < d && is_seen(seen, m); i++) {
      ret_out[i] += exp(scores[m] - max) / sum * list->values[m * row + kv_head * d + i];
    }
  }
}

/* Rows of a group that see two parts of the same list, among rows of others. */
static void
check_attend(gboolean half, gsize heads, gsize kv_heads, gsize head_dim, const Seen *seen, guint32 n)
{
  const float untouched = 42.0f;
  g_auto(List) list = {0};
  gsize width = heads * head_dim;
  g_autofree float *q = new_queries(2 * n * heads, head_dim);
  g_autofree float *out = g_new(float, 2 * n * width);
  g_autofree double *expected = g_new(double, head_dim);
  g_autofree guint32 *ranges = g_new(guint32, 5 * n);
  list_init(&list, half, kv_heads, head_dim);
  GemKvPart parts[2];
  for (guint32 p = 0; p < 2; p++) {
    for (guint32 i = 0; i < n; i++) {
      ranges[2 * p * n + i] = seen[i].from[p];
      ranges[(2 * p + 1) * n + i] = seen[i].to[p];
      ranges[4 * n + i] = 2 * i + 1;
    }
    parts[p] = (GemKvPart){.tiles = list.tiles, .from = ranges + 2 * p * n, .to = ranges + (2 * p + 1) * n};
  }
  for (gsize i = 0; i < 2 * n * width; i++) {
    out[i] = untouched;
  }
  GemKvGroup group = {.rows = ranges + 4 * n, .n = n, .n_parts = 2, .parts = parts};
  GemKvQueries queries = {.heads = heads, .q = q, .out = out};
  GemKvShare share = {.end_row = n, .end_kv_head = (guint32)kv_heads};
  const GemKernels *kernels = gem_kernels_reference();
  (half ? kernels->attend_half : kernels->attend)(&list.form, &queries, &group, &share);
  for (guint32 i = 0; i < n; i++) {
    for (gsize head = 0; head < heads; head++) {
      gsize at = (2 * i + 1) * width + head * head_dim;
      expect_head(q + at, head / (heads / kv_heads), &list, &seen[i], expected);
      for (gsize d = 0; d < head_dim; d++) {
        g_assert_cmpfloat(out[at - width + d], ==, untouched);
        g_assert_cmpfloat_with_epsilon(out[at + d], expected[d], half ? SINGLE_WEIGHTS : ROUNDED_WEIGHTS);
      }
    }
  }
}

static void
test_attend(void)
{
  static const Seen seen[] = {
      {{0, 0}, {MEMBERS, 0}},   {{0, 100}, {10, 200}},  {{5, 0}, {6, 0}},
      {{0, 290}, {0, MEMBERS}}, {{0, 255}, {0, 257}},   {{0, 0}, {0, 0}},
      {{256, 16}, {258, 32}},   {{7, 8}, {8, MEMBERS}}, {{299, 17}, {MEMBERS, 31}},
  };
  for (gsize half = 0; half < 2; half++) {
    check_attend(half == 1, 4, 4, 64, seen, G_N_ELEMENTS(seen));
    check_attend(half == 1, 6, 2, 32, seen, G_N_ELEMENTS(seen));
    check_attend(half == 1, 8, 1, 96, seen, 3);
    check_attend(half == 1, 2, 2, 6, seen, G_N_ELEMENTS(seen));
    check_attend(half == 1, 1, 1, 1056, seen, 2);
  }
}

/* Far from each other scores leave one weight; and weights that are all alike are exact. */
static void
test_attend_extremes(void)
{
  g_auto(List) list = {0};
  list_init(&list, FALSE, 1, 32);
  float q[32], out[32];
  guint32 from = 0, to = MEMBERS;
  GemKvPart part = {.tiles = list.tiles, .from = &from, .to = &to};
  GemKvGroup group = {.n = 1, .n_parts = 1, .parts = &part};
  GemKvQueries queries = {.heads = 1, .q = q, .out = out};
  GemKvShare share = {.end_row = 1, .end_kv_head = 1};
  for (gsize i = 0; i < 32; i++) {
    q[i] = list.keys[123 * 32 + i] * 1e4f;
  }
  gem_kernels_reference()->attend(&list.form, &queries, &group, &share);
  for (gsize i = 0; i < 32; i++) {
    g_assert_cmpfloat_with_epsilon(out[i], list.values[123 * 32 + i], 1e-3);
  }
  memset(q, 0, sizeof q);
  gem_kernels_reference()->attend(&list.form, &queries, &group, &share);
  for (gsize i = 0; i < 32; i++) {
    double mean = 0;
    for (gsize m = 0; m < MEMBERS; m++) {
      mean += (double)list.values[m * 32 + i] / MEMBERS;
    }
    g_assert_cmpfloat_with_epsilon(out[i], mean, 1e-4);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/kernels/kv-store", test_kv_store);
  g_test_add_func("/kernels/attend/values", test_attend);
  g_test_add_func("/kernels/attend/extremes", test_attend_extremes);
  return g_test_run();
}
