#include "bench/bus/gem-edge-bus.h"

#include "bench/bus/gem-bench-service.h"
#include "bench/questions/gem-bench-labels.h"
#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

typedef struct {
  GemEdgeAsker base;
  GemRemote *remote;
} BusAsker;

typedef struct {
  GemEdgeKind kind;
  GemEdgeReplied replied;
  gpointer data;
  gint64 started;
} Call;

static const struct {
  const char *method, *reply_type;
} methods[] = {
    [GEM_EDGE_CHOOSE] = {"Classify", "(a(sd))"},
    [GEM_EDGE_WRITE] = {"Ask", "(sa{sv})"},
    [GEM_EDGE_SCORE] = {"Score", "(dt)"},
    [GEM_EDGE_ROUTE] = {"Route", "(a(sttsa{sd}))"},
};

/* ---- a question ---- */

static GVariant *
make_options(const GemEdgeQuestion *question)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  if (question->domain != NULL) {
    g_variant_builder_add(&builder, "{sv}", "domain", g_variant_new_string(question->domain));
  }
  if (question->kind == GEM_EDGE_WRITE) {
    g_variant_builder_add(&builder, "{sv}", "max_tokens", g_variant_new_uint32(question->max_tokens));
    /* A pathway that is read late must not cost an answer its quality. */
    g_variant_builder_add(&builder, "{sv}", "page_in", g_variant_new_string("wait"));
  }
  return g_variant_builder_end(&builder);
}

static GVariant *
make_arguments(const GemEdgeQuestion *question)
{
  GVariant *options = make_options(question);

  if (question->kind == GEM_EDGE_CHOOSE) {
    return g_variant_new("(s^as@a{sv})", question->text, question->labels, options);
  }
  return g_variant_new("(s@a{sv})", question->text, options);
}

/* ---- its answer ---- */

static void
read_written(GVariant *answer, GemEdgeReply *reply)
{
  g_autoptr(GVariant) stats = NULL;
  guint32 prompt = 0, written = 0;

  g_variant_get(answer, "(s@a{sv})", &reply->answer, &stats);
  g_variant_lookup(stats, "prompt_tokens", "u", &prompt);
  g_variant_lookup(stats, "generated_tokens", "u", &written);
  g_variant_lookup(stats, "decode_seconds", "d", &reply->write_seconds);
  g_variant_lookup(stats, "truncated", "b", &reply->truncated);
  reply->tokens = prompt;
  reply->written = written;
}

static void
read_routes(GVariant *answer, GemEdgeReply *reply)
{
  g_autoptr(GVariant) tokens = g_variant_get_child_value(answer, 0);
  GVariantIter iter;
  const char *pathway;

  g_variant_iter_init(&iter, tokens);
  while (g_variant_iter_next(&iter, "(&stt&s@a{sd})", NULL, NULL, NULL, &pathway, NULL)) {
    reply->tokens++;
    reply->routed += !g_str_equal(pathway, "general");
  }
}

static void
read_answer(GemEdgeKind kind, GVariant *answer, GemEdgeReply *reply)
{
  switch (kind) {
  case GEM_EDGE_CHOOSE: {
    g_autoptr(GVariant) scores = g_variant_get_child_value(answer, 0);

    reply->choice = gem_bench_labels_choose(scores);
    break;
  }
  case GEM_EDGE_WRITE:
    read_written(answer, reply);
    break;
  case GEM_EDGE_SCORE:
    g_variant_get(answer, "(dt)", &reply->log_likelihood, &reply->tokens);
    break;
  case GEM_EDGE_ROUTE:
    read_routes(answer, reply);
    break;
  default:
    g_assert_not_reached();
  }
}

static gboolean
is_refusal(const GError *error)
{
  return g_error_matches(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT) ||
         g_error_matches(error, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED);
}

static void
on_answer(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Call *call = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
  GemEdgeReply reply = {
      .fate = GEM_BENCH_USED,
      .seconds = (double)(g_get_monotonic_time() - call->started) / G_USEC_PER_SEC,
  };

  if (answer != NULL) {
    read_answer(call->kind, answer, &reply);
  } else if (is_refusal(error)) {
    reply.fate = gem_bench_fate_of_refusal(error);
  } else {
    call->replied(NULL, error, call->data);
    return;
  }
  call->replied(&reply, NULL, call->data);
  gem_edge_reply_clear(&reply);
}

static void
bus_ask(GemEdgeAsker *asker, const GemEdgeQuestion *question, GemEdgeReplied replied, gpointer data)
{
  BusAsker *self = (BusAsker *)asker;
  Call *call = g_new0(Call, 1);

  *call = (Call){.kind = question->kind, .replied = replied, .data = data, .started = g_get_monotonic_time()};
  g_dbus_connection_call(self->remote->bus, self->remote->owner, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE,
                         methods[question->kind].method, make_arguments(question),
                         G_VARIANT_TYPE(methods[question->kind].reply_type), G_DBUS_CALL_FLAGS_NONE, G_MAXINT,
                         NULL, on_answer, call);
}

/* ---- the service ---- */

/* Counters are for administrators. FALSE, with the reason, for others. */
static gboolean
read_counters(BusAsker *self, GemEdgeSight *sight, GError **error)
{
  g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
      self->remote->bus, self->remote->owner, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "Stats",
      g_variant_new("(a{sv})", NULL), G_VARIANT_TYPE("(a{sv})"), G_DBUS_CALL_FLAGS_NONE, -1, NULL, error);
  g_autoptr(GVariant) stats = NULL;

  if (reply == NULL) {
    g_dbus_error_strip_remote_error(*error);
    return FALSE;
  }
  stats = g_variant_get_child_value(reply, 0);
  g_variant_lookup(stats, "page_ins", "t", &sight->page_ins);
  g_variant_lookup(stats, "page_in_failures", "t", &sight->page_in_failures);
  g_variant_lookup(stats, "degraded_tokens", "t", &sight->degraded_tokens);
  g_variant_lookup(stats, "tokens", "t", &sight->tokens);
  return TRUE;
}

static gboolean
bus_look(GemEdgeAsker *asker, GemEdgeSight *ret_sight, GError **error)
{
  BusAsker *self = (BusAsker *)asker;
  GemEdgeSight sight = {.page_ins = -1, .page_in_failures = -1, .degraded_tokens = -1, .tokens = -1};
  GemBenchServiceMemory memory;

  if (!gem_bench_read_service_memory(self->remote, &memory, error)) {
    return FALSE;
  }
  sight.resident = memory.resident;
  sight.process = memory.process;
  if (asker->sight_absent == NULL) {
    g_autoptr(GError) refused = NULL;

    if (!read_counters(self, &sight, &refused)) {
      asker->sight_absent = g_strdup(refused->message);
    }
  }
  *ret_sight = sight;
  return TRUE;
}

static void
bus_free(GemEdgeAsker *asker)
{
  BusAsker *self = (BusAsker *)asker;

  g_clear_pointer(&self->remote, gem_remote_free);
  g_free(self);
}

GemEdgeAsker *
gem_edge_bus_new(const GemVerbOptions *options, GError **error)
{
  g_autoptr(GemRemote) remote = gem_remote_open(options, error);
  g_autoptr(GVariant) counted = NULL;
  g_autoptr(GVariant) properties = NULL;
  const char *model = "", *version = "", *digest = "";
  BusAsker *self;

  if (remote == NULL) {
    return NULL;
  }
  /* The first call waits for the model; only then do the properties tell of it. */
  counted = gem_remote_call_manager(remote, "CountTokens", g_variant_new("(s)", "a"), "(t)", error);
  properties = counted == NULL
                   ? NULL
                   : gem_remote_get_properties(remote, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, error);
  if (properties == NULL) {
    return NULL;
  }
  self = g_new0(BusAsker, 1);
  self->base = (GemEdgeAsker){.way = "bus", .ask = bus_ask, .look = bus_look, .free = bus_free};
  self->remote = g_steal_pointer(&remote);
  g_variant_lookup(properties, "ModelName", "&s", &model);
  g_variant_lookup(properties, "Version", "&s", &version);
  g_variant_lookup(properties, "ModelDigest", "&s", &digest);
  self->base.model = g_strdup(model);
  self->base.version = g_strdup(version);
  self->base.identity = g_strdup(digest);
  g_variant_lookup(properties, "Domains", "^as", &self->base.domains);
  if (self->base.domains == NULL) {
    self->base.domains = g_new0(char *, 1);
  }
  return &self->base;
}
