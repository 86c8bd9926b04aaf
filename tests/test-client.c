/* gem-client and texts, against a service that stands in for gemd: what it prints, what it sends, and what it
 * exits with. Its other verbs: test-client-service.c. */
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#include "clients/gem-client/gem-client-exit.h"
#include "tests/gem-test-client.h"
#include "tests/gem-test-program.h"

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
test_ask_plain(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};

  gem_test_client_run(service, ARGUMENTS("ask", "say na\xc3\xafve caf\xc3\xa9"), NULL, &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpstr(run.out, ==, "na\xc3\xafve caf\xc3\xa9\n");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
}

static void
test_ask_options(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};
  g_autofree char *options = NULL;
  g_autoptr(GVariant) sent = NULL;
  g_autoptr(GVariant) expected = g_variant_ref_sink(g_variant_new_parsed(
      "{'max_tokens': <uint32 9>, 'temperature': <0.5>, 'top_k': <uint32 40>, 'top_p': <0.9>,"
      " 'seed': <uint64 18446744073709551615>, 'stop': <['a', 'b']>, 'raw': <true>, 'slide': <true>,"
      " 'routes': <true>}"));
  GVariantIter iter;
  const char *key;
  GVariant *value;

  gem_test_client_run(service,
                      ARGUMENTS("ask", "--max-tokens", "9", "--temperature", "0.5", "--top-k", "40",
                                "--top-p", "0.9", "--seed", "18446744073709551615", "--stop", "a", "--stop",
                                "b", "--raw", "--slide", "--routes", "say x"),
                      NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  sent = g_variant_ref(gem_test_service_get_options(service));
  g_assert_cmpuint(g_variant_n_children(sent), ==, g_variant_n_children(expected));
  g_variant_iter_init(&iter, expected);
  while (g_variant_iter_next(&iter, "{&sv}", &key, &value)) {
    g_autoptr(GVariant) other = g_variant_lookup_value(sent, key, g_variant_get_type(value));

    g_test_message("option %s", key);
    g_assert_nonnull(other);
    g_assert_cmpvariant(other, value);
    g_variant_unref(value);
  }
}

/* Nothing given: nothing sent, so that the service's defaults hold. */
static void
test_ask_defaults(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};

  gem_test_client_run(service, ARGUMENTS("ask", "say x"), NULL, &run);
  g_assert_cmpuint(g_variant_n_children(gem_test_service_get_options(service)), ==, 0);
}

static void
test_ask_shows_control_bytes(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};

  gem_test_client_run(service,
                      ARGUMENTS("ask", "say a\x1b[31mb\a\xc2\x9b"
                                       "c\td\xe2\x80\xae\xff.\n"),
                      NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_INVALID_INPUT); /* the text itself is not UTF-8 */
  gem_test_run_clear(&run);
  gem_test_client_run(service,
                      ARGUMENTS("ask", "say a\x1b[31mb\a\xc2\x9b"
                                       "c\td\xe2\x80\xae.\n"),
                      NULL, &run);
  g_assert_cmpstr(run.out, ==, "a^[[31mb^G<U+009B>c\td<U+202E>.\n");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
}

static void
test_ask_figures(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};

  gem_test_client_run(service, ARGUMENTS("ask", "--stats", "--routes", "say x"), NULL, &run);
  g_assert_cmpstr(run.out, ==,
                  "x\n\n"
                  "token    pathway     probability\n"
                  "Patient  healthcare  0.91\n"
                  "\xe2\x96\x81in^[\\n  general     0.60 legal\n\n"
                  "17 tokens (12 read, 5 written), 35.2 tokens/s, pathways: healthcare 9, general 4, "
                  "resident: 13.7 MB\n");
}

static void
test_ask_json(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object, *stats, *token;

  gem_test_client_run(service, ARGUMENTS("ask", "--json", "--routes", "say \"\x1b\n\xc3\xa9"), NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_null(strchr(run.out, '\x1b'));
  node = gem_test_parse_json(run.out);
  object = json_node_get_object(node);
  g_assert_cmpstr(json_object_get_string_member(object, "answer"), ==, "\"\x1b\n\xc3\xa9");
  stats = json_object_get_object_member(object, "stats");
  g_assert_cmpint(json_object_get_int_member(stats, "generated_tokens"), ==, 5);
  g_assert_cmpint(json_object_get_int_member(json_object_get_object_member(stats, "pathways"), "healthcare"),
                  ==, 9);
  g_assert_cmpstr(json_object_get_string_member(stats, "seed"), ==, "18446744073709551615");
  token = json_array_get_object_element(json_object_get_array_member(object, "routes"), 1);
  g_assert_cmpstr(json_object_get_string_member(token, "pathway"), ==, "general");
  g_assert_cmpint(json_object_get_int_member(token, "offset"), ==, 7);
}

static void
test_ask_reasons(void)
{
  static const struct {
    const char *prompt;
    GemExit status;
    const char *says; /* on standard error */
  } cases[] = {
      {"reason 0", GEM_EXIT_OK, ""},
      {"reason 1", GEM_EXIT_OK, ""},
      {"reason 2", GEM_EXIT_OK, "cut after 5 tokens"},
      {"reason 3", GEM_EXIT_LIMIT, "the context is full"},
      {"reason 4", GEM_EXIT_FAILED, "cancelled"},
      {"reason 5", GEM_EXIT_FAILED, "the service stops"},
      {"changed", GEM_EXIT_FAILED, "another model is served"},
      {"reason 6", GEM_EXIT_FAILED, "weights are gone"},
      {"reason 7", GEM_EXIT_FAILED, "was not read"},
  };
  g_autoptr(GemTestService) service = gem_test_service_new();
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    g_test_message("%s", cases[i].prompt);
    gem_test_client_run(service, ARGUMENTS("ask", cases[i].prompt), NULL, &run);
    g_assert_cmpstr(run.out, ==, "part\n");
    g_assert_cmpint(run.status, ==, cases[i].status);
    if (cases[i].says[0] == '\0') {
      g_assert_cmpstr(run.err, ==, "");
    } else {
      g_assert_nonnull(strstr(run.err, cases[i].says));
    }
  }
}

static void
test_ask_vanished(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};

  gem_test_client_run(service, ARGUMENTS("ask", "vanish"), NULL, &run);
  g_assert_cmpstr(run.out, ==, "part\n");
  g_assert_nonnull(strstr(run.err, "went away"));
  g_assert_cmpint(run.status, ==, GEM_EXIT_UNREACHABLE);
}

static void
test_ask_interrupted(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_autoptr(GSubprocess) client = gem_test_client_start(service, ARGUMENTS("ask", "endless"), FALSE);
  g_auto(GemTestRun) run = {0};

  gem_test_client_wait_output(client);
  gem_test_client_interrupt(client);
  gem_test_client_finish(client, NULL, &run);
  g_assert_true(g_str_has_prefix(run.out, "la "));
  g_assert_cmpint(run.status, ==, GEM_EXIT_INTERRUPTED);
  g_assert_cmpuint(gem_test_service_count_cancels(service), ==, 1);
}

/* A service that takes no notice cannot hold the client: the second Ctrl-C does not wait. */
static void
test_ask_interrupted_twice(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_autoptr(GSubprocess) client = gem_test_client_start(service, ARGUMENTS("ask", "silent"), FALSE);
  g_auto(GemTestRun) run = {0};

  while (g_strcmp0(gem_test_service_get_text(service), "silent") != 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_timeout_add(300, gem_test_client_interrupt, client);
  while (gem_test_service_count_cancels(service) == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  gem_test_client_interrupt(client);
  gem_test_client_finish(client, NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_INTERRUPTED);
}

static void
test_route(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) plain = {0};
  g_auto(GemTestRun) json = {0};
  g_autoptr(JsonNode) node = NULL;
  JsonObject *token;

  gem_test_client_run(service, ARGUMENTS("route", "Patient in"), NULL, &plain);
  g_assert_cmpint(plain.status, ==, GEM_EXIT_OK);
  g_assert_cmpstr(gem_test_service_get_text(service), ==, "Patient in");
  g_assert_nonnull(strstr(plain.out, "Patient  healthcare  0.91\n"));
  g_assert_nonnull(strstr(plain.out, "\n2 tokens: general 1, healthcare 1\n"));
  gem_test_client_run(service, ARGUMENTS("route", "--json", "Patient in"), NULL, &json);
  node = gem_test_parse_json(json.out);
  token = json_array_get_object_element(json_node_get_array(node), 0);
  g_assert_cmpstr(json_object_get_string_member(token, "text"), ==, "Patient");
  g_assert_cmpfloat_with_epsilon(
      json_object_get_double_member(json_object_get_object_member(token, "probabilities"), "legal"), 0.09,
      1e-9);
}

static void
test_classify(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) plain = {0};
  g_auto(GemTestRun) json = {0};
  g_auto(GemTestRun) single = {0};
  g_autoptr(JsonNode) node = NULL;
  g_autoptr(GVariant) priority = NULL;

  gem_test_client_run(service,
                      ARGUMENTS("classify", "--label", "no", "--label", "yes", "--domain", "legal",
                                "--priority", "batch", "text"),
                      NULL, &plain);
  priority = g_variant_lookup_value(gem_test_service_get_options(service), "priority", NULL);
  g_assert_cmpstr(g_variant_get_string(priority, NULL), ==, "batch");
  g_assert_cmpstr(plain.out, ==, "probability  label\n     0.7500  yes\n     0.2500  no\n");
  g_assert_cmpint(plain.status, ==, GEM_EXIT_OK);
  gem_test_client_run(service, ARGUMENTS("classify", "--json", "-l", "no", "-l", "yes", "text"), NULL, &json);
  node = gem_test_parse_json(json.out);
  g_assert_cmpstr(
      json_object_get_string_member(json_array_get_object_element(json_node_get_array(node), 0), "label"), ==,
      "no");
  gem_test_client_run(service, ARGUMENTS("classify", "--label", "yes", "text"), NULL, &single);
  g_assert_cmpint(single.status, ==, GEM_EXIT_USAGE);
}

static void
test_numbers(void)
{
  static const struct {
    const char *verb, *plain, *json;
  } cases[] = {
      {"tokens", "4\n", "{\"tokens\":4}\n"},
      {"embed", "0.6\n-0.8\n", "[0.59999999999999998,-0.80000000000000004]\n"},
      {"score", "log-likelihood -20.7944, 10 tokens, perplexity 8.0000\n", NULL},
  };
  g_autoptr(GemTestService) service = gem_test_service_new();
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) plain = {0};
    g_auto(GemTestRun) json = {0};
    g_autoptr(JsonNode) node = NULL;

    gem_test_client_run(service, ARGUMENTS(cases[i].verb, "four"), NULL, &plain);
    g_assert_cmpstr(plain.err, ==, "");
    g_assert_cmpstr(plain.out, ==, cases[i].plain);
    gem_test_client_run(service, ARGUMENTS(cases[i].verb, "--json", "four"), NULL, &json);
    node = gem_test_parse_json(json.out);
    if (cases[i].json != NULL) {
      g_assert_cmpstr(json.out, ==, cases[i].json);
    } else {
      g_assert_cmpint(json_object_get_int_member(json_node_get_object(node), "tokens"), ==, 10);
    }
  }
}

static void
test_errors(void)
{
  static const struct {
    const char *text;
    GemExit status;
  } cases[] = {
      {"error Failed", GEM_EXIT_FAILED},
      {"error InvalidText", GEM_EXIT_INVALID_INPUT},
      {"error InvalidOption", GEM_EXIT_INVALID_INPUT},
      {"error UnknownDomain", GEM_EXIT_INVALID_INPUT},
      {"error ContextExceeded", GEM_EXIT_LIMIT},
      {"error LimitExceeded", GEM_EXIT_LIMIT},
      {"error Busy", GEM_EXIT_LIMIT},
      {"error Cancelled", GEM_EXIT_FAILED},
      {"error NotAuthorized", GEM_EXIT_NOT_AUTHORIZED},
      {"error NotReady", GEM_EXIT_NOT_READY},
      {"error Model", GEM_EXIT_FAILED},
      {"error Pathway", GEM_EXIT_FAILED},
      {"error ShuttingDown", GEM_EXIT_FAILED},
      {"error OfALaterVersion", GEM_EXIT_FAILED},
  };
  static const char *const verbs[] = {"ask", "route", "tokens"};
  g_autoptr(GemTestService) service = gem_test_service_new();
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    g_test_message("%s", cases[i].text);
    gem_test_client_run(service, ARGUMENTS(verbs[i % G_N_ELEMENTS(verbs)], cases[i].text), NULL, &run);
    g_assert_cmpint(run.status, ==, cases[i].status);
    g_assert_cmpstr(run.out, ==, "");
    g_assert_cmpstr(run.err, ==, "gem-client: made to fail\n");
  }
}

static void
test_usage(void)
{
  static const char *const cases[][5] = {
      {NULL},
      {"sing", NULL},
      {"--json", NULL},
      {"ask", "--volume", "x", NULL},
      {"ask", "--max-tokens", "many", "x", NULL},
      {"ask", "--max-tokens", "-1", "x", NULL},
      {"ask", "--temperature", "nan", "x", NULL},
      {"ask", "--seed", "1.5", "x", NULL},
      {"ask", "two", "texts", NULL},
      {"ask", "--max-tokens", "\xff", "x", NULL},
      {"status", "--wait", "\xff", NULL},
      {"ask", "--session", "--system", "x", NULL},
      {"pathways", "page-in", NULL},
      {"pathways", "burn", "legal", NULL},
      {"load", NULL},
      {"load", "--list", "gem-new", NULL},
      {"load", "--grace", "-1", "gem-new", NULL},
      {"load", "--grace", "0", "gem-new", NULL},
      {"load", "--grace", "3601", "gem-new", NULL},
      {"status", "now", NULL},
      {"status", "--wait", "soon", NULL},
      {"monitor", "--interval", "0", NULL},
  };
  g_autoptr(GemTestService) service = gem_test_service_new();
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    gem_test_client_run(service, cases[i], NULL, &run);
    g_test_message("case %zu: %s", i, run.err);
    g_assert_cmpint(run.status, ==, GEM_EXIT_USAGE);
    g_assert_cmpstr(run.out, ==, "");
    g_assert_true(g_str_has_prefix(run.err, "gem-client: "));
  }
}

static void
test_unreachable(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) no_bus = {0};
  g_auto(GemTestRun) no_service = {0};

  gem_test_client_run(service, ARGUMENTS("tokens", "--address", "unix:path=/nonexistent/bus", "x"), NULL,
                      &no_bus);
  g_assert_cmpint(no_bus.status, ==, GEM_EXIT_UNREACHABLE);
  gem_test_service_leave(service);
  gem_test_client_run(service, ARGUMENTS("tokens", "x"), NULL, &no_service);
  g_assert_cmpint(no_service.status, ==, GEM_EXIT_UNREACHABLE);
  g_assert_nonnull(strstr(no_service.err, "the service is not there"));
}

static void
test_input(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_autofree char *longest = g_strnfill(256 * 1024, 'x');
  g_autofree char *too_long = g_strnfill(256 * 1024 + 2, 'x');
  g_autofree char *with_newline = g_strconcat(longest, "\n", NULL);
  g_auto(GemTestRun) piped = {0};
  g_auto(GemTestRun) dash = {0};
  g_auto(GemTestRun) full = {0};
  g_auto(GemTestRun) over = {0};
  g_auto(GemTestRun) invalid = {0};
  g_auto(GemTestRun) option_like = {0};
  g_auto(GemTestRun) empty = {0};

  gem_test_client_run(service, ARGUMENTS("tokens"), "from a pipe\n\n", &piped);
  g_assert_cmpstr(gem_test_service_get_text(service), ==, "from a pipe\n");
  gem_test_client_run(service, ARGUMENTS("tokens", "-"), "dash", &dash);
  g_assert_cmpstr(gem_test_service_get_text(service), ==, "dash");
  gem_test_client_run(service, ARGUMENTS("tokens", "-"), with_newline, &full);
  g_assert_cmpstr(full.out, ==, "262144\n");
  gem_test_client_run(service, ARGUMENTS("tokens"), too_long, &over);
  g_assert_cmpint(over.status, ==, GEM_EXIT_INVALID_INPUT);
  g_assert_nonnull(strstr(over.err, "262144"));
  gem_test_client_run(service, ARGUMENTS("tokens"), "a\xff", &invalid);
  g_assert_cmpint(invalid.status, ==, GEM_EXIT_INVALID_INPUT);
  g_assert_nonnull(strstr(invalid.err, "byte 1 is 0xFF"));
  gem_test_client_run(service, ARGUMENTS("tokens", "--", "--json"), NULL, &option_like);
  g_assert_cmpstr(option_like.out, ==, "6\n");
  gem_test_client_run(service, ARGUMENTS("tokens"), "", &empty);
  g_assert_cmpint(empty.status, ==, 0);
  g_assert_cmpstr(gem_test_service_get_text(service), ==, "");
}

static void
test_unknown_domain(void)
{
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) run = {0};

  gem_test_client_run(service, ARGUMENTS("ask", "--domain", "cooking", "say x"), NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_INVALID_INPUT);
  g_assert_cmpstr(run.err, ==, "gem-client: no domain 'cooking'\n");
}

/* What an option is when it is not given. */
static void
test_help_defaults(void)
{
  static const struct {
    const char *verb, *says;
  } cases[] = {
      {"ask", "Stop after N tokens (256,"},
      {"ask", "K likeliest tokens (0:"},
      {"ask", "of the probability (1:"},
      {"embed", "to save power (the service's own)"},
      {"load", "has to end (60)"},
      {"adapt", "another domain may become (1)"},
      {"adapt", "held-out text must become (2)"},
      {"adapt", "short tasks (dapt)"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    gem_test_client_run(NULL, ARGUMENTS(cases[i].verb, "--help"), NULL, &run);
    g_assert_nonnull(strstr(run.out, cases[i].says));
  }
}

/* GLib ends the process after --help, whatever became of it. */
static void
test_help_unwritten(void)
{
  g_autoptr(GPtrArray) words = gem_test_program_words("clients/gem-client", "gem-client");
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *complaint = NULL;

  g_subprocess_launcher_set_stdout_file_path(launcher, "/dev/full");
  g_ptr_array_add(words, g_strdup("--help"));
  g_ptr_array_add(words, NULL);
  process = g_subprocess_launcher_spawnv(launcher, (const char *const *)words->pdata, NULL);
  g_assert_nonnull(process);
  g_assert_true(g_subprocess_communicate_utf8(process, NULL, NULL, NULL, &complaint, NULL));
  g_assert_cmpint(g_subprocess_get_exit_status(process), ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(complaint, "standard output"));
}

static void
test_help(void)
{
  static const char *const verbs[] = {"ask",      "route", "classify", "embed",   "score", "tokens",
                                      "pathways", "load",  "status",   "monitor", "stats"};
  g_autoptr(GemTestService) service = gem_test_service_new();
  g_auto(GemTestRun) general = {0};
  gsize i;

  gem_test_client_run(service, ARGUMENTS("--help"), NULL, &general);
  g_assert_cmpint(general.status, ==, GEM_EXIT_OK);
  for (i = 0; i < G_N_ELEMENTS(verbs); i++) {
    g_auto(GemTestRun) run = {0};

    g_assert_nonnull(strstr(general.out, verbs[i]));
    gem_test_client_run(service, ARGUMENTS(verbs[i], "--help"), NULL, &run);
    g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
    g_assert_nonnull(strstr(run.out, "Examples:"));
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/client/ask/plain", test_ask_plain);
  g_test_add_func("/client/ask/options", test_ask_options);
  g_test_add_func("/client/ask/defaults", test_ask_defaults);
  g_test_add_func("/client/ask/control-bytes", test_ask_shows_control_bytes);
  g_test_add_func("/client/ask/figures", test_ask_figures);
  g_test_add_func("/client/ask/json", test_ask_json);
  g_test_add_func("/client/ask/reasons", test_ask_reasons);
  g_test_add_func("/client/ask/vanished", test_ask_vanished);
  g_test_add_func("/client/ask/interrupted", test_ask_interrupted);
  g_test_add_func("/client/ask/interrupted-twice", test_ask_interrupted_twice);
  g_test_add_func("/client/ask/unknown-domain", test_unknown_domain);
  g_test_add_func("/client/route", test_route);
  g_test_add_func("/client/classify", test_classify);
  g_test_add_func("/client/numbers", test_numbers);
  g_test_add_func("/client/errors", test_errors);
  g_test_add_func("/client/usage", test_usage);
  g_test_add_func("/client/unreachable", test_unreachable);
  g_test_add_func("/client/input", test_input);
  g_test_add_func("/client/help", test_help);
  g_test_add_func("/client/help-defaults", test_help_defaults);
  g_test_add_func("/client/help-unwritten", test_help_unwritten);
  return g_test_run();
}
