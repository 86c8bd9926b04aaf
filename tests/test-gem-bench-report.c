/* The report of a result: what stands in the page, what must not, and what it makes of results with holes. */
#include <math.h>
#include <string.h>

#include "bench/report/gem-report-charts.h"
#include "bench/report/gem-report-page.h"
#include "bench/report/gem-report-text.h"
#include "tests/gem-test-client.h"
#include "tests/gem-test-folder.h"

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static guint
count(const char *text, const char *part)
{
  guint n = 0;

  for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part)) {
    n++;
  }
  return n;
}

static char *
example_path(void)
{
  return g_build_filename(g_getenv("GEM_SOURCE_DIR"), "tests", "data", "edge-example.json", NULL);
}

static JsonObject *
read_example(void)
{
  g_autofree char *path = example_path();
  g_autoptr(GError) error = NULL;
  JsonObject *result = gem_report_result_read(path, &error);

  g_assert_no_error(error);
  return result;
}

/* A result of this text. */
static JsonObject *
read_text(const char *text)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *path = g_build_filename(folder, "result.json", NULL);
  g_autoptr(GError) error = NULL;
  JsonObject *result;

  gem_test_write_text(folder, "result.json", text);
  result = gem_report_result_read(path, &error);
  g_assert_no_error(error);
  gem_test_folder_remove(folder);
  return result;
}

/* The page but its script is also XML: what is opened is closed, and attributes have quotes. */
static void
check_markup(const char *page)
{
  static const GMarkupParser parser = {0};
  g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, NULL, NULL);
  g_autoptr(GString) text = g_string_new(page);
  g_autoptr(GError) error = NULL;
  const char *script = strstr(text->str, "<script>"), *end = strstr(text->str, "</script>");

  g_assert_nonnull(script);
  g_assert_nonnull(end);
  g_string_erase(text, script - text->str, end - script + (gssize)strlen("</script>"));
  g_markup_parse_context_parse(context, text->str, -1, &error);
  g_assert_no_error(error);
  g_markup_parse_context_end_parse(context, &error);
  g_assert_no_error(error);
}

/* Nothing is fetched from anywhere, and no figure is written that is none. */
static void
check_content(const char *page)
{
  static const char *const not_there[] = {"http:", "https:", "//",   "src=", "href=",   "url(",  "@import",
                                          ">nan",  "nan<",   "-nan", "inf<", "\"nan\"", "(null)"};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(not_there); i++) {
    g_test_message("%s", not_there[i]);
    g_assert_null(strstr(page, not_there[i]));
  }
}

/* ---- the example ---- */

static void
test_example(void)
{
  g_autoptr(JsonObject) result = read_example();
  g_autofree char *page = gem_report_page_new(result);
  JsonArray *tasks = gem_report_array(result, "tasks");
  guint i;

  check_markup(page);
  check_content(page);
  g_assert_cmpuint(gem_report_length(tasks), ==, 47);
  g_assert_cmpuint(count(page, "<svg class=\"strip\""), ==, 47);
  for (i = 0; i < gem_report_length(tasks); i++) {
    JsonObject *task = gem_report_element(tasks, i);
    GemReportScore f1 = gem_report_score(task, "f1");
    g_autofree char *name = g_strdup_printf("data-v=\"%s/%s\"", gem_report_string(task, "domain"),
                                            gem_report_string(task, "name"));
    g_autofree char *score = g_strdup_printf(">%.3f<small>\u00b1%.3f</small>", f1.value, f1.error);
    const char *row = strstr(page, name), *end;
    g_autofree char *whole = NULL;

    g_assert_nonnull(row);
    end = strstr(row, "</tr>");
    whole = g_strndup(row, (gsize)(end - row));
    g_assert_nonnull(strstr(whole, score));
  }
}

static void
test_example_figures(void)
{
  static const char *const there[] = {
      "EdgeBench: invented",
      "Every figure in this file is invented",
      "<b>0.308</b>",    /* overall F1 of 0.3076 */
      "<b>11 of 22</b>", /* tasks that beat the majority */
      "<b>0.263</b>",    /* the gap on the same tasks */
      "; with tasks drawn anew: median 0.26, 95 % from 0.20 to 0.30</span>",
      "; with tasks drawn anew: median 0.22, 95 % from \u22120.13 to 0.32</span>",
      "<b>18.8 MB</b>",
      "<b>90.0 ms</b><span>a query, median; 95 % within 410 ms</span>",
      "2,345,678", /* tokens */
      "dev, 100 lines of a task",
      "Invented CPU, 2 processors",
      "2026-01-01 00:00 UTC",
      "not measured: no /sys/class/powercap zone can be read",
      "healthcare through the pathway of multilingual: 1.10",
      "of the difference to the linear model. ",
      "prefers-color-scheme:dark",
      "name=\"viewport\"",
  };
  g_autoptr(JsonObject) result = read_example();
  g_autofree char *page = gem_report_page_new(result);
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(there); i++) {
    g_test_message("%s", there[i]);
    g_assert_nonnull(strstr(page, there[i]));
  }
}

static void
set_numbers(JsonObject *object, const char *name, double first, double second)
{
  JsonArray *list = json_array_new();

  json_array_add_double_element(list, first);
  json_array_add_double_element(list, second);
  json_object_set_array_member(object, name, list);
}

/* A result without intervals, as one whose domains have a task each, has cards that do not speak of them. */
static void
test_no_interval(void)
{
  g_autoptr(JsonObject) result = read_example();
  JsonObject *overall = gem_report_object(result, "overall");
  g_autofree char *page = NULL;

  json_object_set_null_member(overall, "gg_forced_interval");
  json_object_remove_member(overall, "gap_same_tasks_interval");
  page = gem_report_page_new(result);
  g_assert_nonnull(strstr(page, "same tasks</span>"));
  g_assert_null(strstr(page, "drawn anew"));
}

/* Columns on the specialist's scale, where there was one. */
static void
test_specialist(void)
{
  static const char columns[] = "specialist\u2019s scale</th>";
  g_autoptr(JsonObject) result = read_example();
  JsonObject *legal = gem_report_element(gem_report_array(result, "per_domain"), 1);
  JsonObject *transfer = gem_report_object(result, "transfer");
  g_autofree char *without = gem_report_page_new(result);
  g_autofree char *page = NULL;
  const char *row;

  g_assert_null(strstr(without, columns));
  json_object_set_string_member(gem_report_object(result, "run"), "specialist", "another");
  json_object_set_double_member(legal, "normalised", 0.625);
  set_numbers(transfer, "gg_normalised", 0.5, 0.125);
  set_numbers(transfer, "dsi_normalised", 1.5, 1.25);
  page = gem_report_page_new(result);
  check_markup(page);
  check_content(page);
  g_assert_nonnull(strstr(page, columns));
  row = strstr(page, "<tr><th scope=\"row\">legal</th>");
  g_assert_nonnull(row);
  row = strstr(row, ">0.625<");
  g_assert_nonnull(row);
  g_assert_true(g_str_has_prefix(row, ">0.625</td><td class=\"n\" data-v=\"0.125000\">0.125</td>"
                                      "<td class=\"n\" data-v=\"1.250000\">1.250</td>"));
}

static void
test_charts(void)
{
  g_autoptr(JsonObject) result = read_example();
  g_autofree char *density = gem_report_draw_density(result);
  g_autofree char *scatter = gem_report_draw_scatter(result);
  g_autofree char *specialisation = gem_report_draw_specialisation(result);
  g_autofree char *transfer = gem_report_draw_transfer(result);
  g_autofree char *latency = gem_report_draw_latency(result, FALSE);
  g_autofree char *memory = gem_report_draw_memory(result);

  g_assert_cmpuint(count(density, "<polygon"), ==, 2);
  g_assert_nonnull(strstr(density, "own pathway, mean 0.3"));
  /* a mark for each task, and one in the legend for each domain */
  g_assert_cmpuint(count(scatter, "class=\"symbol"), ==, 47 + 8);
  g_assert_cmpuint(count(specialisation, "class=\"symbol hollow"), ==, 8);
  g_assert_cmpuint(count(specialisation, "class=\"symbol"), ==, 8 + 8 + 8);
  g_assert_cmpuint(count(transfer, "fill-opacity"), ==, 64);
  g_assert_cmpuint(count(transfer, ">1.00<"), >=, 8);
  g_assert_cmpuint(count(latency, "<rect class=\"f0\""), ==, 8 + 1);
  g_assert_nonnull(strstr(memory, ">46<")); /* 45.7 MB */
}

/* ---- holes ---- */

static void
test_nothing(void)
{
  g_autoptr(JsonObject) result = read_text("{\"command\": \"edge\", \"format\": 1}");
  g_autofree char *page = gem_report_page_new(result);

  check_markup(page);
  check_content(page);
  g_assert_null(gem_report_draw_density(result));
  g_assert_null(gem_report_draw_scatter(result));
  g_assert_null(gem_report_draw_specialisation(result));
  g_assert_null(gem_report_draw_transfer(result));
  g_assert_null(gem_report_draw_latency(result, TRUE));
  g_assert_null(gem_report_draw_memory(result));
  g_assert_nonnull(strstr(page, "was run without --transfer"));
  g_assert_nonnull(strstr(page, "<b>Energy</b> was not measured"));
}

/* Members of other kinds, and a task of which only names are known. */
static void
test_other_kinds(void)
{
  g_autoptr(JsonObject) result = read_text(
      "{\"command\": \"edge\", \"format\": 1, \"run\": [], \"domains\": [1, \"legal\"], \"per_domain\": [3, "
      "{}],"
      "\"tasks\": [\"x\", {\"domain\": \"legal\", \"name\": \"a\", \"f1\": 2, \"transfer\": {\"in\": null}}],"
      "\"transfer\": {\"cdtr\": [1, [\"x\"]]}, \"overall\": {\"f1\": {\"value\": 0.5}}, \"energy\": {}}");
  g_autofree char *page = gem_report_page_new(result);

  check_markup(page);
  check_content(page);
  g_assert_nonnull(strstr(page, "data-v=\"legal/a\""));
  g_assert_nonnull(strstr(page, "<b>0.500</b>"));
}

/* Text of a result is text. */
static void
test_escapes(void)
{
  static const char evil[] = "</title><script>alert(1)</script>&'";
  g_autofree char *text = g_strdup_printf(
      "{\"command\": \"edge\", \"format\": 1, \"note\": \"%s\", \"run\": {\"model\": \"%s\", \"split\": "
      "\"%s\"}, "
      "\"domains\": [\"%s\", \"b\"], \"tasks\": [{\"domain\": \"%s\", \"name\": \"%s\", \"f1_is\": \"%s\", "
      "\"transfer\": {\"in\": 0.5, \"out\": 0.4}}], \"energy_absent\": \"%s\", "
      "\"per_domain\": [{\"domain\": \"%s\", \"gg_routed\": 0, \"dsi_routed\": 1}], "
      "\"transfer\": {\"cdtr\": [[1, 1], [1, 1]]}}",
      evil, evil, evil, evil, evil, evil, evil, evil, evil);
  g_autoptr(JsonObject) result = read_text(text);
  g_autofree char *page = gem_report_page_new(result);

  check_markup(page);
  g_assert_cmpuint(count(page, "<script>"), ==, 1);
  g_assert_null(strstr(page, "alert(1)</script>"));
  g_assert_cmpuint(count(page, "&lt;script&gt;alert(1)"), >, 10);
}

/* ---- figures in words ---- */

static void
test_formats(void)
{
  g_autofree char *count_text = gem_report_format_count(1234567);
  g_autofree char *small = gem_report_format_count(999);
  g_autofree char *below = gem_report_format(-0.25, 2);
  g_autofree char *zero = gem_report_format(-0.0001, 2);
  g_autofree char *none = gem_report_format(NAN, 2);
  g_autofree char *bytes = gem_report_format_bytes(18765432);
  g_autofree char *short_time = gem_report_format_seconds(0.0021);
  g_autofree char *long_time = gem_report_format_seconds(1234.5);
  g_autoptr(GString) cell = g_string_new(NULL);

  g_assert_cmpstr(count_text, ==, "1,234,567");
  g_assert_cmpstr(small, ==, "999");
  g_assert_cmpstr(below, ==, "\u22120.25");
  g_assert_cmpstr(zero, ==, "0.00");
  g_assert_cmpstr(none, ==, "\u2013");
  g_assert_cmpstr(bytes, ==, "18.8 MB");
  g_assert_cmpstr(short_time, ==, "2.10 ms");
  g_assert_cmpstr(long_time, ==, "21 min");
  gem_report_add_cell(cell, 0.5, 0.01);
  g_assert_cmpstr(cell->str, ==, "<td class=\"n\" data-v=\"0.500000\">0.500<small>\u00b10.010</small></td>");
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
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *example = example_path();
  g_autofree char *output = g_build_filename(folder, "out.html", NULL);
  g_autofree char *page = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(GemTestRun) to_file = {0};
  g_auto(GemTestRun) to_terminal = {0};

  bench(ARGUMENTS("report", example, "--output", output), &to_file);
  g_assert_cmpint(to_file.status, ==, 0);
  g_assert_cmpstr(to_file.out, ==, "");
  g_assert_true(g_file_get_contents(output, &page, NULL, &error));
  g_assert_no_error(error);
  g_assert_true(g_str_has_suffix(page, "</html>\n"));
  bench(ARGUMENTS("report", example), &to_terminal);
  g_assert_cmpint(to_terminal.status, ==, 0);
  g_assert_cmpstr(to_terminal.out, ==, page);
  gem_test_folder_remove(folder);
}

static void
test_command_refuses(void)
{
  static const struct {
    const char *text, *said;
  } cases[] = {
      {"{", "result.json: "},
      {"[]", "no result of gem-bench edge"},
      {"{\"command\": \"classify\"}", "no result of gem-bench edge"},
      {"{\"command\": \"edge\", \"format\": 2}", "\"format\" is not 1"},
  };
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *path = g_build_filename(folder, "result.json", NULL);
  g_autofree char *output = g_build_filename(folder, "out.html", NULL);
  g_auto(GemTestRun) nothing = {0};
  gsize i;

  bench(ARGUMENTS("report"), &nothing);
  g_assert_cmpint(nothing.status, ==, 2);
  for (i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    gem_test_write_text(folder, "result.json", cases[i].text);
    bench(ARGUMENTS("report", path, "--output", output), &run);
    g_assert_cmpint(run.status, !=, 0);
    g_assert_nonnull(strstr(run.err, cases[i].said));
    g_assert_false(g_file_test(output, G_FILE_TEST_EXISTS));
  }
  gem_test_folder_remove(folder);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/report/example", test_example);
  g_test_add_func("/gem-bench/report/example-figures", test_example_figures);
  g_test_add_func("/gem-bench/report/no-interval", test_no_interval);
  g_test_add_func("/gem-bench/report/specialist", test_specialist);
  g_test_add_func("/gem-bench/report/charts", test_charts);
  g_test_add_func("/gem-bench/report/nothing", test_nothing);
  g_test_add_func("/gem-bench/report/other-kinds", test_other_kinds);
  g_test_add_func("/gem-bench/report/escapes", test_escapes);
  g_test_add_func("/gem-bench/report/formats", test_formats);
  g_test_add_func("/gem-bench/report/command", test_command);
  g_test_add_func("/gem-bench/report/command-refuses", test_command_refuses);
  return g_test_run();
}
