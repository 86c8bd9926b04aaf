/* gem-client tokens: how long a text is for the model. */
#include "clients/gem-client/gem-client-input.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"

static gboolean
count(const GemVerbOptions *options, guint64 *ret_tokens, GError **error)
{
  g_autofree char *text = gem_input_text(options, error);
  g_autoptr(GemRemote) remote = text == NULL ? NULL : gem_remote_open(options, error);
  g_autoptr(GVariant) reply = NULL;

  if (remote == NULL) {
    return FALSE;
  }
  reply = gem_remote_call_manager(remote, "CountTokens", g_variant_new("(s)", text), "(t)", error);
  if (reply == NULL) {
    return FALSE;
  }
  g_variant_get(reply, "(t)", ret_tokens);
  return TRUE;
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_autoptr(GError) error = NULL;
  guint64 tokens = 0;

  if (!gem_verb_parse(self, NULL, argv, &options, &error) || !count(&options, &tokens, &error)) {
    return gem_exit_report(error);
  }
  gem_output_printf(options.json ? "{\"tokens\":%" G_GUINT64_FORMAT "}\n" : "%" G_GUINT64_FORMAT "\n",
                    tokens);
  return GEM_EXIT_OK;
}

const GemVerb gem_verb_tokens = {
    .name = "tokens",
    .arguments = "[TEXT]",
    .summary = "Count the tokens of a text",
    .details = "Without the model's template.\n\n"
               "Examples:\n"
               "  gem-client tokens \"Patient has high temperature today\"\n"
               "  gem-client tokens - < letter.txt",
    .run = run,
};
