#include "clients/gem-bench/gem-bench-command.h"

#include <math.h>
#include <string.h>

#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "dbus/gem-names.h"

static const GemBenchCommand *const commands[] = {
    &gem_bench_classify,
    &gem_bench_perplexity,
    &gem_bench_routing,
    &gem_bench_speed,
};

void
gem_bench_options_clear(GemBenchOptions *options)
{
  gem_verb_options_clear(&options->bus);
  g_clear_pointer(&options->json, g_free);
}

static gboolean
check_common(const GemBenchCommand *self, const GemVerbOptions *bus, GError **error)
{
  if (self->arguments[0] == '\0' && bus->arguments != NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s takes no argument, and '%s' is one",
                self->name, bus->arguments[0]);
    return FALSE;
  }
  if (bus->system + bus->session + (bus->address != NULL) > 1) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--system, --session and --address exclude each other");
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_bench_parse(const GemBenchCommand *self,
                const GOptionEntry *const *groups,
                char **argv,
                GemBenchOptions *options,
                GError **error)
{
  GemVerbOptions *bus = &options->bus;
  const GOptionEntry common[] = {
      {"json", 0, 0, G_OPTION_ARG_FILENAME, &options->json, "Write the results to FILE too, as JSON", "FILE"},
      {"system", 0, 0, G_OPTION_ARG_NONE, &bus->system, "Speak to the system bus (the default)", NULL},
      {"session", 0, 0, G_OPTION_ARG_NONE, &bus->session, "Speak to the session bus", NULL},
      {"address", 0, 0, G_OPTION_ARG_FILENAME, &bus->address, "Speak to the bus at ADDRESS", "ADDRESS"},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &bus->arguments, NULL, NULL},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree char *usage = g_strdup_printf("%s\n\n%s.", self->arguments, self->summary);
  g_autofree char *program = g_strconcat("gem-bench ", self->name, NULL);
  g_autoptr(GOptionContext) context = g_option_context_new(usage);
  /* GOption reorders and shortens the vector, but does not free what it drops. */
  g_autofree char **copy = g_memdup2(argv, (g_strv_length(argv) + 1) * sizeof *argv);
  gint argc = (gint)g_strv_length(argv);

  g_set_prgname(program); /* stands in --help */
  for (; *groups != NULL; groups++) {
    g_option_context_add_main_entries(context, *groups, NULL);
  }
  g_option_context_add_main_entries(context, common, NULL);
  g_option_context_set_description(context, self->details);
  return g_option_context_parse(context, &argc, &copy, error) && check_common(self, bus, error);
}

gboolean
gem_bench_check_range(const char *option, gint value, gint least, gint most, GError **error)
{
  if (value >= least && value <= most) {
    return TRUE;
  }
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s: %d is not within %d to %d", option,
              value, least, most);
  return FALSE;
}

static void
print_help(void)
{
  gsize i;

  g_print("Usage: gem-bench COMMAND [OPTION...] [ARGUMENT...]\n\n"
          "Measures the language-model service of this system, gemd, as its clients see it.\n\nCommands:\n");
  for (i = 0; i < G_N_ELEMENTS(commands); i++) {
    g_print("  %-10s  %s\n", commands[i]->name, commands[i]->summary);
  }
  g_print(
      "\ngem-bench COMMAND --help tells a command's options. gem-bench --version tells the version.\n"
      "Exit codes: 0 measured, 1 failed or below what was asked for, 2 wrong usage, 3 no service reached,\n"
      "4 not authorized, 5 input not taken, 6 a limit, 7 model not ready. See gem-bench(1).\n");
}

static const GemBenchCommand *
find_command(const char *name)
{
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(commands); i++) {
    if (strcmp(commands[i]->name, name) == 0) {
      return commands[i];
    }
  }
  return NULL;
}

GemExit
gem_bench_main(char **argv)
{
  const char *word = argv[0] == NULL ? NULL : argv[1];
  const GemBenchCommand *command;

  if (g_strcmp0(word, "--help") == 0 || g_strcmp0(word, "-h") == 0 || g_strcmp0(word, "help") == 0) {
    print_help();
    return gem_output_flush(GEM_EXIT_OK);
  }
  if (g_strcmp0(word, "--version") == 0) {
    g_print("gem-bench %s\n", GEM_VERSION);
    return gem_output_flush(GEM_EXIT_OK);
  }
  command = word == NULL ? NULL : find_command(word);
  if (command == NULL) {
    if (word == NULL) {
      gem_output_complain("no command; gem-bench --help lists them");
    } else {
      gem_output_complain("no command '%s'; gem-bench --help lists them", word);
    }
    return GEM_EXIT_USAGE;
  }
  return gem_output_flush(command->run(command, argv + 1));
}

char *
gem_bench_describe_service(GemRemote *remote, GError **error)
{
  g_autoptr(GVariant) properties =
      gem_remote_get_properties(remote, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, error);
  const char *model = "", *version = "";

  if (properties == NULL) {
    return NULL;
  }
  g_variant_lookup(properties, "ModelName", "&s", &model);
  g_variant_lookup(properties, "Version", "&s", &version);
  return g_strdup_printf("%s, gemd %s", model[0] == '\0' ? "no model" : model, version);
}

JsonBuilder *
gem_bench_json_begin(const GemBenchCommand *self, const GemBenchOptions *options, const char *service)
{
  JsonBuilder *builder;

  if (options->json == NULL) {
    return NULL;
  }
  builder = json_builder_new();
  json_builder_begin_object(builder);
  gem_json_add_string(builder, "command", self->name);
  gem_json_add_string(builder, "service", service);
  return builder;
}

gboolean
gem_bench_json_finish(JsonBuilder *builder, const GemBenchOptions *options, GError **error)
{
  g_autoptr(JsonNode) root = NULL;
  g_autofree char *text = NULL;

  if (builder == NULL) {
    return TRUE;
  }
  json_builder_end_object(builder);
  root = json_builder_get_root(builder);
  text = json_to_string(root, TRUE);
  return g_file_set_contents(options->json, text, -1, error);
}

void
gem_bench_json_add_double(JsonBuilder *builder, const char *name, double value)
{
  json_builder_set_member_name(builder, name);
  if (isfinite(value)) {
    json_builder_add_double_value(builder, value);
  } else {
    json_builder_add_null_value(builder);
  }
}

void
gem_bench_json_add_count(JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_int_value(builder, (gint64)value);
}
