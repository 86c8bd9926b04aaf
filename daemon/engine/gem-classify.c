/*
 * Classify: the text is prefilled once in the ask template; then the model is asked at each fork of the tree
 * of labels, with cache and router wound back in between.
 */
#include "daemon/engine/gem-label-tree.h"
#include "daemon/engine/gem-oneshot.h"

#define MIN_LABELS 2u
#define MAX_LABELS 256u

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

  self->prefix = self->base.tokens->len;
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
  self->base.result = gem_label_tree_get_probabilities(self->tree);
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

/* Labels are of the answer's language, not of the caller's text, but they are the caller's: errors name them
 * by their place. */
static gboolean
check_labels(const char *const *labels, GError **error)
{
  guint n = labels != NULL ? g_strv_length((GStrv)labels) : 0;
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  if (n < MIN_LABELS || n > MAX_LABELS) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION, "labels: %u of them, there have to be %u..%u", n,
                MIN_LABELS, MAX_LABELS);
    return FALSE;
  }
  for (guint i = 0; i < n; i++) {
    if (labels[i][0] == '\0') {
      g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION, "labels: label %u is empty", i + 1);
      return FALSE;
    }
    if (!g_hash_table_add(seen, (gpointer)labels[i])) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION, "labels: label %u stands there twice", i + 1);
      return FALSE;
    }
  }
  return TRUE;
}

/* A label that begins another one is only told from it by the end of the text. */
static gboolean
check_nested(const char *const *labels, GError **error)
{
  for (guint i = 0; labels[i] != NULL; i++) {
    for (guint j = 0; labels[j] != NULL; j++) {
      if (i != j && g_str_has_prefix(labels[j], labels[i])) {
        g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION,
                    "labels: label %u begins label %u, and the model has no token for the end of a text",
                    i + 1, j + 1);
        return FALSE;
      }
    }
  }
  return TRUE;
}

/* The labels' tokens, each ended by the end of a text; every label has to fit after `prefix` tokens. */
static GemLabelTree *
make_tree(GemEngine *engine, const char *const *labels, guint prefix, GError **error)
{
  g_autoptr(GPtrArray) encoded = g_ptr_array_new_with_free_func((GDestroyNotify)gem_wipe_array);
  guint32 end = gem_tokenizer_eos(engine->runtime->tokenizer);

  if (end == G_MAXUINT32 && !check_nested(labels, error)) {
    return NULL;
  }
  for (guint i = 0; labels[i] != NULL; i++) {
    GArray *tokens = gem_engine_encode_plain(engine, labels[i], NULL, error);

    if (tokens == NULL) {
      g_prefix_error(error, "labels: label %u: ", i + 1);
      return NULL;
    }
    g_ptr_array_add(encoded, tokens);
    if (!gem_engine_check_fits(engine, "the text with its longest label", prefix + tokens->len, error)) {
      return NULL;
    }
    g_array_append_val(tokens, end);
  }
  return gem_label_tree_new(g_steal_pointer(&encoded));
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
  g_autoptr(GemTokenArray) tokens = NULL;
  g_autoptr(GemLabelTree) tree = NULL;
  GemOneShotRun run;
  g_autoptr(GTask) task =
      gem_one_shot_begin(self, options, cancellable, callback, data, gem_engine_classify_async, &run);
  GError *error = NULL;
  ClassifyJob *job;

  if (task == NULL) {
    return;
  }
  if (check_labels(labels, &error) && gem_engine_check_length(self, "the text", text, &error)) {
    tokens = gem_engine_encode(self, self->runtime->shape->ask_template, text, &error);
  }
  if (tokens != NULL && gem_engine_check_fits(self, "the text", tokens->len, &error)) {
    tree = make_tree(self, labels, tokens->len, &error);
  }
  if (tree == NULL) {
    g_task_return_error(task, error);
    return;
  }
  job = g_new0(ClassifyJob, 1);
  job->tree = g_steal_pointer(&tree);
  run.routing.causal = TRUE;
  gem_one_shot_submit(&job->base, &class, g_steal_pointer(&task), g_steal_pointer(&tokens), &run);
}

GArray *
gem_engine_classify_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail(g_task_is_valid(result, self), NULL);
  return g_task_propagate_pointer(G_TASK(result), error);
}
