#include "training/experiment/gem-experiment.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#include "training/adapt/gem-adapt-folder.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/network/gem-presets.h"

#define POSITIONS 512

const char *
gem_experiment_ask_template(const GemExperiment *self)
{
  const GemModelShape *shape = &self->model->backbone->shape;
  return shape->ask_template != NULL ? shape->ask_template : GEM_PRESET_ASK_TEMPLATE;
}

/* ---- reading ---- */

static gboolean
find_domains(GemExperiment *self, GError **error)
{
  const GemModelShape *shape = &self->model->backbone->shape;
  const char *const *wanted = self->options->domains;
  for (guint i = 0; wanted != NULL && wanted[i] != NULL; i++) {
    if (!g_strv_contains((const char *const *)shape->domains, wanted[i])) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--domains: %s has no domain %s",
                  self->options->model, wanted[i]);
      return FALSE;
    }
  }
  for (gint8 d = 0; (guint)d < shape->n_domains; d++) {
    if (wanted == NULL || g_strv_contains(wanted, shape->domains[d])) {
      g_array_append_val(self->domains, d);
    }
  }
  if (self->domains->len < 2) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--domains: a sequence of adaptations has two domains at least");
    return FALSE;
  }
  return TRUE;
}

static gboolean
load_model(GemExperiment *self, GError **error)
{
  const char *path = self->options->model;
  g_autofree char *router = g_build_filename(path, "router.gguf", NULL);
  self->files = gem_model_files_open(path, error);
  if (self->files == NULL) {
    return FALSE;
  }
  self->model = gem_backbone_checkpoint_load(path, POSITIONS, error);
  if (self->model == NULL || !find_domains(self, error) ||
      !gem_adapt_folder_read_types(self->files, &self->types, error)) {
    return FALSE;
  }
  self->router = gem_router_checkpoint_load(router, POSITIONS, error);
  return self->router != NULL;
}

static gboolean
load_text(GemExperiment *self, GError **error)
{
  const GemModelShape *shape = &self->model->backbone->shape;
  const char *const *domains = (const char *const *)shape->domains;
  const char *ask = gem_experiment_ask_template(self);
  const GemCorpusOptions corpus = {.folder = self->options->data,
                                   .split = GEM_SPLIT_TRAIN,
                                   .corpus = TRUE,
                                   .tasks = (self->options->kinds & (GEM_ADAPT_TAPT | GEM_ADAPT_TASK)) != 0,
                                   .all_licences = TRUE,
                                   .forks = TRUE,
                                   .most_documents = self->options->documents,
                                   .ask_template = ask};
  const GemChoiceTasksOptions tasks = {.folder = self->options->data,
                                       .domains = domains,
                                       .file = "dev.jsonl",
                                       .most_items = self->options->items,
                                       .longest = POSITIONS,
                                       .ask_template = ask};
  self->tasks = gem_choice_tasks_load(&tasks, self->model->tokenizer, error);
  if (self->tasks == NULL) {
    return FALSE;
  }
  for (guint t = self->tasks->len; t-- > 0;) {
    gboolean meant = FALSE;
    for (guint i = 0; i < self->domains->len; i++) {
      meant |= ((GemChoiceTask *)self->tasks->pdata[t])->domain == g_array_index(self->domains, gint8, i);
    }
    if (!meant) {
      g_ptr_array_remove_index(self->tasks, t);
    }
  }
  self->corpus = gem_corpus_load(&corpus, domains, self->model->tokenizer, error);
  return self->corpus != NULL;
}

static void
digest_array(GChecksum *digest, const GArray *array)
{
  g_checksum_update(digest, (const guchar *)array->data,
                    (gssize)((gsize)array->len * g_array_get_element_size((GArray *)array)));
}

/* Of what is scored and of what is learned, as tokens. */
static char *
digest_text(const GemExperiment *self)
{
  g_autoptr(GChecksum) digest = g_checksum_new(G_CHECKSUM_SHA256);
  for (guint t = 0; t < self->tasks->len; t++) {
    const GemChoiceTask *task = self->tasks->pdata[t];
    g_checksum_update(digest, (const guchar *)task->name, -1);
    for (guint i = 0; i < task->items->len; i++) {
      const GemChoiceItem *item = task->items->pdata[i];
      digest_array(digest, item->prompt);
      digest_array(digest, item->choices);
      digest_array(digest, item->starts);
      g_checksum_update(digest, (const guchar *)&item->right, sizeof item->right);
    }
  }
  for (guint s = 0; s < self->corpus->sources->len; s++) {
    const GemSource *source = self->corpus->sources->pdata[s];
    g_checksum_update(digest, (const guchar *)source->name, -1);
    digest_array(digest, source->tokens);
    for (guint i = 0; i < source->documents->len; i++) {
      const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
      const guint64 bounds[] = {document->first, document->length, document->answer};
      g_checksum_update(digest, (const guchar *)bounds, sizeof bounds);
    }
  }
  return g_strdup(g_checksum_get_string(digest));
}

static void
digest_floats(GChecksum *digest, const float *values, gsize n)
{
  g_checksum_update(digest, (const guchar *)(gconstpointer)values, (gssize)(n * sizeof(float)));
}

/* Of all that the scores depend on: weights, centroids, the router, and what of the shape no tensor shows. */
static char *
digest_model(const GemExperiment *self)
{
  const GemBackbone *backbone = self->model->backbone;
  const GemRouterNetwork *router = self->router->network;
  const guint32 window = backbone->shape.window, successors = backbone->shape.successors;
  const double threshold = backbone->shape.router_threshold;
  g_autoptr(GChecksum) digest = g_checksum_new(G_CHECKSUM_SHA256);
  digest_floats(digest, self->model->values, backbone->parameters->size);
  digest_floats(digest, self->model->centroids->values,
                gem_backbone_n_centroids(backbone) * (gsize)backbone->shape.width);
  digest_floats(digest, self->router->values, router->parameters->size);
  g_checksum_update(digest, (const guchar *)&window, sizeof window);
  g_checksum_update(digest, (const guchar *)&threshold, sizeof threshold);
  if (successors) { /* folders of before this key go on */
    g_checksum_update(digest, (const guchar *)&successors, sizeof successors);
  }
  return g_strdup(g_checksum_get_string(digest));
}

static char *
make_signature(const GemExperiment *self)
{
  const GemExperimentOptions *o = self->options;
  const char *engine = gem_matmul_is_rounded() ? "bf16" : "fp32";
  g_autofree char *text_digest = digest_text(self);
  g_autofree char *domains = o->domains != NULL ? g_strjoinv(",", (char **)o->domains) : g_strdup("all");
  g_autofree char *model = digest_model(self);
  g_autofree char *text = g_strdup_printf(
      "%.16s %s kinds=%d items=%" G_GSIZE_FORMAT " transfer=%" G_GSIZE_FORMAT " documents=%" G_GSIZE_FORMAT
      " text=%.16s matmul=%s router-steps=%u steps=%u batch=%u replay=%u sequence=%u lanes=%u rate=%g "
      "dense-rate=%g plain-rate=%g",
      model, domains, (int)o->kinds, o->items, o->transfer_items, o->documents, text_digest, engine,
      o->router_steps, o->steps, o->batch_tokens, o->replay_tokens, o->sequence, o->lanes, o->rate,
      o->dense_rate, o->plain_rate);
  return g_steal_pointer(&text);
}

/* Results of other options are never mixed in: the work folder says of which its own are. */
static gboolean
claim_work(const GemExperiment *self, GError **error)
{
  g_autofree char *path = g_build_filename(self->options->work, "options", NULL), *found = NULL;
  if (g_mkdir_with_parents(self->options->work, 0755) != 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: cannot make the folder: %s", self->options->work,
                g_strerror(errno));
    return FALSE;
  }
  g_autoptr(GError) cause = NULL;
  if (!g_file_get_contents(path, &found, NULL, &cause)) {
    if (g_error_matches(cause, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
      return g_file_set_contents(path, self->signature, -1, error);
    }
    g_propagate_error(error, g_steal_pointer(&cause)); /* whose results are there is not known */
    return FALSE;
  }
  if (strcmp(found, self->signature) != 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s has results of other options (%s); take another --work", self->options->work, found);
    return FALSE;
  }
  return TRUE;
}

GemExperiment *
gem_experiment_new(const GemExperimentOptions *options, GError **error)
{
  g_autoptr(GemExperiment) self = g_new0(GemExperiment, 1);
  self->options = options;
  self->domains = g_array_new(FALSE, FALSE, sizeof(gint8));
  self->lanes = gem_lanes_new(options->lanes);
  if (!load_model(self, error) || !load_text(self, error)) {
    return NULL;
  }
  self->signature = make_signature(self);
  return claim_work(self, error) ? g_steal_pointer(&self) : NULL;
}

void
gem_experiment_free(GemExperiment *self)
{
  g_free(self->signature);
  g_clear_pointer(&self->files, gem_model_files_free);
  g_clear_pointer(&self->model, gem_backbone_checkpoint_free);
  g_clear_pointer(&self->router, gem_router_checkpoint_free);
  g_clear_pointer(&self->corpus, gem_corpus_free);
  g_clear_pointer(&self->tasks, g_ptr_array_unref);
  g_array_unref(self->domains);
  gem_lanes_free(self->lanes);
  g_free(self);
}

void
gem_experiment_order(const GemExperiment *self, guint seed, guint *stages)
{
  GemRandom random = gem_random_seeded(seed, 0x0bde5);
  guint n = self->domains->len;
  for (guint i = 0; i < n; i++) {
    stages[i] = i + 1;
  }
  for (guint i = n; i > 1; i--) {
    guint j = (guint)gem_random_below(&random, i), kept = stages[i - 1];
    stages[i - 1] = stages[j];
    stages[j] = kept;
  }
}

char *
gem_experiment_stage_path(const GemExperiment *self, const char *variation, guint seed, guint stage)
{
  /* the start is the same for all seeds */
  g_autofree char *name = g_strdup_printf("%s-%u-%u.json", variation, stage > 0 ? seed : 1, stage);
  return g_build_filename(self->options->work, name, NULL);
}
