/* A new learning: what may be asked for, and the text that comes in. */
#include <string.h>
#include <unistd.h>

#include "daemon/bus/gem-service.h"
#include "daemon/learned/gem-learned-private.h"
#include "daemon/learned/gem-learned-text.h"
#include "daemon/learned/gem-trainer.h"

/* ---- the text comes in ---- */

static void
on_order_kept(const GError *error, gpointer data)
{
  g_autoptr(GemLearnedEntry) entry = data;
  GemLearned *self = entry->all;

  if (self == NULL || g_strcmp0(entry->phase, GEM_PHASE_COPYING) != 0 || entry->record->order == NULL) {
    return;
  }
  if (error != NULL) {
    gem_learned_queue_fail(entry, error);
  } else {
    gem_learned_queue_join(entry);
    gem_learned_queue_run(self);
  }
}

static void
on_copied(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(GemLearnedEntry) entry = data;
  g_autoptr(GError) error = NULL;
  guint64 bytes = 0;
  gboolean copied = gem_learned_text_copy_finish(result, &bytes, &error);

  /* Given up meanwhile, and perhaps begun again. */
  if (entry->all == NULL || entry->copying != g_task_get_cancellable(G_TASK(result))) {
    return;
  }
  g_clear_object(&entry->copying);
  if (!copied) {
    gem_learned_queue_fail(entry, error);
    return;
  }
  gem_learned_record_set_order(entry->record, entry->asked);
  g_clear_pointer(&entry->asked, gem_learned_order_free);
  gem_learned_record_set_outcome(entry->record, FALSE, NULL, NULL);
  gem_learned_keep(entry, on_order_kept, gem_learned_entry_ref(entry));
}

/* A descriptor of the caller's, until there is a file to copy it to. */
typedef struct {
  GemLearnedEntry *entry;
  GCancellable *copying;
  int text;
} Begin;

static void
on_begun(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Begin *begin = data;
  GemLearnedEntry *entry = begin->entry;
  g_autoptr(GCancellable) copying = begin->copying;
  g_autoptr(GError) error = NULL;
  int to = gem_learned_store_begin_finish(result, &error);

  if (entry->all == NULL || entry->copying != copying || error != NULL) {
    close(begin->text);
    if (error == NULL) {
      close(to);
    } else if (entry->all != NULL && entry->copying == copying) {
      gem_learned_queue_fail(entry, error);
    }
    gem_learned_entry_unref(entry);
    return;
  }
  gem_learned_text_copy_async(begin->text, to, gem_service_get_config(entry->all->service)->adapt_text,
                              copying, on_copied, entry);
}

/* ---- a new one ---- */

static guint
count_of(GemLearned *self, guint uid, gboolean everybodys)
{
  GHashTableIter iter;
  gpointer value;
  guint count = 0;

  g_hash_table_iter_init(&iter, self->entries);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    const GemLearnedEntry *entry = value;

    count += (everybodys || entry->record->uid == uid) &&
             (entry->phase != NULL || entry->record->version.number > 0);
  }
  return count;
}

/* What only tells how a learning failed goes when the next one begins: it is not counted. */
static void
drop_outcomes(GemLearned *self, guint uid)
{
  g_autoptr(GPtrArray) entries = gem_learned_list(self);

  for (guint i = 0; i < entries->len; i++) {
    GemLearnedEntry *entry = g_ptr_array_index(entries, i);

    if (entry->record->uid == uid && entry->phase == NULL && entry->record->version.number == 0) {
      gem_learned_drop(entry, NULL, NULL);
    }
  }
}

gboolean
gem_learned_check_supported(GemLearned *self, GError **error)
{
  const GemConfig *config = gem_service_get_config(self->service);
  const char *why = NULL;

  if (self->store == NULL) {
    why = "the service has no folder to keep domains in";
  } else if (config->max_learned_per_user == 0 || config->max_learned == 0) {
    why = "the administrator switched it off";
  } else if (!gem_trainer_is_there(config)) {
    why = "the program for it is not installed";
  } else if (self->model == NULL) {
    why = self->model_error != NULL ? self->model_error->message : "no model is served";
  }
  if (why != NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_NOT_SUPPORTED, "no domain can be learned here: %s", why);
  }
  return why == NULL;
}

/* Whether that user may have this domain learned, and as what. */
static gboolean
check_name(GemLearned *self, const char *name, const char **ret_replaces, GError **error)
{
  gboolean is_domain;

  if (!gem_learned_name_check(name, error)) {
    return FALSE;
  }
  is_domain = g_strv_contains(gem_engine_get_domains(self->engine), name);
  if (is_domain && !g_str_equal(name, GEM_LEARNED_REPLACEABLE)) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION,
                "name: \"%s\" is a domain of the model; of these " GEM_LEARNED_REPLACEABLE
                " alone can be taught",
                name);
    return FALSE;
  }
  *ret_replaces = is_domain ? name : "";
  return TRUE;
}

static gboolean
check_quota(GemLearned *self, guint uid, GError **error)
{
  const GemConfig *config = gem_service_get_config(self->service);

  return gem_quota_check("MaxLearnedPerUser", count_of(self, uid, FALSE), 1, config->max_learned_per_user,
                         error) &&
         gem_quota_check("MaxLearned", count_of(self, uid, TRUE), 1, config->max_learned, error);
}

static void
on_cancel(gpointer data)
{
  gem_learned_queue_cancel(data);
}

static const GemBusJobKind adapt_kind = {"adapt-domain", on_cancel, .outlives_caller = TRUE};

/* `entry` copies the text and then waits for its turn. */
static const char *
entry_begin(GemLearnedEntry *entry, GemCaller *caller, int text, const GemLearnedOrder *order)
{
  Begin *begin = g_new(Begin, 1);

  entry->phase = GEM_PHASE_COPYING;
  entry->progress = 0;
  entry->copying = g_cancellable_new();
  entry->asked = gem_learned_order_copy(order);
  g_free(entry->asked->model);
  entry->asked->model = g_strdup(entry->all->model->identity);
  entry->asked->arrived = g_get_real_time();
  entry->asked->starts = 0;
  entry->job = gem_bus_job_new(gem_service_get_jobs(entry->all->service), caller, &adapt_kind, entry);
  gem_bus_job_set_phase(entry->job, entry->phase);
  *begin = (Begin){gem_learned_entry_ref(entry), g_object_ref(entry->copying), text};
  gem_learned_store_begin_async(entry->all->store, entry->record, on_begun, begin);
  return gem_bus_job_get_path(entry->job);
}

const char *
gem_learned_adapt(GemLearned *self,
                  GemCaller *caller,
                  const char *name,
                  int text,
                  const GemLearnedOrder *order,
                  GError **error)
{
  const GemConfig *config = gem_service_get_config(self->service);
  guint uid = caller->user->uid;
  const char *replaces = NULL;
  GemLearnedRecord *record;
  GemLearnedEntry *entry;

  if (!gem_learned_check_supported(self, error) || !check_name(self, name, &replaces, error) ||
      !gem_learned_text_check(text, config->adapt_text, error)) {
    return NULL;
  }
  entry = gem_learned_find(self, uid, name);
  if (entry != NULL && entry->phase != NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_BUSY, "the domain \"%s\" is being learned", name);
    return NULL;
  }
  if ((entry == NULL || entry->record->version.number == 0) && !check_quota(self, uid, error)) {
    return NULL;
  }
  drop_outcomes(self, uid);
  entry = gem_learned_find(self, uid, name);
  if (entry == NULL) {
    record = gem_learned_record_new(uid, name);
    g_free(record->replaces);
    record->replaces = g_strdup(replaces);
    entry = gem_learned_add(self, record);
  }
  return entry_begin(entry, caller, text, order);
}
