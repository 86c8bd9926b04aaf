#include "training/text/gem-task-choice.h"

#include <string.h>

#define LEAST_TIMES 0.001
#define MOST_TIMES  1000.0

typedef struct {
  char *name;
  double times;
} GemTaskPattern;

static void
task_pattern_free(gpointer data)
{
  GemTaskPattern *pattern = data;
  g_free(pattern->name);
  g_free(pattern);
}

void
gem_task_choice_free(GemTaskChoice *self)
{
  g_ptr_array_unref(self->patterns);
  g_free(self);
}

static gboolean
parse_entry(GemTaskChoice *self, const char *entry, GError **error)
{
  const char *equals = strchr(entry, '=');
  gsize length = equals != NULL ? (gsize)(equals - entry) : strlen(entry);
  double times = 1.0;
  if (equals != NULL) {
    char *end = NULL;
    times = g_ascii_strtod(equals + 1, &end);
    if (end == equals + 1 || *end != '\0' || !(times >= LEAST_TIMES && times <= MOST_TIMES)) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                  "'%s': after = is how often its lines are read, %g to %g", entry, LEAST_TIMES, MOST_TIMES);
      return FALSE;
    }
    self->by_times = TRUE;
  }
  if (length == 0) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "'%s': expected DOMAIN/NAME[=TIMES]", entry);
    return FALSE;
  }
  GemTaskPattern *pattern = g_new(GemTaskPattern, 1);
  *pattern = (GemTaskPattern){g_strndup(entry, length), times};
  g_ptr_array_add(self->patterns, pattern);
  return TRUE;
}

GemTaskChoice *
gem_task_choice_parse(const char *text, GError **error)
{
  g_auto(GStrv) entries = g_strsplit(*text != '\0' ? text : ",", ",", -1);
  g_autoptr(GemTaskChoice) self = g_new0(GemTaskChoice, 1);
  self->patterns = g_ptr_array_new_with_free_func(task_pattern_free);
  for (char **entry = entries; *entry != NULL; entry++) {
    if (!parse_entry(self, *entry, error)) {
      return NULL;
    }
  }
  return g_steal_pointer(&self);
}

/* The first pattern that the name is like; NULL: none. */
static const GemTaskPattern *
find_pattern(const GemTaskChoice *self, const char *source)
{
  for (guint i = 0; i < self->patterns->len; i++) {
    const GemTaskPattern *pattern = self->patterns->pdata[i];
    if (g_pattern_match_simple(pattern->name, source)) {
      return pattern;
    }
  }
  return NULL;
}

gboolean
gem_task_choice_has(const GemTaskChoice *self, const char *source)
{
  return find_pattern(self, source) != NULL;
}

/* Some task is its: no pattern before it takes them all. */
static gboolean
is_about_a_task(const GemTaskChoice *self, const GemTaskPattern *pattern, const GemCorpus *corpus)
{
  for (guint i = 0; i < corpus->sources->len; i++) {
    const GemSource *source = corpus->sources->pdata[i];
    if (source->is_task && find_pattern(self, source->name) == pattern) {
      return TRUE;
    }
  }
  return FALSE;
}

gboolean
gem_task_choice_apply(const GemTaskChoice *self, GemCorpus *corpus, GError **error)
{
  for (guint i = 0; i < self->patterns->len; i++) {
    const GemTaskPattern *pattern = self->patterns->pdata[i];
    if (!is_about_a_task(self, pattern, corpus)) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                  "there is no task '%s' to read, or an entry before it has it", pattern->name);
      return FALSE;
    }
  }
  for (guint i = 0; i < corpus->sources->len; i++) {
    GemSource *source = corpus->sources->pdata[i];
    const GemTaskPattern *pattern = source->is_task ? find_pattern(self, source->name) : NULL;
    source->times = pattern != NULL ? pattern->times : source->times;
  }
  return TRUE;
}
