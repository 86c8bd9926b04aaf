#include "clients/gem-client/gem-client-stats.h"

#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-routes.h"

void
gem_stats_print(GVariant *stats)
{
  guint prompt = 0, generated = 0;
  double rate = 0;
  guint64 resident = 0;
  g_autoptr(GVariant) pathways = g_variant_lookup_value(stats, "pathways", G_VARIANT_TYPE("a{su}"));
  g_autofree char *counts = pathways == NULL ? g_strdup("") : gem_routes_describe_counts(pathways);
  g_autofree char *size = NULL;

  g_variant_lookup(stats, "prompt_tokens", "u", &prompt);
  g_variant_lookup(stats, "generated_tokens", "u", &generated);
  g_variant_lookup(stats, "tokens_per_second", "d", &rate);
  g_variant_lookup(stats, "resident_bytes", "t", &resident);
  size = gem_output_size(resident);
  gem_output_printf("%u tokens (%u read, %u written), %.1f tokens/s, pathways: %s, resident: %s\n",
                    prompt + generated, prompt, generated, rate, counts[0] == '\0' ? "none" : counts, size);
}
