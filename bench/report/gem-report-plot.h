/* A plot with two axes, 400 pixels wide, and its legend. */
#pragma once

#include "bench/gem-bench-svg.h"

#define GEM_REPORT_WIDTH 400u

/* The range of an axis; ticks stand at whole multiples of `step`. */
typedef struct {
  double low, high, step;
} GemReportRange;

typedef struct {
  GemBenchSvg *svg;
  GemReportRange x, y;
  double left, right, top, bottom; /* of the plot, in pixels */
} GemReportPlot;

/* From `low` to `high`, widened to whole steps of 1, 2 or 5 times a power of ten, about five of them. */
GemReportRange
gem_report_range_round(double low, double high);

/* Begins a drawing with grid, ticks and names of axes; below it is room for `legend_rows` lines of a legend.
 * Without `y_name` there are no ticks on the left. */
GemReportPlot
gem_report_plot_begin(const char *title,
                      GemReportRange x,
                      GemReportRange y,
                      const char *x_name,
                      const char *y_name,
                      guint legend_rows);
/* Ends it. Transfer full. */
char *
gem_report_plot_end(GemReportPlot *plot);

double
gem_report_plot_x(const GemReportPlot *plot, double value);
double
gem_report_plot_y(const GemReportPlot *plot, double value);

/* Pixels, left end and base line, of entry `i` of a legend with `columns` in a row. */
void
gem_report_plot_legend(const GemReportPlot *plot, guint i, guint columns, double *ret_x, double *ret_y);
