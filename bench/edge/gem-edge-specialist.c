#include "bench/edge/gem-edge-specialist.h"

#include <json-glib/json-glib.h>
#include <math.h>

#include "bench/edge/gem-edge-baselines.h"

#define CLEAR_ERRORS 2.0

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

/* Keeps the better one. */
static void
keep(GemEdgeSpecialist *self, char *name, GemEdgeScore score)
{
  g_autofree char *owned = name;
  const GemEdgeScore *before = g_hash_table_lookup(self->tasks, name);

  if (!isnan(score.value) && (before == NULL || score.value > before->value)) {
    g_hash_table_insert(self->tasks, g_steal_pointer(&owned), g_memdup2(&score, sizeof score));
  }
}

/* Takes one entry of "tasks"; FALSE when it is none. */
static gboolean
add_task(GemEdgeSpecialist *self, JsonNode *node)
{
  JsonObject *task = get_object(node);
  JsonObject *f1 = task == NULL ? NULL : get_object(json_object_get_member(task, "f1"));
  const char *domain, *name;

  if (f1 == NULL) {
    return FALSE;
  }
  domain = json_object_get_string_member_with_default(task, "domain", NULL);
  name = json_object_get_string_member_with_default(task, "name", NULL);
  if (domain == NULL || name == NULL) {
    return FALSE;
  }
  keep(self, g_strconcat(domain, "/", name, NULL),
       (GemEdgeScore){json_object_get_double_member_with_default(f1, "value", NAN),
                      json_object_get_double_member_with_default(f1, "standard_error", NAN)});
  return TRUE;
}

static void
add_model(GemEdgeSpecialist *self, const char *name)
{
  g_autofree char *before = self->model;

  self->model = before == NULL ? g_strdup(name) : g_strconcat(before, ", ", name, NULL);
}

static gboolean
add_result(GemEdgeSpecialist *self, JsonObject *result)
{
  JsonNode *tasks = json_object_get_member(result, "tasks");
  JsonArray *list;
  guint i;

  if (tasks == NULL || !JSON_NODE_HOLDS_ARRAY(tasks)) {
    return FALSE;
  }
  list = json_node_get_array(tasks);
  for (i = 0; i < json_array_get_length(list); i++) {
    if (!add_task(self, json_array_get_element(list, i))) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Other lines are harder or easier, and a macro-F1 over fewer of them is another figure. */
static gboolean
is_of_these_lines(JsonObject *run, const GemEdgeWish *wish)
{
  return g_strcmp0(json_object_get_string_member_with_default(run, "split", NULL), wish->split) == 0 &&
         json_object_get_int_member_with_default(run, "limit", -1) == wish->limit &&
         (wish->limit == 0 || json_object_get_int_member_with_default(run, "seed", -1) == wish->seed);
}

/* The linear models of a file that gem-bench baseline has written; FALSE when it has not. */
static gboolean
add_linear(GemEdgeSpecialist *self, const char *path, const char *split)
{
  g_autoptr(GemEdgeBaselines) baselines = gem_edge_baselines_read(path, split, NULL);
  GHashTableIter iter;
  gpointer name, value;

  if (baselines == NULL) {
    return FALSE;
  }
  g_hash_table_iter_init(&iter, baselines->tasks);
  while (g_hash_table_iter_next(&iter, &name, &value)) {
    const GemEdgeBaseline *baseline = value;

    keep(self, g_strdup(name), (GemEdgeScore){baseline->f1, baseline->f1_error});
  }
  add_model(self, "linear");
  return TRUE;
}

static gboolean
add_file(GemEdgeSpecialist *self, const char *path, const GemEdgeWish *wish, GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new();
  JsonObject *result, *run;
  const char *model; /* NULL for what is no text, too */

  if (!json_parser_load_from_file(parser, path, error)) {
    g_prefix_error(error, "%s: ", path);
    return FALSE;
  }
  result = get_object(json_parser_get_root(parser));
  run = result == NULL ? NULL : get_object(json_object_get_member(result, "run"));
  if (run == NULL && add_linear(self, path, wish->split)) {
    return TRUE;
  }
  model = run == NULL ? NULL : json_object_get_string_member_with_default(run, "model", "");
  if (model == NULL || !add_result(self, result)) {
    g_set_error(
        error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
        "%s: neither the result of a run of gem-bench edge nor what gem-bench baseline says of %s lines",
        path, wish->split);
    return FALSE;
  }
  if (!is_of_these_lines(run, wish)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                "%s: a run of other lines: --split, --limit and --seed must be those of this run", path);
    return FALSE;
  }
  add_model(self, model);
  return TRUE;
}

GemEdgeSpecialist *
gem_edge_specialist_read(const char *const *paths, const GemEdgeWish *wish, GError **error)
{
  g_autoptr(GemEdgeSpecialist) self = g_new0(GemEdgeSpecialist, 1);
  gsize i;

  self->tasks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  for (i = 0; paths[i] != NULL; i++) {
    if (!add_file(self, paths[i], wish, error)) {
      return NULL;
    }
  }
  return g_steal_pointer(&self);
}

GemEdgeScore
gem_edge_specialist_get(const GemEdgeSpecialist *self, const char *task)
{
  const GemEdgeScore *score = self == NULL ? NULL : g_hash_table_lookup(self->tasks, task);

  return score == NULL ? (GemEdgeScore){NAN, NAN} : *score;
}

double
gem_edge_specialist_top(GemEdgeScore specialist, double chance)
{
  return specialist.value - chance > CLEAR_ERRORS * specialist.standard_error ? specialist.value : NAN;
}
