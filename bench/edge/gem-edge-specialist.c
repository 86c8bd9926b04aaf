#include "bench/edge/gem-edge-specialist.h"

#include <json-glib/json-glib.h>
#include <math.h>

void
gem_edge_specialist_free(GemEdgeSpecialist *self)
{
  g_free(self->model);
  g_hash_table_unref(self->tasks);
  g_free(self);
}

static JsonObject *
get_object(JsonNode *node)
{
  return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* Takes one entry of "tasks"; FALSE when it is none. */
static gboolean
add_task(GemEdgeSpecialist *self, JsonNode *node)
{
  JsonObject *task = get_object(node);
  JsonObject *f1 = task == NULL ? NULL : get_object(json_object_get_member(task, "f1"));
  const char *domain, *name;
  double value;

  if (f1 == NULL) {
    return FALSE;
  }
  domain = json_object_get_string_member_with_default(task, "domain", NULL);
  name = json_object_get_string_member_with_default(task, "name", NULL);
  if (domain == NULL || name == NULL) {
    return FALSE;
  }
  value = json_object_get_double_member_with_default(f1, "value", NAN);
  g_hash_table_insert(self->tasks, g_strconcat(domain, "/", name, NULL), g_memdup2(&value, sizeof value));
  return TRUE;
}

static gboolean
add_tasks(GemEdgeSpecialist *self, JsonObject *result)
{
  JsonNode *tasks = result == NULL ? NULL : json_object_get_member(result, "tasks");
  JsonObject *run = result == NULL ? NULL : get_object(json_object_get_member(result, "run"));
  JsonArray *list;
  guint i;

  if (tasks == NULL || !JSON_NODE_HOLDS_ARRAY(tasks) || run == NULL) {
    return FALSE;
  }
  self->model = g_strdup(json_object_get_string_member_with_default(run, "model", ""));
  list = json_node_get_array(tasks);
  for (i = 0; i < json_array_get_length(list); i++) {
    if (!add_task(self, json_array_get_element(list, i))) {
      return FALSE;
    }
  }
  return TRUE;
}

GemEdgeSpecialist *
gem_edge_specialist_read(const char *path, GError **error)
{
  g_autoptr(GemEdgeSpecialist) self = g_new0(GemEdgeSpecialist, 1);
  g_autoptr(JsonParser) parser = json_parser_new();

  self->tasks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  if (!json_parser_load_from_file(parser, path, error)) {
    g_prefix_error(error, "%s: ", path);
    return NULL;
  }
  if (!add_tasks(self, get_object(json_parser_get_root(parser)))) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: not the result of a run of gem-bench edge",
                path);
    return NULL;
  }
  return g_steal_pointer(&self);
}

double
gem_edge_specialist_get(const GemEdgeSpecialist *self, const char *task)
{
  const double *value = self == NULL ? NULL : g_hash_table_lookup(self->tasks, task);

  return value == NULL ? NAN : *value;
}
