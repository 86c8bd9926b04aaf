#include "training/network/gem-centroids.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-random.h"
#include "training/arithmetic/gem-vector.h"

#define KEEP          0.95 /* of a centroid and of a share, each step */
#define DEAD_SHARE    0.15 /* of an even share: below, a centroid is reseeded */
#define CROWDED_SHARE 2.5  /* of an even share: above, the emptiest centroid moves there */

static void
normalise(float *row, gsize width)
{
  double norm = sqrt(gem_vector_square_sum(row, width));
  gem_vector_scale(row, (float)(1.0 / MAX(norm, 1e-12)), width);
}

GemCentroids *
gem_centroids_new(const GemBackbone *backbone, guint64 seed)
{
  GemCentroids *self = g_new0(GemCentroids, 1);
  gsize rows = gem_backbone_n_centroids(backbone), width = backbone->shape.width;
  self->backbone = backbone;
  self->values = g_new(float, rows *width);
  self->shares = g_new0(double, rows);
  GemRandom random = gem_random_seeded(seed, 0xce27401d);
  for (gsize row = 0; row < rows; row++) {
    for (gsize x = 0; x < width; x++) {
      self->values[row * width + x] = (float)gem_random_normal(&random);
    }
    normalise(self->values + row * width, width);
  }
  return self;
}

void
gem_centroids_start_from(GemCentroids *self, const GemCentroids *other)
{
  const GemModelShape *shape = &self->backbone->shape;
  gsize rows = gem_backbone_n_centroids(self->backbone);
  memcpy(self->values, other->values, rows * shape->width * sizeof(float));
  memcpy(self->shares, other->shares, rows * sizeof(double));
  for (guint l = 0; l < shape->layers; l++) {
    for (guint set = 0; set < shape->n_cluster_sets; set++) {
      gsize row = gem_backbone_centroids_at(self->backbone, l, set);
      double sum = 0.0;
      for (guint j = 0; j < shape->clusters[set]; j++) {
        sum += self->shares[row + j];
      }
      /* a model folder has none, and its mean with a checkpoint a part */
      for (guint j = 0; j < shape->clusters[set]; j++) {
        self->shares[row + j] = sum > 0.0 ? self->shares[row + j] / sum : 1.0 / shape->clusters[set];
      }
    }
  }
}

void
gem_centroids_average(GemCentroids *self, const GemCentroids *other, double share)
{
  gsize rows = gem_backbone_n_centroids(self->backbone), width = self->backbone->shape.width;
  for (gsize row = 0; row < rows; row++) {
    float *own = self->values + row * width;
    gem_vector_scale(own, (float)(1.0 - share), width);
    gem_vector_add_scaled(own, other->values + row * width, (float)share, width);
    normalise(own, width);
    self->shares[row] += share * (other->shares[row] - self->shares[row]);
  }
}

void
gem_centroids_free(GemCentroids *self)
{
  g_free(self->values);
  g_free(self->shares);
  g_free(self);
}

/* The member of the largest cluster that this draw meets first. */
static void
reseed(GemCentroids *self,
       gsize first_row,
       guint k,
       guint largest,
       guint dead,
       const float *inputs,
       gsize n,
       GemRandom *random)
{
  gsize width = self->backbone->shape.width;
  const float *means = self->values + first_row * width;
  float *own = self->values + (first_row + dead) * width;
  for (guint attempt = 0; attempt < 64; attempt++) {
    const float *u = inputs + gem_random_below(random, n) * width;
    guint best = gem_vector_nearest(u, means, k, width);
    if (best == largest || attempt == 63) {
      memcpy(own, u, width * sizeof(float));
      normalise(own, width);
      break;
    }
  }
  /* the newcomer is given half of the largest cluster's share until it is counted */
  double half = self->shares[first_row + largest] / 2.0;
  self->shares[first_row + largest] = half;
  self->shares[first_row + dead] = half;
}

static void
reseed_set(GemCentroids *self, gsize row, guint k, const float *inputs, gsize n, GemRandom *random)
{
  for (guint round = 0; round < k / 4; round++) {
    guint largest = 0, smallest = 0;
    for (guint j = 1; j < k; j++) {
      largest = self->shares[row + j] > self->shares[row + largest] ? j : largest;
      smallest = self->shares[row + j] < self->shares[row + smallest] ? j : smallest;
    }
    double even = 1.0 / k, low = self->shares[row + smallest], high = self->shares[row + largest];
    gboolean crowded = high > CROWDED_SHARE * even && low < 0.5 * even;
    if (low >= DEAD_SHARE * even && !crowded) {
      break;
    }
    reseed(self, row, k, largest, smallest, inputs, n, random);
  }
}

void
gem_centroids_update(
    GemCentroids *self, float *sums, double *counts, const GemBackbonePass *pass, gsize n, guint64 seed)
{
  const GemModelShape *shape = &self->backbone->shape;
  gsize width = shape->width, rows = gem_backbone_n_centroids(self->backbone);
  GemRandom random = gem_random_seeded(seed, 0x5eed);
  for (guint l = 0; l < shape->layers; l++) {
    for (guint set = 0; set < shape->n_cluster_sets; set++) {
      gsize row = gem_backbone_centroids_at(self->backbone, l, set);
      guint k = shape->clusters[set];
      double total = 0.0;
      for (guint j = 0; j < k; j++) {
        total += counts[row + j];
      }
      for (guint j = 0; j < k; j++) {
        float *mean = self->values + (row + j) * width, *sum = sums + (row + j) * width;
        self->shares[row + j] =
            KEEP * self->shares[row + j] + (1.0 - KEEP) * counts[row + j] / MAX(total, 1.0);
        if (counts[row + j] > 0.0) {
          normalise(sum, width);
          for (gsize x = 0; x < width; x++) {
            mean[x] = (float)KEEP * mean[x] + (float)(1.0 - KEEP) * sum[x];
          }
          normalise(mean, width);
        }
      }
      reseed_set(self, row, k, gem_backbone_pass_attention_input(pass, l), n, &random);
    }
  }
  memset(sums, 0, rows * width * sizeof(float));
  memset(counts, 0, rows * sizeof(double));
}

void
gem_centroids_join(
    const GemBackbone *backbone, float *sums, double *counts, float *other_sums, double *other_counts)
{
  gsize rows = gem_backbone_n_centroids(backbone);
  gsize size = rows * backbone->shape.width;
  for (gsize i = 0; i < size; i++) {
    sums[i] += other_sums[i];
  }
  for (gsize i = 0; i < rows; i++) {
    counts[i] += other_counts[i];
  }
  memset(other_sums, 0, size * sizeof *other_sums);
  memset(other_counts, 0, rows * sizeof *other_counts);
}

double
gem_centroids_worst_square_sum(const GemCentroids *self, guint set)
{
  const GemModelShape *shape = &self->backbone->shape;
  double worst = 0.0;
  for (guint l = 0; l < shape->layers; l++) {
    gsize row = gem_backbone_centroids_at(self->backbone, l, set);
    double sum = 0.0, squares = 0.0;
    for (guint j = 0; j < shape->clusters[set]; j++) {
      sum += self->shares[row + j];
      squares += self->shares[row + j] * self->shares[row + j];
    }
    worst = MAX(worst, squares / MAX(sum * sum, 1e-12));
  }
  return worst;
}

gboolean
gem_centroids_write(const GemCentroids *self, const char *prefix, GemGgufWriter *writer, GError **error)
{
  const GemModelShape *shape = &self->backbone->shape;
  for (guint l = 0; l < shape->layers; l++) {
    for (guint set = 0; set < shape->n_cluster_sets; set++) {
      guint k = shape->clusters[set];
      gsize row = gem_backbone_centroids_at(self->backbone, l, set);
      g_autofree char *name = g_strdup_printf("%sblk.%u.scar_centroids_%u.weight", prefix, l, k);
      if (!gem_gguf_writer_add_tensor(writer, name, GEM_TYPE_F32, k, shape->width,
                                      self->values + row * shape->width, error)) {
        return FALSE;
      }
      if (*prefix != '\0') {
        g_autofree char *shares_name = g_strdup_printf("%sblk.%u.scar_shares_%u", prefix, l, k);
        /* a double is kept as two floats, bit for bit */
        gem_gguf_writer_add_tensor_data(writer, shares_name, GEM_TYPE_F32, 1, 2 * (gsize)k,
                                        self->shares + row);
      }
    }
  }
  return TRUE;
}

static const GemTensor *
require_set(
    const GemBackbone *backbone, const char *prefix, guint layer, guint k, GemGguf *file, GError **error)
{
  g_autofree char *name = g_strdup_printf("%sblk.%u.scar_centroids_%u.weight", prefix, layer, k);
  return gem_gguf_require_tensor(file, name, k, backbone->shape.width, error);
}

gboolean
gem_centroids_check_file(const GemBackbone *backbone, const char *prefix, GemGguf *file, GError **error)
{
  const GemModelShape *shape = &backbone->shape;
  for (guint layer = 0; layer < shape->layers; layer++) {
    for (guint set = 0; set < shape->n_cluster_sets; set++) {
      if (require_set(backbone, prefix, layer, shape->clusters[set], file, error) == NULL) {
        return FALSE;
      }
    }
  }
  return TRUE;
}

/* The k centroids of a set, and their shares unless there is no prefix: a model's file has none. */
static gboolean
read_set(GemCentroids *self, const char *prefix, guint layer, guint set, GemGguf *file, GError **error)
{
  const GemModelShape *shape = &self->backbone->shape;
  guint k = shape->clusters[set];
  gsize first = gem_backbone_centroids_at(self->backbone, layer, set);
  const GemTensor *tensor = require_set(self->backbone, prefix, layer, k, file, error);
  const guint8 *data = tensor != NULL ? gem_gguf_read_tensor(file, tensor, error) : NULL;
  if (data == NULL) {
    return FALSE;
  }
  for (guint j = 0; j < k; j++) {
    gem_dequantize_row(tensor->type, data + j * gem_type_row_bytes(tensor->type, shape->width),
                       self->values + (first + j) * shape->width, shape->width);
  }
  if (*prefix == '\0') {
    return TRUE;
  }
  g_autofree char *shares_name = g_strdup_printf("%sblk.%u.scar_shares_%u", prefix, layer, k);
  return gem_gguf_read_doubles(file, shares_name, k, self->shares + first, error);
}

gboolean
gem_centroids_read(GemCentroids *self, const char *prefix, GemGguf *file, GError **error)
{
  const GemModelShape *shape = &self->backbone->shape;
  for (guint layer = 0; layer < shape->layers; layer++) {
    for (guint set = 0; set < shape->n_cluster_sets; set++) {
      if (!read_set(self, prefix, layer, set, file, error)) {
        return FALSE;
      }
    }
  }
  return TRUE;
}
