/* gem-bench against a service that stands in for gemd: what it prints, writes, skips and exits with. */
#include <json-glib/json-glib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "clients/gem-client/gem-client-exit.h"
#include "tests/gem-test-client.h"
#include "tests/gem-test-folder.h"

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

typedef struct {
  GemTestService *service;
  char *folder;
} Scene;

static void
scene_set_up(Scene *self, gconstpointer data)
{
  self->service = gem_test_service_new();
  self->folder = gem_test_folder_new();
}

static void
scene_tear_down(Scene *self, gconstpointer data)
{
  gem_test_service_free(self->service);
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
}

static char *
path_of(const Scene *self, const char *name)
{
  return g_build_filename(self->folder, name, NULL);
}

static void
bench(const Scene *self, const char *const *arguments, GemTestRun *ret_run)
{
  g_autoptr(GSubprocess) program =
      gem_test_program_start(self->service, "bench", "gem-bench", arguments, FALSE);

  gem_test_client_finish(program, NULL, ret_run);
}

static JsonObject *
read_json(const Scene *self, const char *name, JsonNode **ret_node)
{
  g_autofree char *path = path_of(self, name);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;

  g_file_get_contents(path, &text, NULL, &error);
  g_assert_no_error(error);
  *ret_node = json_from_string(text, &error);
  g_assert_no_error(error);
  return json_node_get_object(*ret_node);
}

/* The median of a member that has so many values; NAN when there is none. */
static double
median_member(JsonObject *object, const char *name, guint values)
{
  JsonObject *member = json_object_get_object_member(object, name);

  g_assert_nonnull(member);
  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(member, "values")), ==, values);
  return json_object_get_null_member(member, "median") ? NAN
                                                       : json_object_get_double_member(member, "median");
}

/* Two labelled tasks and one without labels. The stand-in chooses the last label. */
static void
write_tasks(const Scene *self)
{
  gem_test_write_text(self->folder, "manifest.json",
                      "{\"tasks\": ["
                      "{\"domain\": \"legal\", \"name\": \"same\", \"form\": \"classification\"},"
                      "{\"domain\": \"stem\", \"name\": \"other\", \"form\": \"multiple choice\"},"
                      "{\"domain\": \"general\", \"name\": \"free\", \"form\": \"generation\"}]}");
  gem_test_write_text(self->folder, "tasks/legal/same/labels.json", "[\"no\", \"yes\"]");
  gem_test_write_text(self->folder, "tasks/legal/same/test.jsonl",
                      "{\"input\": \"one\", \"target\": \"yes\"}\n"
                      "{\"input\": \"two\", \"target\": \"yes\"}\n"
                      "{\"input\": \"three\", \"target\": \"no\"}\n"
                      "{\"input\": \"error ContextExceeded\", \"target\": \"no\"}\n"
                      "{\"input\": \"error InvalidText\", \"target\": \"no\"}\n"
                      "{\"input\": \"six\", \"target\": \"maybe\"}\n");
  gem_test_write_text(self->folder, "tasks/stem/other/test.jsonl",
                      "{\"input\": \"one\", \"choices\": [\"a\", \"b\"], \"target\": \"b\"}\n"
                      "{\"input\": \"two\", \"choices\": [\"c\", \"d\", \"e\", \"f\"], \"target\": \"f\"}\n");
  gem_test_write_text(self->folder, "tasks/general/free/test.jsonl",
                      "{\"input\": \"one\", \"target\": \"whatever\"}\n");
}

static void
test_classify(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};

  write_tasks(self);
  bench(self, ARGUMENTS("classify", "--data", self->folder), &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_cmpstr(
      run.out, ==,
      "gem-test, gemd 9.9; test lines, seed 1\n"
      "task        examples  labels  baseline  which     accuracy  standard error  macro-F1  beats  skipped\n"
      "legal/same         3       2     0.667  majority     0.667           0.272     0.400  no           3\n"
      "stem/other         2     2-4     0.375  chance       1.000           0.000     1.000  yes          0\n"
      "skipped of legal/same: 1 with unusable labels, 1 with a text or label that the service does not take, "
      "1 longer than the context\n"
      "1 of 2 tasks beat their baseline, 0 by more than 2 standard errors\n");
}

static void
test_classify_json(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_autofree char *path = path_of(self, "out.json");
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object, *task;

  write_tasks(self);
  bench(self, ARGUMENTS("classify", "--data", self->folder, "--tasks", "legal/same", "--json", path), &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  object = read_json(self, "out.json", &node);
  g_assert_cmpstr(json_object_get_string_member(object, "command"), ==, "classify");
  g_assert_cmpint(json_object_get_int_member(object, "beating"), ==, 0);
  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(object, "tasks")), ==, 1);
  task = json_array_get_object_element(json_object_get_array_member(object, "tasks"), 0);
  g_assert_cmpstr(json_object_get_string_member(task, "task"), ==, "legal/same");
  g_assert_cmpfloat_with_epsilon(json_object_get_double_member(task, "accuracy"), 2.0 / 3, 1e-12);
  g_assert_cmpint(json_object_get_int_member(task, "skipped_context"), ==, 1);
}

/* 130 labels go out as 64, 64 and 4. */
static void
test_classify_many_labels(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_autoptr(GString) labels = g_string_new("[\"label 0\"");
  guint i;

  for (i = 1; i < 130; i++) {
    g_string_append_printf(labels, ", \"label %u\"", i);
  }
  g_string_append_c(labels, ']');
  gem_test_write_text(self->folder, "manifest.json",
                      "{\"tasks\": [{\"domain\": \"legal\", \"name\": \"many\"}]}");
  gem_test_write_text(self->folder, "tasks/legal/many/labels.json", labels->str);
  /* The last of the first 64 has the most before it: it is what the stand-in's answers add up to. */
  gem_test_write_text(self->folder, "tasks/legal/many/test.jsonl",
                      "{\"input\": \"one\", \"target\": \"label 63\"}\n"
                      "{\"input\": \"two\", \"target\": \"label 129\"}\n");
  bench(self, ARGUMENTS("classify", "--data", self->folder), &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(run.out, "legal/many         2     130     0.500  majority     0.500"));
}

static void
test_classify_refuses(Scene *self, gconstpointer data)
{
  static const struct {
    const char *option, *value;
    int status;
    const char *says;
  } cases[] = {
      {"--tasks", "legal/none", GEM_EXIT_USAGE, "no task 'legal/none'"},
      {"--tasks", "general/free", GEM_EXIT_USAGE, "general/free has no labelled test lines"},
      {"--split", "exam", GEM_EXIT_USAGE, "--split is test, dev or train"},
      {"--split", "dev", GEM_EXIT_USAGE, "no task with labelled dev lines"},
      {"--limit", "-1", GEM_EXIT_USAGE, "--limit: -1 is not within 0"},
      {"--clusters", "many", GEM_EXIT_USAGE, "--clusters"},
      {"--color", "red", GEM_EXIT_USAGE, "--color"},
  };
  gsize i;

  write_tasks(self);
  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    g_test_message("%s %s", cases[i].option, cases[i].value);
    bench(self, ARGUMENTS("classify", "--data", self->folder, cases[i].option, cases[i].value), &run);
    g_assert_nonnull(strstr(run.err, cases[i].says));
    g_assert_true(g_str_has_prefix(run.err, "gem-bench: "));
    g_assert_cmpint(run.status, ==, cases[i].status);
    g_assert_cmpstr(run.out, ==, "");
  }
}

/* An error that is no refusal of one text ends the measurement. */
static void
test_classify_fails(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};

  write_tasks(self);
  gem_test_write_text(self->folder, "tasks/stem/other/test.jsonl",
                      "{\"input\": \"error NotReady\", \"choices\": [\"a\", \"b\"], \"target\": \"b\"}\n"
                      "{\"input\": \"two\", \"choices\": [\"a\", \"b\"], \"target\": \"b\"}\n");
  bench(self, ARGUMENTS("classify", "--data", self->folder), &run);
  g_assert_cmpstr(run.err, ==, "gem-bench: made to fail\n");
  g_assert_cmpint(run.status, ==, GEM_EXIT_NOT_READY);
  g_assert_cmpstr(run.out, ==, "");
}

static void
test_classify_no_manifest(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};

  bench(self, ARGUMENTS("classify", "--data", self->folder), &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(run.err, "manifest.json"));
}

/* The stand-in finds every text as likely as ten tokens of 1/8 each. */
static void
test_perplexity(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_autofree char *first = path_of(self, "first.txt");
  g_autofree char *second = path_of(self, "second.txt");
  g_autofree char *json = path_of(self, "out.json");
  g_autoptr(JsonNode) node = NULL;
  g_autoptr(GVariant) domain = NULL;
  JsonObject *all;

  gem_test_write_text(self->folder, "first.txt", "one\n\ntwo\n");
  gem_test_write_text(self->folder, "second.txt", "three\n\nerror ContextExceeded\n\nfour");
  bench(self, ARGUMENTS("perplexity", "--domain", "legal", first, second, "--json", json), &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(run.out, "gem-test, gemd 9.9; pathway: legal\n"));
  g_assert_nonnull(strstr(run.out, "first.txt           2      20     2.0794      8.0000        0\n"));
  g_assert_nonnull(strstr(run.out, "skipped documents: 1 longer than the context\n"));
  domain = g_variant_lookup_value(gem_test_service_get_options(self->service), "domain", NULL);
  g_assert_cmpstr(g_variant_get_string(domain, NULL), ==, "legal");
  all = json_array_get_object_element(
      json_object_get_array_member(read_json(self, "out.json", &node), "texts"), 2);
  g_assert_cmpstr(json_object_get_string_member(all, "text"), ==, "all");
  g_assert_cmpint(json_object_get_int_member(all, "tokens"), ==, 40);
  g_assert_cmpint(json_object_get_int_member(all, "skipped"), ==, 1);
  g_assert_cmpfloat_with_epsilon(json_object_get_double_member(all, "perplexity"), 8.0, 1e-9);
}

static void
test_perplexity_nothing(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) none = {0};
  g_auto(GemTestRun) missing = {0};
  g_auto(GemTestRun) empty = {0};
  g_autofree char *path = path_of(self, "text.txt");

  bench(self, ARGUMENTS("perplexity"), &none);
  g_assert_cmpint(none.status, ==, GEM_EXIT_USAGE);
  bench(self, ARGUMENTS("perplexity", path), &missing);
  g_assert_cmpint(missing.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(missing.err, "text.txt"));
  gem_test_write_text(self->folder, "text.txt", "\n\n");
  bench(self, ARGUMENTS("perplexity", path), &empty);
  g_assert_cmpint(empty.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(empty.out, "text.txt          0       0          -           -        0\n"));
}

/* The stand-in routes one token of two to healthcare, whatever the text. */
static void
test_routing_sentences(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) good = {0};
  g_auto(GemTestRun) bad = {0};
  g_autofree char *path = path_of(self, "sentences.tsv");

  gem_test_write_text(self->folder, "sentences.tsv", "healthcare\tone\n\nhealthcare\ttwo\n");
  bench(self, ARGUMENTS("routing", "--sentences", path, "--least", "2"), &good);
  g_assert_cmpint(good.status, ==, GEM_EXIT_OK);
  g_assert_cmpstr(good.out, ==,
                  "gem-test, gemd 9.9\n"
                  "domain      sentences  most routed  half of all  enough\n"
                  "healthcare          2            2            0  yes\n"
                  "1 of 1 domains have at least 2 sentences routed there\n");
  gem_test_write_text(self->folder, "sentences.tsv",
                      "healthcare\tone\nlegal\tt\x1bwo\nhealthcare\tthree\nlegal\terror InvalidText\n");
  bench(self, ARGUMENTS("routing", "--sentences", path, "--least", "2"), &bad);
  g_assert_cmpint(bad.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(bad.out, "legal               2            0            0  no\n"
                                   "miss: legal (of 2 tokens: healthcare 1, general 1): t^[wo\n"
                                   "miss: legal (not taken by the service): error InvalidText\n"
                                   "1 of 2 domains have at least 2 sentences routed there\n"));
}

static void
test_routing_bad_sentences(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_autofree char *path = path_of(self, "sentences.tsv");

  gem_test_write_text(self->folder, "sentences.tsv", "healthcare\tone\nno tab here\n");
  bench(self, ARGUMENTS("routing", "--sentences", path), &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(run.err, "line 2"));
}

static void
test_routing_data(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_autofree char *json = path_of(self, "out.json");
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object;

  gem_test_write_text(self->folder, "manifest.json",
                      "{\"tasks\": [{\"domain\": \"healthcare\", \"name\": \"a\"}, {\"domain\": \"legal\", "
                      "\"name\": \"b\"}, {\"domain\": \"adaptive\", \"name\": \"c\"}]}");
  gem_test_write_text(self->folder, "tasks/healthcare/a/test.jsonl",
                      "{\"input\": \"one\", \"target\": \"x\"}\n{\"input\": \"two\", \"target\": \"x\"}\n"
                      "{\"input\": \"error ContextExceeded\", \"target\": \"x\"}\n");
  gem_test_write_text(self->folder, "tasks/legal/b/test.jsonl", "{\"input\": \"one\", \"target\": \"x\"}\n");
  gem_test_write_text(self->folder, "tasks/adaptive/c/test.jsonl",
                      "{\"input\": \"one\", \"target\": \"x\"}\n");
  gem_test_write_text(self->folder, "corpus/general.txt", "one\n\ntwo\n");
  bench(self, ARGUMENTS("routing", "--data", self->folder, "--json", json), &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(
      strstr(run.out,
             "domain      documents  accuracy  none routed  tokens leaving general  most taken by  skipped\n"
             "healthcare          2    1.0000       0.0000                  0.5000  -                    1\n"
             "legal               1    0.0000       0.0000                  0.5000  healthcare 1         0\n"
             "adaptive            1    0.0000       0.0000                  0.5000  healthcare 1         0\n"
             "general             1         -       0.0000                  0.5000  healthcare 1         0\n"
             "2 subject domains: 0.6667 of 3 documents routed right, mean over domains 0.5000\n"));
  object = read_json(self, "out.json", &node);
  g_assert_cmpfloat_with_epsilon(json_object_get_double_member(object, "accuracy"), 2.0 / 3, 1e-12);
  g_assert_cmpuint(json_array_get_length(json_object_get_array_member(object, "sources")), ==, 4);
}

static void
test_clients(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_autofree char *json = path_of(self, "out.json");
  g_autofree char *chart = path_of(self, "out.svg");
  g_autofree char *svg = NULL;
  g_autoptr(JsonNode) node = NULL;
  g_autoptr(GVariant) limit = NULL;
  JsonArray *results;
  JsonObject *one, *three;

  bench(self,
        ARGUMENTS("clients", "--streams", "1,3", "-p", "40", "-n", "5", "-r", "2", "--json", json, "--chart",
                  chart),
        &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_true(g_str_has_prefix(run.out, "gem-test, gemd 9.9; medians of 2 rounds\nstreams  read  written"));
  /* The stand-in's tokens are bytes: as many words as 40 of them hold. */
  g_assert_cmpstr(gem_test_service_get_text(self->service), ==, "The ship left the harbour at dawn and");
  limit = g_variant_lookup_value(gem_test_service_get_options(self->service), "max_tokens", NULL);
  g_assert_cmpuint(g_variant_get_uint32(limit), ==, 5);
  results = json_object_get_array_member(read_json(self, "out.json", &node), "results");
  g_assert_cmpuint(json_array_get_length(results), ==, 2);
  one = json_array_get_object_element(results, 0);
  g_assert_cmpint(json_object_get_int_member(one, "streams"), ==, 1);
  g_assert_cmpfloat(median_member(one, "prompt_tokens", 2), ==, 12);
  g_assert_cmpfloat(median_member(one, "written_tokens", 2), ==, 5);
  g_assert_cmpfloat(median_member(one, "engine_prefill_tokens_per_second", 2), ==, 48);
  g_assert_cmpfloat(median_member(one, "engine_decode_tokens_per_second", 2), ==, 40);
  g_assert_cmpfloat(median_member(one, "resident_bytes", 2), ==, 13700000);
  g_assert_cmpfloat(median_member(one, "process_bytes", 2), >, 0);
  g_assert_true(json_object_has_member(one, "first_byte_ms_p95"));
  median_member(one, "bus_us_per_token", 2);
  three = json_array_get_object_element(results, 1);
  g_assert_cmpint(json_object_get_int_member(three, "streams"), ==, 3);
  g_assert_cmpfloat(median_member(three, "first_byte_ms", 6), >, 0);
  g_assert_cmpfloat(median_member(three, "stream_tokens_per_second", 6), >, 0);
  g_assert_cmpfloat(median_member(three, "total_tokens_per_second", 2), >, 0);
  g_assert_true(isnan(median_member(three, "bus_us_per_token", 0)));
  g_file_get_contents(chart, &svg, NULL, NULL);
  g_assert_nonnull(strstr(svg, "gem-test, gemd 9.9"));
}

/* Each stream of a round asks for the next of the domains. */
static void
test_clients_domains(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_auto(GemTestRun) none = {0};
  g_autofree char *json = path_of(self, "out.json");
  g_autoptr(JsonNode) node = NULL;

  bench(self,
        ARGUMENTS("clients", "--streams", "1,3", "-p", "5", "-r", "1", "--domains", "healthcare,legal",
                  "--json", json),
        &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(run.out, "; medians of 1 rounds; streams in turn: healthcare,legal\nstreams "));
  g_assert_cmpstr(gem_test_service_get_session_domains(self->service), ==,
                  "healthcare healthcare legal healthcare ");
  g_assert_cmpstr(json_object_get_string_member(read_json(self, "out.json", &node), "domains"), ==,
                  "healthcare,legal");
  bench(self, ARGUMENTS("clients", "--streams", "2", "--domains", "legal,cooking"), &none);
  g_assert_cmpint(none.status, ==, GEM_EXIT_INVALID_INPUT);
}

/* Three sessions and no more: what a quota leaves is measured, and what it does not is said. */
static void
test_clients_refused(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) some = {0};
  g_auto(GemTestRun) none = {0};

  gem_test_service_limit_sessions(self->service, 3);
  bench(self, ARGUMENTS("clients", "--streams", "2,4", "-p", "5", "-r", "1"), &some);
  g_assert_cmpint(some.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(some.out, "\n      2 "));
  g_assert_true(
      g_str_has_suffix(some.out, "\n4 streams are more than the service takes: no more than 3 sessions\n"));
  bench(self, ARGUMENTS("clients", "--streams", "4", "-p", "5", "-r", "1"), &none);
  g_assert_cmpint(none.status, ==, GEM_EXIT_LIMIT);
  g_assert_cmpstr(none.err, ==, "gem-bench: no more than 3 sessions\n");
  g_assert_cmpstr(none.out, ==, "");
}

/* The first turn runs to its end; of the others each is cancelled, and its time noted. */
static void
test_cancel(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_autofree char *json = path_of(self, "out.json");
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object;
  guint prefill = 0, decode = 0;

  gem_test_service_make_endless(self->service, 1);
  bench(self, ARGUMENTS("cancel", "-p", "40", "-r", "3", "--json", json), &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_cmpint(sscanf(run.out,
                         "gem-test, gemd 9.9; from Cancel to the end of the turn, %u in prefill, %u in "
                         "decoding\nwhat ",
                         &prefill, &decode),
                  ==, 2);
  g_assert_cmpuint(prefill, ==, 3);
  g_assert_cmpuint(decode, ==, 3);
  g_assert_cmpuint(gem_test_service_count_cancels(self->service), ==, 6);
  object = read_json(self, "out.json", &node);
  g_assert_cmpfloat(median_member(object, "prefill_ms", prefill), >, 0);
  g_assert_cmpfloat(median_member(object, "decode_ms", decode), >, 0);
  g_assert_cmpfloat(json_object_get_double_member(object, "decode_ms_p95"), >, 0);
}

/* Turns that end before they are cancelled measure nothing. */
static void
test_cancel_too_late(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) run = {0};
  g_auto(GemTestRun) wrong = {0};

  gem_test_service_make_endless(self->service, 4);
  bench(self, ARGUMENTS("cancel", "-r", "1"), &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  bench(self, ARGUMENTS("cancel", "-r", "0"), &wrong);
  g_assert_nonnull(strstr(wrong.err, "--rounds: 0 is not within 1"));
  g_assert_cmpint(wrong.status, ==, GEM_EXIT_USAGE);
}

static void
test_clients_fail(Scene *self, gconstpointer data)
{
  static const struct {
    const char *option, *value, *says;
  } cases[] = {
      {"--streams", "4,2", "--streams: 2 does not follow on 4"},
      {"--streams", "0", "--streams: '0' is no number within 1 to 4096"},
      {"--streams", "2,many", "--streams: 'many' is no number"},
      {"--streams", "", "--streams: a number is wanted"},
      {"-n", "0", "--tokens: 0 is not within 1"},
      {"-r", "0", "--rounds: 0 is not within 1"},
      {"--clusters", "many", "--clusters"},
      {"--domains", "", "--domains: a domain is wanted"},
      {"--domains=legal", "--domain=legal", "--domain and --domains exclude each other"},
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    bench(self, ARGUMENTS("clients", cases[i].option, cases[i].value), &run);
    g_assert_nonnull(strstr(run.err, cases[i].says));
    g_assert_cmpint(run.status, ==, GEM_EXIT_USAGE);
    g_assert_cmpstr(run.out, ==, "");
  }
}

static void
test_no_service(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) absent = {0};
  g_auto(GemTestRun) no_bus = {0};

  gem_test_service_leave(self->service);
  bench(self, ARGUMENTS("clients"), &absent);
  g_assert_cmpint(absent.status, ==, GEM_EXIT_UNREACHABLE);
  g_assert_nonnull(strstr(absent.err, "gem-bench: the service is not there"));
  bench(self, ARGUMENTS("clients", "--address", "unix:path=/nonexistent/bus"), &no_bus);
  g_assert_cmpint(no_bus.status, ==, GEM_EXIT_UNREACHABLE);
}

static void
test_usage(Scene *self, gconstpointer data)
{
  static const char *const commands[] = {"classify", "clients", "paging", "perplexity",
                                         "routing",  "scar",    "speed"};
  g_auto(GemTestRun) help = {0};
  g_auto(GemTestRun) unknown = {0};
  g_auto(GemTestRun) neither = {0};
  g_auto(GemTestRun) extra = {0};
  gsize i;

  bench(self, ARGUMENTS("--help"), &help);
  g_assert_cmpint(help.status, ==, GEM_EXIT_OK);
  for (i = 0; i < G_N_ELEMENTS(commands); i++) {
    g_auto(GemTestRun) run = {0};

    g_assert_nonnull(strstr(help.out, commands[i]));
    bench(self, ARGUMENTS(commands[i], "--help"), &run);
    g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
    g_assert_nonnull(strstr(run.out, "Examples:\n  gem-bench "));
  }
  bench(self, ARGUMENTS("measure"), &unknown);
  g_assert_cmpint(unknown.status, ==, GEM_EXIT_USAGE);
  g_assert_cmpstr(unknown.err, ==, "gem-bench: no command 'measure'; gem-bench --help lists them\n");
  bench(self, ARGUMENTS("routing"), &neither);
  g_assert_cmpint(neither.status, ==, GEM_EXIT_USAGE);
  bench(self, ARGUMENTS("clients", "many"), &extra);
  g_assert_cmpint(extra.status, ==, GEM_EXIT_USAGE);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(Scene *self, gconstpointer data);
  } tests[] = {
      {"/gem-bench/classify/table", test_classify},
      {"/gem-bench/classify/json", test_classify_json},
      {"/gem-bench/classify/many-labels", test_classify_many_labels},
      {"/gem-bench/classify/refuses", test_classify_refuses},
      {"/gem-bench/classify/fails", test_classify_fails},
      {"/gem-bench/classify/no-manifest", test_classify_no_manifest},
      {"/gem-bench/perplexity/files", test_perplexity},
      {"/gem-bench/perplexity/nothing", test_perplexity_nothing},
      {"/gem-bench/routing/sentences", test_routing_sentences},
      {"/gem-bench/routing/bad-sentences", test_routing_bad_sentences},
      {"/gem-bench/routing/data", test_routing_data},
      {"/gem-bench/clients/figures", test_clients},
      {"/gem-bench/clients/domains", test_clients_domains},
      {"/gem-bench/clients/refused", test_clients_refused},
      {"/gem-bench/clients/fails", test_clients_fail},
      {"/gem-bench/cancel", test_cancel},
      {"/gem-bench/cancel/too-late", test_cancel_too_late},
      {"/gem-bench/no-service", test_no_service},
      {"/gem-bench/usage", test_usage},
  };
  gsize i;

  g_test_init(&argc, &argv, NULL);
  for (i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Scene, NULL, scene_set_up, tests[i].run, scene_tear_down);
  }
  return g_test_run();
}
