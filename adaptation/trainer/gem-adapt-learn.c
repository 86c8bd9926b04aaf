#include "adaptation/trainer/gem-adapt-learn.h"

#include "adaptation/gem-adapt-fields.h"
#include "adaptation/trainer/gem-adapt-plan.h"
#include "adaptation/trainer/gem-adapt-slots.h"
#include "training/adapt/gem-adapt-identity.h"
#include "training/adapt/gem-adaptation.h"

#define KEY_IDENTITY "gem.adapt.identity"

#define PASSES       3u /* over the text, when there is time */
#define FEWEST_STEPS 24u
#define MOST_STEPS   2000u
#define TRIAL_STEPS  3u
#define STEADY_SHARE 0.5 /* of the steps, before the rate falls */
/* What is replayed is near to what is learned (gem-adapt-near.h), and little of it is enough. */
#define DISTILL       1.0
#define REPLAY_TOKENS 384u

typedef struct {
  const GemAdaptLearning *learning;
  GemAdaptOptions options;
  GemAdaptData data;
  guint64 checkpoint;   /* number of the next one */
  GBytes *last;         /* the newest one, while the rest is planned anew */
  GCancellable *stop;   /* of this round: cancelled by the user, or to plan anew */
  guint64 wanted_steps; /* of the next round; 0: this one stands */
  guint64 first_step;   /* of this round */
  gint64 started, round_started;
} Learner;

/* ---- the plan ---- */

static void
set_options(Learner *self)
{
  const GemAdaptLearning *learning = self->learning;
  GemAdaptOptions *options = &self->options;
  gem_adapt_options_init(options, GEM_LEARNS_RESIDUAL);
  options->domain = learning->model->learned;
  options->cluster_set = learning->model->cluster_set;
  options->lanes = learning->lanes;
  options->seed = (guint32)learning->start->seed; /* a checkpoint keeps so much of it */
  options->decay_share = 1.0 - STEADY_SHARE;
  options->replanned = TRUE; /* the pace may change while the rate falls, too */
  options->teacher_routed = TRUE;
  options->distill = DISTILL;
  options->replay_tokens = REPLAY_TOKENS;
  self->data = (GemAdaptData){
      .texts = (const GemAdaptText *)(gpointer)learning->documents->learned->data,
      .n_texts = learning->documents->learned->len,
      .replay = (const GemAdaptText *)(gpointer)learning->replayed->data,
      .n_replay = learning->replayed->len,
      .bos = gem_tokenizer_bos(learning->model->tokenizer),
  };
}

/* As many as PASSES over the text take. */
static guint64
wished_steps(const Learner *self)
{
  guint64 tokens = 0, each = (guint64)self->options.lanes * self->options.batch_tokens;
  for (gsize i = 0; i < self->data.n_texts; i++) {
    tokens += self->data.texts[i].n;
  }
  return CLAMP((PASSES * tokens + each - 1) / each, FEWEST_STEPS, MOST_STEPS);
}

typedef struct {
  gint64 first, last;
} Trial;

static void
note_time(const GemAdaptationProgress *progress, gpointer data)
{
  Trial *trial = data;
  trial->last = g_get_monotonic_time();
  trial->first = trial->first == 0 ? trial->last : trial->first;
}

/* Seconds a step, after the first, which makes its memory. What the steps learn is undone. */
static gboolean
measure_step(Learner *self, double *ret_seconds, GError **error)
{
  GemAdaptModel *model = self->learning->model;
  Trial trial = {0};
  const GemAdaptHooks hooks = {
      .progress = note_time, .cancellable = self->learning->cancellable, .data = &trial};
  GemAdaptOptions options = self->options;
  options.steps = TRIAL_STEPS;
  g_autofree float *residual = gem_adapt_model_copy_residual(model);
  if (!gem_adapt_run(model->backbone, model->centroids->values, model->values, &self->data, &options, &hooks,
                     NULL, NULL, error)) {
    return FALSE;
  }
  gem_adapt_model_put_residual(model, residual);
  *ret_seconds = (double)(trial.last - trial.first) / (double)(TRIAL_STEPS - 1) / G_USEC_PER_SEC;
  return TRUE;
}

static gboolean
plan_steps(Learner *self, GError **error)
{
  double step = 0.0;
  guint64 wished = wished_steps(self);
  if (!measure_step(self, &step, error)) {
    return FALSE;
  }
  double passed = (double)(g_get_monotonic_time() - self->started) / G_USEC_PER_SEC;
  self->options.steps = gem_adapt_plan_first(wished, self->learning->seconds - passed, step);
  return TRUE;
}

/* ---- hooks ---- */

/* Fewer steps, when the pace of this round says that the planned ones take too long. */
static void
consider_plan(Learner *self, const GemAdaptationProgress *progress)
{
  gint64 now = g_get_monotonic_time();
  const GemAdaptPace pace = {
      .steps = self->options.steps,
      .step = progress->step,
      .observed = progress->step - self->first_step,
      .round_seconds = (double)(now - self->round_started) / G_USEC_PER_SEC,
      .left_seconds = self->learning->seconds - (double)(now - self->started) / G_USEC_PER_SEC,
  };
  if (self->wanted_steps == 0) {
    self->wanted_steps = gem_adapt_plan_revise(&pace);
    if (self->wanted_steps > 0) {
      g_cancellable_cancel(self->stop);
    }
  }
}

static void
on_progress(const GemAdaptationProgress *progress, gpointer data)
{
  Learner *self = data;
  self->learning->progress((double)progress->step / (double)MAX(progress->steps, 1), progress->loss,
                           self->learning->data);
  if (g_cancellable_is_cancelled(self->learning->cancellable)) {
    g_cancellable_cancel(self->stop);
  }
  consider_plan(self, progress);
}

static gboolean
on_keep(GemGgufWriter *writer, gpointer data, GError **error)
{
  Learner *self = data;
  gem_gguf_writer_set_string(writer, KEY_IDENTITY, self->learning->identity);
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  if (!gem_adapt_slots_write(self->learning->start->files[GEM_ADAPT_CHECKPOINT], self->checkpoint, bytes,
                             error)) {
    return FALSE; /* the next goes into the same slot: the other one holds what was kept last */
  }
  self->checkpoint++;
  if (self->wanted_steps > 0) {
    g_clear_pointer(&self->last, g_bytes_unref);
    self->last = g_steal_pointer(&bytes);
  }
  return TRUE;
}

/* ---- rounds ---- */

static GemGguf *
open_checkpoint(GBytes *bytes, GError **error)
{
  return gem_gguf_new_from_bytes(bytes, gem_adapt_file_names[GEM_ADAPT_CHECKPOINT], error);
}

/* That of an earlier run of the same training, whose plan becomes this one's; NULL: it begins, as where the
 * run was of a version with other options. */
static GemGguf *
find_checkpoint(Learner *self)
{
  guint64 number = 0, steps = 0;
  g_autoptr(GBytes) bytes = gem_adapt_slots_read(self->learning->start->files[GEM_ADAPT_CHECKPOINT], &number);
  g_autoptr(GemGguf) file = bytes != NULL ? open_checkpoint(bytes, NULL) : NULL;
  g_autofree char *identity = file != NULL ? gem_gguf_get_string(file, KEY_IDENTITY, NULL) : NULL;
  if (bytes != NULL) {
    self->checkpoint = number + 1;
  }
  if (g_strcmp0(identity, self->learning->identity) != 0 ||
      !gem_gguf_get_uint(file, "train.steps", &steps, NULL) ||
      !gem_gguf_get_uint(file, "train.step", &self->first_step, NULL) || steps == 0 || steps > MOST_STEPS) {
    self->first_step = 0;
    return NULL;
  }
  g_autofree char *options = gem_adapt_identity_new(&self->data, &self->options);
  if (!gem_adapt_identity_check(options, file, NULL)) {
    self->first_step = 0;
    return NULL;
  }
  self->options.steps = steps;
  return g_steal_pointer(&file);
}

/* Until it is done, cancelled, or to be planned anew, which is TRUE in ret_again. */
static gboolean
run_round(Learner *self, GemGguf *resume, gboolean *ret_again, GError **error)
{
  GemAdaptModel *model = self->learning->model;
  g_autoptr(GCancellable) stop = g_cancellable_new();
  g_autoptr(GError) cause = NULL;
  const GemAdaptHooks hooks = {.progress = on_progress,
                               .keep = on_keep,
                               .keep_seconds = CLAMP(self->learning->start->seconds / 20.0, 0.5, 15.0),
                               .cancellable = stop,
                               .data = self};
  self->stop = stop;
  self->wanted_steps = 0;
  self->round_started = g_get_monotonic_time();
  gboolean done = gem_adapt_run(model->backbone, model->centroids->values, model->values, &self->data,
                                &self->options, &hooks, resume, NULL, &cause);
  *ret_again = !done && self->wanted_steps > 0 && self->last != NULL &&
               !g_cancellable_is_cancelled(self->learning->cancellable) &&
               g_error_matches(cause, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  if (!done && !*ret_again) {
    g_propagate_error(error, g_steal_pointer(&cause));
  }
  return done || *ret_again;
}

static gboolean
run_rounds(Learner *self, GemGguf *checkpoint, GError **error)
{
  gboolean again = FALSE;
  g_autoptr(GemGguf) resume = checkpoint != NULL ? gem_gguf_ref(checkpoint) : NULL;
  do {
    if (!run_round(self, resume, &again, error)) {
      return FALSE;
    }
    if (again) {
      g_autoptr(GBytes) last = g_steal_pointer(&self->last);
      self->options.steps = self->wanted_steps;
      g_clear_pointer(&resume, gem_gguf_unref);
      resume = open_checkpoint(last, error);
      if (resume == NULL || !gem_gguf_get_uint(resume, "train.step", &self->first_step, error)) {
        return FALSE;
      }
    }
  } while (again);
  return TRUE;
}

gboolean
gem_adapt_learn(const GemAdaptLearning *learning, guint64 *ret_steps, GError **error)
{
  Learner self = {.learning = learning, .started = g_get_monotonic_time()};
  set_options(&self);
  g_autoptr(GemGguf) checkpoint = find_checkpoint(&self);
  gboolean done = (checkpoint != NULL || plan_steps(&self, error)) && run_rounds(&self, checkpoint, error);
  g_clear_pointer(&self.last, g_bytes_unref);
  if (done) {
    *ret_steps = self.options.steps;
  }
  return done;
}
