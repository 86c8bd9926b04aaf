/* `gem-train perplexity`: held-out perplexity by domain: with the domain's own pathway, with general alone,
 * and with the router's routes. */
#include <math.h>
#include <string.h>

#include "training/gem-checkpoint.h"
#include "training/gem-corpus.h"
#include "training/gem-lanes.h"
#include "training/gem-matmul.h"
#include "training/gem-presets.h"
#include "training/gem-train.h"

/* Tokens of a document that are looked at: of a data folder its beginning, as in training; of a text all of
 * it, up to the context that the service has by default. */
#define LONGEST      512
#define LONGEST_TEXT 2048

typedef enum { ROUTES_OWN, ROUTES_GENERAL, ROUTES_ROUTER, N_ROUTES } Routes;

typedef struct {
  char *model, *data, *text, *domain, *tokenizer, *router, *matmul;
  gint documents, clusters;
  gboolean tasks, dense;
} PerplexityOptions;

typedef struct {
  double loss[N_ROUTES];
  gsize tokens;
} Sums;

typedef struct {
  const PerplexityOptions *options;
  const GemBackboneCheckpoint *model;
  const GemRouterCheckpoint *router; /* may be NULL */
  const GemCorpus *corpus;
  GemLanes *lanes;
  guint longest;
  int cluster_set;
  Sums *sums; /* [lane][source] */
} Measurement;

/* Sets the routes of a batch of one document. Perplexity routes causally, so that nothing looks ahead. */
static void
set_routes(const Measurement *self, Routes routes, gint8 own, GemRouterPass *router_pass, GemBatch *batch)
{
  if (routes == ROUTES_ROUTER) {
    batch->prefix[0] = 0;
    gem_router_network_run(self->router->network, self->router->values, batch, 0.0f, router_pass, NULL);
    gem_router_pass_routes(self->router->network, router_pass, self->model->backbone->shape.router_threshold,
                           batch);
  } else {
    memset(batch->route, routes == ROUTES_OWN ? own : GEM_ROUTE_GENERAL, batch->n);
  }
}

static void
measure_lane(guint lane, gpointer data)
{
  const Measurement *self = data;
  gboolean with_domains = self->model->backbone->shape.n_domains > 0;
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new(self->model->backbone);
  g_autoptr(GemRouterPass) router_pass = self->router ? gem_router_pass_new(self->router->network) : NULL;
  g_autoptr(GemBatch) batch = gem_batch_new(self->longest);
  for (guint s = 0; s < self->corpus->sources->len; s++) {
    const GemSource *source = self->corpus->sources->pdata[s];
    Sums *sums = &self->sums[lane * self->corpus->sources->len + s];
    for (guint i = lane; i < source->documents->len; i += gem_lanes_count(self->lanes)) {
      const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
      gem_batch_clear(batch);
      gem_batch_append(batch, &g_array_index(source->tokens, guint32, document->first),
                       MIN(document->length, self->longest), GEM_ROUTE_GENERAL, 1.0f);
      GemLoss loss = {0};
      for (Routes routes = ROUTES_OWN; routes < N_ROUTES; routes++) {
        if (routes != ROUTES_GENERAL &&
            (!with_domains || (routes == ROUTES_ROUTER && self->router == NULL))) {
          continue;
        }
        set_routes(self, routes, source->domain, router_pass, batch);
        gem_backbone_run(self->model->backbone, self->model->values, self->model->centroids->values,
                         self->cluster_set, batch, 1.0f, pass, NULL, NULL, &loss);
        sums->loss[routes] += loss.loss;
      }
      sums->tokens += loss.tokens;
    }
  }
}

static void
print_row(const char *name, const Sums *sums, gboolean with_domains, gboolean with_router)
{
  double tokens = (double)MAX(sums->tokens, 1);
  g_print("%-36s %10" G_GSIZE_FORMAT, name, sums->tokens);
  if (with_domains) {
    g_print(" %12.3f", exp(sums->loss[ROUTES_OWN] / tokens));
  }
  g_print(" %12.3f", exp(sums->loss[ROUTES_GENERAL] / tokens));
  if (with_router) {
    g_print(" %12.3f", exp(sums->loss[ROUTES_ROUTER] / tokens));
  }
  g_print("\n");
}

/* What all lanes have of a source. */
static Sums
add_lanes(const Measurement *self, guint source)
{
  Sums sums = {0};
  for (guint lane = 0; lane < gem_lanes_count(self->lanes); lane++) {
    const Sums *part = &self->sums[lane * self->corpus->sources->len + source];
    sums.tokens += part->tokens;
    for (guint r = 0; r < N_ROUTES; r++) {
      sums.loss[r] += part->loss[r];
    }
  }
  return sums;
}

static void
print_heading(gboolean with_domains, gboolean with_router)
{
  g_print("%-36s %10s%s %12s%s\n", "perplexity", "tokens", with_domains ? "  own pathway" : "", "general",
          with_router ? "       router" : "");
}

static void
print_text(const Measurement *self)
{
  gboolean with_domain = self->options->domain != NULL,
           with_router = self->router != NULL && self->model->backbone->shape.n_domains > 0;
  Sums sums = add_lanes(self, 0);
  print_heading(with_domain, with_router);
  print_row(self->options->text, &sums, with_domain, with_router);
}

static void
print_table(const Measurement *self)
{
  gboolean with_domains = self->model->backbone->shape.n_domains > 0,
           with_router = self->router != NULL && with_domains;
  Sums totals[GEM_MAX_DOMAINS + 1] = {0};
  print_heading(with_domains, with_router);
  for (guint s = 0; s < self->corpus->sources->len; s++) {
    const GemSource *source = self->corpus->sources->pdata[s];
    Sums sums = add_lanes(self, s);
    Sums *total = &totals[source->domain == GEM_ROUTE_GENERAL ? GEM_MAX_DOMAINS : source->domain];
    total->tokens += sums.tokens;
    for (guint r = 0; r < N_ROUTES; r++) {
      total->loss[r] += sums.loss[r];
    }
    if (self->options->tasks) {
      print_row(source->name, &sums, with_domains, with_router);
    }
  }
  for (guint d = 0; gem_preset_domains[d] != NULL; d++) {
    print_row(gem_preset_domains[d], &totals[d], with_domains, with_router);
  }
  print_row(GEM_CORPUS_GENERAL, &totals[GEM_MAX_DOMAINS], with_domains, with_router);
}

static gboolean
find_cluster_set(const PerplexityOptions *options, const GemModelShape *shape, int *ret_set, GError **error)
{
  int set = shape->n_cluster_sets > 0 && !options->dense ? 0 : -1;
  for (guint i = 0; set >= 0 && options->clusters != 0 && i < shape->n_cluster_sets; i++) {
    if (shape->clusters[i] == (guint)options->clusters) {
      *ret_set = (int)i;
      return TRUE;
    }
  }
  if (set >= 0 && options->clusters != 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--clusters=%d: the model has no such set",
                options->clusters);
    return FALSE;
  }
  *ret_set = set;
  return TRUE;
}

static GemCorpus *
load_folder(const PerplexityOptions *options, GemTokenizer *tokenizer, GError **error)
{
  GemCorpusOptions corpus_options = {.folder = options->data,
                                     .split = GEM_SPLIT_HELD_OUT,
                                     .corpus = TRUE,
                                     .tasks = options->tasks,
                                     .all_licences = TRUE,
                                     .most_documents = (gsize)options->documents,
                                     .ask_template = GEM_PRESET_ASK_TEMPLATE};
  return gem_corpus_load(&corpus_options, gem_preset_domains, tokenizer, error);
}

static GemCorpus *
load_text(const PerplexityOptions *options,
          const GemModelShape *shape,
          GemTokenizer *tokenizer,
          GError **error)
{
  gint8 domain = GEM_ROUTE_GENERAL;
  for (guint d = 0; options->domain != NULL && d < shape->n_domains; d++) {
    domain = g_str_equal(shape->domains[d], options->domain) ? (gint8)d : domain;
  }
  if (options->domain != NULL && domain == GEM_ROUTE_GENERAL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--domain=%s: the model has no such pathway",
                options->domain);
    return NULL;
  }
  guint left_out = 0;
  GemCorpus *corpus = gem_corpus_load_text(options->text, domain, LONGEST_TEXT, tokenizer, &left_out, error);
  if (corpus != NULL && left_out > 0) {
    g_printerr("%s: %u documents of more than %d tokens left out\n", options->text, left_out, LONGEST_TEXT);
  }
  return corpus;
}

static gboolean
measure(const PerplexityOptions *options, GError **error)
{
  guint longest = options->text != NULL ? LONGEST_TEXT : LONGEST;
  g_autoptr(GemBackboneCheckpoint) model = gem_matmul_select(options->matmul, error)
                                               ? gem_backbone_checkpoint_load(options->model, longest, error)
                                               : NULL;
  if (model == NULL) {
    return FALSE;
  }
  g_autoptr(GemRouterCheckpoint) router =
      options->router ? gem_router_checkpoint_load(options->router, longest, error) : NULL;
  if (options->router != NULL && router == NULL) {
    return FALSE;
  }
  g_autoptr(GemTokenizer) tokenizer = options->tokenizer
                                          ? gem_checkpoint_open_tokenizer(options->tokenizer, error)
                                      : model->tokenizer ? gem_tokenizer_ref(model->tokenizer)
                                                         : NULL;
  if (tokenizer == NULL) {
    if (options->tokenizer == NULL) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                  "%s is a checkpoint: --tokenizer is needed", options->model);
    }
    return FALSE;
  }
  g_autoptr(GemCorpus) corpus = options->text != NULL
                                    ? load_text(options, &model->backbone->shape, tokenizer, error)
                                    : load_folder(options, tokenizer, error);
  Measurement self = {
      .options = options, .model = model, .router = router, .corpus = corpus, .longest = longest};
  if (corpus == NULL || !find_cluster_set(options, &model->backbone->shape, &self.cluster_set, error)) {
    return FALSE;
  }
  g_autoptr(GemLanes) lanes = gem_lanes_new(g_get_num_processors());
  self.lanes = lanes;
  self.sums = g_new0(Sums, (gsize)gem_lanes_count(lanes) * corpus->sources->len);
  gem_lanes_run(lanes, measure_lane, &self);
  if (options->text != NULL) {
    print_text(&self);
  } else {
    print_table(&self);
  }
  g_free(self.sums);
  return TRUE;
}

int
gem_train_perplexity_command(int argc, char **argv)
{
  PerplexityOptions o = {.documents = 200};
  const GOptionEntry entries[] = {
      {"model", 0, 0, G_OPTION_ARG_FILENAME, &o.model,
       "A checkpoint, a model folder or a Llama-architecture GGUF", "PATH"},
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &o.data, "Folder with corpus/, tasks/ and manifest.json", "DIR"},
      {"text", 0, 0, G_OPTION_ARG_FILENAME, &o.text,
       "In place of --data: a text, a blank line between its documents; as gem-bench perplexity FILE",
       "FILE"},
      {"domain", 0, 0, G_OPTION_ARG_STRING, &o.domain, "With --text: the pathway that is its own", "NAME"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &o.tokenizer, "For a checkpoint: a .gguf or .model file",
       "FILE"},
      {"router", 0, 0, G_OPTION_ARG_FILENAME, &o.router,
       "A router's checkpoint or router.gguf: also with its routes", "FILE"},
      {"documents", 0, 0, G_OPTION_ARG_INT, &o.documents,
       "Of each source, at most 512 tokens each; 0: all (200)", "N"},
      {"clusters", 0, 0, G_OPTION_ARG_INT, &o.clusters, "SCAR's k (the model's first set)", "K"},
      {"dense", 0, 0, G_OPTION_ARG_NONE, &o.dense, "Attention without SCAR's mask", NULL},
      {"tasks", 0, 0, G_OPTION_ARG_NONE, &o.tasks, "Test lines of the tasks too, with a row a source", NULL},
      {"matmul", 0, 0, G_OPTION_ARG_STRING, &o.matmul, "fp32 (default), bf16 or auto", "NAME"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GError) error = NULL;
  if (!gem_train_parse(&argc, &argv, entries, "--model PATH (--data DIR | --text FILE)",
                       "Measures held-out perplexity by domain.")) {
    return 2;
  }
  if (o.model == NULL || (o.data == NULL) == (o.text == NULL) || o.documents < 0) {
    g_printerr("gem-train perplexity: --model and either --data or --text are needed; see --help\n");
    return 2;
  }
  o.matmul = o.matmul ? o.matmul : g_strdup("fp32");
  gboolean done = measure(&o, &error);
  g_free(o.model);
  g_free(o.data);
  g_free(o.text);
  g_free(o.domain);
  g_free(o.tokenizer);
  g_free(o.router);
  g_free(o.matmul);
  return done ? 0 : gem_train_fail("perplexity", error);
}
