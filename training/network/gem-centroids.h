/*
 * SCAR's centroids, learned online (model.md): spherical k-means by a moving average of the mean direction of
 * each cluster's inputs. A centroid that has all but died is put on an input of the largest cluster, so that
 * the shares stay even.
 */
#pragma once

#include "training/network/gem-backbone.h"

typedef struct {
  const GemBackbone *backbone;
  float *values;  /* [rows][width], unit length */
  double *shares; /* [rows] moving share of each cluster in its set */
} GemCentroids;

GemCentroids *
gem_centroids_new(const GemBackbone *backbone, guint64 seed);
void
gem_centroids_free(GemCentroids *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemCentroids, gem_centroids_free)

/* Starts from those of a backbone of the same clusters. Where their shares are not known, as of a model
 * folder, they count as even: none is dead before it was counted. */
void
gem_centroids_start_from(GemCentroids *self, const GemCentroids *other);

/* (1 - share) of each centroid and `share` of the other backbone's, of the same clusters, at unit length. */
void
gem_centroids_average(GemCentroids *self, const GemCentroids *other, double share);

/* One step from the sums of unit inputs and counts of gem_backbone_collect_clusters (zeroed again), with
 * inputs of `pass` (n tokens) to reseed from. */
void
gem_centroids_update(
    GemCentroids *self, float *sums, double *counts, const GemBackbonePass *pass, gsize n, guint64 seed);

/* Adds the sums and counts that another lane collected to the first one's, and empties them. */
void
gem_centroids_join(
    const GemBackbone *backbone, float *sums, double *counts, float *other_sums, double *other_counts);

/* The largest over layers of the sum of squared shares of one set: 1 / k when even, 1 when one cluster has
 * all. */
double
gem_centroids_worst_square_sum(const GemCentroids *self, guint set);

/* As tensors blk.N.scar_centroids_K.weight with `prefix`; shares beside them when the prefix is not empty. */
gboolean
gem_centroids_write(const GemCentroids *self, const char *prefix, GemGgufWriter *writer, GError **error);
/* Before memory is taken for them: the file has those of the shape that it states. */
gboolean
gem_centroids_check_file(const GemBackbone *backbone, const char *prefix, GemGguf *file, GError **error);
gboolean
gem_centroids_read(GemCentroids *self, const char *prefix, GemGguf *file, GError **error);
