#include "training/experiment/gem-retraining.h"

#include <string.h>

#include "training/network/gem-trainer.h"

#define SHORTEST 16

typedef struct {
  GemBatch *batch;
  GemBackbonePass *pass;
  float *sums; /* of unit inputs by centroid */
  double *counts;
  GArray *window; /* guint32: one sequence being made */
} Lane;

typedef struct {
  const GemRetrainingOptions *options;
  const GemBackbone *backbone;
  GemCentroids *centroids;
  const GemCorpus *corpus;
  Lane *lanes;
} Retraining;

static double
prepare(gpointer data, guint lane_index, guint index, guint64 step)
{
  Retraining *self = data;
  Lane *lane = &self->lanes[lane_index];
  GemRandom random = gem_random_seeded(self->options->seed, step * self->options->lanes + lane_index);
  const GemPretrainDraw how = {.options = self->options->draw, .bos = self->options->bos};
  gem_batch_clear(lane->batch);
  while (gem_batch_room(lane->batch) >= SHORTEST) {
    guint longest = (guint)MIN((gsize)self->options->sequence, gem_batch_room(lane->batch)) - 1;
    GemDraw draw = gem_corpus_draw(self->corpus, &random, longest, &self->options->shares);
    gem_pretrain_draw_append(&how, &draw, &random, lane->window, lane->batch);
  }
  return gem_batch_total_weight(lane->batch);
}

static gboolean
moves_centroids(const Retraining *self)
{
  return self->options->cluster_set >= 0 && !self->options->keep_centroids;
}

static void
run(gpointer data,
    guint lane_index,
    guint index,
    float scale,
    const float *values,
    float *gradients,
    GemTrainerTally *tally)
{
  Retraining *self = data;
  Lane *lane = &self->lanes[lane_index];
  GemLoss loss;
  gem_backbone_run(self->backbone, values, self->centroids->values, self->options->cluster_set, lane->batch,
                   scale, lane->pass, gradients, NULL, &loss);
  if (moves_centroids(self)) {
    gem_backbone_collect_clusters(self->backbone, self->centroids->values, lane->batch, lane->pass,
                                  lane->sums, lane->counts);
  }
  tally->loss += loss.loss;
  tally->tokens += loss.tokens;
}

static void
after_step(gpointer data, guint64 step)
{
  Retraining *self = data;
  if (!moves_centroids(self)) {
    return;
  }
  Lane *first = &self->lanes[0];
  for (guint i = 1; i < self->options->lanes; i++) {
    Lane *other = &self->lanes[i];
    gem_centroids_join(self->backbone, first->sums, first->counts, other->sums, other->counts);
  }
  gem_centroids_update(self->centroids, first->sums, first->counts, first->pass, first->batch->n,
                       self->options->seed ^ step);
}

static void
lanes_init(Retraining *self)
{
  gsize rows = gem_backbone_n_centroids(self->backbone);
  self->lanes = g_new0(Lane, self->options->lanes);
  for (guint i = 0; i < self->options->lanes; i++) {
    self->lanes[i] = (Lane){.batch = gem_batch_new(self->options->batch_tokens),
                            .pass = gem_backbone_pass_new(self->backbone),
                            .sums = g_new0(float, rows * self->backbone->shape.width + 1),
                            .counts = g_new0(double, rows + 1),
                            .window = g_array_new(FALSE, FALSE, sizeof(guint32))};
  }
}

static void
lanes_free(Retraining *self)
{
  for (guint i = 0; i < self->options->lanes; i++) {
    gem_batch_free(self->lanes[i].batch);
    gem_backbone_pass_free(self->lanes[i].pass);
    g_free(self->lanes[i].sums);
    g_free(self->lanes[i].counts);
    g_array_unref(self->lanes[i].window);
  }
  g_free(self->lanes);
}

gboolean
gem_retrain(GemBackbone *backbone,
            GemCentroids *centroids,
            float *values,
            const GemCorpus *corpus,
            const GemRetrainingOptions *options,
            GError **error)
{
  const GemTrainerOptions trainer_options = {.steps = options->steps,
                                             .warm_up = options->warm_up,
                                             .peak_rate = options->rate,
                                             .decay_share = 1.0,
                                             .weight_decay = 0.05,
                                             .clip = 1.0,
                                             .accumulate = 1,
                                             .seed = options->seed,
                                             .checkpoint_seconds = G_MAXDOUBLE,
                                             .title = options->title};
  g_autoptr(GemLanes) threads = gem_lanes_new(options->lanes);
  g_autoptr(GemTrainer) trainer = gem_trainer_new(backbone->parameters, &trainer_options, threads);
  Retraining self = {.options = options, .backbone = backbone, .centroids = centroids, .corpus = corpus};
  gsize bytes = backbone->parameters->size * sizeof(float);
  memcpy(gem_trainer_values(trainer), values, bytes);
  lanes_init(&self);
  const GemTrainee trainee = {.self = &self, .prepare = prepare, .run = run, .after_step = after_step};
  gboolean done = gem_trainer_run(trainer, &trainee, error);
  lanes_free(&self);
  if (done) {
    memcpy(values, gem_trainer_values(trainer), bytes);
  }
  return done;
}
