#include "daemon/service/gem-cut.h"

#include <string.h>

/* Text and labels of so many bytes are cut on a thread. */
#define LONG_BYTES 2048u

typedef struct {
  const char *text;
  GemPromptSpec spec;
  GemCutDone done;
  gpointer data;
} Cut;

static gboolean
is_long(const char *text, const GemPromptSpec *spec)
{
  gsize bytes = strlen(text);

  for (gsize i = 0; spec->labels != NULL && spec->labels[i] != NULL; i++) {
    bytes += strlen(spec->labels[i]);
  }
  return bytes >= LONG_BYTES;
}

static void
cut(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  const Cut *self = data;
  GError *error = NULL;
  GemPrompt *prompt = gem_prompt_new(GEM_ENGINE(source), self->text, &self->spec, &error);

  if (prompt != NULL) {
    g_task_return_pointer(task, prompt, (GDestroyNotify)gem_prompt_unref);
  } else {
    g_task_return_error(task, error);
  }
}

static void
on_cut(GObject *source, GAsyncResult *result, gpointer data)
{
  const Cut *self = g_task_get_task_data(G_TASK(result));
  GError *error = NULL;
  g_autoptr(GemPrompt) prompt = g_task_propagate_pointer(G_TASK(result), &error);

  self->done(prompt, error, self->data);
}

void
gem_cut(GemEngine *engine, const char *text, const GemPromptSpec *spec, GemCutDone done, gpointer data)
{
  g_autoptr(GemPrompt) prompt = NULL;
  g_autoptr(GTask) task = NULL;
  GError *error = NULL;

  if (is_long(text, spec)) {
    task = g_task_new(engine, NULL, on_cut, NULL);
    g_task_set_task_data(task, g_memdup2(&(Cut){text, *spec, done, data}, sizeof(Cut)), g_free);
    g_task_run_in_thread(task, cut);
    return;
  }
  prompt = gem_prompt_new(engine, text, spec, &error);
  done(prompt, error, data);
}
