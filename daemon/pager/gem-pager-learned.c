/*
 * Pathways that come and go while the model runs: those of domains that were learned on the device. Their
 * module is one for all, and their file is held open: what is done to its path later does not matter.
 */
#include "daemon/pager/gem-pager-private.h"

#define MODULE "learned"

gboolean
gem_pager_add_learned(GemPager *self,
                      guint index,
                      GemFileReader *reader,
                      const char *file,
                      const GemLearnedFile *learned,
                      GError **error)
{
  g_autoptr(GemPluginModule) module = gem_plugin_loader_open(self->loader, GEM_PLUGIN_PATHWAY, MODULE, error);
  GemPagerEntry *entry = &self->entries[index];

  if (module == NULL) {
    return FALSE;
  }
  g_assert(index >= GEM_FIRST_LEARNED && index < GEM_MAX_PATHWAYS && entry->name == NULL);
  g_mutex_lock(&self->mutex);
  *entry = (GemPagerEntry){
      .name = MODULE,
      .bits = gem_pager_bits_of_file(learned->file),
      .file_bytes = gem_gguf_get_size(learned->file),
      .reader = gem_file_reader_ref(reader),
      .file = g_strdup(file),
      .row = g_memdup2(learned->row, learned->width * sizeof *learned->row),
      .row_values = learned->width,
  };
  g_mutex_unlock(&self->mutex);
  return TRUE;
}

void
gem_pager_clear_learned(GemPagerEntry *entry)
{
  g_clear_pointer(&entry->reader, gem_file_reader_unref);
  g_clear_pointer(&entry->file, g_free);
  g_clear_pointer(&entry->row, g_free);
  entry->row_values = 0;
}

void
gem_pager_remove_learned(GemPager *self, guint index)
{
  GemPagerEntry *entry = &self->entries[index];

  g_assert(index >= GEM_FIRST_LEARNED && entry->name != NULL);
  gem_pager_close_entry(self, entry);
  g_mutex_lock(&self->mutex);
  gem_pager_clear_learned(entry);
  g_free(entry->reason);
  *entry = (GemPagerEntry){0};
  g_mutex_unlock(&self->mutex);
}

const float *
gem_pager_get_row(const GemPager *self, guint index)
{
  return self->entries[index].row;
}
