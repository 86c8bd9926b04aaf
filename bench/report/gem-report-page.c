#include "bench/report/gem-report-page.h"

#include <math.h>

#include "bench/gem-bench-svg.h"
#include "bench/report/gem-report-charts.h"
#include "bench/report/gem-report-tables.h"
#include "bench/report/gem-report-text.h"

static const char page_style[] =
    ":root{color-scheme:light "
    "dark;--ground:#fff;--card:#f6f8fa;--ink:#24292f;--soft:#57606a;--line:#d0d7de;--hot:#0969da;--shade:#"
    "1f232840}\n"
    "@media (prefers-color-scheme:dark){:root{--ground:#0d1117;--card:#161b22;--ink:#e6edf3;--soft:#9aa4ae;"
    "--line:#30363d;--hot:#58a6ff;--shade:#8b949e66}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1280px;margin:0 auto;padding:24px 16px 64px}\n"
    "h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px}h2{font-size:1.25rem;margin:44px 0 4px}\n"
    "p{margin:0 0 "
    "14px;max-width:72ch}.soft,figcaption{color:var(--soft)}figcaption{font-size:.9rem;line-height:1.4}\n"
    ".note{border-left:4px solid #bf8700;background:var(--card);padding:10px 14px;margin:16px 0}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:20px 0}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}\n"
    ".card b{display:block;font-size:1.5rem;line-height:1.25;font-variant-numeric:tabular-nums}\n"
    ".card span{font-size:.85rem;line-height:1.35;display:block;color:var(--soft)}\n"
    ".figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:20px}\n"
    "figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:14px}\n"
    "figure h3{margin:0 0 2px;font-size:1rem}figure svg{display:block;width:100%;max-width:500px;margin:10px "
    "auto 0}\n"
    ".facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,300px),1fr));gap:2px "
    "28px;margin:12px 0}\n"
    ".facts div{display:flex;gap:12px;border-bottom:1px solid var(--line);padding:4px 0}\n"
    ".facts dt{color:var(--soft);flex:0 0 7.2em}.facts dd{margin:0;overflow-wrap:anywhere}\n"
    ".scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px;margin-top:12px;"
    /* A shade at an edge behind which there is more. */
    "background:linear-gradient(to left,var(--ground) 30%,transparent) right/44px 100% local,"
    "linear-gradient(to left,var(--shade),transparent) right/20px 100%;background-repeat:no-repeat}\n"
    "table{border-collapse:separate;border-spacing:0;width:100%;font-size:.875rem;line-height:1.35}\n"
    "th,td{padding:6px 9px;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}\n"
    "tbody tr:last-child>*{border-bottom:0}thead "
    "th{background:var(--card);font-weight:600;vertical-align:bottom}\n"
    "tbody th{font-weight:400;position:sticky;left:0;background:var(--ground);z-index:1}\n"
    "thead tr:first-child th:first-child{position:sticky;left:0;z-index:2}\n"
    ".n{text-align:right;font-variant-numeric:tabular-nums}.g{text-align:center}.none{color:var(--soft)}\n"
    "small{color:var(--soft);margin-left:4px;font-size:.8rem}.dom{display:block;color:var(--soft);font-size:."
    "75rem}\n"
    "th button{all:unset;cursor:pointer;font-weight:600}th button:focus-visible{outline:2px solid "
    "var(--hot)}\n"
    "th[aria-sort=ascending] button::after{content:\" \\2191\"}th[aria-sort=descending] "
    "button::after{content:\" \\2193\"}\n"
    ".strip{display:block;width:130px;height:18px}.strip .s{fill:none;stroke-width:1.6}.strip "
    ".w{stroke-width:2}"
    ".key{display:flex;flex-wrap:wrap;gap:4px 20px;color:var(--soft);font-size:.875rem;margin:8px 0 "
    "0;padding:0;"
    "list-style:none}\n"
    ".key li{display:flex;align-items:center;gap:6px}.key svg{width:18px;height:18px;flex:none}"
    ".key .s{fill:none;stroke-width:1.6}.key .w{stroke-width:2}\n"
    "@media (max-width:600px){.facts dt{flex-basis:6em}.card "
    "b{font-size:1.3rem}.cards{grid-template-columns:1fr 1fr}"
    "figure{padding:12px 10px}}\n"
    "@media print{.scroll{overflow:visible}figure,.card{break-inside:avoid}}\n";

/* Sorts a table by the column whose head is pressed; without script the order is that of the suite. */
static const char page_script[] =
    "document.querySelectorAll('table.sortable').forEach(function(table){\n"
    "var body=table.tBodies[0],rows=Array.from(body.rows),heads=table.querySelectorAll('th[data-c]');\n"
    "heads.forEach(function(head){var button=document.createElement('button');button.type='button';\n"
    "while(head.firstChild)button.appendChild(head.firstChild);head.appendChild(button);\n"
    "button.addEventListener('click',function(){var c=+head.dataset.c,number=c>0&&c!==3;\n"
    "var down=head.getAttribute('aria-sort')===(number?'descending':'ascending')?!number:number;\n"
    "heads.forEach(function(other){other.removeAttribute('aria-sort');});\n"
    "head.setAttribute('aria-sort',down?'descending':'ascending');\n"
    "function key(row){var cell=row.cells[c],v=cell.dataset.v;if(v===undefined)return "
    "number?null:cell.textContent;\n"
    "return c===0?v:+v;}\n"
    "rows.slice().sort(function(a,b){var x=key(a),y=key(b);if(x===null||y===null)return "
    "(x===null)-(y===null);\n"
    "return (x<y?-1:x>y?1:0)*(down?-1:1);}).forEach(function(row){body.appendChild(row);});});});});\n";

/* ---- the head ---- */

/* A figure with its error, and what it is. Nothing when it is no number. */
static void
add_card(GString *page, const char *figure, const char *what)
{
  gem_report_add(page, "<div class=\"card\"><b>%s</b><span>%s</span></div>\n", figure, what);
}

static void
add_number_card(GString *page, double value, int digits, const char *what)
{
  g_autofree char *text = gem_report_format(value, digits);

  if (isfinite(value)) {
    add_card(page, text, what);
  }
}

/* A mean over domains and, where the result has it, what it is with each domain's tasks drawn anew. */
static void
add_mean_card(GString *page, JsonObject *overall, const char *name, const char *what)
{
  g_autofree char *interval_name = g_strconcat(name, "_interval", NULL);
  JsonArray *interval = gem_report_array(overall, interval_name);
  double low = gem_report_element_number(interval, 0), high = gem_report_element_number(interval, 2);
  g_autofree char *low_text = gem_report_format(low, 2), *high_text = gem_report_format(high, 2);
  g_autofree char *median = gem_report_format(gem_report_element_number(interval, 1), 2);
  g_autofree char *with_interval = g_strdup_printf(
      "%s; with tasks drawn anew: median %s, 95 %% from %s to %s", what, median, low_text, high_text);

  add_number_card(page, gem_report_number(overall, name), 3,
                  isfinite(low) && isfinite(high) ? with_interval : what);
}

static void
add_beaten_card(GString *page, JsonObject *overall, const char *name, const char *what)
{
  g_autofree char *beaten = gem_report_format_count(gem_report_number(overall, name));
  g_autofree char *all = gem_report_format_count(gem_report_number(overall, "class_tasks"));
  g_autofree char *text = g_strdup_printf("%s of %s", beaten, all);

  if (isfinite(gem_report_number(overall, name))) {
    add_card(page, text, what);
  }
}

static void
add_time_cards(GString *page, JsonObject *latency)
{
  double query = gem_report_number(latency, "query_p50"), token = gem_report_number(latency, "token_p50");
  g_autofree char *query_text = gem_report_format_seconds(query);
  g_autofree char *most = gem_report_format_seconds(gem_report_number(latency, "query_p95"));
  g_autofree char *what = g_strdup_printf("a query, median; 95 %% within %s", most);
  g_autofree char *token_text = gem_report_format_seconds(token);

  if (isfinite(query)) {
    add_card(page, query_text, what);
  }
  if (isfinite(token)) {
    add_card(page, token_text, "a generated token, median");
  }
}

static void
add_cards(GString *page, JsonObject *result)
{
  JsonObject *overall = gem_report_object(result, "overall");
  JsonObject *memory = gem_report_object(result, "memory"), *flop = gem_report_object(result, "flop");
  GemReportScore f1 = gem_report_score(overall, "f1");
  g_autofree char *count = gem_report_format_count(gem_report_number(overall, "tasks"));
  g_autofree char *error = gem_report_format(f1.error, 3);
  g_autofree char *what = g_strdup_printf("mean F1 of %s tasks, \u00b1%s", count, error);
  g_autofree char *resident = gem_report_format_bytes(gem_report_number(memory, "resident_active"));
  g_autofree char *mflop = g_strdup_printf("%.1f M", gem_report_number(flop, "token") / 1e6);

  g_string_append(page, "<div class=\"cards\">\n");
  add_number_card(page, f1.value, 3, what);
  add_beaten_card(page, overall, "beating_majority", "tasks with classes clearly above the majority");
  add_beaten_card(page, overall, "beating_linear", "tasks with classes clearly above the linear baseline");
  add_mean_card(page, overall, "gap_same_tasks",
                "share of F1 lost through others\u2019 pathways, same tasks");
  add_mean_card(page, overall, "gg_forced", "GG through the own pathway; other tasks, which may be harder");
  add_number_card(page, gem_report_number(overall, "dsi_forced"), 2, "DSI through the own pathway");
  add_time_cards(page, gem_report_object(result, "latency"));
  if (isfinite(gem_report_number(memory, "resident_active"))) {
    add_card(page, resident, "weights and caches, median");
  }
  if (isfinite(gem_report_number(flop, "token"))) {
    add_card(page, mflop, "floating-point operations a token");
  }
  g_string_append(page, "</div>\n");
}

static void
add_start(GString *page, JsonObject *result)
{
  JsonObject *run = gem_report_object(result, "run");
  const char *model = gem_report_name(run, "model"), *note = gem_report_string(result, "note");

  g_string_append(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
  gem_report_add(page, "<title>EdgeBench: %s</title>\n", model);
  g_string_append_printf(page, "<style>\n%s%s</style>\n</head>\n<body>\n<main>\n", gem_bench_svg_get_style(),
                         page_style);
  gem_report_add(
      page,
      "<header><h1>EdgeBench: %s</h1>\n<p class=\"soft\">What a model of several domains can do in each "
      "of them, and what is left of it in the others. Scores run from 0 to 1; \u00b1 is a standard error."
      "</p></header>\n",
      model);
  if (note != NULL) {
    gem_report_add(page, "<p class=\"note\">%s</p>\n", note);
  }
}

/* ---- figures ---- */

/* A drawing with a name and what it says; in place of one that is not there, why. */
static void
add_figure(GString *page, const char *name, const char *caption, char *drawing, const char *absent)
{
  gem_report_add(page, "<figure><h3>%s</h3>\n<figcaption>%s</figcaption>\n", name,
                 drawing == NULL ? absent : caption);
  if (drawing != NULL) {
    g_string_append(page, drawing);
  }
  g_string_append(page, "</figure>\n");
  g_free(drawing);
}

static void
add_transfer(GString *page, JsonObject *result)
{
  static const char absent[] = "Not measured: gem-bench edge was run without --transfer.";

  g_string_append(
      page, "<h2>In and out of domain</h2>\n<p>Each task is run through the pathway of its own domain, and "
            "through those of the other domains.</p>\n<div class=\"figures\">\n");
  add_figure(page, "Density of F1", "One dash at the foot for each task; the upright lines are the means.",
             gem_report_draw_density(result), absent);
  add_figure(page, "In against out",
             "A mark for each task. On the dashed line nothing is lost out of domain; below it, "
             "the own pathway is better.",
             gem_report_draw_scatter(result), absent);
  add_figure(page, "DSI against GG",
             "Full marks: every token forced through one pathway. Hollow: as the router decides. "
             "Of a model that is as good everywhere, GG is 0 and DSI 1, the dashed lines.",
             gem_report_draw_specialisation(result), "No figures: fewer than two domains were run.");
  add_figure(page, "CDTR: the matrix of transfer",
             "Row: the pathway that every token is forced through. Column: the domain of the tasks. "
             "F1 there over F1 of the row\u2019s own domain; blue is more than 1, orange less.",
             gem_report_draw_transfer(result), absent);
  g_string_append(page, "</div>\n");
}

static void
add_absent(GString *page, const char *what, const char *why)
{
  gem_report_add(page, "<p><b>%s</b> was not measured: %s.</p>\n", what,
                 why == NULL ? "no reason is recorded" : why);
}

static void
add_energy(GString *page, JsonObject *result)
{
  JsonObject *energy = gem_report_object(result, "energy");
  const char *source = gem_report_string(energy, "source");
  g_autofree char *joules = gem_report_format(gem_report_number(energy, "joules"), 1);
  g_autofree char *token = gem_report_format(1e3 * gem_report_number(energy, "joules_per_token"), 2);
  g_autofree char *watts = gem_report_format(gem_report_number(energy, "watts"), 1);

  if (energy == NULL) {
    add_absent(page, "Energy", gem_report_string(result, "energy_absent"));
    return;
  }
  gem_report_add(page, "<p><b>Energy</b>: %s J in all, %s mJ a token, %s W (%s).</p>\n", joules, token, watts,
                 source == NULL ? "source not recorded" : source);
}

static void
add_paging(GString *page, JsonObject *result)
{
  JsonObject *paging = gem_report_object(result, "paging");
  g_autofree char *ins = gem_report_format_count(gem_report_number(paging, "page_ins"));
  g_autofree char *failures = gem_report_format_count(gem_report_number(paging, "page_in_failures"));
  g_autofree char *degraded = gem_report_format_count(gem_report_number(paging, "degraded_tokens"));

  if (paging == NULL) {
    add_absent(page, "Paging", gem_report_string(result, "paging_absent"));
    return;
  }
  gem_report_add(
      page,
      "<p><b>Paging</b>: pathways came into memory %s times, %s failed; %s tokens ran without the pathway "
      "that they were routed to.</p>\n",
      ins, failures, degraded);
}

static void
add_cost(GString *page, JsonObject *result)
{
  JsonObject *flop = gem_report_object(result, "flop");
  const char *formula = gem_report_string(flop, "formula");

  g_string_append(page, "<h2>What it costs</h2>\n<div class=\"figures\">\n");
  add_figure(page, "Time of a query", "From the call to its answer: medians of the domain\u2019s tasks.",
             gem_report_draw_latency(result, FALSE), "Not measured.");
  add_figure(page, "Time of a generated token",
             "Of the tasks that are answered in words; medians of the domain\u2019s tasks.",
             gem_report_draw_latency(result, TRUE), "Not measured: no task was answered in words.");
  add_figure(page, "Memory", "Of the model: weights and caches, as the service tells them.",
             gem_report_draw_memory(result), "Not measured: the service does not tell.");
  g_string_append(page, "</div>\n<div style=\"margin-top:16px\">\n");
  if (flop != NULL) {
    g_autofree char *general = gem_report_format(gem_report_number(flop, "general") / 1e6, 1);
    g_autofree char *pathway = gem_report_format(gem_report_number(flop, "pathway") / 1e6, 1);
    g_autofree char *router = gem_report_format(gem_report_number(flop, "router") / 1e6, 1);

    gem_report_add(
        page, "<p><b>Operations</b> of one token: general part %s M, a pathway %s M, router %s M%s%s.</p>\n",
        general, pathway, router, formula == NULL ? "" : "; ", formula == NULL ? "" : formula);
  } else {
    add_absent(page, "The count of operations", "the model\u2019s shape is not known");
  }
  add_energy(page, result);
  add_paging(page, result);
  g_string_append(page, "</div>\n");
}

/* ---- tasks ---- */

static void
add_key(GString *page)
{
  g_string_append(
      page,
      "<ul class=\"key\">"
      "<li><svg viewBox=\"0 0 18 18\"><path class=\"l0 w\" d=\"M0 9h18\"/><circle class=\"f0\" cx=\"9\" "
      "cy=\"9\" r=\"3.6\"/>"
      "</svg>score, two standard errors</li>"
      "<li><svg viewBox=\"0 0 18 18\"><path class=\"l5 s\" d=\"M9 3v12\"/></svg>chance</li>"
      "<li><svg viewBox=\"0 0 18 18\"><path class=\"l1 s\" d=\"M5.5 5.5h7v7h-7z\"/></svg>majority class</li>"
      "<li><svg viewBox=\"0 0 18 18\"><path class=\"l3 s\" d=\"M9 4l5 5l-5 5l-5-5z\"/></svg>linear bag of "
      "words</li>"
      "</ul>\n");
}

char *
gem_report_page_new(JsonObject *result)
{
  g_autoptr(GString) page = g_string_new(NULL);

  add_start(page, result);
  add_cards(page, result);
  g_string_append(page, "<h2>The run</h2>\n");
  gem_report_add_run(page, result);
  add_transfer(page, result);
  g_string_append(page, "<h2>Domains</h2>\n");
  gem_report_add_domains(page, result);
  add_cost(page, result);
  g_string_append(page,
                  "<h2>Tasks</h2>\n<p>Beaten is what the accuracy exceeds by two standard errors: of the "
                  "majority, or chance; of the difference to the linear model. Of written answers, "
                  "accuracy is an exact match. The heads of columns sort.</p>\n");
  add_key(page);
  gem_report_add_tasks(page, result);
  g_string_append_printf(page, "</main>\n<script>\n%s</script>\n</body>\n</html>\n", page_script);
  return g_string_free(g_steal_pointer(&page), FALSE);
}
