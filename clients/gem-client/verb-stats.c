/* gem-client stats: what the service does and has done, in numbers; for administrators. */
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-load.h"
#include "clients/gem-client/gem-client-output.h"

#define ROW "%-11s "
#define N   "%" G_GUINT64_FORMAT

static void
print_now(GVariant *stats)
{
  double uptime = gem_load_double(stats, "uptime_seconds");
  g_autofree char *load = gem_load_describe(stats);
  g_autofree char *resident = gem_output_size(gem_load_number(stats, "resident_bytes"));
  g_autofree char *cache = gem_output_size(gem_load_number(stats, "kv_cache"));
  g_autofree char *inhibitors = gem_load_describe_table(stats, "idle_inhibitors");
  guint64 minutes = (guint64)(uptime / 60);

  gem_output_printf(ROW N " h " N " min " N " s\n", "up", minutes / 60, minutes % 60, (guint64)uptime % 60);
  gem_output_printf(ROW "%s\n", "load", load);
  gem_output_printf(ROW "sessions " N ", turns " N ", streams " N ", calls " N ", tokens in flight " N "\n",
                    "open", gem_load_number(stats, "sessions"), gem_load_number(stats, "requests"),
                    gem_load_number(stats, "streams"), gem_load_number(stats, "calls"),
                    gem_load_number(stats, "tokens_in_flight"));
  gem_output_printf(ROW "%s\n", "kept by", inhibitors);
  gem_output_printf(ROW "%s resident, %s granted to sessions; step " N " of 4\n", "memory", resident, cache,
                    gem_load_number(stats, "memory_step"));
}

static void
print_paging(GVariant *stats)
{
  g_autofree char *relief = gem_output_size(gem_load_number(stats, "relief_bytes"));

  gem_output_printf(ROW "in " N ", failed " N "; out: asked " N ", memory short " N ", MemoryLimit " N "\n",
                    "paging", gem_load_number(stats, "page_ins"), gem_load_number(stats, "page_in_failures"),
                    gem_load_number(stats, "page_outs_asked"), gem_load_number(stats, "page_outs_relief"),
                    gem_load_number(stats, "page_outs_budget"));
  gem_output_printf(ROW "%s; caches dropped: memory short " N ", MemoryLimit " N "; calls refused " N
                        "; degraded tokens " N "\n",
                    "given back", relief, gem_load_number(stats, "cache_drops_relief"),
                    gem_load_number(stats, "cache_drops_budget"), gem_load_number(stats, "memory_refusals"),
                    gem_load_number(stats, "degraded_tokens"));
}

static void
print_table(GVariant *stats, const char *label, const char *key)
{
  g_autofree char *text = gem_load_describe_table(stats, key);

  gem_output_printf(ROW "%s\n", label, text);
}

static void
print_latency(GVariant *stats, const char *label, const char *key)
{
  g_autoptr(GVariant) latency = g_variant_lookup_value(stats, key, G_VARIANT_TYPE("a{sd}"));

  if (latency != NULL && gem_load_double(latency, "p50") > 0) {
    gem_output_printf(ROW "half within %.2f ms, 95 of 100 within %.2f, 99 within %.2f\n", label,
                      gem_load_double(latency, "p50") * 1e3, gem_load_double(latency, "p95") * 1e3,
                      gem_load_double(latency, "p99") * 1e3);
  }
}

static void
print_plain(GVariant *stats)
{
  print_now(stats);
  gem_output_printf(ROW N " read, " N " written\n", "tokens", gem_load_number(stats, "prompt_tokens"),
                    gem_load_number(stats, "generated_tokens"));
  print_table(stats, "pathways", "pathway_tokens");
  print_table(stats, "answered", "answered");
  print_table(stats, "refused", "errors");
  print_table(stats, "turns", "turns");
  print_latency(stats, "first text", "first_text_seconds");
  print_latency(stats, "a token", "token_seconds");
  print_paging(stats);
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(GVariant) stats = NULL;
  g_autoptr(GError) error = NULL;

  if (!gem_verb_parse(self, NULL, argv, &options, &error)) {
    return gem_exit_report(error);
  }
  remote = gem_remote_open(&options, &error);
  stats = remote != NULL ? gem_load_get(remote, TRUE, &error) : NULL;
  if (stats == NULL) {
    return gem_exit_report(error);
  }
  if (options.json) {
    g_autoptr(JsonBuilder) builder = json_builder_new();

    gem_json_add_variant(builder, stats);
    gem_json_print(builder);
  } else {
    print_plain(stats);
  }
  return GEM_EXIT_OK;
}

const GemVerb gem_verb_stats = {
    .name = "stats",
    .arguments = "",
    .summary = "Show what the service does and has done, in numbers",
    .details =
        "For administrators: what others ask about is theirs. Counts begin with the service, or with the\n"
        "model that it serves; times are rounded up by at most a tenth.\n\n"
        "Examples:\n"
        "  sudo gem-client stats\n"
        "  sudo gem-client stats --json | jq .pathway_tokens",
    .run = run,
};
