#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report/gem-report-charts.h"
#include "bench/report/gem-report-plot.h"

/* Points of a curve from 0 to 1. */
#define POINTS 101u

/* F1 of the tasks that have it: `name` of their "transfer". Doubles. */
static GArray *
collect(JsonObject *result, const char *name)
{
  JsonArray *tasks = gem_report_array(result, "tasks");
  GArray *values = g_array_new(FALSE, FALSE, sizeof(double));
  guint i;

  for (i = 0; i < gem_report_length(tasks); i++) {
    double value = gem_report_number(gem_report_object(gem_report_element(tasks, i), "transfer"), name);

    if (isfinite(value)) {
      g_array_append_val(values, value);
    }
  }
  return values;
}

static double
mean(const GArray *values)
{
  double sum = 0;
  guint i;

  for (i = 0; i < values->len; i++) {
    sum += g_array_index(values, double, i);
  }
  return sum / values->len;
}

/* Silverman's width, at least 0.02. */
static double
choose_width(const GArray *values)
{
  double centre = mean(values), squares = 0;
  guint i;

  for (i = 0; i < values->len; i++) {
    squares += pow(g_array_index(values, double, i) - centre, 2);
  }
  return fmax(0.02, 1.06 * sqrt(squares / MAX(1, values->len - 1)) * pow(values->len, -0.2));
}

/* The density at x of normal kernels, what falls out of 0 to 1 turned back at the border. */
static double
density(const GArray *values, double width, double x)
{
  double sum = 0;
  guint i;

  for (i = 0; i < values->len; i++) {
    double value = g_array_index(values, double, i);

    sum += exp(-0.5 * pow((x - value) / width, 2)) + exp(-0.5 * pow((x + value) / width, 2)) +
           exp(-0.5 * pow((x - 2 + value) / width, 2));
  }
  return sum / (values->len * width * sqrt(2 * G_PI));
}

static double
find_curve(const GArray *values, double curve[POINTS])
{
  double width = choose_width(values), most = 0;
  guint i;

  for (i = 0; i < POINTS; i++) {
    curve[i] = density(values, width, i / (POINTS - 1.0));
    most = fmax(most, curve[i]);
  }
  return most;
}

/* The curve with what is below it, a dash for each value, the mean, and the legend's entry. */
static void
draw_curve(const GemReportPlot *plot,
           const GArray *values,
           const double curve[POINTS],
           guint series,
           const char *name)
{
  double x[POINTS + 2], y[POINTS + 2], at = gem_report_plot_x(plot, mean(values)), legend_x, legend_y;
  g_autofree char *legend = g_strdup_printf("%s, mean %.3f", name, mean(values));
  guint i;

  for (i = 0; i < POINTS; i++) {
    x[i] = gem_report_plot_x(plot, i / (POINTS - 1.0));
    y[i] = gem_report_plot_y(plot, curve[i]);
  }
  x[POINTS] = x[POINTS - 1];
  x[POINTS + 1] = x[0];
  y[POINTS] = y[POINTS + 1] = plot->bottom;
  gem_bench_svg_area(plot->svg, series, x, y, POINTS + 2);
  (series == 0 ? gem_bench_svg_line : gem_bench_svg_dashes)(plot->svg, series, x, y, POINTS);
  for (i = 0; i < values->len; i++) {
    double rug = gem_report_plot_x(plot, g_array_index(values, double, i)),
           low = plot->bottom - 1 - 9.0 * series;

    gem_bench_svg_line(plot->svg, series, (double[]){rug, rug}, (double[]){low, low - 7}, 2);
  }
  (series == 0 ? gem_bench_svg_line : gem_bench_svg_dashes)(plot->svg, series, (double[]){at, at},
                                                            (double[]){plot->top, plot->bottom}, 2);
  gem_report_plot_legend(plot, series, 1, &legend_x, &legend_y);
  (series == 0 ? gem_bench_svg_line : gem_bench_svg_dashes)(
      plot->svg, series, (double[]){legend_x, legend_x + 26}, (double[]){legend_y - 4, legend_y - 4}, 2);
  gem_bench_svg_text(plot->svg, legend_x + 34, legend_y, GEM_BENCH_SVG_LEFT, legend);
}

char *
gem_report_draw_density(JsonObject *result)
{
  g_autoptr(GArray) in = collect(result, "in");
  g_autoptr(GArray) out = collect(result, "out");
  double in_curve[POINTS], out_curve[POINTS], most;
  GemReportPlot plot;

  if (in->len < 2 || out->len < 2) {
    return NULL;
  }
  most = fmax(find_curve(in, in_curve), find_curve(out, out_curve));
  plot = gem_report_plot_begin("Density of F1 in and out of domain", (GemReportRange){0, 1, 0.2},
                               (GemReportRange){0, 1.08 * most, most}, "F1 of a task", NULL, 2);
  draw_curve(&plot, out, out_curve, 1, "through the other domains' pathways");
  draw_curve(&plot, in, in_curve, 0, "through the domain's own pathway");
  return gem_report_plot_end(&plot);
}
