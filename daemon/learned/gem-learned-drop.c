/* How a learned domain is forgotten, and comes back when it cannot be. */
#include "daemon/learned/gem-learned-private.h"

typedef struct {
  GemLearned *all; /* NULL: the service is gone */
  GemLearnedEntry *entry;
  GemLearnedDone done; /* NULL: nobody waits */
  gpointer data;
} Drop;

/* Its user is to see that it is still there, and may try again; a first learning, which was given up, has
 * failed then. Another one of its name may have begun since. */
static void
come_back(GemLearned *self, GemLearnedEntry *entry, const GError *error)
{
  GemLearnedRecord *record = entry->record;

  if (record->version.number == 0 && record->outcome == NULL) {
    gem_learned_record_set_outcome(record, FALSE, error->message, NULL);
  }
  if (gem_learned_find(self, record->uid, record->name) == NULL) {
    gem_learned_put(self, gem_learned_entry_ref(entry));
    if (record->version.number > 0) {
      gem_learned_serve(entry, NULL, NULL);
    }
  }
}

static void
on_removed(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autofree Drop *drop = data;
  g_autoptr(GemLearnedEntry) entry = drop->entry;
  g_autoptr(GError) error = NULL;
  gboolean removed = gem_learned_store_remove_finish(result, &error);

  if (drop->all != NULL) {
    g_ptr_array_remove_fast(drop->all->drops, drop);
    if (!removed) {
      come_back(drop->all, entry, error);
    }
  }
  if (drop->done != NULL) {
    drop->done(error, drop->data);
  }
}

void
gem_learned_drop(GemLearnedEntry *entry, GemLearnedDone done, gpointer data)
{
  GemLearned *self = entry->all;
  Drop *drop = g_new(Drop, 1);

  *drop = (Drop){self, gem_learned_entry_ref(entry), done, data};
  g_ptr_array_add(self->drops, drop);
  gem_learned_withdraw(entry);
  gem_learned_store_remove_async(self->store, entry->record, on_removed, drop);
  gem_learned_take_out(entry);
}

void
gem_learned_drops_abandon(GemLearned *self)
{
  for (guint i = 0; i < self->drops->len; i++) {
    ((Drop *)g_ptr_array_index(self->drops, i))->all = NULL;
  }
  g_clear_pointer(&self->drops, g_ptr_array_unref);
}
