/* gem-bench edge as it is run: through a private bus with the whole service, and with the engine inside, on a
 * tiny random model and a data folder that the test invents. */
#include <json-glib/json-glib.h>
#include <string.h>

#include "clients/gem-client/gem-client-exit.h"
#include "tests/gem-test-client.h"
#include "tests/gem-test-gemd.h"

typedef struct {
  char *data, *json, *model;
  GemTestGemd *gemd; /* NULL: --direct */
} Scene;

static void
write_data(const char *folder)
{
  gem_test_write_text(
      folder, "manifest.json",
      "{\"tasks\": [{\"domain\": \"legal\", \"name\": \"pick\", \"form\": \"classification\"},"
      "{\"domain\": \"finance\", \"name\": \"find\", \"form\": \"extractive QA\"},"
      "{\"domain\": \"stem\", \"name\": \"list\", \"form\": \"extraction (list)\"}],"
      "\"suite\": [\"legal/pick\", \"finance/find\", \"stem/list\"]}");
  gem_test_write_text(folder, "tasks/legal/pick/labels.json", "[\"no\", \"yes\", \"maybe\"]");
  gem_test_write_text(folder, "tasks/legal/pick/dev.jsonl",
                      "{\"input\": \"is it so\", \"target\": \"yes\"}\n"
                      "{\"input\": \"or so\", \"target\": \"no\"}\n"
                      "{\"input\": \"\", \"target\": \"no\"}\n");
  gem_test_write_text(
      folder, "tasks/finance/find/dev.jsonl",
      "{\"input\": \"where\", \"target\": \"here\"}\n{\"input\": \"when\", \"target\": \"now\"}\n");
  gem_test_write_text(folder, "tasks/stem/list/dev.jsonl", "{\"input\": \"what\", \"target\": \"a; b\"}\n");
}

static void
scene_set_up(Scene *self, gconstpointer direct)
{
  GemModelShape shape;

  self->data = gem_test_folder_new();
  self->json = g_build_filename(self->data, "out.json", NULL);
  write_data(self->data);
  if (direct == NULL) {
    self->gemd = gem_test_gemd_new();
    gem_test_gemd_start(self->gemd, "ready");
    self->model = g_strdup(self->gemd->folder);
  } else {
    self->gemd = NULL;
    self->model = gem_test_folder_new();
    gem_test_model_shape(&shape);
    gem_test_model_write(self->model, &shape, GEM_TYPE_F16, 5);
    gem_model_shape_clear(&shape);
  }
}

static void
scene_tear_down(Scene *self, gconstpointer direct)
{
  if (direct != NULL) {
    gem_test_folder_remove(self->model);
  }
  g_clear_pointer(&self->gemd, gem_test_gemd_free);
  gem_test_folder_remove(self->data);
  g_free(self->data);
  g_free(self->json);
  g_free(self->model);
}

/* gem-bench edge with what the scene has, and `more`. `json` NULL: without. */
static void
edge_to(const Scene *self, const char *json, const char *const *more, GemTestRun *ret_run)
{
  const char *address = self->gemd == NULL ? NULL : self->gemd->bus->address;
  g_autoptr(GPtrArray) words = g_ptr_array_new();
  g_autoptr(GSubprocess) program = NULL;
  const char *const fixed[] = {"edge", "--data", self->data, "--model", self->model, "--tokens", "4"};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(fixed); i++) {
    g_ptr_array_add(words, (gpointer)fixed[i]);
  }
  if (json != NULL) {
    g_ptr_array_add(words, (gpointer) "--json");
    g_ptr_array_add(words, (gpointer)json);
  }
  g_ptr_array_add(words, (gpointer)(address == NULL ? "--direct" : "--address"));
  if (address != NULL) {
    g_ptr_array_add(words, (gpointer)address);
  }
  for (; *more != NULL; more++) {
    g_ptr_array_add(words, (gpointer)*more);
  }
  g_ptr_array_add(words, NULL);
  program = gem_test_program_start(NULL, "bench", "gem-bench", (const char *const *)words->pdata, FALSE);
  gem_test_client_finish(program, NULL, ret_run);
}

static void
edge(const Scene *self, const char *const *more, GemTestRun *ret_run)
{
  edge_to(self, self->json, more, ret_run);
}

#define MORE(...) ((const char *const[]){__VA_ARGS__, NULL})

static JsonObject *
read_json(const Scene *self, JsonNode **ret_node)
{
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;

  g_file_get_contents(self->json, &text, NULL, &error);
  g_assert_no_error(error);
  *ret_node = json_from_string(text, &error);
  g_assert_no_error(error);
  return json_node_get_object(*ret_node);
}

static void
check_tasks(JsonObject *result, gboolean transfer)
{
  JsonArray *tasks = json_object_get_array_member(result, "tasks");
  JsonObject *pick = json_array_get_object_element(tasks, 0);
  JsonObject *find = json_array_get_object_element(tasks, 1);

  g_assert_cmpuint(json_array_get_length(tasks), ==, 3);
  g_assert_cmpstr(json_object_get_string_member(pick, "form"), ==, "choice");
  g_assert_cmpint(json_object_get_int_member(pick, "n"), ==, 2);
  g_assert_cmpint(json_object_get_int_member(json_object_get_object_member(pick, "skipped"), "text"), ==, 1);
  g_assert_cmpstr(json_object_get_string_member(find, "f1_is"), ==, "token_f1");
  g_assert_cmpint(json_object_get_int_member(find, "n"), ==, 2);
  g_assert_true(json_object_get_null_member(pick, "transfer") == !transfer);
}

static void
check_costs(JsonObject *result)
{
  JsonObject *memory = json_object_get_object_member(result, "memory");
  JsonObject *flop = json_object_get_object_member(result, "flop");
  JsonArray *perplexity = json_object_get_array_member(result, "perplexity");
  JsonObject *legal = json_array_get_object_element(perplexity, 0);

  g_assert_cmpint(json_object_get_int_member(memory, "resident_peak"), >, 0);
  g_assert_cmpfloat(json_object_get_double_member(flop, "token"), >=,
                    json_object_get_double_member(flop, "general"));
  g_assert_cmpfloat(json_object_get_double_member(legal, "routed"), >, 1);
  g_assert_cmpfloat(
      json_object_get_double_member(json_object_get_object_member(result, "latency"), "query_p95"), >, 0);
}

/* Every member stands in the text that documents them. */
static void
check_documented(const char *text, JsonNode *node)
{
  if (JSON_NODE_HOLDS_ARRAY(node)) {
    g_autoptr(GList) elements = json_array_get_elements(json_node_get_array(node));
    GList *element;

    for (element = elements; element != NULL; element = element->next) {
      check_documented(text, element->data);
    }
  } else if (JSON_NODE_HOLDS_OBJECT(node)) {
    JsonObjectIter iter;
    const char *name;
    JsonNode *member;

    json_object_iter_init(&iter, json_node_get_object(node));
    while (json_object_iter_next(&iter, &name, &member)) {
      g_autofree char *marked = g_strdup_printf("`%s`", name), *quoted = g_strdup_printf("\"%s\"", name);

      g_test_message("%s", name);
      g_assert_true(strstr(text, marked) != NULL || strstr(text, quoted) != NULL);
      if (!g_str_equal(name, "by_pathway")) { /* its members are names of pathways */
        check_documented(text, member);
      }
    }
  }
}

static void
check_format(JsonNode *result)
{
  g_autofree char *path = g_build_filename(g_getenv("GEM_SOURCE_DIR"), "docs", "edgebench-format.md", NULL);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;

  g_file_get_contents(path, &text, NULL, &error);
  g_assert_no_error(error);
  check_documented(text, result);
}

static void
check_digest(const Scene *self, const char *digest)
{
  g_autofree char *path = g_build_filename(self->model, "manifest", NULL);
  g_autofree char *text = NULL;
  g_autofree char *expected = NULL;

  g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
  expected = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
  g_assert_cmpstr(digest, ==, expected);
}

/* Whole runs: without and, on another state, with transfer. */
static void
test_run(Scene *self, gconstpointer direct)
{
  g_auto(GemTestRun) plain = {0};
  g_auto(GemTestRun) transfer = {0};
  g_autoptr(JsonNode) node = NULL;
  g_autoptr(JsonNode) node_transfer = NULL;
  g_autofree char *state = g_build_filename(self->data, "other.state", NULL);
  const char *machine;
  JsonObject *result, *run;

  edge(self, MORE("--limit", "0"), &plain);
  g_assert_cmpstr(plain.err, ==, "");
  g_assert_cmpint(plain.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(plain.out, direct != NULL ? "in this process" : "through the bus"));
  g_assert_nonnull(strstr(plain.out, "legal/pick"));
  g_assert_nonnull(strstr(plain.out, "F1 over 3 tasks: "));
  result = read_json(self, &node);
  g_assert_cmpstr(json_object_get_string_member(result, "command"), ==, "edge");
  g_assert_true(json_object_get_null_member(result, "transfer"));
  run = json_object_get_object_member(result, "run");
  check_digest(self, json_object_get_string_member(run, "model_digest"));
  g_assert_cmpint(json_object_get_int_member(run, "tokens"), >, json_object_get_int_member(run, "calls"));
  machine = json_object_get_string_member(run, "machine");
  g_assert_nonnull(strstr(machine, " GB, Linux "));
  check_tasks(result, FALSE);
  check_costs(result);
  edge(self, MORE("--transfer", "--transfer-limit", "2", "--state", state, "--in-flight", "1"), &transfer);
  g_assert_cmpstr(transfer.err, ==, "");
  result = read_json(self, &node_transfer);
  check_tasks(result, TRUE);
  check_format(node_transfer);
  result = json_object_get_object_member(result, "transfer");
  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(result, "f1")), ==, 4);
  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(result, "cdtr")), ==, 3);
}

/* The linear model of a task that a file of baselines has, and the name of one that it lacks. */
static void
test_baseline(Scene *self, gconstpointer direct)
{
  g_autofree char *path = g_build_filename(self->data, "baselines.json", NULL);
  g_autoptr(JsonNode) with = NULL;
  g_autoptr(JsonNode) without = NULL;
  g_auto(GemTestRun) run = {0};
  g_auto(GemTestRun) again = {0};
  JsonObject *overall;
  JsonArray *lacking;

  gem_test_write_text(self->data, "baselines.json",
                      "{\"tasks\": [{\"task\": \"stem/list\", \"dev\": {\"linear\": {\"accuracy\": 0.5, "
                      "\"f1\": 0.25}}}]}");
  edge(self, MORE("--baseline", path), &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_nonnull(strstr(run.out, "\nno linear baseline for: legal/pick\n"));
  overall = json_object_get_object_member(read_json(self, &with), "overall");
  lacking = json_object_get_array_member(overall, "without_linear");
  g_assert_cmpuint(json_array_get_length(lacking), ==, 1);
  g_assert_cmpstr(json_array_get_string_element(lacking, 0), ==, "legal/pick");
  edge(self, MORE("--tasks", "*"), &again);
  overall = json_object_get_object_member(read_json(self, &without), "overall");
  g_assert_true(json_object_get_null_member(overall, "without_linear"));
}

/* The same command once more asks nothing: an answer that the file was given is the one that counts. A run
 * that is another one is refused. */
static void
test_resume(Scene *self, gconstpointer direct)
{
  g_autofree char *state = g_strconcat(self->json, ".state", NULL);
  g_auto(GemTestRun) first = {0};
  g_auto(GemTestRun) second = {0};
  g_auto(GemTestRun) other = {0};
  g_autoptr(GRegex) answer = g_regex_new("\"answer\":\"(?:[^\"\\\\]|\\\\.)*\"", 0, 0, NULL);
  g_autofree char *text = NULL;
  g_autofree char *changed = NULL;

  edge(self, MORE("--tasks", "finance/*"), &first);
  g_assert_cmpstr(first.err, ==, "");
  g_assert_null(strstr(first.out, "token_f1  0.667"));
  g_assert_true(g_file_get_contents(state, &text, NULL, NULL));
  changed = g_regex_replace_literal(answer, text, -1, 0, "\"answer\":\"here now\"", 0, NULL);
  g_assert_true(g_file_set_contents(state, changed, -1, NULL));
  edge(self, MORE("--tasks", "finance/*"), &second);
  g_assert_cmpstr(second.err, ==, "");
  g_assert_nonnull(strstr(second.out, "token_f1  0.667")); /* one of two words said, all of one wanted */
  edge(self, MORE("--tasks", "finance/*", "--seed", "2"), &other);
  g_assert_cmpint(other.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(other.err, "its seed is '1', and this one's '2'"));
}

/* The page is the one that gem-bench report draws of the JSON. */
static void
test_report(Scene *self, gconstpointer direct)
{
  g_autofree char *path = g_build_filename(self->data, "page.html", NULL);
  g_autofree char *page = NULL;
  g_autoptr(GSubprocess) report = NULL;
  g_auto(GemTestRun) run = {0};
  g_auto(GemTestRun) drawn = {0};

  edge(self, MORE("--transfer", "--transfer-limit", "1", "--report", path), &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_true(g_file_get_contents(path, &page, NULL, NULL));
  g_assert_nonnull(strstr(page, "legal/pick"));
  report = gem_test_program_start(NULL, "bench", "gem-bench", MORE("report", self->json), FALSE);
  gem_test_client_finish(report, NULL, &drawn);
  g_assert_cmpint(drawn.status, ==, GEM_EXIT_OK);
  g_assert_cmpstr(drawn.out, ==, page);
}

/* Without --json the answers stand beside the page, and are not asked for again. */
static void
test_report_alone(Scene *self, gconstpointer direct)
{
  g_autofree char *path = g_build_filename(self->data, "page.html", NULL);
  g_autofree char *state = g_strconcat(path, ".state", NULL);
  g_autofree char *kept = NULL;
  g_autofree char *after = NULL;
  guint round;

  for (round = 0; round < 2; round++) {
    g_auto(GemTestRun) run = {0};

    edge_to(self, NULL, MORE("--report", path), &run);
    g_assert_cmpstr(run.err, ==, "");
    g_assert_true(g_file_get_contents(state, round == 0 ? &kept : &after, NULL, NULL));
  }
  g_assert_cmpstr(after, ==, kept);
}

static guint
count_files(const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name(dir) != NULL) {
    n++;
  }
  return n;
}

/* A file that cannot be written is refused before anything is asked, and nothing is left behind. */
static void
test_unwritable(Scene *self, gconstpointer direct)
{
  g_autofree char *nowhere = g_build_filename(self->data, "nowhere", "file", NULL);
  guint before = count_files(self->data), i;
  const struct {
    const char *option, *value;
  } cases[] = {{"--report", nowhere}, {"--report", self->data}, {"--json", nowhere}};

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *part = g_strdup_printf("%s: %s: ", cases[i].option, cases[i].value);
    g_auto(GemTestRun) run = {0};

    edge(self, MORE(cases[i].option, cases[i].value), &run);
    g_assert_cmpint(run.status, ==, GEM_EXIT_FAILED);
    g_assert_cmpstr(run.out, ==, "");
    g_assert_nonnull(strstr(run.err, part));
    g_assert_cmpuint(count_files(self->data), ==, before);
  }
}

static void
test_wrong_usage(Scene *self, gconstpointer direct)
{
  static const struct {
    const char *option, *value, *part;
  } cases[] = {
      {"--tasks", "legal/none", "'legal/none'"},
      {"--split", "all", "--split is"},
      {"--limit", "-1", "--limit"},
      {"--in-flight", "17", "--in-flight"},
      {"--tokens", "0", "--tokens"},
      {"--transfer-limit", "0", "--transfer-limit"},
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    edge(self, MORE(cases[i].option, cases[i].value), &run);
    g_assert_cmpint(run.status, ==, GEM_EXIT_USAGE);
    g_assert_nonnull(strstr(run.err, cases[i].part));
  }
}

int
main(int argc, char **argv)
{
  g_autofree char *plugins = g_build_filename(g_getenv("GEM_BUILD_DIR"), "plugins", NULL);

  g_test_init(&argc, &argv, NULL);
  g_setenv("GEMD_PLUGIN_DIR", plugins, TRUE);
#define ADD(name, direct, function)                                                                          \
  g_test_add("/gem-bench/edge/" name, Scene, direct, scene_set_up, function, scene_tear_down)
  ADD("bus/run", NULL, test_run);
  ADD("bus/resume", NULL, test_resume);
  ADD("direct/run", "", test_run);
  ADD("direct/resume", "", test_resume);
  ADD("direct/report", "", test_report);
  ADD("direct/report-alone", "", test_report_alone);
  ADD("direct/unwritable", "", test_unwritable);
  ADD("direct/baseline", "", test_baseline);
  ADD("wrong-usage", "", test_wrong_usage);
#undef ADD
  return g_test_run();
}
