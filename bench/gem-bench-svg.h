/* Drawings as SVG text: shapes in pixels from the upper left corner, in colours that follow the reader's
 * light or dark mode. */
#pragma once

#include <glib.h>

/* Colours of series; further ones begin again. */
#define GEM_BENCH_SVG_COLOURS 8u

typedef enum { GEM_BENCH_SVG_LEFT, GEM_BENCH_SVG_MIDDLE, GEM_BENCH_SVG_RIGHT } GemBenchSvgAnchor;

typedef struct _GemBenchSvg GemBenchSvg;

/* An empty ground of that size with a title, which stands on it and is told to screen readers. */
GemBenchSvg *
gem_bench_svg_new(guint width, guint height, const char *title);
/* The same, to stand in a page: without style, which the page has once (gem_bench_svg_get_style), without
 * ground and without the title on it; its width is what the page gives it. */
GemBenchSvg *
gem_bench_svg_new_inline(guint width, guint height, const char *title);
/* CSS of drawings, for light and dark. */
const char *
gem_bench_svg_get_style(void);
void
gem_bench_svg_free(GemBenchSvg *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchSvg, gem_bench_svg_free)

/* `text` may hold any characters; x is its left end, middle or right end, y its base line. */
void
gem_bench_svg_text(GemBenchSvg *self, double x, double y, GemBenchSvgAnchor anchor, const char *text);
/* The same, from bottom to top. */
void
gem_bench_svg_upright_text(GemBenchSvg *self, double x, double y, const char *text);
/* The same, rising to the right. */
void
gem_bench_svg_rising_text(GemBenchSvg *self, double x, double y, const char *text);
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
/* The same with dashes. */
void
gem_bench_svg_dashes(GemBenchSvg *self, guint colour, const double *x, const double *y, guint n);
/* What lies within the points, so thin that the grid is seen through it. */
void
gem_bench_svg_area(GemBenchSvg *self, guint colour, const double *x, const double *y, guint n);
/* A mark of one of GEM_BENCH_SVG_COLOURS shapes, for who does not tell colours apart; `hollow` ones are lines
 * only. `note` (NULL: none) is told when it is pointed at. */
void
gem_bench_svg_symbol(GemBenchSvg *self, guint shape, gboolean hollow, double x, double y, const char *note);
/* A box as part of a table of colours, `strength` 0 to 1, with its figure in it. */
void
gem_bench_svg_cell(GemBenchSvg *self,
                   guint colour,
                   double strength,
                   const double box[4],
                   const char *text,
                   const char *note);

/* The finished drawing. Transfer full. */
char *
gem_bench_svg_finish(const GemBenchSvg *self);
/* Writes the finished drawing. Errors: G_FILE_ERROR. */
gboolean
gem_bench_svg_write(const GemBenchSvg *self, const char *path, GError **error);
