#include <math.h>

#include "bench/gem-bench-chart.h"
#include "bench/gem-bench-statistics.h"
#include "bench/report/gem-report-charts.h"
#include "bench/report/gem-report-plot.h"

/* ---- the matrix of transfer ---- */

#define LABELS  98.0 /* pixels left of the cells */
#define SLANTED 92.0 /* above them */
#define CELL    34.0
/* The ratio whose distance from 1 has the full colour. */
#define FULL 0.6
/* The strongest colour that the figure is well read on. */
#define STRONGEST 0.62

static void
draw_ratio(GemBenchSvg *svg, const char *from, const char *to, double ratio, double x, double y)
{
  g_autofree char *text = isfinite(ratio) ? g_strdup_printf("%.2f", ratio) : g_strdup("\u2013");
  g_autofree char *note = g_strdup_printf("%s through the pathway of %s: %s", to, from, text);
  double strength = isfinite(ratio) ? fmin(fabs(ratio - 1) / FULL, 1) * STRONGEST : 0;

  gem_bench_svg_cell(svg, ratio > 1 ? 0 : 1, strength, (double[]){x + 1, y + 1, CELL - 2, CELL - 4}, text,
                     note);
}

char *
gem_report_draw_transfer(JsonObject *result)
{
  JsonArray *domains = gem_report_array(result, "domains");
  JsonArray *rows = gem_report_array(gem_report_object(result, "transfer"), "cdtr");
  guint n = gem_report_length(domains), i, j;
  g_autoptr(GemBenchSvg) svg = NULL;

  if (gem_report_length(rows) == 0 || n == 0) {
    return NULL;
  }
  svg = gem_bench_svg_new_inline((guint)(LABELS + n * CELL + 30), (guint)(SLANTED + n * (CELL - 2) + 8),
                                 "CDTR: what is left of a domain's F1 in the others");
  for (i = 0; i < n; i++) {
    const char *from = gem_report_element_name(domains, i);
    double y = SLANTED + i * (CELL - 2);

    gem_bench_svg_text(svg, LABELS - 6, y + CELL / 2 + 2, GEM_BENCH_SVG_RIGHT, from);
    gem_bench_svg_rising_text(svg, LABELS + (i + 0.5) * CELL + 4, SLANTED - 6, from);
    for (j = 0; j < n; j++) {
      const char *to = gem_report_element_name(domains, j);

      draw_ratio(svg, from, to, gem_report_element_number(gem_report_element_array(rows, i), j),
                 LABELS + j * CELL, y);
    }
  }
  return gem_bench_svg_finish(svg);
}

/* ---- latency and memory ---- */

/* The median over a domain's tasks of their latency's `name`, in milliseconds; NAN when none has it. */
static double
find_median(JsonObject *result, const char *domain, const char *name)
{
  JsonArray *tasks = gem_report_array(result, "tasks");
  g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(double));
  guint i;

  for (i = 0; i < gem_report_length(tasks); i++) {
    JsonObject *task = gem_report_element(tasks, i);
    double value = 1e3 * gem_report_number(gem_report_object(task, "latency"), name);

    if (g_strcmp0(gem_report_string(task, "domain"), domain) == 0 && isfinite(value)) {
      g_array_append_val(values, value);
    }
  }
  return gem_bench_median((const double *)(const void *)values->data, values->len);
}

char *
gem_report_draw_latency(JsonObject *result, gboolean token)
{
  static const char *const names[2][2] = {{"query_p50", "query_p95"}, {"token_p50", "token_p95"}};
  static const char *const series[2] = {"half are within", "19 of 20 are within"};
  JsonArray *domains = gem_report_array(result, "domains");
  g_autoptr(GemBenchChart) chart =
      gem_bench_chart_new_bars(token ? "Time of a generated token" : "Time of a query", "milliseconds");
  guint i, j, n = 0;

  for (j = 0; j < 2; j++) {
    gem_bench_chart_add_series(chart, series[j]);
    for (i = 0; i < gem_report_length(domains); i++) {
      const char *domain = gem_report_element_name(domains, i);
      double value = find_median(result, domain, names[token][j]);

      n += isfinite(value);
      gem_bench_chart_add_bar(chart, domain, value, value, value);
    }
  }
  return n == 0 ? NULL : gem_bench_chart_draw_inline(chart);
}

char *
gem_report_draw_memory(JsonObject *result)
{
  static const struct {
    const char *name, *label;
  } bars[] = {{"resident_active", "model, median"},
              {"resident_peak", "model, most"},
              {"process_peak", "process, most"}};
  JsonObject *memory = gem_report_object(result, "memory");
  g_autoptr(GemBenchChart) chart = gem_bench_chart_new_bars("Memory", "megabytes");
  guint n = 0;
  gsize i;

  gem_bench_chart_add_series(chart, "memory");
  for (i = 0; i < G_N_ELEMENTS(bars); i++) {
    double value = gem_report_number(memory, bars[i].name) / 1e6;

    n += isfinite(value);
    gem_bench_chart_add_bar(chart, bars[i].label, value, value, value);
  }
  return n == 0 ? NULL : gem_bench_chart_draw_inline(chart);
}
