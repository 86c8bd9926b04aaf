/* What is being learned: whose turn it is, and how it ends. */
#include "daemon/base/gem-log.h"
#include "daemon/learned/gem-learned-private.h"

/* How often a process is started for one learning before that is given up: what kills it may be the text. */
#define MOST_STARTS 3u
/* The same of processes that never spoke, one after the other: what keeps them from it is not the text. */
#define MOST_SILENT 3u
/* How long the next start waits, in times of those that failed. */
#define BACK_OFF_SECONDS 1

/* ---- an end ---- */

static void
log_end(const char *message_id, const char *end, GVariant *figures, const GError *error)
{
  double seconds = 0;
  g_autofree char *text = NULL;

  if (figures != NULL) {
    g_variant_lookup(figures, "seconds", "d", &seconds);
  }
  text = g_strdup_printf("%.1f", seconds);
  /* Neither whose nor which, and no reason of a process that has read the text. */
  gem_log(error != NULL ? LOG_WARNING : LOG_NOTICE, message_id, (const char *[]){"GEM_SECONDS", text, NULL},
          "a domain was %s%s%s", end, error != NULL ? ": " : "",
          error != NULL ? gem_error_name(error->code) : "");
}

/* Nothing is being learned any more; the job, if there is one, is the caller's to end. */
static GemBusJob *
entry_take_job(GemLearnedEntry *entry)
{
  GemBusJob *job = g_steal_pointer(&entry->job);

  if (entry->copying != NULL) {
    g_cancellable_cancel(entry->copying);
    g_clear_object(&entry->copying);
  }
  if (entry->is_work) {
    entry->is_work = FALSE;
    gem_work_end(entry->all->work, GEM_IDLE_JOBS);
  }
  gem_learned_order_free(g_steal_pointer(&entry->asked));
  gem_learned_record_set_order(entry->record, NULL);
  entry->phase = NULL;
  entry->progress = 0;
  return job;
}

static void
on_trainer_gone(gpointer data)
{
  GemLearned *self = data;

  self->leaving = NULL;
  gem_learned_queue_run(self);
}

/* Whatever runs for it ends; the next starts when its process has. */
static void
entry_stop(GemLearnedEntry *entry, gboolean keep)
{
  GemLearned *self = entry->all;

  if (self->running == entry) {
    if (self->learning != NULL) {
      self->leaving = gem_learning_take_trainer(self->learning);
      g_clear_pointer(&self->learning, gem_learning_free);
      if (self->leaving != NULL) {
        gem_trainer_leave(self->leaving, !keep, on_trainer_gone, self);
      }
    }
    g_clear_pointer(&self->running, gem_learned_entry_unref);
  }
}

static void
entry_end_failed(GemLearnedEntry *entry, const GError *error)
{
  GemBusJob *job = entry_take_job(entry);

  g_assert(error != NULL);
  log_end(GEM_LOG_DOMAIN_FAILED, "not learned", NULL, error);
  gem_learned_record_set_outcome(entry->record, FALSE, error->message, NULL);
  gem_learned_keep(entry, NULL, NULL);
  if (job != NULL) {
    gem_bus_job_fail(job, error);
  }
}

static GVariant *
with_reason(GVariant *figures, const char *reason)
{
  GVariantDict details;

  g_variant_dict_init(&details, figures);
  g_variant_dict_insert(&details, "reason", "s", reason);
  return g_variant_dict_end(&details);
}

static void
entry_end_refused(GemLearnedEntry *entry, GVariant *figures, const char *reason)
{
  GemBusJob *job = entry_take_job(entry);

  log_end(GEM_LOG_DOMAIN_REFUSED, "learned, and refused: it does not keep its bounds", figures, NULL);
  gem_learned_record_set_outcome(entry->record, TRUE, reason, figures);
  gem_learned_keep(entry, NULL, NULL);
  if (job != NULL) {
    gem_bus_job_refuse(job, with_reason(figures, reason));
  }
}

void
gem_learned_queue_fail(GemLearnedEntry *entry, const GError *error)
{
  g_autoptr(GemLearnedEntry) held = gem_learned_entry_ref(entry);
  GemLearned *self = entry->all;

  entry_stop(held, FALSE);
  entry_end_failed(held, error);
  gem_learned_queue_run(self);
}

void
gem_learned_queue_cancel(GemLearnedEntry *entry, GemLearnedThen then, GemLearnedDone done, gpointer data)
{
  g_autoptr(GemLearnedEntry) held = gem_learned_entry_ref(entry);
  GemLearned *self = entry->all;
  GemBusJob *job;

  if (held->committing || held->phase == NULL) {
    return;
  }
  entry_stop(held, FALSE);
  job = entry_take_job(held);
  then(held, done, data);
  if (job != NULL) {
    gem_bus_job_cancel_done(job);
  }
  gem_learned_queue_run(self);
}

/* ---- what was learned goes into service ---- */

/* While the learned file becomes the domain's version. */
typedef struct {
  GemLearnedEntry *entry;
  GemLearnedVersion before; /* the one before the last, which goes when all is well */
  gboolean shared;          /* what others were given was learned from another text */
} Commit;

static void
commit_free(Commit *commit)
{
  gem_learned_version_clear(&commit->before);
  gem_learned_entry_unref(commit->entry);
  g_free(commit);
}

/* What was learned is none after all. */
static void
commit_take_back(Commit *commit)
{
  GemLearnedRecord *record = commit->entry->record;

  gem_learned_version_clear(&record->version);
  record->version = record->previous;
  record->previous = commit->before;
  commit->before = (GemLearnedVersion){0};
  record->shared = commit->shared;
}

/* The figures of the job, and what its user may not expect. */
static GVariant *
describe_done(const Commit *commit, GVariant *figures)
{
  GVariantDict details;

  g_variant_dict_init(&details, figures);
  if (commit->shared) {
    g_variant_dict_insert(&details, "no_longer_shared", "b", TRUE);
  }
  return g_variant_dict_end(&details);
}

static void
on_serving(const GError *error, gpointer data)
{
  Commit *commit = data;
  GemLearnedEntry *entry = commit->entry;
  GVariant *figures = entry->record->version.figures;
  g_autoptr(GError) told = NULL;
  GemBusJob *job;

  if (entry->all == NULL) {
    commit_free(commit);
    return;
  }
  entry->committing = FALSE;
  if (error == NULL) {
    log_end(GEM_LOG_DOMAIN_LEARNED, "learned", figures, NULL);
    job = entry_take_job(entry);
    if (job != NULL) {
      gem_bus_job_done(job, describe_done(commit, figures));
    }
  } else if (g_error_matches(error, GEM_ERROR, GEM_ERROR_PATHWAY)) {
    /* The file of the one before the last is gone already. */
    gem_learned_version_clear(&commit->before);
    commit_take_back(commit);
    entry_end_failed(entry, error);
    if (entry->all != NULL && entry->record->version.number > 0) {
      gem_learned_serve(entry, NULL, NULL);
    }
  } else {
    /* It is good, but has no place now: that may be another time. */
    told = g_error_new(GEM_ERROR, error->code, "the domain is learned and kept, and cannot be served now: %s",
                       error->message);
    log_end(GEM_LOG_DOMAIN_FAILED, "learned, and cannot be served", NULL, error);
    gem_learned_withdraw(entry); /* the one before */
    job = entry_take_job(entry);
    if (job != NULL) {
      gem_bus_job_fail(job, told);
    }
  }
  gem_learned_settle(entry);
  commit_free(commit);
}

static void
on_committed(GObject *source, GAsyncResult *result, gpointer data)
{
  Commit *commit = data;
  GemLearnedEntry *entry = commit->entry;
  g_autoptr(GError) error = NULL;
  guint64 bytes = 0;
  gboolean committed = gem_learned_store_save_finish(result, &bytes, &error);

  if (entry->all == NULL) {
    commit_free(commit);
  } else if (!committed) {
    entry->committing = FALSE;
    commit_take_back(commit);
    entry_end_failed(entry, error);
    gem_learned_settle(entry);
    commit_free(commit);
  } else {
    entry->record->version.bytes = bytes;
    gem_learned_serve(entry, on_serving, commit);
  }
}

static void
entry_commit(GemLearnedEntry *entry, GVariant *figures)
{
  GemLearnedRecord *record = entry->record;
  Commit *commit = g_new0(Commit, 1);
  guint last = MAX(record->version.number, record->previous.number);

  commit->entry = gem_learned_entry_ref(entry);
  commit->before = record->previous;
  commit->shared = record->shared;
  record->shared = FALSE;
  record->previous = record->version;
  record->version = (GemLearnedVersion){.number = last + 1,
                                        .learned_at = g_get_real_time() / G_USEC_PER_SEC,
                                        .model = g_strdup(record->order->model),
                                        .figures = g_variant_ref(figures)};
  gem_learned_record_set_order(record, NULL);
  gem_learned_record_set_outcome(record, FALSE, NULL, NULL);
  entry->committing = TRUE;
  gem_learned_store_commit_async(entry->all->store, record, on_committed, commit);
}

/* ---- one at a time ---- */

static gboolean
on_later(gpointer data)
{
  GemLearned *self = data;

  self->later = 0;
  gem_learned_queue_run(self);
  return G_SOURCE_REMOVE;
}

/* It waits for its turn again, which comes after a while. */
static void
entry_try_again(GemLearnedEntry *entry, guint failures)
{
  entry->not_before = g_get_monotonic_time() + (gint64)failures * BACK_OFF_SECONDS * G_USEC_PER_SEC;
  gem_learned_queue_join(entry);
}

static void
on_progress(double share, const char *phase, gpointer data)
{
  GemLearned *self = data;
  GemLearnedEntry *entry = self->running;

  entry->phase = g_intern_string(phase);
  entry->progress = share;
  if (entry->job != NULL) {
    gem_bus_job_set_phase(entry->job, phase);
    gem_bus_job_set_progress(entry->job, share);
  }
}

/* What is told of the texts that the service writes before is not the process's word; and where the model
 * left meanwhile there was no process. */
static guint
count_silent(guint silent, GemLearningEnd end, const GError *error)
{
  if (end != GEM_LEARNING_NOT_BEGUN) {
    return 0;
  }
  return g_error_matches(error, GEM_ERROR, GEM_ERROR_SHUTTING_DOWN) ? silent : silent + 1;
}

static void
on_ended(GemLearningEnd end, GVariant *figures, const char *reason, const GError *error, gpointer data)
{
  GemLearned *self = data;
  g_autoptr(GemLearnedEntry) entry = gem_learned_entry_ref(self->running);
  g_autoptr(GVariant) kept = figures != NULL ? g_variant_ref(figures) : NULL;
  g_autofree char *why = g_strdup(reason);
  g_autoptr(GError) failure = error != NULL ? g_error_copy(error) : NULL;

  entry_stop(entry, TRUE);
  entry->silent = count_silent(entry->silent, end, failure);
  if (end == GEM_LEARNING_DONE) {
    entry_commit(entry, kept);
  } else if (end == GEM_LEARNING_REFUSED) {
    entry_end_refused(entry, kept, why);
  } else if (end == GEM_LEARNING_DIED && entry->record->order->starts < MOST_STARTS) {
    entry_try_again(entry, entry->record->order->starts);
  } else if (end == GEM_LEARNING_NOT_BEGUN && entry->silent < MOST_SILENT) {
    entry->record->order->starts--;
    entry_try_again(entry, MAX(entry->silent, 1));
  } else {
    entry_end_failed(entry, failure);
  }
  gem_learned_queue_run(self);
}

/* That it is started is written down: whatever happens now is counted. */
static void
on_start_kept(const GError *error, gpointer data)
{
  static const GemLearningEvents events = {on_progress, on_ended};
  g_autoptr(GemLearnedEntry) entry = data;
  GemLearned *self = entry->all;

  if (self == NULL || self->running != entry || self->learning != NULL) {
    return;
  }
  if (error != NULL) {
    gem_learned_queue_fail(entry, error);
  } else {
    self->learning =
        gem_learning_new(self->store, self->config, self->engine, self->model, entry->record, &events, self);
  }
}

/* Of the users who wait the one whose turn was longest ago, and of theirs the one that came first. NULL: none
 * may start now; *ret_when is when one may, 0 when none waits. */
static GemLearnedEntry *
find_next(GemLearned *self, gint64 *ret_when)
{
  gint64 now = g_get_monotonic_time();
  GemLearnedEntry *next = NULL;
  guint next_turn = 0;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init(&iter, self->entries);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    GemLearnedEntry *entry = value;
    guint turn = GPOINTER_TO_UINT(g_hash_table_lookup(self->turns, GUINT_TO_POINTER(entry->record->uid)));

    if (g_strcmp0(entry->phase, GEM_PHASE_WAITING) != 0) {
      continue;
    }
    if (entry->not_before > now) {
      *ret_when = *ret_when == 0 ? entry->not_before : MIN(*ret_when, entry->not_before);
    } else if (next == NULL || turn < next_turn ||
               (turn == next_turn && entry->record->order->arrived < next->record->order->arrived)) {
      next = entry;
      next_turn = turn;
    }
  }
  return next;
}

static gboolean
fits_model(GemLearned *self, const GemLearnedEntry *entry)
{
  return self->model != NULL && g_str_equal(entry->record->order->model, self->model->identity);
}

static void
fail_changed(GemLearnedEntry *entry)
{
  g_autoptr(GError) error = g_error_new_literal(GEM_ERROR, GEM_ERROR_MODEL_CHANGED,
                                                "another model is served than the one that was to learn");

  gem_learned_queue_fail(entry, error);
}

void
gem_learned_queue_check(GemLearned *self)
{
  if (self->running != NULL && !fits_model(self, self->running)) {
    fail_changed(self->running);
  }
}

/* As many processes ended over it as may: the service may have died with the last. */
static void
fail_starts(GemLearnedEntry *entry)
{
  g_autoptr(GError) error = g_error_new(GEM_ERROR, GEM_ERROR_FAILED,
                                        "the domain cannot be learned: it was started %u times, and died",
                                        entry->record->order->starts);

  gem_learned_queue_fail(entry, error);
}

void
gem_learned_queue_run(GemLearned *self)
{
  GemLearnedEntry *next;
  gint64 when = 0;

  if (self->stopping || self->running != NULL || self->leaving != NULL || self->engine == NULL) {
    return;
  }
  g_clear_handle_id(&self->later, g_source_remove);
  next = find_next(self, &when);
  if (next == NULL) {
    if (when > 0) {
      self->later = g_timeout_add((guint)MAX((when - g_get_monotonic_time()) / 1000 + 1, 1), on_later, self);
    }
    return;
  }
  if (next->record->order->starts >= MOST_STARTS) {
    fail_starts(next); /* and on to the one after it */
    return;
  }
  if (!fits_model(self, next)) {
    fail_changed(next); /* and on to the one after it */
    return;
  }
  self->running = gem_learned_entry_ref(next);
  g_hash_table_insert(self->turns, GUINT_TO_POINTER(next->record->uid), GUINT_TO_POINTER(++self->turn));
  next->record->order->starts++;
  gem_learned_keep(next, on_start_kept, gem_learned_entry_ref(next));
}

void
gem_learned_queue_join(GemLearnedEntry *entry)
{
  entry->phase = GEM_PHASE_WAITING;
  if (entry->job != NULL) {
    gem_bus_job_set_phase(entry->job, entry->phase);
  } else if (!entry->is_work) {
    entry->is_work = TRUE;
    gem_work_begin(entry->all->work, GEM_IDLE_JOBS);
  }
}

/* ---- the end of the service ---- */

static void
entry_suspend(GemLearnedEntry *entry, const GError *error)
{
  GemBusJob *job = g_steal_pointer(&entry->job);
  gboolean runs = entry->all->running == entry;

  entry_stop(entry, TRUE);
  if (entry->copying != NULL) {
    g_cancellable_cancel(entry->copying);
    g_clear_object(&entry->copying);
  }
  if (runs && entry->record->order != NULL) {
    /* It did not die of itself. */
    entry->record->order->starts--;
    gem_learned_keep(entry, NULL, NULL);
  }
  if (job != NULL) {
    gem_bus_job_fail(job, error);
  } else if (entry->is_work) {
    entry->is_work = FALSE;
    gem_work_end(entry->all->work, GEM_IDLE_JOBS);
  }
}

void
gem_learned_queue_stop(GemLearned *self)
{
  g_autoptr(GPtrArray) entries = gem_learned_list(self);
  g_autoptr(GError) error =
      g_error_new_literal(GEM_ERROR, GEM_ERROR_SHUTTING_DOWN,
                          "the service stops; what is being learned goes on with its next start");
  g_autoptr(GError) lost = g_error_new_literal(
      GEM_ERROR, GEM_ERROR_SHUTTING_DOWN,
      "the service stops; the text was not there as a whole, and will have to be sent again");

  for (guint i = 0; i < entries->len; i++) {
    GemLearnedEntry *entry = g_ptr_array_index(entries, i);

    if (entry->phase != NULL) {
      /* When its text has come its order is written down before the service ends, at the latest. */
      entry_suspend(entry, entry->asked != NULL ? lost : error);
    }
  }
  g_clear_handle_id(&self->later, g_source_remove);
  g_clear_pointer(&self->leaving, gem_trainer_free);
}
