#include "training/adapt/gem-adapt-step.h"

#include <string.h>

#include "training/network/gem-backbone-losses.h"

GemAdaptStep *
gem_adapt_step_new(const GemBackbone *backbone,
                   const float *centroids,
                   int cluster_set,
                   GemLearns learns,
                   gint8 domain,
                   double temperature,
                   const float *teacher_values)
{
  GemAdaptStep *self = g_new0(GemAdaptStep, 1);
  *self = (GemAdaptStep){.backbone = backbone,
                         .centroids = centroids,
                         .cluster_set = cluster_set,
                         .learns = learns,
                         .domain = domain,
                         .temperature = temperature,
                         .teacher_values = teacher_values,
                         .student = gem_backbone_pass_new(backbone),
                         .teacher = gem_backbone_pass_new_forward(backbone)};
  return self;
}

void
gem_adapt_step_free(GemAdaptStep *self)
{
  gem_backbone_pass_free(self->student);
  gem_backbone_pass_free(self->teacher);
  g_free(self->positives);
  g_free(self->negatives);
  g_free(self->routes);
  g_free(self);
}

/* The features of a pass, in an array that grows. */
static void
keep_features(const GemAdaptStep *self,
              const GemBatch *batch,
              const GemBackbonePass *pass,
              float **features,
              gsize *size)
{
  gsize wanted = gem_batch_n_sequences(batch) * self->backbone->shape.width;
  if (wanted > *size) {
    g_free(*features);
    *features = g_new(float, wanted);
    *size = wanted;
  }
  gem_backbone_features(self->backbone, batch, pass, *features);
}

/* What is learned; its features stay as the contrast's negatives. */
static void
run_text(GemAdaptStep *self,
         const float *values,
         const GemBatch *batch,
         float scale,
         const GemGradientMap *map,
         float *gradients,
         GemAdaptFigures *figures)
{
  GemLoss loss;
  gem_backbone_forward(self->backbone, values, self->centroids, self->cluster_set, batch, self->student);
  gem_backbone_loss_task(self->backbone, values, batch, scale, self->student, map, gradients, NULL, &loss);
  keep_features(self, batch, self->student, &self->negatives, &self->negatives_size);
  if (map != NULL) {
    gem_backbone_backward(self->backbone, values, batch, self->cluster_set, self->student, map, gradients);
  }
  figures->loss += loss.loss;
  figures->weighted_loss += loss.weighted_loss;
  figures->tokens += loss.tokens;
}

/* The student's routes; the teacher's are kept. */
static void
misroute(GemAdaptStep *self, GemBatch *replayed)
{
  if (replayed->n > self->routes_size) {
    self->routes_size = replayed->n;
    self->routes = g_realloc(self->routes, self->routes_size);
  }
  memcpy(self->routes, replayed->route, replayed->n);
  if (self->learns == GEM_LEARNS_RESIDUAL) {
    memset(replayed->route, self->domain, replayed->n);
  }
}

/* What is to stay: the teacher says what that is. */
static void
run_replayed(GemAdaptStep *self,
             const float *values,
             gsize n_negatives,
             GemBatch *replayed,
             const GemAdaptScales *scales,
             const GemGradientMap *map,
             float *gradients,
             GemAdaptFigures *figures)
{
  const float *teacher_values = self->teacher_values != NULL ? self->teacher_values : values;
  gem_backbone_forward(self->backbone, teacher_values, self->centroids, self->cluster_set, replayed,
                       self->teacher);
  keep_features(self, replayed, self->teacher, &self->positives, &self->positives_size);
  misroute(self, replayed);
  gem_backbone_forward(self->backbone, values, self->centroids, self->cluster_set, replayed, self->student);
  figures->distillation +=
      gem_backbone_loss_distill(self->backbone, values, replayed, scales->distill, self->student,
                                teacher_values, gem_backbone_pass_final(self->teacher), map, gradients);
  figures->contrast +=
      gem_backbone_loss_contrast(self->backbone, replayed, scales->contrast, self->student, self->positives,
                                 self->negatives, n_negatives, self->temperature, map != NULL);
  if (map != NULL) {
    gem_backbone_backward(self->backbone, values, replayed, self->cluster_set, self->student, map, gradients);
  }
  memcpy(replayed->route, self->routes, replayed->n);
  figures->replay_tokens += replayed->n;
  figures->replay_sequences += gem_batch_n_sequences(replayed);
}

void
gem_adapt_step_run(GemAdaptStep *self,
                   const float *values,
                   const GemBatch *batch,
                   GemBatch *replayed,
                   const GemAdaptScales *scales,
                   const GemGradientMap *map,
                   float *gradients,
                   GemAdaptFigures *figures)
{
  run_text(self, values, batch, scales->task, map, gradients, figures);
  if (replayed->n > 0 && (scales->distill > 0.0f || scales->contrast > 0.0f)) {
    run_replayed(self, values, gem_batch_n_sequences(batch), replayed, scales, map, gradients, figures);
  }
}
