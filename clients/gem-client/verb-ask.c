/* gem-client ask: one turn, streamed. */
#include "clients/gem-client/gem-client-escape.h"
#include "clients/gem-client/gem-client-input.h"
#include "clients/gem-client/gem-client-json.h"
#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-routes.h"
#include "clients/gem-client/gem-client-run-options.h"
#include "clients/gem-client/gem-client-stats.h"
#include "clients/gem-client/gem-client-turn.h"
#include "dbus/gem-error.h"

typedef struct {
  GemVerbOptions common;
  GemRunArguments run;
  GemGenerateArguments generate;
  gboolean routes, stats;
} AskOptions;

typedef struct {
  gboolean json;
  GString *answer; /* for JSON: all of it */
  GemEscaper escaper;
  gboolean in_line; /* the last byte written was no newline */
} Answer;

static void
ask_options_clear(AskOptions *options)
{
  gem_verb_options_clear(&options->common);
  gem_run_arguments_clear(&options->run);
  gem_generate_arguments_clear(&options->generate);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AskOptions, ask_options_clear)

static void
answer_clear(Answer *answer)
{
  g_string_free(answer->answer, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Answer, answer_clear)

static gboolean
parse(const GemVerb *self, char **argv, AskOptions *options, GError **error)
{
  const GOptionEntry own[] = {
      {"routes", 0, 0, G_OPTION_ARG_NONE, &options->routes,
       "Print a table of all tokens and their pathways after the answer", NULL},
      {"stats", 0, 0, G_OPTION_ARG_NONE, &options->stats, "Print a line of figures after the answer", NULL},
      G_OPTION_ENTRY_NULL,
  };
  g_autofree GOptionEntry *generate = gem_generate_arguments_entries(&options->generate);
  g_autofree GOptionEntry *run = gem_run_arguments_entries(&options->run);

  return gem_verb_parse(self, (const GOptionEntry *const[]){generate, run, own, NULL}, argv, &options->common,
                        error);
}

static void
show(Answer *answer, const GString *text)
{
  if (text->len > 0) {
    gem_output_text(text->str);
    answer->in_line = text->str[text->len - 1] != '\n';
  }
}

static gboolean
on_text(const char *bytes, gsize length, gpointer data)
{
  Answer *answer = data;
  g_autoptr(GString) shown = NULL;

  if (answer->json) {
    g_string_append_len(answer->answer, bytes, (gssize)length);
    return TRUE;
  }
  shown = g_string_new(NULL);
  gem_escaper_push(&answer->escaper, bytes, length, shown);
  show(answer, shown);
  return gem_output_push();
}

static void
finish_line(Answer *answer)
{
  g_autoptr(GString) rest = g_string_new(NULL);

  gem_escaper_finish(&answer->escaper, rest);
  show(answer, rest);
  if (answer->in_line) {
    gem_output_text("\n");
  }
}

static void
print_json(const Answer *answer, const GemTurnResult *result, const AskOptions *options)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autofree char *text = g_utf8_make_valid(answer->answer->str, (gssize)answer->answer->len);

  json_builder_begin_object(builder);
  gem_json_add_string(builder, "answer", text);
  json_builder_set_member_name(builder, "stats");
  if (result->stats != NULL) {
    gem_json_add_variant(builder, result->stats);
  } else {
    json_builder_add_null_value(builder);
  }
  if (options->routes) {
    json_builder_set_member_name(builder, "routes");
    gem_routes_add_json(builder, result->routes);
  }
  json_builder_end_object(builder);
  gem_json_print(builder);
}

static void
print_plain(Answer *answer, const GemTurnResult *result, const AskOptions *options)
{
  finish_line(answer);
  if (options->routes) {
    gem_output_text("\n");
    gem_routes_print(result->routes);
  }
  if (options->stats && result->stats != NULL) {
    gem_output_text("\n");
    gem_stats_print(result->stats);
  }
}

/* The stats of a turn that failed, or that another model ended, hold the error. */
static GemExit
report_error(GVariant *stats)
{
  const char *name = NULL, *message = NULL;
  g_autoptr(GError) error = NULL;

  g_variant_lookup(stats, "error", "&s", &name);
  g_variant_lookup(stats, "message", "&s", &message);
  error = g_dbus_error_new_for_dbus_error(name != NULL ? name : gem_error_name(GEM_ERROR_FAILED),
                                          message != NULL ? message : "the service does not say why");
  return gem_run_options_report(error);
}

/* What did not end by itself is said on standard error. */
static GemExit
report_reason(const GemTurnResult *result)
{
  guint generated = 0;

  if (result->interrupted) {
    gem_output_complain("interrupted");
    return GEM_EXIT_INTERRUPTED;
  }
  g_variant_lookup(result->stats, "generated_tokens", "u", &generated);
  switch (result->reason) {
  case GEM_TURN_END:
  case GEM_TURN_STOP:
    return GEM_EXIT_OK;
  case GEM_TURN_LIMIT:
    gem_output_complain("the answer was cut after %u tokens; --max-tokens allows more", generated);
    return GEM_EXIT_OK;
  case GEM_TURN_CONTEXT:
    gem_output_complain("the answer was cut after %u tokens: the context is full (--slide would go on)",
                        generated);
    return GEM_EXIT_LIMIT;
  case GEM_TURN_CANCELLED:
    if (!gem_output_push()) {
      return GEM_EXIT_FAILED; /* that is why; gem_output_flush says what is to be said */
    }
    gem_output_complain("the answer was cancelled");
    return GEM_EXIT_FAILED;
  case GEM_TURN_SHUTDOWN:
    if (g_variant_lookup(result->stats, "error", "s", NULL)) {
      return report_error(result->stats);
    }
    gem_output_complain("the answer was cut after %u tokens: the service stops", generated);
    return GEM_EXIT_FAILED;
  case GEM_TURN_SLOW_READER:
    gem_output_complain("the answer was dropped after %u tokens: it was not read for too long", generated);
    return GEM_EXIT_FAILED;
  default:
    return report_error(result->stats);
  }
}

static char *
create_session(GemRemote *remote, const GemRunArguments *run, GError **error)
{
  GVariant *options = gem_run_arguments_to_variant(run, error);
  g_autoptr(GVariant) reply = NULL;
  char *session = NULL;

  if (options == NULL) {
    return NULL;
  }
  reply = gem_remote_call_manager(remote, "CreateSession", g_variant_new("(@a{sv})", options), "(o)", error);
  if (reply != NULL) {
    g_variant_get(reply, "(o)", &session);
  }
  return session;
}

static gboolean
ask(const AskOptions *options, Answer *answer, GemTurnResult *ret_result, GError **error)
{
  g_autofree char *text = gem_input_text(&options->common, error);
  g_autoptr(GVariant) generate = NULL;
  g_autoptr(GemRemote) remote = NULL;
  g_autofree char *session = NULL;

  if (text == NULL) {
    return FALSE;
  }
  generate = gem_generate_arguments_to_variant(&options->generate, options->routes, error);
  if (generate == NULL) {
    return FALSE;
  }
  g_variant_ref_sink(generate);
  remote = gem_remote_open(&options->common, error);
  if (remote == NULL) {
    return FALSE;
  }
  session = create_session(remote, &options->run, error);
  return session != NULL && gem_turn_run(remote, session, text, generate, on_text, answer, ret_result, error);
}

static GemExit
run(const GemVerb *self, char **argv)
{
  g_auto(AskOptions) options = {0};
  g_auto(GemTurnResult) result = {0};
  g_auto(Answer) answer = {.answer = g_string_new(NULL)};
  g_autoptr(GError) error = NULL;
  gboolean done;

  if (!parse(self, argv, &options, &error)) {
    return gem_exit_report(error);
  }
  answer.json = options.common.json;
  done = ask(&options, &answer, &result, &error);
  if (!done) {
    finish_line(&answer);
    gem_output_push();
    return gem_run_options_report(error);
  }
  if (answer.json) {
    print_json(&answer, &result, &options);
  } else {
    print_plain(&answer, &result, &options);
  }
  gem_output_push();
  return report_reason(&result);
}

const GemVerb gem_verb_ask = {
    .name = "ask",
    .arguments = "[TEXT]",
    .summary = "Ask, and print the answer as it is written",
    .details =
        "TEXT may be - for standard input, which is also read when there is no TEXT and a pipe.\n"
        "Control characters of the answer are shown, not obeyed. Ctrl-C cancels on the service too.\n\n"
        "Examples:\n"
        "  gem-client ask \"Patient has high temperature today\"\n"
        "  gem-client ask --temperature 0.8 --seed 7 --max-tokens 64 --stats \"Is a lease a contract?\"\n"
        "  git log -1 | gem-client ask --domain stem\n"
        "  gem-client ask --json --routes hello | jq -r .answer",
    .run = run,
};
