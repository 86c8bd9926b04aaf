/* gem-client learned: the domains that were learned. */
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"
#include "clients/gem-client/gem-client-table.h"

static const char *
string_of(GVariant *domain, const char *key)
{
  const char *value = "";

  g_variant_lookup(domain, key, "&s", &value);
  return value;
}

static gboolean
flag_of(GVariant *domain, const char *key)
{
  gboolean value = FALSE;

  g_variant_lookup(domain, key, "b", &value);
  return value;
}

/* "learning, 45 %", or the state alone. */
static char *
describe_state(GVariant *domain)
{
  double progress = 0;

  if (!g_variant_lookup(domain, "progress", "d", &progress)) {
    return g_strdup(string_of(domain, "state"));
  }
  return g_strdup_printf("%s, %.0f %%", string_of(domain, "phase"), progress * 100);
}

/* By how much the perplexity of the held-out text fell. */
static char *
describe_gain(GVariant *domain)
{
  g_autoptr(GVariant) figures = g_variant_lookup_value(domain, "figures", G_VARIANT_TYPE_VARDICT);
  double before = 0, after = 0;

  if (figures == NULL || !g_variant_lookup(figures, "held_out_before", "d", &before) ||
      !g_variant_lookup(figures, "held_out_after", "d", &after) || before <= 0) {
    return g_strdup("");
  }
  return g_strdup_printf("%.2f -> %.2f", before, after);
}

/* Why it is as it is; else why the last learning came to nothing, beside the version that there is. */
static char *
describe_reason(GVariant *domain)
{
  const char *reason = string_of(domain, "reason"), *last = string_of(domain, "last_result");

  if (reason[0] != '\0' || last[0] == '\0') {
    return g_strdup(reason);
  }
  return g_strdup_printf("last learning %s: %s", last, string_of(domain, "last_reason"));
}

static void
print_table(GVariant *domains)
{
  static const char *const headings[] = {"DOMAIN", "OF", "STATE", "IN SERVICE", "PERPLEXITY", "REASON", NULL};
  g_autoptr(GemTable) table = gem_table_new("llllll", headings);

  for (gsize i = 0; i < g_variant_n_children(domains); i++) {
    g_autoptr(GVariant) domain = g_variant_get_child_value(domains, i);
    g_autofree char *state = describe_state(domain);
    g_autofree char *gain = describe_gain(domain);
    g_autofree char *reason = describe_reason(domain);
    const char *of = flag_of(domain, "mine") ? flag_of(domain, "shared") ? "you, shared" : "you" : "shared";

    gem_table_add(table, -1,
                  (const char *const[]){string_of(domain, "name"), of, state,
                                        flag_of(domain, "serving") ? "yes" : "no", gain, reason, NULL});
  }
  gem_table_print(table);
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(GVariant) reply = NULL;
  g_autoptr(GVariant) domains = NULL;
  g_autoptr(JsonBuilder) builder = NULL;

  if (!gem_verb_parse(self, NULL, argv, &options, &error)) {
    return gem_exit_report(error);
  }
  remote = gem_remote_open(&options, &error);
  reply = remote != NULL ? gem_remote_call_manager(remote, "LearnedDomains", g_variant_new("(a{sv})", NULL),
                                                   "(aa{sv})", &error)
                         : NULL;
  if (reply == NULL) {
    return gem_exit_report(error);
  }
  domains = g_variant_get_child_value(reply, 0);
  if (options.json) {
    builder = json_builder_new();
    gem_json_add_variant(builder, domains);
    gem_json_print(builder);
  } else if (g_variant_n_children(domains) > 0) {
    print_table(domains);
  }
  return GEM_EXIT_OK;
}

const GemVerb gem_verb_learned = {
    .name = "learned",
    .arguments = "",
    .summary = "Show the domains that were learned",
    .details = "Yours, and those that an administrator shared with everybody. Nothing is printed when there "
               "are none.\n\n"
               "Example:\n"
               "  gem-client learned",
    .run = run,
};
