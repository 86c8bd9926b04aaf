/* Charts: what stands in the drawing, and what is left out of it. */
#include <math.h>
#include <string.h>

#include <gio/gio.h>

#include "bench/gem-bench-chart.h"
#include "tests/gem-test-folder.h"

static guint
count(const char *text, const char *part)
{
  guint n = 0;

  for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part)) {
    n++;
  }
  return n;
}

/* The drawing as text. */
static char *
draw(const GemBenchChart *chart)
{
  g_autofree char *folder = gem_test_folder_new();
  g_autofree char *path = g_build_filename(folder, "chart.svg", NULL);
  g_autoptr(GError) error = NULL;
  char *text = NULL;

  g_assert_true(gem_bench_chart_write(chart, path, &error));
  g_assert_no_error(error);
  g_file_get_contents(path, &text, NULL, &error);
  g_assert_no_error(error);
  gem_test_folder_remove(folder);
  return text;
}

/* Elements that are opened are closed: GLib's parser takes it. */
static void
check_markup(const char *text)
{
  static const GMarkupParser parser = {0};
  g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, NULL, NULL);
  g_autoptr(GError) error = NULL;

  g_markup_parse_context_parse(context, text, -1, &error);
  g_assert_no_error(error);
  g_markup_parse_context_end_parse(context, &error);
  g_assert_no_error(error);
}

static void
test_bars(void)
{
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_bars("a <model> & more", "us");
  g_autofree char *text = NULL;

  gem_bench_chart_add_series(chart, "in");
  gem_bench_chart_add_bar(chart, "legal", 400, 300, 500);
  gem_bench_chart_add_bar(chart, "\"stem\"", NAN, NAN, NAN);
  gem_bench_chart_add_series(chart, "out");
  gem_bench_chart_add_bar(chart, "legal", 2.5, 2.5, 2.5);
  gem_bench_chart_add_bar(chart, "\"stem\"", 100, 90, 110);
  text = draw(chart);
  check_markup(text);
  g_assert_nonnull(strstr(text, "<title>a &lt;model&gt; &amp; more</title>"));
  g_assert_nonnull(strstr(text, ">&quot;stem&quot;</text>"));
  /* Legend and bars; the bar that is no number is not drawn, nor the mark of one without spread. */
  g_assert_cmpuint(count(text, "<rect class=\"f0\""), ==, 2);
  g_assert_cmpuint(count(text, "<rect class=\"f1\""), ==, 3);
  g_assert_cmpuint(count(text, "<line class=\"mark\""), ==, 2);
  /* From 0 at x = 150 to 500 at x = 670. */
  g_assert_nonnull(
      strstr(text, "<rect class=\"f0\" x=\"150.0\" y=\"72.0\" width=\"416.0\" height=\"12.0\"/>"));
  g_assert_nonnull(strstr(text, ">400</text>"));
  g_assert_nonnull(strstr(text, ">2.50</text>"));
  g_assert_nonnull(strstr(text, "prefers-color-scheme:dark"));
}

/* An axis ends with the first round step that no bar goes over. */
static void
test_axis(void)
{
  static const struct {
    double value;
    const char *last, *next;
  } cases[] = {
      {1228, ">1500<", ">2000<"}, {53, ">60<", ">70<"}, {0.3, ">0.3<", ">0.35<"}, {500, ">500<", ">600<"}};

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GemBenchChart) chart = gem_bench_chart_new_bars("bars", "ms");
    g_autofree char *text = NULL;

    gem_bench_chart_add_series(chart, "one");
    gem_bench_chart_add_bar(chart, "a", cases[i].value, NAN, NAN);
    text = draw(chart);
    g_assert_nonnull(strstr(text, cases[i].last));
    g_assert_null(strstr(text, cases[i].next));
    g_assert_cmpuint(count(text, "<line class=\"grid\""), >=, 4);
    g_assert_cmpuint(count(text, "<line class=\"grid\""), <=, 7);
  }
}

static void
test_lines(void)
{
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_lines("lines", "tokens", "ms", TRUE);
  g_autofree char *text = NULL;

  gem_bench_chart_add_series(chart, "dense");
  gem_bench_chart_add_point(chart, 128, 10);
  gem_bench_chart_add_point(chart, 256, 0); /* has no logarithm */
  gem_bench_chart_add_point(chart, 512, 1000);
  gem_bench_chart_add_series(chart, "sparse");
  gem_bench_chart_add_point(chart, 128, NAN);
  gem_bench_chart_add_point(chart, 256, 100);
  text = draw(chart);
  check_markup(text);
  g_assert_cmpuint(count(text, "<circle class=\"f0\""), ==, 2);
  g_assert_cmpuint(count(text, "<circle class=\"f1\""), ==, 1);
  /* 128 to 512 from x = 84 to 736, 10 to 1000 from y = 372 to 72, both logarithmic. */
  g_assert_nonnull(strstr(text, "<polyline class=\"l0\" points=\"84.0,372.0 736.0,72.0\"/>"));
  g_assert_nonnull(strstr(text, "<polyline class=\"l1\" points=\"410.0,222.0\"/>"));
}

static char *
describe_twice(double number)
{
  return g_strdup_printf("%g and %g", number, number);
}

/* Numbers are written as the caller says, and only where there is room for them. */
static void
test_line_numbers(void)
{
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_lines("lines", "tokens", "ms", TRUE);
  g_autofree char *text = NULL;
  guint i;

  gem_bench_chart_set_describe(chart, describe_twice);
  gem_bench_chart_add_series(chart, "one");
  for (i = 0; i <= 16; i++) {
    gem_bench_chart_add_point(chart, 1 << i, 1 + i);
  }
  text = draw(chart);
  check_markup(text);
  g_assert_nonnull(strstr(text, ">1 and 1</text>"));
  g_assert_null(strstr(text, ">2 and 2</text>"));
  g_assert_nonnull(strstr(text, ">4 and 4</text>"));
  /* Every number has its line, the axis of 1 to 100 one for 1, 2 and 5 of each decade. */
  g_assert_cmpuint(count(text, "<line class=\"grid\""), ==, 17 + 7);
  g_assert_nonnull(strstr(text, ">50</text>"));
}

/* Nothing to draw is no reason to fail, and one point is in range. */
static void
test_empty(void)
{
  g_autoptr(GemBenchChart) bars = gem_bench_chart_new_bars("bars", "us");
  g_autoptr(GemBenchChart) lines = gem_bench_chart_new_lines("lines", "n", "us", TRUE);
  g_autofree char *none = NULL;
  g_autofree char *no_lines = NULL;
  g_autofree char *one = NULL;

  gem_bench_chart_add_series(bars, "none");
  none = draw(bars);
  check_markup(none);
  gem_bench_chart_add_series(lines, "one");
  no_lines = draw(lines);
  check_markup(no_lines);
  gem_bench_chart_add_point(lines, 16, 10);
  one = draw(lines);
  check_markup(one);
  g_assert_null(strstr(one, "nan"));
  g_assert_null(strstr(one, "inf"));
}

static void
test_no_file(void)
{
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_bars("bars", "us");
  g_autoptr(GError) error = NULL;

  g_assert_false(gem_bench_chart_write(chart, "/nonexistent/chart.svg", &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_nonnull(strstr(error->message, "/nonexistent/chart.svg"));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/gem-bench/chart/bars", test_bars);
  g_test_add_func("/gem-bench/chart/axis", test_axis);
  g_test_add_func("/gem-bench/chart/lines", test_lines);
  g_test_add_func("/gem-bench/chart/line-numbers", test_line_numbers);
  g_test_add_func("/gem-bench/chart/empty", test_empty);
  g_test_add_func("/gem-bench/chart/no-file", test_no_file);
  return g_test_run();
}
