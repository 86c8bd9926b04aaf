/* gem-client route: what the router decides. */
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-routes.h"
#include "clients/gem-client/gem-client-text-call.h"

static void
print_json(GVariant *tokens)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  gem_routes_add_json(builder, tokens);
  gem_json_print(builder);
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = NULL;
  g_autoptr(GVariant) tokens = NULL;

  if (!gem_verb_parse(self, NULL, argv, &options, &error)) {
    return gem_exit_report(error);
  }
  reply = gem_text_call(&options, &(GemRunArguments){0}, "Route", "(a(sttsa{sd}))", &error);
  if (reply == NULL) {
    return gem_exit_report(error);
  }
  tokens = g_variant_get_child_value(reply, 0);
  if (options.json) {
    print_json(tokens);
  } else {
    gem_routes_print(tokens);
    gem_output_text("\n");
    gem_routes_print_summary(tokens);
  }
  return GEM_EXIT_OK;
}

const GemVerb gem_verb_route = {
    .name = "route",
    .arguments = "[TEXT]",
    .summary = "Show which pathway each token of a text takes",
    .details =
        "A row a token: its text (U+2581 for a space), its pathway, and the router's probability for that\n"
        "pathway; where it stays with general, the domain that came closest.\n\n"
        "Examples:\n"
        "  gem-client route \"Patient has high temperature today\"\n"
        "  gem-client route --json - < letter.txt | jq -r '.[].pathway' | sort | uniq -c",
    .run = run,
};
