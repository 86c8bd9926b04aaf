/* What users ask for of a domain that was learned: to forget it, to go back, to share it. */
#include "daemon/bus/gem-service.h"
#include "daemon/learned/gem-learned-private.h"

/* What the user of an entry asks for while it is on its way into the engine: it would be lost on the way. */
typedef struct {
  void (*run)(GemLearnedEntry *entry, gboolean shared, GemLearnedDone done, gpointer data);
  gboolean shared;
  GemLearnedDone done;
  gpointer data;
} After;

static gboolean
entry_is_settled(const GemLearnedEntry *entry)
{
  return entry->entering == 0 && !entry->committing;
}

void
gem_learned_settle(GemLearnedEntry *entry)
{
  g_autoptr(GemLearnedEntry) held = gem_learned_entry_ref(entry);

  while (held->after != NULL && held->after->len > 0 && entry_is_settled(held)) {
    g_autofree After *after = g_ptr_array_steal_index(held->after, 0);

    after->run(held, after->shared, after->done, after->data);
  }
}

static void
fail_unknown(GemLearnedDone done, gpointer data)
{
  g_autoptr(GError) error =
      g_error_new_literal(GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN, "no domain of that name was learned");

  done(error, data);
}

static void
fail_stopping(GemLearnedDone done, gpointer data)
{
  g_autoptr(GError) error = g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN, "the service stops");

  done(error, data);
}

/* Runs `after` for the domain when it is not on its way into the engine; `after` is copied. */
static void
ask(GemLearned *self, guint uid, const char *name, const After *after)
{
  GemLearnedEntry *entry = gem_learned_find(self, uid, name);

  if (entry == NULL) {
    fail_unknown(after->done, after->data);
    return;
  }
  if (self->stopping) {
    fail_stopping(after->done, after->data);
    return;
  }
  if (entry->after == NULL) {
    entry->after = g_ptr_array_new_with_free_func(g_free);
  }
  g_ptr_array_add(entry->after, g_memdup2(after, sizeof *after));
  gem_learned_settle(entry);
}

static void
entry_forget(GemLearnedEntry *entry, gboolean unused, GemLearnedDone done, gpointer data)
{
  if (entry->all == NULL) {
    fail_unknown(done, data);
    return;
  }
  gem_learned_queue_cancel(entry);
  if (entry->all != NULL) {
    gem_learned_drop(entry, done, data);
  } else {
    done(NULL, data); /* there was nothing but what was being learned */
  }
}

void
gem_learned_forget(GemLearned *self, guint uid, const char *name, GemLearnedDone done, gpointer data)
{
  ask(self, uid, name, &(After){entry_forget, FALSE, done, data});
}

static void
entry_undo(GemLearnedEntry *entry, gboolean unused, GemLearnedDone done, gpointer data)
{
  if (entry->all == NULL) {
    fail_unknown(done, data);
  } else if (entry->phase != NULL) {
    gem_learned_queue_cancel(entry);
    done(NULL, data);
  } else if (entry->record->previous.number == 0) {
    gem_learned_drop(entry, done, data);
  } else {
    gem_learned_version_clear(&entry->record->version);
    entry->record->version = entry->record->previous;
    entry->record->previous = (GemLearnedVersion){0};
    entry->record->shared = FALSE; /* the last one was, and an administrator may not know this one */
    gem_learned_serve(entry, NULL, NULL);
    gem_learned_keep(entry, done, data);
  }
}

void
gem_learned_undo(GemLearned *self, guint uid, const char *name, GemLearnedDone done, gpointer data)
{
  ask(self, uid, name, &(After){entry_undo, FALSE, done, data});
}

gboolean
gem_learned_check_share(GemLearned *self, const GemLearnedRecord *record, GError **error)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init(&iter, self->entries);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    const GemLearnedRecord *other = ((const GemLearnedEntry *)value)->record;

    if (other != record && other->shared && g_str_equal(other->name, record->name)) {
      g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION,
                  "shared: another user's domain %s is shared already", record->name);
      return FALSE;
    }
  }
  return TRUE;
}

static void
entry_share(GemLearnedEntry *entry, gboolean shared, GemLearnedDone done, gpointer data)
{
  g_autoptr(GError) error = NULL;

  if (entry->all == NULL) {
    fail_unknown(done, data);
  } else if ((shared && !gem_learned_check_share(entry->all, entry->record, &error)) ||
             (entry->serving && !gem_engine_share_learned(entry->all->engine, entry->record->uid,
                                                          entry->record->name, shared, &error))) {
    done(error, data);
  } else {
    entry->record->shared = shared;
    gem_learned_keep(entry, done, data);
  }
}

void
gem_learned_share(
    GemLearned *self, guint uid, const char *name, gboolean shared, GemLearnedDone done, gpointer data)
{
  ask(self, uid, name, &(After){entry_share, shared, done, data});
}

void
gem_learned_fail_asked(GemLearnedEntry *entry)
{
  while (entry->after != NULL && entry->after->len > 0) {
    g_autofree After *after = g_ptr_array_steal_index(entry->after, 0);

    fail_stopping(after->done, after->data);
  }
}
