#include "bench/gem-bench-json.h"

#include <math.h>

#include "bench/gem-bench-file.h"
#include "clients/gem-client/gem-client-json.h"

JsonBuilder *
gem_bench_json_begin(const GemBenchCommand *self,
                     const GemBenchOptions *options,
                     const char *subject,
                     const char *name)
{
  JsonBuilder *builder;

  if (options->json == NULL) {
    return NULL;
  }
  builder = json_builder_new();
  json_builder_begin_object(builder);
  gem_json_add_string(builder, "command", self->name);
  gem_json_add_string(builder, subject, name);
  return builder;
}

gboolean
gem_bench_json_finish(JsonBuilder *builder, const GemBenchOptions *options, GError **error)
{
  g_autoptr(JsonNode) root = NULL;
  g_autofree char *text = NULL;

  if (builder == NULL) {
    return TRUE;
  }
  json_builder_end_object(builder);
  root = json_builder_get_root(builder);
  text = json_to_string(root, TRUE);
  return gem_bench_file_write(options->json, text, error);
}

static void
add_value(JsonBuilder *builder, double value)
{
  if (isfinite(value)) {
    json_builder_add_double_value(builder, value);
  } else {
    json_builder_add_null_value(builder);
  }
}

void
gem_bench_json_add_double(JsonBuilder *builder, const char *name, double value)
{
  if (builder != NULL) {
    json_builder_set_member_name(builder, name);
    add_value(builder, value);
  }
}

void
gem_bench_json_add_count(JsonBuilder *builder, const char *name, guint64 value)
{
  if (builder != NULL) {
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, (gint64)value);
  }
}

void
gem_bench_json_add_string(JsonBuilder *builder, const char *name, const char *value)
{
  if (builder != NULL) {
    gem_json_add_string(builder, name, value);
  }
}

void
gem_bench_json_add_values(JsonBuilder *builder, const char *name, const GArray *values)
{
  GemBenchSpread spread = gem_bench_spread(values);
  guint i;

  if (builder == NULL) {
    return;
  }
  json_builder_set_member_name(builder, name);
  json_builder_begin_object(builder);
  gem_bench_json_add_double(builder, "min", spread.min);
  gem_bench_json_add_double(builder, "median", spread.median);
  gem_bench_json_add_double(builder, "max", spread.max);
  json_builder_set_member_name(builder, "values");
  json_builder_begin_array(builder);
  for (i = 0; i < values->len; i++) {
    add_value(builder, g_array_index(values, double, i));
  }
  json_builder_end_array(builder);
  json_builder_end_object(builder);
}

void
gem_bench_json_begin_list(JsonBuilder *builder, const char *name)
{
  if (builder != NULL) {
    json_builder_set_member_name(builder, name);
    json_builder_begin_array(builder);
  }
}

void
gem_bench_json_end_list(JsonBuilder *builder)
{
  if (builder != NULL) {
    json_builder_end_array(builder);
  }
}

void
gem_bench_json_begin_entry(JsonBuilder *builder)
{
  if (builder != NULL) {
    json_builder_begin_object(builder);
  }
}

void
gem_bench_json_end_entry(JsonBuilder *builder)
{
  if (builder != NULL) {
    json_builder_end_object(builder);
  }
}
