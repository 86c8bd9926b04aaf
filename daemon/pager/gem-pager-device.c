/* The pager's part of a device: pathways that go there, and come back when it fails. */
#include "daemon/gem-log.h"
#include "daemon/pager/gem-pager-private.h"

/* Takes what the device's compilation came to. */
static void
settle(GemPager *self, GemPagerEntry *entry)
{
  GemPlacedPathway *placed = gem_placement_finish(self->placement, g_steal_pointer(&entry->placing),
                                                  entry->functions, entry->pathway);

  self->n_placing--;
  if (placed == NULL) {
    return;
  }
  entry->functions->close(entry->pathway);
  gem_plugin_module_close(entry->module);
  entry->module = placed->module;
  entry->functions = placed->functions;
  entry->pathway = placed->pathway;
  g_free(placed);
  g_mutex_lock(&self->mutex);
  entry->on_device = TRUE;
  entry->resident_bytes = entry->functions->resident_bytes(entry->pathway);
  g_mutex_unlock(&self->mutex);
  entry->last_bytes = entry->resident_bytes;
}

void
gem_pager_settle(GemPager *self)
{
  for (guint i = 0; self->n_placing > 0 && i <= self->n_domains; i++) {
    if (self->entries[i].placing != NULL && gem_placing_is_done(self->entries[i].placing)) {
      settle(self, &self->entries[i]);
    }
  }
}

void
gem_pager_begin_placing(GemPager *self, guint index, GemGguf *file)
{
  GemPagerEntry *entry = &self->entries[index];

  if (index <= self->n_domains) {
    entry->placing = gem_placement_begin(self->placement, entry->name, file);
    self->n_placing += entry->placing != NULL ? 1 : 0;
    gem_pager_settle(self);
  }
}

void
gem_pager_leave_device(GemPager *self, guint index, const GemPluginError *reason)
{
  GemPagerEntry *entry = &self->entries[index];
  g_autoptr(GError) error = NULL;

  gem_log(LOG_WARNING, GEM_LOG_DEVICE_REFUSED, (const char *[]){"GEM_PATHWAY", entry->name, NULL},
          "pathway %s: its device failed: %s", entry->name, reason->message);
  gem_placement_give_up(self->placement, entry->name);
  gem_pager_close_entry(self, entry);
  if (!gem_pager_page_in(self, index, &error) && index == self->n_domains) {
    g_error("the general pathway was lost with its device: %s", error->message);
  }
}
