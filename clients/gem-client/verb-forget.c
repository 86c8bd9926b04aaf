/* gem-client forget and undo: what was learned goes, wholly or the last of it. */
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"

static GemExit
call(const GemVerb *self, char **argv, const char *method)
{
  g_auto(GemVerbOptions) options = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(GVariant) reply = NULL;

  if (!gem_verb_parse(self, NULL, argv, &options, &error)) {
    return gem_exit_report(error);
  }
  if (options.arguments == NULL || g_strv_length(options.arguments) != 1 ||
      !g_utf8_validate(options.arguments[0], -1, NULL)) {
    gem_output_complain("%s takes the NAME of a domain", self->name);
    return GEM_EXIT_USAGE;
  }
  remote = gem_remote_open(&options, &error);
  reply = remote != NULL
              ? gem_remote_call_manager(remote, method, g_variant_new("(sa{sv})", options.arguments[0], NULL),
                                        "()", &error)
              : NULL;
  return reply != NULL ? GEM_EXIT_OK : gem_exit_report(error);
}

static GemExit
run_forget(const GemVerb *self, char **argv)
{
  return call(self, argv, "ForgetDomain");
}

static GemExit
run_undo(const GemVerb *self, char **argv)
{
  return call(self, argv, "UndoAdaptation");
}

const GemVerb gem_verb_forget = {
    .name = "forget",
    .arguments = "NAME",
    .summary = "Delete a domain that you had learned",
    .details = "With every version of it, and what is being learned for it.\n\n"
               "Example:\n"
               "  gem-client forget garden",
    .run = run_forget,
};

const GemVerb gem_verb_undo = {
    .name = "undo",
    .arguments = "NAME",
    .summary = "Go back to what a domain was before it was last learned",
    .details = "What is being learned is given up; else the version before comes back; else, where there is "
               "none, the\n"
               "domain is forgotten. A domain that was shared is not when the version before is back.\n\n"
               "Example:\n"
               "  gem-client undo garden",
    .run = run_undo,
};
