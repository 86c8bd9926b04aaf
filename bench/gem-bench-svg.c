#include "bench/gem-bench-svg.h"

struct _GemBenchSvg {
  GString *text;
};

/* One rule for light, one for dark: ground, text, grid, mark, then the series. */
static const char style[] =
    "<style>\n"
    "text{font:13px sans-serif;fill:#24292f}.title{font-size:15px;font-weight:bold}\n"
    ".ground{fill:#fff}.grid{stroke:#d0d7de}.mark{stroke:#24292f;stroke-width:1.5}\n"
    "polyline{fill:none;stroke-width:2}\n"
    ".f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}.f4{fill:#9a6700}.f5{fill:#57606a}\n"
    ".l0{stroke:#0969da}.l1{stroke:#bc4c00}.l2{stroke:#1a7f37}.l3{stroke:#8250df}.l4{stroke:#9a6700}"
    ".l5{stroke:#57606a}\n"
    "@media (prefers-color-scheme:dark){\n"
    "text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#30363d}.mark{stroke:#e6edf3}\n"
    ".f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#56d364}.f3{fill:#bc8cff}.f4{fill:#e3b341}.f5{fill:#8b949e}\n"
    ".l0{stroke:#58a6ff}.l1{stroke:#f0883e}.l2{stroke:#56d364}.l3{stroke:#bc8cff}.l4{stroke:#e3b341}"
    ".l5{stroke:#8b949e}\n"
    "}\n"
    "</style>\n";

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
  g_string_append(self->text, style);
  g_string_append_printf(self->text, "<rect class=\"ground\" width=\"%u\" height=\"%u\"/>\n", width, height);
  g_string_append_printf(self->text, "<text class=\"title\" x=\"16\" y=\"26\">%s</text>\n", escaped);
  return self;
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

void
gem_bench_svg_upright_text(GemBenchSvg *self, double x, double y, const char *text)
{
  g_autofree char *escaped = g_markup_escape_text(text, -1);

  g_string_append_printf(self->text,
                         "<text transform=\"translate(%.1f %.1f) rotate(-90)\" text-anchor=\"middle\">%s"
                         "</text>\n",
                         x, y, escaped);
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

void
gem_bench_svg_line(GemBenchSvg *self, guint colour, const double *x, const double *y, guint n)
{
  guint i;

  g_string_append_printf(self->text, "<polyline class=\"l%u\" points=\"", colour % GEM_BENCH_SVG_COLOURS);
  for (i = 0; i < n; i++) {
    g_string_append_printf(self->text, "%s%.1f,%.1f", i == 0 ? "" : " ", x[i], y[i]);
  }
  g_string_append(self->text, "\"/>\n");
}

gboolean
gem_bench_svg_write(GemBenchSvg *self, const char *path, GError **error)
{
  g_autofree char *whole = g_strconcat(self->text->str, "</svg>\n", NULL);

  return g_file_set_contents(path, whole, -1, error);
}
