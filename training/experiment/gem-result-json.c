#include "training/experiment/gem-result-json.h"

#include <math.h>

void
gem_result_json_add_value(JsonBuilder *builder, double value)
{
  if (isfinite(value)) {
    json_builder_add_double_value(builder, value);
  } else {
    json_builder_add_null_value(builder);
  }
}

void
gem_result_json_add_member(JsonBuilder *builder, const char *name, double value)
{
  json_builder_set_member_name(builder, name);
  gem_result_json_add_value(builder, value);
}

gboolean
gem_result_json_write(JsonBuilder *builder, const char *path, GError **error)
{
  g_autoptr(JsonGenerator) generator = json_generator_new();
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  json_generator_set_root(generator, root);
  json_generator_set_pretty(generator, TRUE);
  return json_generator_to_file(generator, path, error);
}
