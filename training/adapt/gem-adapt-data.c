#include "training/adapt/gem-adapt-data.h"

#include <string.h>

gboolean
gem_adapt_kinds_parse(const char *text, GemAdaptKinds *ret_kinds, GError **error)
{
  const char *const names[] = {"dapt", "tapt", "task"};
  g_auto(GStrv) parts = g_strsplit(*text != '\0' ? text : "+", "+", -1); /* an empty one is none either */
  GemAdaptKinds kinds = 0;
  for (guint i = 0; parts[i] != NULL; i++) {
    guint k = 0;
    while (k < G_N_ELEMENTS(names) && strcmp(names[k], parts[i]) != 0) {
      k++;
    }
    if (k == G_N_ELEMENTS(names)) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                  "--kind: '%s'; there are dapt, tapt and task, joined by +", parts[i]);
      return FALSE;
    }
    kinds |= (GemAdaptKinds)(1u << k);
  }
  *ret_kinds = kinds;
  return TRUE;
}

static void
add_document(
    GArray *texts, const GemSource *source, const GemDocument *document, guint n, guint answer, guint group)
{
  GemAdaptText text = {.tokens = &g_array_index(source->tokens, guint32, document->first),
                       .n = n,
                       .answer = answer,
                       .domain = source->domain,
                       .group = group};
  g_array_append_val(texts, text);
}

/* Without its domain. */
static const char *
name_of_task(const GemSource *source)
{
  const char *slash = strchr(source->name, '/');
  return slash != NULL ? slash + 1 : source->name;
}

static gboolean
has_task(const GemCorpus *corpus, gint8 domain, const char *name)
{
  gboolean found = FALSE;
  for (guint s = 0; s < corpus->sources->len && !found; s++) {
    const GemSource *source = corpus->sources->pdata[s];
    found = source->is_task && source->domain == domain && strcmp(name_of_task(source), name) == 0;
  }
  return found;
}

gboolean
gem_adapt_data_check_tasks(const GemCorpus *corpus, gint8 domain, const char *const *tasks, GError **error)
{
  for (guint i = 0; tasks[i] != NULL; i++) {
    if (!has_task(corpus, domain, tasks[i])) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "there is no task '%s' to read", tasks[i]);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
is_meant(const GemSource *source, const char *const *tasks)
{
  return tasks == NULL || g_strv_contains(tasks, name_of_task(source));
}

void
gem_adapt_data_add_texts(
    GArray *texts, const GemCorpus *corpus, gint8 domain, GemAdaptKinds kinds, const char *const *tasks)
{
  for (guint s = 0; s < corpus->sources->len; s++) {
    const GemSource *source = corpus->sources->pdata[s];
    if (source->domain != domain || (source->is_task && !is_meant(source, tasks))) {
      continue;
    }
    for (guint i = 0; i < source->documents->len; i++) {
      const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
      if (!source->is_task && (kinds & GEM_ADAPT_DAPT)) {
        add_document(texts, source, document, document->length, 0, 2 * s);
      }
      if (source->is_task && (kinds & GEM_ADAPT_TAPT)) {
        add_document(texts, source, document, document->answer, 0, 2 * s);
      }
      if (source->is_task && (kinds & GEM_ADAPT_TASK)) {
        add_document(texts, source, document, document->length, document->answer, 2 * s + 1);
      }
    }
  }
}

void
gem_adapt_data_add_replay(GArray *replay, const GemCorpus *corpus, gint8 besides)
{
  for (guint s = 0; s < corpus->sources->len; s++) {
    const GemSource *source = corpus->sources->pdata[s];
    for (guint i = 0; !source->is_task && source->domain != besides && i < source->documents->len; i++) {
      const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
      add_document(replay, source, document, document->length, 0, (guint)(source->domain + 1));
    }
  }
}
