/* The commands of gem-bench that run the engine, or the machine, but for speed: what they print, write and
 * refuse; of speed what it refuses. Of the figures only what must hold on any machine. */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>

#include "bench/direct/gem-bench-attention.h"
#include "bench/direct/limits/gem-bench-file-cache.h"
#include "clients/gem-client/gem-client-exit.h"
#include "format/gem-model-files.h"
#include "tests/gem-test-direct.h"
#include "tests/gem-test-folder.h"

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
test_refuses(GemTestDirect *self, gconstpointer data)
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
      {{"speed", self->model, "--clusters", "7", NULL},
       GEM_EXIT_INVALID_INPUT,
       "gem-bench: --clusters: 7 is none of"},
      {{"speed", self->model, "--backend", "none", NULL}, GEM_EXIT_FAILED, "none"},
      {{"speed", self->model, "--plugin-dir", "/nonexistent", NULL},
       GEM_EXIT_FAILED,
       "no such module in /nonexistent, which is no folder: --plugin-dir"},
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
    gem_test_direct_run(cases[i].arguments, &run);
    g_assert_true(g_str_has_prefix(run.err, "gem-bench: "));
    g_assert_nonnull(strstr(run.err, cases[i].says));
    g_assert_cmpint(run.status, ==, cases[i].status);
    g_assert_cmpstr(run.out, ==, "");
  }
}

/* More than the model was made for is measured, and said. */
static void
test_beyond_context(GemTestDirect *self, gconstpointer data)
{
  g_auto(GemTestRun) within = {0}, beyond = {0};

  gem_test_direct_run(ARGUMENTS("speed", self->model, "-p", "200", "-d", "56", "-n", "0", "-r", "1"),
                      &within);
  g_assert_cmpstr(within.err, ==, "");
  gem_test_direct_run(ARGUMENTS("speed", self->model, "-p", "200", "-d", "57", "-n", "0", "-r", "1"),
                      &beyond);
  g_assert_true(g_str_has_prefix(beyond.err, "gem-bench: 257 tokens, and "));
  g_assert_nonnull(strstr(beyond.err, " was made for a context of 256: "));
  g_assert_cmpint(beyond.status, ==, GEM_EXIT_OK);
}

static gboolean
interrupt(gpointer program)
{
  g_subprocess_send_signal(program, SIGINT);
  return G_SOURCE_REMOVE;
}

/* Ctrl-C ends it at once and leaves no half of a file. */
static void
test_interrupt(GemTestDirect *self, gconstpointer data)
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
test_scar(GemTestDirect *self, gconstpointer data)
{
  static const guint lengths[] = {3, 20, 64}, clusters[] = {0, 8, 4};
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = gem_test_direct_measure(
      self, ARGUMENTS("scar", self->model, "--lengths", "3,20,64", "-r", "2"), &out, &node);
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
count_router_weights(const GemTestDirect *self)
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
test_router(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = gem_test_direct_measure(
      self, ARGUMENTS("router", self->model, "-p", "70", "-n", "5", "-r", "3", "--peak", "100"), &out, &node);
  double rate = gem_test_direct_check_values(object, "turn_tokens_per_second", 3);
  double turn = gem_test_direct_check_values(object, "turn_us", 3);
  double single = gem_test_direct_check_values(object, "single_tokens_per_second", 3);
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
test_router_turn_alone(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = gem_test_direct_measure(
      self, ARGUMENTS("router", self->model, "-p", "1", "-n", "0", "-r", "1"), &out, &node);

  gem_test_direct_check_values(object, "turn_us", 1);
  g_assert_true(json_object_get_null_member(object, "single_token_us_median"));
  g_assert_true(json_object_get_null_member(object, "peak_share"));
  g_assert_null(strstr(out, "single token"));
  g_assert_null(strstr(out, "share of"));
}

/* ---- sampling ---- */

static void
test_sampling(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object =
      gem_test_direct_measure(self, ARGUMENTS("sampling", "-v", "300", "-r", "2"), &out, &node);
  JsonArray *results = json_object_get_array_member(object, "results");

  g_assert_cmpint(json_object_get_int_member(object, "vocabulary"), ==, 300);
  g_assert_cmpuint(json_array_get_length(results), ==, 10);
  for (guint i = 0; i < 10; i++) {
    gem_test_direct_check_values(json_array_get_object_element(results, i), "us", 2);
  }
  g_assert_nonnull(strstr(out, "a token of 300\n"));
  g_assert_nonnull(strstr(out, "top-p 0.95, flat logits"));
}

/* ---- limits ---- */

/* Sets of 16, 128 and 1024 KiB, each on one thread and, where there are more processors, on all. */
static void
test_limits(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = gem_test_direct_measure(
      self, ARGUMENTS("limits", "--quick", "--largest", "1", "-r", "2", "--file", self->lone), &out, &node);
  JsonArray *memory = json_object_get_array_member(object, "memory");
  JsonArray *arithmetic = json_object_get_array_member(object, "arithmetic");
  gint64 threads = json_object_get_int_member(object, "threads");
  guint i, alone = 0;

  for (i = 0; i < json_array_get_length(memory); i++) {
    JsonObject *row = json_array_get_object_element(memory, i);

    gem_test_direct_check_values(row, "read_gb_per_second", 2);
    gem_test_direct_check_values(row, "copy_gb_per_second", 2);
    if (json_object_get_int_member(row, "threads") == 1) {
      g_assert_cmpint(json_object_get_int_member(row, "bytes"), ==, (gint64)16384 << (3 * alone++));
    } else {
      g_assert_cmpint(json_object_get_int_member(row, "threads"), ==, threads);
    }
  }
  g_assert_cmpuint(alone, ==, 3);
  for (i = 0; i < json_array_get_length(arithmetic); i++) {
    gem_test_direct_check_values(json_array_get_object_element(arithmetic, i), "rate", 2);
  }
  g_assert_true(json_object_has_member(object, "barrier_ns") ==
                (json_object_get_int_member(object, "processors") > 1));
  g_assert_true(json_object_has_member(object, "pool_meeting_ns") == (threads > 1));
  if (threads > 1) {
    g_assert_cmpint(json_object_get_int_member(object, "pool_threads"), ==, threads);
    gem_test_direct_check_values(object, "pool_empty_ns", 2);
    gem_test_direct_check_values(object, "pool_meeting_ns", 2);
    g_assert_nonnull(strstr(out, "\nthe engine's pool, all threads meet, "));
  }
  gem_test_direct_check_values(object, "file_cached_gb_per_second", 2);
  g_assert_cmpstr(json_object_get_string_member(object, "file"), ==, self->lone);
  g_assert_cmpstr(json_object_get_string_member(object, "machine"), !=, "");
  g_assert_nonnull(strstr(out, "\n    128 KiB        1 "));
  g_assert_nonnull(strstr(out, "; 2 rounds\n"));
}

/* One thread alone, and no file: what is not measured is not there. */
static void
test_limits_one_thread(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object = gem_test_direct_measure(
      self, ARGUMENTS("limits", "--quick", "--largest", "1", "-r", "1", "-t", "1"), &out, &node);

  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(object, "memory")), ==, 3);
  g_assert_false(json_object_has_member(object, "file"));
  g_assert_false(json_object_has_member(object, "pool_empty_ns"));
  g_assert_null(strstr(out, "file"));
}

/* ---- paging ---- */

static void
test_paging(GemTestDirect *self, gconstpointer data)
{
  static const char *const domains[] = {"legal", "finance", "stem"};
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object =
      gem_test_direct_measure(self, ARGUMENTS("paging", self->model, "-r", "4"), &out, &node);
  JsonArray *pathways = json_object_get_array_member(object, "pathways");
  guint i;

  g_assert_cmpuint(json_array_get_length(pathways), ==, G_N_ELEMENTS(domains));
  for (i = 0; i < G_N_ELEMENTS(domains); i++) {
    JsonObject *row = json_array_get_object_element(pathways, i);
    JsonArray *cold =
        json_object_get_array_member(json_object_get_object_member(row, "page_in_cold_us"), "values");
    gint64 file = json_object_get_int_member(row, "file_bytes");
    double warm = gem_test_direct_check_values(row, "page_in_warm_us", 4);
    gem_test_direct_check_values(row, "page_in_place_us", 4);

    g_assert_cmpstr(json_object_get_string_member(row, "pathway"), ==, domains[i]);
    g_assert_cmpint(json_object_get_int_member(row, "resident_bytes"), >, 0);
    g_assert_cmpfloat_with_epsilon(json_object_get_double_member(row, "page_in_warm_mb_per_second"),
                                   (double)file / warm, 1e-9);
    /* Every time that it came it went; it came cold when the cache was dropped. */
    gem_test_direct_check_values(row, "page_out_us", 4 + json_array_get_length(cold));
    g_assert_true(json_array_get_length(cold) == 4 ||
                  json_object_get_int_member(row, "cache_bytes_left") > 0);
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(
                         json_object_get_object_member(row, "first_token_delay_us"), "values")),
                     ==, json_array_get_length(cold));
    g_assert_true(json_array_get_length(cold) == 4 || strstr(out, "the cache could not be dropped") != NULL);
  }
}

/* What stands for the files from the first time on: one for each pathway. */
static void
test_paging_kept(GemTestDirect *self, gconstpointer data)
{
  g_autofree char *cache = g_build_filename(self->folder, "cache", NULL);
  g_autofree char *kept = g_build_filename(cache, "cpu", NULL);
  g_autofree char *out = NULL;
  g_autoptr(JsonNode) node = NULL;
  guint files = 0;

  g_assert_cmpint(g_mkdir(cache, 0700), ==, 0);
  gem_test_direct_measure(self, ARGUMENTS("paging", self->model, "-r", "1", "--cache", cache), &out, &node);
  g_autoptr(GDir) dir = g_dir_open(kept, 0, NULL);
  g_assert_nonnull(dir);
  while (g_dir_read_name(dir) != NULL) {
    files++;
  }
  g_assert_cmpuint(files, ==, 3);
}

static void
test_paging_broken(GemTestDirect *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};

  gem_test_write_text(self->model, "pathway-finance.gguf", "no GGUF");
  gem_test_direct_run(ARGUMENTS("paging", self->model), &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(run.err, "pathway finance: "));
  g_assert_cmpstr(run.out, ==, "");
}

static void
test_file_cache(GemTestDirect *self, gconstpointer data)
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
    void (*run)(GemTestDirect *self, gconstpointer data);
  } tests[] = {
      {"/gem-bench/direct/refuses", test_refuses},
      {"/gem-bench/direct/beyond-context", test_beyond_context},
      {"/gem-bench/direct/interrupt", test_interrupt},
      {"/gem-bench/scar/counts", test_scar},
      {"/gem-bench/router/figures", test_router},
      {"/gem-bench/router/turn-alone", test_router_turn_alone},
      {"/gem-bench/sampling", test_sampling},
      {"/gem-bench/limits/figures", test_limits},
      {"/gem-bench/limits/one-thread", test_limits_one_thread},
      {"/gem-bench/paging/figures", test_paging},
      {"/gem-bench/paging/kept", test_paging_kept},
      {"/gem-bench/paging/broken", test_paging_broken},
      {"/gem-bench/paging/file-cache", test_file_cache},
  };
  gsize i;

  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/scar/cost", test_scar_cost);
  for (i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, GemTestDirect, NULL, gem_test_direct_set_up, tests[i].run,
               gem_test_direct_tear_down);
  }
  return g_test_run();
}
