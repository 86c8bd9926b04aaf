/* The commands of gem-bench that run the engine, on tiny random models: what they print, write and refuse. Of
 * the figures only what must hold on any machine. */
#include <json-glib/json-glib.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "bench/direct/gem-bench-attention.h"
#include "bench/direct/gem-bench-file-cache.h"
#include "bench/direct/gem-bench-model.h"
#include "bench/direct/gem-bench-sequence.h"
#include "clients/gem-client/gem-client-exit.h"
#include "format/gem-model-files.h"
#include "tests/gem-test-client.h"
#include "tests/gem-test-model.h"

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Of the tests' model: the set of 4 centroids is not used, [layers][4][width] floats. */
#define UNUSED_CENTROID_BYTES (2 * 4 * 64 * sizeof(float))

typedef struct {
  char *folder;       /* with what the commands write */
  char *model, *lone; /* a model's folder, and a Llama-architecture file */
  char *json, *chart;
  GemModelShape shape;
} Scene;

static void
scene_set_up(Scene *self, gconstpointer data)
{
  self->folder = gem_test_folder_new();
  self->model = gem_test_folder_new();
  self->lone = g_build_filename(self->folder, "lone.gguf", NULL);
  self->json = g_build_filename(self->folder, "out.json", NULL);
  self->chart = g_build_filename(self->folder, "out.svg", NULL);
  gem_test_model_shape(&self->shape);
  gem_test_model_write(self->model, &self->shape, GEM_TYPE_F16, 5);
  gem_test_model_write_llama(self->lone, &self->shape, GEM_TYPE_Q8_0, 5);
}

static void
scene_tear_down(Scene *self, gconstpointer data)
{
  gem_model_shape_clear(&self->shape);
  gem_test_folder_remove(self->folder);
  gem_test_folder_remove(self->model);
  g_free(self->folder);
  g_free(self->model);
  g_free(self->lone);
  g_free(self->json);
  g_free(self->chart);
}

static void
bench(const char *const *arguments, GemTestRun *ret_run)
{
  g_autoptr(GSubprocess) program = gem_test_program_start(NULL, "bench", "gem-bench", arguments, FALSE);

  gem_test_client_finish(program, NULL, ret_run);
}

/* Runs a command that is to measure and write both files. */
static JsonObject *
measure(const Scene *self, const char *const *arguments, char **ret_out, JsonNode **ret_node)
{
  g_auto(GemTestRun) run = {0};
  g_autofree char *text = NULL;
  g_autofree char *svg = NULL;
  g_autoptr(GPtrArray) all = g_ptr_array_new();
  g_autoptr(GError) error = NULL;
  gsize i;

  for (i = 0; arguments[i] != NULL; i++) {
    g_ptr_array_add(all, (gpointer)arguments[i]);
  }
  for (i = 0; i < 5; i++) {
    const char *const files[] = {"--json", self->json, "--chart", self->chart, NULL};

    g_ptr_array_add(all, (gpointer)files[i]);
  }
  bench((const char *const *)all->pdata, &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_file_get_contents(self->json, &text, NULL, &error);
  g_assert_no_error(error);
  *ret_node = json_from_string(text, &error);
  g_assert_no_error(error);
  g_file_get_contents(self->chart, &svg, NULL, &error);
  g_assert_no_error(error);
  g_assert_true(g_str_has_prefix(svg, "<svg ") && g_str_has_suffix(svg, "</svg>\n"));
  g_assert_nonnull(strstr(svg, "prefers-color-scheme:dark"));
  *ret_out = g_steal_pointer(&run.out);
  return json_node_get_object(*ret_node);
}

/* Min, median and max of a member are those of its values, of which there are so many; the median. */
static double
check_values(JsonObject *object, const char *name, guint count)
{
  JsonObject *member = json_object_get_object_member(object, name);
  JsonArray *values = json_object_get_array_member(member, "values");
  double min = json_object_get_double_member(member, "min"),
         max = json_object_get_double_member(member, "max");
  double median = json_object_get_double_member(member, "median"), least = INFINITY, most = 0;
  guint i;

  g_assert_cmpuint(json_array_get_length(values), ==, count);
  for (i = 0; i < count; i++) {
    least = fmin(least, json_array_get_double_element(values, i));
    most = fmax(most, json_array_get_double_element(values, i));
  }
  g_assert_cmpfloat(min, ==, least);
  g_assert_cmpfloat(max, ==, most);
  g_assert_cmpfloat(min, <=, median);
  g_assert_cmpfloat(median, <=, max);
  g_assert_cmpfloat(min, >, 0);
  return median;
}

/* Of all tensors, or of those whose names contain `part`. */
static guint64
count_named_bytes(const char *folder, const char *name, const char *part)
{
  g_autofree char *path = g_build_filename(folder, name, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) file = gem_gguf_open(path, &error);
  guint64 bytes = 0;
  guint i;

  g_assert_no_error(error);
  for (i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);

    bytes += part == NULL || strstr(tensor->name, part) != NULL ? tensor->bytes : 0;
  }
  return bytes;
}

static guint64
count_tensor_bytes(const char *folder, const char *name)
{
  return count_named_bytes(folder, name, NULL);
}

/* ---- speed ---- */

static void
test_speed(Scene *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = measure(self,
                               ARGUMENTS("speed", self->model, "-t", "1", "-p", "20", "-n", "6", "-d", "9",
                                         "-r", "3", "-b", "8", "--bandwidth", "10"),
                               &out, &node);
  double read = json_object_get_double_member(object, "weight_bytes_per_token");
  double decode = check_values(object, "decode_tokens_per_second", 3);

  check_values(object, "load_ms", 3);
  check_values(object, "prefill_tokens_per_second", 3);
  g_assert_cmpfloat(read, ==, count_tensor_bytes(self->model, "general.gguf") - UNUSED_CENTROID_BYTES);
  g_assert_cmpfloat_with_epsilon(json_object_get_double_member(object, "bandwidth_share"),
                                 read * decode / 10e9, 1e-12);
  g_assert_cmpfloat(json_object_get_double_member(object, "token_us_median"), <=,
                    json_object_get_double_member(object, "token_us_p95"));
  g_assert_cmpint(json_object_get_int_member(object, "peak_resident_bytes"), >, (gint64)read);
  g_assert_cmpstr(json_object_get_string_member(object, "backend"), ==, "cpu");
  g_assert_cmpstr(json_object_get_string_member(object, "attention"), ==, "scar");
  g_assert_cmpint(json_object_get_int_member(object, "clusters"), ==, 8);
  g_assert_cmpint(json_object_get_int_member(object, "depth"), ==, 9);
  g_assert_nonnull(strstr(out, "attention scar; pathway general, depth 9\n"));
  g_assert_nonnull(strstr(out, "\nprefill 20  tokens/s "));
  g_assert_nonnull(strstr(out, "\ndecode 6    tokens/s "));
  g_assert_nonnull(strstr(out, "\nshare of 10 GB/s: "));
}

/* A forced pathway is read by every token; with the router it is the router's weights and some pathways. */
static void
test_speed_pathways(Scene *self, gconstpointer data)
{
  g_autofree char *forced = NULL;
  g_autofree char *routed = NULL;
  g_autoptr(JsonNode) forced_node = NULL;
  g_autoptr(JsonNode) routed_node = NULL;
  double general = (double)count_tensor_bytes(self->model, "general.gguf") - UNUSED_CENTROID_BYTES;
  double legal = (double)count_tensor_bytes(self->model, "pathway-legal.gguf");
  double router = (double)count_tensor_bytes(self->model, "router.gguf");
  JsonObject *object =
      measure(self, ARGUMENTS("speed", self->model, "-p", "4", "-n", "4", "-r", "1", "--domain", "legal"),
              &forced, &forced_node);
  double read;

  g_assert_cmpfloat(json_object_get_double_member(object, "weight_bytes_per_token"), ==, general + legal);
  g_assert_cmpstr(json_object_get_string_member(object, "router"), ==, "off");
  object = measure(self, ARGUMENTS("speed", self->model, "-p", "4", "-n", "4", "-r", "1", "--route"), &routed,
                   &routed_node);
  read = json_object_get_double_member(object, "weight_bytes_per_token");
  g_assert_cmpfloat(read, >, general);
  g_assert_cmpfloat(read, <=, general + router + legal);
  g_assert_cmpstr(json_object_get_string_member(object, "pathway"), ==, "router");
  g_assert_cmpstr(json_object_get_string_member(object, "router"), ==, "chooses");
}

/* A pathway's name beside --route: what every token reads is all of the router, and that pathway. */
static void
test_speed_overruled(Scene *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  double general = (double)count_tensor_bytes(self->model, "general.gguf") - UNUSED_CENTROID_BYTES;
  double finance = (double)count_tensor_bytes(self->model, "pathway-finance.gguf");
  double router = (double)count_tensor_bytes(self->model, "router.gguf") -
                  (double)count_named_bytes(self->model, "router.gguf", "token_embd.weight");
  JsonObject *object = measure(self,
                               ARGUMENTS("speed", self->model, "-p", "20", "-n", "9", "-d", "3", "-r", "2",
                                         "--route", "--domain", "finance"),
                               &out, &node);

  g_assert_cmpfloat(json_object_get_double_member(object, "weight_bytes_per_token"), ==,
                    general + router + finance);
  g_assert_cmpstr(json_object_get_string_member(object, "pathway"), ==, "finance");
  g_assert_cmpstr(json_object_get_string_member(object, "router"), ==, "overruled");
  g_assert_nonnull(strstr(out, "; pathway finance (the router overruled), depth 3\n"));
}

static GemBenchModel *
open_model(const Scene *self)
{
  GemBenchModelOptions options = {.threads = 1};
  GemBenchModelWish wish = {.path = self->model, .context = 64};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemBenchModel) model = gem_bench_model_open(&options, &wish, &error);

  g_assert_no_error(error);
  g_assert_true(gem_bench_model_page_in_all(model, &error));
  g_assert_no_error(error);
  return g_steal_pointer(&model);
}

/* Prompt and answer: the router reads each token in the way that it came, and remembers it; where it runs is
 * another matter. */
static void
test_overruled_tokens(Scene *self, gconstpointer data)
{
  g_autoptr(GemBenchModel) model = open_model(self);
  GemRouting asked = {.forced = FALSE};
  g_autoptr(GemBenchSequence) sequence = gem_bench_sequence_new(model->runtime, &asked, 8);
  const GemSequenceState *state = sequence->state;
  g_autoptr(GError) error = NULL;
  guint8 stem;
  guint i;

  g_assert_true(gem_bench_model_find_route(model, "stem", &stem, &error));
  gem_bench_sequence_overrule(sequence, stem);
  g_assert_true(gem_bench_sequence_prefill(sequence, 20, &error));
  for (i = 0; i < 3; i++) {
    g_assert_true(gem_bench_sequence_decode(sequence, &error));
  }
  g_assert_no_error(error);
  g_assert_nonnull(state->router_state);
  g_assert_cmpuint(state->routes->len, ==, 23);
  for (i = 0; i < state->routes->len; i++) {
    guint8 how = i == 0 ? GEM_ASKED_TURN_BEGIN : i < 20 ? GEM_ASKED_TURN : GEM_ASKED_CAUSAL;

    g_assert_cmpuint(state->routes->data[i], ==, stem);
    g_assert_cmpuint(state->asked->data[i], ==, how);
  }
  g_assert_cmpuint(state->rows_by_pathway[stem], ==, 23);
  g_assert_cmpuint(state->degraded_rows, ==, 0);
}

/* What an answer of one token read is one pathway or none, however the prompt's tokens were routed. */
static void
test_speed_answer(Scene *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  double general = (double)count_tensor_bytes(self->model, "general.gguf") - UNUSED_CENTROID_BYTES;
  double legal = (double)count_tensor_bytes(self->model, "pathway-legal.gguf");
  double router = (double)count_tensor_bytes(self->model, "router.gguf") -
                  (double)count_named_bytes(self->model, "router.gguf", "token_embd.weight");
  JsonObject *object = measure(
      self, ARGUMENTS("speed", self->model, "-p", "64", "-n", "1", "-r", "1", "--route"), &out, &node);
  double pathway = json_object_get_double_member(object, "weight_bytes_per_token") - general - router;

  g_assert_true(pathway > 0 ? pathway >= legal && pathway <= legal : pathway >= 0);
}

/* A lone file has dense attention and no router; what is 0 is not measured. */
static void
test_speed_lone_file(Scene *self, gconstpointer data)
{
  g_autofree char *reading = NULL;
  g_autofree char *writing = NULL;
  g_autoptr(JsonNode) reading_node = NULL;
  g_autoptr(JsonNode) writing_node = NULL;
  JsonObject *object =
      measure(self, ARGUMENTS("speed", self->lone, "-p", "5", "-n", "0", "-r", "2"), &reading, &reading_node);

  check_values(object, "prefill_tokens_per_second", 2);
  g_assert_true(json_object_get_null_member(object, "weight_bytes_per_token"));
  g_assert_null(strstr(reading, "decode"));
  g_assert_null(strstr(reading, "weights read"));
  object = measure(self, ARGUMENTS("speed", self->lone, "-p", "0", "-n", "5", "-r", "2", "--route"), &writing,
                   &writing_node);
  check_values(object, "decode_tokens_per_second", 2);
  g_assert_cmpfloat(json_object_get_double_member(object, "weight_bytes_per_token"), ==,
                    count_tensor_bytes(self->folder, "lone.gguf"));
  g_assert_cmpstr(json_object_get_string_member(object, "model"), ==, "lone");
  g_assert_cmpstr(json_object_get_string_member(object, "attention"), ==, "dense");
  g_assert_cmpint(json_object_get_int_member(object, "clusters"), ==, 0);
  g_assert_true(json_object_get_null_member(object, "bandwidth_share"));
  g_assert_null(strstr(writing, "prefill"));
}

static void
test_refuses(Scene *self, gconstpointer data)
{
  const struct {
    const char *arguments[6];
    int status;
    const char *says;
  } cases[] = {
      {{"speed", NULL}, GEM_EXIT_USAGE, "a MODEL is wanted"},
      {{"speed", self->model, self->lone, NULL}, GEM_EXIT_USAGE, "one MODEL is wanted, and '"},
      {{"speed", "/nonexistent", NULL}, GEM_EXIT_FAILED, "/nonexistent"},
      {{"speed", self->model, "-t", "0", NULL}, GEM_EXIT_USAGE, "--threads: 0 is not within 1"},
      {{"speed", self->model, "--prompt-tokens=0", "--tokens=0", NULL}, GEM_EXIT_USAGE, "nothing to measure"},
      {{"speed", self->lone, "--route", "--domain=general", NULL}, GEM_EXIT_FAILED, "lone has no router"},
      {{"speed", self->model, "--bandwidth", "-3", NULL}, GEM_EXIT_USAGE, "--bandwidth"},
      {{"speed", self->model, "--domain", "cooking", NULL}, GEM_EXIT_INVALID_INPUT, "no domain 'cooking'"},
      {{"speed", self->model, "--clusters", "7", NULL}, GEM_EXIT_INVALID_INPUT, "clusters: 7 is none of"},
      {{"speed", self->model, "--backend", "none", NULL}, GEM_EXIT_FAILED, "none"},
      {{"speed", self->model, "--plugin-dir", "/nonexistent", NULL}, GEM_EXIT_FAILED, "no such module"},
      {{"speed", self->model, "--system", NULL}, GEM_EXIT_USAGE, "--system"},
      {{"scar", self->lone, NULL}, GEM_EXIT_FAILED, "no SCAR centroids"},
      {{"scar", self->model, "--lengths", "8,x", NULL}, GEM_EXIT_USAGE, "--lengths: 'x' is no number"},
      {{"scar", self->model, "-r", "0", NULL}, GEM_EXIT_USAGE, "--rounds: 0 is not within 1"},
      {{"router", self->lone, NULL}, GEM_EXIT_FAILED, "lone has no router"},
      {{"router", self->model, "-p", "0", NULL}, GEM_EXIT_USAGE, "--prompt-tokens: 0 is not within 1"},
      {{"router", self->model, "-t", "0", NULL}, GEM_EXIT_USAGE, "--threads: 0 is not within 1"},
      {{"router", self->model, "--peak", "-1", NULL}, GEM_EXIT_USAGE, "--peak"},
      {{"router", NULL}, GEM_EXIT_USAGE, "a MODEL is wanted"},
      {{"sampling", "-v", "0", NULL}, GEM_EXIT_USAGE, "--vocabulary: 0 is not within 1"},
      {{"limits", self->model, NULL}, GEM_EXIT_USAGE, "limits takes no argument, and '"},
      {{"limits", "-t", "0", NULL}, GEM_EXIT_USAGE, "--threads: 0 is not within 1"},
      {{"limits", "-r", "0", NULL}, GEM_EXIT_USAGE, "--rounds: 0 is not within 1"},
      {{"limits", "--largest", "0", NULL}, GEM_EXIT_USAGE, "--largest: 0 is not within 1"},
      {{"limits", "--quick", "--largest=1", "--file=/nonexistent", NULL}, GEM_EXIT_FAILED, "/nonexistent: "},
      {{"paging", self->lone, NULL}, GEM_EXIT_FAILED, "lone has no pathways that come and go"},
      {{"paging", NULL}, GEM_EXIT_USAGE, "a MODEL is wanted"},
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    g_test_message("%s: %s", cases[i].arguments[0], cases[i].says);
    bench(cases[i].arguments, &run);
    g_assert_true(g_str_has_prefix(run.err, "gem-bench: "));
    g_assert_nonnull(strstr(run.err, cases[i].says));
    g_assert_cmpint(run.status, ==, cases[i].status);
    g_assert_cmpstr(run.out, ==, "");
  }
}

static gboolean
interrupt(gpointer program)
{
  g_subprocess_send_signal(program, SIGINT);
  return G_SOURCE_REMOVE;
}

/* Ctrl-C ends it at once and leaves no half of a file. */
static void
test_interrupt(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_autoptr(GSubprocess) program = gem_test_program_start(
      NULL, "bench", "gem-bench",
      ARGUMENTS("speed", self->model, "-r", "10000", "-n", "10000", "--json", self->json), FALSE);

  g_timeout_add(200, interrupt, program);
  gem_test_client_finish(program, NULL, &run);
  g_assert_cmpint(run.status, ==, -1);
  g_assert_cmpstr(run.out, ==, "");
  g_assert_false(g_file_test(self->json, G_FILE_TEST_EXISTS));
}

/* ---- scar ---- */

/* Storing takes its time, assignment with clusters alone, and each is less than the whole of its run: so are
 * their medians. */
static void
check_parts(JsonObject *row, const char *all, const char *assign, const char *store, guint clusters)
{
  double assigning = json_object_get_double_member(row, assign);
  double storing = json_object_get_double_member(row, store);

  g_assert_cmpfloat(storing, >, 0);
  g_assert_true(clusters > 0 ? assigning > 0 : assigning == 0);
  g_assert_cmpfloat(json_object_get_double_member(row, all), >, MAX(assigning, storing));
}

static void
test_scar_cost(void)
{
  GemBenchAttentionCost sum = {1, 2, 4, 3};
  const GemBenchAttentionCost more = {8, 16, 32, 5};

  g_assert_cmpfloat(gem_bench_attention_cost_sum(&sum), ==, 7);
  gem_bench_attention_cost_add(&sum, &more);
  g_assert_cmpfloat(sum.assign, ==, 9);
  g_assert_cmpfloat(sum.store, ==, 18);
  g_assert_cmpfloat(sum.attend, ==, 36);
  g_assert_cmpuint(sum.stored, ==, 8);
}

static void
test_scar(Scene *self, gconstpointer data)
{
  static const guint lengths[] = {3, 20, 64}, clusters[] = {0, 8, 4};
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object =
      measure(self, ARGUMENTS("scar", self->model, "--lengths", "3,20,64", "-r", "2"), &out, &node);
  JsonArray *results = json_object_get_array_member(object, "results");
  guint i;

  g_assert_cmpuint(json_array_get_length(results), ==, 9);
  for (i = 0; i < 9; i++) {
    JsonObject *row = json_array_get_object_element(results, i);
    guint n = lengths[i / 3], k = clusters[i % 3];
    gint64 pairs = json_object_get_int_member(row, "pairs"), all = 2 * (gint64)n * (n + 1) / 2;
    double operations = json_object_get_double_member(row, "operations");

    g_assert_cmpint(json_object_get_int_member(row, "tokens"), ==, n);
    g_assert_cmpint(json_object_get_int_member(row, "clusters"), ==, k);
    g_assert_cmpint(json_object_get_int_member(row, "operations_of_paper"), ==, k == 0 ? n * n : k * n + n);
    g_assert_cmpint(pairs, <=, all);
    g_assert_true(k > 0 || pairs == all);
    /* Two layers, 4 heads of 16, inputs of 64; a key and a value of 64, by cluster once more. */
    g_assert_cmpint(json_object_get_int_member(row, "stored_values"), ==, 2 * n * 2 * 64 * (k == 0 ? 1 : 2));
    g_assert_cmpfloat(operations, ==,
                      (double)pairs * 2 * 64 + 2.0 * n * k * 64 +
                          (double)json_object_get_int_member(row, "stored_values"));
    check_parts(row, "ms", "assign_ms", "store_ms", k);
    check_parts(row, "token_us", "token_assign_us", "token_store_us", k);
    if (k == 0) {
      g_assert_cmpfloat(json_object_get_double_member(row, "ms_of_dense"), ==, 1);
      g_assert_cmpfloat(json_object_get_double_member(row, "operations_of_dense"), ==, 1);
    }
  }
  g_assert_nonnull(strstr(out, "; 2 layers, window 4\n"));
  g_assert_nonnull(strstr(out, "\n    64  SCAR k = 8 "));
  g_assert_nonnull(strstr(out, "  prompt, ms  storing  of dense  next token, us  storing  of dense\n"));
}

/* ---- router ---- */

/* Multiply-adds of the router of the tests' model: every matrix but the embedding. */
static guint64
count_router_weights(const Scene *self)
{
  g_autofree char *path = g_build_filename(self->model, "router.gguf", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) file = gem_gguf_open(path, &error);
  guint64 weights = 0;
  guint i;

  g_assert_no_error(error);
  for (i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);

    weights +=
        tensor->rows > 1 && strcmp(tensor->name, "token_embd.weight") != 0 ? tensor->rows * tensor->cols : 0;
  }
  return weights;
}

static void
test_router(Scene *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = measure(
      self, ARGUMENTS("router", self->model, "-p", "70", "-n", "5", "-r", "3", "--peak", "100"), &out, &node);
  double rate = check_values(object, "turn_tokens_per_second", 3);
  double turn = check_values(object, "turn_us", 3);
  double single = check_values(object, "single_tokens_per_second", 3);
  double middle = json_object_get_double_member(object, "single_token_us_median");
  double gops = json_object_get_double_member(object, "gop_per_second");
  gint64 operations = json_object_get_int_member(object, "operations_per_token");

  g_assert_cmpfloat_with_epsilon(rate * turn, 70e6, 1);
  g_assert_cmpfloat(middle, >, 0);
  g_assert_cmpfloat(middle, <=, json_object_get_double_member(object, "single_token_us_p95"));
  g_assert_cmpfloat(json_object_get_double_member(object, "single_token_us_p95"), <=,
                    json_object_get_double_member(object, "single_token_us_max"));
  /* A round's mean lies between the fastest and the slowest token. */
  g_assert_cmpfloat(1e6 / single, >=, json_object_get_double_member(object, "single_token_us_min"));
  g_assert_cmpfloat(1e6 / single, <=, json_object_get_double_member(object, "single_token_us_max"));
  g_assert_cmpuint(operations, ==, 2 * count_router_weights(self));
  g_assert_cmpfloat_with_epsilon(gops, (double)operations * rate / 1e9, 1e-9);
  g_assert_cmpfloat_with_epsilon(json_object_get_double_member(object, "peak_share"), gops / 100, 1e-12);
  g_assert_cmpint(json_object_get_int_member(object, "resident_bytes"), >, operations / 2);
  g_assert_cmpint(json_object_get_int_member(object, "state_bytes"), >, 0);
  g_assert_cmpstr(json_object_get_string_member(object, "types"), ==, "F16");
  g_assert_cmpint(json_object_get_int_member(object, "domains"), ==, 3);
  g_assert_nonnull(strstr(out, "\nturn of 70 "));
  g_assert_nonnull(strstr(out, "share of 100 Gop/s: "));
}

/* What is 0 is not measured, and what is not told has no share. */
static void
test_router_turn_alone(Scene *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object =
      measure(self, ARGUMENTS("router", self->model, "-p", "1", "-n", "0", "-r", "1"), &out, &node);

  check_values(object, "turn_us", 1);
  g_assert_true(json_object_get_null_member(object, "single_token_us_median"));
  g_assert_true(json_object_get_null_member(object, "peak_share"));
  g_assert_null(strstr(out, "single token"));
  g_assert_null(strstr(out, "share of"));
}

/* ---- sampling ---- */

static void
test_sampling(Scene *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = measure(self, ARGUMENTS("sampling", "-v", "300", "-r", "2"), &out, &node);
  JsonArray *results = json_object_get_array_member(object, "results");

  g_assert_cmpint(json_object_get_int_member(object, "vocabulary"), ==, 300);
  g_assert_cmpuint(json_array_get_length(results), ==, 10);
  for (guint i = 0; i < 10; i++) {
    check_values(json_array_get_object_element(results, i), "us", 2);
  }
  g_assert_nonnull(strstr(out, "a token of 300\n"));
  g_assert_nonnull(strstr(out, "top-p 0.95, flat logits"));
}

/* ---- limits ---- */

/* Sets of 16, 128 and 1024 KiB, each on one thread and, where there are more processors, on all. */
static void
test_limits(Scene *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = measure(
      self, ARGUMENTS("limits", "--quick", "--largest", "1", "-r", "2", "--file", self->lone), &out, &node);
  JsonArray *memory = json_object_get_array_member(object, "memory");
  JsonArray *arithmetic = json_object_get_array_member(object, "arithmetic");
  gint64 threads = json_object_get_int_member(object, "threads");
  guint i, alone = 0;

  for (i = 0; i < json_array_get_length(memory); i++) {
    JsonObject *row = json_array_get_object_element(memory, i);

    check_values(row, "read_gb_per_second", 2);
    check_values(row, "copy_gb_per_second", 2);
    if (json_object_get_int_member(row, "threads") == 1) {
      g_assert_cmpint(json_object_get_int_member(row, "bytes"), ==, (gint64)16384 << (3 * alone++));
    } else {
      g_assert_cmpint(json_object_get_int_member(row, "threads"), ==, threads);
    }
  }
  g_assert_cmpuint(alone, ==, 3);
  for (i = 0; i < json_array_get_length(arithmetic); i++) {
    check_values(json_array_get_object_element(arithmetic, i), "rate", 2);
  }
  g_assert_true(json_object_has_member(object, "barrier_ns") ==
                (json_object_get_int_member(object, "processors") > 1));
  check_values(object, "file_cached_gb_per_second", 2);
  g_assert_cmpstr(json_object_get_string_member(object, "file"), ==, self->lone);
  g_assert_cmpstr(json_object_get_string_member(object, "machine"), !=, "");
  g_assert_nonnull(strstr(out, "\n    128 KiB        1 "));
  g_assert_nonnull(strstr(out, "; 2 rounds\n"));
}

/* One thread alone, and no file: what is not measured is not there. */
static void
test_limits_one_thread(Scene *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object =
      measure(self, ARGUMENTS("limits", "--quick", "--largest", "1", "-r", "1", "-t", "1"), &out, &node);

  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(object, "memory")), ==, 3);
  g_assert_false(json_object_has_member(object, "file"));
  g_assert_null(strstr(out, "file"));
}

/* ---- paging ---- */

static void
test_paging(Scene *self, gconstpointer data)
{
  static const char *const domains[] = {"legal", "finance", "stem"};
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = measure(self, ARGUMENTS("paging", self->model, "-r", "4"), &out, &node);
  JsonArray *pathways = json_object_get_array_member(object, "pathways");
  guint i;

  g_assert_cmpuint(json_array_get_length(pathways), ==, G_N_ELEMENTS(domains));
  for (i = 0; i < G_N_ELEMENTS(domains); i++) {
    JsonObject *row = json_array_get_object_element(pathways, i);
    JsonArray *cold =
        json_object_get_array_member(json_object_get_object_member(row, "page_in_cold_us"), "values");
    gint64 file = json_object_get_int_member(row, "file_bytes");
    double warm = check_values(row, "page_in_warm_us", 4);
    check_values(row, "page_in_place_us", 4);

    g_assert_cmpstr(json_object_get_string_member(row, "pathway"), ==, domains[i]);
    g_assert_cmpint(json_object_get_int_member(row, "resident_bytes"), >, 0);
    g_assert_cmpfloat_with_epsilon(json_object_get_double_member(row, "page_in_warm_mb_per_second"),
                                   (double)file / warm, 1e-9);
    /* Every time that it came it went; it came cold when the cache was dropped. */
    check_values(row, "page_out_us", 4 + json_array_get_length(cold));
    g_assert_true(json_array_get_length(cold) == 4 ||
                  json_object_get_int_member(row, "cache_bytes_left") > 0);
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(
                         json_object_get_object_member(row, "first_token_delay_us"), "values")),
                     ==, json_array_get_length(cold));
    g_assert_true(json_array_get_length(cold) == 4 || strstr(out, "the cache could not be dropped") != NULL);
  }
}

static void
test_paging_broken(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};

  gem_test_write_text(self->model, "pathway-finance.gguf", "no GGUF");
  bench(ARGUMENTS("paging", self->model), &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(run.err, "pathway finance: "));
  g_assert_cmpstr(run.out, ==, "");
}

static void
test_file_cache(Scene *self, gconstpointer data)
{
  g_autofree char *none = g_build_filename(self->folder, "none", NULL);
  g_autofree char *empty = g_build_filename(self->folder, "empty", NULL);
  g_autoptr(GError) error = NULL;
  guint64 left = 1;

  g_assert_false(gem_bench_file_cache_drop(none, &left, &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_nonnull(strstr(error->message, none));
  g_clear_error(&error);
  gem_test_write_text(self->folder, "empty", "");
  g_assert_true(gem_bench_file_cache_drop(empty, &left, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(left, ==, 0);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(Scene *self, gconstpointer data);
  } tests[] = {
      {"/gem-bench/speed/figures", test_speed},
      {"/gem-bench/speed/pathways", test_speed_pathways},
      {"/gem-bench/speed/overruled", test_speed_overruled},
      {"/gem-bench/speed/overruled-tokens", test_overruled_tokens},
      {"/gem-bench/speed/answer", test_speed_answer},
      {"/gem-bench/speed/lone-file", test_speed_lone_file},
      {"/gem-bench/direct/refuses", test_refuses},
      {"/gem-bench/direct/interrupt", test_interrupt},
      {"/gem-bench/scar/counts", test_scar},
      {"/gem-bench/router/figures", test_router},
      {"/gem-bench/router/turn-alone", test_router_turn_alone},
      {"/gem-bench/sampling", test_sampling},
      {"/gem-bench/limits/figures", test_limits},
      {"/gem-bench/limits/one-thread", test_limits_one_thread},
      {"/gem-bench/paging/figures", test_paging},
      {"/gem-bench/paging/broken", test_paging_broken},
      {"/gem-bench/paging/file-cache", test_file_cache},
  };
  g_autofree char *plugins = g_build_filename(g_getenv("GEM_BUILD_DIR"), "plugins", NULL);
  gsize i;

  g_setenv("GEMD_PLUGIN_DIR", plugins, TRUE);
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/scar/cost", test_scar_cost);
  for (i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Scene, NULL, scene_set_up, tests[i].run, scene_tear_down);
  }
  return g_test_run();
}
