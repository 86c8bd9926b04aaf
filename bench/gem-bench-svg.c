#include "bench/gem-bench-svg.h"

#include "bench/gem-bench-file.h"

struct _GemBenchSvg {
  GString *text;
};

/* One rule for light, one for dark: ground, text, grid, mark, then the series. */
static const char style[] =
    "svg text{font:13px sans-serif;fill:#24292f}svg .title{font-size:15px;font-weight:bold}\n"
    ".ground{fill:#fff}.grid{stroke:#d0d7de}.mark{stroke:#24292f;stroke-width:1.5}\n"
    "polyline{fill:none;stroke-width:2}.dashes{stroke-dasharray:6 4}polygon.area{opacity:.22}\n"
    ".symbol{stroke-width:2}.symbol.hollow{fill:none;stroke-width:1.5}\n"
    ".f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}.f4{fill:#9a6700}.f5{fill:#57606a}"
    ".f6{fill:#bf3989}.f7{fill:#0a7d8c}\n"
    ".l0{stroke:#0969da}.l1{stroke:#bc4c00}.l2{stroke:#1a7f37}.l3{stroke:#8250df}.l4{stroke:#9a6700}"
    ".l5{stroke:#57606a}.l6{stroke:#bf3989}.l7{stroke:#0a7d8c}\n"
    "@media (prefers-color-scheme:dark){\n"
    "svg text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#30363d}.mark{stroke:#e6edf3}\n"
    ".f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#56d364}.f3{fill:#bc8cff}.f4{fill:#e3b341}.f5{fill:#8b949e}"
    ".f6{fill:#ff80c8}.f7{fill:#39c5cf}\n"
    ".l0{stroke:#58a6ff}.l1{stroke:#f0883e}.l2{stroke:#56d364}.l3{stroke:#bc8cff}.l4{stroke:#e3b341}"
    ".l5{stroke:#8b949e}.l6{stroke:#ff80c8}.l7{stroke:#39c5cf}\n"
    "}\n";

GemBenchSvg *
gem_bench_svg_new(guint width, guint height, const char *title)
{
  GemBenchSvg *self = g_new0(GemBenchSvg, 1);
  g_autofree char *escaped = g_markup_escape_text(title, -1);

  self->text = g_string_new(NULL);
  g_string_append_printf(self->text,
                         "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %u %u\" width=\"%u\" "
                         "height=\"%u\" role=\"img\">\n<title>%s</title>\n",
                         width, height, width, height, escaped);
  g_string_append_printf(self->text, "<style>\n%s</style>\n", style);
  g_string_append_printf(self->text, "<rect class=\"ground\" width=\"%u\" height=\"%u\"/>\n", width, height);
  g_string_append_printf(self->text, "<text class=\"title\" x=\"16\" y=\"26\">%s</text>\n", escaped);
  return self;
}

GemBenchSvg *
gem_bench_svg_new_inline(guint width, guint height, const char *title)
{
  GemBenchSvg *self = g_new0(GemBenchSvg, 1);
  g_autofree char *escaped = g_markup_escape_text(title, -1);

  self->text = g_string_new(NULL);
  g_string_append_printf(self->text, "<svg viewBox=\"0 0 %u %u\" role=\"img\" aria-label=\"%s\">\n", width,
                         height, escaped);
  return self;
}

const char *
gem_bench_svg_get_style(void)
{
  return style;
}

void
gem_bench_svg_free(GemBenchSvg *self)
{
  g_string_free(self->text, TRUE);
  g_free(self);
}

void
gem_bench_svg_text(GemBenchSvg *self, double x, double y, GemBenchSvgAnchor anchor, const char *text)
{
  static const char *const anchors[] = {
      [GEM_BENCH_SVG_LEFT] = "start", [GEM_BENCH_SVG_MIDDLE] = "middle", [GEM_BENCH_SVG_RIGHT] = "end"};
  g_autofree char *escaped = g_markup_escape_text(text, -1);

  g_string_append_printf(self->text, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y,
                         anchors[anchor], escaped);
}

static void
add_turned(GemBenchSvg *self, double x, double y, int degrees, const char *anchor, const char *text)
{
  g_autofree char *escaped = g_markup_escape_text(text, -1);

  g_string_append_printf(self->text,
                         "<text transform=\"translate(%.1f %.1f) rotate(%d)\" text-anchor=\"%s\">%s</text>\n",
                         x, y, degrees, anchor, escaped);
}

void
gem_bench_svg_upright_text(GemBenchSvg *self, double x, double y, const char *text)
{
  add_turned(self, x, y, -90, "middle", text);
}

void
gem_bench_svg_rising_text(GemBenchSvg *self, double x, double y, const char *text)
{
  add_turned(self, x, y, -50, "start", text);
}

static void
add_straight(GemBenchSvg *self, const char *class, double x1, double y1, double x2, double y2)
{
  g_string_append_printf(self->text, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
                         class, x1, y1, x2, y2);
}

void
gem_bench_svg_grid(GemBenchSvg *self, double x1, double y1, double x2, double y2)
{
  add_straight(self, "grid", x1, y1, x2, y2);
}

void
gem_bench_svg_mark(GemBenchSvg *self, double x1, double y1, double x2, double y2)
{
  add_straight(self, "mark", x1, y1, x2, y2);
}

void
gem_bench_svg_box(GemBenchSvg *self, guint colour, double x, double y, double width, double height)
{
  g_string_append_printf(self->text,
                         "<rect class=\"f%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                         colour % GEM_BENCH_SVG_COLOURS, x, y, width, height);
}

void
gem_bench_svg_dot(GemBenchSvg *self, guint colour, double x, double y)
{
  g_string_append_printf(self->text, "<circle class=\"f%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n",
                         colour % GEM_BENCH_SVG_COLOURS, x, y);
}

static void
add_points(GemBenchSvg *self, const char *start, guint colour, const double *x, const double *y, guint n)
{
  guint i;

  g_string_append_printf(self->text, "%s%u\" points=\"", start, colour % GEM_BENCH_SVG_COLOURS);
  for (i = 0; i < n; i++) {
    g_string_append_printf(self->text, "%s%.1f,%.1f", i == 0 ? "" : " ", x[i], y[i]);
  }
  g_string_append(self->text, "\"/>\n");
}

void
gem_bench_svg_line(GemBenchSvg *self, guint colour, const double *x, const double *y, guint n)
{
  add_points(self, "<polyline class=\"l", colour, x, y, n);
}

void
gem_bench_svg_dashes(GemBenchSvg *self, guint colour, const double *x, const double *y, guint n)
{
  add_points(self, "<polyline class=\"dashes l", colour, x, y, n);
}

void
gem_bench_svg_area(GemBenchSvg *self, guint colour, const double *x, const double *y, guint n)
{
  add_points(self, "<polygon class=\"area f", colour, x, y, n);
}

/* What is told of the shape that follows, when it is pointed at; closes the group. */
static void
end_with_note(GemBenchSvg *self, const char *note)
{
  if (note != NULL) {
    g_autofree char *escaped = g_markup_escape_text(note, -1);

    g_string_append_printf(self->text, "<title>%s</title>", escaped);
  }
  g_string_append(self->text, "</g>\n");
}

void
gem_bench_svg_symbol(GemBenchSvg *self, guint shape, gboolean hollow, double x, double y, const char *note)
{
  /* Around (0, 0), about as large to the eye as each other. */
  static const char *const paths[GEM_BENCH_SVG_COLOURS] = {
      "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
      "M-4-4H4V4H-4z",
      "M0-5.2L5 4H-5z",
      "M0-5.8L5 0L0 5.8L-5 0z",
      "M0 5.2L5-4H-5z",
      "M-5 0H5M0-5V5",
      "M-4-4L4 4M-4 4L4-4",
      "M-5-3L0 4L5-3L0-.5z",
  };
  guint colour = shape % GEM_BENCH_SVG_COLOURS;

  g_string_append_printf(self->text,
                         "<g><path class=\"symbol%s f%u l%u\" transform=\"translate(%.1f %.1f)\" d=\"%s\"/>",
                         hollow ? " hollow" : "", colour, colour, x, y, paths[colour]);
  end_with_note(self, note);
}

void
gem_bench_svg_cell(
    GemBenchSvg *self, guint colour, double strength, const double box[4], const char *text, const char *note)
{
  g_string_append_printf(
      self->text,
      "<g><rect class=\"f%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" "
      "fill-opacity=\"%.2f\"/>",
      colour % GEM_BENCH_SVG_COLOURS, box[0], box[1], box[2], box[3], CLAMP(strength, 0, 1));
  gem_bench_svg_text(self, box[0] + box[2] / 2, box[1] + box[3] / 2 + 4, GEM_BENCH_SVG_MIDDLE, text);
  end_with_note(self, note);
}

char *
gem_bench_svg_finish(const GemBenchSvg *self)
{
  return g_strconcat(self->text->str, "</svg>\n", NULL);
}

gboolean
gem_bench_svg_write(const GemBenchSvg *self, const char *path, GError **error)
{
  g_autofree char *whole = gem_bench_svg_finish(self);

  return gem_bench_file_write(path, whole, error);
}
