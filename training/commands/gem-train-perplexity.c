/* `gem-train perplexity`: held-out perplexity by domain: with the domain's own pathway, with general alone,
 * and with the router's routes. */
#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-lanes.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/commands/gem-train-options.h"
#include "training/commands/gem-train.h"
#include "training/network/gem-checkpoint.h"
#include "training/text/gem-corpus.h"

/* Tokens of a document that are looked at: of a data folder its beginning, as in training; of a text all of
 * it, up to the context that the service has by default. */
#define LONGEST      512
#define LONGEST_TEXT 2048
#define MOST_AGAIN   255 /* twice, with <s> before: LONGEST at most */

typedef enum { ROUTES_OWN, ROUTES_GENERAL, ROUTES_ROUTER, N_ROUTES } Routes;

typedef struct {
  char *model, *data, *text, *domain, *tokenizer, *router, *matmul;
  gint documents, clusters, again;
  gboolean tasks, dense;
} PerplexityOptions;

static void
perplexity_options_clear(PerplexityOptions *self)
{
  g_free(self->model);
  g_free(self->data);
  g_free(self->text);
  g_free(self->domain);
  g_free(self->tokenizer);
  g_free(self->router);
  g_free(self->matmul);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PerplexityOptions, perplexity_options_clear)

typedef struct {
  double loss[N_ROUTES];
  gsize tokens;
} Sums;

typedef struct {
  const PerplexityOptions *options;
  const GemBackboneCheckpoint *model;
  const GemRouterCheckpoint *router; /* may be NULL */
  const GemCorpus *corpus;
  const char *const *domains; /* of the corpus: the model's, or all that there are for one without */
  GemLanes *lanes;
  guint longest;
  int cluster_set;
  guint32 eos;
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

/* Fills the batch with what is measured of a document: its beginning, or with --again a shorter one with its
 * tokens a second time after it. Returns the first row whose prediction counts. */
static gsize
append_document(const Measurement *self,
                const GemSource *source,
                const GemDocument *document,
                GemBatch *batch)
{
  const guint32 *tokens = &g_array_index(source->tokens, guint32, document->first);
  guint most = self->options->again > 0 ? 1 + (guint)self->options->again : self->longest;
  guint n = MIN(document->length, most);
  if (self->options->again > 0 && n > 1 && tokens[n - 1] == self->eos) {
    n--; /* the text goes on */
  }
  guint twice = self->options->again > 0 ? n - 1 : 0;
  g_autofree guint32 *all = g_new(guint32, n + twice);
  gem_batch_clear(batch);
  memcpy(all, tokens, n * sizeof(guint32));
  memcpy(all + n, tokens + 1, twice * sizeof(guint32)); /* <s> comes once */
  gem_batch_append(batch, all, n + twice, GEM_ROUTE_GENERAL, 1.0f);
  return twice > 0 ? n : 0;
}

static void
measure_lane(guint lane, gpointer data)
{
  const Measurement *self = data;
  gboolean with_domains = self->model->backbone->shape.n_domains > 0;
  g_autoptr(GemBackbonePass) pass = gem_backbone_pass_new(self->model->backbone);
  g_autoptr(GemRouterPass) router_pass = self->router ? gem_router_pass_new(self->router->network) : NULL;
  g_autoptr(GemBatch) batch = gem_batch_new(self->longest);
  g_autofree float *losses = g_new(float, self->longest);
  for (guint s = 0; s < self->corpus->sources->len; s++) {
    const GemSource *source = self->corpus->sources->pdata[s];
    Sums *sums = &self->sums[lane * self->corpus->sources->len + s];
    for (guint i = lane; i < source->documents->len; i += gem_lanes_count(self->lanes)) {
      const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
      gsize first = append_document(self, source, document, batch);
      for (Routes routes = ROUTES_OWN; routes < N_ROUTES; routes++) {
        if (routes != ROUTES_GENERAL &&
            (!with_domains || (routes == ROUTES_ROUTER && self->router == NULL))) {
          continue;
        }
        set_routes(self, routes, source->domain, router_pass, batch);
        gem_backbone_run(self->model->backbone, self->model->values, self->model->centroids->values,
                         self->cluster_set, batch, 1.0f, pass, NULL, losses, &(GemLoss){0});
        for (gsize row = first; row + 1 < batch->n; row++) {
          sums->loss[routes] += (double)losses[row];
        }
      }
      sums->tokens += batch->n - MIN(first + 1, batch->n);
    }
  }
}

/* Of no token there is none. */
static void
print_perplexity(const Sums *sums, Routes routes)
{
  if (sums->tokens > 0) {
    g_print(" %12.3f", exp(sums->loss[routes] / (double)sums->tokens));
  } else {
    g_print(" %12s", "-");
  }
}

static void
print_row(const char *name, const Sums *sums, gboolean with_domains, gboolean with_router)
{
  g_print("%-36s %10" G_GSIZE_FORMAT, name, sums->tokens);
  if (with_domains) {
    print_perplexity(sums, ROUTES_OWN);
  }
  print_perplexity(sums, ROUTES_GENERAL);
  if (with_router) {
    print_perplexity(sums, ROUTES_ROUTER);
  }
  g_print("\n");
}

static void
add_sums(Sums *total, const Sums *more)
{
  total->tokens += more->tokens;
  for (guint r = 0; r < N_ROUTES; r++) {
    total->loss[r] += more->loss[r];
  }
}

/* What all lanes have of a source. */
static Sums
sums_of_source(const Measurement *self, guint source)
{
  Sums sums = {0};
  for (guint lane = 0; lane < gem_lanes_count(self->lanes); lane++) {
    add_sums(&sums, &self->sums[lane * self->corpus->sources->len + source]);
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
  Sums sums = sums_of_source(self, 0);
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
    Sums sums = sums_of_source(self, s);
    add_sums(&totals[source->domain == GEM_ROUTE_GENERAL ? GEM_MAX_DOMAINS : source->domain], &sums);
    if (self->options->tasks) {
      print_row(source->name, &sums, with_domains, with_router);
    }
  }
  for (guint d = 0; self->domains[d] != NULL; d++) {
    print_row(self->domains[d], &totals[d], with_domains, with_router);
  }
  print_row(GEM_CORPUS_GENERAL, &totals[GEM_MAX_DOMAINS], with_domains, with_router);
}

static gboolean
find_cluster_set(const PerplexityOptions *options, const GemModelShape *shape, int *ret_set, GError **error)
{
  if (options->dense || options->clusters == 0) {
    *ret_set = shape->n_cluster_sets > 0 && !options->dense ? 0 : -1;
    return TRUE;
  }
  for (guint i = 0; i < shape->n_cluster_sets; i++) {
    if (shape->clusters[i] == (guint)options->clusters) {
      *ret_set = (int)i;
      return TRUE;
    }
  }
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--clusters=%d: the model has no such set",
              options->clusters);
  return FALSE;
}

/* The tokenizer of --tokenizer, or the model's own. */
static GemTokenizer *
open_tokenizer(const PerplexityOptions *options, const GemBackboneCheckpoint *model, GError **error)
{
  if (options->tokenizer == NULL && model->tokenizer == NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s is a checkpoint: --tokenizer is needed",
                options->model);
    return NULL;
  }
  if (options->tokenizer == NULL) {
    return gem_tokenizer_ref(model->tokenizer);
  }
  g_autoptr(GemTokenizer) tokenizer = gem_checkpoint_open_tokenizer(options->tokenizer, error);
  if (tokenizer == NULL ||
      !gem_checkpoint_check_vocabulary(tokenizer, options->tokenizer, model->backbone->shape.vocab,
                                       options->model, error)) {
    return NULL;
  }
  return g_steal_pointer(&tokenizer);
}

static GemCorpus *
load_folder(const PerplexityOptions *options,
            const char *const *domains,
            GemTokenizer *tokenizer,
            GError **error)
{
  const GemCorpusOptions corpus_options = {.folder = options->data,
                                           .split = GEM_SPLIT_HELD_OUT,
                                           .corpus = TRUE,
                                           .tasks = options->tasks,
                                           .all_licences = TRUE,
                                           .most_documents = (gsize)options->documents,
                                           .ask_template = GEM_PRESET_ASK_TEMPLATE};
  return gem_corpus_load(&corpus_options, domains, tokenizer, error);
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

static GemCorpus *
load_corpus(const Measurement *self, GemTokenizer *tokenizer, GError **error)
{
  return self->options->text != NULL
             ? load_text(self->options, &self->model->backbone->shape, tokenizer, error)
             : load_folder(self->options, self->domains, tokenizer, error);
}

/* NULL without --router. */
static gboolean
load_router(const PerplexityOptions *options,
            const GemModelShape *shape,
            guint longest,
            GemRouterCheckpoint **ret_router,
            GError **error)
{
  g_autoptr(GemRouterCheckpoint) router = NULL;
  if (options->router != NULL) {
    router = gem_router_checkpoint_load(options->router, longest, error);
    if (router == NULL ||
        !gem_router_checkpoint_check(router, options->router, shape, options->model, error)) {
      return FALSE;
    }
  }
  *ret_router = g_steal_pointer(&router);
  return TRUE;
}

/* Over everything that was loaded. */
static void
measure(Measurement *self)
{
  g_autoptr(GemLanes) lanes = gem_lanes_new(g_get_num_processors());
  g_autofree Sums *sums = g_new0(Sums, (gsize)gem_lanes_count(lanes) * self->corpus->sources->len);
  self->lanes = lanes;
  self->sums = sums;
  gem_lanes_run(lanes, measure_lane, self);
  if (self->options->text != NULL) {
    print_text(self);
  } else {
    print_table(self);
  }
}

static gboolean
load_and_measure(const PerplexityOptions *options, GError **error)
{
  guint longest = options->text != NULL ? LONGEST_TEXT : LONGEST;
  g_autoptr(GemBackboneCheckpoint) model =
      gem_matmul_select(options->matmul != NULL ? options->matmul : "fp32", error)
          ? gem_backbone_checkpoint_load(options->model, longest, error)
          : NULL;
  g_autoptr(GemRouterCheckpoint) router = NULL;
  if (model == NULL || !load_router(options, &model->backbone->shape, longest, &router, error)) {
    return FALSE;
  }
  const GemModelShape *shape = &model->backbone->shape;
  Measurement self = {.options = options,
                      .model = model,
                      .router = router,
                      .longest = longest,
                      .domains =
                          shape->n_domains > 0 ? (const char *const *)shape->domains : gem_preset_domains};
  g_autoptr(GemTokenizer) tokenizer = find_cluster_set(options, shape, &self.cluster_set, error)
                                          ? open_tokenizer(options, model, error)
                                          : NULL;
  g_autoptr(GemCorpus) corpus = tokenizer != NULL ? load_corpus(&self, tokenizer, error) : NULL;
  if (corpus == NULL) {
    return FALSE;
  }
  self.corpus = corpus;
  self.eos = gem_tokenizer_eos(tokenizer);
  measure(&self);
  return TRUE;
}

/* Either a folder, which may come from the environment, or a text. */
static gboolean
check_source(PerplexityOptions *self, GError **error)
{
  if (self->text == NULL) {
    gem_train_options_default_data(&self->data);
  }
  if ((self->data == NULL) == (self->text == NULL)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "either --data or --text is needed");
    return FALSE;
  }
  if (self->domain != NULL && self->text == NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--domain goes with --text");
    return FALSE;
  }
  return TRUE;
}

static gboolean
parse(PerplexityOptions *self, int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = {
      {"model", 0, 0, G_OPTION_ARG_FILENAME, &self->model,
       "A checkpoint, a model folder or a Llama-architecture GGUF", "PATH"},
      {"data", 0, 0, G_OPTION_ARG_FILENAME, &self->data,
       "Folder with corpus/, tasks/ and manifest.json ($GEM_DATA)", "DIR"},
      {"text", 0, 0, G_OPTION_ARG_FILENAME, &self->text,
       "In place of --data: a text, a blank line between its documents; as gem-bench perplexity FILE",
       "FILE"},
      {"domain", 0, 0, G_OPTION_ARG_STRING, &self->domain, "With --text: the pathway that is its own",
       "NAME"},
      {"tokenizer", 0, 0, G_OPTION_ARG_FILENAME, &self->tokenizer, "For a checkpoint: a .gguf or .model file",
       "FILE"},
      {"router", 0, 0, G_OPTION_ARG_FILENAME, &self->router,
       "A router's checkpoint or router.gguf: also with its routes", "FILE"},
      {"documents", 0, 0, G_OPTION_ARG_INT, &self->documents,
       "Of each source, at most 512 tokens each; 0: all", "N"},
      {"again", 0, 0, G_OPTION_ARG_INT, &self->again,
       "Each document's first N tokens twice in a row, the second time counts: whether what has been read is "
       "seen again",
       "N"},
      {"clusters", 0, 0, G_OPTION_ARG_INT, &self->clusters, "SCAR's k; 0: the model's first set", "K"},
      {"dense", 0, 0, G_OPTION_ARG_NONE, &self->dense, "Attention without SCAR's mask", NULL},
      {"tasks", 0, 0, G_OPTION_ARG_NONE, &self->tasks, "Test lines of the tasks too, with a row a source",
       NULL},
      {"matmul", 0, 0, G_OPTION_ARG_STRING, &self->matmul, "fp32 (default), bf16 or auto", "NAME"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context = g_option_context_new("--model PATH (--data DIR | --text FILE)");
  g_option_context_set_summary(context, "Measures held-out perplexity by domain.");
  gem_train_options_add(context, entries);
  return gem_train_options_parse(context, argc, argv, 0, NULL, error) &&
         gem_train_options_need("model", self->model, error) && check_source(self, error) &&
         gem_train_options_check("documents", self->documents, 0, G_MAXINT, error) &&
         gem_train_options_check("again", self->again, 0, MOST_AGAIN, error) &&
         gem_train_options_check("clusters", self->clusters, 0, 256, error);
}

int
gem_train_perplexity_command(int argc, char **argv)
{
  g_auto(PerplexityOptions) options = {.documents = 200};
  g_autoptr(GError) error = NULL;
  gboolean done = parse(&options, argc, argv, &error) && load_and_measure(&options, &error);
  return done ? 0 : gem_train_fail("perplexity", error);
}
