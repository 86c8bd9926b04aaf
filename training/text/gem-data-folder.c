#include "training/text/gem-data-folder.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/gem-gguf.h"

/* gem-bench measures on the same documents: bench/bus/gem-bench-routing-documents.c. */
#define HELD_OUT_EVERY 50
/* Of values in values in JSON, each of which takes stack from the parser. */
#define MOST_DEPTH 64

gboolean
gem_data_read_text(const char *path, char **ret_text, gsize *ret_size, GError **error)
{
  g_autofree char *text = NULL;
  gsize size = 0;
  if (!g_file_get_contents(path, &text, &size, error)) {
    return FALSE;
  }
  if (strlen(text) < size) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "%s: a NUL at byte %" G_GSIZE_FORMAT "; a text has none", path, strlen(text));
    return FALSE;
  }
  *ret_text = g_steal_pointer(&text);
  if (ret_size != NULL) {
    *ret_size = size;
  }
  return TRUE;
}

gboolean
gem_data_find_file(const char *path, gboolean *ret_there, GError **error)
{
  GStatBuf status;
  gboolean there = g_stat(path, &status) == 0;
  int number = there ? (S_ISDIR(status.st_mode) ? EISDIR : EINVAL) : errno;
  if (there ? S_ISREG(status.st_mode)
            : (number == ENOENT || number == ENOTDIR) && g_lstat(path, &status) != 0) {
    *ret_there = there;
    return TRUE;
  }
  g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO, "%s: cannot be read: %s", path,
              there && number == EINVAL ? "not a regular file" : g_strerror(number));
  return FALSE;
}

/* ---- JSON ---- */

/* What the parser would take a part of, without a word, or never come back from; NULL: there is no such
 * thing.
 */
static const char *
find_json_fault(const char *text)
{
  gboolean in_string = FALSE;
  guint depth = 0, values = 0;
  for (const char *at = text; *at != '\0'; at++) {
    if (in_string && *at == '\\') {
      if (g_str_has_prefix(at, "\\u0000")) {
        return "a NUL in a string";
      }
      if (g_ascii_isdigit(at[1])) {
        return "an escape that JSON does not have"; /* the parser takes it for octal: \0 is a NUL */
      }
      at += at[1] != '\0' ? 1 : 0;
    } else if (in_string || *at == '"') {
      in_string = in_string != (*at == '"');
    } else if (*at == '{' || *at == '[') {
      values += depth == 0 ? 1 : 0;
      depth++;
    } else if (*at == '}' || *at == ']') {
      depth -= depth > 0 ? 1 : 0;
    } else if (*at == '\'' || *at == '/') {
      return "a quote or a comment that JSON does not have"; /* brackets in there would not be seen */
    }
    if (values > 1 || depth > MOST_DEPTH) {
      return values > 1 ? "more than one value"
                        : "values in values, more than " G_STRINGIFY(MOST_DEPTH) " deep";
    }
  }
  return NULL;
}

/* The root, borrowed of the parser; NULL without an error for a text without any. */
static gboolean
parse_json(JsonParser *parser, const char *text, JsonNode **ret_root, GError **error)
{
  const char *fault = find_json_fault(text);
  if (fault != NULL) {
    g_set_error_literal(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED, fault);
    return FALSE;
  }
  if (!json_parser_load_from_data(parser, text, -1, error)) {
    return FALSE;
  }
  *ret_root = json_parser_get_root(parser);
  return TRUE;
}

static void
task_free(gpointer data)
{
  GemDataTask *task = data;
  g_free(task->domain);
  g_free(task->name);
  g_free(task);
}

/* A string member; NULL when there is none of that type. */
static const char *
string_member(JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member(object, name);
  return node != NULL && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
             ? json_node_get_string(node)
             : NULL;
}

/* An array of strings; NULL when there is none of that type. Transfer full. */
static char **
strings_member(JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member(object, name);
  g_autoptr(GStrvBuilder) strings = g_strv_builder_new();
  if (node == NULL || !JSON_NODE_HOLDS_ARRAY(node)) {
    return NULL;
  }
  JsonArray *array = json_node_get_array(node);
  for (guint i = 0; i < json_array_get_length(array); i++) {
    JsonNode *element = json_array_get_element(array, i);
    if (!JSON_NODE_HOLDS_VALUE(element) || json_node_get_value_type(element) != G_TYPE_STRING) {
      return NULL;
    }
    g_strv_builder_add(strings, json_node_get_string(element));
  }
  return g_strv_builder_end(strings);
}

static gboolean
add_task(GPtrArray *tasks, JsonNode *node, GError **error)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
  const char *domain = object != NULL ? string_member(object, "domain") : NULL;
  const char *name = object != NULL ? string_member(object, "name") : NULL;
  if (domain == NULL || name == NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED, "task %u has no domain or no name",
                tasks->len + 1);
    return FALSE;
  }
  GemDataTask *task = g_new0(GemDataTask, 1);
  task->domain = g_strdup(domain);
  task->name = g_strdup(name);
  task->permissive = json_object_get_boolean_member_with_default(object, "permissive", FALSE);
  g_ptr_array_add(tasks, task);
  return TRUE;
}

static GPtrArray *
read_manifest(const char *path, GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new();
  g_autofree char *text = NULL;
  JsonNode *root = NULL;
  if (!gem_data_read_text(path, &text, NULL, error) || !parse_json(parser, text, &root, error)) {
    return NULL;
  }
  JsonNode *list = root != NULL && JSON_NODE_HOLDS_OBJECT(root)
                       ? json_object_get_member(json_node_get_object(root), "tasks")
                       : NULL;
  if (list == NULL || !JSON_NODE_HOLDS_ARRAY(list)) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED, "there is no array \"tasks\"");
    return NULL;
  }
  JsonArray *array = json_node_get_array(list);
  g_autoptr(GPtrArray) tasks = g_ptr_array_new_with_free_func(task_free);
  for (guint i = 0; i < json_array_get_length(array); i++) {
    if (!add_task(tasks, json_array_get_element(array, i), error)) {
      return NULL;
    }
  }
  return g_steal_pointer(&tasks);
}

GPtrArray *
gem_data_folder_read_tasks(const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename(folder, "manifest.json", NULL);
  GPtrArray *tasks = read_manifest(path, error);
  if (tasks == NULL) {
    g_prefix_error(error, "%s: ", path);
  }
  return tasks;
}

char *
gem_data_task_path(const char *folder, const GemDataTask *task, const char *file)
{
  return g_build_filename(folder, "tasks", task->domain, task->name, file, NULL);
}

gboolean
gem_data_line_parse(const char *line, GemDataLine *ret_line, GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new_immutable();
  JsonNode *root = NULL;
  if (!parse_json(parser, line, &root, error)) {
    return FALSE;
  }
  JsonObject *object = root != NULL && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
  const char *input = object != NULL ? string_member(object, "input") : NULL;
  const char *target = object != NULL ? string_member(object, "target") : NULL;
  if (input == NULL || target == NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED,
                "no object with the strings \"input\" and \"target\"");
    return FALSE;
  }
  *ret_line = (GemDataLine){
      .input = g_strdup(input), .target = g_strdup(target), .choices = strings_member(object, "choices")};
  return TRUE;
}

void
gem_data_line_clear(GemDataLine *self)
{
  g_clear_pointer(&self->input, g_free);
  g_clear_pointer(&self->target, g_free);
  g_clear_pointer(&self->choices, g_strfreev);
}

const char *
gem_data_next_document(const char **at, const char *end, gsize *ret_length)
{
  *at += strspn(*at, "\n");
  if (*at >= end) {
    return NULL;
  }
  const char *document = *at, *blank = strstr(document, "\n\n");
  const char *after = blank != NULL ? blank : end;
  *at = blank != NULL ? blank + strspn(blank, "\n") : end;
  while (after > document && after[-1] == '\n') {
    after--;
  }
  *ret_length = (gsize)(after - document);
  return document;
}

gboolean
gem_data_is_held_out(gsize document)
{
  return document % HELD_OUT_EVERY == 0;
}

gboolean
gem_data_read_labels(const char *path, GStrv *ret_labels, GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new_immutable();
  g_autoptr(GStrvBuilder) labels = g_strv_builder_new();
  g_autofree char *text = NULL;
  JsonNode *root = NULL;
  gboolean there = FALSE;
  *ret_labels = NULL;
  if (!gem_data_find_file(path, &there, error)) {
    return FALSE;
  }
  if (!there) {
    return TRUE;
  }
  if (!gem_data_read_text(path, &text, NULL, error)) {
    return FALSE;
  }
  if (!parse_json(parser, text, &root, error)) {
    g_prefix_error(error, "%s: ", path);
    return FALSE;
  }
  JsonArray *array = root != NULL && JSON_NODE_HOLDS_ARRAY(root) ? json_node_get_array(root) : NULL;
  for (guint i = 0; array != NULL && i < json_array_get_length(array); i++) {
    JsonNode *node = json_array_get_element(array, i);
    if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_string(node) == NULL) {
      array = NULL;
    } else {
      g_strv_builder_add(labels, json_node_get_string(node));
    }
  }
  if (array == NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED, "%s: no array of strings", path);
    return FALSE;
  }
  *ret_labels = g_strv_builder_end(labels);
  return TRUE;
}
