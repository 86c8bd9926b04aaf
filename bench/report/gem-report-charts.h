/* The drawings of a report, of a result as gem-report-result.h reads it: SVG for a page that has
 * gem_bench_svg_get_style. Each is NULL where the result has nothing to draw. Transfer full. */
#pragma once

#include "bench/report/gem-report-result.h"

/* How the tasks' F1 lies through the pathway of their own domain, and through those of others. */
char *
gem_report_draw_density(JsonObject *result);
/* A mark for each task: F1 through its own domain's pathway, and through those of others. */
char *
gem_report_draw_scatter(JsonObject *result);
/* DSI against GG: a mark for each domain, full as forced through one pathway, hollow as routed. */
char *
gem_report_draw_specialisation(JsonObject *result);
/* CDTR of each domain in each other one. */
char *
gem_report_draw_transfer(JsonObject *result);
/* Milliseconds of a query, or with `token` of a generated token: the medians of the domains' tasks. */
char *
gem_report_draw_latency(JsonObject *result, gboolean token);
/* Megabytes. */
char *
gem_report_draw_memory(JsonObject *result);
