#include "bench/gem-bench-command.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clients/gem-client/gem-client-output.h"
#include "daemon/base/gem-version.h"

static const GemBenchCommand *const commands[] = {
    &gem_bench_adapt,      &gem_bench_baseline, &gem_bench_cancel, &gem_bench_classify,
    &gem_bench_clients,    &gem_bench_edge,     &gem_bench_limits, &gem_bench_paging,
    &gem_bench_perplexity, &gem_bench_report,   &gem_bench_router, &gem_bench_routing,
    &gem_bench_sampling,   &gem_bench_scar,     &gem_bench_speed,  &gem_bench_storm,
};

void
gem_bench_options_clear(GemBenchOptions *options)
{
  gem_verb_options_clear(&options->bus);
  g_clear_pointer(&options->json, g_free);
  g_clear_pointer(&options->chart, g_free);
  g_clear_pointer(&options->arguments, g_strfreev);
}

static gboolean
check_common(const GemBenchCommand *self, const GemBenchOptions *options, GError **error)
{
  const GemVerbOptions *bus = &options->bus;

  if (self->arguments[0] == '\0' && options->arguments != NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s takes no argument, and '%s' is one",
                self->name, options->arguments[0]);
    return FALSE;
  }
  if (bus->system + bus->session + (bus->address != NULL) > 1) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--system, --session and --address exclude each other");
    return FALSE;
  }
  return TRUE;
}

static void
add_common(const GemBenchCommand *self, GOptionContext *context, GemBenchOptions *options)
{
  GemVerbOptions *bus = &options->bus;
  const GOptionEntry chart_entries[] = {
      {"chart", 0, 0, G_OPTION_ARG_FILENAME, &options->chart, "Draw the results into FILE too, as SVG",
       "FILE"},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry bus_entries[] = {
      {"system", 0, 0, G_OPTION_ARG_NONE, &bus->system, "Speak to the system bus (the default)", NULL},
      {"session", 0, 0, G_OPTION_ARG_NONE, &bus->session, "Speak to the session bus", NULL},
      {"address", 0, 0, G_OPTION_ARG_FILENAME, &bus->address, "Speak to the bus at ADDRESS", "ADDRESS"},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry json_entries[] = {
      {"json", 0, 0, G_OPTION_ARG_FILENAME, &options->json, "Write the results to FILE too, as JSON", "FILE"},
      G_OPTION_ENTRY_NULL,
  };
  const GOptionEntry all_entries[] = {
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->arguments, NULL, NULL},
      G_OPTION_ENTRY_NULL,
  };

  if (self->takes & GEM_BENCH_TAKES_CHART) {
    g_option_context_add_main_entries(context, chart_entries, NULL);
  }
  if (!(self->takes & GEM_BENCH_TAKES_NO_JSON)) {
    g_option_context_add_main_entries(context, json_entries, NULL);
  }
  g_option_context_add_main_entries(context, all_entries, NULL);
  if (self->takes & GEM_BENCH_TAKES_BUS) {
    g_option_context_add_main_entries(context, bus_entries, NULL);
  }
}

gboolean
gem_bench_parse(const GemBenchCommand *self,
                const GOptionEntry *const *groups,
                char **argv,
                GemBenchOptions *options,
                GError **error)
{
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
  add_common(self, context, options);
  g_option_context_set_description(context, self->details);
  return g_option_context_parse(context, &argc, &copy, error) && check_common(self, options, error);
}

GemExit
gem_bench_complain(const GError *error)
{
  static const GemTypedOption typed[] = {
      {"clusters", "clusters"},
      {"domain", "domain"},
      {"max_tokens", "tokens"},
      {"name", "name"},
      {"priority", "priority"},
      {"seconds", "seconds"},
      {NULL, NULL},
  };

  return gem_exit_report_typed(error, typed);
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

/* Why nothing can be written at `path`, as errno says it; 0: it can. */
static int
find_obstacle(const char *path)
{
  g_autofree char *beside = g_strconcat(path, ".XXXXXX", NULL);
  int file;

  if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
    return EISDIR;
  }
  if (g_file_test(path, G_FILE_TEST_EXISTS) && !g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
    return access(path, W_OK) == 0 ? 0 : errno; /* a pipe or a device: nothing is put beside it */
  }
  file = g_mkstemp(beside);
  if (file < 0) {
    return errno;
  }
  close(file);
  unlink(beside);
  return 0;
}

gboolean
gem_bench_check_writable(const char *option, const char *path, GError **error)
{
  int code = path == NULL ? 0 : find_obstacle(path);

  if (code != 0) {
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "--%s: %s: %s", option, path,
                g_strerror(code));
  }
  return code == 0;
}

const char *
gem_bench_get_argument(const GemBenchOptions *options, const char *what, GError **error)
{
  guint n = options->arguments == NULL ? 0 : g_strv_length(options->arguments);

  if (n == 1) {
    return options->arguments[0];
  }
  if (n == 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "a %s is wanted", what);
  } else {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "one %s is wanted, and '%s' is another",
                what, options->arguments[1]);
  }
  return NULL;
}

GArray *
gem_bench_parse_numbers(const char *option, const char *text, guint least, guint most, GError **error)
{
  g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(guint));
  g_auto(GStrv) words = g_strsplit(text, ",", -1);
  guint before = 0, i;

  for (i = 0; words[i] != NULL; i++) {
    guint64 number;
    guint value;

    if (!g_ascii_string_to_unsigned(words[i], 10, least, most, &number, NULL)) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s: '%s' is no number within %u to %u",
                  option, words[i], least, most);
      return NULL;
    }
    value = (guint)number;
    if (value <= before) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s: %u does not follow on %u", option,
                  value, before);
      return NULL;
    }
    g_array_append_val(numbers, value);
    before = value;
  }
  if (numbers->len == 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s: a number is wanted", option);
    return NULL;
  }
  return g_steal_pointer(&numbers);
}

static void
print_help(void)
{
  gsize i;

  g_print("Usage: gem-bench COMMAND [OPTION...] [ARGUMENT...]\n\n"
          "Measures gemd, the language-model service of this system: through the bus, as its clients see it, "
          "or\n"
          "its engine alone, run in this process.\n\nCommands:\n");
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
