#include "bench/direct/gem-edge-direct.h"

#include "bench/gem-bench-process.h"
#include "daemon/base/gem-version.h"
#include "daemon/engine/gem-engine.h"
#include "format/gem-file.h"

typedef struct {
  GemEdgeAsker base;
  GemEngine *engine;
} DirectAsker;

typedef struct {
  DirectAsker *asker;
  GemEdgeKind kind;
  GemEdgeReplied replied;
  gpointer data;
  gint64 started;
  GString *answer;       /* of WRITE */
  GemSequence *sequence; /* of WRITE */
  GemGeneration *generation;
} Call;

static void
call_free(Call *call)
{
  g_clear_object(&call->generation);
  g_clear_object(&call->sequence);
  g_string_free(call->answer, TRUE);
  g_free(call);
}

/* Tells the answer, or what kept it away. Takes the call. */
static void
finish(Call *call, GemEdgeReply *reply, const GError *error)
{
  reply->seconds = (double)(g_get_monotonic_time() - call->started) / G_USEC_PER_SEC;
  if (error == NULL) {
    reply->fate = GEM_BENCH_USED;
  } else if (g_error_matches(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT) ||
             g_error_matches(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED)) {
    reply->fate = gem_bench_fate_of_refusal(error);
    error = NULL;
  }
  call->replied(error == NULL ? reply : NULL, error, call->data);
  gem_edge_reply_clear(reply);
  call_free(call);
}

static void
on_classified(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) probabilities = gem_engine_classify_finish(GEM_ENGINE(source), result, &error);
  GemEdgeReply reply = {0};
  guint i;

  for (i = 1; probabilities != NULL && i < probabilities->len; i++) {
    if (g_array_index(probabilities, double, i) > g_array_index(probabilities, double, reply.choice)) {
      reply.choice = i;
    }
  }
  finish(data, &reply, error);
}

static void
on_scored(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  GemEdgeReply reply = {0};

  gem_engine_score_finish(GEM_ENGINE(source), result, &reply.log_likelihood, &reply.tokens, &error);
  finish(data, &reply, error);
}

static void
on_routed(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) tokens = gem_engine_route_finish(GEM_ENGINE(source), result, &error);
  GemEdgeReply reply = {0};
  guint i;

  for (i = 0; tokens != NULL && i < tokens->len; i++) {
    const GemRoutedToken *token = tokens->pdata[i];

    reply.tokens++;
    reply.routed += !g_str_equal(token->pathway, "general");
  }
  finish(data, &reply, error);
}

/* ---- answers that are written ---- */

static void
on_text(const char *text, gsize length, gpointer data)
{
  g_string_append_len(((Call *)data)->answer, text, (gssize)length);
}

static void
on_finished(const GemGenerateStats *stats, const GError *error, gpointer data)
{
  Call *call = data;
  GemEdgeReply reply = {
      .answer = g_strdup(call->answer->str),
      .truncated = stats->reason == GEM_FINISH_LIMIT || stats->reason == GEM_FINISH_CONTEXT,
      .tokens = stats->prompt_tokens,
      .written = stats->generated_tokens,
      .write_seconds = stats->decode_seconds,
  };

  finish(call, &reply, error);
}

static void
start_writing(Call *call, const GemEdgeQuestion *question, const GemRunOptions *run)
{
  static const GemGenerationEvents events = {.text = on_text, .finished = on_finished};
  GemGenerateOptions options = {.max_tokens = question->max_tokens};
  g_autoptr(GError) error = NULL;

  call->sequence = gem_engine_new_sequence(call->asker->engine, run, &error);
  if (call->sequence != NULL) {
    call->generation =
        gem_sequence_generate(call->sequence, question->text, &options, &events, call, NULL, &error);
  }
  if (call->generation == NULL) {
    GemEdgeReply reply = {0};

    finish(call, &reply, error);
  }
}

static void
direct_ask(GemEdgeAsker *asker, const GemEdgeQuestion *question, GemEdgeReplied replied, gpointer data)
{
  DirectAsker *self = (DirectAsker *)asker;
  const GemRunOptions run = {.domain = (char *)question->domain};
  Call *call = g_new0(Call, 1);

  *call = (Call){.asker = self,
                 .kind = question->kind,
                 .replied = replied,
                 .data = data,
                 .started = g_get_monotonic_time(),
                 .answer = g_string_new(NULL)};
  switch (question->kind) {
  case GEM_EDGE_CHOOSE:
    gem_engine_classify_async(self->engine, question->text, (const char *const *)question->labels, &run, NULL,
                              on_classified, call);
    break;
  case GEM_EDGE_WRITE:
    start_writing(call, question, &run);
    break;
  case GEM_EDGE_SCORE:
    gem_engine_score_async(self->engine, question->text, &run, NULL, on_scored, call);
    break;
  case GEM_EDGE_ROUTE:
    gem_engine_route_async(self->engine, question->text, &run, NULL, on_routed, call);
    break;
  default:
    g_assert_not_reached();
  }
}

/* ---- the engine ---- */

static gboolean
direct_look(GemEdgeAsker *asker, GemEdgeSight *ret_sight, G_GNUC_UNUSED GError **error)
{
  DirectAsker *self = (DirectAsker *)asker;
  GemEngineCounters counters;
  GemEngineLoad load;

  gem_engine_get_counters(self->engine, &counters);
  gem_engine_get_load(self->engine, &load);
  *ret_sight = (GemEdgeSight){
      .resident = gem_engine_get_resident_bytes(self->engine),
      .process = gem_bench_process_get_peak(),
      .page_ins = (gint64)counters.paging.page_ins,
      .page_in_failures = (gint64)counters.paging.page_in_failures,
      .degraded_tokens = (gint64)counters.degraded_tokens,
      .tokens = (gint64)load.tokens,
  };
  return TRUE;
}

static void
direct_free(GemEdgeAsker *asker)
{
  DirectAsker *self = (DirectAsker *)asker;

  gem_engine_stop(self->engine);
  g_clear_object(&self->engine);
  g_free(self);
}

/* What tells the model from another one of its name: SHA-256 of its manifest, or of a lone file. */
static char *
identify_model(GemEngine *engine, const char *path, GError **error)
{
  const char *digest = gem_engine_get_model_digest(engine);
  char *of_file = NULL;
  guint64 size;

  if (*digest != '\0') {
    return g_strdup(digest);
  }
  return gem_file_hash(path, &size, &of_file, error) ? of_file : NULL;
}

GemEdgeAsker *
gem_edge_direct_new(const GemBenchModelOptions *options, const char *path, GError **error)
{
  g_auto(GStrv) plugin_dirs = gem_bench_model_find_plugin_dirs(options);
  const GemEngineConfig config = {
      .model_path = path,
      .plugin_dirs = (const char *const *)plugin_dirs,
      .backend = options->backend,
      .cache_dir = options->cache_dir,
      .threads = (guint)options->threads,
      .threshold_percent = -1,
  };
  GemEngine *engine = gem_engine_new(&config, error);
  char *identity = engine != NULL ? identify_model(engine, path, error) : NULL;
  DirectAsker *self;

  if (identity == NULL) {
    if (engine != NULL) {
      gem_engine_stop(engine);
      g_object_unref(engine);
    } else {
      gem_bench_model_advise(config.plugin_dirs, error);
    }
    return NULL;
  }
  self = g_new0(DirectAsker, 1);
  self->engine = engine;
  self->base = (GemEdgeAsker){
      .way = "direct",
      .model = g_strdup(gem_engine_get_model_name(engine)),
      .version = g_strdup(GEM_VERSION),
      .identity = identity,
      .domains = g_strdupv((char **)gem_engine_get_domains(engine)),
      .ask = direct_ask,
      .look = direct_look,
      .free = direct_free,
  };
  return &self->base;
}
