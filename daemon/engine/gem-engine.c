#include "daemon/base/gem-device-call.h"
#include "daemon/engine/gem-engine-private.h"

#include <string.h>

#include "daemon/base/gem-log.h"
#include "daemon/engine/gem-room.h"

/* How often files of pathways are looked at that did not hold. */
#define LOOK_MICROSECONDS G_USEC_PER_SEC
/* The longest time between two beats of an idle engine. */
#define WAIT_MICROSECONDS     (G_USEC_PER_SEC / 2)
#define DEFAULT_PREFILL_BLOCK 128u
#define DEFAULT_MAX_SEQUENCES 64u

G_DEFINE_TYPE(GemEngine, gem_engine, G_TYPE_OBJECT)

typedef struct {
  GemEngineCommand run;
  gpointer data;
} Command;

/* What the engine thread starts with, and how its start went. */
typedef struct {
  GemEngine *engine;
  const GemEngineConfig *config;
  GMutex mutex;
  GCond cond;
  gboolean started;
  GError *error;
} Start;

void
gem_engine_push(GemEngine *self, GemEngineCommand run, gpointer data)
{
  Command *command = g_new(Command, 1);

  command->run = run;
  command->data = data;
  g_async_queue_push(self->commands, command);
}

static void
run_command(GemEngine *self, Command *command)
{
  command->run(self, command->data);
  g_free(command);
}

static void
add_job(GemEngine *self, gpointer job)
{
  gem_scheduler_add(self->scheduler, job);
}

void
gem_engine_submit(GemEngine *self, GemJob *job)
{
  job->came = g_get_monotonic_time();
  gem_engine_push(self, add_job, job);
}

void
gem_engine_post(GemEngine *self, GSourceFunc function, gpointer data)
{
  g_autoptr(GSource) source = g_idle_source_new();

  g_source_set_priority(source, G_PRIORITY_DEFAULT);
  g_source_set_callback(source, function, data, NULL);
  g_source_attach(source, self->context);
}

typedef struct {
  GTask *task;
  gpointer result;
  GDestroyNotify destroy;
  GError *error;
} Return;

static gboolean
return_task(gpointer data)
{
  Return *returned = data;

  if (returned->error != NULL) {
    g_task_return_error(returned->task, returned->error);
  } else {
    g_task_return_pointer(returned->task, returned->result, returned->destroy);
  }
  g_object_unref(returned->task);
  g_free(returned);
  return G_SOURCE_REMOVE;
}

void
gem_engine_return(GemEngine *self, GTask *task, gpointer result, GDestroyNotify destroy, GError *error)
{
  Return *returned = g_new(Return, 1);

  *returned = (Return){.task = task, .result = result, .destroy = destroy, .error = error};
  gem_engine_post(self, return_task, returned);
}

/* ---- the thread ---- */

static void
publish_load(GemEngine *self)
{
  guint64 tokens;
  guint running, waiting;

  gem_scheduler_measure(self->scheduler, &tokens, &running, &waiting);
  gem_load_add(&self->load, self->beat, tokens - self->load.tokens);
  self->load.running = running;
  self->load.waiting = waiting;
}

void
gem_engine_publish(GemEngine *self)
{
  self->resident_bytes = gem_runtime_bytes(self->runtime);
  /* This thread alone writes either. */
  if (memcmp(&self->counters, &self->runtime->counters, sizeof self->counters) != 0) {
    g_mutex_lock(&self->mutex);
    self->counters = self->runtime->counters;
    g_mutex_unlock(&self->mutex);
  }
}

/* Between two steps. */
static void
page_in_later(GemEngine *self)
{
  gint64 now;

  gem_room_page_in_wanted(self->runtime);
  gem_pager_settle(self->runtime->pager);
  now = g_get_monotonic_time();
  if (now - self->looked >= LOOK_MICROSECONDS) {
    self->looked = now;
    gem_pager_look_again(self->runtime->pager, now);
  }
}

static void
run_loop(GemEngine *self)
{
  while (!self->quit) {
    Command *command;
    gboolean worked;

    gem_beat_now(&self->beat);
    while ((command = g_async_queue_try_pop(self->commands)) != NULL) {
      run_command(self, command);
    }
    worked = gem_scheduler_turn(self->scheduler);
    gem_engine_forget_learned(self);
    page_in_later(self);
    gem_engine_publish(self);
    publish_load(self);
    if (!worked && !self->quit) {
      command = g_async_queue_timeout_pop(self->commands, WAIT_MICROSECONDS);
      if (command != NULL) {
        run_command(self, command);
      }
    }
  }
}

static void
free_states(GemEngine *self)
{
  for (guint i = 0; i < self->runtime->conversations->len; i++) {
    gem_sequence_state_free(self->runtime, self->runtime->conversations->pdata[i]);
  }
}

/* Lets gem_engine_new go on; `start` is gone afterwards. */
static void
report_start(Start *start, GError *error)
{
  g_mutex_lock(&start->mutex);
  start->started = TRUE;
  start->error = error;
  g_cond_signal(&start->cond);
  g_mutex_unlock(&start->mutex);
}

/* Every file of the model was looked at. */
static void
keep_record(GemEngine *self)
{
  g_autoptr(GError) error = NULL;

  if (self->record != NULL && !gem_verified_save(self->record, &error)) {
    gem_log(LOG_WARNING, GEM_LOG_RECORD_NOT_KEPT, NULL, "files will be hashed again at the next start: %s",
            error->message);
  }
}

/* Before the files are let go. */
static void
keep_base(GemEngine *self)
{
  if (gem_learned_base_of_model(self->files, &self->learned_base, NULL)) {
    self->learned_base.router_width = self->runtime->row_width;
  }
}

/* Files, modules and weights. */
static gboolean
open_model(GemEngine *self, const GemEngineConfig *config, GError **error)
{
  self->record = config->cache_dir != NULL ? gem_verified_open(config->cache_dir) : NULL;
  self->model_path = g_strdup(config->model_path);
  self->files = gem_runtime_open_files(config, self->record, error);
  if (self->files == NULL) {
    return FALSE;
  }
  self->runtime = gem_runtime_open(config, self->files, error);
  if (self->runtime == NULL) {
    return FALSE;
  }
  keep_record(self);
  keep_base(self);
  /* What is needed of these two is packed now; names and shape stay. */
  g_clear_pointer(&self->files->general, gem_gguf_unref);
  g_clear_pointer(&self->files->router, gem_gguf_unref);
  return TRUE;
}

/* The thread ends by itself now: there is next to nothing left to wait for. */
static gboolean
return_stopped(gpointer data)
{
  g_autoptr(GTask) task = data;

  gem_engine_stop(g_task_get_source_object(task));
  g_task_return_boolean(task, TRUE);
  return G_SOURCE_REMOVE;
}

static void
run_engine(Start *start)
{
  GemEngine *self = start->engine;
  GError *error = NULL;

  if (!open_model(self, start->config, &error)) {
    report_start(start, error);
    return;
  }
  self->scheduler = gem_scheduler_new(self->runtime, self->prefill_block, &self->beat);
  gem_beat_now(&self->beat);
  gem_engine_publish(self);
  report_start(start, NULL);

  run_loop(self);
  gem_scheduler_end_all(self->scheduler, GEM_ERROR_SHUTTING_DOWN, "the service is shutting down");
  g_clear_pointer(&self->scheduler, gem_scheduler_free);
  free_states(self);
  gem_runtime_close(self->runtime);
  if (self->stop != NULL) {
    gem_engine_post(self, return_stopped, g_steal_pointer(&self->stop));
  }
}

/* It calls devices from first to last, and nobody waits for it while it opens the model. */
static gpointer
engine_thread(gpointer data)
{
  gem_device_call_begin();
  run_engine(data);
  gem_device_call_end();
  return NULL;
}

/* ---- life ---- */

static gsize
find_longest_piece(GemTokenizer *tokenizer)
{
  gsize longest = 1;

  for (guint i = 0; i < gem_tokenizer_n_tokens(tokenizer); i++) {
    longest = MAX(longest, strlen(gem_tokenizer_token_piece(tokenizer, i)));
  }
  return longest;
}

/* What the main loop asks later without the engine thread. */
static void
keep_description(GemEngine *self, const GemEngineConfig *config)
{
  self->tokenizer = gem_tokenizer_ref(self->runtime->tokenizer);
  self->longest_piece = find_longest_piece(self->tokenizer);
  self->backends = gem_backend_set_list(self->runtime->backends);
  self->backend = g_strdup(config->backend);
  self->plugin_dirs = g_strdupv((char **)config->plugin_dirs);
  self->attention = g_strdup(gem_plugin_module_get(self->runtime->attention_module)->name);
  self->threshold = self->runtime->threshold;
  self->fixed_bytes = self->runtime->budget.fixed;
  self->context_tokens = self->runtime->context;
  self->max_sequences = config->max_sequences > 0 ? config->max_sequences : DEFAULT_MAX_SEQUENCES;
}

GemEngine *
gem_engine_new(const GemEngineConfig *config, GError **error)
{
  g_autoptr(GemEngine) self = g_object_new(GEM_TYPE_ENGINE, NULL);
  Start start = {.engine = self, .config = config};
  gint64 began = g_get_monotonic_time();

  self->prefill_block = config->prefill_block > 0 ? config->prefill_block : DEFAULT_PREFILL_BLOCK;
  g_mutex_init(&start.mutex);
  g_cond_init(&start.cond);
  self->thread = g_thread_try_new("engine", engine_thread, &start, &start.error);
  g_mutex_lock(&start.mutex);
  while (self->thread != NULL && !start.started) {
    g_cond_wait(&start.cond, &start.mutex);
  }
  g_mutex_unlock(&start.mutex);
  g_mutex_clear(&start.mutex);
  g_cond_clear(&start.cond);
  if (start.error != NULL) {
    g_clear_pointer(&self->thread, g_thread_join);
    g_propagate_error(error, start.error);
    return NULL;
  }
  keep_description(self, config);
  g_info("model %s: %" G_GUINT64_FORMAT " bytes resident, attention %s, ready in %.0f ms",
         gem_engine_get_model_name(self), gem_engine_get_resident_bytes(self), self->attention,
         (double)(g_get_monotonic_time() - began) / 1e3);
  return g_steal_pointer(&self);
}

/* `data` is the task of gem_engine_stop_async, taken; or NULL. */
static void
quit(GemEngine *self, gpointer data)
{
  self->quit = TRUE;
  if (data != NULL) {
    self->stop = data;
  }
}

void
gem_engine_stop(GemEngine *self)
{
  if (self->thread == NULL) {
    return;
  }
  gem_engine_push(self, quit, NULL);
  g_thread_join(g_steal_pointer(&self->thread));
  self->runtime = NULL;
  self->resident_bytes = 0;
}

void
gem_engine_stop_async(GemEngine *self, GAsyncReadyCallback callback, gpointer data)
{
  GTask *task = g_task_new(self, NULL, callback, data);

  g_return_if_fail(!self->stopping);
  g_task_set_source_tag(task, gem_engine_stop_async);
  self->stopping = TRUE;
  if (self->thread != NULL) {
    gem_engine_push(self, quit, task);
  } else {
    g_task_return_boolean(task, TRUE);
    g_object_unref(task);
  }
}

void
gem_engine_stop_finish(GemEngine *self, GAsyncResult *result)
{
  g_return_if_fail(g_task_is_valid(result, self));
  g_task_propagate_boolean(G_TASK(result), NULL);
}

static void
gem_engine_dispose(GObject *object)
{
  gem_engine_stop(GEM_ENGINE(object));
  G_OBJECT_CLASS(gem_engine_parent_class)->dispose(object);
}

static void
gem_engine_finalize(GObject *object)
{
  GemEngine *self = GEM_ENGINE(object);

  g_async_queue_unref(self->commands);
  gem_learned_list_clear(&self->learned);
  g_clear_pointer(&self->tokenizer, gem_tokenizer_unref);
  g_clear_pointer(&self->backends, g_ptr_array_unref);
  g_clear_pointer(&self->files, gem_model_files_free);
  g_clear_pointer(&self->record, gem_verified_free);
  g_free(self->attention);
  g_free(self->backend);
  g_strfreev(self->plugin_dirs);
  g_free(self->model_path);
  g_main_context_unref(self->context);
  g_mutex_clear(&self->mutex);
  G_OBJECT_CLASS(gem_engine_parent_class)->finalize(object);
}

static void
gem_engine_class_init(GemEngineClass *class)
{
  GObjectClass *object_class = G_OBJECT_CLASS(class);

  object_class->dispose = gem_engine_dispose;
  object_class->finalize = gem_engine_finalize;
}

static void
gem_engine_init(GemEngine *self)
{
  self->context = g_main_context_ref_thread_default();
  g_mutex_init(&self->mutex);
  self->commands = g_async_queue_new_full(g_free);
  gem_learned_list_init(&self->learned);
}

gboolean
gem_engine_check_running(GemEngine *self, GError **error)
{
  if (self->thread == NULL || self->stopping) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service is shutting down");
    return FALSE;
  }
  return TRUE;
}

/* ---- what it is ---- */

const char *
gem_engine_get_model_name(GemEngine *self)
{
  return self->files->name;
}

const char *
gem_engine_get_model_digest(GemEngine *self)
{
  return self->files->manifest == NULL ? "" : gem_manifest_get_digest(self->files->manifest);
}

const char *
gem_engine_get_file_sha256(GemEngine *self, const char *file)
{
  return self->files->manifest == NULL ? NULL : gem_manifest_get_sha256(self->files->manifest, file);
}

const char *
gem_engine_get_model_path(GemEngine *self)
{
  return self->model_path;
}

guint
gem_engine_get_context(GemEngine *self)
{
  return self->context_tokens;
}

const char *const *
gem_engine_get_domains(GemEngine *self)
{
  return (const char *const *)self->files->shape.domains;
}

const char *
gem_engine_get_attention(GemEngine *self)
{
  return self->attention;
}

double
gem_engine_get_threshold(GemEngine *self)
{
  return self->threshold;
}

guint64
gem_engine_get_resident_bytes(GemEngine *self)
{
  return self->resident_bytes;
}

void
gem_engine_get_load(GemEngine *self, GemEngineLoad *ret_load)
{
  *ret_load = (GemEngineLoad){
      .tokens = self->load.tokens,
      .tokens_per_second = gem_load_get_rate(&self->load, g_get_monotonic_time()),
      .running = self->load.running,
      .waiting = self->load.waiting,
  };
}

gint64
gem_engine_get_last_beat(GemEngine *self)
{
  return self->beat;
}
