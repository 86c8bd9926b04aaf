#include "bench/report/gem-report-tables.h"

#include <math.h>

#include "bench/report/gem-report-text.h"

/* ---- the run ---- */

static void
add_fact(GString *page, const char *what, const char *fact)
{
  gem_report_add(page, "<div><dt>%s</dt><dd>%s</dd></div>\n", what, fact == NULL ? "not recorded" : fact);
}

static char *
describe_limit(double limit)
{
  g_autofree char *count = gem_report_format_count(limit);

  return limit == 0 ? g_strdup("all lines of a task") : g_strdup_printf("%s lines of a task", count);
}

/* "2026-01-01 12:00 UTC"; the text itself when it is no time, NULL of NULL. Transfer full. */
static char *
describe_time(const char *text)
{
  g_autoptr(GDateTime) time = text == NULL ? NULL : g_date_time_new_from_iso8601(text, NULL);
  g_autoptr(GDateTime) utc = time == NULL ? NULL : g_date_time_to_utc(time);

  return utc == NULL ? g_strdup(text) : g_date_time_format(utc, "%Y-%m-%d %H:%M UTC");
}

void
gem_report_add_run(GString *page, JsonObject *result)
{
  JsonObject *run = gem_report_object(result, "run");
  const char *way = gem_report_string(run, "way"), *split = gem_report_name(run, "split");
  const char *specialist = gem_report_string(run, "specialist");
  g_autofree char *limit = describe_limit(gem_report_number(run, "limit"));
  g_autofree char *transfer = describe_limit(gem_report_number(run, "transfer_limit"));
  g_autofree char *texts = g_strdup_printf("%s, %s", split, limit);
  g_autofree char *finished = describe_time(gem_report_string(run, "finished"));
  g_autofree char *seed = gem_report_format_count(gem_report_number(run, "seed"));
  g_autofree char *seconds = gem_report_format_seconds(gem_report_number(run, "seconds"));
  g_autofree char *calls = gem_report_format_count(gem_report_number(run, "calls"));
  g_autofree char *tokens = gem_report_format_count(gem_report_number(run, "tokens"));

  g_string_append(page, "<dl class=\"facts\">\n");
  add_fact(page, "model", gem_report_string(run, "model"));
  add_fact(page, "gemd", gem_report_string(run, "version"));
  add_fact(page, "machine", gem_report_string(run, "machine"));
  add_fact(page, "way",
           g_strcmp0(way, "bus") == 0 ? "through the service, over D-Bus"
           : way != NULL              ? "engine in the same process"
                                      : NULL);
  add_fact(page, "texts", texts);
  if (gem_report_object(result, "transfer") != NULL) {
    add_fact(page, "texts of the transfer", transfer);
  }
  add_fact(page, "seed", seed);
  if (specialist != NULL) {
    add_fact(page, "specialist", specialist);
  }
  add_fact(page, "finished", finished);
  add_fact(page, "took", seconds);
  add_fact(page, "calls", calls);
  add_fact(page, "tokens run", tokens);
  g_string_append(page, "</dl>\n");
}

/* ---- the domains ---- */

static void
add_perplexity(GString *page, JsonObject *result, const char *domain)
{
  static const char *const names[] = {"routed", "own", "others"};
  JsonArray *list = gem_report_array(result, "perplexity");
  JsonObject *found = NULL;
  gsize i;

  for (i = 0; i < gem_report_length(list); i++) {
    if (g_strcmp0(gem_report_string(gem_report_element(list, (guint)i), "domain"), domain) == 0) {
      found = gem_report_element(list, (guint)i);
    }
  }
  for (i = 0; i < G_N_ELEMENTS(names); i++) {
    double value = gem_report_number(found, names[i]);
    g_autofree char *text = gem_report_format(value, 1);

    gem_report_add(page, "<td class=\"n\">%s</td>", text);
  }
}

/* The domain's score, GG and DSI on the specialist's scale; the latter two are lists over domains. */
static void
add_scaled(GString *page, JsonObject *result, JsonObject *domain, guint i)
{
  JsonObject *transfer = gem_report_object(result, "transfer");
  JsonArray *gg = gem_report_array(transfer, "gg_normalised");
  JsonArray *dsi = gem_report_array(transfer, "dsi_normalised");

  gem_report_add_cell(page, gem_report_number(domain, "normalised"), NAN);
  gem_report_add_cell(page, gem_report_element_number(gg, i), NAN);
  gem_report_add_cell(page, gem_report_element_number(dsi, i), NAN);
}

static void
add_domain(GString *page, JsonObject *result, guint i, gboolean scaled)
{
  static const char *const after[] = {"chance",     "majority",  "linear",         "gg_routed",
                                      "dsi_routed", "gg_forced", "gap_same_tasks", "dsi_forced"};
  JsonObject *domain = gem_report_element(gem_report_array(result, "per_domain"), i);
  const char *name = gem_report_name(domain, "domain");
  GemReportScore f1 = gem_report_score(domain, "f1");
  g_autofree char *tasks = gem_report_format_count(gem_report_number(domain, "tasks"));
  gsize j;

  gem_report_add(page, "<tr><th scope=\"row\">%s</th><td class=\"n\">%s</td>", name, tasks);
  gem_report_add_cell(page, f1.value, f1.error);
  for (j = 0; j < G_N_ELEMENTS(after); j++) {
    gem_report_add_cell(page, gem_report_number(domain, after[j]), NAN);
  }
  if (scaled) {
    add_scaled(page, result, domain, i);
  }
  add_perplexity(page, result, name);
  g_string_append(page, "</tr>\n");
}

void
gem_report_add_domains(GString *page, JsonObject *result)
{
  gboolean scaled = gem_report_string(gem_report_object(result, "run"), "specialist") != NULL;
  guint i;

  if (scaled) {
    g_string_append(page,
                    "<p>On the specialist\u2019s scale 0 is guessing and 1 what the specialist reaches; "
                    "GG and DSI there are through the own pathway.</p>\n");
  }
  g_string_append(
      page, "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th rowspan=\"2\">domain</th>"
            "<th rowspan=\"2\" class=\"n\">tasks</th><th colspan=\"4\" class=\"g\">F1, mean of the tasks</th>"
            "<th colspan=\"2\" class=\"g\">as routed</th><th colspan=\"3\" class=\"g\">own pathway</th>");
  g_string_append(page, scaled ? "<th colspan=\"3\" class=\"g\">specialist\u2019s scale</th>" : "");
  g_string_append(
      page,
      "<th colspan=\"3\" class=\"g\">perplexity through</th></tr>"
      "<tr><th class=\"n\">score</th><th class=\"n\">chance</th><th class=\"n\">majority</th>"
      "<th class=\"n\">linear</th><th class=\"n\">GG</th><th class=\"n\">DSI</th><th class=\"n\">GG</th>"
      "<th class=\"n\">GG, same tasks</th><th class=\"n\">DSI</th>");
  g_string_append(page,
                  scaled ? "<th class=\"n\">score</th><th class=\"n\">GG</th><th class=\"n\">DSI</th>" : "");
  g_string_append(page, "<th class=\"n\">routes</th><th class=\"n\">own</th><th class=\"n\">others</th>"
                        "</tr></thead><tbody>\n");
  for (i = 0; i < gem_report_length(gem_report_array(result, "per_domain")); i++) {
    add_domain(page, result, i, scaled);
  }
  g_string_append(page, "</tbody></table></div>\n");
}

/* ---- the tasks ---- */

/* Pixels of a task's drawing, for 0 to 1. */
#define STRIP 120.0
#define EDGE  5.0

/* A line from 0 to 1: chance an upright dash, majority a hollow square, linear a hollow diamond, the score a
 * dot with two standard errors to each side. */
static void
add_strip(GString *page, GemReportScore f1, double chance, double majority, double linear)
{
  double x = EDGE + STRIP * f1.value, reach = isfinite(f1.error) ? 2 * f1.error * STRIP : 0;

  gem_report_add(page,
                 "<td><svg class=\"strip\" viewBox=\"0 0 %.0f 18\" aria-hidden=\"true\">"
                 "<path class=\"grid\" d=\"M%.0f 9h%.0f\"/>",
                 STRIP + 2 * EDGE, EDGE, STRIP);
  if (isfinite(chance)) {
    gem_report_add(page, "<path class=\"l5 s\" d=\"M%.1f 3v12\"/>", EDGE + STRIP * chance);
  }
  if (isfinite(majority)) {
    gem_report_add(page, "<path class=\"l1 s\" d=\"M%.1f 5.5h7v7h-7z\"/>", EDGE + STRIP * majority - 3.5);
  }
  if (isfinite(linear)) {
    gem_report_add(page, "<path class=\"l3 s\" d=\"M%.1f 4l5 5l-5 5l-5-5z\"/>", EDGE + STRIP * linear);
  }
  if (isfinite(f1.value)) {
    double from = fmax(x - reach, EDGE), to = fmin(x + reach, EDGE + STRIP);

    gem_report_add(
        page,
        "<path class=\"l0 w\" d=\"M%.1f 9H%.1f\"/><circle class=\"f0\" cx=\"%.1f\" cy=\"9\" r=\"3.6\"/>",
        from, to, x);
  }
  g_string_append(page, "</svg></td>");
}

static const char *
describe_measure(const char *measure)
{
  static const struct {
    const char *name, *words;
  } measures[] = {{"macro_f1", "macro-F1"},
                  {"token_f1", "token F1"},
                  {"rouge_l", "ROUGE-L"},
                  {"mention_f1", "mention F1"}};
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(measures); i++) {
    if (g_strcmp0(measure, measures[i].name) == 0) {
      return measures[i].words;
    }
  }
  return measure == NULL ? "?" : measure;
}

/* What the accuracy beats by two standard errors. */
static void
add_beats(GString *page, JsonObject *task)
{
  int majority = gem_report_boolean(task, "beats_majority"),
      linear = gem_report_boolean(task, "beats_linear");
  const char *which = gem_report_object(task, "majority") == NULL ? "chance" : "majority";

  if (majority < 0 && linear < 0) {
    g_string_append(page, "<td class=\"none\">\u2013</td>");
  } else {
    gem_report_add(page, "<td data-v=\"%d\">%s%s%s</td>", MAX(majority, 0) + 2 * MAX(linear, 0),
                   majority == 1 ? which : "", majority == 1 && linear == 1 ? ", " : "",
                   linear == 1     ? "linear"
                   : majority == 1 ? ""
                                   : "no");
  }
}

/* The share of right answers: of written ones those that are right as a whole. */
static GemReportScore
find_accuracy(JsonObject *metrics)
{
  GemReportScore accuracy = gem_report_score(metrics, "accuracy");

  return isfinite(accuracy.value) ? accuracy : gem_report_score(metrics, "exact_match");
}

static void
add_task(GString *page, JsonObject *task)
{
  JsonObject *chance = gem_report_object(task, "chance"), *majority = gem_report_object(task, "majority");
  JsonObject *linear = gem_report_object(task, "linear");
  GemReportScore f1 = gem_report_score(task, "f1");
  GemReportScore accuracy = find_accuracy(gem_report_object(task, "metrics"));
  const char *domain = gem_report_name(task, "domain"), *name = gem_report_name(task, "name");
  double lines = gem_report_number(task, "n");
  g_autofree char *n = gem_report_format_count(lines);

  gem_report_add(page, "<tr><th scope=\"row\" data-v=\"%s/%s\"><span class=\"dom\">%s</span>%s</th>", domain,
                 name, domain, name);
  add_strip(page, f1, gem_report_number(chance, "f1"), gem_report_number(majority, "f1"),
            gem_report_number(linear, "f1"));
  gem_report_add_cell(page, f1.value, f1.error);
  gem_report_add(page, "<td>%s</td>", describe_measure(gem_report_string(task, "f1_is")));
  gem_report_add_cell(page, gem_report_number(chance, "f1"), NAN);
  gem_report_add_cell(page, gem_report_number(majority, "f1"), NAN);
  gem_report_add_cell(page, gem_report_number(linear, "f1"), NAN);
  gem_report_add_cell(page, accuracy.value, accuracy.error);
  gem_report_add_cell(page, gem_report_number(chance, "accuracy"), NAN);
  gem_report_add_cell(page, gem_report_number(majority, "accuracy"), NAN);
  gem_report_add_cell(page, gem_report_number(linear, "accuracy"), NAN);
  add_beats(page, task);
  gem_report_add(page, "<td class=\"n\" data-v=\"%.0f\">%s</td></tr>\n", isfinite(lines) ? lines : 0, n);
}

void
gem_report_add_tasks(GString *page, JsonObject *result)
{
  /* Columns as the second row of the head has them; with n those of numbers. */
  static const struct {
    const char *name, *class;
  } columns[] = {{"score", "n"}, {"measure", ""}, {"chance", "n"},   {"majority", "n"}, {"linear", "n"},
                 {"score", "n"}, {"chance", "n"}, {"majority", "n"}, {"linear", "n"}};
  JsonArray *tasks = gem_report_array(result, "tasks");
  guint i;
  gsize j;

  g_string_append(page,
                  "<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\"><thead>"
                  "<tr><th rowspan=\"2\" data-c=\"0\">task</th>"
                  "<th rowspan=\"2\">F1 from 0 to 1</th><th colspan=\"5\" class=\"g\">F1</th>"
                  "<th colspan=\"4\" class=\"g\">accuracy</th><th rowspan=\"2\" data-c=\"11\">beats</th>"
                  "<th rowspan=\"2\" class=\"n\" data-c=\"12\">lines</th></tr><tr>");
  for (j = 0; j < G_N_ELEMENTS(columns); j++) {
    gem_report_add(page, "<th class=\"%s\" data-c=\"%d\">%s</th>", columns[j].class, (int)j + 2,
                   columns[j].name);
  }
  g_string_append(page, "</tr></thead><tbody>\n");
  for (i = 0; i < gem_report_length(tasks); i++) {
    add_task(page, gem_report_element(tasks, i));
  }
  g_string_append(page, "</tbody></table></div>\n");
}
