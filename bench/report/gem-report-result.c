#include "bench/report/gem-report-result.h"

#include <gio/gio.h>
#include <math.h>

/* The form that is understood. */
#define FORMAT 1

JsonObject *
gem_report_result_read(const char *path, GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new();
  JsonNode *root;
  JsonObject *object;

  if (!json_parser_load_from_file(parser, path, error)) {
    g_prefix_error(error, "%s: ", path);
    return NULL;
  }
  root = json_parser_get_root(parser);
  object = root != NULL && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
  if (g_strcmp0(gem_report_string(object, "command"), "edge") != 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: no result of gem-bench edge", path);
    return NULL;
  }
  if (gem_report_number(object, "format") != FORMAT) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: its \"format\" is not %d", path, FORMAT);
    return NULL;
  }
  return json_object_ref(object);
}

/* ---- nodes ---- */

static JsonNode *
get_member(JsonObject *object, const char *name)
{
  return object == NULL ? NULL : json_object_get_member(object, name);
}

static JsonNode *
get_element(JsonArray *array, guint i)
{
  return i < gem_report_length(array) ? json_array_get_element(array, i) : NULL;
}

static JsonObject *
to_object(JsonNode *node)
{
  return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static JsonArray *
to_array(JsonNode *node)
{
  return node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static gboolean
has_type(JsonNode *node, GType type)
{
  return node != NULL && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

static double
to_number(JsonNode *node)
{
  return has_type(node, G_TYPE_DOUBLE) || has_type(node, G_TYPE_INT64) ? json_node_get_double(node) : NAN;
}

static const char *
to_string(JsonNode *node)
{
  return has_type(node, G_TYPE_STRING) ? json_node_get_string(node) : NULL;
}

/* ---- members and elements ---- */

JsonObject *
gem_report_object(JsonObject *object, const char *name)
{
  return to_object(get_member(object, name));
}

JsonArray *
gem_report_array(JsonObject *object, const char *name)
{
  return to_array(get_member(object, name));
}

const char *
gem_report_string(JsonObject *object, const char *name)
{
  return to_string(get_member(object, name));
}

const char *
gem_report_name(JsonObject *object, const char *name)
{
  const char *string = gem_report_string(object, name);

  return string == NULL ? "?" : string;
}

double
gem_report_number(JsonObject *object, const char *name)
{
  return to_number(get_member(object, name));
}

int
gem_report_boolean(JsonObject *object, const char *name)
{
  JsonNode *node = get_member(object, name);

  return has_type(node, G_TYPE_BOOLEAN) ? json_node_get_boolean(node) : -1;
}

GemReportScore
gem_report_score(JsonObject *object, const char *name)
{
  JsonObject *score = gem_report_object(object, name);

  return (GemReportScore){gem_report_number(score, "value"), gem_report_number(score, "standard_error")};
}

guint
gem_report_length(JsonArray *array)
{
  return array == NULL ? 0 : json_array_get_length(array);
}

JsonObject *
gem_report_element(JsonArray *array, guint i)
{
  return to_object(get_element(array, i));
}

double
gem_report_element_number(JsonArray *array, guint i)
{
  return to_number(get_element(array, i));
}

const char *
gem_report_element_name(JsonArray *array, guint i)
{
  const char *string = to_string(get_element(array, i));

  return string == NULL ? "?" : string;
}

JsonArray *
gem_report_element_array(JsonArray *array, guint i)
{
  return to_array(get_element(array, i));
}
