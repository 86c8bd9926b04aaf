#include "bench/questions/gem-bench-data.h"

#include <json-glib/json-glib.h>
#include <string.h>

void
gem_bench_line_free(GemBenchLine *self)
{
  g_free(self->input);
  g_strfreev(self->labels);
  g_strfreev(self->right);
  g_free(self);
}

static gboolean
refuse(GError **error, const char *path, const char *what)
{
  g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: %s", path, what);
  return FALSE;
}

/* ---- the manifest ---- */

/* NULL for what is no array of strings. */
static GStrv
read_strings(JsonNode *node)
{
  g_autoptr(GStrvBuilder) strings = g_strv_builder_new();
  JsonArray *array;
  guint i;

  if (!JSON_NODE_HOLDS_ARRAY(node)) {
    return NULL;
  }
  array = json_node_get_array(node);
  for (i = 0; i < json_array_get_length(array); i++) {
    JsonNode *element = json_array_get_element(array, i);

    if (!JSON_NODE_HOLDS_VALUE(element) || json_node_get_string(element) == NULL) {
      return NULL;
    }
    g_strv_builder_add(strings, json_node_get_string(element));
  }
  return g_strv_builder_end(strings);
}

static JsonArray *
get_tasks(JsonParser *parser)
{
  JsonNode *root = json_parser_get_root(parser);
  JsonNode *tasks = root != NULL && JSON_NODE_HOLDS_OBJECT(root)
                        ? json_object_get_member(json_node_get_object(root), "tasks")
                        : NULL;

  return tasks != NULL && JSON_NODE_HOLDS_ARRAY(tasks) ? json_node_get_array(tasks) : NULL;
}

static const char *
get_string(JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member(object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
}

GStrv
gem_bench_data_list_tasks(const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename(folder, "manifest.json", NULL);
  g_autoptr(JsonParser) parser = json_parser_new();
  g_autoptr(GStrvBuilder) names = g_strv_builder_new();
  JsonArray *tasks;
  guint i;

  if (!json_parser_load_from_file(parser, path, error)) {
    g_prefix_error(error, "%s: ", path);
    return NULL;
  }
  tasks = get_tasks(parser);
  if (tasks == NULL) {
    refuse(error, path, "no array \"tasks\"");
    return NULL;
  }
  for (i = 0; i < json_array_get_length(tasks); i++) {
    JsonNode *node = json_array_get_element(tasks, i);
    JsonObject *task = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    const char *domain = task == NULL ? NULL : get_string(task, "domain");
    const char *name = task == NULL ? NULL : get_string(task, "name");
    g_autofree char *full = NULL;

    if (domain == NULL || name == NULL) {
      refuse(error, path, "a task without \"domain\" or \"name\"");
      return NULL;
    }
    full = g_strconcat(domain, "/", name, NULL);
    g_strv_builder_add(names, full);
  }
  return g_strv_builder_end(names);
}

/* The form of a task that is called `full`, borrowed from the manifest; NULL: there is none. */
static const char *
find_form(JsonArray *tasks, const char *full)
{
  guint i;

  for (i = 0; i < json_array_get_length(tasks); i++) {
    JsonNode *element = json_array_get_element(tasks, i);
    JsonObject *task = JSON_NODE_HOLDS_OBJECT(element) ? json_node_get_object(element) : NULL;
    const char *domain = task == NULL ? NULL : get_string(task, "domain");
    const char *name = task == NULL ? NULL : get_string(task, "name");
    gsize length = domain == NULL ? 0 : strlen(domain);

    if (domain != NULL && name != NULL && strncmp(full, domain, length) == 0 && full[length] == '/' &&
        g_str_equal(full + length + 1, name)) {
      return get_string(task, "form");
    }
  }
  return NULL;
}

GStrv
gem_bench_data_list_suite(const char *folder, GStrv *ret_forms, GError **error)
{
  g_autofree char *path = g_build_filename(folder, "manifest.json", NULL);
  g_autoptr(JsonParser) parser = json_parser_new();
  g_autoptr(GStrvBuilder) forms = g_strv_builder_new();
  g_auto(GStrv) names = NULL;
  JsonArray *tasks;
  JsonNode *suite;
  guint i;

  if (!json_parser_load_from_file(parser, path, error)) {
    g_prefix_error(error, "%s: ", path);
    return NULL;
  }
  tasks = get_tasks(parser);
  suite = tasks == NULL ? NULL
                        : json_object_get_member(json_node_get_object(json_parser_get_root(parser)), "suite");
  names = suite == NULL ? NULL : read_strings(suite);
  if (names == NULL) {
    refuse(error, path, tasks == NULL ? "no array \"tasks\"" : "no array of strings \"suite\"");
    return NULL;
  }
  for (i = 0; names[i] != NULL; i++) {
    const char *form = find_form(tasks, names[i]);

    if (form == NULL) {
      g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                  "%s: the suite's '%s' is no task with a \"form\"", path, names[i]);
      return NULL;
    }
    g_strv_builder_add(forms, form);
  }
  *ret_forms = g_strv_builder_end(forms);
  return g_steal_pointer(&names);
}

/* ---- lines of a task ---- */

GArray *
gem_bench_data_draw(guint total, guint limit, guint seed)
{
  GArray *drawn = g_array_new(FALSE, FALSE, sizeof(guint));
  g_autoptr(GRand) random = g_rand_new_with_seed(seed);
  guint i, wanted = limit == 0 ? total : MIN(limit, total);

  /* Each in turn, with the chance that what is wanted has of being among what is left. */
  for (i = 0; i < total && wanted > 0; i++) {
    if (wanted == total - i || (guint)g_rand_int_range(random, 0, (gint32)(total - i)) < wanted) {
      g_array_append_val(drawn, i);
      wanted--;
    }
  }
  return drawn;
}

static gint
find_label(GStrv labels, const char *target)
{
  gint i;

  for (i = 0; labels != NULL && labels[i] != NULL; i++) {
    if (g_str_equal(labels[i], target)) {
      return i;
    }
  }
  return -1;
}

/* "target", then what "refs" has beside it. NULL for refs that are no strings. */
static GStrv
read_right(JsonObject *object, const char *target)
{
  JsonNode *refs = json_object_get_member(object, "refs");
  g_auto(GStrv) others = refs == NULL || JSON_NODE_HOLDS_NULL(refs) ? g_new0(char *, 1) : read_strings(refs);
  g_autoptr(GStrvBuilder) right = g_strv_builder_new();

  if (others == NULL) {
    return NULL;
  }
  g_strv_builder_add(right, target);
  g_strv_builder_addv(right, (const char **)others);
  return g_strv_builder_end(right);
}

/* `shared`: the labels of labels.json, or NULL. */
static GemBenchLine *
read_line(const char *text, GStrv shared, GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new();
  g_autoptr(GemBenchLine) line = g_new0(GemBenchLine, 1);
  JsonNode *root, *choices;
  JsonObject *object;
  const char *input, *target;

  if (!json_parser_load_from_data(parser, text, -1, error)) {
    return NULL;
  }
  root = json_parser_get_root(parser);
  object = root != NULL && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
  input = object == NULL ? NULL : get_string(object, "input");
  target = object == NULL ? NULL : get_string(object, "target");
  if (input == NULL || target == NULL) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no strings \"input\" and \"target\"");
    return NULL;
  }
  choices = json_object_get_member(object, "choices");
  line->input = g_strdup(input);
  line->labels = choices == NULL ? g_strdupv(shared) : read_strings(choices);
  if (choices != NULL && line->labels == NULL) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"choices\" is no array of strings");
    return NULL;
  }
  line->right = read_right(object, target);
  if (line->right == NULL) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "\"refs\" is no array of strings");
    return NULL;
  }
  line->target = find_label(line->labels, target);
  return g_steal_pointer(&line);
}

/* The strings of labels.json beside a task's lines; `ret_labels` NULL when there is no such file. */
static gboolean
read_labels(const char *task_folder, GStrv *ret_labels, GError **error)
{
  g_autofree char *path = g_build_filename(task_folder, "labels.json", NULL);
  g_autoptr(JsonParser) parser = json_parser_new();
  GStrv labels;

  if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
    *ret_labels = NULL;
    return TRUE;
  }
  if (!json_parser_load_from_file(parser, path, error)) {
    g_prefix_error(error, "%s: ", path);
    return FALSE;
  }
  labels = json_parser_get_root(parser) == NULL ? NULL : read_strings(json_parser_get_root(parser));
  if (labels == NULL) {
    return refuse(error, path, "no array of strings");
  }
  *ret_labels = labels;
  return TRUE;
}

/* A file's text, which must be UTF-8. */
static char *
read_text(const char *path, GError **error)
{
  g_autofree char *text = NULL;
  gsize size;
  const char *bad;

  if (!g_file_get_contents(path, &text, &size, error)) {
    return NULL;
  }
  if (!g_utf8_validate_len(text, size, &bad)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: not UTF-8 at byte %zu", path,
                (gsize)(bad - text));
    return NULL;
  }
  return g_steal_pointer(&text);
}

static GPtrArray *
read_drawn_lines(const char *path, GStrv labels, guint limit, guint seed, GError **error)
{
  g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func((GDestroyNotify)gem_bench_line_free);
  g_autofree char *text = read_text(path, error);
  g_auto(GStrv) rows = NULL;
  g_autoptr(GArray) drawn = NULL;
  guint i, total;

  if (text == NULL) {
    return NULL;
  }
  rows = g_strsplit(text, "\n", -1);
  total = g_strv_length(rows);
  while (total > 0 && rows[total - 1][0] == '\0') {
    total--;
  }
  drawn = gem_bench_data_draw(total, limit, seed);
  for (i = 0; i < drawn->len; i++) {
    guint index = g_array_index(drawn, guint, i);
    GemBenchLine *line = read_line(rows[index], labels, error);

    if (line == NULL) {
      g_prefix_error(error, "%s: line %u: ", path, index + 1);
      return NULL;
    }
    line->number = index + 1;
    g_ptr_array_add(lines, line);
  }
  return g_steal_pointer(&lines);
}

GPtrArray *
gem_bench_data_read_lines(
    const char *folder, const char *task, const char *split, guint limit, guint seed, GError **error)
{
  g_autofree char *task_folder = g_build_filename(folder, "tasks", task, NULL);
  g_autofree char *file = g_strconcat(split, ".jsonl", NULL);
  g_autofree char *path = g_build_filename(task_folder, file, NULL);
  g_auto(GStrv) labels = NULL;

  if (!g_file_test(task_folder, G_FILE_TEST_IS_DIR)) {
    refuse(error, task_folder, "no such folder, but the manifest names the task");
    return NULL;
  }
  if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
    return g_ptr_array_new_with_free_func((GDestroyNotify)gem_bench_line_free);
  }
  if (!read_labels(task_folder, &labels, error)) {
    return NULL;
  }
  return read_drawn_lines(path, labels, limit, seed, error);
}

/* ---- documents of a text ---- */

GPtrArray *
gem_bench_data_read_documents(const char *path, GError **error)
{
  g_autoptr(GPtrArray) documents = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *text = read_text(path, error);
  const char *at = text;

  if (text == NULL) {
    return NULL;
  }
  for (at += strspn(at, "\n"); *at != '\0'; at += strspn(at, "\n")) {
    const char *blank = strstr(at, "\n\n");
    gsize length = blank != NULL ? (gsize)(blank - at) : strlen(at);

    while (at[length - 1] == '\n') {
      length--;
    }
    g_ptr_array_add(documents, g_strndup(at, length));
    at += length;
  }
  return g_steal_pointer(&documents);
}
