/*
 * Classify: the text is prefilled once in the ask template; each label is then run after it, with cache and
 * router wound back in between.
 */
#include "daemon/engine/gem-oneshot.h"

#include <math.h>
#include <string.h>

#define MIN_LABELS 2u
#define MAX_LABELS 256u

typedef struct {
  GemOneShot base;
  GPtrArray *labels;    /* of GArray of guint32 */
  gsize *label_bytes;   /* [labels] of their text */
  guint prefix;         /* tokens before a label */
  float *prefix_logits; /* [vocab] of the prefix's last token */
  GemRouterState
      *router_after; /* what the router remembers of the prefix; NULL: nothing, or not yet copied */
  guint next;        /* the label that is run next */
  double *sums;      /* [labels] log-likelihood of a label's tokens */
} ClassifyJob;

static GArray *
label_at(const ClassifyJob *self, guint index)
{
  return self->labels->pdata[index];
}

/* The prefix's last row predicts each label's first token; a row of the current label, its next one. */
static void
classify_output(GemJob *job, guint position, const float *logits)
{
  ClassifyJob *self = (ClassifyJob *)job;
  guint vocab = job->runtime->shape->vocab;
  guint token = position + 1 - self->prefix;
  const GArray *label;

  if (position + 1 == self->prefix) {
    memcpy(self->prefix_logits, logits, vocab * sizeof(float));
    return;
  }
  label = label_at(self, self->next - 1);
  self->sums[self->next - 1] += gem_log_likelihood(logits, vocab, g_array_index(label, guint32, token));
}

/* Softmax over the log-likelihoods, each taken to the labels' mean length in bytes: labels of one length are
 * compared by their plain likelihood. Tokens would be no measure of length: a word that the vocabulary
 * happens to cut in two would pass for twice as long. */
static GArray *
make_probabilities(const ClassifyJob *self)
{
  guint n = self->labels->len;
  GArray *probabilities = g_array_sized_new(FALSE, FALSE, sizeof(double), n);
  double largest = -INFINITY;
  double sum = 0;
  double mean_bytes = 0;

  for (guint i = 0; i < n; i++) {
    mean_bytes += (double)self->label_bytes[i] / n;
  }
  for (guint i = 0; i < n; i++) {
    double score = self->sums[i] * mean_bytes / (double)self->label_bytes[i];

    g_array_append_val(probabilities, score);
    largest = fmax(largest, score);
  }
  for (guint i = 0; i < n; i++) {
    double *value = &g_array_index(probabilities, double, i);

    *value = exp(*value - largest);
    sum += *value;
  }
  for (guint i = 0; i < n; i++) {
    g_array_index(probabilities, double, i) /= sum;
  }
  return probabilities;
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

/* Scores the first token of the next label and appends all but its last, which predicts nothing. */
static gboolean
start_label(ClassifyJob *self, GError **error)
{
  GemJob *job = &self->base.job;
  guint index = self->next++;
  const GArray *label = label_at(self, index);

  if (index > 0 && !wind_back(self, error)) {
    return FALSE;
  }
  self->sums[index] =
      gem_log_likelihood(self->prefix_logits, job->runtime->shape->vocab, g_array_index(label, guint32, 0));
  return label->len == 1 ||
         gem_sequence_state_append(job->runtime, job->sequence, (const guint32 *)(gpointer)label->data,
                                   label->len - 1, &self->base.routing, NULL, error);
}

static gboolean
classify_prepare(GemJob *job, GError **error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  self->prefix = self->base.tokens->len;
  self->prefix_logits = g_new(float, job->runtime->shape->vocab);
  job->outputs_from = self->prefix - 1;
  return gem_one_shot_prepare(job, error);
}

static gboolean
classify_advance(GemJob *job, GError **error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  if (self->next == 0) {
    self->router_after = gem_sequence_state_copy_router(job->runtime, job->sequence);
    if (self->router_after == NULL && job->sequence->router_state != NULL) {
      g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, "no memory for the router's state");
      return FALSE;
    }
  }
  if (self->next < self->labels->len) {
    return start_label(self, error);
  }
  self->base.result = make_probabilities(self);
  self->base.destroy = (GDestroyNotify)g_array_unref;
  job->done = TRUE;
  return TRUE;
}

static void
classify_end(GemJob *job, GError *error)
{
  ClassifyJob *self = (ClassifyJob *)job;

  if (self->router_after != NULL) {
    job->runtime->router_functions->state_free(job->runtime->router, self->router_after);
  }
  g_ptr_array_unref(self->labels);
  g_free(self->prefix_logits);
  g_free(self->label_bytes);
  g_free(self->sums);
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

/* Tokens of every label, each of which has to fit after `prefix` tokens. */
static GPtrArray *
encode_labels(GemEngine *engine, const char *const *labels, guint prefix, GError **error)
{
  g_autoptr(GPtrArray) encoded = g_ptr_array_new_with_free_func((GDestroyNotify)gem_wipe_array);

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
  }
  return g_steal_pointer(&encoded);
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
  g_autoptr(GPtrArray) encoded = NULL;
  GemRouting routing;
  guint cluster_set;
  g_autoptr(GTask) task = gem_one_shot_begin(self, options, cancellable, callback, data,
                                             gem_engine_classify_async, &routing, &cluster_set);
  GError *error = NULL;
  ClassifyJob *job;

  if (task == NULL) {
    return;
  }
  if (check_labels(labels, &error) && gem_engine_check_length(self, "the text", text, &error)) {
    tokens = gem_engine_encode(self, self->runtime->shape->ask_template, text, &error);
  }
  if (tokens != NULL && gem_engine_check_fits(self, "the text", tokens->len, &error)) {
    encoded = encode_labels(self, labels, tokens->len, &error);
  }
  if (encoded == NULL) {
    g_task_return_error(task, error);
    return;
  }
  job = g_new0(ClassifyJob, 1);
  job->sums = g_new0(double, encoded->len);
  job->label_bytes = g_new(gsize, encoded->len);
  for (guint i = 0; i < encoded->len; i++) {
    job->label_bytes[i] = strlen(labels[i]);
  }
  job->labels = g_steal_pointer(&encoded);
  routing.causal = TRUE;
  gem_one_shot_submit(&job->base, &class, g_steal_pointer(&task), g_steal_pointer(&tokens), &routing,
                      cluster_set);
}

GArray *
gem_engine_classify_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail(g_task_is_valid(result, self), NULL);
  return g_task_propagate_pointer(G_TASK(result), error);
}
