#include "daemon/service/gem-ask.h"

#include "daemon/service/gem-answer.h"
#include "daemon/service/gem-call-queue.h"
#include "daemon/service/gem-cut.h"
#include "daemon/service/gem-service.h"
#include "format/gem-wipe.h"

#define DEFAULT_TOKENS 128u

typedef struct {
  GemCall *call;
  GemCallTicket ticket;
  GemCallOptions options;
  GemSequence *sequence;     /* NULL while it waits */
  GemGeneration *generation; /* NULL while it waits */
  GString *answer;
  GemQuotaHold hold; /* while it runs: tokens and cache */
  guint deadline;    /* source: while it runs, which it does once its text is being cut */
  gulong bye;        /* handler: the caller left */
  gboolean late;     /* the deadline came meanwhile */
} GemAsk;

static void
ask_free(GemAsk *ask)
{
  g_clear_handle_id(&ask->deadline, g_source_remove);
  gem_call_options_clear(&ask->options);
  g_clear_object(&ask->generation);
  g_clear_object(&ask->sequence);
  gem_wipe_string(ask->answer);
  gem_quota_hold_clear(&ask->hold);
  g_free(ask);
}

static void
ask_fail(GemAsk *ask, GError *error)
{
  gem_call_fail(ask->call, error);
  ask_free(ask);
}

static void
ask_fail_late(GemAsk *ask)
{
  GemService *service = gem_call_get_service(ask->call);

  ask_fail(ask, g_error_new(GEM_ERROR, GEM_ERROR_BUSY,
                            "others ask too: %u run (ParallelAsks), this one did not start in %u s",
                            gem_call_queue_count_running(gem_service_get_asks(service)),
                            gem_service_get_config(service)->ask_seconds));
}

static gboolean
on_deadline(gpointer data)
{
  GemAsk *ask = data;

  ask->deadline = 0;
  ask->late = TRUE;
  if (ask->generation != NULL) {
    gem_generation_cancel(ask->generation);
  }
  return G_SOURCE_REMOVE;
}

static void
on_late(gpointer data, guint seconds)
{
  ask_fail_late(data);
}

static void
on_text(const char *text, gsize length, gpointer data)
{
  GemAsk *ask = data;

  if (ask->answer->len == 0) {
    gem_statistics_count_first_text(gem_service_get_statistics(gem_call_get_service(ask->call)),
                                    g_get_monotonic_time() - gem_call_get_arrival(ask->call));
  }
  gem_wipe_append(&ask->answer, text, length);
}

static gboolean
is_late(const GemAsk *ask, const GemGenerateStats *stats)
{
  return ask->late && stats->reason == GEM_FINISH_CANCELLED;
}

static const char *
reason_of(const GemAsk *ask, const GemGenerateStats *stats)
{
  return is_late(ask, stats) ? "deadline" : gem_answer_reason(stats->reason);
}

static GVariant *
ask_stats(GemAsk *ask, const GemGenerateStats *stats)
{
  GemEngine *engine = gem_call_get_engine(ask->call);
  gboolean truncated =
      is_late(ask, stats) || stats->reason == GEM_FINISH_LIMIT || stats->reason == GEM_FINISH_CONTEXT;
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&builder, "{sv}", "truncated", g_variant_new_boolean(truncated));
  g_variant_builder_add(&builder, "{sv}", "reason", g_variant_new_string(reason_of(ask, stats)));
  gem_answer_add_stats(&builder, stats);
  g_variant_builder_add(&builder, "{sv}", "seed", g_variant_new_uint64(ask->options.generate.seed));
  g_variant_builder_add(&builder, "{sv}", "resident_bytes",
                        g_variant_new_uint64(gem_engine_get_resident_bytes(engine)));
  return g_variant_builder_end(&builder);
}

static void
on_finished(const GemGenerateStats *stats, const GError *error, gpointer data)
{
  GemAsk *ask = data;

  g_signal_handler_disconnect(gem_call_get_caller(ask->call)->bye, ask->bye);
  gem_call_queue_leave(&ask->ticket);
  gem_statistics_count_turn(gem_service_get_statistics(gem_call_get_service(ask->call)),
                            reason_of(ask, stats), stats);
  if (stats->reason == GEM_FINISH_FAILED) {
    ask_fail(ask, g_error_copy(error));
  } else if (stats->reason == GEM_FINISH_SHUTDOWN) {
    ask_fail(ask, g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service stops"));
  } else if (stats->reason == GEM_FINISH_CANCELLED && !ask->late) {
    ask_fail(ask, g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "the caller left the bus"));
  } else {
    gem_call_return(ask->call, g_variant_new("(s@a{sv})", ask->answer->str, ask_stats(ask, stats)));
    ask_free(ask);
  }
}

static gboolean
on_admit(const GemTurnNeed *need, gpointer data, GError **error)
{
  GemAsk *ask = data;

  return gem_quota_take(&ask->hold, GEM_QUOTA_TOKENS, (guint64)need->prompt_tokens + need->max_tokens,
                        error) &&
         gem_quota_take(&ask->hold, GEM_QUOTA_KV_CACHE, need->cache_bytes, error);
}

static const GemGenerationEvents events = {.admit = on_admit, .text = on_text, .finished = on_finished};

static void
on_bye(GCancellable *bye, gpointer data)
{
  GemAsk *ask = data;

  gem_generation_cancel(ask->generation);
}

/* What keeps it from its turn; NULL: nothing. */
static GError *
ask_find_error(GemAsk *ask)
{
  if (gem_service_is_stopping(gem_call_get_service(ask->call))) {
    return g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service stops");
  }
  if (gem_call_get_caller(ask->call)->gone) {
    return g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "the caller left the bus");
  }
  return NULL;
}

/* Gives its place to another. Takes `error`. */
static void
ask_leave(GemAsk *ask, GError *error)
{
  gem_call_queue_leave(&ask->ticket);
  if (ask->late) {
    g_clear_error(&error);
    ask_fail_late(ask);
  } else {
    ask_fail(ask, error);
  }
}

static void
on_cut(GemPrompt *prompt, GError *error, gpointer data)
{
  GemAsk *ask = data;
  GemCaller *caller = gem_call_get_caller(ask->call);
  const char *text = NULL;

  error = error != NULL ? error : ask_find_error(ask);
  if (error != NULL || ask->late) {
    ask_leave(ask, error);
    return;
  }
  g_variant_get_child(gem_call_get_parameters(ask->call), 0, "&s", &text);
  ask->options.generate.run.prompt = prompt;
  ask->hold = gem_user_hold(caller->user, gem_service_get_config(gem_call_get_service(ask->call)));
  ask->sequence = gem_engine_new_sequence(gem_call_get_engine(ask->call), &ask->options.generate.run, &error);
  if (ask->sequence != NULL) {
    ask->generation =
        gem_sequence_generate(ask->sequence, text, &ask->options.generate, &events, ask, NULL, &error);
  }
  ask->options.generate.run.prompt = NULL;
  if (ask->generation == NULL) {
    ask_leave(ask, error);
    return;
  }
  ask->bye = g_signal_connect(caller->bye, "cancelled", G_CALLBACK(on_bye), ask);
}

/* Where its caller says nothing; a model may have room for less. */
static void
ask_set_tokens(GemAsk *ask)
{
  guint *tokens = &ask->options.generate.max_tokens;

  if (*tokens == 0) {
    *tokens = MIN(DEFAULT_TOKENS, gem_service_get_config(gem_call_get_service(ask->call))->ask_tokens);
    *tokens = MIN(*tokens, gem_engine_get_context(gem_call_get_engine(ask->call)));
  }
}

static void
on_run(gpointer data)
{
  GemAsk *ask = data;
  const GemPromptSpec spec = {.form = ask->options.generate.raw ? GEM_PROMPT_RAW : GEM_PROMPT_ASK};
  const char *text = NULL;
  GError *error = ask_find_error(ask);

  if (error != NULL) {
    ask_leave(ask, error);
    return;
  }
  ask->deadline = g_timeout_add(gem_call_queue_milliseconds_left(&ask->ticket), on_deadline, ask);
  gem_call_take_model(ask->call);
  ask_set_tokens(ask);
  g_variant_get_child(gem_call_get_parameters(ask->call), 0, "&s", &text);
  gem_cut(gem_call_get_engine(ask->call), text, &spec, on_cut, ask);
}

void
gem_ask_run(GemCall *call)
{
  GemService *service = gem_call_get_service(call);
  const GemConfig *config = gem_service_get_config(service);
  g_auto(GemCallOptions) options = {0};
  GemAsk *ask;

  if (gem_call_read_text(call, 0) == NULL ||
      !gem_call_read_options(call, 1, GEM_OPTIONS_ASK, config->ask_tokens, &options)) {
    return;
  }
  ask = g_new0(GemAsk, 1);
  ask->call = call;
  ask->options = options;
  options = (GemCallOptions){0};
  ask->answer = g_string_new(NULL);
  ask->ticket = (GemCallTicket){
      .caller = gem_call_get_caller(call),
      .heavy = TRUE,
      .batch = ask->options.generate.run.priority == GEM_PRIORITY_BATCH,
      .run = on_run,
      .late = on_late,
      .data = ask,
      .since = gem_call_get_arrival(call),
  };
  gem_call_queue_join(gem_service_get_asks(service), &ask->ticket);
}
