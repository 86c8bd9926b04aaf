/* Charts of measured figures: bars for things that have names, lines for figures that grow with a number. */
#pragma once

#include <glib.h>

typedef struct _GemBenchChart GemBenchChart;

/* Horizontal bars, a group for each label and a bar for each series in it. */
GemBenchChart *
gem_bench_chart_new_bars(const char *title, const char *unit);
/* Lines over numbers above 0, whose axis is logarithmic; with `logarithmic` so is the one of the values. */
GemBenchChart *
gem_bench_chart_new_lines(const char *title, const char *x_label, const char *unit, gboolean logarithmic);
/* How the numbers that lines go over are written, in place of plain numbers; transfer full. */
void
gem_bench_chart_set_describe(GemBenchChart *self, char *(*describe)(double number));
void
gem_bench_chart_free(GemBenchChart *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchChart, gem_bench_chart_free)

/* A series with a name for the legend; what is added next belongs to it. */
void
gem_bench_chart_add_series(GemBenchChart *self, const char *name);

/* A bar from 0 to `value`, with a mark from `low` to `high`. The label of the n-th bar is the same in all
 * series. A value that is no number is left out. */
void
gem_bench_chart_add_bar(GemBenchChart *self, const char *label, double value, double low, double high);
/* The bar of an array of doubles: to their median, with a mark from the least to the most. Of an empty one
 * there is none. */
void
gem_bench_chart_add_spread(GemBenchChart *self, const char *label, const GArray *values);
/* A point of a line. One that is no number, or not above 0 where an axis is logarithmic, is left out. */
void
gem_bench_chart_add_point(GemBenchChart *self, double x, double value);

/* Draws bars as gem_bench_svg_new_inline does, narrow enough to be read on a telephone. Transfer full. */
char *
gem_bench_chart_draw_inline(const GemBenchChart *self);
/* Draws it into the file `path` as SVG. Errors: G_FILE_ERROR. */
gboolean
gem_bench_chart_write(const GemBenchChart *self, const char *path, GError **error);
