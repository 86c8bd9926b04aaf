/*
 * Classify: the text is prefilled once in the ask template; then the labels' tokens are run, what they begin
 * with alike once, with cache and router wound back in between.
 */
#include "daemon/engine/gem-label-tree.h"
#include "daemon/engine/gem-oneshot.h"
#include "daemon/engine/gem-prompt.h"

typedef struct {
  GemOneShot base;
  GemLabelTree *tree;
  guint prefix; /* tokens before a label */
  GemRouterState
      *router_after; /* what the router remembers of the prefix; NULL: nothing, not yet copied, or no room */
  guint next;        /* the run that comes next */
  gboolean longer;   /* there are tokens after the prefix */
} ClassifyJob;

static void
classify_output(GemJob *job, guint position, const float *logits)
{
  ClassifyJob *self = (ClassifyJob *)job;
  guint depth = position + 1 - self->prefix;

  gem_label_tree_take_logits(self->tree, self->next - (self->longer ? 1 : 0), depth, logits,
                             job->runtime->shape->vocab);
}

/* Of what the router remembers of the prefix. */
static gsize
bytes_of_copy(const ClassifyJob *self)
{
  const GemRuntime *runtime = self->base.job.runtime;

  return self->router_after != NULL ? runtime->router_functions->state_bytes(runtime->router) : 0;
}

/* Copies what the router remembers; `ret_copy` is NULL where the budget has no room for another one. */
static gboolean
copy_state(GemRuntime *runtime, const GemRouterState *state, GemRouterState **ret_copy, GError **error)
{
  GemRouterState *copy = NULL;

  if (gem_budget_make_room(&runtime->budget, runtime->router_functions->state_bytes(runtime->router), 0)) {
    copy = runtime->router_functions->state_copy(runtime->router, state);
    if (copy == NULL) {
      g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for the router's state");
      return FALSE;
    }
  }
  *ret_copy = copy;
  return TRUE;
}

/* For wind_back. Without a copy the labels cost time, and no other answer. */
static gboolean
keep_router(ClassifyJob *self, GError **error)
{
  GemJob *job = &self->base.job;

  if (job->sequence->router_state == NULL) {
    return TRUE;
  }
  if (!copy_state(job->runtime, job->sequence->router_state, &self->router_after, error)) {
    return FALSE;
  }
  job->runtime->sequence_bytes += bytes_of_copy(self);
  return TRUE;
}

/* Back to the end of the prefix, with the router as it was there. */
static gboolean
wind_back(ClassifyJob *self, GError **error)
{
  GemJob *job = &self->base.job;
  GemRouterState *state = NULL;

  gem_sequence_state_truncate(job->sequence, self->prefix);
  /* First, so that there is room for the copy. Where none was kept the state is of another label, too: it is
   * made again from the prefix. */
  gem_sequence_state_set_router(job->runtime, job->sequence, NULL);
  if (self->router_after == NULL) {
    return TRUE;
  }
  if (!copy_state(job->runtime, self->router_after, &state, error)) {
    return FALSE;
  }
  if (state == NULL) {
    /* It gave its memory back since, and others took it: the last copy is used up. */
    job->runtime->sequence_bytes -= bytes_of_copy(self);
    state = g_steal_pointer(&self->router_after);
  }
  gem_sequence_state_set_router(job->runtime, job->sequence, state);
  return TRUE;
}

static gboolean
classify_prepare(GemJob *job, GError **error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  self->prefix = self->base.run.prompt->tokens->len;
  job->outputs_from = self->prefix - 1;
  job->next_routing = self->base.run.routing; /* of the labels */
  return gem_one_shot_prepare(job, error);
}

static gboolean
start_run(ClassifyJob *self, guint run, GError **error)
{
  GemJob *job = &self->base.job;
  guint n, first;
  const guint32 *tokens = gem_label_tree_get_run(self->tree, run, &n, &first);

  if (self->longer && !wind_back(self, error)) {
    return FALSE;
  }
  self->longer = TRUE;
  job->outputs_from = self->prefix + first - 1;
  return gem_sequence_state_append(job->runtime, job->sequence, tokens, n, &self->base.run.routing, NULL,
                                   error);
}

static gboolean
classify_advance(GemJob *job, GError **error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  if (!self->longer && self->router_after == NULL && !keep_router(self, error)) {
    return FALSE;
  }
  if (self->next < gem_label_tree_n_runs(self->tree)) {
    return start_run(self, self->next++, error);
  }
  self->base.result = gem_label_tree_get_probabilities(self->tree, error);
  if (self->base.result == NULL) {
    return FALSE;
  }
  self->base.destroy = (GDestroyNotify)g_array_unref;
  job->done = TRUE;
  return TRUE;
}

static gboolean
classify_give_back(GemJob *job)
{
  ClassifyJob *self = (ClassifyJob *)job;

  if (self->router_after == NULL) {
    return FALSE;
  }
  job->runtime->sequence_bytes -= bytes_of_copy(self);
  job->runtime->router_functions->state_free(job->runtime->router, g_steal_pointer(&self->router_after));
  return TRUE;
}

static void
classify_end(GemJob *job, GError *error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  classify_give_back(job);
  gem_label_tree_free(self->tree);
  gem_one_shot_end(job, error);
}

void
gem_engine_classify_async(GemEngine *self,
                          const char *text,
                          const char *const *labels,
                          const GemRunOptions *options,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data)
{
  static const GemJobClass class = {.prepare = classify_prepare,
                                    .output = classify_output,
                                    .advance = classify_advance,
                                    .give_back = classify_give_back,
                                    .end = classify_end};
  static const char *const none[] = {NULL};
  const GemPromptSpec spec = {.form = GEM_PROMPT_ASK, .labels = labels != NULL ? labels : none};
  GemOneShotRun run;
  GTask *task = gem_one_shot_begin(self, text, &spec, options, cancellable, callback, data,
                                   gem_engine_classify_async, &run);
  ClassifyJob *job;

  if (task == NULL) {
    return;
  }
  job = g_new0(ClassifyJob, 1);
  job->tree = gem_label_tree_new(g_ptr_array_ref(run.prompt->labels));
  run.routing.causal = TRUE;
  gem_one_shot_submit(&job->base, &class, task, &run);
}

GArray *
gem_engine_classify_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail(g_task_is_valid(result, self), NULL);
  return g_task_propagate_pointer(G_TASK(result), error);
}
