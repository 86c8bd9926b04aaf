#include "bench/edge/gem-edge-suite.h"

#include <string.h>

#include "bench/questions/gem-bench-labels.h"
#include "bench/questions/gem-bench-task.h"

const char *
gem_edge_form_name(GemEdgeForm form)
{
  static const char *const names[] = {
      [GEM_EDGE_CHOICE] = "choice",
      [GEM_EDGE_ANSWER] = "answer",
      [GEM_EDGE_TEXT] = "text",
      [GEM_EDGE_MENTIONS] = "mentions",
  };

  return names[form];
}

/* The manifest's words: what has labels is a choice whatever it is called; "extraction (list)" and
 * "classification (multi-label ...)" want lists; "generation" alone wants a text; the rest, which are
 * "extractive QA" and "generation (number)", short answers. */
static GemEdgeForm
find_form(const char *form, const GPtrArray *lines)
{
  if (gem_bench_task_is_labelled(lines)) {
    return GEM_EDGE_CHOICE;
  }
  if (strstr(form, "(list)") != NULL || strstr(form, "multi-label") != NULL) {
    return GEM_EDGE_MENTIONS;
  }
  return g_str_equal(form, "generation") ? GEM_EDGE_TEXT : GEM_EDGE_ANSWER;
}

static void
task_free(GemEdgeTask *self)
{
  g_free(self->full);
  g_free(self->domain);
  g_ptr_array_unref(self->lines);
  g_array_unref(self->fates);
  g_free(self);
}

/* Takes over `lines`. */
static GemEdgeTask *
task_new(const char *full, const char *form, GPtrArray *lines)
{
  GemEdgeTask *self = g_new0(GemEdgeTask, 1);
  gsize length = strcspn(full, "/");
  guint i;

  self->full = g_strdup(full);
  self->domain = g_strndup(full, length);
  self->name = self->full + length + (full[length] == '/');
  self->form = find_form(form, lines);
  self->has_classes = self->form == GEM_EDGE_CHOICE || g_str_has_prefix(form, "classification");
  self->lines = lines;
  self->fates = g_array_new(FALSE, FALSE, sizeof(GemBenchFate));
  for (i = 0; i < lines->len; i++) {
    const GemBenchLine *line = lines->pdata[i];
    gboolean usable = line->labels != NULL && line->target >= 0 && gem_bench_labels_are_valid(line->labels);
    GemBenchFate fate = self->form == GEM_EDGE_CHOICE && !usable ? GEM_BENCH_SKIPPED_LABELS : GEM_BENCH_USED;

    g_array_append_val(self->fates, fate);
  }
  return self;
}

void
gem_edge_suite_free(GemEdgeSuite *self)
{
  g_ptr_array_unref(self->tasks);
  g_ptr_array_unref(self->domains);
  g_free(self);
}

/* Whether a task is asked for; notes in `used` which patterns were good for something. */
static gboolean
is_wanted(GStrv patterns, gboolean *used, const char *full)
{
  gboolean wanted = patterns == NULL;
  guint i;

  for (i = 0; patterns != NULL && patterns[i] != NULL; i++) {
    if (g_pattern_match_simple(patterns[i], full)) {
      wanted = used[i] = TRUE;
    }
  }
  return wanted;
}

static guint
find_domain(GPtrArray *domains, const char *domain)
{
  guint index;

  if (!g_ptr_array_find_with_equal_func(domains, domain, g_str_equal, &index)) {
    index = domains->len;
    g_ptr_array_add(domains, g_strdup(domain));
  }
  return index;
}

/* One at least: without lines a task has no score, and nothing that tells its form. */
static GPtrArray *
read_lines(const GemEdgeWish *wish, const char *full, GError **error)
{
  g_autoptr(GPtrArray) lines =
      gem_bench_data_read_lines(wish->folder, full, wish->split, wish->limit, wish->seed, error);

  if (lines != NULL && lines->len == 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s/tasks/%s/%s.jsonl: no lines", wish->folder,
                full, wish->split);
    return NULL;
  }
  return g_steal_pointer(&lines);
}

static gboolean
add_task(GemEdgeSuite *self, const GemEdgeWish *wish, const char *full, const char *form, GError **error)
{
  GPtrArray *lines = read_lines(wish, full, error);
  GemEdgeTask *task;

  if (lines == NULL) {
    return FALSE;
  }
  task = task_new(full, form, lines);
  task->n_domain = find_domain(self->domains, task->domain);
  g_ptr_array_add(self->tasks, task);
  return TRUE;
}

GemEdgeSuite *
gem_edge_suite_read(const GemEdgeWish *wish, GError **error)
{
  g_autoptr(GemEdgeSuite) self = g_new0(GemEdgeSuite, 1);
  g_auto(GStrv) patterns = wish->tasks == NULL ? NULL : g_strsplit(wish->tasks, ",", -1);
  g_autofree gboolean *used = g_new0(gboolean, patterns == NULL ? 1 : g_strv_length(patterns) + 1);
  g_auto(GStrv) names = NULL;
  g_auto(GStrv) forms = NULL;
  guint i;

  self->tasks = g_ptr_array_new_with_free_func((GDestroyNotify)task_free);
  self->domains = g_ptr_array_new_with_free_func(g_free);
  names = gem_bench_data_list_suite(wish->folder, &forms, error);
  if (names == NULL) {
    return NULL;
  }
  for (i = 0; names[i] != NULL; i++) {
    if (is_wanted(patterns, used, names[i]) && !add_task(self, wish, names[i], forms[i], error)) {
      return NULL;
    }
  }
  for (i = 0; patterns != NULL && patterns[i] != NULL; i++) {
    if (!used[i]) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                  "--tasks: no task of the suite is called '%s' (they are called DOMAIN/NAME)", patterns[i]);
      return NULL;
    }
  }
  if (self->tasks->len == 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s: the suite has no task", wish->folder);
    return NULL;
  }
  return g_steal_pointer(&self);
}

static void
add_text(GChecksum *sum, const char *text)
{
  g_checksum_update(sum, (const guchar *)text, (gssize)strlen(text) + 1);
}

static void
add_texts(GChecksum *sum, GStrv texts)
{
  guint i;

  for (i = 0; texts != NULL && texts[i] != NULL; i++) {
    add_text(sum, texts[i]);
  }
  add_text(sum, "");
}

char *
gem_edge_suite_digest(const GemEdgeSuite *self)
{
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
  guint i, j;

  for (i = 0; i < self->tasks->len; i++) {
    const GemEdgeTask *task = self->tasks->pdata[i];

    add_text(sum, task->full);
    add_text(sum, gem_edge_form_name(task->form));
    for (j = 0; j < task->lines->len; j++) {
      const GemBenchLine *line = task->lines->pdata[j];

      add_text(sum, line->input);
      add_texts(sum, line->labels);
      add_texts(sum, line->right);
    }
  }
  return g_strdup(g_checksum_get_string(sum));
}
