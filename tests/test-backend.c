/*
 * backends/cpu against double precision, for every block type; and that a row's result never depends on what
 * else is in the call.
 */
#include <math.h>
#include <string.h>

#include "kernels/gem-kernels.h"
#include "plugins/backends/cpu/gem-cpu.h"
#include "tests/gem-test-backend.h"
#include "tests/gem-test-reference.h"
#include "tests/gem-test-source.h"

static const GemType types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K, GEM_TYPE_Q4_0};

/* Single precision over a few hundred terms. */
#define TOLERANCE 1e-4

/* Where inputs are rounded to 8 bits: half a level of 1 / 127 of the largest, over a few hundred terms. What
 * the kernels make of rounded inputs is checked exactly in test-kernels and kernelcheck. */
#define ROUNDED_TOLERANCE 0.05

/* Queries rounded to 8 bits, and weights to 14. */
#define ATTEND_TOLERANCE 0.01

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

/* A block of a prompt with the rows of answers is one pass; more are even ones, of which none has too many.
 */
static void
test_passes(void)
{
  const size_t of[] = {0, 1, 128, 136, 160, 161, 256, 321, 512};
  const size_t rows[] = {0, 1, 128, 136, 160, 81, 128, 107, 128};
  for (gsize i = 0; i < G_N_ELEMENTS(of); i++) {
    g_assert_cmpuint(gem_cpu_pass_rows(of[i]), ==, rows[i]);
  }
}

/* More rows than one pass takes, two and not even; each row alone gives the same bits as all together. */
static void
test_feed_forward(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GemTestSource) source = gem_test_source_new("test.gguf", 3);
  const size_t width = 64, hidden = 96, n = 165;
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

/* What a backend with so many threads makes of n inputs: the 24 rows of "w", and a feed-forward, one after
 * the other. What it adds to zeros is what it multiplies. Free with g_free. */
static float *
multiply_shared(
    const GemTestBackend *backend, uint32_t threads, GemTestSource *source, const float *x, size_t n)
{
  const GemBackendOptions options = {.struct_size = sizeof options, .threads = threads};
  const size_t width = 64, rows = 24;
  GemPluginError error = {0};
  GemTestBackend shared = *backend;
  shared.backend.state = backend->functions.open(&options, &error);
  g_assert_nonnull(shared.backend.state);
  GemMatrix *matrix = matrix_of(&shared, source, "w");
  GemMatrix *gate = matrix_of(&shared, source, "gate");
  GemMatrix *up = matrix_of(&shared, source, "up");
  GemMatrix *down = matrix_of(&shared, source, "down");
  const GemFeedForward ffn = {.gate = gate, .up = up, .down = down};

  float *y = g_new0(float, n *(rows + width));
  gem_backend_linear(&shared.backend, matrix, x, n, y);
  backend->functions.feed_forward(shared.backend.state, &ffn, x, n, y + n * rows);
  g_autofree float *product = g_new(float, n *rows);
  g_autofree float *sum = g_new0(float, n *rows);
  gem_backend_linear_add(&shared.backend, matrix, rows, x, n, product, sum);
  g_assert_cmpmem(sum, n * rows * sizeof *sum, y, n * rows * sizeof *y);
  GemMatrix *all[] = {matrix, gate, up, down};
  for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
    backend->functions.matrix_free(shared.backend.state, all[i]);
  }
  backend->functions.close(shared.backend.state);
  return y;
}

/* However many threads share the inputs of a prompt, and whether each takes panels or inputs of its own, the
 * bits are the same; with hidden layers of more than a chunk, and narrower than the rows. */
static void
test_products_shared(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  const size_t width = 64, hidden[] = {288, 32}, of[] = {63, 64, 95, 128, 165};
  for (gsize t = 0; t < G_N_ELEMENTS(types) * G_N_ELEMENTS(hidden); t++) {
    g_autoptr(GemTestSource) source = gem_test_source_new("test.gguf", 60 + (guint)t);
    GemType type = types[t / 2] == GEM_TYPE_Q6_K ? GEM_TYPE_Q8_0 : types[t / 2];
    gem_test_source_add(source, "w", types[t / 2], 24, types[t / 2] == GEM_TYPE_Q6_K ? 256 : width, 0, 0.3);
    gem_test_source_add(source, "gate", type, hidden[t % 2], width, 0, 0.3);
    gem_test_source_add(source, "up", GEM_TYPE_F32, hidden[t % 2], width, 0, 0.3);
    gem_test_source_add(source, "down", type, width, hidden[t % 2], 0, 0.3);
    g_autofree float *x = gem_test_random_floats(source->random, 165 * 256, 1);
    for (gsize i = 0; i < G_N_ELEMENTS(of); i++) {
      g_autofree float *alone = multiply_shared(backend, 1, source, x, of[i]);
      for (uint32_t threads = 2; threads <= 4; threads++) {
        g_autofree float *shared = multiply_shared(backend, threads, source, x, of[i]);
        g_assert_cmpmem(shared, of[i] * (24 + width) * sizeof *shared, alone,
                        of[i] * (24 + width) * sizeof *alone);
      }
    }
  }
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

/* Norm, positions and activation of MANY_ROWS rows and an odd number of values, as a prompt has them. */
enum {
  MANY_ROWS = 70,
  ROW_HEADS = 4,
  ROW_HEAD_DIM = 64,
  ROW = ROW_HEADS * ROW_HEAD_DIM,
  ODD = MANY_ROWS * ROW - 5
};

static float *
run_rows(const GemTestBackend *backend, uint32_t threads, const float *x, const float *weight)
{
  const GemBackendOptions options = {.struct_size = sizeof options, .threads = threads};
  GemPluginError error = {""};
  GemBackendState *state = backend->functions.open(&options, &error);
  g_assert_nonnull(state);
  float *y = g_new0(float, (gsize)2 * MANY_ROWS * ROW);
  uint32_t positions[MANY_ROWS];
  for (uint32_t i = 0; i < MANY_ROWS; i++) {
    positions[i] = 3 * i;
  }
  backend->functions.rms_norm(state, x, weight, MANY_ROWS, ROW, 1e-5F, y);
  backend->functions.rope(state, y, positions, MANY_ROWS, ROW_HEADS, ROW_HEAD_DIM, ROW_HEAD_DIM, 10000);
  memcpy(y + MANY_ROWS * ROW, y, ODD * sizeof *y);
  backend->functions.gelu(state, y + MANY_ROWS * ROW, ODD);
  backend->functions.close(state);
  return y;
}

/* However many threads share them, the bits are the same. */
static void
test_rows_shared(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GRand) random = g_rand_new_with_seed(26);
  g_autofree float *x = gem_test_random_floats(random, (gsize)MANY_ROWS * ROW, 2);
  g_autofree float *weight = gem_test_random_floats(random, ROW, 2);
  g_autofree float *single = run_rows(backend, 1, x, weight);
  for (uint32_t threads = 2; threads <= 4; threads++) {
    g_autofree float *shared = run_rows(backend, threads, x, weight);
    gsize bytes = (gsize)2 * MANY_ROWS * ROW * sizeof *shared;
    g_assert_cmpmem(shared, bytes, single, bytes);
  }
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

/* ---- attention ---- */

enum { HEADS = 4, KV_HEADS = 2, HEAD_DIM = 32, POSITIONS = 1000, QUERIES = 40 };

/* Positions in tiles of one list, and what a reader makes of them. */
typedef struct {
  GemKeyValueForm form;
  uint8_t *memory;
  const uint8_t *tiles[(POSITIONS + 15) / 16];
  double *keys; /* [POSITIONS][KV_HEADS][HEAD_DIM] */
  double *values;
} List;

static void
list_init(List *self, const GemTestBackend *backend, GRand *random, gboolean half)
{
  const size_t row = KV_HEADS * HEAD_DIM;
  *self = (List){.form = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .half = half}};
  GemKvForm own = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .half = half};
  size_t bytes = backend->functions.kv_tile_bytes(backend->backend.state, &self->form);
  g_assert_cmpuint(bytes % GEM_KEY_VALUE_ALIGNMENT, ==, 0);
  self->memory = aligned_alloc(GEM_KEY_VALUE_ALIGNMENT, G_N_ELEMENTS(self->tiles) * bytes);
  g_autofree float *keys = gem_test_random_floats(random, POSITIONS * row, 1);
  g_autofree float *values = gem_test_random_floats(random, POSITIONS * row, 1);
  for (size_t i = 0; i < POSITIONS; i++) {
    uint8_t *tile = self->memory + i / 16 * bytes, place = i % 16;
    self->tiles[i / 16] = tile;
    backend->functions.kv_store(backend->backend.state, &self->form, keys + i * row, values + i * row, 1,
                                &tile, &place);
    gem_kv_read(&own, tile, place, keys + i * row, values + i * row);
  }
  self->keys = gem_test_to_doubles(keys, POSITIONS * row);
  self->values = gem_test_to_doubles(values, POSITIONS * row);
}

static void
list_clear(List *self)
{
  free(self->memory);
  g_free(self->keys);
  g_free(self->values);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(List, list_clear)

/* Row i sees members i / 2 .. 100 i / 4, and row 7 none. */
static void
assert_attend(const GemTestBackend *backend, GRand *random, gboolean half)
{
  g_auto(List) list = {0};
  list_init(&list, backend, random, half);
  g_autofree float *q = gem_test_random_floats(random, QUERIES * HEADS * HEAD_DIM, 1);
  g_autofree double *exact = gem_test_to_doubles(q, QUERIES * HEADS * HEAD_DIM);
  g_autofree float *out = g_new(float, QUERIES *HEADS *HEAD_DIM);
  uint32_t from[QUERIES], to[QUERIES];
  for (uint32_t i = 0; i < QUERIES; i++) {
    from[i] = i / 2;
    to[i] = i == 7 ? 0 : 25 * (i + 1);
  }
  GemKeyValuePart part = {.tiles = list.tiles, .from = from, .to = to};
  GemKeyValueGroup group = {.n = QUERIES, .n_parts = 1, .parts = &part};
  backend->functions.attend(backend->backend.state, &list.form, HEADS, q, &group, 1, out);
  for (uint32_t i = 0; i < QUERIES; i++) {
    gboolean visible[POSITIONS];
    double expected[HEADS * HEAD_DIM] = {0};
    for (uint32_t j = 0; j < POSITIONS; j++) {
      visible[j] = j >= from[i] && j < to[i];
    }
    if (to[i] > 0) {
      gem_test_attend(exact + i * HEADS * HEAD_DIM, HEADS, KV_HEADS, HEAD_DIM, list.keys, list.values,
                      visible, POSITIONS, expected);
    }
    gem_test_assert_close(out + i * HEADS * HEAD_DIM, expected, HEADS * HEAD_DIM,
                          half ? TOLERANCE : ATTEND_TOLERANCE);
  }
}

/* Grouped-query attention, of enough rows to be shared out to threads. */
static void
test_attend(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GRand) random = g_rand_new_with_seed(23);
  assert_attend(backend, random, TRUE);
  assert_attend(backend, random, FALSE);
}

/* A copied position is the same at its other place. */
static void
test_kv_copy(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GRand) random = g_rand_new_with_seed(24);
  for (gsize half = 0; half < 2; half++) {
    g_auto(List) list = {0};
    list_init(&list, backend, random, half == 1);
    GemKvForm own = {.kv_heads = KV_HEADS, .head_dim = HEAD_DIM, .half = half == 1};
    size_t bytes = gem_kv_tile_bytes(&own);
    uint8_t *copy = aligned_alloc(GEM_KEY_VALUE_ALIGNMENT, bytes);
    float keys[KV_HEADS * HEAD_DIM], values[KV_HEADS * HEAD_DIM];
    for (size_t place = 0; place < 16; place++) {
      backend->functions.kv_copy(backend->backend.state, &list.form, list.tiles[3], place, copy, 15 - place);
      gem_kv_read(&own, copy, 15 - place, keys, values);
      for (size_t i = 0; i < KV_HEADS * HEAD_DIM; i++) {
        g_assert_cmpfloat(keys[i], ==, list.keys[(48 + place) * KV_HEADS * HEAD_DIM + i]);
        g_assert_cmpfloat(values[i], ==, list.values[(48 + place) * KV_HEADS * HEAD_DIM + i]);
      }
    }
    free(copy);
  }
}

enum { STORED_HEADS = 3, STORED_ROW = STORED_HEADS * HEAD_DIM };

/* Stores POSITIONS rows by calls of n into zeroed tiles, and gives the tiles; the values stand behind all
 * keys. */
static uint8_t *
store_all(const GemTestBackend *backend, uint32_t threads, gboolean half, size_t n, const float *keys)
{
  const GemBackendOptions options = {.struct_size = sizeof options, .threads = threads};
  const GemKeyValueForm form = {.kv_heads = STORED_HEADS, .head_dim = HEAD_DIM, .half = half};
  GemPluginError error = {""};
  GemBackendState *state = backend->functions.open(&options, &error);
  g_assert_nonnull(state);
  size_t bytes = backend->functions.kv_tile_bytes(state, &form), tiles = (POSITIONS + 15) / 16;
  uint8_t *memory = aligned_alloc(GEM_KEY_VALUE_ALIGNMENT, tiles * bytes);
  uint8_t *to[POSITIONS];
  uint8_t places[POSITIONS];
  memset(memory, 0, tiles * bytes);
  for (size_t i = 0; i < POSITIONS; i++) {
    to[i] = memory + i / 16 * bytes;
    places[i] = i % 16;
  }
  for (size_t i = 0; i < POSITIONS; i += n) {
    backend->functions.kv_store(state, &form, keys + i * STORED_ROW, keys + (POSITIONS + i) * STORED_ROW, n,
                                to + i, places + i);
  }
  backend->functions.close(state);
  return memory;
}

/* Many positions at once, their heads shared out to threads, are stored as one after the other. */
static void
test_kv_store_shared(void)
{
  g_autoptr(GemTestBackend) backend = gem_test_backend_open();
  g_autoptr(GRand) random = g_rand_new_with_seed(25);
  g_autofree float *keys = gem_test_random_floats(random, (size_t)2 * POSITIONS * STORED_ROW, 1);
  for (gsize half = 0; half < 2; half++) {
    GemKvForm form = {.kv_heads = STORED_HEADS, .head_dim = HEAD_DIM, .half = half == 1};
    size_t bytes = (POSITIONS + 15) / 16 * gem_kv_tile_bytes(&form);
    uint8_t *single = store_all(backend, 1, half == 1, 1, keys);
    for (uint32_t threads = 1; threads <= 4; threads++) {
      uint8_t *shared = store_all(backend, threads, half == 1, POSITIONS / 2, keys);
      g_assert_cmpmem(shared, bytes, single, bytes);
      free(shared);
    }
    free(single);
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
  g_test_add_func("/backend/passes", test_passes);
  g_test_add_func("/backend/feed-forward", test_feed_forward);
  g_test_add_func("/backend/products-shared", test_products_shared);
  g_test_add_func("/backend/element-wise", test_element_wise);
  g_test_add_func("/backend/rows-shared", test_rows_shared);
  g_test_add_func("/backend/scar-assign", test_scar_assign);
  g_test_add_func("/backend/attend", test_attend);
  g_test_add_func("/backend/kv-store-shared", test_kv_store_shared);
  g_test_add_func("/backend/kv-copy", test_kv_copy);
  g_test_add_func("/backend/bad-matrix", test_bad_matrix);
  return g_test_run();
}
