#include "daemon/service/gem-answer.h"

GVariant *
gem_answer_route(const GemRoutedToken *token)
{
  GVariantBuilder probabilities;

  g_variant_builder_init(&probabilities, G_VARIANT_TYPE("a{sd}"));
  for (gsize i = 0; token->classes[i] != NULL; i++) {
    g_variant_builder_add(&probabilities, "{sd}", token->classes[i], token->probabilities[i]);
  }
  return g_variant_new("(sttsa{sd})", token->piece, token->offset, token->length, token->pathway,
                       &probabilities);
}

const char *
gem_answer_reason(GemFinishReason reason)
{
  switch (reason) {
  case GEM_FINISH_END:
    return "end";
  case GEM_FINISH_STOP:
    return "stop";
  case GEM_FINISH_LIMIT:
    return "limit";
  case GEM_FINISH_CONTEXT:
    return "context";
  case GEM_FINISH_CANCELLED:
    return "cancelled";
  case GEM_FINISH_SHUTDOWN:
    return "shutdown";
  case GEM_FINISH_FAILED:
    return "failed";
  case GEM_FINISH_SLOW_READER:
    return "slow-reader";
  }
  g_assert_not_reached();
}

static GVariant *
pathways(GHashTable *tokens_by_pathway)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer pathway;
  gpointer tokens;

  g_variant_builder_init(&builder, G_VARIANT_TYPE("a{su}"));
  if (tokens_by_pathway != NULL) {
    g_hash_table_iter_init(&iter, tokens_by_pathway);
    while (g_hash_table_iter_next(&iter, &pathway, &tokens)) {
      g_variant_builder_add(&builder, "{su}", (const char *)pathway, GPOINTER_TO_UINT(tokens));
    }
  }
  return g_variant_builder_end(&builder);
}

void
gem_answer_add_stats(GVariantBuilder *builder, const GemGenerateStats *stats)
{
  double speed = stats->decode_seconds > 0 ? stats->generated_tokens / stats->decode_seconds : 0;

  g_variant_builder_add(builder, "{sv}", "prompt_tokens", g_variant_new_uint32(stats->prompt_tokens));
  g_variant_builder_add(builder, "{sv}", "generated_tokens", g_variant_new_uint32(stats->generated_tokens));
  g_variant_builder_add(builder, "{sv}", "prefill_seconds", g_variant_new_double(stats->prefill_seconds));
  g_variant_builder_add(builder, "{sv}", "decode_seconds", g_variant_new_double(stats->decode_seconds));
  g_variant_builder_add(builder, "{sv}", "tokens_per_second", g_variant_new_double(speed));
  g_variant_builder_add(builder, "{sv}", "pathways", pathways(stats->tokens_by_pathway));
  g_variant_builder_add(builder, "{sv}", "degraded_tokens", g_variant_new_uint32(stats->degraded_tokens));
}
