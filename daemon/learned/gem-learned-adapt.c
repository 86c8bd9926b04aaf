/* A new learning: what may be asked for, and the text that comes in. */
#include <string.h>
#include <unistd.h>

#include "daemon/bus/gem-descriptors.h"
#include "daemon/learned/gem-learned-private.h"
#include "daemon/learned/gem-learned-text.h"
#include "daemon/learned/gem-trainer.h"

/* Of a user at a time; those that were given up are among them until they have ended. */
#define MOST_COPIES 8u

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
  } else if (!self->stopping) {
    gem_learned_queue_join(entry);
    gem_learned_queue_run(self);
  }
}

/* A text that comes in. A user's are counted until their threads have ended, which a cancel may not hasten:
 * the table (uid -> number) is there as long as one of them. */
typedef struct {
  GemLearnedEntry *entry;
  GHashTable *copies;
  guint uid;
  GCancellable *copying;
  int text; /* the caller's descriptor, until there is a file to copy it to */
} Begin;

static guint
count_copies(GHashTable *copies, guint uid)
{
  return GPOINTER_TO_UINT(g_hash_table_lookup(copies, GUINT_TO_POINTER(uid)));
}

static void
set_copies(GHashTable *copies, guint uid, guint count)
{
  g_hash_table_insert(copies, GUINT_TO_POINTER(uid), GUINT_TO_POINTER(count));
}

/* Takes `text`. */
static Begin *
begin_new(GemLearnedEntry *entry, int text)
{
  Begin *begin = g_new(Begin, 1);

  *begin = (Begin){.entry = gem_learned_entry_ref(entry),
                   .copies = g_hash_table_ref(entry->all->copies),
                   .uid = entry->record->uid,
                   .copying = g_object_ref(entry->copying),
                   .text = text};
  set_copies(begin->copies, begin->uid, count_copies(begin->copies, begin->uid) + 1);
  return begin;
}

static void
begin_free(Begin *begin)
{
  set_copies(begin->copies, begin->uid, count_copies(begin->copies, begin->uid) - 1);
  gem_descriptors_close(begin->text);
  g_hash_table_unref(begin->copies);
  g_object_unref(begin->copying);
  gem_learned_entry_unref(begin->entry);
  g_free(begin);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Begin, begin_free)

static void
on_copied(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(Begin) begin = data;
  GemLearnedEntry *entry = begin->entry;
  g_autoptr(GError) error = NULL;
  guint64 bytes = 0;
  gboolean copied = gem_learned_text_copy_finish(result, &bytes, &error);

  /* Given up meanwhile, and perhaps begun again. */
  if (entry->all == NULL || entry->copying != begin->copying) {
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

static void
on_begun(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(Begin) begin = data;
  GemLearnedEntry *entry = begin->entry;
  g_autoptr(GError) error = NULL;
  int to = gem_learned_store_begin_finish(result, &error);
  guint64 most;

  if (entry->all == NULL || entry->copying != begin->copying) {
    if (to >= 0) {
      close(to);
    }
  } else if (error != NULL) {
    gem_learned_queue_fail(entry, error);
  } else {
    most = entry->all->config->adapt_text;
    gem_learned_text_copy_async(g_steal_fd(&begin->text), to, most, entry->copying, on_copied, begin);
    begin = NULL;
  }
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
  const GemConfig *config = self->config;
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
    gem_error_set_argument(
        error, "name",
        "\"%s\" is a domain of the model; of these " GEM_LEARNED_REPLACEABLE " alone can be taught", name);
    return FALSE;
  }
  *ret_replaces = is_domain ? name : "";
  return TRUE;
}

/* so that the engine has room for a new version beside the old ones */
G_STATIC_ASSERT(GEM_CONFIG_MOST_LEARNED < GEM_MAX_LEARNED);

static gboolean
check_quota(GemLearned *self, guint uid, GError **error)
{
  const GemConfig *config = self->config;

  return gem_quota_check("MaxLearnedPerUser", count_of(self, uid, FALSE), 1, config->max_learned_per_user,
                         error) &&
         gem_quota_check("MaxLearned", count_of(self, uid, TRUE), 1, config->max_learned, error);
}

/* A cancel ends a copy, but not the read that it waits in. */
static gboolean
check_copies(GemLearned *self, guint uid, GError **error)
{
  return gem_quota_check("texts that are being copied", count_copies(self->copies, uid), 1, MOST_COPIES,
                         error);
}

static void
on_cancel(gpointer data)
{
  gem_learned_queue_cancel(data, gem_learned_keep, NULL, NULL);
}

static const GemBusJobKind adapt_kind = {"adapt-domain", on_cancel, .outlives_caller = TRUE};

/* `entry` copies the text and then waits for its turn. */
static const char *
entry_begin(GemLearnedEntry *entry, GemCaller *caller, int text, const GemLearnedOrder *order)
{
  entry->phase = GEM_PHASE_COPYING;
  entry->progress = 0;
  entry->silent = 0;
  entry->not_before = 0;
  entry->copying = g_cancellable_new();
  entry->asked = gem_learned_order_copy(order);
  g_free(entry->asked->model);
  entry->asked->model = g_strdup(entry->all->model->identity);
  entry->asked->arrived = g_get_real_time();
  entry->asked->starts = 0;
  entry->job = gem_bus_job_new(entry->all->jobs, caller, &adapt_kind, entry);
  gem_bus_job_set_phase(entry->job, entry->phase);
  gem_learned_store_begin_async(entry->all->store, entry->record, on_begun, begin_new(entry, text));
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
  const GemConfig *config = self->config;
  guint uid = caller->user->uid;
  const char *replaces = NULL;
  GemLearnedEntry *entry;

  if (!gem_learned_check_supported(self, error) || !check_name(self, name, &replaces, error) ||
      !gem_learned_text_check(text, config->adapt_text, error) || !check_copies(self, uid, error)) {
    return NULL;
  }
  if (gem_learned_is_left(self, uid, name)) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED,
                "what is kept of the domain \"%s\" cannot be read: it is left as it is", name);
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
    entry = gem_learned_add(self, gem_learned_record_new(uid, name));
  }
  /* Of the model that is served now: the one before may have had no such domain, or one. */
  g_free(entry->record->replaces);
  entry->record->replaces = g_strdup(replaces);
  return entry_begin(entry, caller, text, order);
}
