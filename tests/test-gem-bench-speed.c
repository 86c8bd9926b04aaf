/* gem-bench speed on tiny random models: which weights a token reads, by the pathway that it is given or
 * routed to. Of the figures only what must hold on any machine. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "bench/direct/gem-bench-model.h"
#include "bench/direct/gem-bench-sequence.h"
#include "tests/gem-test-direct.h"

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Of the tests' model: the set of 4 centroids is not used, [layers][4][width] floats. */
#define UNUSED_CENTROID_BYTES (2 * 4 * 64 * sizeof(float))

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

static void
test_speed(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object =
      gem_test_direct_measure(self,
                              ARGUMENTS("speed", self->model, "-t", "1", "-p", "20", "-n", "6", "-d", "9",
                                        "-r", "3", "-b", "8", "--bandwidth", "10"),
                              &out, &node);
  double read = json_object_get_double_member(object, "weight_bytes_per_token");
  double decode = gem_test_direct_check_values(object, "decode_tokens_per_second", 3);

  gem_test_direct_check_values(object, "load_ms", 3);
  gem_test_direct_check_values(object, "prefill_tokens_per_second", 3);
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
test_speed_pathways(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *forced = NULL;
  g_autofree char *routed = NULL;
  g_autoptr(JsonNode) forced_node = NULL;
  g_autoptr(JsonNode) routed_node = NULL;
  double general = (double)count_tensor_bytes(self->model, "general.gguf") - UNUSED_CENTROID_BYTES;
  double legal = (double)count_tensor_bytes(self->model, "pathway-legal.gguf");
  double router = (double)count_tensor_bytes(self->model, "router.gguf");
  JsonObject *object = gem_test_direct_measure(
      self, ARGUMENTS("speed", self->model, "-p", "4", "-n", "4", "-r", "1", "--domain", "legal"), &forced,
      &forced_node);
  double read;

  g_assert_cmpfloat(json_object_get_double_member(object, "weight_bytes_per_token"), ==, general + legal);
  g_assert_cmpstr(json_object_get_string_member(object, "router"), ==, "off");
  object = gem_test_direct_measure(
      self, ARGUMENTS("speed", self->model, "-p", "4", "-n", "4", "-r", "1", "--route"), &routed,
      &routed_node);
  read = json_object_get_double_member(object, "weight_bytes_per_token");
  g_assert_cmpfloat(read, >, general);
  g_assert_cmpfloat(read, <=, general + router + legal);
  g_assert_cmpstr(json_object_get_string_member(object, "pathway"), ==, "router");
  g_assert_cmpstr(json_object_get_string_member(object, "router"), ==, "chooses");
}

/* A pathway's name beside --route: what every token reads is all of the router, and that pathway. */
static void
test_speed_overruled(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  double general = (double)count_tensor_bytes(self->model, "general.gguf") - UNUSED_CENTROID_BYTES;
  double finance = (double)count_tensor_bytes(self->model, "pathway-finance.gguf");
  double router = (double)count_tensor_bytes(self->model, "router.gguf") -
                  (double)count_named_bytes(self->model, "router.gguf", "token_embd.weight");
  JsonObject *object = gem_test_direct_measure(self,
                                               ARGUMENTS("speed", self->model, "-p", "20", "-n", "9", "-d",
                                                         "3", "-r", "2", "--route", "--domain", "finance"),
                                               &out, &node);

  g_assert_cmpfloat(json_object_get_double_member(object, "weight_bytes_per_token"), ==,
                    general + router + finance);
  g_assert_cmpstr(json_object_get_string_member(object, "pathway"), ==, "finance");
  g_assert_cmpstr(json_object_get_string_member(object, "router"), ==, "overruled");
  g_assert_nonnull(strstr(out, "; pathway finance (the router overruled), depth 3\n"));
}

static GemBenchModel *
open_model(const GemTestDirect *self)
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
test_overruled_tokens(GemTestDirect *self, gconstpointer data)
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
test_speed_answer(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  double general = (double)count_tensor_bytes(self->model, "general.gguf") - UNUSED_CENTROID_BYTES;
  double legal = (double)count_tensor_bytes(self->model, "pathway-legal.gguf");
  double router = (double)count_tensor_bytes(self->model, "router.gguf") -
                  (double)count_named_bytes(self->model, "router.gguf", "token_embd.weight");
  JsonObject *object = gem_test_direct_measure(
      self, ARGUMENTS("speed", self->model, "-p", "64", "-n", "1", "-r", "1", "--route"), &out, &node);
  double pathway = json_object_get_double_member(object, "weight_bytes_per_token") - general - router;

  g_assert_true(pathway > 0 ? pathway >= legal && pathway <= legal : pathway >= 0);
}

/* A lone file has dense attention and no router; what is 0 is not measured. */
static void
test_speed_lone_file(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *reading = NULL;
  g_autofree char *writing = NULL;
  g_autoptr(JsonNode) reading_node = NULL;
  g_autoptr(JsonNode) writing_node = NULL;
  JsonObject *object = gem_test_direct_measure(
      self, ARGUMENTS("speed", self->lone, "-p", "5", "-n", "0", "-r", "2"), &reading, &reading_node);

  gem_test_direct_check_values(object, "prefill_tokens_per_second", 2);
  g_assert_true(json_object_get_null_member(object, "weight_bytes_per_token"));
  g_assert_null(strstr(reading, "decode"));
  g_assert_null(strstr(reading, "weights read"));
  object = gem_test_direct_measure(self,
                                   ARGUMENTS("speed", self->lone, "-p", "0", "-n", "5", "-r", "2", "--route"),
                                   &writing, &writing_node);
  gem_test_direct_check_values(object, "decode_tokens_per_second", 2);
  g_assert_cmpfloat(json_object_get_double_member(object, "weight_bytes_per_token"), ==,
                    count_tensor_bytes(self->folder, "lone.gguf"));
  g_assert_cmpstr(json_object_get_string_member(object, "model"), ==, "lone");
  g_assert_cmpstr(json_object_get_string_member(object, "attention"), ==, "dense");
  g_assert_cmpint(json_object_get_int_member(object, "clusters"), ==, 0);
  g_assert_true(json_object_get_null_member(object, "bandwidth_share"));
  g_assert_cmpstr(json_object_get_string_member(object, "router"), ==, "off");
  g_assert_cmpstr(json_object_get_string_member(object, "pathway"), ==, "general");
  g_assert_null(strstr(writing, "prefill"));
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(GemTestDirect *self, gconstpointer data);
  } tests[] = {
      {"/gem-bench/speed/figures", test_speed},
      {"/gem-bench/speed/pathways", test_speed_pathways},
      {"/gem-bench/speed/overruled", test_speed_overruled},
      {"/gem-bench/speed/overruled-tokens", test_overruled_tokens},
      {"/gem-bench/speed/answer", test_speed_answer},
      {"/gem-bench/speed/lone-file", test_speed_lone_file},
  };
  gsize i;

  g_test_init(&argc, &argv, NULL);
  for (i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, GemTestDirect, NULL, gem_test_direct_set_up, tests[i].run,
               gem_test_direct_tear_down);
  }
  return g_test_run();
}
