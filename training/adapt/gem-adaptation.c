#include "training/adapt/gem-adaptation.h"

#include <string.h>

#include "training/adapt/gem-adapt-identity.h"
#include "training/adapt/gem-adapt-schedule.h"
#include "training/adapt/gem-adapt-step.h"
#include "training/network/gem-trainer.h"

void
gem_adapt_options_init(GemAdaptOptions *options, GemLearns learns)
{
  *options = (GemAdaptOptions){
      .learns = learns,
      .cluster_set = -1,
      .lanes = 2,
      .sequence = 256,
      .batch_tokens = 1024,
      .replay_tokens = 512,
      .power = 1.0,
      .replay_power = 0.0,
      .steps = 200,
      .warm_up = 10,
      .rate = learns == GEM_LEARNS_RESIDUAL ? 1e-3 : 3e-4,
      .decay_share = 1.0,
      .weight_decay = 0.01,
      .answer_weight = 2.0,
      .answer_least = 40.0,
      .distill = 0.5,
      .contrast = 0.05,
      .temperature = 0.1,
      .quantization = 0.1,
      .quantization_term = GEM_QUANTIZATION_DECOUPLED,
      .quantized = TRUE,
      .types = gem_export_types_default,
  };
}

void
gem_adapt_options_make_plain(GemAdaptOptions *options)
{
  options->quantized = FALSE;
  options->quantization_term = GEM_QUANTIZATION_NONE;
  options->quantization = options->distill = options->contrast = 0.0;
  options->replay_tokens = 0;
}

typedef struct {
  const GemAdaptOptions *options;
  const GemAdaptHooks *hooks;
  GemLearnedTensors *tensors;
  GemLanes *lanes;
  GemTrainer *trainer;
  char *identity;                   /* of options and text */
  float *values;                    /* the backbone's, with the learned tensors as they run */
  GemAdaptSchedule *texts, *replay; /* replay: NULL for none */
  GemAdaptStep **steps;             /* [lanes] */
  GemBatch **batches, **replayed;   /* [lanes] */
  GemAdaptFigures *figures;         /* [lanes], of this step */
  double rate;                      /* of this step */
  GemAdaptationProgress last;
  gint64 started;
} Adaptation;

/* ---- what the trainer calls ---- */

static double
prepare(gpointer data, guint lane, guint index, guint64 step)
{
  Adaptation *self = data;
  const GemAdaptOptions *options = self->options;
  guint64 batch = step * options->lanes + lane;
  gint8 route = options->learns == GEM_LEARNS_GENERAL ? GEM_ROUTE_GENERAL : options->domain;
  gem_batch_clear(self->batches[lane]);
  gem_adapt_schedule_fill(self->texts, batch, route, self->batches[lane]);
  gem_batch_clear(self->replayed[lane]);
  if (self->replay != NULL) {
    gem_adapt_schedule_fill(self->replay, batch,
                            options->teacher_routed ? GEM_ADAPT_ROUTE_OF_TEXT : GEM_ROUTE_GENERAL,
                            self->replayed[lane]);
  }
  self->figures[lane] = (GemAdaptFigures){0};
  return gem_batch_total_weight(self->batches[lane]);
}

/* Terms on replayed text are means over that of all lanes. */
static GemAdaptScales
scales_of_step(const Adaptation *self, float task)
{
  gsize tokens = 0, sequences = 0;
  for (guint lane = 0; lane < self->options->lanes; lane++) {
    tokens += self->replayed[lane]->n;
    sequences += gem_batch_n_sequences(self->replayed[lane]);
  }
  return (GemAdaptScales){.task = task,
                          .distill = (float)(self->options->distill / (double)MAX(tokens, 1)),
                          .contrast = (float)(self->options->contrast / (double)MAX(sequences, 1))};
}

static void
run(gpointer data,
    guint lane,
    guint index,
    float scale,
    const float *masters,
    float *gradients,
    GemTrainerTally *tally)
{
  Adaptation *self = data;
  const GemAdaptOptions *options = self->options;
  GemAdaptFigures *figures = &self->figures[lane];
  GemAdaptScales scales = scales_of_step(self, scale);
  gem_adapt_step_run(self->steps[lane], self->values, self->batches[lane], self->replayed[lane], &scales,
                     &self->tensors->map, gradients, figures);
  if (options->quantization_term == GEM_QUANTIZATION_GRADIENT) {
    gsize first, end;
    gem_lanes_range(self->lanes, lane, self->tensors->parameters->size, &first, &end);
    figures->quantization = gem_learned_tensors_quantization(self->tensors, masters, self->values, first, end,
                                                             options->quantization, gradients);
  }
  tally->loss += figures->loss;
  tally->tokens += figures->tokens;
}

/* The decoupled term, each lane a range of the masters: a pull towards the blocks that have just run. */
static void
pull_lane(guint lane, gpointer data)
{
  Adaptation *self = data;
  float *masters = gem_trainer_values(self->trainer);
  gsize first, end;
  gem_lanes_range(self->lanes, lane, self->tensors->parameters->size, &first, &end);
  self->figures[lane].quantization = gem_learned_tensors_quantization(
      self->tensors, masters, self->values, first, end, -self->options->quantization * self->rate, masters);
}

static void
after_step(gpointer data, guint64 step)
{
  Adaptation *self = data;
  const GemAdaptOptions *options = self->options;
  if (options->quantization_term == GEM_QUANTIZATION_DECOUPLED) {
    self->rate = gem_trainer_step_rate(self->trainer);
    gem_lanes_run(self->lanes, pull_lane, self);
  }
  gem_learned_tensors_put(self->tensors, gem_trainer_values(self->trainer), options->quantized, self->lanes,
                          self->values);
}

static void
report(gpointer data, guint64 steps_done, const GemTrainerTally *tally)
{
  Adaptation *self = data;
  GemAdaptFigures sum = {0};
  for (guint lane = 0; lane < self->options->lanes; lane++) {
    const GemAdaptFigures *figures = &self->figures[lane];
    sum.distillation += figures->distillation;
    sum.replay_tokens += figures->replay_tokens;
    sum.contrast += figures->contrast;
    sum.replay_sequences += figures->replay_sequences;
    sum.quantization += figures->quantization;
  }
  self->last.step = steps_done;
  self->last.loss = tally->loss / (double)MAX(tally->tokens, 1);
  self->last.rate = gem_trainer_step_rate(self->trainer);
  self->last.distillation = sum.distillation / (double)MAX(sum.replay_tokens, 1);
  self->last.contrast = sum.contrast / (double)MAX(sum.replay_sequences, 1);
  self->last.quantization = sum.quantization;
  self->last.tokens += tally->tokens;
  self->last.seconds = (double)(g_get_monotonic_time() - self->started) / 1e6;
  if (self->hooks->progress != NULL) {
    self->hooks->progress(&self->last, self->hooks->data);
  }
}

static gboolean
is_stopped(gpointer data)
{
  const Adaptation *self = data;
  return g_cancellable_is_cancelled(self->hooks->cancellable);
}

static gboolean
save(gpointer data, GemGgufWriter *writer, GError **error)
{
  const Adaptation *self = data;
  gem_adapt_identity_write(self->identity, writer);
  return TRUE;
}

static gboolean
keep(gpointer data, GemGgufWriter *checkpoint, GError **error)
{
  const Adaptation *self = data;
  return self->hooks->keep(checkpoint, self->hooks->data, error);
}

/* ---- before the first step ---- */

static gboolean
refuse(GError **error, const char *what)
{
  g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, what);
  return FALSE;
}

static gboolean
has_usable(const GemAdaptText *texts, gsize n)
{
  gboolean usable = FALSE;
  for (gsize i = 0; i < n && !usable; i++) {
    usable = gem_adapt_text_is_usable(&texts[i]);
  }
  return usable;
}

static gboolean
check_options(const GemBackbone *backbone,
              const GemAdaptData *data,
              const GemAdaptOptions *options,
              GError **error)
{
  const GemModelShape *shape = &backbone->shape;
  gboolean residual = options->learns != GEM_LEARNS_GENERAL;
  if (residual && (options->domain < 0 || (guint)options->domain >= shape->n_domains)) {
    return refuse(error, "the model has no residual for the domain that is to be learned");
  }
  if (options->cluster_set >= (int)shape->n_cluster_sets) {
    return refuse(error, "the model has no such set of clusters");
  }
  if (options->sequence < 8 || options->sequence > backbone->positions ||
      options->batch_tokens < options->sequence ||
      (options->replay_tokens > 0 && options->replay_tokens < options->sequence)) {
    return refuse(error, "a window has at least 8 tokens, and a batch and the replayed text a window");
  }
  if (!has_usable(data->texts, data->n_texts)) {
    return refuse(error, "there is no text to learn from");
  }
  return TRUE;
}

static GemAdaptSchedule *
schedule_of(const Adaptation *self, const GemAdaptData *data, gboolean replay)
{
  const GemAdaptOptions *options = self->options;
  const GemAdaptScheduleOptions schedule = {
      .sequence = options->sequence,
      .batch_tokens = replay ? options->replay_tokens : options->batch_tokens,
      .batches = options->steps * options->lanes,
      .power = replay ? options->replay_power : options->power,
      .answer_weight = options->answer_weight,
      .answer_least = options->answer_least,
      .seed = options->seed + (replay ? 1 : 0),
  };
  return replay ? gem_adapt_schedule_new(data->replay, data->n_replay, data->bos, &schedule)
                : gem_adapt_schedule_new(data->texts, data->n_texts, data->bos, &schedule);
}

static gboolean
replays(const GemAdaptOptions *options, const GemAdaptData *data)
{
  return options->replay_tokens > 0 && (options->distill > 0.0 || options->contrast > 0.0) &&
         has_usable(data->replay, data->n_replay);
}

static void
make_lanes(Adaptation *self, const GemBackbone *backbone, const float *centroids, const float *teacher_values)
{
  const GemAdaptOptions *options = self->options;
  self->steps = g_new0(GemAdaptStep *, options->lanes);
  self->batches = g_new0(GemBatch *, options->lanes);
  self->replayed = g_new0(GemBatch *, options->lanes);
  self->figures = g_new0(GemAdaptFigures, options->lanes);
  for (guint lane = 0; lane < options->lanes; lane++) {
    self->steps[lane] = gem_adapt_step_new(backbone, centroids, options->cluster_set, options->learns,
                                           options->domain, options->temperature, teacher_values);
    self->batches[lane] = gem_batch_new(options->batch_tokens);
    self->replayed[lane] = gem_batch_new(MAX(options->replay_tokens, 1));
  }
}

static void
adaptation_clear(Adaptation *self)
{
  for (guint lane = 0; self->steps != NULL && lane < self->options->lanes; lane++) {
    gem_adapt_step_free(self->steps[lane]);
    gem_batch_free(self->batches[lane]);
    gem_batch_free(self->replayed[lane]);
  }
  g_free(self->steps);
  g_free(self->batches);
  g_free(self->replayed);
  g_free(self->figures);
  g_free(self->identity);
  g_clear_pointer(&self->trainer, gem_trainer_free); /* before its lanes */
  g_clear_pointer(&self->lanes, gem_lanes_free);
  g_clear_pointer(&self->tensors, gem_learned_tensors_free);
  g_clear_pointer(&self->texts, gem_adapt_schedule_free);
  g_clear_pointer(&self->replay, gem_adapt_schedule_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Adaptation, adaptation_clear)

static void
make_trainer(Adaptation *self)
{
  const GemAdaptOptions *options = self->options;
  const GemTrainerOptions trainer = {.steps = options->steps,
                                     .warm_up = options->warm_up,
                                     .peak_rate = options->rate,
                                     .decay_share = options->decay_share,
                                     .weight_decay = options->weight_decay,
                                     .clip = 1.0,
                                     .accumulate = 1,
                                     .replanned = options->replanned,
                                     .seed = options->seed,
                                     .checkpoint_seconds =
                                         self->hooks->keep != NULL ? self->hooks->keep_seconds : G_MAXDOUBLE};
  self->trainer = gem_trainer_new(self->tensors->parameters, &trainer, self->lanes);
  gem_learned_tensors_take(self->tensors, self->values, gem_trainer_values(self->trainer));
}

gboolean
gem_adapt_run(const GemBackbone *backbone,
              const float *centroids,
              float *values,
              const GemAdaptData *data,
              const GemAdaptOptions *options,
              const GemAdaptHooks *hooks,
              GemGguf *resume,
              GemAdaptationProgress *ret_last,
              GError **error)
{
  const GemAdaptHooks no_hooks = {0};
  g_auto(Adaptation)
      self = {.options = options, .hooks = hooks != NULL ? hooks : &no_hooks, .values = values};
  g_autofree float *start = NULL; /* the teacher of a network that is not frozen */
  if (!check_options(backbone, data, options, error)) {
    return FALSE;
  }
  self.lanes = gem_lanes_new(options->lanes);
  self.tensors = gem_learned_tensors_new(backbone, options->learns, options->domain, &options->types);
  self.texts = schedule_of(&self, data, FALSE);
  self.replay = replays(options, data) ? schedule_of(&self, data, TRUE) : NULL;
  make_trainer(&self);
  self.identity = gem_adapt_identity_new(data, options);
  if (resume != NULL && (!gem_adapt_identity_check(self.identity, resume, error) ||
                         !gem_trainer_resume(self.trainer, resume, error))) {
    return FALSE;
  }
  if (self.replay != NULL && options->learns != GEM_LEARNS_RESIDUAL) {
    start = g_memdup2(values, backbone->parameters->size * sizeof(float));
  }
  make_lanes(&self, backbone, centroids, start);
  gem_learned_tensors_put(self.tensors, gem_trainer_values(self.trainer), options->quantized, self.lanes,
                          values);
  self.last.steps = options->steps;
  self.started = g_get_monotonic_time();
  const GemTrainee trainee = {.self = &self,
                              .prepare = prepare,
                              .run = run,
                              .after_step = after_step,
                              .save = save,
                              .report = report,
                              .is_stopped = is_stopped,
                              .keep = self.hooks->keep != NULL ? keep : NULL};
  if (!gem_trainer_run(self.trainer, &trainee, error)) {
    return FALSE;
  }
  gem_learned_tensors_put(self.tensors, gem_trainer_values(self.trainer), FALSE, self.lanes, values);
  if (ret_last != NULL) {
    *ret_last = self.last;
  }
  return TRUE;
}
