/* `gem-train adapt`: a domain of a model learns further (model.md, "Training", 3). */
#include <string.h>

#include "training/adapt/gem-adapt-data.h"
#include "training/adapt/gem-adapt-folder.h"
#include "training/adapt/gem-adapt-router.h"
#include "training/adapt/gem-adapt-row-data.h"
#include "training/adapt/gem-adaptation.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/commands/gem-train-options.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-checkpoint.h"
#include "training/network/gem-progress.h"

#define POSITIONS 512

typedef struct {
  char *model, *data, *domain, *tasks, *mode, *kind, *output, *name, *checkpoint, *term, *matmul;
  gint steps, warm_up, batch_tokens, replay_tokens, sequence, lanes, documents, clusters;
  gint64 seed;
  double rate, weight_decay, distill, contrast, temperature, quantization, checkpoint_minutes;
  gboolean router, all_licences, resume;
} Options;

static void
options_clear(Options *self)
{
  g_free(self->model);
  g_free(self->data);
  g_free(self->domain);
  g_free(self->tasks);
  g_free(self->mode);
  g_free(self->kind);
  g_free(self->output);
  g_free(self->name);
  g_free(self->checkpoint);
  g_free(self->term);
  g_free(self->matmul);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* The options as the library takes them, and the model and the text that they are about. */
typedef struct {
  const Options *options;
  GemAdaptOptions adapt;
  GemAdaptKinds kinds;
  gint8 domain;
  GemModelFiles *files;
  GemBackboneCheckpoint *model;
  GemRouterCheckpoint *router; /* NULL unless its row learns */
  GemCorpus *corpus, *replay_corpus;
  GArray *texts, *replay; /* of GemAdaptText */
  GemProgress *progress;
  GCancellable *cancellable;
} Command;

static void
command_clear(Command *self)
{
  g_clear_pointer(&self->files, gem_model_files_free);
  g_clear_pointer(&self->model, gem_backbone_checkpoint_free);
  g_clear_pointer(&self->router, gem_router_checkpoint_free);
  g_clear_pointer(&self->corpus, gem_corpus_free);
  g_clear_pointer(&self->replay_corpus, gem_corpus_free);
  g_clear_pointer(&self->texts, g_array_unref);
  g_clear_pointer(&self->replay, g_array_unref);
  g_clear_pointer(&self->progress, gem_progress_free);
  g_clear_object(&self->cancellable);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Command, command_clear)

/* ---- what the command line says ---- */

static gboolean
parse_mode(const char *mode, GemAdaptOptions *adapt, GError **error)
{
  if (strcmp(mode, "akp") == 0) {
    gem_adapt_options_init(adapt, GEM_LEARNS_RESIDUAL);
  } else if (strcmp(mode, "akp-dense") == 0) {
    gem_adapt_options_init(adapt, GEM_LEARNS_GENERAL);
  } else if (strcmp(mode, "plain") == 0) {
    gem_adapt_options_init(adapt, GEM_LEARNS_GENERAL);
    gem_adapt_options_make_plain(adapt);
  } else {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--mode=%s: there are akp, akp-dense and plain", mode);
    return FALSE;
  }
  return TRUE;
}

static gboolean
parse_term(const char *term, GemQuantizationTerm *ret_term, GError **error)
{
  const char *const names[] = {"none", "gradient", "decoupled"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    if (strcmp(term, names[i]) == 0) {
      *ret_term = (GemQuantizationTerm)i;
      return TRUE;
    }
  }
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
              "--quantization-term=%s: there are none, gradient and decoupled", term);
  return FALSE;
}

/* What the command line leaves open is the mode's default. */
static gboolean
fill_options(const Options *options, GemAdaptOptions *adapt, GError **error)
{
  if (!parse_mode(options->mode != NULL ? options->mode : "akp", adapt, error)) {
    return FALSE;
  }
  gboolean plain = g_strcmp0(options->mode, "plain") == 0;
  adapt->steps = (guint64)options->steps;
  adapt->warm_up = (guint64)options->warm_up;
  adapt->seed = (guint64)options->seed;
  adapt->lanes = (guint)options->lanes;
  adapt->sequence = (guint)options->sequence;
  adapt->batch_tokens = (guint)options->batch_tokens;
  adapt->weight_decay = options->weight_decay;
  adapt->rate = options->rate > 0.0 ? options->rate : adapt->rate;
  adapt->power = 0.5;
  if (plain) {
    return TRUE;
  }
  adapt->replay_tokens = (guint)options->replay_tokens;
  adapt->distill = options->distill;
  adapt->contrast = options->contrast;
  adapt->temperature = options->temperature;
  adapt->quantization = options->quantization;
  return options->term == NULL || parse_term(options->term, &adapt->quantization_term, error);
}

static gboolean
parse_kinds(const Options *options, GemAdaptKinds *ret_kinds, GError **error)
{
  const char *kind = options->kind != NULL ? options->kind : "dapt";
  if (!gem_adapt_kinds_parse(kind, ret_kinds, error)) {
    return FALSE;
  }
  if (options->tasks != NULL && (*ret_kinds & (GEM_ADAPT_TAPT | GEM_ADAPT_TASK)) == 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--tasks: --kind=%s reads no tasks; tapt and task do", kind);
    return FALSE;
  }
  return TRUE;
}

static gboolean
find_domain(Command *self, GError **error)
{
  const GemModelShape *shape = &self->model->backbone->shape;
  for (guint d = 0; d < shape->n_domains; d++) {
    if (strcmp(shape->domains[d], self->options->domain) == 0) {
      self->domain = self->adapt.domain = (gint8)d;
      return TRUE;
    }
  }
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--domain=%s: %s has no such domain",
              self->options->domain, self->options->model);
  return FALSE;
}

static gboolean
find_clusters(Command *self, GError **error)
{
  const GemModelShape *shape = &self->model->backbone->shape;
  guint wanted = (guint)self->options->clusters;
  self->adapt.cluster_set = shape->n_cluster_sets > 0 ? 0 : -1;
  for (guint i = 0; wanted > 0 && i < shape->n_cluster_sets; i++) {
    if (shape->clusters[i] == wanted) {
      self->adapt.cluster_set = (int)i;
      return TRUE;
    }
  }
  if (wanted > 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--clusters=%u: the model has no such set",
                wanted);
    return FALSE;
  }
  return TRUE;
}

/* ---- text ---- */

/* Of the domain itself: only what is learned. */
static gboolean
wants_text(const char *source, gboolean is_task, gpointer data)
{
  const Command *self = data;
  if (!is_task) {
    return strcmp(source, self->options->domain) == 0 && (self->kinds & GEM_ADAPT_DAPT);
  }
  g_autofree char *prefix = g_strconcat(self->options->domain, "/", NULL);
  return g_str_has_prefix(source, prefix) && (self->kinds & (GEM_ADAPT_TAPT | GEM_ADAPT_TASK));
}

static gboolean
wants_replay(const char *source, gboolean is_task, gpointer data)
{
  const Command *self = data;
  return !is_task && strcmp(source, self->options->domain) != 0;
}

static const char *
ask_template(const Command *self)
{
  const GemModelShape *shape = &self->model->backbone->shape;
  return shape->ask_template != NULL ? shape->ask_template : GEM_PRESET_ASK_TEMPLATE;
}

static GemCorpus *
load_corpus(Command *self, gboolean replay, GError **error)
{
  const GemModelShape *shape = &self->model->backbone->shape;
  const GemCorpusOptions options = {.folder = self->options->data,
                                    .split = GEM_SPLIT_TRAIN,
                                    .corpus = TRUE,
                                    .tasks = !replay,
                                    .all_licences = self->options->all_licences,
                                    .most_documents = replay ? 1000 : (gsize)self->options->documents,
                                    .ask_template = ask_template(self),
                                    .wants = replay ? wants_replay : wants_text,
                                    .data = self};
  return gem_corpus_load(&options, (const char *const *)shape->domains, self->model->tokenizer, error);
}

static gboolean
check_tasks(const Command *self, const char *const *tasks, GError **error)
{
  if (!gem_adapt_data_check_tasks(self->corpus, self->domain, tasks, error)) {
    g_prefix_error(error, "%s: --tasks: %s: ", self->options->data, self->options->domain);
    return FALSE;
  }
  return TRUE;
}

static gboolean
load_text(Command *self, GError **error)
{
  const char *names = self->options->tasks;
  g_auto(GStrv) tasks = names != NULL ? g_strsplit(*names != '\0' ? names : ",", ",", -1) : NULL;
  self->corpus = load_corpus(self, FALSE, error);
  if (self->corpus == NULL || (tasks != NULL && !check_tasks(self, (const char *const *)tasks, error))) {
    return FALSE;
  }
  self->texts = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  gem_adapt_data_add_texts(self->texts, self->corpus, self->domain, self->kinds, (const char *const *)tasks);
  if (self->texts->len == 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING, "%s: no text of %s to learn from%s",
                self->options->data, self->options->domain, self->options->tasks ? " in these tasks" : "");
    return FALSE;
  }
  self->replay = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  if (self->adapt.replay_tokens > 0 || self->options->router) {
    self->replay_corpus = load_corpus(self, TRUE, error);
    if (self->replay_corpus == NULL) {
      return FALSE;
    }
    gem_adapt_data_add_replay(self->replay, self->replay_corpus, self->domain);
  }
  g_printerr("%u texts, %u to replay\n", self->texts->len, self->replay->len);
  return TRUE;
}

/* ---- learning ---- */

static void
show_progress(const GemAdaptationProgress *now, gpointer data)
{
  Command *self = data;
  g_autofree char *more = g_strdup_printf("distillation %.4f  contrast %.4f  quantization %.3f",
                                          now->distillation, now->contrast, now->quantization);
  /* the loss of a step is a mean: of one token, as the line's mean takes it */
  gem_progress_step(self->progress, now->step, now->loss * (double)self->adapt.batch_tokens,
                    self->adapt.batch_tokens, now->rate, more);
  if (gem_progress_interrupted()) {
    g_cancellable_cancel(self->cancellable);
  }
}

/* What comes of it bears the mark: the model did, or its text is of any licence. */
static gboolean
is_of_all_licences(const Command *self)
{
  return self->model->all_licences ||
         (self->options->all_licences && (self->kinds & (GEM_ADAPT_TAPT | GEM_ADAPT_TASK)) != 0);
}

/* Of a checkpoint: the digest of the manifest of the model that learns. */
#define MODEL_KEY "gem.adapt.model"

/* What was learned on another model's weights is not gone on with. */
static gboolean
check_model(const Command *self, GemGguf *checkpoint, GError **error)
{
  g_autofree char *digest = gem_gguf_get_string(checkpoint, MODEL_KEY, NULL);
  if (digest == NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s does not tell the model that it was begun with, as of an earlier gem-train; begin anew",
                gem_gguf_get_name(checkpoint));
    return FALSE;
  }
  if (strcmp(digest, gem_manifest_get_digest(self->files->manifest)) != 0) {
    g_set_error(
        error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
        "%s is the checkpoint of another model than %s is now; resume with the model that it was begun with",
        gem_gguf_get_name(checkpoint), self->options->model);
    return FALSE;
  }
  return TRUE;
}

static gboolean
keep_checkpoint(GemGgufWriter *checkpoint, gpointer data, GError **error)
{
  const Command *self = data;
  if (is_of_all_licences(self)) {
    gem_gguf_writer_set_bool(checkpoint, GEM_CHECKPOINT_ALL_LICENCES, TRUE);
  }
  gem_gguf_writer_set_string(checkpoint, MODEL_KEY, gem_manifest_get_digest(self->files->manifest));
  return gem_gguf_writer_write(checkpoint, self->options->checkpoint, error);
}

static gboolean
learn(Command *self, const GemAdaptData *data, GError **error)
{
  const Options *options = self->options;
  g_autoptr(GemGguf) resume = NULL;
  guint64 step = 0;
  if (options->resume) {
    resume = gem_gguf_open(options->checkpoint, error);
    if (resume == NULL || !gem_gguf_get_uint(resume, "train.step", &step, error) ||
        !gem_checkpoint_check_licences(gem_checkpoint_has_mark(resume), options->all_licences,
                                       options->checkpoint, error) ||
        !check_model(self, resume, error)) {
      return FALSE;
    }
    g_printerr("resuming %s at step %" G_GUINT64_FORMAT "\n", options->checkpoint, step);
  }
  self->progress = gem_progress_new("adapt", step, self->adapt.steps);
  self->cancellable = g_cancellable_new();
  const GemAdaptHooks hooks = {.progress = show_progress,
                               .keep = options->checkpoint != NULL ? keep_checkpoint : NULL,
                               .keep_seconds = 60.0 * options->checkpoint_minutes,
                               .cancellable = self->cancellable,
                               .data = self};
  GemAdaptationProgress last = {0};
  if (!gem_adapt_run(self->model->backbone, self->model->centroids->values, self->model->values, data,
                     &self->adapt, &hooks, resume, &last, error)) {
    return FALSE;
  }
  g_printerr("%" G_GSIZE_FORMAT " tokens in %.1f s: %.0f tokens/s\n", last.tokens, last.seconds,
             (double)last.tokens / MAX(last.seconds, 1e-9));
  return TRUE;
}

/* The classifier's row of the domain; NULL when it is not to learn. */
static gboolean
learn_row(Command *self, const GemAdaptData *data, float **ret_row, GError **error)
{
  if (self->router == NULL) {
    *ret_row = NULL;
    return TRUE;
  }
  GemAdaptRowOptions options = gem_adapt_row_options_default;
  options.replaced = self->domain;
  options.bias = FALSE;
  options.seed = self->adapt.seed;
  GemAdaptRowFigures figures;
  g_auto(GemAdaptRowData) row_data = {0};
  g_autofree float *row = g_new0(float, (gsize)self->router->network->shape.width + 1);
  if (!gem_adapt_row_data_init(&row_data, data, self->model->tokenizer, ask_template(self), options.seed,
                               error) ||
      !gem_adapt_router_row(self->router->network, self->router->values, &row_data.data, &options,
                            self->model->backbone->shape.router_threshold, row, &figures, error)) {
    return FALSE;
  }
  g_printerr("router: loss %.4f, %.1f %% of the tokens routed, %.2f %% of other domains' lost\n",
             figures.loss, 100.0 * figures.own_share, 100.0 * figures.lost_share);
  *ret_row = g_steal_pointer(&row);
  return TRUE;
}

static gboolean
open_model(Command *self, GError **error)
{
  const Options *options = self->options;
  self->files = gem_model_files_open(options->model, error);
  if (self->files == NULL) {
    return FALSE;
  }
  if (self->files->manifest == NULL || self->files->router == NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--model=%s: a model folder with domains is needed", options->model);
    return FALSE;
  }
  self->model = gem_backbone_checkpoint_load(options->model, POSITIONS, error);
  if (self->model == NULL ||
      !gem_checkpoint_check_licences(self->model->all_licences, options->all_licences, options->model,
                                     error) ||
      !find_domain(self, error) || !find_clusters(self, error) ||
      !gem_adapt_folder_read_types(self->files, &self->adapt.types, error)) {
    return FALSE;
  }
  if (options->router) {
    g_autofree char *path = g_build_filename(options->model, "router.gguf", NULL);
    self->router = gem_router_checkpoint_load(path, POSITIONS, error);
  }
  return !options->router || self->router != NULL;
}

static gboolean
adapt(const Options *options, GError **error)
{
  g_auto(Command) self = {.options = options};
  g_autofree float *row = NULL;
  if (!fill_options(options, &self.adapt, error) || !parse_kinds(options, &self.kinds, error) ||
      !gem_matmul_select(options->matmul != NULL ? options->matmul : "auto", error) ||
      !open_model(&self, error) || !load_text(&self, error)) {
    return FALSE;
  }
  const GemAdaptData data = {.texts = (const GemAdaptText *)(gpointer)self.texts->data,
                             .n_texts = self.texts->len,
                             .replay = (const GemAdaptText *)(gpointer)self.replay->data,
                             .n_replay = self.replay->len,
                             .bos = gem_tokenizer_bos(self.model->tokenizer)};
  if (!learn(&self, &data, error) || !learn_row(&self, &data, &row, error)) {
    return FALSE;
  }
  const GemExport export = {.backbone = self.model->backbone,
                            .values = self.model->values,
                            .centroids = self.model->centroids,
                            .tokenizer = self.model->tokenizer,
                            .name = options->name != NULL ? options->name : self.files->name,
                            .all_licences = is_of_all_licences(&self)};
  return gem_adapt_folder_write(self.files, &export, &self.adapt.types, self.adapt.learns, self.domain, row,
                                options->output, error);
}

/* ---- command line ---- */

static gboolean
check(Options *self, GError **error)
{
  gem_train_options_default_data(&self->data);
  if (self->resume && !gem_train_options_need("checkpoint", self->checkpoint, error)) {
    return FALSE;
  }
  return gem_train_options_need("model", self->model, error) &&
         gem_train_options_need("data", self->data, error) &&
         gem_train_options_need("domain", self->domain, error) &&
         gem_train_options_need("output", self->output, error) &&
         gem_train_options_check("steps", self->steps, 1, 1e7, error) &&
         gem_train_options_check("warm-up", self->warm_up, 0, 1e7, error) &&
         gem_train_options_check("rate", self->rate, 0.0, 1.0, error) &&
         gem_train_options_check("weight-decay", self->weight_decay, 0.0, 1.0, error) &&
         gem_train_options_check("sequence", self->sequence, 16, POSITIONS, error) &&
         gem_train_options_check("batch-tokens", self->batch_tokens, self->sequence, 1 << 20, error) &&
         gem_train_options_check("replay-tokens", self->replay_tokens, 0, 1 << 20, error) &&
         (self->replay_tokens == 0 ||
          gem_train_options_check("replay-tokens", self->replay_tokens, self->sequence, 1 << 20, error)) &&
         gem_train_options_check("documents", self->documents, 0, 1e9, error) &&
         gem_train_options_check("lanes", self->lanes, 1, 64, error) &&
         gem_train_options_check("clusters", self->clusters, 0, 256, error) &&
         gem_train_options_check("seed", (double)self->seed, 0, GEM_TRAIN_MOST_SEED, error) &&
         gem_train_options_check("distill", self->distill, 0.0, 1e3, error) &&
         gem_train_options_check("contrast", self->contrast, 0.0, 1e3, error) &&
         gem_train_options_check("temperature", self->temperature, 1e-3, 1e3, error) &&
         gem_train_options_check("quantization", self->quantization, 0.0, 1e3, error) &&
         gem_train_options_check("checkpoint-minutes", self->checkpoint_minutes, 0.0, 1e6, error) &&
         gem_train_options_check_name(self->name, error) &&
         gem_train_options_check_checkpoint(self->checkpoint, self->resume, error) &&
         gem_train_options_check_output(self->output, self->model, error);
}

static gboolean
parse(Options *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"model", 0, 0, G_OPTION_ARG_FILENAME, &self->model, "The model folder to start from", "DIR"},
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &self->data,
       "Folder with corpus/, tasks/ and manifest.json ($GEM_DATA)", "DIR"},
      {"domain", 0, 0, G_OPTION_ARG_STRING, &self->domain, "The domain that learns", "NAME"},
      {"tasks", 0, 0, G_OPTION_ARG_STRING, &self->tasks, "Of its tasks only these", "NAME,..."},
      {"mode", 0, 0, G_OPTION_ARG_STRING, &self->mode, "akp (default), akp-dense or plain", "NAME"},
      {"kind", 0, 0, G_OPTION_ARG_STRING, &self->kind, "dapt (default), tapt, task, or several joined by +",
       "NAME"},
      {"router", 0, 0, G_OPTION_ARG_NONE, &self->router, "The router's row of the domain learns, too", NULL},
      {"output", 0, 0, G_OPTION_ARG_FILENAME, &self->output, "The model folder to write", "DIR"},
      {"name", 0, 0, G_OPTION_ARG_STRING, &self->name, "The model's name there; without: as it was", "NAME"},
      {"checkpoint", 0, 0, G_OPTION_ARG_FILENAME, &self->checkpoint, "Where the state is kept", "FILE"},
      {"resume", 0, 0, G_OPTION_ARG_NONE, &self->resume, "Go on from the checkpoint", NULL},
      {"checkpoint-minutes", 0, 0, G_OPTION_ARG_DOUBLE, &self->checkpoint_minutes, "Between two checkpoints",
       "M"},
      {"steps", 0, 0, G_OPTION_ARG_INT, &self->steps, "Optimizer steps", "N"},
      {"warm-up", 0, 0, G_OPTION_ARG_INT, &self->warm_up, "Steps of rising rate", "N"},
      {"rate", 0, 0, G_OPTION_ARG_DOUBLE, &self->rate,
       "Peak learning rate; 0: 1e-3 of a residual, 3e-4 of a network", "R"},
      {"weight-decay", 0, 0, G_OPTION_ARG_DOUBLE, &self->weight_decay, "Of matrices", "R"},
      {"sequence", 0, 0, G_OPTION_ARG_INT, &self->sequence, "Longest sequence", "N"},
      {"batch-tokens", 0, 0, G_OPTION_ARG_INT, &self->batch_tokens, "Tokens of a batch, a lane", "N"},
      {"replay-tokens", 0, 0, G_OPTION_ARG_INT, &self->replay_tokens, "Replayed tokens, a lane and step",
       "N"},
      {"documents", 0, 0, G_OPTION_ARG_INT, &self->documents, "Of each source at most; 0: all", "N"},
      {"distill", 0, 0, G_OPTION_ARG_DOUBLE, &self->distill, "Weight of the distillation", "R"},
      {"contrast", 0, 0, G_OPTION_ARG_DOUBLE, &self->contrast, "Weight of the contrast", "R"},
      {"temperature", 0, 0, G_OPTION_ARG_DOUBLE, &self->temperature, "Of the contrast", "R"},
      {"quantization", 0, 0, G_OPTION_ARG_DOUBLE, &self->quantization, "Weight of the quantization term",
       "R"},
      {"quantization-term", 0, 0, G_OPTION_ARG_STRING, &self->term, "decoupled (default), gradient or none",
       "NAME"},
      {"clusters", 0, 0, G_OPTION_ARG_INT, &self->clusters, "SCAR's set of that many; 0: the largest", "N"},
      {"all-licences", 0, 0, G_OPTION_ARG_NONE, &self->all_licences,
       "Tasks that are not permissive, too: for measuring, never for a model that ships", NULL},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &self->seed, "Of the order of the text", "N"},
      {"lanes", 0, 0, G_OPTION_ARG_INT, &self->lanes, "Threads; part of the state", "N"},
      {"matmul", 0, 0, G_OPTION_ARG_STRING, &self->matmul, "auto (default), fp32 or bf16", "NAME"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context =
      g_option_context_new("--model DIR --data DIR --domain NAME --output DIR");
  g_option_context_set_summary(
      context, "A domain learns further: its residual on a frozen backbone, or the whole dense network.");
  gem_train_options_add(context, entries);
  return gem_train_options_parse(context, argc, argv, 0, NULL, error) && check(self, error);
}

int
gem_train_adapt_command(int argc, char **argv)
{
  GemAdaptOptions defaults;
  gem_adapt_options_init(&defaults, GEM_LEARNS_RESIDUAL);
  g_auto(Options) options = {.steps = (gint)defaults.steps,
                             .warm_up = (gint)defaults.warm_up,
                             .batch_tokens = (gint)defaults.batch_tokens,
                             .replay_tokens = (gint)defaults.replay_tokens,
                             .sequence = (gint)defaults.sequence,
                             .lanes = (gint)MAX(g_get_num_processors(), 1),
                             .seed = 1,
                             .weight_decay = defaults.weight_decay,
                             .distill = defaults.distill,
                             .contrast = defaults.contrast,
                             .temperature = defaults.temperature,
                             .quantization = defaults.quantization,
                             .checkpoint_minutes = 5.0};
  g_autoptr(GError) error = NULL;
  gboolean done = parse(&options, argc, argv, &error) && adapt(&options, &error);
  return done ? 0 : gem_train_fail_training("adapt", error, options.checkpoint);
}
