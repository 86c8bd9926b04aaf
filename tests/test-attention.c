/*
 * attention/dense and attention/scar over the key-value cache: which rows they let a token see, against the
 * definition looked up pair by pair; and what comes out, against double precision.
 */
#include <math.h>
#include <string.h>

#include "daemon/engine/gem-kv-cache.h"
#include "kernels/gem-kv.h"
#include "kernels/gem-types.h"
#include "tests/gem-test-backend.h"
#include "tests/gem-test-kv.h"
#include "tests/gem-test-reference.h"
#include "tests/gem-test-source.h"

#define WIDTH    64
#define LAYERS   2
#define HEADS    4
#define KV_HEADS 2
#define HEAD_DIM 16
#define ROW      (KV_HEADS * HEAD_DIM) /* values of one row of keys */
#define QUERY    (HEADS * HEAD_DIM)    /* values of one row of queries */

static gboolean successors; /* of the scenes that are made from now on */

static GemShape
shape_with_window(guint window)
{
  return (GemShape){
      .struct_size = sizeof(GemShape),
      .width = WIDTH,
      .layers = LAYERS,
      .heads = HEADS,
      .kv_heads = KV_HEADS,
      .head_dim = HEAD_DIM,
      .window = window,
      .n_cluster_sets = 2,
      .clusters = {16, 8},
      .successors = successors,
  };
}

static GemTestSource *
centroid_source(void)
{
  static const guint sets[] = {16, 8};
  GemTestSource *source = gem_test_source_new("general-test.gguf", 77);
  for (guint layer = 0; layer < LAYERS; layer++) {
    for (gsize i = 0; i < G_N_ELEMENTS(sets); i++) {
      g_autofree char *name = g_strdup_printf("blk.%u.scar_centroids_%u.weight", layer, sets[i]);
      gem_test_source_add(source, name, GEM_TYPE_F32, sets[i], WIDTH, 0, 1);
    }
  }
  return source;
}

/* An opened module over a sequence of `count` positions with random keys, values, queries and clusters. Keys
 * and values are numbers that the cache, which is of halves, keeps as they are; the first value of a position
 * is the position. */
typedef struct {
  GemTestBackend *backend;
  GemPluginModule *module;
  const GemAttentionFunctions *functions;
  GemTestSource *source;
  GemShape shape;
  GemAttention *attention;
  gboolean by_cluster;
  guint k; /* clusters in use */
  size_t count;
  float *q;          /* [count][HEADS][HEAD_DIM] */
  float *keys;       /* [count][KV_HEADS][HEAD_DIM] */
  float *values;     /* the same */
  uint8_t *clusters; /* [count] */
} Scene;

static float *
random_halves(GRand *random, size_t count)
{
  float *values = gem_test_random_floats(random, count, 2);
  for (size_t i = 0; i < count; i++) {
    values[i] = gem_half_to_float(gem_float_to_half(values[i]));
  }
  return values;
}

static Scene *
scene_new(const char *name, guint window, guint clusters, size_t count)
{
  Scene *scene = g_new0(Scene, 1);
  scene->backend = gem_test_backend_open();
  scene->module = gem_test_module_open(GEM_PLUGIN_ATTENTION, name);
  scene->functions = gem_plugin_module_get(scene->module)->functions;
  scene->source = centroid_source();
  scene->shape = shape_with_window(window);
  GemPluginError error = {""};
  scene->attention =
      scene->functions->open(&scene->source->source, &scene->shape, &scene->backend->backend, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_nonnull(scene->attention);
  scene->by_cluster = scene->functions->needs_clusters(scene->attention);
  scene->k = clusters;
  scene->count = count;
  scene->q = gem_test_random_floats(scene->source->random, count * QUERY, 2);
  scene->keys = random_halves(scene->source->random, count * ROW);
  scene->values = random_halves(scene->source->random, count * ROW);
  scene->clusters = g_new(uint8_t, count);
  for (size_t i = 0; i < count; i++) {
    scene->values[i * ROW] = (float)i;
    scene->clusters[i] = (uint8_t)g_rand_int_range(scene->source->random, 0, (gint32)clusters);
  }
  return scene;
}

static void
scene_free(Scene *scene)
{
  scene->functions->close(scene->attention);
  gem_test_backend_close(scene->backend);
  gem_plugin_module_close(scene->module);
  gem_test_source_free(scene->source);
  g_free(scene->q);
  g_free(scene->keys);
  g_free(scene->values);
  g_free(scene->clusters);
  g_free(scene);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scene, scene_free)

static GemKvCache *
cache_new(const Scene *scene)
{
  GemKvCacheShape shape = {
      .backend = &scene->backend->backend,
      .layers = LAYERS,
      .form = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .half = true},
      .limit = (guint)scene->count,
      .clusters = scene->by_cluster ? scene->k : 0,
      .window = scene->functions->needs_window(scene->attention),
      .successors = scene->shape.successors,
  };
  shape.tile_bytes = shape.backend->functions->kv_tile_bytes(shape.backend->state, &shape.form);
  return gem_kv_cache_new(&shape);
}

/* Caches rows first .. first + n - 1 of the scene's sequence in the last layer; what comes after them is
 * forgotten. */
static GemAttentionSpan
cache_rows(const Scene *scene, GemKvCache *cache, size_t first, size_t n)
{
  g_assert_true(gem_kv_cache_reserve(cache, (guint)first, (guint)n, NULL));
  gem_test_kv_store(cache, LAYERS - 1, (guint)first, (guint)n, scene->keys + first * ROW,
                    scene->values + first * ROW, scene->by_cluster ? scene->clusters + first : NULL);
  return gem_kv_cache_get_span(cache, LAYERS - 1, (guint)n);
}

static void
attend(const Scene *scene,
       GemKvCache *cache,
       const GemAttentionSpan *spans,
       size_t n,
       const float *q,
       float *out)
{
  g_assert_cmpint(scene->functions->attend(scene->attention, gem_kv_cache_get_form(cache), spans, n, q, out),
                  ==, 0);
}

static void
run_rows(const Scene *scene, GemKvCache *cache, size_t first, size_t n, float *out)
{
  GemAttentionSpan span = cache_rows(scene, cache, first, n);
  attend(scene, cache, &span, 1, scene->q + first * QUERY, out);
}

/* Rows first .. of the sequence, `step` at a time: out is [count - first][HEADS][HEAD_DIM]. */
static void
run_in_steps(const Scene *scene, GemKvCache *cache, size_t first, size_t step, float *out)
{
  for (size_t at = first; at < scene->count; at += step) {
    run_rows(scene, cache, at, MIN(step, scene->count - at), out + (at - first) * QUERY);
  }
}

/* The definition, as model.md has it. */
static gboolean
sees(const Scene *scene, size_t i, size_t j)
{
  if (!scene->by_cluster) {
    return j <= i;
  }
  size_t of = scene->shape.successors && j > 0 ? j - 1 : j;
  return j <= i && (scene->clusters[i] == scene->clusters[of] || i - j < scene->shape.window || j == 0);
}

typedef struct {
  const Scene *scene;
  size_t first;   /* position of the first row of the call */
  gboolean *seen; /* [count] rows that attended */
} MaskCheck;

/* Counts how often the row of the group sees each position. */
static void
count_visible(const Scene *scene, const GemKeyValueGroup *group, uint32_t row, guint *times)
{
  GemKvForm form = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .half = true};
  for (uint32_t p = 0; p < group->n_parts; p++) {
    const GemKeyValuePart *part = &group->parts[p];
    for (uint32_t member = part->from[row]; member < part->to[row]; member++) {
      float keys[ROW], values[ROW];
      gem_kv_read(&form, part->tiles[member / GEM_KEY_VALUE_TILE - part->first_tile],
                  member % GEM_KEY_VALUE_TILE, keys, values);
      g_assert_cmpfloat(values[0], >=, 0);
      g_assert_cmpfloat(values[0], <, (double)scene->count);
      times[(size_t)values[0]]++;
    }
  }
}

static void
check_mask(const GemKeyValueForm *form, const GemKeyValueGroup *group, gpointer data)
{
  MaskCheck *check = data;
  g_assert_true(form->half);
  g_assert_cmpuint(group->n_parts, <=, GEM_KEY_VALUE_PARTS);
  for (uint32_t row = 0; row < group->n; row++) {
    size_t position = check->first + (group->rows != NULL ? group->rows[row] : group->first_row + row);
    g_autofree guint *times = g_new0(guint, check->scene->count);
    count_visible(check->scene, group, row, times);
    for (size_t j = 0; j < check->scene->count; j++) {
      g_assert_cmpuint(times[j], ==, sees(check->scene, position, j) ? 1 : 0);
    }
    g_assert_false(check->seen[position]);
    check->seen[position] = TRUE;
  }
}

/* In one call, in blocks, and token by token; then again from the middle on. */
static void
assert_masks(const char *name, guint window, guint clusters, size_t count)
{
  g_autoptr(Scene) scene = scene_new(name, window, clusters, count);
  const size_t steps[] = {count, 7, 1};
  for (gsize s = 0; s < G_N_ELEMENTS(steps); s++) {
    g_autoptr(GemKvCache) cache = cache_new(scene);
    const size_t starts[] = {0, count - 3, count / 2, 1};
    for (gsize i = 0; i < G_N_ELEMENTS(starts); i++) {
      g_autofree gboolean *seen = g_new0(gboolean, count);
      g_autofree float *out = g_new(float, count *QUERY);
      MaskCheck check = {.scene = scene, .seen = seen};
      gem_test_backend_watch_attend(check_mask, &check);
      for (size_t first = starts[i]; first < count; first += steps[s]) {
        check.first = first;
        run_rows(scene, cache, first, MIN(steps[s], count - first), out);
      }
      for (size_t row = starts[i]; row < count; row++) {
        g_assert_true(seen[row]);
      }
      gem_test_backend_watch_attend(NULL, NULL);
    }
  }
}

static void
test_masks(void)
{
  assert_masks("dense", 4, 16, 40);
  static const guint windows[] = {0, 1, 2, 5, 32, 79, 80, 1000};
  static const guint clusters[] = {1, 2, 16, 256};
  for (gsize w = 0; w < G_N_ELEMENTS(windows); w++) {
    for (gsize c = 0; c < G_N_ELEMENTS(clusters); c++) {
      assert_masks("scar", windows[w], clusters[c], 80);
    }
  }
}

static void
assert_output(const char *name, guint window)
{
  const size_t count = 50, first = 20;
  g_autoptr(Scene) scene = scene_new(name, window, 4, count);
  g_autofree float *out = g_new(float, (count - first) * QUERY);
  g_autofree double *q = gem_test_to_doubles(scene->q, count * QUERY);
  g_autofree double *keys = gem_test_to_doubles(scene->keys, count * ROW);
  g_autofree double *values = gem_test_to_doubles(scene->values, count * ROW);
  g_autoptr(GemKvCache) cache = cache_new(scene);
  cache_rows(scene, cache, 0, first);
  run_rows(scene, cache, first, count - first, out);
  for (size_t i = first; i < count; i++) {
    gboolean visible[50];
    double expected[QUERY];
    for (size_t j = 0; j < count; j++) {
      visible[j] = sees(scene, i, j);
    }
    gem_test_attend(q + i * QUERY, HEADS, KV_HEADS, HEAD_DIM, keys, values, visible, count, expected);
    gem_test_assert_close(out + (i - first) * QUERY, expected, QUERY, 1e-4);
  }
}

static void
test_outputs(void)
{
  assert_output("dense", 3);
  assert_output("scar", 3);
  assert_output("scar", 0);
}

/* With a window as long as the sequence SCAR is dense attention. */
static void
test_wide_window_is_dense(void)
{
  g_autofree float *dense_out = g_new(float, 40 * QUERY);
  g_autofree float *scar_out = g_new(float, 40 * QUERY);
  {
    g_autoptr(Scene) dense = scene_new("dense", 40, 16, 40);
    g_autoptr(GemKvCache) cache = cache_new(dense);
    run_rows(dense, cache, 0, 40, dense_out);
  }
  {
    g_autoptr(Scene) scar = scene_new("scar", 40, 16, 40);
    g_autoptr(GemKvCache) cache = cache_new(scar);
    run_rows(scar, cache, 0, 40, scar_out);
  }
  g_assert_cmpmem(dense_out, 40 * QUERY * sizeof(float), scar_out, 40 * QUERY * sizeof(float));
}

/* Not a bit of a result depends on how its rows came, or on what was there and is forgotten. */
static void
assert_same_bits(const char *name, guint window)
{
  const size_t count = 600, half = 290;
  g_autoptr(Scene) scene = scene_new(name, window, 3, count);
  g_autofree float *expected = g_new(float, count *QUERY);
  g_autoptr(GemKvCache) first = cache_new(scene);
  run_in_steps(scene, first, 0, count, expected);

  const size_t steps[] = {1, 23, 128};
  for (gsize s = 0; s < G_N_ELEMENTS(steps); s++) {
    g_autoptr(GemKvCache) cache = cache_new(scene);
    g_autofree float *out = g_new0(float, count *QUERY);
    run_in_steps(scene, cache, 0, steps[s], out);
    g_assert_cmpmem(out, count * QUERY * sizeof(float), expected, count * QUERY * sizeof(float));
    memset(out, 0, count * QUERY * sizeof(float));
    run_in_steps(scene, cache, half, steps[s], out + half * QUERY);
    g_assert_cmpmem(out + half * QUERY, (count - half) * QUERY * sizeof(float), expected + half * QUERY,
                    (count - half) * QUERY * sizeof(float));
  }
}

static void
test_same_bits(void)
{
  assert_same_bits("dense", 1);
  assert_same_bits("scar", 0);
  assert_same_bits("scar", 5);
  assert_same_bits("scar", 40);
  assert_same_bits("scar", 300);
}

/* Two sequences in one call are as each alone. */
static void
assert_spans(const char *name)
{
  const size_t first = 30, n = 10;
  g_autoptr(Scene) scene = scene_new(name, 4, 3, first + n);
  g_autoptr(GemKvCache) a = cache_new(scene);
  g_autoptr(GemKvCache) b = cache_new(scene);
  g_autofree float *expected = g_new(float, (first + n) * QUERY);
  g_autofree float *out = g_new(float, (1 + n) * QUERY);
  g_autofree float *q = g_new(float, (1 + n) * QUERY);
  run_rows(scene, a, 0, first + n, expected);

  cache_rows(scene, a, 0, first);
  cache_rows(scene, b, 0, 6);
  const GemAttentionSpan spans[] = {cache_rows(scene, a, first, n), cache_rows(scene, b, 6, 1)};
  memcpy(q, scene->q + first * QUERY, n * QUERY * sizeof *q);
  memcpy(q + n * QUERY, scene->q + (size_t)6 * QUERY, QUERY * sizeof *q);
  attend(scene, a, spans, G_N_ELEMENTS(spans), q, out);
  g_assert_cmpmem(out, n * QUERY * sizeof *out, expected + first * QUERY, n * QUERY * sizeof *out);
  g_assert_cmpmem(out + n * QUERY, QUERY * sizeof *out, expected + (size_t)6 * QUERY, QUERY * sizeof *out);
}

static void
test_spans(void)
{
  assert_spans("dense");
  assert_spans("scar");
}

/* The nearest centroid by cosine, of the layer and the set that were asked for. */
static void
test_assign(void)
{
  static const guint sets[] = {16, 8};
  const size_t n = 30;
  g_autoptr(Scene) scene = scene_new("scar", 4, 16, 1);
  g_autofree float *u = gem_test_random_floats(scene->source->random, n * WIDTH, 3);
  g_autofree uint8_t *clusters = g_new(uint8_t, n);
  for (guint layer = 0; layer < LAYERS; layer++) {
    for (guint set = 0; set < G_N_ELEMENTS(sets); set++) {
      g_autofree char *name = g_strdup_printf("blk.%u.scar_centroids_%u.weight", layer, sets[set]);
      const float *centroids = gem_test_source_values(scene->source, name);
      scene->functions->assign(scene->attention, layer, set, u, n, clusters);
      for (size_t i = 0; i < n; i++) {
        guint best = 0;
        double best_dot = -INFINITY;
        for (guint k = 0; k < sets[set]; k++) {
          double dot = 0;
          for (size_t d = 0; d < WIDTH; d++) {
            dot += (double)u[i * WIDTH + d] * centroids[k * WIDTH + d];
          }
          if (dot > best_dot) {
            best_dot = dot;
            best = k;
          }
        }
        g_assert_cmpuint(clusters[i], ==, best);
      }
    }
  }
  g_assert_cmpuint(scene->functions->resident_bytes(scene->attention), >=,
                   LAYERS * (16 + 8) * WIDTH * sizeof(float));
}

static void
assert_refused(GemTestSource *source, const GemShape *shape, const char *reason)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GemPluginModule) module = gem_test_module_open(GEM_PLUGIN_ATTENTION, "scar");
  const GemAttentionFunctions *functions = gem_plugin_module_get(module)->functions;
  GemPluginError error = {""};
  g_assert_null(functions->open(&source->source, shape, &backend->backend, &error));
  g_test_message("%s", error.message);
  g_assert_true(g_str_has_prefix(error.message, "general-test.gguf: "));
  g_assert_nonnull(strstr(error.message, reason));
}

static void
test_bad_centroids(void)
{
  g_autoptr(GemTestSource) source = centroid_source();
  GemShape shape = shape_with_window(4);
  gem_test_source_add(source, "blk.1.scar_centroids_8.weight", GEM_TYPE_F32, 8, WIDTH / 2, 0, 1);
  assert_refused(source, &shape, "tensor blk.1.scar_centroids_8.weight is 8 x 32, not 8 x 64");
  gem_test_source_remove(source, "blk.1.scar_centroids_8.weight");
  assert_refused(source, &shape, "tensor blk.1.scar_centroids_8.weight is missing");
  shape.clusters[1] = 257;
  assert_refused(source, &shape, "257 clusters");
  shape.n_cluster_sets = 0;
  assert_refused(source, &shape, "no SCAR centroids");
}

/* The same of a model whose tokens look for what followed their cluster's. */
static void
test_successors(void)
{
  successors = TRUE;
  test_masks();
  test_outputs();
  test_wide_window_is_dense();
  test_same_bits();
  test_spans();
  successors = FALSE;
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/attention/masks", test_masks);
  g_test_add_func("/attention/outputs", test_outputs);
  g_test_add_func("/attention/wide-window-is-dense", test_wide_window_is_dense);
  g_test_add_func("/attention/same-bits", test_same_bits);
  g_test_add_func("/attention/spans", test_spans);
  g_test_add_func("/attention/successors", test_successors);
  g_test_add_func("/attention/assign", test_assign);
  g_test_add_func("/attention/bad-centroids", test_bad_centroids);
  return g_test_run();
}
