/*
 * Classify: the text is prefilled once in the ask template; then the model is asked at each fork of the tree
 * of labels, with cache and router wound back in between.
 */
#include "daemon/engine/gem-label-tree.h"
#include "daemon/engine/gem-oneshot.h"
#include "daemon/engine/gem-prompt.h"

typedef struct {
  GemOneShot base;
  GemLabelTree *tree;
  guint prefix; /* tokens before a label */
  GemRouterState
      *router_after; /* what the router remembers of the prefix; NULL: nothing, or not yet copied */
  guint next;        /* the fork that is looked at next */
  guint fork;        /* the fork whose logits job.outputs_from will bring */
  gboolean longer;   /* there are tokens after the prefix */
} ClassifyJob;

static void
classify_output(GemJob *job, guint position, const float *logits)
{
  ClassifyJob *self = (ClassifyJob *)job;
  guint depth;

  if (self->fork < gem_label_tree_n_forks(self->tree)) {
    gem_label_tree_get_path(self->tree, self->fork, &depth);
    if (position + 1 == self->prefix + depth) {
      gem_label_tree_take_logits(self->tree, self->fork, logits);
    }
  }
}

/* Of what the router remembers of the prefix. */
static gsize
bytes_of_copy(const ClassifyJob *self)
{
  const GemRuntime *runtime = self->base.job.runtime;

  return self->router_after != NULL ? runtime->router_functions->state_bytes(runtime->router) : 0;
}

/* Back to the end of the prefix, with the router as it was there. */
static gboolean
wind_back(ClassifyJob *self, GError **error)
{
  GemJob *job = &self->base.job;
  GemRouterState *copy = NULL;

  gem_sequence_state_truncate(job->sequence, self->prefix);
  if (self->router_after == NULL) {
    /* It gave its memory back before it could be copied: what is remembered now is of another label, too. It
     * is made again from the prefix. */
    gem_sequence_state_set_router(job->runtime, job->sequence, NULL);
    return TRUE;
  }
  copy = job->runtime->router_functions->state_copy(job->runtime->router, self->router_after);
  if (copy == NULL) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for the router's state");
    return FALSE;
  }
  gem_sequence_state_set_router(job->runtime, job->sequence, copy);
  return TRUE;
}

/* The fork where labels part at once: the prefix's last row answers it. As many as there are: none. */
static guint
find_first_fork(const GemLabelTree *tree)
{
  guint n = gem_label_tree_n_forks(tree);

  for (guint i = 0; i < n; i++) {
    guint depth;

    gem_label_tree_get_path(tree, i, &depth);
    if (depth == 0) {
      return i;
    }
  }
  return n;
}

static gboolean
classify_prepare(GemJob *job, GError **error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  self->prefix = self->base.run.prompt->tokens->len;
  self->fork = find_first_fork(self->tree);
  job->outputs_from = self->prefix - 1;
  return gem_one_shot_prepare(job, error);
}

/* Appends the tokens that lead to a fork. */
static gboolean
start_fork(ClassifyJob *self, const guint32 *path, guint depth, GError **error)
{
  GemJob *job = &self->base.job;

  if (self->longer && !wind_back(self, error)) {
    return FALSE;
  }
  self->longer = TRUE;
  job->outputs_from = self->prefix + depth - 1;
  return gem_sequence_state_append(job->runtime, job->sequence, path, depth, &self->base.run.routing, NULL,
                                   error);
}

static gboolean
classify_advance(GemJob *job, GError **error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  if (!self->longer && self->router_after == NULL) {
    self->router_after = gem_sequence_state_copy_router(job->runtime, job->sequence);
    if (self->router_after == NULL && job->sequence->router_state != NULL) {
      g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for the router's state");
      return FALSE;
    }
    job->runtime->sequence_bytes += bytes_of_copy(self);
  }
  while (self->next < gem_label_tree_n_forks(self->tree)) {
    guint depth;
    const guint32 *path = gem_label_tree_get_path(self->tree, self->next, &depth);

    self->fork = self->next++;
    if (depth > 0) {
      return start_fork(self, path, depth, error);
    }
  }
  self->base.result = gem_label_tree_get_probabilities(self->tree, error);
  if (self->base.result == NULL) {
    return FALSE;
  }
  self->base.destroy = (GDestroyNotify)g_array_unref;
  job->done = TRUE;
  return TRUE;
}

static void
classify_end(GemJob *job, GError *error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  if (self->router_after != NULL) {
    job->runtime->sequence_bytes -= bytes_of_copy(self);
    job->runtime->router_functions->state_free(job->runtime->router, self->router_after);
  }
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
