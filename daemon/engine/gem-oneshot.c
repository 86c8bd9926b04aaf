#include "daemon/engine/gem-oneshot.h"

#include "daemon/engine/gem-prompt.h"
#include "daemon/engine/gem-room.h"

/* The text's tokens, when they fit the context. */
static GemPrompt *
take_prompt(GemEngine *engine,
            const char *text,
            const GemPromptSpec *spec,
            const GemRunOptions *options,
            GError **error)
{
  g_autoptr(GemPrompt) prompt = gem_prompt_take(engine, text, spec, options, error);

  if (prompt == NULL || !gem_engine_check_fits(engine, "the text", prompt->tokens->len, error)) {
    return NULL;
  }
  return g_steal_pointer(&prompt);
}

GTask *
gem_one_shot_begin(GemEngine *engine,
                   const char *text,
                   const GemPromptSpec *spec,
                   const GemRunOptions *options,
                   GCancellable *cancellable,
                   GAsyncReadyCallback callback,
                   gpointer data,
                   gpointer tag,
                   GemOneShotRun *ret_run)
{
  g_autoptr(GTask) task = g_task_new(engine, cancellable, callback, data);
  GemOneShotRun run = {0};
  GError *error = NULL;

  g_task_set_source_tag(task, tag);
  /* A cancelled call ends with GEM_ERROR_CANCELLED, from the engine thread. */
  g_task_set_check_cancellable(task, FALSE);
  if (!gem_engine_check_running(engine, &error) ||
      !gem_run_options_resolve(engine, options, &run.routing, &run.cluster_set, &error)) {
    g_task_return_error(task, error);
    return NULL;
  }
  /* The job is done before its task is. */
  g_task_set_task_data(task, run.routing.learned,
                       run.routing.learned != NULL ? (GDestroyNotify)gem_learned_view_unref : NULL);
  run.prompt = take_prompt(engine, text, spec, options, &error);
  if (run.prompt == NULL) {
    g_task_return_error(task, error);
    return NULL;
  }
  if (options != NULL) {
    run.owner = options->owner;
    run.batch = options->priority == GEM_PRIORITY_BATCH;
    run.deadline = options->deadline;
  }
  *ret_run = run;
  return g_steal_pointer(&task);
}

void
gem_one_shot_submit(GemOneShot *self, const GemJobClass *class, GTask *task, const GemOneShotRun *run)
{
  self->job.class = class;
  self->job.cancellable = g_task_get_cancellable(task);
  self->job.one_shot = TRUE;
  self->job.owner = run->owner;
  self->job.batch = run->batch;
  self->job.deadline = run->deadline;
  self->job.required = run->routing.forced;
  self->job.learned = run->routing.learned != NULL ? run->routing.learned->set : 0;
  self->engine = g_task_get_source_object(task);
  self->task = task;
  self->run = *run;
  gem_engine_submit(self->engine, &self->job);
}

gboolean
gem_one_shot_prepare(GemJob *job, GError **error)
{
  GemOneShot *self = (GemOneShot *)job;
  GemRuntime *runtime = job->runtime;

  job->sequence = gem_sequence_state_new(runtime, self->run.cluster_set);
  if (self->run.routing.forced && self->run.routing.route != GEM_ROUTE_GENERAL &&
      !gem_room_expect(runtime, self->run.routing.route, error)) {
    return FALSE;
  }
  return gem_sequence_state_append(runtime, job->sequence,
                                   (const guint32 *)(gpointer)self->run.prompt->tokens->data,
                                   self->run.prompt->tokens->len, &self->run.routing, NULL, error);
}

void
gem_one_shot_end(GemJob *job, GError *error)
{
  GemOneShot *self = (GemOneShot *)job;

  gem_sequence_state_free(job->runtime, job->sequence);
  gem_prompt_unref(self->run.prompt);
  if (error != NULL && self->result != NULL) {
    self->destroy(g_steal_pointer(&self->result));
  }
  gem_engine_publish(self->engine); /* who gets the result sees what is in memory without it */
  gem_engine_return(self->engine, self->task, self->result, self->destroy, error);
  g_free(self);
}
