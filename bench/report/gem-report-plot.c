#include "bench/report/gem-report-plot.h"

#include <math.h>

#define TOP         10.0
#define RIGHT       12.0
#define LEFT        48.0
#define LEFT_BARE   16.0 /* without ticks */
#define PLOT_HEIGHT 240.0
#define AXIS_ROOM   44.0 /* below: ticks and the axis' name */
#define LEGEND_ROW  20.0

GemReportRange
gem_report_range_round(double low, double high)
{
  double power = pow(10, floor(log10((high - low) / 4))), digit = (high - low) / 4 / power;
  double step = power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);

  return (GemReportRange){floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, step};
}

static double
place(double value, const GemReportRange *range, double from, double to)
{
  return from + (value - range->low) / (range->high - range->low) * (to - from);
}

double
gem_report_plot_x(const GemReportPlot *plot, double value)
{
  return place(value, &plot->x, plot->left, plot->right);
}

double
gem_report_plot_y(const GemReportPlot *plot, double value)
{
  return place(value, &plot->y, plot->bottom, plot->top);
}

static char *
format_tick(double value, double step)
{
  int digits = (int)fmax(0, ceil(-log10(step) - 1e-9));

  /* U+2212, not a hyphen; and no 0 below 0 */
  return g_strdup_printf("%s%.*f", value < -step / 2 ? "\u2212" : "", digits, fabs(value));
}

static guint
count_ticks(const GemReportRange *range)
{
  return (guint)lround((range->high - range->low) / range->step) + 1;
}

static void
draw_x_axis(const GemReportPlot *plot, const char *name)
{
  guint i;

  for (i = 0; i < count_ticks(&plot->x); i++) {
    double tick = plot->x.low + i * plot->x.step, x = gem_report_plot_x(plot, tick);
    g_autofree char *text = format_tick(tick, plot->x.step);

    gem_bench_svg_grid(plot->svg, x, plot->top, x, plot->bottom);
    gem_bench_svg_text(plot->svg, x, plot->bottom + 17, GEM_BENCH_SVG_MIDDLE, text);
  }
  gem_bench_svg_text(plot->svg, (plot->left + plot->right) / 2, plot->bottom + 36, GEM_BENCH_SVG_MIDDLE,
                     name);
}

static void
draw_y_axis(const GemReportPlot *plot, const char *name)
{
  guint i;

  for (i = 0; i < count_ticks(&plot->y); i++) {
    double tick = plot->y.low + i * plot->y.step, y = gem_report_plot_y(plot, tick);
    g_autofree char *text = format_tick(tick, plot->y.step);

    gem_bench_svg_grid(plot->svg, plot->left, y, plot->right, y);
    gem_bench_svg_text(plot->svg, plot->left - 6, y + 4, GEM_BENCH_SVG_RIGHT, text);
  }
  gem_bench_svg_upright_text(plot->svg, 12, (plot->top + plot->bottom) / 2, name);
}

GemReportPlot
gem_report_plot_begin(const char *title,
                      GemReportRange x,
                      GemReportRange y,
                      const char *x_name,
                      const char *y_name,
                      guint legend_rows)
{
  GemReportPlot plot = {
      .x = x,
      .y = y,
      .left = y_name == NULL ? LEFT_BARE : LEFT,
      .right = GEM_REPORT_WIDTH - RIGHT,
      .top = TOP,
      .bottom = TOP + PLOT_HEIGHT,
  };
  guint height = (guint)(plot.bottom + AXIS_ROOM + legend_rows * LEGEND_ROW);

  plot.svg = gem_bench_svg_new_inline(GEM_REPORT_WIDTH, height, title);
  draw_x_axis(&plot, x_name);
  if (y_name != NULL) {
    draw_y_axis(&plot, y_name);
  } else {
    gem_bench_svg_grid(plot.svg, plot.left, plot.bottom, plot.right, plot.bottom);
  }
  return plot;
}

char *
gem_report_plot_end(GemReportPlot *plot)
{
  char *text = gem_bench_svg_finish(plot->svg);

  g_clear_pointer(&plot->svg, gem_bench_svg_free);
  return text;
}

void
gem_report_plot_legend(const GemReportPlot *plot, guint i, guint columns, double *ret_x, double *ret_y)
{
  guint row = i / columns, column = i % columns;

  *ret_x = LEFT_BARE + column * (GEM_REPORT_WIDTH - LEFT_BARE) / columns;
  *ret_y = plot->bottom + AXIS_ROOM + row * LEGEND_ROW + 14;
}
