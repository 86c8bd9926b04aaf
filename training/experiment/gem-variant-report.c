/* The table of an experiment on the model as a whole, from its cells' files. */
#include <math.h>
#include <string.h>

#include "training/experiment/gem-result-json.h"
#include "training/experiment/gem-variant-costs.h"
#include "training/experiment/gem-variant-experiment.h"
#include "training/experiment/gem-variant-score.h"
#include "training/experiment/gem-variant-trend.h"

#define RESAMPLES 1000

enum { F1, ACCURACY, GAP, GG, GG_FORCED, IN, OUT, GG_DOMAIN, BYTES, ACTIVE, FLOP, ROUTED, LOSS, N_FIGURES };
static const char *const figure_names[N_FIGURES] = {
    "f1",           "accuracy", "gap",          "gg_routed", "gg_forced",    "in",  "out",
    "gg_of_domain", "bytes",    "active_bytes", "flop",      "routed_share", "loss"};

/* One line: a variant and, where the plan looks at single domains, one of those. */
typedef struct {
  const GemVariant *variant;
  gint8 domain;
  GArray *values[N_FIGURES]; /* double, by seed */
} Row;

static void
row_free(gpointer data)
{
  Row *row = data;
  for (guint f = 0; f < N_FIGURES; f++) {
    g_array_unref(row->values[f]);
  }
  g_free(row);
}

static Row *
find_row(GPtrArray *rows, const GemVariant *variant, gint8 domain)
{
  for (guint i = 0; i < rows->len; i++) {
    Row *row = rows->pdata[i];
    if (row->variant == variant && row->domain == domain) {
      return row;
    }
  }
  Row *row = g_new0(Row, 1);
  row->variant = variant;
  row->domain = domain;
  for (guint f = 0; f < N_FIGURES; f++) {
    row->values[f] = g_array_new(FALSE, FALSE, sizeof(double));
  }
  g_ptr_array_add(rows, row);
  return row;
}

static double
mean_of(const Row *row, guint figure)
{
  double sum = 0.0;
  for (guint i = 0; i < row->values[figure]->len; i++) {
    sum += g_array_index(row->values[figure], double, i);
  }
  return sum / (double)MAX(row->values[figure]->len, 1);
}

/* The standard deviation over seeds; NAN of one seed. */
static double
spread_of(const Row *row, guint figure)
{
  guint n = row->values[figure]->len;
  double mean = mean_of(row, figure), squares = 0.0;
  for (guint i = 0; i < n; i++) {
    double from = g_array_index(row->values[figure], double, i) - mean;
    squares += from * from;
  }
  return n > 1 ? sqrt(squares / (double)(n - 1)) : NAN;
}

/* ---- reading ---- */

static JsonObject *
open_cell(const GemExperiment *experiment, const GemVariantCell *cell, JsonParser *parser, GError **error)
{
  g_autofree char *path = gem_variant_cell_path(experiment, cell);
  if (!json_parser_load_from_file(parser, path, error)) {
    return NULL;
  }
  JsonNode *root = json_parser_get_root(parser);
  JsonObject *object = root != NULL && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
  const char *signature =
      object != NULL ? json_object_get_string_member_with_default(object, "signature", NULL) : NULL;
  if (g_strcmp0(signature, experiment->signature) != 0) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISMATCH,
                "%s is of other options or of another model; take another --work", path);
    return NULL;
  }
  return object;
}

static void
add_values(Row *row, JsonObject *object, const GemVariantScore *score)
{
  const GemVariantCosts costs = gem_variant_costs_from_json(object);
  double values[N_FIGURES] = {[F1] = gem_variant_score_mean_f1(score, NULL),
                              [ACCURACY] = gem_variant_score_mean_accuracy(score),
                              [GAP] = gem_variant_score_gap(score, NULL),
                              [GG] = gem_variant_score_gg(score, FALSE, NULL),
                              [GG_FORCED] = gem_variant_score_gg(score, TRUE, NULL),
                              [IN] = NAN,
                              [OUT] = NAN,
                              [GG_DOMAIN] = NAN,
                              [BYTES] = costs.bytes,
                              [ACTIVE] = costs.active_bytes,
                              [FLOP] = costs.flop,
                              [ROUTED] = costs.routed,
                              [LOSS] = json_object_get_double_member_with_default(object, "loss", NAN)};
  if (row->domain >= 0) {
    gem_variant_score_in_out(score, row->domain, FALSE, NULL, &values[IN], &values[OUT]);
    values[GG_DOMAIN] = (values[IN] - values[OUT]) / values[IN];
  }
  for (guint f = 0; f < N_FIGURES; f++) {
    g_array_append_val(row->values[f], values[f]);
  }
}

/* The rows of a cell: its domain's; of one that is not adapted, where the plan looks at domains, those of all
 * that others are adapted to. */
static void
add_cell(GPtrArray *rows,
         const GArray *cells,
         const GemVariantCell *cell,
         JsonObject *object,
         const GemVariantScore *score)
{
  gboolean added = FALSE;
  for (gint8 d = 0; cell->domain < 0 && d < GEM_MAX_DOMAINS; d++) {
    gboolean adapted = FALSE;
    for (guint i = 0; i < cells->len; i++) {
      adapted |= g_array_index(cells, GemVariantCell, i).domain == d;
    }
    if (adapted) {
      add_values(find_row(rows, cell->variant, d), object, score);
      added = TRUE;
    }
  }
  if (!added) {
    add_values(find_row(rows, cell->variant, cell->domain), object, score);
  }
}

/* All rows, and the scores of the cells with the first seed, in the order of the cells. */
static gboolean
read_cells(const GemExperiment *experiment,
           const GArray *cells,
           GPtrArray *rows,
           GPtrArray *first_scores,
           GError **error)
{
  for (guint i = 0; i < cells->len; i++) {
    const GemVariantCell *cell = &g_array_index(cells, GemVariantCell, i);
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    JsonObject *object = open_cell(experiment, cell, parser, error);
    GemVariantScore *score =
        object != NULL ? gem_variant_score_from_json(object, experiment->tasks, error) : NULL;
    if (score == NULL) {
      return FALSE;
    }
    add_cell(rows, cells, cell, object, score);
    if (cell->seed == 1) {
      g_ptr_array_add(first_scores, score);
    } else {
      gem_variant_score_free(score);
    }
  }
  return TRUE;
}

/* ---- writing ---- */

static void
print_figure(const Row *row, guint figure)
{
  double mean = mean_of(row, figure), spread = spread_of(row, figure);
  if (!isfinite(mean)) {
    g_print(" %14s", "-");
  } else if (isfinite(spread)) {
    g_print("  %+.3f ± %.3f", mean, spread);
  } else {
    g_print("  %+.3f        ", mean);
  }
}

static void
print_rows(const GemExperiment *experiment, const GPtrArray *rows)
{
  g_print("%-18s %-12s %-15s %-14s %-14s %-14s %-14s %-14s %-14s %-12s %7s %7s %7s\n", "variant", "domain",
          "F1", "accuracy", "gap", "GG routed", "GG forced", "in", "out", "GG of it", "MB", "active",
          "MFLOP");
  for (guint i = 0; i < rows->len; i++) {
    const Row *row = rows->pdata[i];
    g_print("%-18s %-12s", row->variant->name,
            row->domain >= 0 ? experiment->model->backbone->shape.domains[row->domain] : "");
    for (guint f = F1; f <= GG_DOMAIN; f++) {
      print_figure(row, f);
    }
    g_print(" %7.2f %7.2f %7.2f\n", mean_of(row, BYTES) / 1e6, mean_of(row, ACTIVE) / 1e6,
            mean_of(row, FLOP) / 1e6);
  }
}

/* The spread of these rows is that of the networks alone. */
static void
print_router_seeds(const GemExperiment *experiment, const GPtrArray *rows)
{
  for (guint i = 0; i < rows->len; i++) {
    const GemVariant *variant = ((const Row *)rows->pdata[i])->variant;
    if (variant->router != GEM_ROUTER_OF_MODEL) {
      g_print("%s: one router, trained with one seed, beside networks of %u\n", variant->name,
              experiment->options->seeds);
    }
  }
}

static void
add_row(JsonBuilder *builder, const GemExperiment *experiment, const Row *row)
{
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "variant");
  json_builder_add_string_value(builder, row->variant->name);
  json_builder_set_member_name(builder, "domain");
  if (row->domain >= 0) {
    json_builder_add_string_value(builder, experiment->model->backbone->shape.domains[row->domain]);
  } else {
    json_builder_add_null_value(builder);
  }
  for (guint f = 0; f < N_FIGURES; f++) {
    json_builder_set_member_name(builder, figure_names[f]);
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "mean");
    gem_result_json_add_value(builder, mean_of(row, f));
    json_builder_set_member_name(builder, "deviation");
    gem_result_json_add_value(builder, spread_of(row, f));
    json_builder_set_member_name(builder, "seeds");
    json_builder_begin_array(builder);
    for (guint i = 0; i < row->values[f]->len; i++) {
      gem_result_json_add_value(builder, g_array_index(row->values[f], double, i));
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
  }
  json_builder_end_object(builder);
}

/* How much a variant is compressed: single precision counts as 32 bits. */
static double
intensity_of(const GemVariant *variant, GemVariantTrend trend)
{
  return trend == GEM_TREND_PRUNED ? variant->pruned : (variant->bits > 0 ? -(double)variant->bits : -32.0);
}

static void
report_trend(JsonBuilder *builder, const GemVariantPlan *plan, const GArray *cells, const GPtrArray *scores)
{
  g_autofree double *intensity = g_new0(double, MAX(scores->len, 1));
  for (guint i = 0; i < scores->len; i++) { /* no variant of such a plan learns: one cell each */
    intensity[i] = intensity_of(g_array_index(cells, GemVariantCell, i).variant, plan->trend);
  }
  const char *what = plan->trend == GEM_TREND_BITS ? "as bits fall" : "as more is pruned";
  static const char *const titles[GEM_GAPS] = {"the gap on the same tasks", "beside it, GG routed",
                                               "beside it, GG forced"};
  static const char *const members[GEM_GAPS] = {"trend_gap", "trend_gg_routed", "trend_gg_forced"};
  for (GemVariantGap gap = 0; gap < GEM_GAPS; gap++) {
    GemVariantTrendFigure figure =
        gem_variant_trend((GemVariantScore *const *)scores->pdata, intensity, scores->len, gap, RESAMPLES, 1);
    const char *verdict = gem_variant_trend_verdict(&figure);
    g_print("%s %s %s: rank correlation %+.2f [%+.2f, %+.2f] over resampled tasks\n", titles[gap], verdict,
            what, figure.correlation, figure.low, figure.high);
    json_builder_set_member_name(builder, members[gap]);
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "correlation");
    gem_result_json_add_value(builder, figure.correlation);
    json_builder_set_member_name(builder, "low");
    gem_result_json_add_value(builder, figure.low);
    json_builder_set_member_name(builder, "high");
    gem_result_json_add_value(builder, figure.high);
    json_builder_set_member_name(builder, "verdict");
    json_builder_add_string_value(builder, verdict);
    json_builder_end_object(builder);
  }
}

/* The mean `in` of a variant over its domains. */
static double
mean_in(const GPtrArray *rows, const GemVariant *variant)
{
  double sum = 0.0;
  guint n = 0;
  for (guint i = 0; i < rows->len; i++) {
    const Row *row = rows->pdata[i];
    if (row->variant == variant) {
      sum += mean_of(row, IN);
      n++;
    }
  }
  return sum / MAX(n, 1);
}

/* Of each mode the rate whose domains score best after it. */
static void
report_best_rates(JsonBuilder *builder, const GPtrArray *rows)
{
  const char *const modes[] = {"plain-", "akp-dense-", "akp-"};
  json_builder_set_member_name(builder, "best");
  json_builder_begin_object(builder);
  for (guint m = 0; m < G_N_ELEMENTS(modes); m++) {
    const GemVariant *best = NULL;
    for (guint i = 0; i < rows->len; i++) {
      const GemVariant *variant = ((const Row *)rows->pdata[i])->variant;
      gboolean dense = g_str_has_prefix(variant->name, "akp-dense-") && m == 2;
      if (variant->rate > 0.0 && g_str_has_prefix(variant->name, modes[m]) && !dense &&
          (best == NULL || mean_in(rows, variant) > mean_in(rows, best))) {
        best = variant;
      }
    }
    if (best != NULL) {
      g_print("best: %s, F1 %.3f in the domains that learned\n", best->name, mean_in(rows, best));
      json_builder_set_member_name(builder, best->name);
      json_builder_add_double_value(builder, mean_in(rows, best));
    }
  }
  json_builder_end_object(builder);
}

gboolean
gem_variant_experiment_report(const GemExperiment *experiment, const GemVariantPlan *plan, GError **error)
{
  g_autoptr(GArray) cells = gem_variant_cells_new(experiment, plan, error);
  g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(row_free);
  g_autoptr(GPtrArray) scores = g_ptr_array_new_with_free_func((GDestroyNotify)gem_variant_score_free);
  if (cells == NULL || !read_cells(experiment, cells, rows, scores, error)) {
    return FALSE;
  }
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "signature");
  json_builder_add_string_value(builder, experiment->signature);
  json_builder_set_member_name(builder, "variants");
  json_builder_begin_array(builder);
  for (guint i = 0; i < rows->len; i++) {
    add_row(builder, experiment, rows->pdata[i]);
  }
  json_builder_end_array(builder);
  print_rows(experiment, rows);
  print_router_seeds(experiment, rows);
  if (plan->trend != GEM_TREND_NONE) {
    report_trend(builder, plan, cells, scores);
  }
  if (plan->own_only) {
    report_best_rates(builder, rows);
  }
  json_builder_end_object(builder);
  g_autofree char *path = g_build_filename(experiment->options->work, "result.json", NULL);
  return gem_result_json_write(builder, path, error);
}
