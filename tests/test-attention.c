/*
 * attention/dense and attention/scar: which rows they let a token see, against the definition looked up pair
 * by pair; and what comes out, against double precision.
 */
#include <math.h>
#include <string.h>

#include "tests/gem-test-backend.h"
#include "tests/gem-test-reference.h"
#include "tests/gem-test-source.h"

#define WIDTH    64
#define LAYERS   2
#define HEADS    4
#define KV_HEADS 2
#define HEAD_DIM 16
#define ROW      (KV_HEADS * HEAD_DIM) /* values of one row of keys */
#define QUERY    (HEADS * HEAD_DIM)    /* values of one row of queries */

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

/* An opened module over a sequence of `count` positions with random keys, values, queries and clusters. */
typedef struct {
  GemTestBackend *backend;
  GemPluginModule *module;
  const GemAttentionFunctions *functions;
  GemTestSource *source;
  GemShape shape;
  GemAttention *attention;
  size_t count;
  float *q;          /* [count][HEADS][HEAD_DIM] */
  float *keys;       /* [count][KV_HEADS][HEAD_DIM] */
  float *values;     /* the same */
  uint8_t *clusters; /* [count] */
} Scene;

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
  scene->count = count;
  scene->q = gem_test_random_floats(scene->source->random, count * QUERY, 2);
  scene->keys = gem_test_random_floats(scene->source->random, count * ROW, 2);
  scene->values = gem_test_random_floats(scene->source->random, count * ROW, 2);
  scene->clusters = g_new(uint8_t, count);
  for (size_t i = 0; i < count; i++) {
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

/* Rows first .. first + n - 1 of the scene's sequence. */
static void
run_rows(Scene *scene, size_t first, size_t n, float *out)
{
  GemAttentionRows rows = {
      .layer = 1,
      .first = (uint32_t)first,
      .n = n,
      .q = scene->q + first * QUERY,
      .keys = {0, (const uint8_t *)scene->keys, ROW * sizeof(float), HEAD_DIM * sizeof(float)},
      .values = {0, (const uint8_t *)scene->values, ROW * sizeof(float), HEAD_DIM * sizeof(float)},
      .clusters = scene->functions->needs_clusters(scene->attention) ? scene->clusters : NULL,
  };
  g_assert_cmpint(scene->functions->attend(scene->attention, &rows, out), ==, 0);
}

/* The definition, as model.md has it. */
static gboolean
sees(const Scene *scene, size_t i, size_t j)
{
  if (!scene->functions->needs_clusters(scene->attention)) {
    return j <= i;
  }
  return j <= i && (scene->clusters[i] == scene->clusters[j] || i - j < scene->shape.window || j == 0);
}

typedef struct {
  const Scene *scene;
  size_t position; /* of the next row */
} MaskCheck;

static void
check_mask(const uint32_t *visible, size_t count, gpointer data)
{
  MaskCheck *check = data;
  size_t next = 0;
  for (size_t j = 0; j < check->scene->count; j++) {
    if (sees(check->scene, check->position, j)) {
      g_assert_cmpuint(next, <, count);
      g_assert_cmpuint(visible != NULL ? visible[next] : next, ==, j);
      next++;
    }
  }
  g_assert_cmpuint(next, ==, count);
  check->position++;
}

/* In one call, in blocks, and token by token. */
static void
assert_masks(const char *name, guint window, guint clusters, size_t count)
{
  g_autoptr(Scene) scene = scene_new(name, window, clusters, count);
  const size_t steps[] = {count, 7, 1};
  for (gsize s = 0; s < G_N_ELEMENTS(steps); s++) {
    MaskCheck check = {.scene = scene};
    gem_test_backend_watch_attend(check_mask, &check);
    for (size_t first = 0; first < count; first += steps[s]) {
      size_t n = MIN(steps[s], count - first);
      g_autofree float *out = g_new(float, n *QUERY);
      run_rows(scene, first, n, out);
    }
    g_assert_cmpuint(check.position, ==, count);
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
  run_rows(scene, first, count - first, out);
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
    run_rows(dense, 0, 40, dense_out);
  }
  {
    g_autoptr(Scene) scar = scene_new("scar", 40, 16, 40);
    run_rows(scar, 0, 40, scar_out);
  }
  g_assert_cmpmem(dense_out, 40 * QUERY * sizeof(float), scar_out, 40 * QUERY * sizeof(float));
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

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/attention/masks", test_masks);
  g_test_add_func("/attention/outputs", test_outputs);
  g_test_add_func("/attention/wide-window-is-dense", test_wide_window_is_dense);
  g_test_add_func("/attention/assign", test_assign);
  g_test_add_func("/attention/bad-centroids", test_bad_centroids);
  return g_test_run();
}
