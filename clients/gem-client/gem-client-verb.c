#include "clients/gem-client/gem-client-verb.h"

#include <string.h>

#include "clients/gem-client/gem-client-output.h"

static const GemVerb *const verbs[] = {
    &gem_verb_ask,   &gem_verb_route,   &gem_verb_classify, &gem_verb_embed,
    &gem_verb_score, &gem_verb_tokens,  &gem_verb_pathways, &gem_verb_load,
    &gem_verb_adapt, &gem_verb_learned, &gem_verb_undo,     &gem_verb_forget,
    &gem_verb_share, &gem_verb_status,  &gem_verb_monitor,  &gem_verb_stats,
};

void
gem_verb_options_clear(GemVerbOptions *options)
{
  g_clear_pointer(&options->address, g_free);
  g_clear_pointer(&options->arguments, g_strfreev);
}

/* GOption turns the values of options into UTF-8, and says by itself only that this did not work. */
static gboolean
parse_words(GOptionContext *context, gint *argc, char ***argv, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (g_option_context_parse(context, argc, argv, &local)) {
    return TRUE;
  }
  if (local->domain == G_CONVERT_ERROR) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "the value of an option is no text in the encoding of this locale: %s", local->message);
  } else {
    g_propagate_error(error, g_steal_pointer(&local));
  }
  return FALSE;
}

gboolean
gem_verb_parse(const GemVerb *self,
               const GOptionEntry *const *groups,
               char **argv,
               GemVerbOptions *options,
               GError **error)
{
  const GOptionEntry common[] = {
      {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, "Print JSON", NULL},
      {"system", 0, 0, G_OPTION_ARG_NONE, &options->system, "Speak to the system bus (the default)", NULL},
      {"session", 0, 0, G_OPTION_ARG_NONE, &options->session, "Speak to the session bus", NULL},
      {"address", 0, 0, G_OPTION_ARG_FILENAME, &options->address, "Speak to the bus at ADDRESS", "ADDRESS"},
      /* File names, since the bytes are wanted as they are: D-Bus is UTF-8 whatever the locale says. */
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->arguments, NULL, NULL},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree char *usage = g_strdup_printf("%s\n\n%s.", self->arguments, self->summary);
  g_autofree char *program = g_strconcat("gem-client ", self->name, NULL);
  g_autoptr(GOptionContext) context = g_option_context_new(usage);
  /* GOption reorders and shortens the vector, but does not free what it drops. */
  g_autofree char **copy = g_memdup2(argv, (g_strv_length(argv) + 1) * sizeof *argv);
  gint argc = (gint)g_strv_length(argv);

  g_set_prgname(program); /* stands in --help */
  for (; groups != NULL && *groups != NULL; groups++) {
    g_option_context_add_main_entries(context, *groups, NULL);
  }
  g_option_context_add_main_entries(context, common, NULL);
  g_option_context_set_description(context, self->details);
  if (!parse_words(context, &argc, &copy, error)) {
    return FALSE;
  }
  if (self->arguments[0] == '\0' && options->arguments != NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s takes no argument, and '%s' is one",
                self->name, options->arguments[0]);
    return FALSE;
  }
  if (options->system + options->session + (options->address != NULL) > 1) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--system, --session and --address exclude each other");
    return FALSE;
  }
  return TRUE;
}

static void
print_help(void)
{
  gsize i;

  g_print("Usage: gem-client VERB [OPTION...] [ARGUMENT...]\n\n"
          "Asks the language-model service of this system, gemd.\n\nVerbs:\n");
  for (i = 0; i < G_N_ELEMENTS(verbs); i++) {
    g_print("  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
  }
  g_print("\ngem-client VERB --help tells a verb's options. gem-client --version tells the version.\n"
          "Exit codes: 0 done, 1 the service failed, 2 wrong usage, 3 no service reached, 4 not authorized,\n"
          "5 input not taken, 6 a limit or busy, 7 model not ready, 130 interrupted. See gem-client(1).\n");
}

static const GemVerb *
find_verb(const char *name)
{
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(verbs); i++) {
    if (strcmp(verbs[i]->name, name) == 0) {
      return verbs[i];
    }
  }
  return NULL;
}

static GemExit
refuse(const char *word)
{
  if (word == NULL) {
    gem_output_complain("no verb; gem-client --help lists them");
  } else if (word[0] == '-') {
    gem_output_complain("%s: options come after the verb; gem-client --help lists the verbs", word);
  } else {
    gem_output_complain("no verb '%s'; gem-client --help lists them", word);
  }
  return GEM_EXIT_USAGE;
}

GemExit
gem_verb_main(char **argv)
{
  const char *word = argv[0] == NULL ? NULL : argv[1];
  const GemVerb *verb;
  GemExit status;

  if (g_strcmp0(word, "--help") == 0 || g_strcmp0(word, "-h") == 0 || g_strcmp0(word, "help") == 0) {
    print_help();
    return gem_output_flush(GEM_EXIT_OK);
  }
  if (g_strcmp0(word, "--version") == 0) {
    g_print("gem-client %s\n", GEM_VERSION);
    return gem_output_flush(GEM_EXIT_OK);
  }
  verb = word == NULL ? NULL : find_verb(word);
  if (verb == NULL) {
    return refuse(word);
  }
  status = verb->run(verb, argv + 1);
  return gem_output_flush(status);
}
