/*
 * backends/cpu against double precision, for every block type; and that a row's result never depends on what
 * else is in the call.
 */
#include <math.h>
#include <string.h>

#include "kernels/gem-kernels.h"
#include "tests/gem-test-backend.h"
#include "tests/gem-test-reference.h"
#include "tests/gem-test-source.h"

static const GemType types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K, GEM_TYPE_Q4_0};

/* Single precision over a few hundred terms. */
#define TOLERANCE 1e-4

/* Where inputs are rounded to 8 bits: half a level of 1 / 127 of the largest, over a few hundred terms. What
 * the kernels make of rounded inputs is checked exactly in test-kernels and kernelcheck. */
#define ROUNDED_TOLERANCE 0.05

static double
tolerance_of(GemType type)
{
  return gem_packed_takes_levels(type) ? ROUNDED_TOLERANCE : TOLERANCE;
}

static GemMatrix *
matrix_of(const GemTestBackend *backend, GemTestSource *source, const char *name)
{
  GemTensorView view;
  GemPluginError error = {""};
  g_assert_true(source->source.find_tensor(source->source.context, name, &view));
  GemMatrix *matrix = backend->functions.matrix_new(backend->backend.state, &view, &error);
  g_assert_cmpstr(error.message, ==, "");
  g_assert_nonnull(matrix);
  return matrix;
}

static void
test_probe(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  GemProbeReport report = {.score = -1};
  g_assert_cmpint(backend->functions.probe(&report), ==, GEM_PROBE_SUPPORTED);
  g_assert_cmpint(report.score, ==, 10);
  g_assert_true(g_str_has_suffix(report.device, " CPU"));
  const char *told = g_getenv("GEM_CPU_KERNELS");
  g_assert_cmpstr(report.kernels, ==, told ? told : gem_kernels_best()->name);
  g_assert_cmpstr(report.reason, ==, "");
}

/* Any instruction set of this machine can be told by name, and nothing else. */
static void
test_kernels_by_name(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  const GemBackendOptions options = {.threads = 1};
  GemPluginError error = {""};
  g_autofree char *before = g_strdup(g_getenv("GEM_CPU_KERNELS"));
  for (size_t i = 0; i < gem_kernels_count(); i++) {
    GemProbeReport report = {0};
    g_setenv("GEM_CPU_KERNELS", gem_kernels_nth(i)->name, TRUE);
    g_assert_cmpint(backend->functions.probe(&report), ==, GEM_PROBE_SUPPORTED);
    g_assert_cmpstr(report.kernels, ==, gem_kernels_nth(i)->name);
  }
  GemProbeReport report = {0};
  g_setenv("GEM_CPU_KERNELS", "abacus", TRUE);
  g_assert_cmpint(backend->functions.probe(&report), ==, GEM_PROBE_UNSUPPORTED);
  g_assert_nonnull(strstr(report.reason, "GEM_CPU_KERNELS"));
  g_assert_null(backend->functions.open(&options, &error));
  g_assert_nonnull(strstr(error.message, "GEM_CPU_KERNELS"));
  if (before != NULL) {
    g_setenv("GEM_CPU_KERNELS", before, TRUE);
  } else {
    g_unsetenv("GEM_CPU_KERNELS");
  }
}

static void
test_matrix_row(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  for (gsize t = 0; t < G_N_ELEMENTS(types); t++) {
    g_autoptr(GemTestSource) source = gem_test_source_new("test.gguf", 7);
    gem_test_source_add(source, "w", types[t], 5, 512, 0, 1);
    GemMatrix *matrix = matrix_of(backend, source, "w");
    g_autofree float *row = g_new(float, 512);
    for (size_t i = 0; i < 5; i++) {
      backend->functions.matrix_row(backend->backend.state, matrix, i, row);
      g_assert_cmpmem(row, 512 * sizeof *row, gem_test_source_values(source, "w") + i * 512,
                      512 * sizeof *row);
    }
    g_assert_cmpuint(backend->functions.matrix_bytes(matrix), >=, 5 * gem_type_row_bytes(types[t], 512));
    backend->functions.matrix_free(backend->backend.state, matrix);
  }
}

/* A tensor that is read in parts, from any thread; the last `missing` bytes of it are not to be had. */
typedef struct {
  const guint8 *data;
  size_t bytes, missing;
  gint reads; /* atomic */
} OnDisk;

static bool
read_part(const GemTensorView *view, size_t offset, size_t bytes, void *to)
{
  OnDisk *disk = view->context;
  g_assert_cmpuint(offset + bytes, <=, disk->bytes);
  g_atomic_int_inc(&disk->reads);
  if (offset + bytes > disk->bytes - disk->missing) {
    return false;
  }
  memcpy(to, disk->data + offset, bytes);
  return true;
}

/* What is read in parts is packed as what is in memory is, with any number of threads, alone or in a group.
 */
static void
test_matrix_from_disk(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GemTestSource) source = gem_test_source_new("file.gguf", 11);
  GemPluginError error = {""};
  float row[512], same[512];
  gem_test_source_add(source, "w", GEM_TYPE_Q4_0, 1003, 512, 0, 1);
  for (uint32_t threads = 1; threads <= 3; threads++) {
    const GemBackendOptions options = {.struct_size = sizeof options, .threads = threads};
    GemBackendState *state = backend->functions.open(&options, &error);
    GemTensorView view;
    g_assert_nonnull(state);
    g_assert_true(source->source.find_tensor(source->source.context, "w", &view));
    GemMatrix *whole = backend->functions.matrix_new(state, &view, &error);
    OnDisk disk = {.data = view.data, .bytes = view.bytes};
    view.data = NULL;
    view.read = read_part;
    view.context = &disk;
    backend->functions.group_begin(state, view.bytes);
    GemMatrix *parts = backend->functions.matrix_new(state, &view, &error);
    backend->functions.group_end(state);
    g_assert_nonnull(parts);
    g_assert_cmpint(disk.reads, >, 1);
    for (size_t i = 0; i < 1003; i++) {
      backend->functions.matrix_row(state, whole, i, row);
      backend->functions.matrix_row(state, parts, i, same);
      g_assert_cmpmem(row, sizeof row, same, sizeof same);
    }
    backend->functions.matrix_free(state, parts);
    backend->functions.matrix_free(state, whole);

    disk.missing = 1;
    g_assert_null(backend->functions.matrix_new(state, &view, &error));
    g_assert_nonnull(strstr(error.message, "cannot be read"));
    backend->functions.close(state);
  }
}

static void
test_linear(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  const size_t rows = 24, cols = 512, n = 3;
  for (gsize t = 0; t < G_N_ELEMENTS(types); t++) {
    g_autoptr(GemTestSource) source = gem_test_source_new("test.gguf", 11 + (guint)t);
    gem_test_source_add(source, "w", types[t], rows, cols, 0, 1);
    g_autofree float *x = gem_test_random_floats(source->random, n * cols, 1);
    g_autofree double *exact = gem_test_to_doubles(x, n * cols);
    g_autofree float *y = g_new(float, n *rows);
    g_autofree double *expected = g_new(double, rows);

    GemMatrix *matrix = matrix_of(backend, source, "w");
    gem_backend_linear(&backend->backend, matrix, x, n, y);
    for (size_t i = 0; i < n; i++) {
      gem_test_linear(gem_test_source_values(source, "w"), rows, cols, exact + i * cols, expected);
      gem_test_assert_close(y + i * rows, expected, rows, tolerance_of(types[t]));
    }
    backend->functions.matrix_free(backend->backend.state, matrix);
  }
}

/* More rows than one pass takes; each row alone gives the same bits as all together. */
static void
test_feed_forward(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GemTestSource) source = gem_test_source_new("test.gguf", 3);
  const size_t width = 64, hidden = 96, n = 150;
  gem_test_source_add(source, "gate", GEM_TYPE_Q4_0, hidden, width, 0, 0.3);
  gem_test_source_add(source, "up", GEM_TYPE_Q8_0, hidden, width, 0, 0.3);
  gem_test_source_add(source, "down", GEM_TYPE_Q4_0, width, hidden, 0, 0.3);
  GemMatrix *gate = matrix_of(backend, source, "gate");
  GemMatrix *up = matrix_of(backend, source, "up");
  GemMatrix *down = matrix_of(backend, source, "down");
  GemFeedForward ffn = {.gate = gate, .up = up, .down = down};

  g_autofree float *x = gem_test_random_floats(source->random, n * width, 1);
  g_autofree float *before = gem_test_random_floats(source->random, n * width, 1);
  g_autofree float *together = g_memdup2(before, n * width * sizeof *before);
  g_autofree float *alone = g_memdup2(before, n * width * sizeof *before);
  g_autofree double *exact = gem_test_to_doubles(x, n * width);
  g_autofree double *expected = gem_test_to_doubles(before, n * width);
  backend->functions.feed_forward(backend->backend.state, &ffn, x, n, together);
  for (size_t i = 0; i < n; i++) {
    backend->functions.feed_forward(backend->backend.state, &ffn, x + i * width, 1, alone + i * width);
    gem_test_feed_forward(gem_test_source_values(source, "gate"), gem_test_source_values(source, "up"),
                          gem_test_source_values(source, "down"), width, hidden, exact + i * width,
                          expected + i * width);
  }
  gem_test_assert_close(together, expected, n * width, ROUNDED_TOLERANCE);
  g_assert_cmpmem(together, n * width * sizeof *together, alone, n * width * sizeof *alone);

  backend->functions.matrix_free(backend->backend.state, gate);
  backend->functions.matrix_free(backend->backend.state, up);
  backend->functions.matrix_free(backend->backend.state, down);
}

static void
test_element_wise(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  const size_t n = 3, heads = 2, head_dim = 8, rope_dim = 6, d = heads * head_dim;
  const guint32 positions[] = {0, 7, 2047};
  g_autofree float *x = gem_test_random_floats(random, n * d, 2);
  g_autofree float *weight = gem_test_random_floats(random, d, 2);
  g_autofree float *y = g_new(float, n *d);
  g_autofree double *expected = gem_test_to_doubles(x, n * d);

  backend->functions.rms_norm(backend->backend.state, x, weight, n, d, 1e-5F, y);
  for (size_t i = 0; i < n; i++) {
    gem_test_rms_norm(expected + i * d, weight, d, 1e-5, expected + i * d);
  }
  gem_test_assert_close(y, expected, n * d, TOLERANCE);

  backend->functions.rope(backend->backend.state, y, positions, n, heads, head_dim, rope_dim, 10000);
  for (size_t i = 0; i < n; i++) {
    gem_test_rope(expected + i * d, positions[i], heads, head_dim, rope_dim, 10000);
  }
  gem_test_assert_close(y, expected, n * d, 1e-3);

  g_autofree float *again = gem_test_random_floats(random, n * d, 2);
  g_autofree double *gelu = gem_test_to_doubles(again, n * d);
  backend->functions.gelu(backend->backend.state, again, n * d);
  for (size_t i = 0; i < n * d; i++) {
    gelu[i] = gem_test_gelu(gelu[i]);
  }
  gem_test_assert_close(again, gelu, n * d, TOLERANCE);

  g_autofree double *softmax = gem_test_to_doubles(again, n * d);
  backend->functions.softmax(backend->backend.state, again, n * d);
  gem_test_softmax(softmax, n * d);
  gem_test_assert_close(again, softmax, n * d, TOLERANCE);
}

static void
test_scar_assign(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  /* Unit vectors along the axes: the cluster is the axis of the largest component, whatever the length. */
  const float centroids[] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const float u[] = {0.1F, 5, -7, 0.3F, 0.1F, 0.2F, -1, -2, 0.01F};
  uint8_t clusters[3];
  backend->functions.scar_assign(backend->backend.state, u, 3, 3, centroids, 3, clusters);
  g_assert_cmpuint(clusters[0], ==, 1);
  g_assert_cmpuint(clusters[1], ==, 0);
  g_assert_cmpuint(clusters[2], ==, 2);
}

/* Grouped-query attention over chosen rows of a cache in each of its types. */
static void
test_attend(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  static const GemType cache_types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q8_0};
  const size_t heads = 4, kv_heads = 2, head_dim = 32, count = 40, row = kv_heads * head_dim;
  const uint32_t chosen[] = {0, 3, 4, 17, 38};
  gboolean visible[40] = {FALSE};
  for (gsize i = 0; i < G_N_ELEMENTS(chosen); i++) {
    visible[chosen[i]] = TRUE;
  }

  for (gsize t = 0; t < G_N_ELEMENTS(cache_types); t++) {
    g_autoptr(GemTestSource) source = gem_test_source_new("cache", 23 + (guint)t);
    gem_test_source_add(source, "k", cache_types[t], count, row, 0, 1);
    gem_test_source_add(source, "v", cache_types[t], count, row, 0, 1);
    GemTensorView keys, values;
    g_assert_true(source->source.find_tensor(source, "k", &keys));
    g_assert_true(source->source.find_tensor(source, "v", &values));
    size_t row_bytes = gem_type_row_bytes(cache_types[t], row);
    GemKeyValueRows key_rows = {cache_types[t], keys.data, row_bytes, row_bytes / kv_heads};
    GemKeyValueRows value_rows = {cache_types[t], values.data, row_bytes, row_bytes / kv_heads};

    g_autofree float *q = gem_test_random_floats(source->random, heads * head_dim, 2);
    g_autofree float *out = g_new(float, heads *head_dim);
    g_autofree double *exact_q = gem_test_to_doubles(q, heads * head_dim);
    g_autofree double *exact_k = gem_test_to_doubles(gem_test_source_values(source, "k"), count * row);
    g_autofree double *exact_v = gem_test_to_doubles(gem_test_source_values(source, "v"), count * row);
    g_autofree double *expected = g_new(double, heads *head_dim);
    backend->functions.attend(backend->backend.state, q, heads, kv_heads, head_dim, &key_rows, &value_rows,
                              chosen, G_N_ELEMENTS(chosen), out);
    gem_test_attend(exact_q, heads, kv_heads, head_dim, exact_k, exact_v, visible, count, expected);
    gem_test_assert_close(out, expected, heads * head_dim, TOLERANCE);
  }
}

static void
assert_no_matrix(const GemTestBackend *backend, const GemTensorView *view, const char *reason)
{
  GemPluginError error = {""};
  g_assert_null(backend->functions.matrix_new(backend->backend.state, view, &error));
  g_test_message("%s", error.message);
  g_assert_nonnull(strstr(error.message, reason));
}

static void
test_bad_matrix(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  static const float values[64];
  GemTensorView view = {.type = 99, .rows = 2, .cols = 32, .data = values, .bytes = sizeof values};
  assert_no_matrix(backend, &view, "type 99 is not known");
  view.type = GEM_TYPE_F32;
  view.bytes = sizeof values - 4;
  assert_no_matrix(backend, &view, "2 x 32 values of type F32 do not make 252 bytes");
  view.type = GEM_TYPE_Q6_K;
  view.bytes = 210;
  assert_no_matrix(backend, &view, "2 x 32 values of type Q6_K");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/backend/probe", test_probe);
  g_test_add_func("/backend/kernels-by-name", test_kernels_by_name);
  g_test_add_func("/backend/matrix-row", test_matrix_row);
  g_test_add_func("/backend/matrix-from-disk", test_matrix_from_disk);
  g_test_add_func("/backend/linear", test_linear);
  g_test_add_func("/backend/feed-forward", test_feed_forward);
  g_test_add_func("/backend/element-wise", test_element_wise);
  g_test_add_func("/backend/scar-assign", test_scar_assign);
  g_test_add_func("/backend/attend", test_attend);
  g_test_add_func("/backend/bad-matrix", test_bad_matrix);
  return g_test_run();
}
