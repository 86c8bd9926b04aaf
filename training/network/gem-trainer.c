#include "training/network/gem-trainer.h"

#include <glib-unix.h>
#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-vector.h"
#include "training/network/gem-progress.h"

#define ADAM_BETA1   0.9f
#define ADAM_BETA2   0.98f
#define ADAM_EPSILON 1e-8f

struct _GemTrainer {
  const GemParameters *parameters;
  GemTrainerOptions options;
  GemLanes *lanes;
  float *values, *first_moment, *second_moment;
  float **gradients;        /* [lanes] */
  GemTrainerTally *tallies; /* [lanes] */
  double *square_sums;      /* [lanes] */
  guint64 step;
  const GemTrainee *trainee; /* during a run */
  float scale;               /* of the loss in this step */
  double rate, clip_factor;
};

G_DEFINE_QUARK(gem - trainer - error - quark, gem_trainer_error)

GemTrainer *
gem_trainer_new(const GemParameters *parameters, const GemTrainerOptions *options, GemLanes *lanes)
{
  GemTrainer *self = g_new0(GemTrainer, 1);
  guint n_lanes = gem_lanes_count(lanes);
  self->parameters = parameters;
  self->options = *options;
  self->lanes = lanes;
  self->values = gem_parameters_alloc(parameters);
  self->first_moment = gem_parameters_alloc(parameters);
  self->second_moment = gem_parameters_alloc(parameters);
  self->gradients = g_new0(float *, n_lanes);
  for (guint lane = 0; lane < n_lanes; lane++) {
    self->gradients[lane] = gem_parameters_alloc(parameters);
  }
  self->tallies = g_new0(GemTrainerTally, n_lanes);
  self->square_sums = g_new0(double, n_lanes);
  gem_parameters_init(parameters, options->seed, self->values);
  return self;
}

void
gem_trainer_free(GemTrainer *self)
{
  for (guint lane = 0; lane < gem_lanes_count(self->lanes); lane++) {
    g_aligned_free(self->gradients[lane]);
  }
  g_free(self->gradients);
  g_aligned_free(self->values);
  g_aligned_free(self->first_moment);
  g_aligned_free(self->second_moment);
  g_free(self->tallies);
  g_free(self->square_sums);
  g_free(self);
}

float *
gem_trainer_values(GemTrainer *self)
{
  return self->values;
}

guint64
gem_trainer_step(const GemTrainer *self)
{
  return self->step;
}

double
gem_trainer_step_rate(const GemTrainer *self)
{
  return self->rate;
}

double
gem_trainer_rate(const GemTrainerOptions *options, guint64 step)
{
  if (step < options->warm_up) {
    return options->peak_rate * (double)(step + 1) / (double)options->warm_up;
  }
  double falling =
      MAX((double)(options->steps - MIN(options->warm_up, options->steps)) * options->decay_share, 1.0);
  double through = ((double)step - ((double)options->steps - falling)) / falling;
  double lowest = 0.05;
  return options->peak_rate * (lowest + (1.0 - lowest) * 0.5 * (1.0 + cos(G_PI * CLAMP(through, 0.0, 1.0))));
}

/* Before the rate falls, how many steps there will be has not mattered yet. */
static gboolean
steps_may_change(const GemTrainerOptions *options, guint64 step, guint64 other_steps)
{
  GemTrainerOptions other = *options;
  other.steps = other_steps;
  return step > 0 && gem_trainer_rate(options, step - 1) == gem_trainer_rate(&other, step - 1);
}

static void
lane_gradients(guint lane, gpointer data)
{
  GemTrainer *self = data;
  memset(self->gradients[lane], 0, self->parameters->size * sizeof(float));
  for (guint index = 0; index < self->options.accumulate; index++) {
    self->trainee->run(self->trainee->self, lane, index, self->scale, self->values, self->gradients[lane],
                       &self->tallies[lane]);
  }
}

static void
lane_prepare(guint lane, gpointer data)
{
  GemTrainer *self = data;
  self->tallies[lane] = (GemTrainerTally){0};
  for (guint index = 0; index < self->options.accumulate; index++) {
    self->tallies[lane].weight += self->trainee->prepare(self->trainee->self, lane, index, self->step);
  }
}

/* Sums the lanes' gradients into lane 0's, each lane a range of them, always in the order of the lanes. */
static void
lane_sum(guint lane, gpointer data)
{
  GemTrainer *self = data;
  gsize first, end;
  gem_lanes_range(self->lanes, lane, self->parameters->size, &first, &end);
  for (guint other = 1; other < gem_lanes_count(self->lanes); other++) {
    gem_vector_add(self->gradients[0] + first, self->gradients[other] + first, end - first);
  }
  self->square_sums[lane] = gem_vector_square_sum(self->gradients[0] + first, end - first);
}

static void
adamw_range(GemTrainer *self, gsize first, gsize end, gboolean decays)
{
  float rate = (float)self->rate, clip = (float)self->clip_factor;
  float keep = decays ? 1.0f - (float)(self->rate * self->options.weight_decay) : 1.0f;
  float correction1 = 1.0f - powf(ADAM_BETA1, (float)(self->step + 1)),
        correction2 = 1.0f - powf(ADAM_BETA2, (float)(self->step + 1));
  float *values = self->values, *m = self->first_moment, *v = self->second_moment;
  const float *gradients = self->gradients[0];
#pragma omp simd
  for (gsize i = first; i < end; i++) {
    float g = gradients[i] * clip;
    m[i] = ADAM_BETA1 * m[i] + (1.0f - ADAM_BETA1) * g;
    v[i] = ADAM_BETA2 * v[i] + (1.0f - ADAM_BETA2) * g * g;
    values[i] = values[i] * keep - rate * (m[i] / correction1) / (sqrtf(v[i] / correction2) + ADAM_EPSILON);
  }
}

static void
lane_update(guint lane, gpointer data)
{
  GemTrainer *self = data;
  gsize first, end;
  gem_lanes_range(self->lanes, lane, self->parameters->size, &first, &end);
  for (guint i = 0; i < self->parameters->items->len; i++) {
    const GemParameter *parameter = self->parameters->items->pdata[i];
    gsize from = MAX(parameter->offset, first),
          to = MIN(parameter->offset + parameter->rows * parameter->cols, end);
    if (from < to) {
      adamw_range(self, from, to, parameter->decays);
    }
  }
}

/* A loss or a gradient that is not finite changes nothing: the values are those of the step before. */
static gboolean
take_step(GemTrainer *self, GemTrainerTally *ret_tally, GError **error)
{
  guint n_lanes = gem_lanes_count(self->lanes);
  GemTrainerTally total = {0};
  gem_lanes_run(self->lanes, lane_prepare, self);
  for (guint lane = 0; lane < n_lanes; lane++) {
    total.weight += self->tallies[lane].weight;
  }
  self->scale = (float)(1.0 / MAX(total.weight, 1e-9));
  gem_lanes_run(self->lanes, lane_gradients, self);
  gem_lanes_run(self->lanes, lane_sum, self);
  double square_sum = 0.0;
  for (guint lane = 0; lane < n_lanes; lane++) {
    total.loss += self->tallies[lane].loss;
    total.tokens += self->tallies[lane].tokens;
    square_sum += self->square_sums[lane];
  }
  if (!isfinite(total.loss) || !isfinite(square_sum)) {
    g_set_error(error, GEM_TRAINER_ERROR, GEM_TRAINER_ERROR_NOT_FINITE,
                "step %" G_GUINT64_FORMAT ": the %s is not finite", self->step + 1,
                isfinite(total.loss) ? "gradient" : "loss");
    return FALSE;
  }
  double norm = sqrt(square_sum);
  self->clip_factor = self->options.clip > 0.0 && norm > self->options.clip ? self->options.clip / norm : 1.0;
  self->rate = gem_trainer_rate(&self->options, self->step);
  gem_lanes_run(self->lanes, lane_update, self);
  if (self->trainee->after_step != NULL) {
    self->trainee->after_step(self->trainee->self, self->step);
  }
  self->step++;
  *ret_tally = total;
  return TRUE;
}

static gboolean
write_checkpoint(GemTrainer *self, GError **error)
{
  if (self->options.checkpoint == NULL && self->trainee->keep == NULL) {
    return TRUE;
  }
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  gem_gguf_writer_set_string(writer, "general.architecture", "gemcheckpoint");
  gem_gguf_writer_set_uint(writer, "train.step", (guint32)self->step);
  gem_gguf_writer_set_uint(writer, "train.steps", (guint32)self->options.steps);
  gem_gguf_writer_set_uint(writer, "train.seed", (guint32)self->options.seed);
  gem_gguf_writer_set_uint(writer, "train.lanes", gem_lanes_count(self->lanes));
  gem_gguf_writer_set_uint(writer, "train.accumulate", self->options.accumulate);
  if (self->options.until > 0 && self->step == self->options.until) {
    gem_gguf_writer_set_uint(writer, GEM_TRAINER_UNTIL, (guint32)self->step);
  }
  return gem_parameters_write(self->parameters, "value:", self->values, writer, error) &&
         gem_parameters_write(self->parameters, "adam.m:", self->first_moment, writer, error) &&
         gem_parameters_write(self->parameters, "adam.v:", self->second_moment, writer, error) &&
         (self->trainee->save == NULL || self->trainee->save(self->trainee->self, writer, error)) &&
         (self->options.checkpoint != NULL ? gem_gguf_writer_write(writer, self->options.checkpoint, error)
                                           : self->trainee->keep(self->trainee->self, writer, error));
}

static gboolean
require_equal(GemGguf *checkpoint, const char *key, guint64 wanted, GError **error)
{
  guint64 found = 0;
  if (!gem_gguf_get_uint(checkpoint, key, &found, error)) {
    return FALSE;
  }
  if (found != wanted) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s: %s is %" G_GUINT64_FORMAT " there and %" G_GUINT64_FORMAT
                " on the command line; resume with the same options",
                gem_gguf_get_name(checkpoint), key, found, wanted);
    return FALSE;
  }
  return TRUE;
}

/* A run that ended before it began would write the checkpoint again without the mark of the one that has. */
static gboolean
check_until(const GemTrainer *self, GemGguf *checkpoint, guint64 step, GError **error)
{
  if (self->options.until == 0 || self->options.until >= step) {
    return TRUE;
  }
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
              "%s is at step %" G_GUINT64_FORMAT " already; --until %" G_GUINT64_FORMAT
              " would end the run before it",
              gem_gguf_get_name(checkpoint), step, self->options.until);
  return FALSE;
}

gboolean
gem_trainer_resume(GemTrainer *self, GemGguf *checkpoint, GError **error)
{
  guint64 step = 0, steps = 0;
  if (!gem_gguf_get_uint(checkpoint, "train.step", &step, error) ||
      !gem_gguf_get_uint(checkpoint, "train.steps", &steps, error)) {
    return FALSE;
  }
  if (steps != self->options.steps && !self->options.replanned &&
      !steps_may_change(&self->options, step, steps)) {
    return require_equal(checkpoint, "train.steps", self->options.steps, error);
  }
  self->step = step;
  return check_until(self, checkpoint, step, error) &&
         require_equal(checkpoint, "train.seed", self->options.seed, error) &&
         require_equal(checkpoint, "train.lanes", gem_lanes_count(self->lanes), error) &&
         require_equal(checkpoint, "train.accumulate", self->options.accumulate, error) &&
         gem_parameters_read(self->parameters, "value:", checkpoint, self->values, error) &&
         gem_parameters_read(self->parameters, "adam.m:", checkpoint, self->first_moment, error) &&
         gem_parameters_read(self->parameters, "adam.v:", checkpoint, self->second_moment, error);
}

static gboolean
is_stopped(const GemTrainer *self)
{
  return (self->options.title != NULL && gem_progress_interrupted()) ||
         (self->trainee->is_stopped != NULL && self->trainee->is_stopped(self->trainee->self));
}

static void
report_step(const GemTrainer *self, GemProgress *progress, const GemTrainerTally *tally)
{
  const GemTrainee *trainee = self->trainee;
  if (progress != NULL) {
    g_autofree char *more = trainee->describe != NULL ? trainee->describe(trainee->self) : NULL;
    gem_progress_step(progress, self->step, tally->loss, tally->tokens, self->rate, more);
  }
  if (trainee->report != NULL) {
    trainee->report(trainee->self, self->step, tally);
  }
}

static gboolean
set_stopped(const GemTrainer *self, GError **error)
{
  const char *next = self->options.checkpoint != NULL ? "the same command with --resume goes on from there"
                     : self->trainee->keep != NULL    ? "it can be resumed"
                                                      : "nothing was kept (no --checkpoint)";
  g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
              "stopped after step %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT "; %s", self->step,
              self->options.steps, next);
  return FALSE;
}

/* A run on the way goes on without: the one before stands, and there may be room for the next. */
static void
try_checkpoint(GemTrainer *self)
{
  g_autoptr(GError) error = NULL;
  if (!write_checkpoint(self, &error)) {
    g_printerr("%s: no checkpoint at step %" G_GUINT64_FORMAT ", going on: %s\n",
               self->options.title != NULL ? self->options.title : g_get_prgname(), self->step,
               error->message);
  }
}

gboolean
gem_trainer_run(GemTrainer *self, const GemTrainee *trainee, GError **error)
{
  self->trainee = trainee;
  g_autoptr(GemProgress) progress =
      self->options.title != NULL ? gem_progress_new(self->options.title, self->step, self->options.steps)
                                  : NULL;
  guint64 end = self->options.until > 0 ? MIN(self->options.until, self->options.steps) : self->options.steps;
  gint64 last_checkpoint = g_get_monotonic_time();
  while (self->step < end && !is_stopped(self)) {
    GemTrainerTally tally;
    if (!take_step(self, &tally, error)) {
      return FALSE;
    }
    report_step(self, progress, &tally);
    if ((double)(g_get_monotonic_time() - last_checkpoint) / 1e6 >= self->options.checkpoint_seconds) {
      try_checkpoint(self);
      last_checkpoint = g_get_monotonic_time();
    }
  }
  if (!write_checkpoint(self, error)) {
    return FALSE;
  }
  return self->step < end ? set_stopped(self, error) : TRUE;
}
