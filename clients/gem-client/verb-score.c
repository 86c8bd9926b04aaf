/* gem-client score: how likely a text is. */
#include <math.h>

#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-text-call.h"

static void
print_json(double log_likelihood, guint64 tokens, double perplexity)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autoptr(GVariant) values = NULL;
  GVariantDict dict;

  g_variant_dict_init(&dict, NULL);
  g_variant_dict_insert(&dict, "log_likelihood", "d", log_likelihood);
  g_variant_dict_insert(&dict, "tokens", "t", tokens);
  g_variant_dict_insert(&dict, "perplexity", "d", perplexity);
  values = g_variant_ref_sink(g_variant_dict_end(&dict));
  gem_json_add_variant(builder, values);
  gem_json_print(builder);
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_auto(GemRunArguments) arguments = {0};
  g_autofree GOptionEntry *entries = gem_run_arguments_entries(&arguments);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = NULL;
  double log_likelihood, perplexity;
  guint64 tokens;

  if (!gem_verb_parse(self, (const GOptionEntry *const[]){entries, NULL}, argv, &options, &error)) {
    return gem_exit_report(error);
  }
  reply = gem_text_call(&options, &arguments, "Score", "(dt)", &error);
  if (reply == NULL) {
    return gem_run_options_report(error);
  }
  g_variant_get(reply, "(dt)", &log_likelihood, &tokens);
  perplexity = tokens == 0 ? NAN : exp(-log_likelihood / (double)tokens);
  if (options.json) {
    print_json(log_likelihood, tokens, perplexity);
  } else {
    gem_output_printf("log-likelihood %.4f, %" G_GUINT64_FORMAT " tokens, perplexity %.4f\n", log_likelihood,
                      tokens, perplexity);
  }
  return GEM_EXIT_OK;
}

const GemVerb gem_verb_score = {
    .name = "score",
    .arguments = "[TEXT]",
    .summary = "Tell how likely a text is",
    .details = "The sum of the natural logarithms of the tokens' probabilities, and the perplexity.\n\n"
               "Examples:\n"
               "  gem-client score \"The court dismissed the appeal.\"\n"
               "  gem-client score --domain general --json \"The court dismissed the appeal.\"",
    .run = run,
};
