#include "daemon/service/gem-request.h"

#include <unistd.h>

#include "daemon/base/gem-log.h"
#include "daemon/bus/gem-stream.h"
#include "daemon/service/gem-answer.h"
#include "daemon/service/gem-service.h"
#include "dbus/gem-dbus-generated.h"
#include "dbus/gem-names.h"

/* Rows of routes in one signal: some 20 KiB. */
#define MOST_ROWS 64u
/* How often it is looked whether a reader has stopped reading. */
#define SWEEP_SECONDS 1u

struct _GemRequests {
  GemService *service;
  GemPrivateTree *tree;
  GHashTable *all; /* set of GemRequest */
  guint64 serial;  /* of the last request, for the log */
  guint sweep;     /* timeout source; 0 while there are no requests */
};

struct _GemRequest {
  GemRequests *requests;
  GemCaller *caller;
  char *node; /* SENDER_TOKEN: the last element of its path */
  char *path;
  guint64 serial;
  gint64 arrival; /* monotonic, us */
  gboolean has_text;
  GemServedModel *model; /* that it runs on; NULL: the engine is done */
  guint64 seed;
  GemRequestDone done; /* NULL: nobody is told */
  gpointer data;
  gulong bye; /* handler: the caller left */

  GemQuotaHold hold;   /* of the turn and its stream */
  GemQuotaHold *cache; /* of the sequence's KV cache */

  GemStream *stream;         /* NULL: dropped */
  GemGeneration *generation; /* NULL: the engine is done */
  gboolean paused;
  gboolean reader_dropped;

  GPtrArray *rows; /* of GVariant: routes not told yet */
  guint flush;     /* idle source */

  GemFinishReason reason;
  GVariant *stats; /* NULL while the engine works on it */
  gboolean over;   /* Finished was sent; only the engine may still know the request */
};

static void
request_drop_model(GemRequest *self)
{
  GemServedModel *model = g_steal_pointer(&self->model);

  if (model != NULL) {
    gem_served_model_end_work(model);
    gem_served_model_unref(model);
  }
}

static void
request_free(GemRequest *self)
{
  g_hash_table_remove(self->requests->all, self);
  g_clear_handle_id(&self->flush, g_source_remove);
  g_clear_pointer(&self->stream, gem_stream_free);
  g_clear_pointer(&self->stats, g_variant_unref);
  g_clear_object(&self->generation);
  request_drop_model(self);
  g_ptr_array_unref(self->rows);
  gem_quota_hold_clear(&self->hold);
  gem_caller_unref(self->caller);
  g_free(self->node);
  g_free(self->path);
  g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRequest, request_free)

/* To the caller alone: never through the generated emitters, which tell the whole bus. To one that is gone
 * nothing is said, which would be of no use, and not allowed from within its `bye`. */
static void
request_emit(GemRequest *self, const char *signal, GVariant *parameters)
{
  g_autoptr(GVariant) taken = g_variant_ref_sink(parameters);

  if (!self->caller->gone) {
    g_dbus_connection_emit_signal(gem_service_get_connection(self->requests->service), self->caller->sender,
                                  self->path, GEM_REQUEST_INTERFACE, signal, taken, NULL);
  }
}

static gboolean
on_flush(gpointer data)
{
  GemRequest *self = data;
  GVariant *rows =
      g_variant_new_array(G_VARIANT_TYPE("(sttsa{sd})"), (GVariant **)self->rows->pdata, self->rows->len);

  self->flush = 0;
  request_emit(self, "Routed", g_variant_new("(@a(sttsa{sd}))", rows));
  g_ptr_array_set_size(self->rows, 0);
  return G_SOURCE_REMOVE;
}

static void
request_flush_rows(GemRequest *self)
{
  if (self->rows->len > 0) {
    g_clear_handle_id(&self->flush, g_source_remove);
    on_flush(self);
  }
}

static void
request_log(GemRequest *self)
{
  g_autofree char *serial = g_strdup_printf("%" G_GUINT64_FORMAT, self->serial);
  g_autofree char *time = g_strdup_printf("%" G_GINT64_FORMAT, g_get_monotonic_time() - self->arrival);
  const char *reason = gem_answer_reason(self->reason);
  const char *fields[] = {"GEM_REQUEST", serial, "GEM_REASON", reason, "GEM_USEC", time, NULL};
  guint prompt = 0;
  guint generated = 0;

  g_variant_lookup(self->stats, "prompt_tokens", "u", &prompt);
  g_variant_lookup(self->stats, "generated_tokens", "u", &generated);
  gem_log(LOG_INFO, GEM_LOG_REQUEST_FINISHED, fields, "request %s: %s, %u prompt tokens, %u generated",
          serial, reason, prompt, generated);
}

/* Whatever the engine says: what it wrote did not arrive. */
static void
request_set_reason(GemRequest *self, GemFinishReason reason)
{
  GVariantDict stats;

  self->reason = reason;
  g_variant_dict_init(&stats, self->stats);
  g_variant_dict_insert(&stats, "reason", "s", gem_answer_reason(self->reason));
  g_variant_unref(self->stats);
  self->stats = g_variant_ref_sink(g_variant_dict_end(&stats));
}

/* The engine is done and the pipe closed, or there is no more waiting for either. */
static void
request_over(GemRequest *self)
{
  gboolean engine_done = self->stats != NULL;
  GVariantBuilder none;

  if (!engine_done) {
    g_variant_builder_init(&none, G_VARIANT_TYPE_VARDICT);
    self->reason = GEM_FINISH_SHUTDOWN;
    self->stats = g_variant_ref_sink(g_variant_builder_end(&none));
  }
  if (self->reader_dropped) {
    request_set_reason(self, GEM_FINISH_SLOW_READER);
  }
  self->over = TRUE;
  g_signal_handler_disconnect(self->caller->bye, self->bye);
  g_clear_pointer(&self->stream, gem_stream_free);
  gem_private_tree_remove(self->requests->tree, self->node);
  gem_quota_hold_clear(&self->hold);
  request_emit(self, "Finished", g_variant_new("(u@a{sv})", (guint32)self->reason, self->stats));
  request_log(self);
  if (self->done != NULL) {
    self->done(self->data);
  }
  gem_work_end(gem_service_get_work(self->requests->service), GEM_IDLE_REQUESTS);
  if (engine_done) {
    request_free(self);
  }
}

/* ---- the stream's events ---- */

static void
on_drained(gpointer data)
{
  GemRequest *self = data;

  if (self->paused) {
    self->paused = FALSE;
    gem_generation_set_paused(self->generation, FALSE);
  }
}

/* The pipe is closed; the turn itself ends when the engine hears of it. */
static void
on_broken(gpointer data)
{
  GemRequest *self = data;

  gem_quota_give(&self->hold, GEM_QUOTA_STREAMS);
  gem_request_cancel(self);
}

static void
on_closed(gpointer data)
{
  request_over(data);
}

static const GemStreamEvents stream_events = {on_drained, on_broken, on_closed};

/* ---- readers that stopped ---- */

/* The pipe is closed with what waits for it; the turn itself ends when the engine hears of it. */
static void
request_drop_reader(GemRequest *self, guint seconds)
{
  g_autofree char *serial = g_strdup_printf("%" G_GUINT64_FORMAT, self->serial);
  g_autofree char *bytes = g_strdup_printf("%" G_GSIZE_FORMAT, gem_stream_get_queued(self->stream));

  gem_statistics_count_dropped_reader(gem_service_get_statistics(self->requests->service));
  gem_log(LOG_NOTICE, GEM_LOG_READER_DROPPED,
          (const char *[]){"GEM_REQUEST", serial, "GEM_BYTES", bytes, NULL},
          "request %s: its reader took nothing for %u s while %s bytes waited, and is dropped", serial,
          seconds, bytes);
  self->reader_dropped = TRUE;
  g_clear_pointer(&self->stream, gem_stream_free);
  gem_quota_give(&self->hold, GEM_QUOTA_STREAMS);
  if (self->stats != NULL) {
    request_over(self);
  } else {
    gem_request_cancel(self);
  }
}

static gboolean
on_sweep(gpointer data)
{
  GemRequests *self = data;
  guint seconds = gem_service_get_config(self->service)->stream_seconds;
  gint64 now = g_get_monotonic_time();
  g_autoptr(GList) all = g_hash_table_get_keys(self->all);

  if (all == NULL) {
    self->sweep = 0;
    return G_SOURCE_REMOVE;
  }
  for (GList *item = all; item != NULL; item = item->next) {
    GemRequest *request = item->data;

    if (request->stream != NULL &&
        gem_stream_get_stalled(request->stream, now) >= (gint64)seconds * G_USEC_PER_SEC) {
      request_drop_reader(request, seconds);
    }
  }
  return G_SOURCE_CONTINUE;
}

/* ---- the engine's events ---- */

static void
on_text(const char *text, gsize length, gpointer data)
{
  GemRequest *self = data;

  if (!self->has_text) {
    self->has_text = TRUE;
    gem_statistics_count_first_text(gem_service_get_statistics(self->requests->service),
                                    g_get_monotonic_time() - self->arrival);
  }
  if (self->stream == NULL) {
    return;
  }
  gem_stream_write(self->stream, text, length);
  if (!self->paused && gem_stream_get_queued(self->stream) > GEM_STREAM_HIGH_WATER) {
    self->paused = TRUE;
    gem_generation_set_paused(self->generation, TRUE);
  }
}

static void
on_routed(const GemRoutedToken *token, gpointer data)
{
  GemRequest *self = data;

  if (self->over) {
    return;
  }
  g_ptr_array_add(self->rows, g_variant_ref_sink(gem_answer_route(token)));
  if (self->rows->len >= MOST_ROWS) {
    request_flush_rows(self);
  } else if (self->flush == 0) {
    self->flush = g_idle_add(on_flush, self);
  }
}

static GVariant *
request_stats(GemRequest *self, const GemGenerateStats *stats, const GError *error)
{
  GemEngine *engine = gem_served_model_get_engine(self->model);
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&builder, "{sv}", "reason", g_variant_new_string(gem_answer_reason(stats->reason)));
  gem_answer_add_stats(&builder, stats);
  g_variant_builder_add(&builder, "{sv}", "seed", g_variant_new_uint64(self->seed));
  g_variant_builder_add(&builder, "{sv}", "slides", g_variant_new_uint32(stats->slides));
  g_variant_builder_add(&builder, "{sv}", "cache_bytes", g_variant_new_uint64(stats->cache_bytes));
  g_variant_builder_add(&builder, "{sv}", "resident_bytes",
                        g_variant_new_uint64(gem_engine_get_resident_bytes(engine)));
  if (error != NULL) {
    g_autoptr(GError) mapped = gem_error_for_caller(g_error_copy(error));

    g_variant_builder_add(&builder, "{sv}", "error", g_variant_new_string(gem_error_name(mapped->code)));
    g_variant_builder_add(&builder, "{sv}", "message", g_variant_new_string(mapped->message));
  }
  return g_variant_ref_sink(g_variant_builder_end(&builder));
}

/* From here on the turn costs the engine nothing; the session keeps the cache's bytes that are there. */
static void
request_give_turn(GemRequest *self, guint64 cache_bytes)
{
  gem_quota_give(&self->hold, GEM_QUOTA_REQUESTS);
  gem_quota_give(&self->hold, GEM_QUOTA_TOKENS);
  gem_quota_set(self->cache, GEM_QUOTA_KV_CACHE, self->cache == &self->hold ? 0 : cache_bytes);
}

static void
on_finished(const GemGenerateStats *stats, const GError *error, gpointer data)
{
  GemRequest *self = data;
  g_autoptr(GError) changed = NULL;

  if (self->over) {
    request_free(self);
    return;
  }
  request_give_turn(self, stats->cache_bytes);
  self->reason = stats->reason;
  gem_statistics_count_turn(gem_service_get_statistics(self->requests->service),
                            gem_answer_reason(self->reader_dropped ? GEM_FINISH_SLOW_READER : stats->reason),
                            stats);
  if (stats->reason == GEM_FINISH_SHUTDOWN && !gem_service_is_stopping(self->requests->service) &&
      gem_served_model_is_retired(self->model)) {
    changed = gem_served_model_changed_error();
  }
  self->stats = request_stats(self, stats, changed != NULL ? changed : error);
  /* A reader may take its time: the sequence, with its cache, must not wait for it. */
  self->paused = FALSE;
  g_clear_object(&self->generation);
  request_drop_model(self);
  request_flush_rows(self);
  if (self->stream != NULL) {
    gem_stream_finish(self->stream);
  } else {
    request_over(self);
  }
}

static gboolean
on_admit(const GemTurnNeed *need, gpointer data, GError **error)
{
  GemRequest *self = data;
  guint64 cached = gem_quota_get(self->cache, GEM_QUOTA_KV_CACHE);

  return gem_quota_take(&self->hold, GEM_QUOTA_TOKENS, (guint64)need->prompt_tokens + need->max_tokens,
                        error) &&
         gem_quota_take(self->cache, GEM_QUOTA_KV_CACHE, need->cache_bytes - MIN(cached, need->cache_bytes),
                        error);
}

static const GemGenerationEvents quiet_events = {.admit = on_admit, .text = on_text, .finished = on_finished};
static const GemGenerationEvents routed_events = {
    .admit = on_admit, .text = on_text, .routed = on_routed, .finished = on_finished};

/* ---- the bus ---- */

static void
on_call(gpointer object, const char *method, GVariant *parameters, GDBusMethodInvocation *invocation)
{
  GemRequest *self = object;

  g_assert(g_str_equal(method, "Cancel"));
  gem_request_cancel(self);
  g_dbus_method_invocation_return_value(invocation, NULL);
}

static const GemPrivateFunctions functions = {.call = on_call};

/* The caller left the bus: nobody reads on, and nobody is told. */
static void
on_bye(GCancellable *bye, gpointer data)
{
  GemRequest *self = data;

  g_clear_pointer(&self->stream, gem_stream_free);
  gem_quota_give(&self->hold, GEM_QUOTA_STREAMS);
  if (self->stats != NULL) {
    request_over(self);
  } else {
    gem_request_cancel(self);
  }
}

/* The node of a caller's handle token, or of a random one. */
static char *
request_node(const GemCaller *caller, const char *token)
{
  if (token == NULL) {
    return g_strdup_printf("%s_t%08x%08x", caller->mangled, g_random_int(), g_random_int());
  }
  return g_strconcat(caller->mangled, "_", token, NULL);
}

/* Stream and generation; what was made is the request's in any case. */
static gboolean
request_start(GemRequest *self,
              GemSequence *sequence,
              const char *prompt,
              const GemCallOptions *options,
              int *ret_reader,
              GError **error)
{
  const GemGenerationEvents *events = options->routes ? &routed_events : &quiet_events;
  int reader = -1;

  self->stream = gem_stream_new(&stream_events, self, &reader, error);
  if (self->stream == NULL) {
    return FALSE;
  }
  self->generation = gem_sequence_generate(sequence, prompt, &options->generate, events, self, NULL, error);
  if (self->generation == NULL) {
    close(reader);
    return FALSE;
  }
  *ret_reader = reader;
  return TRUE;
}

static GemRequest *
request_alloc(GemRequests *requests, GemCaller *caller, GemQuotaHold *cache, const GemCallOptions *options)
{
  GemRequest *self = g_new0(GemRequest, 1);

  self->requests = requests;
  self->caller = gem_caller_ref(caller);
  self->node = request_node(caller, options->handle_token);
  self->path = g_strconcat(GEM_REQUEST_PATH "/", self->node, NULL);
  self->seed = options->generate.seed;
  self->arrival = g_get_monotonic_time();
  self->hold = gem_user_hold(caller->user, gem_service_get_config(requests->service));
  self->cache = cache;
  self->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_variant_unref);
  return self;
}

GemRequest *
gem_request_new(GemRequests *requests,
                GemCaller *caller,
                GemServedModel *model,
                GemSequence *sequence,
                GemQuotaHold *cache,
                const char *prompt,
                const GemCallOptions *options,
                GemRequestDone done,
                gpointer data,
                int *ret_reader,
                GError **error)
{
  g_autoptr(GemRequest) self = request_alloc(requests, caller, cache, options);

  if (gem_private_tree_find(requests->tree, self->node, caller->sender) != NULL) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "handle_token",
                         "a turn of that token runs already");
    return NULL;
  }
  if (!gem_quota_take(&self->hold, GEM_QUOTA_REQUESTS, 1, error) ||
      !gem_quota_take(&self->hold, GEM_QUOTA_STREAMS, 1, error) ||
      !request_start(self, sequence, prompt, options, ret_reader, error)) {
    return NULL;
  }
  self->serial = ++requests->serial;
  self->model = gem_served_model_ref(model);
  gem_served_model_begin_work(model);
  self->done = done;
  self->data = data;
  self->bye = g_signal_connect(caller->bye, "cancelled", G_CALLBACK(on_bye), self);
  g_hash_table_add(requests->all, self);
  if (requests->sweep == 0) {
    requests->sweep = g_timeout_add_seconds(SWEEP_SECONDS, on_sweep, requests);
  }
  gem_private_tree_add(requests->tree, self->node, caller->sender, self);
  gem_work_begin(gem_service_get_work(requests->service), GEM_IDLE_REQUESTS);
  return g_steal_pointer(&self);
}

const char *
gem_request_get_path(GemRequest *self)
{
  return self->path;
}

void
gem_request_cancel(GemRequest *self)
{
  if (self->generation != NULL) {
    gem_generation_cancel(self->generation);
  }
}

void
gem_request_forget(GemRequest *self)
{
  self->done = NULL;
  if (self->generation != NULL) {
    gem_quota_move(self->cache, &self->hold, GEM_QUOTA_KV_CACHE);
    self->cache = &self->hold;
  }
}

GemRequests *
gem_requests_new(GemService *service, GError **error)
{
  GemPrivateTree *tree = gem_private_tree_new(gem_service_get_connection(service), GEM_REQUEST_PATH,
                                              gem_dbus_request_interface_info(), &functions, error);
  GemRequests *self;

  if (tree == NULL) {
    return NULL;
  }
  self = g_new0(GemRequests, 1);
  self->service = service;
  self->tree = tree;
  self->all = g_hash_table_new(NULL, NULL);
  return self;
}

void
gem_requests_free(GemRequests *self)
{
  g_clear_handle_id(&self->sweep, g_source_remove);
  g_hash_table_unref(self->all);
  gem_private_tree_free(self->tree);
  g_free(self);
}

void
gem_requests_force(GemRequests *self)
{
  g_autoptr(GList) all = g_hash_table_get_keys(self->all);

  for (GList *item = all; item != NULL; item = item->next) {
    GemRequest *request = item->data;

    /* The engine is done, its answer not all in the pipe: what waits goes with the stream. */
    if (request->stats != NULL && request->stream != NULL && gem_stream_get_queued(request->stream) > 0) {
      request_set_reason(request, GEM_FINISH_SHUTDOWN);
    }
    request_over(request);
  }
}
