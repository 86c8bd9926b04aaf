#include <math.h>

#include "bench/report/gem-report-charts.h"
#include "bench/report/gem-report-plot.h"

#define COLUMNS 3u /* of the legend */

/* Index of a domain in the result's list; 0 when it is not there. */
static guint
find_domain(JsonArray *domains, const char *name)
{
  guint i;

  for (i = 0; i < gem_report_length(domains); i++) {
    if (g_strcmp0(gem_report_element_name(domains, i), name) == 0) {
      return i;
    }
  }
  return 0;
}

static guint
legend_rows(JsonArray *domains)
{
  return (gem_report_length(domains) + COLUMNS - 1) / COLUMNS;
}

static void
draw_legend(const GemReportPlot *plot, JsonArray *domains)
{
  guint i;

  for (i = 0; i < gem_report_length(domains); i++) {
    const char *name = gem_report_element_name(domains, i);
    double x, y;

    gem_report_plot_legend(plot, i, COLUMNS, &x, &y);
    gem_bench_svg_symbol(plot->svg, i, FALSE, x + 6, y - 4, NULL);
    gem_bench_svg_text(plot->svg, x + 17, y, GEM_BENCH_SVG_LEFT, name);
  }
}

/* ---- in against out ---- */

char *
gem_report_draw_scatter(JsonObject *result)
{
  JsonArray *domains = gem_report_array(result, "domains"), *tasks = gem_report_array(result, "tasks");
  GemReportRange range = {0, 1, 0.2};
  GemReportPlot plot =
      gem_report_plot_begin("F1 in domain against F1 out of domain", range, range,
                            "F1 through the own pathway", "F1 through the others", legend_rows(domains));
  g_autofree char *drawing = NULL;
  guint i, n = 0;

  gem_bench_svg_dashes(plot.svg, 5, (double[]){plot.left, plot.right}, (double[]){plot.bottom, plot.top}, 2);
  for (i = 0; i < gem_report_length(tasks); i++) {
    JsonObject *task = gem_report_element(tasks, i), *transfer = gem_report_object(task, "transfer");
    const char *domain = gem_report_name(task, "domain"), *name = gem_report_name(task, "name");
    double in = gem_report_number(transfer, "in"), out = gem_report_number(transfer, "out");
    g_autofree char *note = g_strdup_printf("%s/%s: %.3f in, %.3f out", domain, name, in, out);

    if (isfinite(in) && isfinite(out)) {
      gem_bench_svg_symbol(plot.svg, find_domain(domains, domain), FALSE, gem_report_plot_x(&plot, in),
                           gem_report_plot_y(&plot, out), note);
      n++;
    }
  }
  draw_legend(&plot, domains);
  drawing = gem_report_plot_end(&plot);
  return n == 0 ? NULL : g_steal_pointer(&drawing);
}

/* ---- DSI against GG ---- */

/* Of one way to run the tasks. */
typedef struct {
  const char *gg, *dsi, *way;
  gboolean hollow;
} Way;
static const Way ways[] = {{"gg_routed", "dsi_routed", "as routed", TRUE},
                           {"gg_forced", "dsi_forced", "through the own pathway", FALSE}};

/* Widens the ranges over what is there; the number of points. */
static guint
find_ranges(JsonArray *per_domain, double gg[2], double dsi[2])
{
  guint i, n = 0;
  gsize j;

  for (i = 0; i < gem_report_length(per_domain); i++) {
    for (j = 0; j < G_N_ELEMENTS(ways); j++) {
      double x = gem_report_number(gem_report_element(per_domain, i), ways[j].gg);
      double y = gem_report_number(gem_report_element(per_domain, i), ways[j].dsi);

      if (isfinite(x) && isfinite(y)) {
        gg[0] = fmin(gg[0], x);
        gg[1] = fmax(gg[1], x);
        dsi[0] = fmin(dsi[0], y);
        dsi[1] = fmax(dsi[1], y);
        n++;
      }
    }
  }
  return n;
}

static void
draw_domains(const GemReportPlot *plot, JsonArray *per_domain, const Way *way)
{
  guint i;

  for (i = 0; i < gem_report_length(per_domain); i++) {
    JsonObject *domain = gem_report_element(per_domain, i);
    double gg = gem_report_number(domain, way->gg), dsi = gem_report_number(domain, way->dsi);
    g_autofree char *note =
        g_strdup_printf("%s, %s: GG %.3f, DSI %.3f", gem_report_name(domain, "domain"), way->way, gg, dsi);

    if (isfinite(gg) && isfinite(dsi)) {
      gem_bench_svg_symbol(plot->svg, i, way->hollow, gem_report_plot_x(plot, gg),
                           gem_report_plot_y(plot, dsi), note);
    }
  }
}

char *
gem_report_draw_specialisation(JsonObject *result)
{
  JsonArray *per_domain = gem_report_array(result, "per_domain"),
            *domains = gem_report_array(result, "domains");
  double gg[2] = {-0.1, 0.3}, dsi[2] = {0.8, 1.4}, x, y;
  GemReportPlot plot;
  gsize i;

  if (find_ranges(per_domain, gg, dsi) == 0) {
    return NULL;
  }
  plot = gem_report_plot_begin("DSI against GG", gem_report_range_round(gg[0], gg[1]),
                               gem_report_range_round(dsi[0], dsi[1]), "GG: what is lost out of domain",
                               "DSI: own over others", legend_rows(domains));
  x = gem_report_plot_x(&plot, 0);
  y = gem_report_plot_y(&plot, 1);
  gem_bench_svg_dashes(plot.svg, 5, (double[]){x, x}, (double[]){plot.top, plot.bottom}, 2);
  gem_bench_svg_dashes(plot.svg, 5, (double[]){plot.left, plot.right}, (double[]){y, y}, 2);
  for (i = 0; i < G_N_ELEMENTS(ways); i++) {
    draw_domains(&plot, per_domain, &ways[i]);
  }
  draw_legend(&plot, domains);
  return gem_report_plot_end(&plot);
}
