/* Results as a JSON object in a file of their own. Functions that take a builder do nothing for NULL: no file
 * is wanted. */
#pragma once

#include <json-glib/json-glib.h>

#include "bench/gem-bench-command.h"
#include "bench/gem-bench-statistics.h"

/* Begins {"command": ..., `subject`: `name`, ...} for the results of `options->json`; `subject` is "service",
 * "model" or "machine". gem_bench_json_finish ends it and writes the file. */
JsonBuilder *
gem_bench_json_begin(const GemBenchCommand *self,
                     const GemBenchOptions *options,
                     const char *subject,
                     const char *name);
gboolean
gem_bench_json_finish(JsonBuilder *builder, const GemBenchOptions *options, GError **error);

/* Adds a member of the open object; a figure that is no number is null. */
void
gem_bench_json_add_double(JsonBuilder *builder, const char *name, double value);
void
gem_bench_json_add_count(JsonBuilder *builder, const char *name, guint64 value);
void
gem_bench_json_add_string(JsonBuilder *builder, const char *name, const char *value);
/* {"min", "median", "max", "values": [...]} of doubles in the order in which they were measured. */
void
gem_bench_json_add_values(JsonBuilder *builder, const char *name, const GArray *values);

/* Opens and closes a list of objects: list, then an object for each entry. */
void
gem_bench_json_begin_list(JsonBuilder *builder, const char *name);
void
gem_bench_json_end_list(JsonBuilder *builder);
void
gem_bench_json_begin_entry(JsonBuilder *builder);
void
gem_bench_json_end_entry(JsonBuilder *builder);
