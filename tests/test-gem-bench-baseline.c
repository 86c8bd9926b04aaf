/* Baselines of labelled tasks: words, features, what is learned from them, and the command. */
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

#include "bench/baseline/gem-baseline-candidates.h"
#include "bench/baseline/gem-baseline-linear.h"
#include "bench/baseline/gem-baseline-minimise.h"
#include "bench/baseline/gem-baseline-ranker.h"
#include "bench/baseline/gem-baseline-task.h"
#include "tests/gem-test-client.h"
#include "tests/gem-test-folder.h"

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- words ---- */

/* The numbers of a text's words, "1 2 3"; fields behind a colon where there are any. */
static char *
describe_words(GemBaselineWords *words, const char *text, gboolean learn)
{
  g_autoptr(GArray) read = gem_baseline_words_read(words, text, learn);
  GString *numbers = g_string_new(NULL);
  guint i;

  for (i = 0; i < read->len; i++) {
    const GemBaselineWord *word = &g_array_index(read, GemBaselineWord, i);

    g_string_append_printf(numbers, word->field == 0 ? "%s%u" : "%s%u:%u", i == 0 ? "" : " ", word->word,
                           word->field);
  }
  return g_string_free(numbers, FALSE);
}

static void
test_words(void)
{
  static const struct {
    const char *text, *numbers;
  } cases[] = {
      {"The cat, the CAT.", "1 2 3 1 2 4"},
      {"caf\u00e9 CAF\u00c9", "5 5"},
      {"\u6211\u7231\u6211", "6 7 6"},                     /* no spaces are written */
      {"\u0e01\u0e34\u0e19\u0e01", "8 9 10 8"},            /* Thai */
      {"\u0939\u093f\u0928\u094d\u0926\u0940 x", "11 12"}, /* marks belong to their word */
      {" \n ", ""},
  };
  g_autoptr(GemBaselineWords) words = gem_baseline_words_new();
  g_autofree char *unknown = NULL;
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *numbers = describe_words(words, cases[i].text, TRUE);

    g_assert_cmpstr(numbers, ==, cases[i].numbers);
  }
  unknown = describe_words(words, "the dog", FALSE);
  g_assert_cmpstr(unknown, ==, "1 0");
}

/* Headings that stand in a tenth of the texts, and lines without one belong to the field before. */
static void
test_fields(void)
{
  const char *texts[21];
  g_autoptr(GemBaselineWords) words = gem_baseline_words_new();
  g_autofree char *numbers = NULL;
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(texts); i++) {
    texts[i] = i == 0 ? "Note: a" : i < 8 ? "Premise: a\nHypothesis: b" : "Premise: a:b";
  }
  g_assert_cmpuint(gem_baseline_words_learn_fields(words, texts, G_N_ELEMENTS(texts)), ==, 2);
  numbers = describe_words(words, "x\nPremise: y\nz\nHypothesis: x\nNote: x", TRUE);
  g_assert_cmpstr(numbers, ==, "1 2:1 3:1 4:1 5:1 6:2 3:2 1:2 7:2 3:2 1:2");
}

/* ---- features ---- */

static void
test_features(void)
{
  const char *const texts[] = {"a b", "a b c", "a a d"};
  g_autoptr(GemBaselineFeatures) features = gem_baseline_features_new(texts, 3, TRUE);
  g_autoptr(GemBaselineRows) rows = NULL;
  const GemBaselineEntry *row;
  double a, b, length;
  guint n;

  /* a, "a b" and b; the rest stands in one text alone. */
  g_assert_false(gem_baseline_features_has_fields(features));
  g_assert_cmpuint(gem_baseline_features_count(features), ==, 3);
  rows = gem_baseline_features_of(features, (const char *const[]){"x", "a a b"}, 2);
  gem_baseline_rows_get(rows, 0, &n);
  g_assert_cmpuint(n, ==, 0);
  row = gem_baseline_rows_get(rows, 1, &n);
  g_assert_cmpuint(n, ==, 3);
  a = (1 + log(2)) * 1;
  b = 1 + log(4.0 / 3);
  length = sqrt(a * a + 2 * b * b);
  g_assert_cmpfloat_with_epsilon(row[0].value, a / length, 1e-6);
  g_assert_cmpfloat_with_epsilon(row[1].value, b / length, 1e-6);
  g_assert_cmpfloat_with_epsilon(row[2].value, b / length, 1e-6);
}

static void
test_features_of_fields(void)
{
  const char *const texts[] = {"P: a\nH: a", "P: a\nH: b", "P: b\nH: b"};
  g_autoptr(GemBaselineFeatures) plain = gem_baseline_features_new(texts, 3, FALSE);
  g_autoptr(GemBaselineFeatures) fields = gem_baseline_features_new(texts, 3, TRUE);

  g_assert_true(gem_baseline_features_has_fields(fields));
  g_assert_cmpuint(gem_baseline_features_count(fields), >, gem_baseline_features_count(plain));
}

/* ---- the minimum ---- */

/* Rosenbrock's valley, whose minimum is 0 at (1, 1). */
static double
valley(const float *point, float *gradient, gsize n, gpointer data)
{
  double x = point[0], y = point[1];

  ++*(guint *)data;
  gradient[0] = (float)(-2 * (1 - x) - 400 * x * (y - x * x));
  gradient[1] = (float)(200 * (y - x * x));
  return (1 - x) * (1 - x) + 100 * (y - x * x) * (y - x * x);
}

static void
test_minimum(void)
{
  float point[] = {-1.2f, 1};
  guint calls = 0;
  double value = gem_baseline_minimise(valley, &calls, point, 2, 200, 0);

  g_assert_cmpfloat(value, <, 1e-8);
  g_assert_cmpfloat_with_epsilon(point[0], 1, 1e-3);
  g_assert_cmpfloat_with_epsilon(point[1], 1, 1e-3);
  g_assert_cmpuint(calls, <, 200); /* steepest descent needs thousands */
}

/* ---- the linear model ---- */

static void
add_row(GemBaselineRows *rows, guint feature)
{
  GemBaselineEntry entry = {feature, 1};

  if (feature != G_MAXUINT) {
    g_array_append_val(rows->entries, entry);
  }
  gem_baseline_rows_end(rows);
}

/* Feature 0 says class 2, feature 1 class 0; without features the most frequent class is said. */
static void
test_linear(void)
{
  static const guint features[] = {0, 0, 1, 1, 1, 0, G_MAXUINT, G_MAXUINT, G_MAXUINT};
  static const guint classes[] = {2, 2, 0, 0, 0, 2, 1, 1, 1};
  g_autoptr(GemBaselineRows) rows = gem_baseline_rows_new();
  g_autoptr(GemBaselineLinear) linear = NULL;
  g_autofree guint *stiff = NULL;
  g_autofree guint *chosen = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS(features); i++) {
    add_row(rows, features[i]);
  }
  linear = gem_baseline_linear_new(rows, 2, classes, 3);
  gem_baseline_linear_fit(linear, 30);
  chosen = gem_baseline_linear_choose(linear, rows);
  g_assert_cmpmem(chosen, sizeof classes, classes, sizeof classes);
  /* Stiff weights are none: the same is said of all. */
  gem_baseline_linear_fit(linear, 1e-6);
  stiff = gem_baseline_linear_choose(linear, rows);
  for (i = 1; i < G_N_ELEMENTS(classes); i++) {
    g_assert_cmpuint(stiff[i], ==, stiff[0]);
  }
}

/* The candidate with feature 1 is right, wherever it stands. */
static void
test_ranker(void)
{
  static const guint features[] = {1, 0, 0, 1, 2, 2, 1};
  static const guint ends[] = {2, 5, 7}, targets[] = {0, 1, 1};
  g_autoptr(GemBaselineRows) rows = gem_baseline_rows_new();
  g_autoptr(GemBaselineRanker) ranker = NULL;
  g_autofree guint *chosen = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS(features); i++) {
    add_row(rows, features[i]);
  }
  ranker = gem_baseline_ranker_new(rows, 3, ends, targets, 3);
  gem_baseline_ranker_fit(ranker, 10);
  chosen = gem_baseline_ranker_choose(ranker, rows, ends, 3);
  g_assert_cmpmem(chosen, sizeof targets, targets, sizeof targets);
}

/* ---- tasks ---- */

/* A line of a task; `labels` with quotes and commas, NULL: none. */
static void
add_line(GString *lines, const char *input, const char *labels, const char *target)
{
  g_string_append_printf(lines, "{\"input\": \"%s\", ", input);
  if (labels != NULL) {
    g_string_append_printf(lines, "\"choices\": [%s], ", labels);
  }
  g_string_append_printf(lines, "\"target\": \"%s\"}\n", target);
}

/* Two tasks of 40, 10 and 20 lines, and one without labels: a word decides about the label, which in train is
 * mostly "no" and later mostly "yes"; and the right candidate repeats a word of the input that no other line
 * has. Line i of a split has the word i. */
static char *
make_data(void)
{
  static const struct {
    const char *name;
    guint n, first, yes; /* of ten lines so many are "yes" */
  } splits[] = {{"train", 40, 0, 3}, {"dev", 10, 100, 6}, {"test", 20, 200, 6}};
  char *folder = gem_test_folder_new();
  gsize i;
  guint j;

  gem_test_write_text(folder, "manifest.json",
                      "{\"suite\": [\"legal/shared\", \"stem/by_line\", \"stem/text\"], \"tasks\": ["
                      "{\"domain\": \"legal\", \"name\": \"shared\", \"form\": \"classification\"},"
                      "{\"domain\": \"stem\", \"name\": \"by_line\", \"form\": \"multiple choice\"},"
                      "{\"domain\": \"stem\", \"name\": \"text\", \"form\": \"generation\"}]}");
  for (i = 0; i < G_N_ELEMENTS(splits); i++) {
    g_autoptr(GString) shared = g_string_new(NULL);
    g_autoptr(GString) by_line = g_string_new(NULL);
    g_autofree char *shared_path = g_strdup_printf("tasks/legal/shared/%s.jsonl", splits[i].name);
    g_autofree char *by_line_path = g_strdup_printf("tasks/stem/by_line/%s.jsonl", splits[i].name);
    g_autofree char *text_path = g_strdup_printf("tasks/stem/text/%s.jsonl", splits[i].name);

    for (j = 0; j < splits[i].n; j++) {
      gboolean yes = j % 10 < splits[i].yes;
      g_autofree char *word = g_strdup_printf("w%u", splits[i].first + j);
      g_autofree char *input = g_strdup_printf("%s %s", word, yes ? "indeed" : "never");
      g_autofree char *other = g_strdup_printf("o%u", splits[i].first + j);
      g_autofree char *labels = j % 2 == 0 ? g_strdup_printf("\"%s\", \"%s\", \"z%u\"", other, word, j)
                                           : g_strdup_printf("\"%s\", \"%s\"", word, other);

      add_line(shared, input, "\"yes\", \"no\"", yes ? "yes" : "no");
      add_line(by_line, input, labels, word);
    }
    add_line(shared, "odd", "\"yes\", \"no\"", "perhaps");
    gem_test_write_text(folder, shared_path, shared->str);
    gem_test_write_text(folder, by_line_path, by_line->str);
    gem_test_write_text(folder, text_path, "{\"input\": \"a\", \"target\": \"b\"}\n");
  }
  return folder;
}

static void
test_shared_labels(void)
{
  g_autofree char *data = make_data();
  g_autoptr(GError) error = NULL;
  GemBaselineResult result, again;
  const GemBaselineFigures *test = &result.splits[GEM_BASELINE_TEST];

  g_assert_true(gem_baseline_task_run(data, "legal/shared", &result, &error));
  g_assert_no_error(error);
  g_assert_true(result.shared);
  g_assert_cmpuint(result.n_train, ==, 40);
  g_assert_cmpuint(result.most_labels, ==, 2);
  g_assert_cmpuint(result.splits[GEM_BASELINE_DEV].n, ==, 10);
  g_assert_cmpuint(test->n, ==, 20);
  g_assert_cmpuint(test->skipped, ==, 1);
  g_assert_cmpfloat_with_epsilon(test->chance.accuracy.value, 0.5, 1e-9);
  /* 2 p q / (p + q) of 0.6 and 0.4, guessed half the time each */
  g_assert_cmpfloat_with_epsilon(test->chance.f1.value, (0.6 / 1.1 + 0.4 / 0.9) / 2, 1e-9);
  /* "no", of which there are less in test than in train */
  g_assert_cmpfloat(test->majority.accuracy.value, ==, 0.4);
  g_assert_cmpfloat_with_epsilon(test->majority.accuracy.standard_error, sqrt(0.24 / 20), 1e-9);
  g_assert_cmpfloat_with_epsilon(test->majority.f1.value, 0.8 / 1.4 / 2, 1e-9);
  g_assert_cmpfloat(test->linear.accuracy.value, ==, 1);
  g_assert_cmpfloat(test->linear.f1.standard_error, ==, 0);
  g_assert_true(gem_baseline_task_run(data, "legal/shared", &again, &error));
  g_assert_cmpfloat(test->majority.f1.standard_error, >, 0);
  g_assert_cmpfloat(again.splits[GEM_BASELINE_TEST].majority.f1.standard_error, ==,
                    test->majority.f1.standard_error);
  gem_test_folder_remove(data);
}

/* Few answers and no labels: the answers are the classes, and lists are scored by their entries. */
static void
test_lists(void)
{
  static const char *const names[] = {"train", "dev", "test"};
  g_autofree char *data = make_data();
  g_autoptr(GError) error = NULL;
  GemBaselineResult result;
  const GemBaselineFigures *test = &result.splits[GEM_BASELINE_TEST];
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = g_strdup_printf("tasks/stem/text/%s.jsonl", names[i]);
    g_autoptr(GString) lines = g_string_new(NULL);
    guint j;

    for (j = 0; j < 40; j++) {
      add_line(lines, j % 4 == 0 ? "both here" : "none here", NULL, j % 4 == 0 ? "one; two" : "None");
    }
    if (i == 2) {
      add_line(lines, "both here", NULL, "two"); /* an answer that train does not have */
    }
    gem_test_write_text(data, path, lines->str);
  }
  g_assert_true(gem_baseline_task_run(data, "stem/text", &result, &error));
  g_assert_no_error(error);
  g_assert_true(result.lists);
  g_assert_cmpuint(result.most_labels, ==, 3);
  g_assert_true(isnan(test->chance.f1.value));
  g_assert_cmpfloat_with_epsilon(test->majority.accuracy.value, 30.0 / 41, 1e-9);
  /* 30 entries right of 41 said and 51 there */
  g_assert_cmpfloat_with_epsilon(test->majority.f1.value, 2 * 30.0 / (41 + 51), 1e-9);
  g_assert_cmpfloat_with_epsilon(test->linear.accuracy.value, 40.0 / 41, 1e-9);
  g_assert_cmpfloat_with_epsilon(test->linear.f1.value, 2 * 51.0 / (52 + 51), 1e-9);
  gem_test_folder_remove(data);
}

static void
test_labels_by_line(void)
{
  g_autofree char *data = make_data();
  g_autoptr(GError) error = NULL;
  GemBaselineResult result;
  const GemBaselineFigures *dev = &result.splits[GEM_BASELINE_DEV];

  g_assert_true(gem_baseline_task_run(data, "stem/by_line", &result, &error));
  g_assert_no_error(error);
  g_assert_false(result.shared);
  g_assert_cmpuint(dev->n, ==, 10);
  g_assert_cmpuint(result.fewest_labels, ==, 2);
  g_assert_cmpuint(result.most_labels, ==, 3);
  g_assert_cmpfloat_with_epsilon(dev->chance.accuracy.value, (0.5 + 1.0 / 3) / 2, 1e-9);
  g_assert_cmpfloat(dev->majority.accuracy.value, ==, 0.5); /* of two equal ones the first position */
  g_assert_cmpfloat(dev->linear.accuracy.value, ==, 1);
  g_assert_cmpfloat(result.splits[GEM_BASELINE_TEST].linear.accuracy.value, ==, 1);
  g_assert_false(gem_baseline_task_run(data, "stem/text", &result, &error));
  g_assert_no_error(error);
  gem_test_write_text(data, "tasks/stem/by_line/dev.jsonl", "{}\n");
  g_assert_false(gem_baseline_task_run(data, "stem/by_line", &result, &error));
  g_assert_nonnull(strstr(error->message, "dev.jsonl: line 1: "));
  gem_test_folder_remove(data);
}

/* ---- the command ---- */

static void
bench(const char *const *arguments, GemTestRun *ret_run)
{
  g_autoptr(GSubprocess) program = gem_test_program_start(NULL, "bench", "gem-bench", arguments, FALSE);

  gem_test_client_finish(program, NULL, ret_run);
}

static void
test_command(void)
{
  g_autofree char *data = make_data();
  g_autofree char *json = g_build_filename(data, "out.json", NULL);
  g_autoptr(JsonParser) parser = json_parser_new();
  g_autoptr(GError) error = NULL;
  g_auto(GemTestRun) run = {0};
  JsonObject *root, *task, *dev;
  JsonArray *tasks;

  bench(ARGUMENTS("baseline", "--data", data, "--split", "dev", "--json", json), &run);
  g_assert_cmpint(run.status, ==, 0);
  g_assert_nonnull(strstr(run.out, "legal/shared"));
  g_assert_true(json_parser_load_from_file(parser, json, &error));
  g_assert_no_error(error);
  root = json_node_get_object(json_parser_get_root(parser));
  tasks = json_object_get_array_member(root, "tasks");
  g_assert_cmpuint(json_array_get_length(tasks), ==, 2);
  task = json_array_get_object_element(tasks, 0);
  g_assert_cmpstr(json_object_get_string_member(task, "task"), ==, "legal/shared");
  dev = json_object_get_object_member(task, "dev");
  g_assert_cmpint(json_object_get_int_member(dev, "n"), ==, 10);
  g_assert_cmpfloat(json_object_get_double_member(json_object_get_object_member(dev, "linear"), "accuracy"),
                    ==, 1);
  g_assert_true(json_object_get_null_member(json_object_get_object_member(dev, "chance"), "accuracy_error"));
  g_assert_cmpint(json_object_get_int_member(json_object_get_object_member(task, "test"), "n"), ==, 20);
  gem_test_folder_remove(data);
}

static void
test_command_refuses(void)
{
  g_autofree char *data = make_data();
  const char *const *cases[] = {
      ARGUMENTS("baseline"),
      ARGUMENTS("baseline", "--data", data, "--split", "train"),
      ARGUMENTS("baseline", "--data", data, "--tasks", "legal/shared,legal/none"),
  };
  static const char *const said[] = {"--data", "'train'", "'legal/none'"};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    bench(cases[i], &run);
    g_assert_cmpint(run.status, ==, 2);
    g_assert_nonnull(strstr(run.err, said[i]));
  }
  gem_test_folder_remove(data);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/baseline/words", test_words);
  g_test_add_func("/gem-bench/baseline/fields", test_fields);
  g_test_add_func("/gem-bench/baseline/features", test_features);
  g_test_add_func("/gem-bench/baseline/features-of-fields", test_features_of_fields);
  g_test_add_func("/gem-bench/baseline/minimum", test_minimum);
  g_test_add_func("/gem-bench/baseline/linear", test_linear);
  g_test_add_func("/gem-bench/baseline/ranker", test_ranker);
  g_test_add_func("/gem-bench/baseline/shared-labels", test_shared_labels);
  g_test_add_func("/gem-bench/baseline/lists", test_lists);
  g_test_add_func("/gem-bench/baseline/labels-by-line", test_labels_by_line);
  g_test_add_func("/gem-bench/baseline/command", test_command);
  g_test_add_func("/gem-bench/baseline/command-refuses", test_command_refuses);
  return g_test_run();
}
