/* What gem-bench reads, and what it makes of labels, routes and tasks. */
#include <math.h>
#include <string.h>

#include "bench/bus/gem-bench-routes.h"
#include "bench/questions/gem-bench-data.h"
#include "bench/questions/gem-bench-labels.h"
#include "bench/questions/gem-bench-task.h"
#include "dbus/gem-error.h"
#include "tests/gem-test-folder.h"

static void
test_tasks(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) tasks = NULL;

  g_assert_null(gem_bench_data_list_tasks(folder, &error));
  g_assert_nonnull(strstr(error->message, "manifest.json"));
  g_clear_error(&error);
  gem_test_write_text(folder, "manifest.json", "{\"tasks\": [{\"domain\": \"legal\"}]}");
  g_assert_null(gem_bench_data_list_tasks(folder, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error(&error);
  gem_test_write_text(folder, "manifest.json", "[]");
  g_assert_null(gem_bench_data_list_tasks(folder, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_clear_error(&error);
  gem_test_write_text(folder, "manifest.json",
                      "{\"tasks\": [{\"domain\": \"legal\", \"name\": \"b\"}, {\"domain\": \"stem\", "
                      "\"name\": \"a\", \"form\": \"classification\"}]}");
  tasks = gem_bench_data_list_tasks(folder, &error);
  g_assert_no_error(error);
  g_assert_true(g_strv_equal((const char *const *)tasks, (const char *const[]){"legal/b", "stem/a", NULL}));
  gem_test_folder_remove(folder);
}

static void
test_lines(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) lines = NULL;
  g_autoptr(GPtrArray) none = NULL;
  const GemBenchLine *line;

  gem_test_write_text(folder, "tasks/stem/a/labels.json", "[\"up\", \"down\"]");
  gem_test_write_text(folder, "tasks/stem/a/test.jsonl",
                      "{\"input\": \"one\", \"target\": \"down\"}\n"
                      "{\"input\": \"two\\nlines\", \"choices\": [\"x\", \"y\", \"z\"], \"target\": \"x\"}\n"
                      "{\"input\": \"three\", \"target\": \"sideways\"}\n");
  lines = gem_bench_data_read_lines(folder, "stem/a", "test", 0, 1, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(lines->len, ==, 3);
  line = lines->pdata[0];
  g_assert_cmpstr(line->input, ==, "one");
  g_assert_cmpint(line->target, ==, 1);
  line = lines->pdata[1];
  g_assert_cmpstr(line->input, ==, "two\nlines");
  g_assert_cmpuint(g_strv_length(line->labels), ==, 3);
  g_assert_cmpint(line->target, ==, 0);
  line = lines->pdata[2];
  g_assert_cmpint(line->target, ==, -1);
  none = gem_bench_data_read_lines(folder, "stem/a", "dev", 0, 1, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(none->len, ==, 0);
  gem_test_folder_remove(folder);
}

static void
test_bad_lines(void)
{
  static const char *const bad[] = {"{\"input\": \"one\"}",
                                    "{\"input\": 1, \"target\": \"x\"}",
                                    "[]",
                                    "{",
                                    "{\"input\": \"one\", \"target\": \"x\", \"choices\": \"x\"}",
                                    "{\"input\": \"\xff\", \"target\": \"x\"}"};
  g_autofree char *folder = gem_test_folder_new();
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autofree char *text = g_strdup_printf("{\"input\": \"one\", \"target\": \"x\"}\n%s\n", bad[i]);
    g_autoptr(GError) error = NULL;

    g_test_message("line %zu", i);
    gem_test_write_text(folder, "tasks/stem/a/test.jsonl", text);
    g_assert_null(gem_bench_data_read_lines(folder, "stem/a", "test", 0, 1, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "test.jsonl"));
  }
  gem_test_folder_remove(folder);
}

static void
test_draw(void)
{
  g_autoptr(GArray) all = gem_bench_data_draw(7, 0, 1);
  g_autoptr(GArray) some = gem_bench_data_draw(1000, 100, 1);
  g_autoptr(GArray) again = gem_bench_data_draw(1000, 100, 1);
  g_autoptr(GArray) other = gem_bench_data_draw(1000, 100, 2);
  guint i, upper_half = 0;

  g_assert_cmpuint(all->len, ==, 7);
  g_assert_cmpuint(some->len, ==, 100);
  g_assert_cmpmem(some->data, some->len * sizeof(guint), again->data, again->len * sizeof(guint));
  g_assert_cmpint(memcmp(some->data, other->data, some->len * sizeof(guint)), !=, 0);
  for (i = 0; i < some->len; i++) {
    g_assert_cmpuint(g_array_index(some, guint, i), <, 1000);
    g_assert_true(i == 0 || g_array_index(some, guint, i - 1) < g_array_index(some, guint, i));
    upper_half += g_array_index(some, guint, i) >= 500;
  }
  g_assert_cmpuint(upper_half, >, 30);
  g_assert_cmpuint(upper_half, <, 70);
}

static void
test_documents(void)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *path = g_build_filename(folder, "text.txt", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) documents = NULL;

  gem_test_write_text(folder, "text.txt", "\n\none\nline two\n\n\n\nthree \n\nfour\n");
  documents = gem_bench_data_read_documents(path, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(documents->len, ==, 3);
  g_assert_cmpstr(documents->pdata[0], ==, "one\nline two");
  g_assert_cmpstr(documents->pdata[1], ==, "three ");
  g_assert_cmpstr(documents->pdata[2], ==, "four");
  gem_test_write_text(folder, "text.txt", "ok\n\n\xff");
  g_assert_null(gem_bench_data_read_documents(path, &error));
  g_assert_nonnull(strstr(error->message, "byte 4"));
  gem_test_folder_remove(folder);
}

/* ---- labels ---- */

static void
test_label_choice(void)
{
  static const struct {
    const char *answer;
    guint choice;
  } cases[] = {
      {"[('a', 0.0), ('b', 0.25), ('c', 0.75)]", 2},
      {"[('a', 0.25), ('b', 0.5), ('c', 0.25)]", 1},
      {"[('a', 0.2), ('b', 0.4), ('c', 0.4)]", 1},
      {"[('a', 0.0), ('b', 0.0)]", 0},
  };
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GVariant) answer = g_variant_ref_sink(g_variant_new_parsed(cases[i].answer));

    g_assert_cmpuint(gem_bench_labels_choose(answer), ==, cases[i].choice);
  }
}

static void
test_label_validity(void)
{
  static const char *const bad[] = {"a", "a b a", "a  b"}; /* one, two alike, an empty one */
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_auto(GStrv) labels = g_strsplit(bad[i], " ", -1);

    g_assert_false(gem_bench_labels_are_valid(labels));
  }
}

/* As many, as long, and as long together as Classify takes, and one more. */
static void
test_label_bounds(void)
{
  static const struct {
    guint labels, bytes; /* of each */
    gboolean valid;
  } cases[] = {{256, 64, TRUE}, {257, 8, FALSE}, {16, 1024, TRUE}, {2, 1025, FALSE}, {17, 1024, FALSE}};

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GStrv) labels = g_new0(char *, cases[i].labels + 1);

    for (guint j = 0; j < cases[i].labels; j++) {
      g_autofree char *rest = g_strnfill(cases[i].bytes - 4, 'x');

      labels[j] = g_strdup_printf("%04u%s", j, rest);
    }
    g_assert_cmpint(gem_bench_labels_are_valid(labels), ==, cases[i].valid);
  }
}

/* ---- routes ---- */

/* A reply of Route whose tokens take the pathways of `pathways`, by words. */
static GemBenchRoutes *
route(const char *pathways)
{
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("a(sttsa{sd})"));
  g_auto(GStrv) words = g_strsplit(pathways, " ", -1);
  g_autoptr(GVariant) reply = NULL;
  guint i;

  for (i = 0; words[i] != NULL; i++) {
    g_variant_builder_add(&builder, "(stts@a{sd})", "x", (guint64)i, (guint64)1, words[i],
                          g_variant_new_parsed("{'legal': 0.5}"));
  }
  reply = g_variant_ref_sink(g_variant_new("(a(sttsa{sd}))", &builder));
  return gem_bench_routes_new(reply);
}

static void
test_routes(void)
{
  g_autoptr(GemBenchRoutes) clear = route("legal general legal stem general general");
  g_autoptr(GemBenchRoutes) tied = route("legal stem general");
  g_autoptr(GemBenchRoutes) behind = route("legal stem finance finance finance stem");
  g_autoptr(GemBenchRoutes) none = route("general general");

  g_assert_cmpuint(clear->tokens, ==, 6);
  g_assert_cmpuint(clear->routed, ==, 3);
  g_assert_cmpuint(gem_bench_routes_count(clear, "legal"), ==, 2);
  g_assert_cmpuint(gem_bench_routes_count(clear, "finance"), ==, 0);
  g_assert_cmpstr(gem_bench_routes_get_most(clear), ==, "legal");
  g_assert_null(gem_bench_routes_get_most(tied));
  g_assert_cmpstr(gem_bench_routes_get_most(behind), ==, "finance");
  g_assert_null(gem_bench_routes_get_most(none));
}

/* ---- a task's result ---- */

static GemBenchLine *
make_line(const char *labels, gint target)
{
  GemBenchLine *line = g_new0(GemBenchLine, 1);

  line->input = g_strdup("text");
  line->labels = labels == NULL ? NULL : g_strsplit(labels, " ", -1);
  line->target = target;
  return line;
}

/* A task whose example i has `targets[i]` of `labels[i]` and is answered with `chosen[i]`. */
static GemBenchTask *
make_task(const char *const *labels, const gint *targets, const guint *chosen, guint n)
{
  GPtrArray *lines = g_ptr_array_new_with_free_func((GDestroyNotify)gem_bench_line_free);
  GemBenchTask *task;
  guint i;

  for (i = 0; i < n; i++) {
    g_ptr_array_add(lines, make_line(labels[i], targets[i]));
  }
  task = gem_bench_task_new("stem/a", lines);
  for (i = 0; i < n; i++) {
    GemBenchExample *example = &g_array_index(task->examples, GemBenchExample, i);

    if (example->fate == GEM_BENCH_USED) {
      example->choice = chosen[i];
    }
  }
  return task;
}

static void
test_result_same_labels(void)
{
  const char *labels[] = {"a b", "a b", "a b", "a b"};
  const gint targets[] = {0, 0, 0, 1};
  const guint chosen[] = {0, 0, 0, 1};
  g_autoptr(GemBenchTask) task = make_task(labels, targets, chosen, 4);
  GemBenchResult result;

  gem_bench_task_judge(task, &result);
  g_assert_true(result.same_labels);
  g_assert_cmpuint(result.fates[GEM_BENCH_USED], ==, 4);
  g_assert_cmpfloat(result.baseline, ==, 0.75);
  g_assert_cmpfloat(result.accuracy, ==, 1.0);
  g_assert_cmpfloat(result.macro_f1, ==, 1.0);
  g_assert_true(gem_bench_result_beats(&result, 0));
}

/* As good as the majority is not better. */
static void
test_result_majority(void)
{
  const char *labels[] = {"a b", "a b", "a b"};
  const gint targets[] = {1, 1, 0};
  const guint chosen[] = {1, 1, 1};
  g_autoptr(GemBenchTask) task = make_task(labels, targets, chosen, 3);
  GemBenchResult result;

  gem_bench_task_judge(task, &result);
  g_assert_cmpfloat(result.accuracy, ==, result.baseline);
  g_assert_false(gem_bench_result_beats(&result, 0));
  g_assert_cmpfloat_with_epsilon(result.macro_f1, 0.4, 1e-12); /* 0, and 2*2/(2*2+1) */
}

static void
test_result_other_labels(void)
{
  const char *labels[] = {"a b", "c d e f", "a b c d"};
  const gint targets[] = {0, 3, 1};
  const guint chosen[] = {0, 2, 1};
  g_autoptr(GemBenchTask) task = make_task(labels, targets, chosen, 3);
  GemBenchResult result;

  gem_bench_task_judge(task, &result);
  g_assert_false(result.same_labels);
  g_assert_cmpuint(result.fewest_labels, ==, 2);
  g_assert_cmpuint(result.most_labels, ==, 4);
  g_assert_cmpfloat_with_epsilon(result.baseline, (0.5 + 0.25 + 0.25) / 3, 1e-12);
  g_assert_cmpfloat_with_epsilon(result.accuracy, 2.0 / 3, 1e-12);
  g_assert_true(gem_bench_result_beats(&result, 0));
  g_assert_false(gem_bench_result_beats(&result, 2)); /* three examples prove nothing */
}

/* 100 examples of two labels, as many of each: 0.5 and twice 0.05. */
static void
test_result_clearly(void)
{
  static const struct {
    guint right;
    gboolean clearly;
  } cases[] = {{60, FALSE}, {61, TRUE}};
  const char *labels[100];
  gint targets[100];
  guint chosen[100];
  gsize i, j;

  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GemBenchTask) task = NULL;
    GemBenchResult result;

    for (j = 0; j < 100; j++) {
      labels[j] = "a b";
      targets[j] = j % 2 == 1;
      chosen[j] = (guint)targets[j] ^ (j >= cases[i].right);
    }
    task = make_task(labels, targets, chosen, 100);
    gem_bench_task_judge(task, &result);
    g_assert_cmpfloat(result.baseline, ==, 0.5);
    g_assert_cmpfloat_with_epsilon(result.accuracy, cases[i].right / 100.0, 1e-12);
    g_assert_true(gem_bench_result_beats(&result, 0));
    g_assert_cmpint(gem_bench_result_beats(&result, 2), ==, cases[i].clearly);
  }
}

static void
test_result_skipped(void)
{
  const char *labels[] = {"a b", "a b", "a a", "a b", NULL};
  const gint targets[] = {0, -1, 0, 1, -1};
  const guint chosen[] = {1, 0, 0, 0, 0};
  g_autoptr(GemBenchTask) task = make_task(labels, targets, chosen, 5);
  g_autoptr(GError) refusal = g_error_new_literal(GEM_ERROR, GEM_ERROR_CONTEXT_EXCEEDED, "too long");
  g_autofree char *skipped = NULL;
  GemBenchResult result;

  g_array_index(task->examples, GemBenchExample, 3).fate = gem_bench_fate_of_refusal(refusal);
  gem_bench_task_judge(task, &result);
  skipped = gem_bench_fates_describe_skipped(result.fates);
  g_assert_cmpuint(result.fates[GEM_BENCH_USED], ==, 1);
  g_assert_cmpstr(skipped, ==, "3 with unusable labels, 1 longer than the context");
  g_assert_cmpfloat(result.accuracy, ==, 0);
}

/* Nothing was judged: no figure, and nothing beaten. */
static void
test_result_empty(void)
{
  const char *labels[] = {"a"};
  const gint targets[] = {0};
  const guint chosen[] = {0};
  g_autoptr(GemBenchTask) task = make_task(labels, targets, chosen, 1);
  GemBenchResult result;

  gem_bench_task_judge(task, &result);
  g_assert_true(isnan(result.accuracy));
  g_assert_false(gem_bench_result_beats(&result, 0));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/data/tasks", test_tasks);
  g_test_add_func("/gem-bench/data/lines", test_lines);
  g_test_add_func("/gem-bench/data/bad-lines", test_bad_lines);
  g_test_add_func("/gem-bench/data/draw", test_draw);
  g_test_add_func("/gem-bench/data/documents", test_documents);
  g_test_add_func("/gem-bench/labels/choice", test_label_choice);
  g_test_add_func("/gem-bench/labels/validity", test_label_validity);
  g_test_add_func("/gem-bench/labels/validity-bounds", test_label_bounds);
  g_test_add_func("/gem-bench/routes", test_routes);
  g_test_add_func("/gem-bench/result/same-labels", test_result_same_labels);
  g_test_add_func("/gem-bench/result/majority", test_result_majority);
  g_test_add_func("/gem-bench/result/other-labels", test_result_other_labels);
  g_test_add_func("/gem-bench/result/clearly", test_result_clearly);
  g_test_add_func("/gem-bench/result/skipped", test_result_skipped);
  g_test_add_func("/gem-bench/result/empty", test_result_empty);
  return g_test_run();
}
