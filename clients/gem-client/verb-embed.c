/* gem-client embed: a text as a vector. */
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-text-call.h"

static void
print_json(GVariant *vector)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  gem_json_add_variant(builder, vector);
  gem_json_print(builder);
}

static void
print_plain(GVariant *vector)
{
  GVariantIter iter;
  double value;

  g_variant_iter_init(&iter, vector);
  while (g_variant_iter_next(&iter, "d", &value)) {
    gem_output_printf("%.9g\n", value);
  }
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_auto(GemRunArguments) arguments = {0};
  g_autofree GOptionEntry *entries = gem_run_arguments_entries(&arguments);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = NULL;
  g_autoptr(GVariant) vector = NULL;

  if (!gem_verb_parse(self, (const GOptionEntry *const[]){entries, NULL}, argv, &options, &error)) {
    return gem_exit_report(error);
  }
  reply = gem_text_call(&options, &arguments, "Embed", "(ad)", &error);
  if (reply == NULL) {
    return gem_run_options_report(error);
  }
  vector = g_variant_get_child_value(reply, 0);
  if (options.json) {
    print_json(vector);
  } else {
    print_plain(vector);
  }
  return GEM_EXIT_OK;
}

const GemVerb gem_verb_embed = {
    .name = "embed",
    .arguments = "[TEXT]",
    .summary = "Turn a text into a vector of unit length",
    .details = "Prints a number a line; with --json an array. The cosine of two texts is the sum of the "
               "products.\n\n"
               "Examples:\n"
               "  gem-client embed \"a lease\" > lease.vec\n"
               "  gem-client embed \"a contract\" > contract.vec\n"
               "  paste lease.vec contract.vec | awk '{ s += $1 * $2 } END { print s }'",
    .run = run,
};
