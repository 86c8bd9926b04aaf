#include "daemon/learned/gem-learned.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/gem-log.h"
#include "daemon/learned/gem-learned-private.h"
#include "format/gem-model-files.h"

typedef struct {
  void (*ready)(gpointer data);
  gpointer data;
} Waiting;

/* Who waits for the store or the engine. */
typedef struct {
  GemLearnedEntry *entry;
  GemLearnedDone done; /* NULL: nobody */
  gpointer data;
} Wait;

static Wait *
wait_new(GemLearnedEntry *entry, GemLearnedDone done, gpointer data)
{
  Wait *wait = g_new(Wait, 1);

  *wait = (Wait){gem_learned_entry_ref(entry), done, data};
  return wait;
}

static void
wait_end(Wait *wait, const GError *error)
{
  if (wait->done != NULL) {
    wait->done(error, wait->data);
  }
  gem_learned_entry_unref(wait->entry);
  g_free(wait);
}

/* ---- entries ---- */

static void
entry_clear(gpointer data)
{
  GemLearnedEntry *entry = data;

  gem_learned_record_free(entry->record);
  g_clear_object(&entry->copying);
  g_clear_pointer(&entry->after, g_ptr_array_unref);
  g_clear_pointer(&entry->next, g_ptr_array_unref);
  g_free(entry->unusable);
}

GemLearnedEntry *
gem_learned_entry_ref(GemLearnedEntry *entry)
{
  return g_rc_box_acquire(entry);
}

void
gem_learned_entry_unref(GemLearnedEntry *entry)
{
  g_rc_box_release_full(entry, entry_clear);
}

/* Out of the table: whoever still waits finds that it is gone. */
static void
entry_leave(gpointer data)
{
  GemLearnedEntry *entry = data;

  entry->all = NULL;
  gem_learned_entry_unref(entry);
}

static char *
key_of(guint uid, const char *name)
{
  return g_strdup_printf("%u/%s", uid, name);
}

GemLearnedEntry *
gem_learned_find(GemLearned *self, guint uid, const char *name)
{
  g_autofree char *key = key_of(uid, name);

  return g_hash_table_lookup(self->entries, key);
}

gboolean
gem_learned_is_left(GemLearned *self, guint uid, const char *name)
{
  g_autofree char *key = key_of(uid, name);

  return g_hash_table_contains(self->left, key);
}

GPtrArray *
gem_learned_list(GemLearned *self)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)gem_learned_entry_unref);
  GHashTableIter iter;
  gpointer entry;

  g_hash_table_iter_init(&iter, self->entries);
  while (g_hash_table_iter_next(&iter, NULL, &entry)) {
    g_ptr_array_add(entries, gem_learned_entry_ref(entry));
  }
  return entries;
}

GemLearnedEntry *
gem_learned_add(GemLearned *self, GemLearnedRecord *record)
{
  GemLearnedEntry *entry = g_rc_box_new0(GemLearnedEntry);

  entry->record = record;
  gem_learned_put(self, entry);
  return entry;
}

void
gem_learned_put(GemLearned *self, GemLearnedEntry *entry)
{
  entry->all = self;
  g_hash_table_insert(self->entries, key_of(entry->record->uid, entry->record->name), entry);
}

void
gem_learned_take_out(GemLearnedEntry *entry)
{
  g_autofree char *key = key_of(entry->record->uid, entry->record->name);

  g_hash_table_remove(entry->all->entries, key);
}

/* ---- the engine ---- */

static void
on_withdrawn(GObject *source, GAsyncResult *result, gpointer data)
{
  /* One that is not there need not go. */
  gem_engine_remove_learned_finish(GEM_ENGINE(source), result, NULL);
}

void
gem_learned_withdraw(GemLearnedEntry *entry)
{
  if (entry->all->engine != NULL && entry->record->version.number > 0) {
    gem_engine_remove_learned_async(entry->all->engine, entry->record->uid, entry->record->name, NULL,
                                    on_withdrawn, NULL);
  }
  entry->serving = FALSE;
}

/* Another version may still be there. */
static void
entry_fail_serving(GemLearnedEntry *entry, const GError *error)
{
  g_free(entry->unusable);
  entry->unusable = g_strdup(error->message);
  if (entry->committing) {
    entry->serving = FALSE;
  } else {
    gem_learned_withdraw(entry);
  }
}

static void
on_served(GObject *source, GAsyncResult *result, gpointer data);

/* On the way into the engine; or an error, when there is no way. */
static GError *
entry_enter(GemLearnedEntry *entry, Wait *wait)
{
  GemLearned *self = entry->all;
  const GemLearnedRecord *record = entry->record;
  g_autofree char *path = NULL;
  int fd;

  if (self == NULL) {
    return g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "it was forgotten");
  }
  path = gem_learned_store_get_file(self->store, record);
  g_clear_pointer(&entry->unusable, g_free);
  if (self->model == NULL || !g_str_equal(self->model->identity, record->version.model)) {
    return g_error_new_literal(GEM_ERROR, GEM_ERROR_MODEL_CHANGED, "it was learned on another model");
  }
  fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    return g_error_new(GEM_ERROR, GEM_ERROR_FAILED, "its file cannot be read: %s", g_strerror(errno));
  }
  /* No message is to name a folder that has a user's number in it. */
  gem_engine_add_learned_async(
      self->engine, &(GemLearnedDomain){record->name, record->uid, record->shared, fd, "learned.gguf"}, NULL,
      on_served, wait);
  close(fd);
  return NULL;
}

static void
entry_serve(GemLearnedEntry *entry, Wait *wait)
{
  g_autoptr(GError) error = entry_enter(entry, wait);

  if (error != NULL) {
    entry->entering--;
    if (entry->all != NULL) {
      entry_fail_serving(entry, error);
    }
    wait_end(wait, error);
  }
}

/* One after the other: two at once could come in in the other order, and the earlier one would stay. */
static void
entry_serve_next(GemLearnedEntry *entry)
{
  while (entry->next != NULL && entry->next->len > 0 && entry->entering == entry->next->len) {
    entry_serve(entry, g_ptr_array_steal_index(entry->next, 0));
  }
}

static void
on_served(GObject *source, GAsyncResult *result, gpointer data)
{
  Wait *wait = data;
  g_autoptr(GemLearnedEntry) entry = gem_learned_entry_ref(wait->entry);
  g_autoptr(GError) error = NULL;
  gboolean served = gem_engine_add_learned_finish(GEM_ENGINE(source), result, &error);

  if (entry->all != NULL && entry->all->engine != GEM_ENGINE(source) && wait->done != NULL) {
    /* Another model took over meanwhile: what became of it there is the answer. */
    entry_serve(entry, wait);
  } else {
    entry->entering--;
    if (entry->all != NULL && entry->all->engine == GEM_ENGINE(source)) {
      g_clear_pointer(&entry->unusable, g_free);
      entry->serving = served;
      if (!served) {
        entry_fail_serving(entry, error);
      }
    }
    wait_end(wait, error);
  }
  entry_serve_next(entry);
  gem_learned_settle(entry);
}

void
gem_learned_serve(GemLearnedEntry *entry, GemLearnedDone done, gpointer data)
{
  Wait *wait = wait_new(entry, done, data);

  if (entry->entering++ == 0) {
    entry_serve(entry, wait);
    return;
  }
  if (entry->next == NULL) {
    entry->next = g_ptr_array_new();
  }
  g_ptr_array_add(entry->next, wait);
}

/* ---- the store ---- */

static void
on_kept(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GError) error = NULL;

  gem_learned_store_save_finish(result, NULL, &error);
  wait_end(data, error);
}

void
gem_learned_keep(GemLearnedEntry *entry, GemLearnedDone done, gpointer data)
{
  const GemLearnedRecord *record = entry->record;

  if (record->version.number == 0 && record->order == NULL && record->outcome == NULL &&
      entry->phase == NULL) {
    gem_learned_drop(entry, done, data);
  } else {
    gem_learned_store_save_async(entry->all->store, record, entry->phase != NULL, on_kept,
                                 wait_new(entry, done, data));
  }
}

/* ---- the beginning ---- */

static void
learned_tell_waiting(GemLearned *self)
{
  g_autoptr(GPtrArray) waiting = NULL;

  /* At the end all are told: what they wait for may not come any more. */
  if (!self->stopping && !self->loaded) {
    return;
  }
  waiting = g_steal_pointer(&self->waiting);
  self->waiting = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < waiting->len; i++) {
    const Waiting *one = g_ptr_array_index(waiting, i);

    one->ready(one->data);
  }
}

void
gem_learned_when_ready(GemLearned *self, void (*ready)(gpointer data), gpointer data)
{
  Waiting *waiting = g_new(Waiting, 1);

  *waiting = (Waiting){ready, data};
  g_ptr_array_add(self->waiting, waiting);
  learned_tell_waiting(self);
}

/* Both the domains and the model are there, for the first time or again. */
static void
learned_begin(GemLearned *self)
{
  g_autoptr(GPtrArray) entries = gem_learned_list(self);

  for (guint i = 0; i < entries->len; i++) {
    GemLearnedEntry *entry = g_ptr_array_index(entries, i);

    if (entry->record->version.number > 0) {
      gem_learned_serve(entry, NULL, NULL);
    }
    if (entry->record->order != NULL && g_strcmp0(entry->phase, GEM_PHASE_WAITING) == 0) {
      gem_learned_queue_join(entry);
    }
  }
  learned_tell_waiting(self);
  gem_learned_queue_check(self);
  gem_learned_queue_run(self);
}

void
gem_learned_take_model(GemLearned *self, GemEngine *engine)
{
  GHashTableIter iter;
  gpointer entry;

  if (self->store == NULL) {
    return;
  }
  g_clear_pointer(&self->model, gem_learned_model_unref);
  g_clear_error(&self->model_error);
  g_set_object(&self->engine, engine);
  g_hash_table_iter_init(&iter, self->entries);
  while (g_hash_table_iter_next(&iter, NULL, &entry)) {
    ((GemLearnedEntry *)entry)->serving = FALSE;
  }
  self->model = gem_learned_model_new(
      gem_engine_get_model_path(engine), gem_engine_get_file_sha256(engine, GEM_MODEL_GENERAL_FILE),
      gem_engine_get_file_sha256(engine, GEM_MODEL_ROUTER_FILE), &self->model_error);
  if (self->loaded) {
    learned_begin(self);
  }
}

static void
on_loaded(GObject *source, GAsyncResult *result, gpointer data)
{
  GemLearned *self = data;
  guint unread = 0;
  g_autoptr(GPtrArray) left = NULL;
  g_autoptr(GPtrArray) records = gem_learned_store_load_finish(result, &left, &unread);

  for (guint i = 0; i < left->len; i++) {
    g_hash_table_add(self->left, g_strdup(g_ptr_array_index(left, i)));
  }
  g_ptr_array_set_free_func(records, NULL);
  for (guint i = 0; i < records->len; i++) {
    GemLearnedRecord *record = g_ptr_array_index(records, i);
    GemLearnedEntry *entry;

    record->shared = record->shared && gem_learned_check_share(self, record, NULL);
    entry = gem_learned_add(self, record);
    if (record->order != NULL) {
      entry->phase = GEM_PHASE_WAITING; /* for a model, too: the service does not stay for that */
    }
  }
  if (unread > 0) {
    g_autofree char *count = g_strdup_printf("%u", unread);

    gem_log(
        LOG_WARNING, GEM_LOG_DOMAINS_UNREAD, (const char *[]){"GEM_COUNT", count, NULL},
        "%u records or folders of learned domains cannot be read: they are left as they are, and not served",
        unread);
  }
  self->loaded = TRUE;
  if (self->engine != NULL) {
    learned_begin(self);
  } else {
    learned_tell_waiting(self);
  }
}

GemLearned *
gem_learned_new(const GemConfig *config, GemBusJobs *jobs, GemWork *work)
{
  GemLearned *self = g_new0(GemLearned, 1);

  self->config = config;
  self->jobs = jobs;
  self->work = work;
  self->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entry_leave);
  self->left = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  self->copies = g_hash_table_new(NULL, NULL);
  self->turns = g_hash_table_new(NULL, NULL);
  self->waiting = g_ptr_array_new_with_free_func(g_free);
  self->drops = g_ptr_array_new();
  self->loaded = config->state_dir == NULL;
  if (config->state_dir != NULL) {
    self->store = gem_learned_store_new(config->state_dir);
    gem_learned_store_load_async(self->store, on_loaded, self);
  }
  return self;
}

void
gem_learned_stop(GemLearned *self)
{
  g_autoptr(GPtrArray) entries = NULL;

  if (!self->stopping) {
    self->stopping = TRUE;
    entries = gem_learned_list(self);
    for (guint i = 0; i < entries->len; i++) {
      gem_learned_fail_asked(g_ptr_array_index(entries, i));
    }
    gem_learned_queue_stop(self);
    learned_tell_waiting(self);
  }
}

void
gem_learned_free(GemLearned *self)
{
  gem_learned_stop(self);
  gem_learned_drops_abandon(self);
  g_clear_pointer(&self->entries, g_hash_table_unref);
  g_clear_pointer(&self->store, gem_learned_store_free);
  g_clear_pointer(&self->model, gem_learned_model_unref);
  g_clear_error(&self->model_error);
  g_clear_object(&self->engine);
  g_hash_table_unref(self->copies);
  g_hash_table_unref(self->turns);
  g_hash_table_unref(self->left);
  g_ptr_array_unref(self->waiting);
  g_free(self);
}
