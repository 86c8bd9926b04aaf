/* Drawings as SVG text: shapes in pixels from the upper left corner, in colours that follow the reader's
 * light or dark mode. */
#pragma once

#include <glib.h>

/* Colours of series; further ones begin again. */
#define GEM_BENCH_SVG_COLOURS 6u

typedef enum { GEM_BENCH_SVG_LEFT, GEM_BENCH_SVG_MIDDLE, GEM_BENCH_SVG_RIGHT } GemBenchSvgAnchor;

typedef struct _GemBenchSvg GemBenchSvg;

/* An empty ground of that size with a title, which stands on it and is told to screen readers. */
GemBenchSvg *
gem_bench_svg_new(guint width, guint height, const char *title);
void
gem_bench_svg_free(GemBenchSvg *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchSvg, gem_bench_svg_free)

/* `text` may hold any characters; x is its left end, middle or right end, y its base line. */
void
gem_bench_svg_text(GemBenchSvg *self, double x, double y, GemBenchSvgAnchor anchor, const char *text);
/* The same, from bottom to top. */
void
gem_bench_svg_upright_text(GemBenchSvg *self, double x, double y, const char *text);
/* A thin line of the grid. */
void
gem_bench_svg_grid(GemBenchSvg *self, double x1, double y1, double x2, double y2);
/* A line that stands out from what it lies on. */
void
gem_bench_svg_mark(GemBenchSvg *self, double x1, double y1, double x2, double y2);
void
gem_bench_svg_box(GemBenchSvg *self, guint colour, double x, double y, double width, double height);
void
gem_bench_svg_dot(GemBenchSvg *self, guint colour, double x, double y);
/* Straight lines from point to point: x, y [n]. */
void
gem_bench_svg_line(GemBenchSvg *self, guint colour, const double *x, const double *y, guint n);

/* Writes the finished drawing. Errors: G_FILE_ERROR. */
gboolean
gem_bench_svg_write(GemBenchSvg *self, const char *path, GError **error);
