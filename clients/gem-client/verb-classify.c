/* gem-client classify: which of some labels fits a text. */
#include "clients/gem-client/gem-client-input.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-remote.h"
#include "clients/gem-client/gem-client-run-options.h"
#include "clients/gem-client/gem-client-table.h"

typedef struct {
  GemVerbOptions common;
  GemRunArguments run;
  GStrv labels;
} ClassifyOptions;

static void
classify_options_clear(ClassifyOptions *options)
{
  gem_verb_options_clear(&options->common);
  gem_run_arguments_clear(&options->run);
  g_clear_pointer(&options->labels, g_strfreev);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ClassifyOptions, classify_options_clear)

static gboolean
check_labels(GStrv labels, GError **error)
{
  guint i;

  if (labels == NULL || labels[1] == NULL) {
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "--label is wanted at least twice: there must be a choice");
    return FALSE;
  }
  for (i = 0; labels[i] != NULL; i++) {
    if (!g_utf8_validate(labels[i], -1, NULL)) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--label %u: not UTF-8", i + 1);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
parse(const GemVerb *self, char **argv, ClassifyOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"label", 'l', 0, G_OPTION_ARG_FILENAME_ARRAY, &options->labels,
       "One of the labels to choose from; give it for each", "LABEL"},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *run = gem_run_arguments_entries(&options->run);

  return gem_verb_parse(self, (const GOptionEntry *const[]){own, run, NULL}, argv, &options->common, error) &&
         check_labels(options->labels, error);
}

static GVariant *
classify(const ClassifyOptions *options, GError **error)
{
  g_autofree char *text = gem_input_text(&options->common, error);
  GVariant *run;
  g_autoptr(GVariant) arguments = NULL;
  g_autoptr(GemRemote) remote = NULL;
  g_autoptr(GVariant) reply = NULL;

  if (text == NULL) {
    return NULL;
  }
  run = gem_run_arguments_to_variant(&options->run, error);
  if (run == NULL) {
    return NULL;
  }
  arguments = g_variant_ref_sink(g_variant_new("(s^as@a{sv})", text, options->labels, run));
  remote = gem_remote_open(&options->common, error);
  if (remote == NULL) {
    return NULL;
  }
  reply = gem_remote_call_manager(remote, "Classify", arguments, "(a(sd))", error);
  return reply == NULL ? NULL : g_variant_get_child_value(reply, 0);
}

static gint
compare_scores(gconstpointer a, gconstpointer b)
{
  GVariant *left = *(GVariant *const *)a, *right = *(GVariant *const *)b;
  double of_left, of_right;

  g_variant_get_child(left, 1, "d", &of_left);
  g_variant_get_child(right, 1, "d", &of_right);
  return of_left < of_right ? 1 : of_left > of_right ? -1 : 0;
}

/* Most probable first. */
static GPtrArray *
sort_scores(GVariant *scores)
{
  GPtrArray *sorted = g_ptr_array_new_with_free_func((GDestroyNotify)g_variant_unref);
  gsize i;

  for (i = 0; i < g_variant_n_children(scores); i++) {
    g_ptr_array_add(sorted, g_variant_get_child_value(scores, i));
  }
  g_ptr_array_sort(sorted, compare_scores);
  return sorted;
}

static void
print_plain(GVariant *scores)
{
  g_autoptr(GPtrArray) sorted = sort_scores(scores);
  g_autoptr(GemTable) table = gem_table_new("rl", (const char *const[]){"probability", "label", NULL});
  guint i;

  for (i = 0; i < sorted->len; i++) {
    const char *label;
    double probability;
    g_autofree char *number = NULL;

    g_variant_get(sorted->pdata[i], "(&sd)", &label, &probability);
    number = g_strdup_printf("%.4f", probability);
    gem_table_add(table, -1, (const char *const[]){number, label});
  }
  gem_table_print(table);
}

static void
print_json(GVariant *scores)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  GVariantIter iter;
  const char *label;
  double probability;

  json_builder_begin_array(builder);
  g_variant_iter_init(&iter, scores);
  while (g_variant_iter_next(&iter, "(&sd)", &label, &probability)) {
    json_builder_begin_object(builder);
    gem_json_add_string(builder, "label", label);
    json_builder_set_member_name(builder, "probability");
    json_builder_add_double_value(builder, probability);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
  gem_json_print(builder);
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(ClassifyOptions) options = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) scores = NULL;

  if (!parse(self, argv, &options, &error)) {
    return gem_exit_report(error);
  }
  scores = classify(&options, &error);
  if (scores == NULL) {
    return gem_run_options_report(error);
  }
  if (options.common.json) {
    print_json(scores);
  } else {
    print_plain(scores);
  }
  return GEM_EXIT_OK;
}

const GemVerb gem_verb_classify = {
    .name = "classify",
    .arguments = "--label A --label B [TEXT]",
    .summary = "Tell which label fits a text",
    .details = "Prints the labels, the most probable first; with --json in the order given.\n\n"
               "Examples:\n"
               "  gem-client classify --label alarm --label weather --label \"play music\" \"Will it rain "
               "tomorrow?\"\n"
               "  gem-client classify -l spam -l ham --json - < mail.txt",
    .run = run,
};
