/* What bad input gets: an error that names the thing, and an engine that goes on. */
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "tests/gem-test-engine.h"
#include "tests/gem-test-modules.h"

#define PROMPT "the old house on the hill"
#define CANARY "xylophone"

/* ---- configuration ---- */

static void
check_refused(const GemEngineConfig *config, GemError code, const char *named)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemEngine) engine = gem_engine_new(config, &error);

  g_assert_null(engine);
  g_assert_error(error, GEM_ERROR, (gint)code);
  g_assert_nonnull(strstr(error->message, named));
}

static void
test_config(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  GemEngineConfig good;
  const char *no_dirs[] = {NULL};

  gem_test_engine_write(test, FALSE);
  good = test->config;
#define REFUSED(field, value, code, named)                                                                   \
  do {                                                                                                       \
    GemEngineConfig config = good;                                                                           \
    config.field = (value);                                                                                  \
    check_refused(&config, code, named);                                                                     \
  } while (0)
  REFUSED(model_path, NULL, GEM_ERROR_INVALID_OPTION, "model_path");
  REFUSED(model_path, "", GEM_ERROR_INVALID_OPTION, "model_path");
  REFUSED(model_path, "/nowhere/at/all", GEM_ERROR_MODEL, "/nowhere/at/all");
  REFUSED(plugin_dirs, NULL, GEM_ERROR_INVALID_OPTION, "plugin_dirs");
  REFUSED(plugin_dirs, no_dirs, GEM_ERROR_INVALID_OPTION, "plugin_dirs");
  REFUSED(backend, "abacus", GEM_ERROR_FAILED, "abacus");
  REFUSED(attention, "divided", GEM_ERROR_FAILED, "divided");
  REFUSED(clusters, 5, GEM_ERROR_INVALID_OPTION, "clusters");
  REFUSED(clusters, -1, GEM_ERROR_INVALID_OPTION, "clusters");
  REFUSED(threshold_percent, 101, GEM_ERROR_INVALID_OPTION, "threshold_percent");
  REFUSED(threshold_percent, -2, GEM_ERROR_INVALID_OPTION, "threshold_percent");
  REFUSED(context, 3, GEM_ERROR_INVALID_OPTION, "context");
  REFUSED(context, G_MAXUINT, GEM_ERROR_INVALID_OPTION, "context");
  REFUSED(prefill_block, 5000, GEM_ERROR_INVALID_OPTION, "prefill_block");
  REFUSED(max_sequences, 70000, GEM_ERROR_INVALID_OPTION, "max_sequences");
#undef REFUSED
}

static void
test_no_modules(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *empty = gem_test_plugin_dir_new();

  gem_test_engine_write(test, FALSE);
  test->dirs[0] = empty;
  check_refused(&test->config, GEM_ERROR_FAILED, "backend");
  gem_test_folder_remove(empty);
}

/* ---- model files ---- */

/* Each needed file missing, cut short and altered. */
static void
test_model_files(void)
{
  static const char *const names[] = {"general.gguf", "router.gguf", "manifest"};

  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autoptr(GemTestEngine) test = gem_test_engine_new();
    g_autofree char *path = g_build_filename(test->folder, names[i], NULL);
    g_autofree char *contents = NULL;
    gsize length;

    gem_test_engine_write(test, FALSE);
    g_assert_true(g_file_get_contents(path, &contents, &length, NULL));
    g_assert_true(g_file_set_contents(path, contents, (gssize)(length / 2), NULL));
    check_refused(&test->config, GEM_ERROR_MODEL, names[i]);
    contents[length / 2] ^= 0x10;
    g_assert_true(g_file_set_contents(path, contents, (gssize)length, NULL));
    check_refused(&test->config, GEM_ERROR_MODEL, "");
    g_assert_cmpint(g_remove(path), ==, 0);
    check_refused(&test->config, GEM_ERROR_MODEL, names[i]);
  }
}

/* A lone file has no manifest: cut anywhere, it is refused by its own structure. */
static void
test_lone_file(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *contents = NULL;
  gsize length;

  gem_test_engine_write(test, TRUE);
  g_assert_true(g_file_get_contents(test->model_path, &contents, &length, NULL));
  for (guint part = 0; part < 16; part++) {
    g_assert_true(g_file_set_contents(test->model_path, contents, (gssize)(length * part / 16), NULL));
    check_refused(&test->config, GEM_ERROR_MODEL, "lone.gguf");
  }
}

/* ---- turns ---- */

/* The turn is refused at once; the sequence can be used afterwards. */
static void
check_turn_refused(GemSequence *sequence,
                   const char *prompt,
                   const GemGenerateOptions *options,
                   GemError code,
                   const char *named)
{
  GemGenerationEvents events = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGeneration) generation =
      gem_sequence_generate(sequence, prompt, options, &events, NULL, NULL, &error);

  g_assert_null(generation);
  g_assert_error(error, GEM_ERROR, (gint)code);
  g_assert_nonnull(strstr(error->message, named));
  g_assert_null(strstr(error->message, CANARY));
}

static void
check_option(GemSequence *sequence, GemGenerateOptions options, const char *named)
{
  check_turn_refused(sequence, PROMPT, &options, GEM_ERROR_INVALID_OPTION, named);
}

static void
test_generate_options(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;
  g_autofree char *long_text = g_strnfill(300, 's');
  const char *empty[] = {"ok", "", NULL};
  const char *too_long[] = {long_text, NULL};
  const char *invalid[] = {"\xff", NULL};
  const char *many[18] = {NULL};
  GemGenerateOptions options = {.max_tokens = 2};

  gem_test_engine_start(test);
  sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  for (guint i = 0; i < 17; i++) {
    many[i] = "stop";
  }
  check_option(sequence, (GemGenerateOptions){.max_tokens = 257}, "max_tokens");
  check_option(sequence, (GemGenerateOptions){.temperature = -0.5}, "temperature");
  check_option(sequence, (GemGenerateOptions){.temperature = 4.5}, "temperature");
  check_option(sequence, (GemGenerateOptions){.temperature = NAN}, "temperature");
  check_option(sequence, (GemGenerateOptions){.top_p = -0.1}, "top_p");
  check_option(sequence, (GemGenerateOptions){.top_p = 1.1}, "top_p");
  check_option(sequence, (GemGenerateOptions){.top_p = NAN}, "top_p");
  check_option(sequence, (GemGenerateOptions){.stop = (GStrv)empty}, "stop");
  check_option(sequence, (GemGenerateOptions){.stop = (GStrv)too_long}, "stop");
  check_option(sequence, (GemGenerateOptions){.stop = (GStrv)invalid}, "stop");
  check_option(sequence, (GemGenerateOptions){.stop = (GStrv)many}, "stop");
  check_option(sequence, (GemGenerateOptions){.run.clusters = 5}, "clusters");
  check_option(sequence, (GemGenerateOptions){.run.clusters = 4}, "clusters");
  check_turn_refused(sequence, PROMPT, &(GemGenerateOptions){.run.domain = (char *)"cooking"},
                     GEM_ERROR_UNKNOWN_DOMAIN, "cooking");
  answer = gem_test_generate(sequence, PROMPT, &options);
  gem_test_answer_wait(answer);
  g_assert_cmpuint(answer->generated_tokens, ==, 2);
}

static void
test_text(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  GemGenerateOptions slide = {.slide = TRUE};
  g_autofree char *too_long = g_strnfill(1000, 'q');
  g_autofree char *far_too_long = g_strnfill(20000, 'q');
  guint64 count = 77;
  g_autofree char *expected = NULL;
  g_autoptr(GError) error = NULL;

  gem_test_engine_start(test);
  sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  check_turn_refused(sequence, "", NULL, GEM_ERROR_INVALID_TEXT, "empty");
  check_turn_refused(sequence, CANARY "\xff", NULL, GEM_ERROR_INVALID_TEXT, "");
  g_assert_true(gem_test_count_tokens(test->engine, too_long, &count, NULL));
  /* Template and BOS: three control tokens. */
  expected = g_strdup_printf("%" G_GUINT64_FORMAT, count + 3);
  check_turn_refused(sequence, too_long, NULL, GEM_ERROR_CONTEXT_EXCEEDED, expected);
  check_turn_refused(sequence, too_long, NULL, GEM_ERROR_CONTEXT_EXCEEDED, "256");
  check_turn_refused(sequence, too_long, &slide, GEM_ERROR_CONTEXT_EXCEEDED, "256");
  /* Refused by its length alone: it is not tokenized. */
  check_turn_refused(sequence, far_too_long, NULL, GEM_ERROR_CONTEXT_EXCEEDED, "20000 bytes needs at least");

  count = 77;
  g_assert_false(gem_test_count_tokens(test->engine, CANARY "\xc3", &count, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT);
  g_assert_null(strstr(error->message, CANARY));
  g_clear_error(&error);
  g_assert_false(gem_test_count_tokens(test->engine, "", &count, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT);
  g_assert_cmpuint(count, ==, 77);
}

/* The text's tokens stand where they do, and there are some. */
static void
check_same_places(const GemTestAnswer *answer, const GemTestAnswer *expected)
{
  guint64 end = 0;

  g_assert_cmpuint(answer->routed->len, ==, expected->routed->len);
  for (guint i = 0; i < answer->prompt_tokens; i++) {
    const GemRoutedToken *one = answer->routed->pdata[i], *other = expected->routed->pdata[i];

    g_assert_cmpuint(one->offset, ==, other->offset);
    g_assert_cmpuint(one->length, ==, other->length);
    end = MAX(end, one->offset + one->length);
  }
  g_assert_cmpuint(end, ==, strlen(CANARY));
}

/* A prompt whose tokens were made ahead gives the same turns, the later ones too, which have no BOS. */
static void
test_prompt_ahead(void)
{
  static const GemPromptSpec spec = {.form = GEM_PROMPT_ASK, .places = TRUE};
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) one = NULL, other = NULL;
  g_autoptr(GemPrompt) empty = NULL;
  g_autoptr(GError) error = NULL;

  gem_test_engine_start(test);
  one = gem_test_engine_new_sequence(test);
  other = gem_test_engine_new_sequence(test);
  for (guint turn = 0; turn < 2; turn++) {
    g_autoptr(GemPrompt) prompt = gem_prompt_new(test->engine, CANARY, &spec, NULL);
    GemGenerateOptions options = {.max_tokens = 8};
    g_autoptr(GemTestAnswer) expected = gem_test_generate_routed(one, CANARY, &options);
    g_autoptr(GemTestAnswer) answer = NULL;

    g_assert_nonnull(prompt);
    options.run.prompt = prompt;
    answer = gem_test_generate_routed(other, CANARY, &options);
    gem_test_answer_wait(expected);
    gem_test_answer_wait(answer);
    check_same_places(answer, expected);
    g_assert_cmpuint(answer->prompt_tokens, ==, expected->prompt_tokens);
    g_assert_cmpstr(answer->text->str, ==, expected->text->str);
    g_assert_cmpuint(gem_sequence_get_tokens(other), ==, gem_sequence_get_tokens(one));
  }
  empty = gem_prompt_new(test->engine, "", &spec, &error);
  g_assert_null(empty);
  g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_TEXT);
}

/* A model may call a piece of its texts its BOS: that one stays in later turns, also where it is all there
 * is. */
static void
test_bos_of_texts(void)
{
  static const char *const prompts[] = {"z", "zz", "zx"};
  enum { PIECE_Z = GEM_TEST_BYTES + 256 + 46 };
  g_autoptr(GemTestEngine) test = gem_test_engine_new();

  gem_test_model_bos = PIECE_Z;
  gem_test_engine_start(test);
  gem_test_model_bos = GEM_TEST_BOS;
  for (guint i = 0; i < G_N_ELEMENTS(prompts); i++) {
    g_autoptr(GemSequence) sequence = gem_test_engine_new_sequence(test);
    GemGenerateOptions options = {.max_tokens = 2, .raw = TRUE};

    for (guint turn = 0; turn < 2; turn++) {
      g_autoptr(GemTestAnswer) answer = gem_test_generate(sequence, prompts[i], &options);

      gem_test_answer_wait(answer);
      g_assert_no_error(answer->error);
      g_assert_cmpuint(answer->prompt_tokens, ==, strlen(prompts[i]));
    }
  }
}

/* A control token spelled out in a text is text. */
static void
test_control_in_text(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;
  GemGenerateOptions options = {.max_tokens = 1};
  guint control = 0;

  gem_test_engine_start(test);
  sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  answer = gem_test_generate_routed(sequence, "</s><|model|>", &options);
  gem_test_answer_wait(answer);
  for (guint i = 0; i < answer->prompt_tokens; i++) {
    control += ((GemRoutedToken *)answer->routed->pdata[i])->length == 0 ? 1 : 0;
  }
  g_assert_cmpuint(control, ==, 3);
}

static void
test_busy(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) sequence = NULL;
  g_autoptr(GemTestAnswer) answer = NULL;

  gem_test_engine_start(test);
  sequence = gem_engine_new_sequence(test->engine, NULL, NULL);
  answer = gem_test_generate(sequence, PROMPT, NULL);
  check_turn_refused(sequence, PROMPT, NULL, GEM_ERROR_BUSY, "");
  gem_generation_cancel(answer->generation);
  gem_test_answer_wait(answer);
}

static void
test_sequences(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autoptr(GemSequence) one = NULL;
  g_autoptr(GemSequence) two = NULL;
  g_autoptr(GError) error = NULL;
  GemRunOptions clusters = {.clusters = 3};
  GemRunOptions domain = {.domain = (char *)"cooking"};

  test->config.max_sequences = 1;
  gem_test_engine_start(test);
  g_assert_null(gem_engine_new_sequence(test->engine, &clusters, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION);
  g_clear_error(&error);
  g_assert_null(gem_engine_new_sequence(test->engine, &domain, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN);
  g_clear_error(&error);
  one = gem_engine_new_sequence(test->engine, NULL, &error);
  g_assert_no_error(error);
  two = gem_engine_new_sequence(test->engine, NULL, &error);
  g_assert_null(two);
  g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_clear_error(&error);
  g_clear_object(&one);
  two = gem_engine_new_sequence(test->engine, NULL, &error);
  g_assert_no_error(error);
  g_assert_nonnull(two);
}

/* Dense attention has no clusters that a call could ask for. */
static void
test_dense_clusters(void)
{
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  GemRunOptions clusters = {.clusters = 8};
  g_autoptr(GError) error = NULL;

  test->config.attention = "dense";
  gem_test_engine_start(test);
  g_assert_cmpstr(gem_engine_get_attention(test->engine), ==, "dense");
  g_assert_null(gem_engine_new_sequence(test->engine, &clusters, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION);
  g_assert_nonnull(strstr(error->message, "clusters"));
}

/* ---- one-shot calls ---- */

static void
check_classify_refused(
    GemEngine *engine, const char *text, const char *const *labels, GemError code, const char *named)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) probabilities = NULL;

  gem_engine_classify_async(engine, text, labels, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  probabilities = gem_engine_classify_finish(engine, result, &error);
  g_assert_null(probabilities);
  g_assert_error(error, GEM_ERROR, (gint)code);
  g_assert_nonnull(strstr(error->message, named));
}

static void
test_classify(void)
{
  static const char *const two[] = {"yes", "no", NULL};
  static const char *const one[] = {"yes", NULL};
  static const char *const none[] = {NULL};
  static const char *const empty[] = {"yes", "", NULL};
  static const char *const twice[] = {"yes", "no", "yes", NULL};
  static const char *const invalid[] = {"yes", "\xfe", NULL};
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *too_long = g_strnfill(20000, 'q');
  const char *long_label[] = {"yes", too_long, NULL};
  g_autoptr(GPtrArray) many = g_ptr_array_new_with_free_func(g_free);

  gem_test_engine_start(test);
  check_classify_refused(test->engine, PROMPT, one, GEM_ERROR_INVALID_OPTION, "labels");
  check_classify_refused(test->engine, PROMPT, none, GEM_ERROR_INVALID_OPTION, "labels");
  check_classify_refused(test->engine, PROMPT, NULL, GEM_ERROR_INVALID_OPTION, "labels");
  check_classify_refused(test->engine, PROMPT, empty, GEM_ERROR_INVALID_OPTION, "label 2");
  check_classify_refused(test->engine, PROMPT, twice, GEM_ERROR_INVALID_OPTION, "label 3");
  check_classify_refused(test->engine, PROMPT, invalid, GEM_ERROR_INVALID_TEXT, "label 2");
  for (guint i = 0; i < 257; i++) {
    g_ptr_array_add(many, g_strdup_printf("label %u", i));
  }
  g_ptr_array_add(many, NULL);
  check_classify_refused(test->engine, PROMPT, (const char *const *)many->pdata, GEM_ERROR_INVALID_OPTION,
                         "257");
  check_classify_refused(test->engine, "", two, GEM_ERROR_INVALID_TEXT, "empty");
  check_classify_refused(test->engine, too_long, two, GEM_ERROR_CONTEXT_EXCEEDED, "256");
  check_classify_refused(test->engine, PROMPT, long_label, GEM_ERROR_CONTEXT_EXCEEDED, "256");
}

/* How each of the other one-shot calls ends on this text; the error. */
static GError *
one_shot_error(GemEngine *engine, const char *call, const char *text, const GemRunOptions *options)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  GError *error = NULL;
  double likelihood = 77;
  guint64 tokens = 77;

  if (g_str_equal(call, "route")) {
    gem_engine_route_async(engine, text, NULL, NULL, gem_test_keep_result, &slot);
    result = gem_test_wait_result(&slot);
    g_assert_null(gem_engine_route_finish(engine, result, &error));
  } else if (g_str_equal(call, "embed")) {
    gem_engine_embed_async(engine, text, options, NULL, gem_test_keep_result, &slot);
    result = gem_test_wait_result(&slot);
    g_assert_null(gem_engine_embed_finish(engine, result, &error));
  } else {
    gem_engine_score_async(engine, text, options, NULL, gem_test_keep_result, &slot);
    result = gem_test_wait_result(&slot);
    g_assert_false(gem_engine_score_finish(engine, result, &likelihood, &tokens, &error));
    g_assert_cmpuint(tokens, ==, 77);
  }
  return error;
}

static void
test_one_shots(void)
{
  static const char *const calls[] = {"route", "embed", "score"};
  g_autoptr(GemTestEngine) test = gem_test_engine_new();
  g_autofree char *too_long = g_strnfill(20000, 'q');
  GemRunOptions domain = {.domain = (char *)"cooking"};
  GemRunOptions clusters = {.clusters = 3};

  gem_test_engine_start(test);
  for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
    g_autoptr(GError) empty = one_shot_error(test->engine, calls[i], "", NULL);
    g_autoptr(GError) invalid = one_shot_error(test->engine, calls[i], CANARY "\xff", NULL);
    g_autoptr(GError) exceeded = one_shot_error(test->engine, calls[i], too_long, NULL);

    g_assert_error(empty, GEM_ERROR, GEM_ERROR_INVALID_TEXT);
    g_assert_error(invalid, GEM_ERROR, GEM_ERROR_INVALID_TEXT);
    g_assert_null(strstr(invalid->message, CANARY));
    g_assert_error(exceeded, GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED);
    g_assert_nonnull(strstr(exceeded->message, "256"));
    if (i > 0) {
      g_autoptr(GError) unknown = one_shot_error(test->engine, calls[i], PROMPT, &domain);
      g_autoptr(GError) no_set = one_shot_error(test->engine, calls[i], PROMPT, &clusters);

      g_assert_error(unknown, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN);
      g_assert_error(no_set, GEM_ERROR, GEM_ERROR_INVALID_OPTION);
    }
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/engine-input/prompt-ahead", test_prompt_ahead);
  g_test_add_func("/engine-input/config", test_config);
  g_test_add_func("/engine-input/no-modules", test_no_modules);
  g_test_add_func("/engine-input/model-files", test_model_files);
  g_test_add_func("/engine-input/lone-file", test_lone_file);
  g_test_add_func("/engine-input/generate-options", test_generate_options);
  g_test_add_func("/engine-input/text", test_text);
  g_test_add_func("/engine-input/control-in-text", test_control_in_text);
  g_test_add_func("/engine-input/bos-of-texts", test_bos_of_texts);
  g_test_add_func("/engine-input/busy", test_busy);
  g_test_add_func("/engine-input/sequences", test_sequences);
  g_test_add_func("/engine-input/dense-clusters", test_dense_clusters);
  g_test_add_func("/engine-input/classify", test_classify);
  g_test_add_func("/engine-input/one-shots", test_one_shots);
  return g_test_run();
}
