/* gem-client adapt: teaches the service a domain from texts, with its progress; Ctrl-C gives it up. */
#include <string.h>
#include <unistd.h>

#include "clients/gem-client/gem-client-documents.h"
#include "clients/gem-client/gem-client-job.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"

/* As they were given; NULL: not at all. Which numbers are taken is the service's to say. */
typedef struct {
  char *mode, *seconds, *worst, *gain;
} Bounds;

static void
bounds_clear(Bounds *bounds)
{
  g_free(bounds->mode);
  g_free(bounds->seconds);
  g_free(bounds->worst);
  g_free(bounds->gain);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bounds, bounds_clear)

static gboolean
fail_number(const char *option, const char *text, GError **error)
{
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s: \"%s\" is no number for it", option,
              text);
  return FALSE;
}

static gboolean
add_count(GVariantBuilder *options, const char *key, const char *option, const char *text, GError **error)
{
  guint64 value;

  if (text == NULL) {
    return TRUE;
  }
  if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT32, &value, NULL)) {
    return fail_number(option, text, error);
  }
  g_variant_builder_add(options, "{sv}", key, g_variant_new_uint32((guint32)value));
  return TRUE;
}

static gboolean
add_percent(GVariantBuilder *options, const char *key, const char *option, const char *text, GError **error)
{
  char *end = NULL;
  double value;

  if (text == NULL) {
    return TRUE;
  }
  value = g_ascii_strtod(text, &end);
  if (end == text || *end != '\0') {
    return fail_number(option, text, error);
  }
  g_variant_builder_add(options, "{sv}", key, g_variant_new_double(value));
  return TRUE;
}

/* a{sv}; transfer full. */
static GVariant *
make_options(const Bounds *bounds, GError **error)
{
  g_autoptr(GVariantBuilder) options = g_variant_builder_new(G_VARIANT_TYPE_VARDICT);

  if (bounds->mode != NULL) {
    g_variant_builder_add(options, "{sv}", "mode", g_variant_new_string(bounds->mode));
  }
  if (!add_count(options, "seconds", "seconds", bounds->seconds, error) ||
      !add_percent(options, "worst_other_percent", "worst-other", bounds->worst, error) ||
      !add_percent(options, "least_gain_percent", "least-gain", bounds->gain, error)) {
    return NULL;
  }
  return g_variant_ref_sink(g_variant_builder_end(options));
}

static double
figure(GVariant *details, const char *key)
{
  double value = 0;

  g_variant_lookup(details, key, "d", &value);
  return value;
}

static void
print_figures(GVariant *details)
{
  double before = figure(details, "held_out_before"), after = figure(details, "held_out_after");

  gem_output_printf("held-out perplexity %.2f -> %.2f (%+.1f %%); the other domains at worst %+.2f %%\n",
                    before, after, before > 0 ? 100 * (after / before - 1) : 0,
                    figure(details, "worst_other_percent"));
  gem_output_printf("%.0f %% of the held-out tokens go to it; %.1f s\n",
                    100 * figure(details, "routed_share"), figure(details, "seconds"));
}

static void
print_json(const GemJobResult *result)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  gem_json_add_string(builder, "result", result->result);
  gem_json_add_members(builder, result->details);
  json_builder_end_object(builder);
  gem_json_print(builder);
}

static const GemJobWords words = {
    .given_up = "given up: nothing has changed",
    .cancelled = "the learning was given up",
    .gone = "the service left the bus; it goes on learning when it is back: see gem-client learned",
    .told_by = "gem-client learned",
};

static GemExit
tell(const char *name, const GemJobResult *result, gboolean json)
{
  gboolean refused = g_strcmp0(result->result, "refused") == 0;
  const char *reason = "";
  gboolean unshared = FALSE;

  if (g_strcmp0(result->result, "done") != 0 && !refused) {
    return gem_job_complain(result, &words);
  }
  if (json) {
    print_json(result);
  } else if (!refused) {
    gem_output_printf("%s is learned, and in service for you\n", name);
    print_figures(result->details);
    if (g_variant_lookup(result->details, "no_longer_shared", "b", &unshared) && unshared) {
      gem_output_printf("it is no longer shared: this version was learned from another text\n");
    }
  } else {
    print_figures(result->details);
  }
  if (refused) {
    g_variant_lookup(result->details, "reason", "&s", &reason);
    gem_output_complain("refused, and nothing has changed: %s", reason);
  }
  return refused ? GEM_EXIT_FAILED : GEM_EXIT_OK;
}

static GemExit
adapt(GemRemote *remote, const char *name, int text, GVariant *options, gboolean json)
{
  g_auto(GemJobResult) result = {0};
  g_autoptr(GUnixFDList) descriptors = g_unix_fd_list_new_from_array(&text, 1); /* takes it */
  g_autofree char *doing = g_strconcat("learning ", name, NULL);

  gem_job_run(remote, doing, "AdaptDomain", g_variant_new("(sh@a{sv})", name, 0, options), descriptors,
              &result);
  return tell(name, &result, json);
}

static gboolean
check_arguments(GStrv arguments, GError **error)
{
  guint n = arguments != NULL ? g_strv_length(arguments) : 0;

  if (n == 0 || !g_utf8_validate(arguments[0], -1, NULL) || (n == 1 && isatty(STDIN_FILENO))) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "adapt takes the NAME of a domain and FILEs with text, or text through a pipe");
    return FALSE;
  }
  return TRUE;
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  g_auto(Bounds) bounds = {NULL};
  const GOptionEntry entries[] = {
      {"mode", 0, 0, G_OPTION_ARG_STRING, &bounds.mode, "dapt for running text, tapt for short tasks (dapt)",
       "MODE"},
      {"seconds", 0, 0, G_OPTION_ARG_STRING, &bounds.seconds,
       "How long it may take (290, or less where the service allows less)", "SECONDS"},
      {"worst-other", 0, 0, G_OPTION_ARG_STRING, &bounds.worst,
       "How much worse another domain may become (1)", "PERCENT"},
      {"least-gain", 0, 0, G_OPTION_ARG_STRING, &bounds.gain,
       "How much better the held-out text must become (2)", "PERCENT"},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry *const groups[] = {entries, NULL};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(GVariant) asked = NULL;
  int text;

  if (!gem_verb_parse(self, groups, argv, &options, &error) || !check_arguments(options.arguments, &error)) {
    return gem_exit_report(error);
  }
  asked = make_options(&bounds, &error);
  if (asked == NULL) {
    return gem_exit_report(error);
  }
  text = gem_documents_to_memfd((const char *const *)options.arguments + 1, &error);
  if (text < 0) {
    return gem_exit_report(error);
  }
  remote = gem_remote_open(&options, &error);
  if (remote == NULL) {
    close(text);
    return gem_exit_report(error);
  }
  return adapt(remote, options.arguments[0], text, asked, options.json);
}

const GemVerb gem_verb_adapt = {
    .name = "adapt",
    .arguments = "NAME [FILE...]",
    .summary = "Teach the service a domain from your texts",
    .details = "NAME is adaptive, which the model has, or a new one. The text stays on this machine, is "
               "deleted when it\n"
               "is learned, and what was learned is for your user alone. Ctrl-C gives it up.\n\n"
               "Examples:\n"
               "  gem-client adapt garden ~/Documents/garden/*.txt\n"
               "  pdftotext manual.pdf - | gem-client adapt manual",
    .run = run,
};
