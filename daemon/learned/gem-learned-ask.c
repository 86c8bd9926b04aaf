/* What users ask for of a domain that was learned: to forget it, to go back, to share it. */
#include "daemon/base/gem-log.h"
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
  return entry->entering == 0 && !entry->committing && !entry->changing;
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
  } else if (entry->phase != NULL) {
    gem_learned_queue_cancel(entry, gem_learned_drop, done, data);
  } else {
    gem_learned_drop(entry, done, data);
  }
}

void
gem_learned_forget(GemLearned *self, guint uid, const char *name, GemLearnedDone done, gpointer data)
{
  ask(self, uid, name, &(After){entry_forget, FALSE, done, data});
}

/* ---- what is in force once it is written down ---- */

typedef struct {
  GemLearnedEntry *entry;
  GemLearnedVersion last; /* that is undone; none: only the sharing changes */
  guint number;           /* of the version that it is about */
  gboolean shared;        /* as it was */
  GemLearnedDone done;
  gpointer data;
} Change;

static Change *
change_new(GemLearnedEntry *entry, GemLearnedDone done, gpointer data)
{
  Change *change = g_new0(Change, 1);

  change->entry = gem_learned_entry_ref(entry);
  change->number = entry->record->version.number;
  change->shared = entry->record->shared;
  change->done = done;
  change->data = data;
  entry->changing = TRUE;
  return change;
}

static void
change_end(Change *change, const GError *error)
{
  g_autoptr(GemLearnedEntry) entry = change->entry;

  entry->changing = FALSE;
  change->done(error, change->data);
  gem_learned_version_clear(&change->last);
  g_free(change);
  gem_learned_settle(entry);
}

/* That the version before cannot be served is no failure: its state tells. */
static void
on_undo_served(const GError *error, gpointer data)
{
  change_end(data, NULL);
}

static void
on_undo_kept(const GError *error, gpointer data)
{
  Change *change = data;
  GemLearnedEntry *entry = change->entry;
  GemLearnedRecord *record = entry->record;

  if (error != NULL) {
    record->previous = record->version;
    record->version = change->last;
    /* Another user's of its name may have been shared meanwhile. */
    record->shared =
        change->shared && entry->all != NULL && gem_learned_check_share(entry->all, record, NULL);
    change->last = (GemLearnedVersion){0};
  }
  if (entry->all == NULL || entry->all->stopping) {
    change_end(change, error);
  } else if (error != NULL) {
    gem_learned_serve(entry, NULL, NULL); /* another model's beginning may have had the other one served */
    change_end(change, error);
  } else {
    gem_learned_serve(entry, on_undo_served, change);
  }
}

static void
entry_go_back(GemLearnedEntry *entry, GemLearnedDone done, gpointer data)
{
  GemLearnedRecord *record = entry->record;
  Change *change = change_new(entry, done, data);

  change->last = record->version;
  record->version = record->previous;
  record->previous = (GemLearnedVersion){0};
  record->shared = FALSE; /* the last one was, and an administrator may not know this one */
  gem_learned_keep(entry, on_undo_kept, change);
}

/* The learning has ended, whatever could be written: an undo that is told to have failed would be called
 * again, and take the version. */
static void
on_given_up(const GError *error, gpointer data)
{
  if (error != NULL) {
    gem_log(LOG_WARNING, GEM_LOG_DOMAIN_FAILED, NULL,
            "a learning was given up, and that cannot be written down: %s", gem_error_name(error->code));
  }
  change_end(data, NULL);
}

/* Of a domain that has a version. */
static void
keep_given_up(GemLearnedEntry *entry, GemLearnedDone done, gpointer data)
{
  gem_learned_keep(entry, on_given_up, change_new(entry, done, data));
}

static void
entry_undo(GemLearnedEntry *entry, gboolean unused, GemLearnedDone done, gpointer data)
{
  if (entry->all == NULL) {
    fail_unknown(done, data);
  } else if (entry->phase != NULL) {
    gem_learned_queue_cancel(entry, entry->record->version.number > 0 ? keep_given_up : gem_learned_keep,
                             done, data);
  } else if (entry->record->previous.number == 0) {
    gem_learned_drop(entry, done, data);
  } else {
    entry_go_back(entry, done, data);
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
      gem_error_set_argument(error, "shared", "another user's domain %s is shared already", record->name);
      return FALSE;
    }
  }
  return TRUE;
}

/* In the engine and in the record, not written down. */
static gboolean
entry_set_shared(GemLearnedEntry *entry, gboolean shared, GError **error)
{
  const GemLearnedRecord *record = entry->record;

  if ((shared && !gem_learned_check_share(entry->all, record, error)) ||
      (entry->serving &&
       !gem_engine_share_learned(entry->all->engine, record->uid, record->name, shared, error))) {
    return FALSE;
  }
  entry->record->shared = shared;
  return TRUE;
}

static void
on_share_kept(const GError *error, gpointer data)
{
  Change *change = data;
  GemLearnedEntry *entry = change->entry;

  /* Of another version that was learned meanwhile nothing was said. */
  if (error != NULL && entry->all != NULL && entry->record->version.number == change->number) {
    entry_set_shared(entry, change->shared, NULL);
    if (entry->entering > 0) {
      gem_learned_serve(entry, NULL, NULL); /* another model's beginning may have it enter as it was to be */
    }
  }
  change_end(change, error);
}

static void
entry_share(GemLearnedEntry *entry, gboolean shared, GemLearnedDone done, gpointer data)
{
  g_autoptr(GError) error = NULL;
  Change *change;

  if (entry->all == NULL) {
    fail_unknown(done, data);
    return;
  }
  change = change_new(entry, done, data);
  if (entry_set_shared(entry, shared, &error)) {
    gem_learned_keep(entry, on_share_kept, change);
  } else {
    change_end(change, error);
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
