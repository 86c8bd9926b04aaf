/* gem-client load: another model takes over, with its progress; Ctrl-C gives it up. */
#include <string.h>

#include "clients/gem-client/gem-client-job.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"
#include "dbus/gem-names.h"

/* --grace, in seconds: what LoadModel takes, and a value that nobody gives. */
#define MOST_GRACE_SECONDS 3600
#define NOT_GIVEN          G_MININT

/* `grace_seconds` 0: what the service does by itself. */
static GVariant *
make_arguments(const char *name, guint grace_seconds)
{
  GVariantBuilder options;

  g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
  if (grace_seconds > 0) {
    g_variant_builder_add(&options, "{sv}", "grace_seconds", g_variant_new_uint32(grace_seconds));
  }
  return g_variant_new("(sa{sv})", name, &options);
}

static void
print_done(const char *name, GVariant *details, gboolean json)
{
  g_autoptr(JsonBuilder) builder = NULL;
  const char *model = name;
  double seconds = 0;

  if (json) {
    builder = json_builder_new();
    json_builder_begin_object(builder);
    gem_json_add_members(builder, details);
    json_builder_end_object(builder);
    gem_json_print(builder);
    return;
  }
  g_variant_lookup(details, "model", "&s", &model);
  g_variant_lookup(details, "seconds", "d", &seconds);
  gem_output_printf("model %s is served, after %.1f s\n", model, seconds);
}

static const GemJobWords words = {
    .given_up = "given up: the model stays as it was",
    .cancelled = "the loading was given up",
    .gone = "the service left the bus",
    .told_by = "gem-client status",
};

static GemExit
load(GemRemote *remote, const char *name, guint grace_seconds, gboolean json)
{
  g_auto(GemJobResult) result = {0};
  g_autofree char *doing = g_strconcat("loading ", name, NULL);

  gem_job_run(remote, doing, "LoadModel", make_arguments(name, grace_seconds), NULL, &result);
  if (g_strcmp0(result.result, "done") != 0) {
    return gem_job_complain(&result, &words);
  }
  print_done(name, result.details, json);
  return GEM_EXIT_OK;
}

/* ---- the verb ---- */

/* The models that there are, a name a line. */
static GemExit
list_models(GemRemote *remote, gboolean json)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) properties =
      gem_remote_get_properties(remote, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, &error);
  g_autoptr(GVariant) models = NULL;
  g_autoptr(JsonBuilder) builder = NULL;
  g_autofree const char **names = NULL;

  if (properties == NULL) {
    return gem_exit_report(error);
  }
  models = g_variant_lookup_value(properties, "Models", G_VARIANT_TYPE_STRING_ARRAY);
  if (models == NULL) {
    gem_output_complain("%s", "the service does not tell its models");
    return GEM_EXIT_FAILED;
  }
  if (json) {
    builder = json_builder_new();
    gem_json_add_variant(builder, models);
    gem_json_print(builder);
    return GEM_EXIT_OK;
  }
  names = g_variant_get_strv(models, NULL);
  if (names[0] == NULL) {
    gem_output_complain("there is no model in the folders where the service looks; see gemd(8), FILES");
  }
  for (gsize i = 0; names[i] != NULL; i++) {
    gem_output_printf("%s\n", names[i]);
  }
  return GEM_EXIT_OK;
}

static gboolean
check_arguments(gboolean list, gint grace_seconds, GStrv arguments, GError **error)
{
  guint n = arguments != NULL ? g_strv_length(arguments) : 0;

  if (n != (list ? 0 : 1)) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "load takes the NAME of a model, or --list");
    return FALSE;
  }
  if (grace_seconds != NOT_GIVEN && (grace_seconds < 1 || grace_seconds > MOST_GRACE_SECONDS)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--grace: %d is not within 1 to %d",
                grace_seconds, MOST_GRACE_SECONDS);
    return FALSE;
  }
  return TRUE;
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(GemVerbOptions) options = {0};
  gboolean list = FALSE;
  gint grace_seconds = NOT_GIVEN;
  const GOptionEntry entries[] = {
      {"list", 0, 0, G_OPTION_ARG_NONE, &list, "Print the names of the models that there are", NULL},
      {"grace", 0, 0, G_OPTION_ARG_INT, &grace_seconds, "How long what runs on the old model has to end (60)",
       "SECONDS"},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry *const groups[] = {entries, NULL};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemRemote) remote = NULL;

  if (!gem_verb_parse(self, groups, argv, &options, &error) ||
      !check_arguments(list, grace_seconds, options.arguments, &error)) {
    return gem_exit_report(error);
  }
  remote = gem_remote_open(&options, &error);
  if (remote == NULL) {
    return gem_exit_report(error);
  }
  if (list) {
    return list_models(remote, options.json);
  }
  if (!g_utf8_validate(options.arguments[0], -1, NULL)) {
    gem_output_complain("%s", "the name of the model is no UTF-8");
    return GEM_EXIT_INVALID_INPUT;
  }
  return load(remote, options.arguments[0], grace_seconds == NOT_GIVEN ? 0 : (guint)grace_seconds,
              options.json);
}

const GemVerb gem_verb_load = {
    .name = "load",
    .arguments = "[--list | NAME]",
    .summary = "Load another model, which takes over",
    .details =
        "For the superuser, and for those whom polkit lets. The old model answers until the new one does.\n"
        "Ctrl-C gives the loading up. The next start of the service loads the configured model again.\n\n"
        "Examples:\n"
        "  gem-client load --list\n"
        "  sudo gem-client load gem-80m",
    .run = run,
};
