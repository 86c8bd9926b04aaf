/* Route, Classify, Embed and Score: against the forward pass in double precision. */
#include <math.h>
#include <string.h>

#include "daemon/engine/gem-append.h"
#include "daemon/engine/gem-label-tree.h"
#include "tests/gem-test-engine.h"
#include "tests/reference-forward.h"

#define TEXT "a small text, to be read once"

typedef struct {
  GemTestEngine *test;
  GemModelFiles *files;
  GemTokenizer *tokenizer;
} Scene;

/* With `eos`, the model's file says that this token ends a text; with G_MAXUINT32, that none does. */
static void
change_eos(GemTestEngine *test, guint32 eos)
{
  static const char key[] = "tokenizer.ggml.eos_token_id";
  g_autofree char *path = g_build_filename(test->folder, "general.gguf", NULL), *bytes = NULL;
  gsize size;
  char *at;

  gem_test_engine_write(test, FALSE);
  g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
  at = memmem(bytes, size, key, strlen(key));
  g_assert_nonnull(at);
  if (eos == G_MAXUINT32) {
    at[strlen("tokenizer.ggml.")] = 'x'; /* of a key that nobody asks for */
  } else {
    memcpy(at + strlen(key) + sizeof(guint32), &eos, sizeof eos); /* after its type */
  }
  g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
  gem_test_model_write_manifest(test->folder, &test->shape);
}

static Scene *
scene_new_ending(guint32 eos)
{
  Scene *scene = g_new0(Scene, 1);
  g_autoptr(GError) error = NULL;

  scene->test = gem_test_engine_new();
  scene->test->config.threshold_percent = 36;
  scene->test->config.prefill_block = 5;
  scene->test->config.kv_half = TRUE;
  if (eos != GEM_TEST_EOS) {
    change_eos(scene->test, eos);
  }
  gem_test_engine_start(scene->test);
  scene->files = gem_model_files_open(scene->test->model_path, &error);
  g_assert_no_error(error);
  scene->tokenizer = gem_tokenizer_new_from_gguf(scene->files->general, &error);
  g_assert_no_error(error);
  return scene;
}

static Scene *
scene_new(void)
{
  return scene_new_ending(GEM_TEST_EOS);
}

static void
scene_free(Scene *scene)
{
  gem_tokenizer_unref(scene->tokenizer);
  gem_model_files_free(scene->files);
  gem_test_engine_free(scene->test);
  g_free(scene);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scene, scene_free)

/* The router's own routes of one turn. */
static guint8 *
route_tokens(const Scene *scene, const GArray *tokens, gboolean causal)
{
  g_autoptr(GemModelFiles) files = NULL;
  g_autoptr(GemRuntime) runtime = gem_test_engine_open_runtime(scene->test, &files);
  GemSequenceState *sequence = gem_sequence_state_new(runtime, 0);
  GemRouting routing = {.causal = causal};
  guint8 *routes;

  g_assert_true(gem_sequence_state_append(runtime, sequence, (const guint32 *)(gpointer)tokens->data,
                                          tokens->len, &routing, NULL, NULL));
  routes = g_memdup2(sequence->routes->data, tokens->len);
  gem_sequence_state_free(runtime, sequence);
  g_clear_pointer(&runtime, gem_runtime_close);
  return routes;
}

static GArray *
encode(const Scene *scene, const char *ask_template, const char *text)
{
  GArray *tokens = g_array_new(FALSE, FALSE, sizeof(guint32));

  g_assert_true(gem_tokenizer_encode_template(scene->tokenizer, ask_template, text, tokens, NULL));
  return tokens;
}

static double *
forward(const Scene *scene, const GArray *tokens, const guint8 *routes, gboolean hidden)
{
  return reference_forward(scene->files, (const guint32 *)(gpointer)tokens->data, tokens->len, routes, 0,
                           TRUE, hidden);
}

/* ---- route ---- */

static void
test_route(void)
{
  g_autoptr(Scene) scene = scene_new();
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autoptr(GError) error = NULL;
  g_autofree guint8 *routes = NULL;
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GPtrArray) routed = NULL;
  gsize end = 0;

  gem_engine_route_async(scene->test->engine, TEXT, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  routed = gem_engine_route_finish(scene->test->engine, result, &error);
  g_assert_no_error(error);
  g_assert_true(gem_tokenizer_encode(scene->tokenizer, TEXT, -1, tokens, NULL, NULL));
  routes = route_tokens(scene, tokens, FALSE);
  g_assert_cmpuint(routed->len, ==, tokens->len);
  for (guint i = 0; i < routed->len; i++) {
    const GemRoutedToken *token = routed->pdata[i];
    double sum = 0;

    g_assert_cmpuint(token->offset, ==, end);
    end += token->length;
    g_assert_cmpstr(token->pathway, ==,
                    routes[i] == GEM_ROUTE_GENERAL ? "general" : scene->files->shape.domains[routes[i]]);
    for (guint d = 0; d < 3; d++) {
      sum += token->probabilities[d];
    }
    g_assert_cmpfloat_with_epsilon(sum, 1, 1e-5);
  }
  g_assert_cmpuint(end, ==, strlen(TEXT));
}

/* A part of a character is shown by its bytes. */
static void
test_route_bytes(void)
{
  g_autoptr(Scene) scene = scene_new();
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GPtrArray) routed = NULL;

  gem_engine_route_async(scene->test->engine, "\xe2\x82\xac", NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  routed = gem_engine_route_finish(scene->test->engine, result, NULL);
  g_assert_nonnull(routed);
  g_assert_cmpuint(routed->len, >=, 3);
  g_assert_cmpstr(((GemRoutedToken *)routed->pdata[routed->len - 3])->piece, ==, "<0xE2>");
  g_assert_cmpstr(((GemRoutedToken *)routed->pdata[routed->len - 1])->piece, ==, "<0xAC>");
}

/* ---- embed ---- */

static void
test_embed(void)
{
  g_autoptr(Scene) scene = scene_new();
  g_autoptr(GArray) tokens = encode(scene, NULL, TEXT);
  g_autofree guint8 *routes = route_tokens(scene, tokens, FALSE);
  g_autofree double *states = forward(scene, tokens, routes, TRUE);
  guint width = scene->files->shape.width;
  g_autofree double *mean = g_new0(double, width);
  g_autoptr(GError) error = NULL;
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GArray) embedding = NULL;
  double squares = 0, dot = 0, length = 0;

  gem_engine_embed_async(scene->test->engine, TEXT, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  embedding = gem_engine_embed_finish(scene->test->engine, result, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(embedding->len, ==, width);
  for (guint d = 0; d < width; d++) {
    double value = g_array_index(embedding, double, d);

    for (guint i = 1; i < tokens->len; i++) {
      mean[d] += states[(gsize)i * width + d];
    }
    squares += mean[d] * mean[d];
    length += value * value;
    dot += value * mean[d];
  }
  g_assert_cmpfloat_with_epsilon(length, 1, 1e-9);
  g_assert_cmpfloat(dot / sqrt(squares), >, 0.99999);
}

/* ---- score ---- */

static void
check_score(const Scene *scene, const char *domain)
{
  g_autoptr(GArray) tokens = encode(scene, NULL, TEXT);
  g_autofree guint8 *routes = domain == NULL ? route_tokens(scene, tokens, TRUE) : g_malloc(tokens->len);
  g_autofree double *logits = NULL;
  g_auto(GemRunOptions) options = {.domain = g_strdup(domain)};
  guint vocab = scene->files->shape.vocab;
  g_autoptr(GError) error = NULL;
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  double expected = 0, likelihood = 0;
  guint64 count = 0;

  if (domain != NULL) {
    memset(routes, g_str_equal(domain, "legal") ? 0 : GEM_ROUTE_GENERAL, tokens->len);
  }
  logits = forward(scene, tokens, routes, FALSE);
  for (guint i = 0; i + 1 < tokens->len; i++) {
    expected +=
        reference_log_likelihood(logits + (gsize)i * vocab, vocab, g_array_index(tokens, guint32, i + 1));
  }
  gem_engine_score_async(scene->test->engine, TEXT, &options, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  g_assert_true(gem_engine_score_finish(scene->test->engine, result, &likelihood, &count, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(count, ==, tokens->len - 1);
  g_assert_cmpfloat_with_epsilon(likelihood, expected, 1e-3 * (double)count);
}

static void
test_score(void)
{
  g_autoptr(Scene) scene = scene_new();

  g_assert_cmpstr(scene->files->shape.domains[0], ==, "legal");
  check_score(scene, NULL);
  check_score(scene, "general");
  check_score(scene, "legal");
}

/* ---- classify ---- */

/* The logits, in double, after the text and the first `depth` tokens of a label; everything run anew. */
static double *
logits_after(const Scene *scene, const GArray *label, guint depth)
{
  g_autoptr(GArray) tokens = encode(scene, scene->files->shape.ask_template, TEXT);
  guint vocab = scene->files->shape.vocab;
  g_autofree guint8 *routes = NULL;
  g_autofree double *logits = NULL;

  g_array_append_vals(tokens, label->data, depth);
  routes = route_tokens(scene, tokens, TRUE);
  logits = forward(scene, tokens, routes, FALSE);
  return g_memdup2(logits + (gsize)(tokens->len - 1) * vocab, vocab * sizeof(double));
}

/* The mean, over the label's tokens, of the log of each one's likelihood. */
static double
expected_score(const Scene *scene, const GArray *label)
{
  guint vocab = scene->files->shape.vocab;
  double score = 0;

  for (guint depth = 0; depth < label->len; depth++) {
    g_autofree double *logits = logits_after(scene, label, depth);
    double own = logits[g_array_index(label, guint32, depth)], sum = 0;

    for (guint i = 0; i < vocab; i++) {
      sum += exp(logits[i] - own);
    }
    score -= log(sum) / label->len;
  }
  return score;
}

/* The label's share of what all are worth. */
static double
expected_probability(const Scene *scene, const GPtrArray *labels, const GArray *label)
{
  double sum = 0;

  for (guint i = 0; i < labels->len; i++) {
    sum += exp(GEM_LABEL_SHARPNESS * expected_score(scene, labels->pdata[i]));
  }
  return exp(GEM_LABEL_SHARPNESS * expected_score(scene, label)) / sum;
}

static GPtrArray *
encode_labels(const Scene *scene, const char *const *labels)
{
  g_autoptr(GPtrArray) encoded = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
  guint32 end = gem_tokenizer_eos(scene->tokenizer);

  for (guint i = 0; labels[i] != NULL; i++) {
    GArray *tokens = g_array_new(FALSE, FALSE, sizeof(guint32));

    g_assert_true(gem_tokenizer_encode(scene->tokenizer, labels[i], -1, tokens, NULL, NULL));
    if (end == GEM_TEST_EOS) {
      g_array_append_val(tokens, end);
    }
    g_ptr_array_add(encoded, tokens);
  }
  return g_steal_pointer(&encoded);
}

static GArray *
classify(const Scene *scene, const char *const *labels)
{
  g_autoptr(GError) error = NULL;
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  GArray *probabilities;

  gem_engine_classify_async(scene->test->engine, TEXT, labels, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  probabilities = gem_engine_classify_finish(scene->test->engine, result, &error);
  g_assert_no_error(error);
  return probabilities;
}

/* A prompt that is made ahead, and let go at once: the same answers. */
static void
test_made_ahead(void)
{
  static const char *const labels[] = {"yes", "no", NULL};
  static const GemPromptSpec raw = {.form = GEM_PROMPT_RAW};
  static const GemPromptSpec ask = {.form = GEM_PROMPT_ASK, .labels = labels};
  static const GemPromptSpec alone = {.form = GEM_PROMPT_ALONE, .places = TRUE};
  g_autoptr(Scene) scene = scene_new();
  GemEngine *engine = scene->test->engine;
  g_autoptr(GArray) expected = classify(scene, labels);
  double likelihoods[2] = {0};
  guint64 counts[2] = {0};

  for (guint ahead = 0; ahead < 2; ahead++) {
    g_autoptr(GemPrompt) prompt = ahead == 1 ? gem_prompt_new(engine, TEXT, &raw, NULL) : NULL;
    const GemRunOptions options = {.prompt = prompt};
    GAsyncResult *slot = NULL;
    g_autoptr(GAsyncResult) result = NULL;

    gem_engine_score_async(engine, TEXT, &options, NULL, gem_test_keep_result, &slot);
    g_clear_pointer(&prompt, gem_prompt_unref);
    result = gem_test_wait_result(&slot);
    g_assert_true(gem_engine_score_finish(engine, result, &likelihoods[ahead], &counts[ahead], NULL));
  }
  g_assert_cmpfloat(likelihoods[0], ==, likelihoods[1]);
  g_assert_cmpuint(counts[0], ==, counts[1]);

  GAsyncResult *slots[2] = {NULL};
  g_autoptr(GemPrompt) asked = gem_prompt_new(engine, TEXT, &ask, NULL);
  g_autoptr(GemPrompt) routed = gem_prompt_new(engine, TEXT, &alone, NULL);
  const GemRunOptions options[] = {{.prompt = asked}, {.prompt = routed}};

  gem_engine_classify_async(engine, TEXT, labels, &options[0], NULL, gem_test_keep_result, &slots[0]);
  gem_engine_route_async(engine, TEXT, &options[1], NULL, gem_test_keep_result, &slots[1]);
  g_clear_pointer(&asked, gem_prompt_unref);
  g_clear_pointer(&routed, gem_prompt_unref);
  g_autoptr(GAsyncResult) classified = gem_test_wait_result(&slots[0]);
  g_autoptr(GAsyncResult) found = gem_test_wait_result(&slots[1]);
  g_autoptr(GArray) probabilities = gem_engine_classify_finish(engine, classified, NULL);
  g_autoptr(GPtrArray) tokens = gem_engine_route_finish(engine, found, NULL);
  const GemRoutedToken *last = tokens->pdata[tokens->len - 1];

  for (guint i = 0; i < 2; i++) {
    g_assert_cmpfloat(g_array_index(probabilities, double, i), ==, g_array_index(expected, double, i));
  }
  g_assert_cmpuint(last->offset + last->length, ==, strlen(TEXT));
}

/* Labels that part at once, late (after more than a block of prefill), and by the end of the text alone;
 * their order does not matter. */
static void
test_classify(void)
{
  static const char *const labels[] = {"yes",
                                       "no",
                                       "perhaps another time, when it rains",
                                       "perhaps another time, when it snows",
                                       "perhaps another time",
                                       NULL};
  enum { N = G_N_ELEMENTS(labels) - 1 };
  const char *turned[N + 1] = {NULL};
  g_autoptr(Scene) scene = scene_new();
  g_autoptr(GPtrArray) encoded = encode_labels(scene, labels);
  g_autoptr(GArray) probabilities = classify(scene, labels);
  g_autoptr(GArray) again = NULL;
  double sum = 0;

  for (guint i = 0; i < N; i++) {
    turned[i] = labels[N - 1 - i];
  }
  again = classify(scene, turned);
  g_assert_cmpuint(probabilities->len, ==, N);
  for (guint i = 0; i < N; i++) {
    double probability = g_array_index(probabilities, double, i);

    g_assert_cmpfloat_with_epsilon(probability, expected_probability(scene, encoded, encoded->pdata[i]),
                                   2e-3);
    g_assert_cmpfloat_with_epsilon(probability, g_array_index(again, double, N - 1 - i), 1e-12);
    sum += probability;
  }
  g_assert_cmpfloat_with_epsilon(sum, 1.0, 1e-9);
}

/* A model that has no token for the end of a text, or calls an ordinary one so: labels are scored without,
 * and none may begin another. */
static void
test_classify_without_end(void)
{
  static const char *const labels[] = {"y", "no", "ye", NULL};
  static const char *const parting[] = {"a", "no", "yes", NULL};
  static const guint32 ends[] = {G_MAXUINT32, GEM_TEST_BYTES + 'y'};

  for (guint e = 0; e < G_N_ELEMENTS(ends); e++) {
    g_autoptr(Scene) scene = scene_new_ending(ends[e]);
    g_autoptr(GPtrArray) encoded = encode_labels(scene, parting);
    g_autoptr(GArray) probabilities = classify(scene, parting);
    g_autoptr(GError) error = NULL;
    GAsyncResult *slot = NULL;
    g_autoptr(GAsyncResult) result = NULL;

    g_assert_cmpuint(gem_tokenizer_eos(scene->tokenizer), ==, ends[e]);
    for (guint i = 0; i < probabilities->len; i++) {
      g_assert_cmpfloat_with_epsilon(g_array_index(probabilities, double, i),
                                     expected_probability(scene, encoded, encoded->pdata[i]), 2e-3);
    }
    gem_engine_classify_async(scene->test->engine, TEXT, labels, NULL, NULL, gem_test_keep_result, &slot);
    result = gem_test_wait_result(&slot);
    g_assert_null(gem_engine_classify_finish(scene->test->engine, result, &error));
    g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION);
    g_assert_nonnull(strstr(error->message, "label 1 begins label 3"));
  }
}

/* Many calls at once, some of them cancelled: each ends, each with its own answer. */
static void
test_many(void)
{
  enum { CALLS = 40 };
  static const char *const labels[] = {"yes", "no", NULL};
  g_autoptr(Scene) scene = scene_new();
  g_autoptr(GArray) expected = classify(scene, labels);
  GAsyncResult *slots[CALLS] = {NULL};
  GCancellable *cancellables[CALLS];

  for (guint i = 0; i < CALLS; i++) {
    cancellables[i] = g_cancellable_new();
    if (i % 3 == 0) {
      g_cancellable_cancel(cancellables[i]);
    }
    gem_engine_classify_async(scene->test->engine, TEXT, labels, NULL, cancellables[i], gem_test_keep_result,
                              &slots[i]);
    if (i % 3 == 1) {
      g_cancellable_cancel(cancellables[i]);
    }
  }
  for (guint i = 0; i < CALLS; i++) {
    g_autoptr(GAsyncResult) result = gem_test_wait_result(&slots[i]);
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) probabilities = gem_engine_classify_finish(scene->test->engine, result, &error);

    /* Cancelled after its start, a call may have been done already. */
    if (i % 3 == 0 || (i % 3 == 1 && error != NULL)) {
      g_assert_error(error, GEM_ERROR, GEM_ERROR_CANCELLED);
    } else {
      g_assert_no_error(error);
      g_assert_cmpfloat(g_array_index(probabilities, double, 0), ==, g_array_index(expected, double, 0));
    }
    g_object_unref(cancellables[i]);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/one-shot/route", test_route);
  g_test_add_func("/one-shot/route/bytes", test_route_bytes);
  g_test_add_func("/one-shot/embed", test_embed);
  g_test_add_func("/one-shot/score", test_score);
  g_test_add_func("/one-shot/made-ahead", test_made_ahead);
  g_test_add_func("/one-shot/classify", test_classify);
  g_test_add_func("/one-shot/classify-without-end", test_classify_without_end);
  g_test_add_func("/one-shot/many", test_many);
  return g_test_run();
}
