#include "daemon/service/gem-statistics.h"

#include "daemon/service/gem-latency.h"
#include "daemon/service/gem-service.h"

struct _GemStatistics {
  gint64 started;    /* monotonic, us */
  GHashTable *calls; /* here and below: char* -> guint64*: method */
  GHashTable *errors;
  GHashTable *turns;    /* by reason */
  GHashTable *pathways; /* tokens run through each */
  guint64 prompt_tokens, generated_tokens;
  guint64 readers_dropped;
  GemLatency first_text, token;
};

GemStatistics *
gem_statistics_new(void)
{
  GemStatistics *self = g_new0(GemStatistics, 1);

  self->started = g_get_monotonic_time();
  self->calls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  self->errors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  self->turns = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  self->pathways = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

void
gem_statistics_free(GemStatistics *self)
{
  g_hash_table_unref(self->calls);
  g_hash_table_unref(self->errors);
  g_hash_table_unref(self->turns);
  g_hash_table_unref(self->pathways);
  g_free(self);
}

/* ---- counting ---- */

static void
count(GHashTable *table, const char *name, guint64 more)
{
  guint64 *sum = g_hash_table_lookup(table, name);

  if (sum == NULL) {
    sum = g_new0(guint64, 1);
    g_hash_table_insert(table, g_strdup(name), sum);
  }
  *sum += more;
}

void
gem_statistics_count_call(GemStatistics *self, const char *method, const GError *error)
{
  count(self->calls, method, 1);
  if (error != NULL) {
    count(self->errors, gem_error_name(error->code), 1);
  }
}

void
gem_statistics_count_first_text(GemStatistics *self, gint64 microseconds)
{
  gem_latency_add(&self->first_text, microseconds);
}

void
gem_statistics_count_turn(GemStatistics *self, const char *reason, const GemGenerateStats *stats)
{
  GHashTableIter iter;
  gpointer pathway, tokens;

  count(self->turns, reason, 1);
  self->prompt_tokens += stats->prompt_tokens;
  self->generated_tokens += stats->generated_tokens;
  if (stats->generated_tokens > 1) {
    gem_latency_add(&self->token, (gint64)(stats->decode_seconds * G_USEC_PER_SEC / stats->generated_tokens));
  }
  if (stats->public_tokens_by_pathway != NULL) {
    g_hash_table_iter_init(&iter, stats->public_tokens_by_pathway);
    while (g_hash_table_iter_next(&iter, &pathway, &tokens)) {
      count(self->pathways, pathway, GPOINTER_TO_UINT(tokens));
    }
  }
}

void
gem_statistics_count_dropped_reader(GemStatistics *self)
{
  self->readers_dropped++;
}

/* ---- telling ---- */

static void
add(GVariantBuilder *builder, const char *key, guint64 value)
{
  g_variant_builder_add(builder, "{sv}", key, g_variant_new_uint64(value));
}

static void
add_table(GVariantBuilder *builder, const char *key, GHashTable *table)
{
  GVariantBuilder entries;
  GHashTableIter iter;
  gpointer name, sum;

  g_variant_builder_init(&entries, G_VARIANT_TYPE("a{st}"));
  g_hash_table_iter_init(&iter, table);
  while (g_hash_table_iter_next(&iter, &name, &sum)) {
    g_variant_builder_add(&entries, "{st}", name, *(const guint64 *)sum);
  }
  g_variant_builder_add(builder, "{sv}", key, g_variant_builder_end(&entries));
}

static void
add_latency(GVariantBuilder *builder, const char *key, const GemLatency *latency)
{
  GVariantBuilder entries;

  g_variant_builder_init(&entries, G_VARIANT_TYPE("a{sd}"));
  g_variant_builder_add(&entries, "{sd}", "p50", gem_latency_get(latency, 0.5));
  g_variant_builder_add(&entries, "{sd}", "p95", gem_latency_get(latency, 0.95));
  g_variant_builder_add(&entries, "{sd}", "p99", gem_latency_get(latency, 0.99));
  g_variant_builder_add(builder, "{sv}", key, g_variant_builder_end(&entries));
}

static void
add_use(GVariantBuilder *builder, const GemQuotaUse *use)
{
  static const char *const names[GEM_QUOTA_KINDS] = {
      [GEM_QUOTA_SESSIONS] = "sessions", [GEM_QUOTA_REQUESTS] = "requests",
      [GEM_QUOTA_STREAMS] = "streams",   [GEM_QUOTA_TOKENS] = "tokens_in_flight",
      [GEM_QUOTA_KV_CACHE] = "kv_cache", [GEM_QUOTA_CALLS] = "calls",
      [GEM_QUOTA_HOLDS] = "holds",
  };

  for (guint kind = 0; kind < GEM_QUOTA_KINDS; kind++) {
    add(builder, names[kind], use->amounts[kind]);
  }
}

static void
add_counters(GVariantBuilder *builder, const GemEngineCounters *counters)
{
  add(builder, "page_ins", counters->paging.page_ins);
  add(builder, "page_in_failures", counters->paging.page_in_failures);
  add(builder, "page_outs_asked", counters->paging.page_outs_asked);
  add(builder, "page_outs_relief", counters->paging.page_outs_relief);
  add(builder, "page_outs_budget", counters->paging.page_outs_budget);
  add(builder, "cache_drops_relief", counters->cache_drops_relief);
  add(builder, "cache_drops_budget", counters->cache_drops_budget);
  add(builder, "memory_refusals", counters->refusals);
  add(builder, "degraded_tokens", counters->degraded_tokens);
  add(builder, "relief_bytes", counters->relief_bytes);
  g_variant_builder_add(builder, "{sv}", "relief_steps",
                        g_variant_new_fixed_array(G_VARIANT_TYPE_UINT64, counters->relief_steps,
                                                  GEM_RELIEF_STEPS, sizeof(guint64)));
}

static void
add_engine(GVariantBuilder *builder, GemEngine *engine)
{
  GemEngineCounters counters;
  GemEngineLoad load;

  gem_engine_get_load(engine, &load);
  gem_engine_get_counters(engine, &counters);
  add(builder, "running", load.running);
  add(builder, "waiting", load.waiting);
  add(builder, "tokens", load.tokens);
  g_variant_builder_add(builder, "{sv}", "tokens_per_second", g_variant_new_double(load.tokens_per_second));
  add(builder, "resident_bytes", gem_engine_get_resident_bytes(engine));
  add_counters(builder, &counters);
}

GVariant *
gem_statistics_describe(GemStatistics *self, GemService *service)
{
  GemEngine *engine = gem_service_get_engine(service);
  double uptime = (double)(g_get_monotonic_time() - self->started) / G_USEC_PER_SEC;
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&builder, "{sv}", "uptime_seconds", g_variant_new_double(uptime));
  add_use(&builder, gem_callers_get_use(gem_service_get_callers(service)));
  if (engine != NULL) {
    add_engine(&builder, engine);
  }
  g_variant_builder_add(&builder, "{sv}", "idle_inhibitors",
                        gem_idle_describe(gem_service_get_idle(service)));
  add(&builder, "memory_step", gem_memory_get_step(gem_service_get_memory(service)));
  add(&builder, "prompt_tokens", self->prompt_tokens);
  add(&builder, "generated_tokens", self->generated_tokens);
  add(&builder, "readers_dropped", self->readers_dropped);
  add_table(&builder, "pathway_tokens", self->pathways);
  add_table(&builder, "turns", self->turns);
  add_table(&builder, "answered", self->calls);
  add_table(&builder, "errors", self->errors);
  add_latency(&builder, "first_text_seconds", &self->first_text);
  add_latency(&builder, "token_seconds", &self->token);
  return g_variant_builder_end(&builder);
}
