#include "training/experiment/gem-choice-tasks.h"

#include <string.h>

#include "training/text/gem-data-folder.h"

static void
item_free(gpointer data)
{
  GemChoiceItem *item = data;
  g_array_unref(item->prompt);
  g_array_unref(item->choices);
  g_array_unref(item->starts);
  g_free(item);
}

static void
task_free(gpointer data)
{
  GemChoiceTask *task = data;
  g_free(task->name);
  g_ptr_array_unref(task->items);
  g_free(task);
}

/* Keeps the end of a prompt, after its <s>. */
static void
cut_prompt(GArray *prompt, guint longest)
{
  if (prompt->len > longest) {
    g_array_remove_range(prompt, 1, prompt->len - longest);
  }
}

static gboolean
check_item(const GemChoiceTasksOptions *options, const GemChoiceItem *item, guint longest, GError **error)
{
  const char *wrong = NULL;
  if (item->starts->len - 1 > GEM_CHOICES_MOST) {
    wrong = "more than 255 choices";
  } else if (item->right == G_MAXUINT) {
    wrong = "the target is none of the choices";
  } else if (longest + 16 > options->longest) {
    wrong = "a choice is too long";
  }
  if (wrong != NULL) {
    g_set_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MALFORMED, "%s", wrong);
  }
  return wrong == NULL;
}

static GemChoiceItem *
make_item(const GemChoiceTasksOptions *options,
          GemTokenizer *tokenizer,
          const GemDataLine *line,
          const char *const *choices,
          GError **error)
{
  guint32 end = gem_tokenizer_eos(tokenizer), longest = 0;
  GemChoiceItem *item = g_new0(GemChoiceItem, 1);
  item->prompt = g_array_new(FALSE, FALSE, sizeof(guint32));
  item->choices = g_array_new(FALSE, FALSE, sizeof(guint32));
  item->starts = g_array_new(FALSE, TRUE, sizeof(guint32));
  item->right = G_MAXUINT;
  g_array_set_size(item->starts, 1);
  gboolean encoded =
      gem_tokenizer_encode_template(tokenizer, options->ask_template, line->input, item->prompt, error);
  for (guint c = 0; encoded && choices[c] != NULL; c++) {
    guint32 start = item->choices->len;
    encoded = gem_tokenizer_encode(tokenizer, choices[c], -1, item->choices, NULL, error);
    g_array_append_val(item->choices, end);
    guint32 next = item->choices->len;
    g_array_append_val(item->starts, next);
    longest = MAX(longest, next - start);
    item->right = strcmp(choices[c], line->target) == 0 ? c : item->right;
  }
  encoded = encoded && check_item(options, item, longest, error);
  if (!encoded) {
    item_free(item);
    return NULL;
  }
  cut_prompt(item->prompt, options->longest - longest);
  return item;
}

/* One answer to all: the commonest target, or, where choices differ from line to line, any of them. */
static double
majority_of(GHashTable *targets, double sum_of_chances, guint items)
{
  GHashTableIter iter;
  gpointer count;
  guint most = 0;
  g_hash_table_iter_init(&iter, targets);
  while (g_hash_table_iter_next(&iter, NULL, &count)) {
    most = MAX(most, GPOINTER_TO_UINT(count));
  }
  return MAX((double)most, sum_of_chances) / (double)MAX(items, 1);
}

static gboolean
read_items(const GemChoiceTasksOptions *options,
           GemTokenizer *tokenizer,
           const char *text,
           const char *const *labels,
           GemChoiceTask *task,
           GError **error)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  g_autoptr(GHashTable) targets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  gsize total = 0, most = options->most_items;
  double chances = 0.0;
  total = g_strv_length(lines);
  while (total > 0 && *lines[total - 1] == '\0') {
    total--;
  }
  for (gsize i = 0; i < total; i++) {
    g_auto(GemDataLine) line = {0};
    if (most > 0 && total > most && (i * most) / total == ((i + 1) * most) / total) {
      continue;
    }
    if (!gem_data_line_parse(lines[i], &line, error)) {
      g_prefix_error(error, "line %" G_GSIZE_FORMAT ": ", i + 1);
      return FALSE;
    }
    const char *const *choices = line.choices != NULL ? (const char *const *)line.choices : labels;
    if (choices == NULL) {
      g_ptr_array_set_size(task->items, 0); /* not of this form, whatever the lines before were */
      return TRUE;
    }
    GemChoiceItem *item = make_item(options, tokenizer, &line, choices, error);
    if (item == NULL) {
      g_prefix_error(error, "line %" G_GSIZE_FORMAT ": ", i + 1);
      return FALSE;
    }
    g_ptr_array_add(task->items, item);
    chances += 1.0 / (double)(item->starts->len - 1);
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(targets, line.target)) + 1;
    g_hash_table_insert(targets, g_strdup(line.target), GUINT_TO_POINTER(count));
  }
  task->majority = majority_of(targets, chances, task->items->len);
  return TRUE;
}

static gboolean
read_task(const GemChoiceTasksOptions *options,
          GemTokenizer *tokenizer,
          const GemDataTask *entry,
          gint8 domain,
          GPtrArray *tasks,
          GError **error)
{
  g_autofree char *path = gem_data_task_path(options->folder, entry, options->file),
                  *labels_path = gem_data_task_path(options->folder, entry, "labels.json"), *text = NULL;
  g_auto(GStrv) labels = NULL;
  gboolean there = FALSE;
  if (!gem_data_find_file(path, &there, error)) {
    return FALSE;
  }
  if (!there) {
    return TRUE;
  }
  if (!gem_data_read_labels(labels_path, &labels, error) || !gem_data_read_text(path, &text, NULL, error)) {
    return FALSE;
  }
  GemChoiceTask *task = g_new0(GemChoiceTask, 1);
  task->name = g_strconcat(entry->domain, "/", entry->name, NULL);
  task->domain = domain;
  task->items = g_ptr_array_new_with_free_func(item_free);
  gboolean read = read_items(options, tokenizer, text, (const char *const *)labels, task, error);
  if (!read) {
    g_prefix_error(error, "%s: ", path);
  }
  if (!read || task->items->len == 0) {
    task_free(task);
    return read;
  }
  g_ptr_array_add(tasks, task);
  return TRUE;
}

GPtrArray *
gem_choice_tasks_load(const GemChoiceTasksOptions *options, GemTokenizer *tokenizer, GError **error)
{
  g_autoptr(GPtrArray) entries = gem_data_folder_read_tasks(options->folder, error);
  g_autoptr(GPtrArray) tasks = g_ptr_array_new_with_free_func(task_free);
  for (guint i = 0; entries != NULL && i < entries->len; i++) {
    const GemDataTask *entry = entries->pdata[i];
    for (gint8 d = 0; options->domains[d] != NULL; d++) {
      if (strcmp(options->domains[d], entry->domain) == 0 &&
          !read_task(options, tokenizer, entry, d, tasks, error)) {
        return NULL;
      }
    }
  }
  return entries != NULL ? g_steal_pointer(&tasks) : NULL;
}
