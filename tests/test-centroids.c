/* SCAR's centroids: even clusters on inputs that have them, dead and crowded ones moved, and all of it kept
 * in a file. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-model.h"
#include "tests/gem-test-training.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/arithmetic/gem-vector.h"
#include "training/network/gem-backbone-internal.h"
#include "training/network/gem-centroids.h"

enum { WIDTH = 64, LAYERS = 2, K = 16, INPUTS = 256 };

/* A backbone whose pass is given inputs of attention that the test makes up. */
typedef struct {
  GemBackbone *backbone;
  GemCentroids *centroids;
  GemBackbonePass *pass;
  GemBatch *batch;
  float *sums;
  double *counts;
} Scene;

static void
scene_init(Scene *self, guint64 seed)
{
  const guint32 tokens[64] = {0};
  self->backbone = gem_test_backbone_new("width=64,heads=2,layers=2,ffn=32,domains=0,clusters=16+4", 64);
  self->centroids = gem_centroids_new(self->backbone, seed);
  self->pass = gem_backbone_pass_new(self->backbone);
  self->batch = gem_batch_new(INPUTS);
  while (gem_batch_room(self->batch) > 0) {
    gem_batch_append(self->batch, tokens, G_N_ELEMENTS(tokens), GEM_ROUTE_GENERAL, 1.0f);
  }
  float *values = gem_parameters_alloc(self->backbone->parameters);
  GemLoss loss;
  gem_backbone_run(self->backbone, values, self->centroids->values, 0, self->batch, 1.0f, self->pass, NULL,
                   NULL, &loss); /* makes the pass's arrays */
  g_aligned_free(values);
  gsize rows = gem_backbone_n_centroids(self->backbone);
  g_assert_cmpuint(rows, ==, LAYERS * (16 + 4));
  self->sums = g_new0(float, rows *WIDTH);
  self->counts = g_new0(double, rows);
}

static void
scene_clear(Scene *self)
{
  gem_centroids_free(self->centroids);
  gem_backbone_pass_free(self->pass);
  gem_batch_free(self->batch);
  gem_backbone_free(self->backbone);
  g_free(self->sums);
  g_free(self->counts);
}

/* Inputs around `n_directions` of the first axes, as many of each, at various lengths. */
static void
make_inputs(Scene *self, guint n_directions, float noise, GemRandom *random)
{
  for (guint l = 0; l < LAYERS; l++) {
    float *u = self->pass->layers[l].attention_input;
    for (gsize i = 0; i < INPUTS; i++) {
      float length = 0.5f + 3.0f * (float)gem_random_uniform(random);
      for (gsize x = 0; x < WIDTH; x++) {
        float direction = x == i % n_directions ? 1.0f : 0.0f;
        u[i * WIDTH + x] = length * (direction + noise * (float)gem_random_normal(random));
      }
    }
  }
}

static void
update(Scene *self, guint64 step)
{
  gem_backbone_collect_clusters(self->backbone, self->centroids->values, self->batch, self->pass, self->sums,
                                self->counts);
  gem_centroids_update(self->centroids, self->sums, self->counts, self->pass, INPUTS, step);
}

static void
assert_unit_rows(const Scene *self)
{
  for (gsize row = 0; row < gem_backbone_n_centroids(self->backbone); row++) {
    double square = gem_vector_square_sum(self->centroids->values + row * WIDTH, WIDTH);
    g_assert_cmpfloat_with_epsilon(square, 1.0, 1e-5);
  }
}

/* The counts of one set come from all inputs, once each; the sums are of unit length each. */
static void
test_collect(void)
{
  Scene self;
  GemRandom random = gem_random_seeded(1, 1);
  scene_init(&self, 5);
  make_inputs(&self, 16, 0.0f, &random);
  gem_backbone_collect_clusters(self.backbone, self.centroids->values, self.batch, self.pass, self.sums,
                                self.counts);
  for (guint l = 0; l < LAYERS; l++) {
    gsize row = gem_backbone_centroids_at(self.backbone, l, 0);
    double count = 0.0, by_axis = 0.0;
    for (guint j = 0; j < K; j++) {
      count += self.counts[row + j];
      for (gsize x = 0; x < WIDTH; x++) {
        by_axis += (double)self.sums[(row + j) * WIDTH + x];
      }
    }
    g_assert_cmpfloat(count, ==, INPUTS);
    g_assert_cmpfloat_with_epsilon(by_axis, INPUTS, 1e-3); /* one unit each, along its axis */
  }
  scene_clear(&self);
}

/* As many directions as clusters: each gets its own, so that the sum of squared shares nears 1/16. */
static void
test_even(void)
{
  Scene self;
  GemRandom random = gem_random_seeded(1, 2);
  scene_init(&self, 3);
  for (guint64 step = 0; step < 200; step++) {
    make_inputs(&self, K, 0.05f, &random);
    update(&self, step);
    if (step % 60 == 0) {
      assert_unit_rows(&self);
    }
  }
  assert_unit_rows(&self);
  g_assert_cmpfloat(gem_centroids_worst_square_sum(self.centroids, 0), <, 0.09);
  scene_clear(&self);
}

/* A centroid that no input is near to is put on an input, and then has its share. */
static void
test_dead(void)
{
  Scene self;
  GemRandom random = gem_random_seeded(1, 4);
  scene_init(&self, 3);
  for (guint64 step = 0; step < 100; step++) {
    make_inputs(&self, K, 0.05f, &random);
    update(&self, step);
  }
  gsize dead = gem_backbone_centroids_at(self.backbone, 1, 0) + 6;
  float *centroid = self.centroids->values + dead * WIDTH;
  memset(centroid, 0, WIDTH * sizeof(float));
  centroid[WIDTH - 1] = -1.0f; /* off every axis that inputs have */
  for (gsize x = 0; x < K; x++) {
    centroid[x] = -0.2f;
  }
  float length = (float)sqrt(gem_vector_square_sum(centroid, WIDTH));
  gem_vector_scale(centroid, 1.0f / length, WIDTH);
  g_autofree float *before = g_memdup2(centroid, WIDTH * sizeof(float));
  update(&self, 100);
  gem_test_assert_same_bytes(before, centroid, WIDTH * sizeof(float), "a centroid without inputs");
  for (guint64 step = 101; step < 220; step++) {
    make_inputs(&self, K, 0.05f, &random);
    update(&self, step);
  }
  double along = 0.0;
  for (gsize x = 0; x < K; x++) {
    along = MAX(along, (double)centroid[x]);
  }
  g_assert_cmpfloat(along, >, 0.5);
  g_assert_cmpfloat(self.centroids->shares[dead], >, 0.15 / K);
  assert_unit_rows(&self);
  scene_clear(&self);
}

/* Even shares, and one cluster that has all of a layer. */
static void
test_square_sum(void)
{
  Scene self;
  scene_init(&self, 3);
  gsize row = gem_backbone_centroids_at(self.backbone, 0, 0);
  for (gsize j = 0; j < gem_backbone_n_centroids(self.backbone); j++) {
    self.centroids->shares[j] = 0.25;
  }
  g_assert_cmpfloat_with_epsilon(gem_centroids_worst_square_sum(self.centroids, 0), 1.0 / 16.0, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_centroids_worst_square_sum(self.centroids, 1), 1.0 / 4.0, 1e-12);
  memset(self.centroids->shares + row, 0, K * sizeof(double));
  self.centroids->shares[row + 9] = 0.7;
  g_assert_cmpfloat_with_epsilon(gem_centroids_worst_square_sum(self.centroids, 0), 1.0, 1e-12);
  g_assert_cmpfloat_with_epsilon(gem_centroids_worst_square_sum(self.centroids, 1), 1.0 / 4.0, 1e-12);
  scene_clear(&self);
}

/* As if the first shares had half the bytes. */
static void
spoil_shares(const char *path)
{
  static const char name[] = "scar:blk.0.scar_shares_16";
  g_autofree char *bytes = NULL;
  gsize size = 0;
  g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
  char *at = memmem(bytes, size, name, sizeof name - 1);
  g_assert_nonnull(at);
  guint32 half = GUINT32_TO_LE(1), dimensions;
  memcpy(&dimensions, at + sizeof name - 1, sizeof dimensions);
  memcpy(at + sizeof name - 1 + 4 + 8 * GUINT32_FROM_LE(dimensions), &half, sizeof half);
  g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
}

/* A checkpoint keeps values and shares bit for bit; a model's file has the values alone. */
static void
test_file(void)
{
  Scene self;
  GemRandom random = gem_random_seeded(1, 5);
  g_autoptr(GError) error = NULL;
  scene_init(&self, 3);
  make_inputs(&self, 7, 0.3f, &random);
  update(&self, 1);
  g_autofree char *dir = gem_test_folder_new(), *path = g_build_filename(dir, "centroids.gguf", NULL);
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  gem_gguf_writer_set_string(writer, "general.architecture", "test");
  g_assert_true(gem_centroids_write(self.centroids, "scar:", writer, NULL));
  g_assert_true(gem_centroids_write(self.centroids, "", writer, NULL));
  gem_gguf_writer_write(writer, path, &error);
  g_assert_no_error(error);
  g_autoptr(GemGguf) file = gem_gguf_open(path, &error);
  g_assert_no_error(error);
  gsize rows = gem_backbone_n_centroids(self.backbone);
  for (int form = 0; form < 2; form++) {
    g_autoptr(GemCentroids) read = gem_centroids_new(self.backbone, 99);
    g_assert_true(gem_centroids_read(read, form == 0 ? "scar:" : "", file, NULL));
    gem_test_assert_same_bytes(self.centroids->values, read->values, rows * WIDTH * sizeof(float), "values");
    if (form == 0) {
      gem_test_assert_same_bytes(self.centroids->shares, read->shares, rows * sizeof(double), "shares");
    }
  }
  g_autoptr(GemCentroids) unread = gem_centroids_new(self.backbone, 99);
  g_assert_false(gem_centroids_read(unread, "other:", file, &error));
  g_assert_nonnull(strstr(error->message, "other:blk.0.scar_centroids_16.weight"));
  g_clear_error(&error);
  spoil_shares(path);
  g_autoptr(GemGguf) spoilt = gem_gguf_open(path, &error);
  g_assert_no_error(error);
  g_assert_false(gem_centroids_read(unread, "scar:", spoilt, &error));
  g_assert_nonnull(strstr(error->message, "scar:blk.0.scar_shares_16: F16; it has to be F32"));
  gem_test_folder_remove(dir);
  scene_clear(&self);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  gem_matmul_select("fp32", NULL);
  g_test_add_func("/centroids/collect", test_collect);
  g_test_add_func("/centroids/even", test_even);
  g_test_add_func("/centroids/dead", test_dead);
  g_test_add_func("/centroids/square-sum", test_square_sum);
  g_test_add_func("/centroids/file", test_file);
  return g_test_run();
}
