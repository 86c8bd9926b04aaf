/* The pager's part of a device: pathways that go there, and come back when it fails. */
#include <string.h>

#include "daemon/gem-log.h"
#include "daemon/pager/gem-pager-private.h"

/* All of it runs there now. */
static void
replace(GemPager *self, GemPagerEntry *entry, GemPlacedPathway *placed)
{
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
}

/* Some calls go there. */
static void
put_beside(GemPager *self, GemPagerEntry *entry, GemPlacedPathway *placed)
{
  g_mutex_lock(&self->mutex);
  entry->beside = placed;
  entry->resident_bytes += placed->functions->resident_bytes(placed->pathway);
  g_mutex_unlock(&self->mutex);
}

/* What is known by now, where whoever asks can see it. */
static void
note_decisions(GemPager *self, GemPagerEntry *entry)
{
  const GemPlacementDecision *decisions = gem_placement_get_decisions(self->placement, entry->name);

  if (decisions != NULL) {
    g_mutex_lock(&self->mutex);
    entry->is_measured = TRUE;
    memcpy(entry->decisions, decisions, sizeof entry->decisions);
    g_mutex_unlock(&self->mutex);
  }
}

/* Takes what the device's compilation came to. */
static void
settle(GemPager *self, GemPagerEntry *entry)
{
  GemPlacedPathway *placed = gem_placement_finish(self->placement, g_steal_pointer(&entry->placing),
                                                  entry->functions, entry->pathway);

  self->n_placing--;
  note_decisions(self, entry);
  if (placed == NULL) {
    return;
  }
  if (gem_placed_pathway_takes_all(placed)) {
    replace(self, entry, placed);
  } else {
    put_beside(self, entry, placed);
  }
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
    note_decisions(self, entry);
    gem_pager_settle(self);
  }
}

static gboolean
goes_to_device(const GemPagerEntry *entry, guint n)
{
  return entry->on_device || (entry->beside != NULL && gem_placed_pathway_takes(entry->beside, n));
}

void
gem_pager_describe_places(const GemPager *self, const GemPagerEntry *entry, GemPathwayInfo *info)
{
  if (entry->state == GEM_PATHWAY_RESIDENT) {
    info->backend =
        g_strdup(gem_placement_get_backend(self->placement, entry->on_device || entry->beside != NULL));
    info->n_places = entry->is_measured ? GEM_PLACEMENT_COUNTS : 0;
  }
  for (guint i = 0; i < info->n_places; i++) {
    guint rows = gem_placement_rows((GemPlacementCount)i);
    const char *backend = gem_placement_get_backend(self->placement, goes_to_device(entry, rows));
    info->places[i] = (GemPathwayPlace){.rows = rows,
                                        .backend = g_strdup(backend),
                                        .us = entry->decisions[i].us,
                                        .device_us = entry->decisions[i].device_us};
  }
}

/* ---- when it fails ---- */

/* The pathway is in memory beside it, and goes on there. */
static void
drop_beside(GemPager *self, GemPagerEntry *entry)
{
  g_mutex_lock(&self->mutex);
  GemPlacedPathway *beside = g_steal_pointer(&entry->beside);
  entry->resident_bytes = entry->functions->resident_bytes(entry->pathway);
  g_mutex_unlock(&self->mutex);
  gem_placed_pathway_free(beside);
  entry->last_bytes = entry->resident_bytes;
}

/* The pathway goes on where everything else runs, or is absent (but for general). */
static void
leave(GemPager *self, guint index, const GemPluginError *reason)
{
  GemPagerEntry *entry = &self->entries[index];
  g_autoptr(GError) error = NULL;

  gem_log(LOG_WARNING, GEM_LOG_DEVICE_REFUSED, (const char *[]){"GEM_PATHWAY", entry->name, NULL},
          "pathway %s: its device failed: %s", entry->name, reason->message);
  gem_placement_give_up(self->placement, entry->name);
  if (entry->beside != NULL) {
    drop_beside(self, entry);
    return;
  }
  gem_pager_close_entry(self, entry);
  if (!gem_pager_page_in(self, index, &error) && index == self->n_domains) {
    g_error("the general pathway was lost with its device: %s", error->message);
  }
}

gboolean
gem_pager_apply_on_device(GemPager *self, guint index, guint layer, const float *u, guint n, float *y)
{
  const GemPagerEntry *entry = &self->entries[index];
  const GemPathwayFunctions *functions = entry->beside != NULL ? entry->beside->functions : entry->functions;
  GemPathway *pathway = entry->beside != NULL ? entry->beside->pathway : entry->pathway;
  GemPluginError reason = {0};

  if (!goes_to_device(entry, n)) {
    return FALSE;
  }
  if (functions->try_apply(pathway, layer, u, n, y, &reason)) {
    return TRUE;
  }
  leave(self, index, &reason);
  return FALSE;
}
