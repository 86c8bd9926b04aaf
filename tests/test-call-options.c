/* The table of options: what each takes, and what a bad one gets. */
#include "daemon/service/gem-call-options.h"

static const char *const domains[] = {"legal", "stem", NULL};

static gboolean
parse(const char *text, guint accepted, GemCallOptions *ret_options, GError **error)
{
  g_autoptr(GVariant) options = g_variant_parse(G_VARIANT_TYPE_VARDICT, text, NULL, NULL, NULL);
  GemOptionRules rules = {accepted, 256, domains};

  g_assert_nonnull(options);
  return gem_call_options_parse(options, &rules, ret_options, error);
}

static void
test_defaults(void)
{
  g_auto(GemCallOptions) options = {0};
  g_auto(GemCallOptions) again = {0};
  g_autoptr(GError) error = NULL;

  g_assert_true(parse("{}", GEM_OPTIONS_ASK, &options, &error));
  g_assert_no_error(error);
  g_assert_null(options.generate.run.domain);
  g_assert_cmpint(options.generate.run.priority, ==, GEM_PRIORITY_UNSET);
  g_assert_cmpint(options.generate.run.page_in, ==, GEM_PAGE_IN_DEFAULT);
  g_assert_cmpuint(options.generate.max_tokens, ==, 0);
  g_assert_cmpfloat(options.generate.temperature, ==, 0);
  g_assert_null(options.generate.stop);
  g_assert_false(options.routes);
  g_assert_true(parse("{}", GEM_OPTIONS_ASK, &again, &error));
  g_assert_cmpuint(options.generate.seed, !=, again.generate.seed);
}

static void
test_all(void)
{
  g_auto(GemCallOptions) options = {0};
  g_autoptr(GError) error = NULL;

  g_assert_true(
      parse("{'domain': <'legal'>, 'clusters': <uint32 8>, 'priority': <'batch'>, 'max_tokens': <uint32 256>,"
            "'page_in': <'degrade'>,"
            "'temperature': <4.0>, 'top_k': <uint32 5>, 'top_p': <1.0>,"
            "'seed': <uint64 18446744073709551615>, 'stop': <['a', 'b']>, 'raw': <true>,"
            "'slide': <true>, 'routes': <true>, 'handle_token': <'a_Z9'>}",
            GEM_OPTIONS_ASK | GEM_OPTIONS_GENERATE, &options, &error));
  g_assert_no_error(error);
  g_assert_cmpstr(options.generate.run.domain, ==, "legal");
  g_assert_cmpuint(options.generate.run.clusters, ==, 8);
  g_assert_cmpint(options.generate.run.priority, ==, GEM_PRIORITY_BATCH);
  g_assert_cmpint(options.generate.run.page_in, ==, GEM_PAGE_IN_DEGRADE);
  g_assert_cmpuint(options.generate.max_tokens, ==, 256);
  g_assert_cmpfloat(options.generate.temperature, ==, 4);
  g_assert_cmpuint(options.generate.top_k, ==, 5);
  g_assert_cmpfloat(options.generate.top_p, ==, 1);
  g_assert_cmpuint(options.generate.seed, ==, G_MAXUINT64);
  g_assert_cmpuint(g_strv_length(options.generate.stop), ==, 2);
  g_assert_true(options.generate.raw);
  g_assert_true(options.generate.slide);
  g_assert_true(options.routes);
  g_assert_cmpstr(options.handle_token, ==, "a_Z9");
}

static void
test_bad(void)
{
  static const struct {
    const char *text;
    GemError code;
    const char *named;
  } cases[] = {
      {"{'max_token': <uint32 1>}", GEM_ERROR_INVALID_OPTION, "*\"max_token\"*takes: domain, clusters,*"},
      {"{'handle_token': <'a'>}", GEM_ERROR_INVALID_OPTION, "*unknown*\"handle_token\"*"},
      {"{'max_tokens': <1>}", GEM_ERROR_INVALID_OPTION, "*\"max_tokens\": type i; u is wanted*"},
      {"{'max_tokens': <uint32 0>}", GEM_ERROR_INVALID_OPTION,
       "*\"max_tokens\": 0 is out of range, 1 to 256*"},
      {"{'max_tokens': <uint32 257>}", GEM_ERROR_INVALID_OPTION, "*\"max_tokens\": 257*1 to 256*"},
      {"{'temperature': <-0.1>}", GEM_ERROR_INVALID_OPTION, "*\"temperature\": -0.1*0 to 4*"},
      {"{'temperature': <nan>}", GEM_ERROR_INVALID_OPTION, "*\"temperature\": nan*"},
      {"{'temperature': <4.01>}", GEM_ERROR_INVALID_OPTION, "*\"temperature\"*"},
      {"{'top_p': <0.0>}", GEM_ERROR_INVALID_OPTION, "*\"top_p\": 0.0*above 0 to 1*"},
      {"{'top_p': <1.5>}", GEM_ERROR_INVALID_OPTION, "*\"top_p\": 1.5*"},
      {"{'top_k': <uint32 1000001>}", GEM_ERROR_INVALID_OPTION, "*\"top_k\"*"},
      {"{'clusters': <uint32 0>}", GEM_ERROR_INVALID_OPTION, "*\"clusters\": 0*"},
      {"{'seed': <uint32 1>}", GEM_ERROR_INVALID_OPTION, "*\"seed\": type u; t is wanted*"},
      {"{'raw': <'yes'>}", GEM_ERROR_INVALID_OPTION, "*\"raw\": type s; b is wanted*"},
      {"{'stop': <['']>}", GEM_ERROR_INVALID_OPTION, "*\"stop\": string 1 has 0 bytes*"},
      {"{'stop': <['a','a','a','a','a','a','a','a','a']>}", GEM_ERROR_INVALID_OPTION,
       "*\"stop\": 9 strings*"},
      {"{'priority': <'high'>}", GEM_ERROR_INVALID_OPTION,
       "*\"priority\": \"high\"; interactive or batch is wanted*"},
      {"{'page_in': <'never'>}", GEM_ERROR_INVALID_OPTION,
       "*\"page_in\": \"never\"; wait or degrade is wanted*"},
      {"{'priority': <true>}", GEM_ERROR_INVALID_OPTION, "*\"priority\": type b; s is wanted*"},
      {"{'domain': <'law'>}", GEM_ERROR_UNKNOWN_DOMAIN, "*\"law\"; there are: general, legal, stem*"},
      {"{'domain': <''>}", GEM_ERROR_UNKNOWN_DOMAIN, "*no domain \"\"*"},
      {"{'seed': <uint64 1>, 'domain': <'legal'>, 'nonsense': <1>}", GEM_ERROR_INVALID_OPTION, "*nonsense*"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    GemCallOptions options = {.routes = 42};
    g_autoptr(GError) error = NULL;

    g_assert_false(parse(cases[i].text, GEM_OPTIONS_ASK, &options, &error));
    g_assert_error(error, GEM_ERROR, (gint)cases[i].code);
    if (!g_pattern_match_simple(cases[i].named, error->message)) {
      g_test_message("\"%s\" is not like \"%s\"", error->message, cases[i].named);
      g_test_fail();
    }
    g_assert_cmpint(options.routes, ==, 42); /* untouched */
  }
}

/* A word that is too long comes back as its length, not as a word cut in a character. */
static void
test_long_words(void)
{
  g_autofree char *word = g_strnfill(100000, 'x');
  g_autofree char *key = g_strdup_printf("{'%s\xc3\xa9': <1>}", word);
  g_autofree char *domain = g_strdup_printf("{'domain': <'%s'>}", word);
  GemCallOptions options = {0};
  g_autoptr(GError) error = NULL;

  g_assert_false(parse(key, GEM_OPTIONS_ASK, &options, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION);
  g_assert_true(g_str_has_prefix(error->message, "unknown option of 100002 bytes;"));
  g_clear_error(&error);
  g_assert_false(parse(domain, GEM_OPTIONS_ASK, &options, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN);
  g_assert_nonnull(g_strstr_len(error->message, -1, "no domain of 100000 bytes;"));
}

static void
test_handle_token(void)
{
  static const char *const bad[] = {
      "",    "a-b",      "a/b",
      "a.b", "\xc3\xa9", "12345678901234567890123456789012345678901234567890123456789012345"};

  for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autofree char *text = g_strdup_printf("{'handle_token': <'%s'>}", bad[i]);
    GemCallOptions options = {0};
    g_autoptr(GError) error = NULL;

    g_assert_false(parse(text, GEM_OPTIONS_GENERATE, &options, &error));
    g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION);
    g_assert_nonnull(g_strstr_len(error->message, -1, "handle_token"));
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/call-options/defaults", test_defaults);
  g_test_add_func("/call-options/all", test_all);
  g_test_add_func("/call-options/bad", test_bad);
  g_test_add_func("/call-options/long-words", test_long_words);
  g_test_add_func("/call-options/handle-token", test_handle_token);
  return g_test_run();
}
