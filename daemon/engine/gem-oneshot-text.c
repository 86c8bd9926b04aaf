/* Route, Embed and Score: one pass over a text. */
#include "daemon/engine/gem-logits.h"
#include "daemon/engine/gem-oneshot.h"

#include <math.h>

#include "daemon/engine/gem-prompt.h"

/* ---- route ---- */

static GPtrArray *
make_routed_tokens(const GemOneShot *self, const GemSequenceState *sequence, const float *probabilities)
{
  const GemRuntime *runtime = self->job.runtime;
  GPtrArray *routed = g_ptr_array_new_with_free_func((GDestroyNotify)gem_routed_token_free);
  guint n = sequence->tokens->len;
  guint classes = gem_routing_count_classes(runtime, &self->run.routing);

  for (guint i = 0; i < n; i++) {
    const GemPlace *place = &g_array_index(self->run.prompt->places, GemPlace, i);

    g_ptr_array_add(routed, gem_routed_token_new(runtime, self->run.routing.learned,
                                                 g_array_index(sequence->tokens, guint32, i), place->offset,
                                                 place->length, sequence->routes->data[i],
                                                 probabilities + (gsize)i * classes));
  }
  return routed;
}

static gboolean
route_prepare(GemJob *job, GError **error)
{
  GemOneShot *self = (GemOneShot *)job;
  const GArray *tokens = self->run.prompt->tokens;
  guint classes = gem_routing_count_classes(job->runtime, &self->run.routing);
  g_autofree float *probabilities = g_new0(float, (gsize)tokens->len *MAX(1, classes));

  job->sequence = gem_sequence_state_new(job->runtime, self->run.cluster_set);
  if (!gem_sequence_state_append(job->runtime, job->sequence, (const guint32 *)(gpointer)tokens->data,
                                 tokens->len, &self->run.routing, probabilities, error)) {
    return FALSE;
  }
  self->result = make_routed_tokens(self, job->sequence, probabilities);
  self->destroy = (GDestroyNotify)g_ptr_array_unref;
  job->done = TRUE;
  return TRUE;
}

void
gem_engine_route_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data)
{
  static const GemJobClass class = {.prepare = route_prepare, .end = gem_one_shot_end};
  static const GemPromptSpec spec = {.form = GEM_PROMPT_ALONE, .places = TRUE};
  static const GemRunOptions defaults = {0};
  const GemRunOptions *given = options != NULL ? options : &defaults;
  const GemRunOptions heeded = {.owner = given->owner,
                                .priority = given->priority,
                                .prompt = given->prompt,
                                .deadline = given->deadline};
  GemOneShotRun run;
  GTask *task = gem_one_shot_begin(self, text, &spec, &heeded, cancellable, callback, data,
                                   gem_engine_route_async, &run);

  if (task != NULL) {
    gem_one_shot_submit(g_new0(GemOneShot, 1), &class, task, &run);
  }
}

GPtrArray *
gem_engine_route_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail(g_task_is_valid(result, self), NULL);
  return g_task_propagate_pointer(G_TASK(result), error);
}

/* ---- embed and score: outputs of a text's rows, added up ---- */

static const GemPromptSpec sum_spec = {.form = GEM_PROMPT_RAW};

typedef struct {
  GemOneShot base;
  double *sum; /* embed: [width] */
  double log_likelihood;
} SumJob;

typedef struct {
  double log_likelihood;
  guint64 tokens;
} Score;

static void
embed_output(GemJob *job, guint position, const float *state)
{
  SumJob *self = (SumJob *)job;

  for (guint i = 0; i < job->runtime->shape->width; i++) {
    self->sum[i] += (double)state[i];
  }
}

static gboolean
embed_advance(GemJob *job, GError **error)
{
  SumJob *self = (SumJob *)job;
  guint width = job->runtime->shape->width;
  GArray *embedding = g_array_sized_new(FALSE, FALSE, sizeof(double), width);
  double squares = 0;

  for (guint i = 0; i < width; i++) {
    squares += self->sum[i] * self->sum[i];
  }
  if (!isfinite(squares) || squares <= 0) {
    g_array_unref(embedding);
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "the text's hidden states have no direction");
    return FALSE;
  }
  for (guint i = 0; i < width; i++) {
    double value = self->sum[i] / sqrt(squares);

    g_array_append_val(embedding, value);
  }
  self->base.result = embedding;
  self->base.destroy = (GDestroyNotify)g_array_unref;
  job->done = TRUE;
  return TRUE;
}

static void
score_output(GemJob *job, guint position, const float *logits)
{
  SumJob *self = (SumJob *)job;

  if (position + 1 < job->sequence->tokens->len) {
    guint32 next = g_array_index(job->sequence->tokens, guint32, position + 1);

    self->log_likelihood += (double)logits[next] - gem_logits_normaliser(logits, job->runtime->shape->vocab);
  }
}

static gboolean
score_advance(GemJob *job, GError **error)
{
  SumJob *self = (SumJob *)job;
  Score *score;

  if (!isfinite(self->log_likelihood)) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "the model gave no finite logits");
    return FALSE;
  }
  score = g_new(Score, 1);
  score->log_likelihood = self->log_likelihood;
  score->tokens = job->sequence->tokens->len - 1;
  self->base.result = score;
  self->base.destroy = g_free;
  job->done = TRUE;
  return TRUE;
}

static void
sum_end(GemJob *job, GError *error)
{
  g_free(((SumJob *)job)->sum);
  gem_one_shot_end(job, error);
}

static gboolean
begins_with_bos(GemEngine *engine, const GArray *tokens)
{
  return tokens->len > 1 &&
         g_array_index(tokens, guint32, 0) == gem_tokenizer_bos(engine->runtime->tokenizer);
}

/* Submits a job over the text; `width` 0: logits are wanted, else hidden states of that width. */
static void
start_sum(GTask *task, const GemJobClass *class, guint width, const GemOneShotRun *run)
{
  GemEngine *engine = g_task_get_source_object(task);
  SumJob *job = g_new0(SumJob, 1);

  job->base.job.hidden = width > 0;
  /* A mean over the text has nothing to learn from BOS; a likelihood is read from it on. */
  job->base.job.outputs_from = width > 0 && begins_with_bos(engine, run->prompt->tokens) ? 1 : 0;
  job->sum = g_new0(double, MAX(width, 1));
  gem_one_shot_submit(&job->base, class, task, run);
}

void
gem_engine_embed_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data)
{
  static const GemJobClass class = {
      .prepare = gem_one_shot_prepare, .output = embed_output, .advance = embed_advance, .end = sum_end};
  GemOneShotRun run;
  GTask *task = gem_one_shot_begin(self, text, &sum_spec, options, cancellable, callback, data,
                                   gem_engine_embed_async, &run);

  if (task != NULL) {
    start_sum(task, &class, self->runtime->shape->width, &run);
  }
}

GArray *
gem_engine_embed_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail(g_task_is_valid(result, self), NULL);
  return g_task_propagate_pointer(G_TASK(result), error);
}

void
gem_engine_score_async(GemEngine *self,
                       const char *text,
                       const GemRunOptions *options,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer data)
{
  static const GemJobClass class = {
      .prepare = gem_one_shot_prepare, .output = score_output, .advance = score_advance, .end = sum_end};
  GemOneShotRun run;
  GTask *task = gem_one_shot_begin(self, text, &sum_spec, options, cancellable, callback, data,
                                   gem_engine_score_async, &run);

  if (task != NULL) {
    run.routing.causal = TRUE;
    start_sum(task, &class, 0, &run);
  }
}

gboolean
gem_engine_score_finish(
    GemEngine *self, GAsyncResult *result, double *ret_log_likelihood, guint64 *ret_tokens, GError **error)
{
  g_autofree Score *score = NULL;

  g_return_val_if_fail(g_task_is_valid(result, self), FALSE);
  score = g_task_propagate_pointer(G_TASK(result), error);
  if (score == NULL) {
    return FALSE;
  }
  *ret_log_likelihood = score->log_likelihood;
  *ret_tokens = score->tokens;
  return TRUE;
}
