/* gem-train experiment on a model as a whole, as a process, on a tiny model with random weights. */
#include <string.h>

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

#include "tests/gem-test-train-program.h"
#include "tests/gem-test-training.h"

#define COMMON                                                                                               \
  " --model start --data data --domains healthcare,legal,stem --sequence 32 --batch-tokens 64 "              \
  "--replay-tokens 64 --steps 3 --items 5 --transfer-items 3 --router-steps 2 --lanes 2 --matmul fp32 "

static char *folder;

/* What it wrote to its output. Transfer full. */
static char *
assert_done(const char *command)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(folder, command, &run);
  return g_steal_pointer(&run.out);
}

static void
assert_fails(const char *command, int status, const char *message)
{
  gem_test_train_assert_fails(folder, command, status, message);
}

static char *
path_of(const char *file)
{
  return g_build_filename(folder, file, NULL);
}

static gboolean
exists(const char *file)
{
  g_autofree char *path = path_of(file);
  return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void
make_folder(void)
{
  folder = gem_test_folder_new();
  const char *const domains[] = {"healthcare", "legal", "stem"};
  g_autoptr(GString) lines = g_string_new(NULL);
  for (guint i = 0; i < 12; i++) {
    g_string_append_printf(lines, "{\"input\": \"q%u\", \"target\": \"%s\", \"choices\": [\"a\", \"b\"]}\n",
                           i, i % 3 == 0 ? "b" : "a");
  }
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; i < 60; i++) {
    g_string_append_printf(text, "It rained and we stayed at home on day %u.\n\n", i);
  }
  gem_test_write_text(folder, "data/corpus/general.txt", text->str);
  for (gsize i = 0; i < G_N_ELEMENTS(domains); i++) {
    g_autofree char *train = g_strdup_printf("data/tasks/%s/task/train.jsonl", domains[i]),
                    *dev = g_strdup_printf("data/tasks/%s/task/dev.jsonl", domains[i]),
                    *corpus = g_strdup_printf("data/corpus/%s.txt", domains[i]);
    gem_test_write_text(folder, train, lines->str);
    gem_test_write_text(folder, dev, lines->str);
    gem_test_write_text(folder, corpus, text->str);
  }
  gem_test_write_text(folder, "data/manifest.json",
                      "{\"tasks\": [{\"domain\": \"healthcare\", \"name\": \"task\", \"permissive\": true},"
                      "{\"domain\": \"legal\", \"name\": \"task\", \"permissive\": true},"
                      "{\"domain\": \"stem\", \"name\": \"task\", \"permissive\": true}]}\n");
  g_autofree char *init =
      assert_done("init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE " --output start --seed 3");
}

static JsonNode *
read_json(const char *file)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = path_of(file);
  g_autoptr(JsonParser) parser = json_parser_new();
  json_parser_load_from_file(parser, path, &error);
  g_assert_no_error(error);
  return json_parser_steal_root(parser);
}

/* The mean of a figure of the first row of that variant. */
static double
figure_of(JsonNode *result, const char *variant, const char *figure)
{
  JsonArray *rows = json_object_get_array_member(json_node_get_object(result), "variants");
  for (guint i = 0; i < json_array_get_length(rows); i++) {
    JsonObject *row = json_array_get_object_element(rows, i);
    if (strcmp(json_object_get_string_member(row, "variant"), variant) == 0) {
      return json_object_get_double_member(json_object_get_object_member(row, figure), "mean");
    }
  }
  g_assert_not_reached();
}

/* Every variant with every seed; what one has retrained another runs. */
static void
test_model(void)
{
  g_autofree char *out = assert_done("experiment model --work model --seeds 2" COMMON);
  g_autoptr(JsonNode) result = read_json("model/result.json");
  g_assert_true(exists("model/start-1.json"));
  g_assert_false(exists("model/start-2.json"));
  g_assert_true(exists("model/router-small-2.json"));
  g_assert_true(exists("model/exclusive-2.network.gguf"));
  g_assert_true(exists("model/base-2.network.gguf"));
  g_assert_false(exists("model/router-4-bit-2.network.gguf"));
  g_assert_true(exists("model/router-router-small.gguf"));
  g_assert_nonnull(strstr(out, "centroids-fixed"));
  g_assert_cmpfloat(figure_of(result, "exclusive", "bytes"), >, figure_of(result, "base", "bytes"));
  g_assert_cmpfloat(figure_of(result, "router-4-bit", "bytes"), <, figure_of(result, "base", "bytes"));
  g_assert_cmpfloat(figure_of(result, "no-scar", "flop"), <, figure_of(result, "base", "flop"));
  g_assert_cmpfloat(figure_of(result, "no-quantization", "f1"), >, 0.0);
}

/* A cell that is there is not run again, one that is missing is; other options are refused. */
static void
test_resume(void)
{
  const char *command = "experiment model --work resumed --seeds 2 --variations base,router-4-bit" COMMON;
  g_autofree char *out = assert_done(command), *kept = path_of("resumed/base-1.json"),
                  *gone = path_of("resumed/router-4-bit-2.json"), *before = NULL, *after = NULL;
  GStatBuf then, now;
  g_assert_true(g_file_get_contents(gone, &before, NULL, NULL));
  g_assert_cmpint(g_stat(kept, &then), ==, 0);
  g_autofree char *report =
      assert_done("experiment model --report --work resumed --seeds 2 --variations base,router-4-bit" COMMON);
  g_assert_cmpstr(report, ==, out);
  g_assert_cmpint(g_unlink(gone), ==, 0);
  assert_fails("experiment model --report --work resumed --seeds 2 --variations base,router-4-bit" COMMON, 1,
               "router-4-bit-2.json");
  g_autofree char *again = assert_done(command);
  g_assert_cmpstr(again, ==, out);
  g_assert_cmpint(g_stat(kept, &now), ==, 0);
  g_assert_cmpint(then.st_ino, ==, now.st_ino);
  g_assert_cmpint(then.st_mtime, ==, now.st_mtime);
  assert_fails("experiment model --work resumed --seeds 2 --variations base --dense-rate 0.5" COMMON, 1,
               "resumed has results of other options");
}

/* Two sweeps and what GG does along them. */
static void
test_sweeps(void)
{
  g_autofree char *bits = assert_done("experiment bits --work bits" COMMON),
                  *pruned = assert_done("experiment compression --work pruned" COMMON);
  g_autoptr(JsonNode) result = read_json("bits/result.json"), other = read_json("pruned/result.json");
  g_assert_cmpfloat(figure_of(result, "bits-2", "bytes"), <, figure_of(result, "bits-3", "bytes"));
  g_assert_cmpfloat(figure_of(other, "pruned-80", "flop"), <, 0.21 * figure_of(other, "fp32", "flop"));
  g_assert_nonnull(strstr(bits, "as bits fall: rank correlation"));
  g_assert_nonnull(strstr(pruned, "as more is pruned: rank correlation"));
  g_assert_true(json_object_has_member(json_node_get_object(result), "trend_gg_forced"));
  g_assert_true(json_object_has_member(json_node_get_object(result), "trend_gap"));
  g_assert_nonnull(strstr(bits, "the gap on the same tasks "));
}

/* A dense network learns healthcare alone, and counts as one without pathways. */
static void
test_chatbot(void)
{
  g_autofree char *out = assert_done("experiment chatbot --work chatbot --seeds 2" COMMON);
  g_autoptr(JsonNode) result = read_json("chatbot/result.json");
  g_assert_true(exists("chatbot/chatbot-healthcare-2.json"));
  g_assert_false(exists("chatbot/chatbot-legal-1.json"));
  g_assert_cmpfloat(figure_of(result, "chatbot", "flop"), <, figure_of(result, "start", "flop"));
  g_assert_cmpfloat(figure_of(result, "chatbot", "routed_share"), ==, 0.0);
  /* the same network before it learned, so that tuning is told from having no pathways */
  g_assert_cmpfloat(figure_of(result, "general-alone", "flop"), ==, figure_of(result, "chatbot", "flop"));
  g_assert_cmpfloat(figure_of(result, "general-alone", "routed_share"), ==, 0.0);
  g_assert_cmpfloat(figure_of(result, "start", "in"), >=, 0.0);
  g_assert_nonnull(strstr(out, "healthcare"));
}

/* Each mode's best rate is named. */
static void
test_rates(void)
{
  g_autofree char *out = assert_done(
      "experiment rates --work rates --seeds 1 --variations start,plain-1e-4,plain-1e-3,akp-1e-3" COMMON);
  g_autoptr(JsonNode) result = read_json("rates/result.json");
  JsonObject *best = json_object_get_object_member(json_node_get_object(result), "best");
  g_assert_true(exists("rates/own-akp-1e-3-legal-1.json"));
  g_assert_false(exists("rates/own-akp-1e-3-stem-1.json"));
  g_assert_nonnull(strstr(out, "best: plain-1e-"));
  g_assert_nonnull(strstr(out, "best: akp-1e-3"));
  g_assert_cmpuint(json_object_get_size(best), ==, 2);
  /* what is scored through the own pathway alone is no other experiment's, which has the same folder */
  g_autofree char *routed = assert_done("experiment model --work rates --seeds 1 --variations start" COMMON);
  g_assert_true(exists("rates/own-start-1.json"));
  g_assert_true(exists("rates/start-1.json"));
}

static void
test_usage(void)
{
  assert_fails("experiment flying --work x" COMMON, 2, "'flying': there are forgetting");
  assert_fails("experiment bits --work x --variations plain" COMMON, 2, "--variations: 'plain' is none");
  assert_fails("experiment chatbot --work x --model start --data data --domains legal,stem --lanes 1", 2,
               "--domains: chatbot is adapted to healthcare");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  make_folder();
  g_test_add_func("/gem-train-variants/model", test_model);
  g_test_add_func("/gem-train-variants/resume", test_resume);
  g_test_add_func("/gem-train-variants/sweeps", test_sweeps);
  g_test_add_func("/gem-train-variants/chatbot", test_chatbot);
  g_test_add_func("/gem-train-variants/rates", test_rates);
  g_test_add_func("/gem-train-variants/usage", test_usage);
  int status = g_test_run();
  gem_test_folder_remove(folder);
  g_free(folder);
  return status;
}
