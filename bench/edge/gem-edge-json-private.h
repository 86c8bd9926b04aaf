/* What the parts of the JSON share. A figure that is no number is null. */
#pragma once

#include "bench/edge/gem-edge-json.h"
#include "bench/gem-bench-json.h"

void
gem_edge_json_add_score(JsonBuilder *builder, const char *name, GemEdgeScore score);
void
gem_edge_json_add_null(JsonBuilder *builder, const char *name);
/* NULL: null. */
void
gem_edge_json_add_text(JsonBuilder *builder, const char *name, const char *text);
void
gem_edge_json_add_boolean(JsonBuilder *builder, const char *name, gboolean value);
/* A list [n]. */
void
gem_edge_json_add_numbers(JsonBuilder *builder, const char *name, const double *values, guint n);
/* Opens the member that is an object; gem_bench_json_end_entry closes it. */
void
gem_edge_json_begin(JsonBuilder *builder, const char *name);

/* The members "tasks" and "transfer". */
void
gem_edge_json_add_tasks(JsonBuilder *builder, const GemEdgeResult *result, guint in_flight);
void
gem_edge_json_add_transfer(JsonBuilder *builder, const GemEdgeResult *result);
