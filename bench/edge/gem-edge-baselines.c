#include "bench/edge/gem-edge-baselines.h"

#include <json-glib/json-glib.h>
#include <math.h>

void
gem_edge_baselines_free(GemEdgeBaselines *self)
{
  g_hash_table_unref(self->tasks);
  g_free(self);
}

/* The member of an object that is one; NULL otherwise, and of NULL. */
static JsonObject *
get_object(JsonObject *object, const char *name)
{
  JsonNode *node = object == NULL ? NULL : json_object_get_member(object, name);

  return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static double
get_double(JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member(object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_double(node) : NAN;
}

/* Takes one entry of "tasks"; FALSE when it is none, or none of this split. */
static gboolean
add_task(GemEdgeBaselines *self, JsonNode *node, const char *split)
{
  JsonObject *task = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
  JsonObject *linear = get_object(get_object(task, split), "linear");
  const char *name = task == NULL ? NULL : json_object_get_string_member_with_default(task, "task", NULL);
  GemEdgeBaseline baseline;

  if (linear == NULL || name == NULL) {
    return FALSE;
  }
  baseline = (GemEdgeBaseline){.accuracy = get_double(linear, "accuracy"),
                               .f1 = get_double(linear, "f1"),
                               .f1_error = get_double(linear, "f1_error")};
  g_hash_table_insert(self->tasks, g_strdup(name), g_memdup2(&baseline, sizeof baseline));
  return TRUE;
}

static gboolean
add_tasks(GemEdgeBaselines *self, JsonNode *root, const char *split)
{
  JsonObject *result = root != NULL && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
  JsonNode *tasks = result == NULL ? NULL : json_object_get_member(result, "tasks");
  JsonArray *list;
  guint i;

  if (tasks == NULL || !JSON_NODE_HOLDS_ARRAY(tasks)) {
    return FALSE;
  }
  list = json_node_get_array(tasks);
  for (i = 0; i < json_array_get_length(list); i++) {
    if (!add_task(self, json_array_get_element(list, i), split)) {
      return FALSE;
    }
  }
  return TRUE;
}

GemEdgeBaselines *
gem_edge_baselines_read(const char *path, const char *split, GError **error)
{
  g_autoptr(GemEdgeBaselines) self = g_new0(GemEdgeBaselines, 1);
  g_autoptr(JsonParser) parser = json_parser_new();

  self->tasks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  if (!json_parser_load_from_file(parser, path, error)) {
    g_prefix_error(error, "%s: ", path);
    return NULL;
  }
  if (!add_tasks(self, json_parser_get_root(parser), split)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "%s: not what gem-bench baseline says of %s lines", path, split);
    return NULL;
  }
  return g_steal_pointer(&self);
}

GemEdgeBaseline
gem_edge_baselines_get(const GemEdgeBaselines *self, const char *task)
{
  const GemEdgeBaseline *baseline = self == NULL ? NULL : g_hash_table_lookup(self->tasks, task);

  return baseline == NULL ? (GemEdgeBaseline){NAN, NAN, NAN} : *baseline;
}
