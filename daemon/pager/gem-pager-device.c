/* The pager's part of a device: pathways that go there, and come back when it fails. */
#include <string.h>

#include "daemon/base/gem-log.h"
#include "daemon/pager/gem-pager-private.h"

/* How long the model's load waits for a device that was named. */
#define LOAD_MICROSECONDS (5 * G_USEC_PER_SEC)

/* All of a domain runs there now. */
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

/* Calls go there, some or all, and it is in memory twice. */
static void
put_beside(GemPager *self, GemPagerEntry *entry, GemPlacedPathway *placed)
{
  g_mutex_lock(&self->mutex);
  entry->beside = placed;
  entry->beside_bytes = placed->functions->resident_bytes(placed->pathway);
  entry->resident_bytes += entry->beside_bytes;
  g_mutex_unlock(&self->mutex);
}

/* Those of general belong to the memory of the whole model, which nothing frees: it is always beside. */
static gboolean
may_replace(const GemPager *self, const GemPagerEntry *entry, const GemPlacedPathway *placed)
{
  return entry != &self->entries[self->n_domains] && gem_placed_pathway_takes_all(placed);
}

static gboolean
has_room(const GemPager *self, gsize bytes)
{
  return self->has_room == NULL || self->has_room(self->room_data, bytes);
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
  g_autoptr(GemPlacedPathway) placed = gem_placement_finish(self->placement, g_steal_pointer(&entry->placing),
                                                            entry->functions, entry->pathway);

  self->n_placing--;
  note_decisions(self, entry);
  if (placed == NULL) {
    return;
  }
  gsize bytes = placed->functions->resident_bytes(placed->pathway);
  gsize freed = may_replace(self, entry, placed) ? entry->resident_bytes : 0;
  if (!has_room(self, bytes - MIN(bytes, freed))) {
    g_debug("pathway %s: there is no room for it on the device", entry->name);
  } else if (may_replace(self, entry, placed)) {
    replace(self, entry, g_steal_pointer(&placed));
  } else {
    put_beside(self, entry, g_steal_pointer(&placed));
  }
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

gboolean
gem_pager_settle_all(GemPager *self, gint64 microseconds)
{
  gint64 until = g_get_monotonic_time() + microseconds;

  gem_pager_settle(self);
  while (self->n_placing > 0 && gem_placement_wait(self->placement, until)) {
    gem_pager_settle(self);
  }
  return self->n_placing == 0;
}

void
gem_pager_begin_placing(GemPager *self, guint index, GemGguf *file)
{
  GemPagerEntry *entry = &self->entries[index];

  if (index <= self->n_domains && has_room(self, entry->resident_bytes)) {
    entry->placing = gem_placement_begin(self->placement, entry->name, file);
    self->n_placing += entry->placing != NULL ? 1 : 0;
    note_decisions(self, entry);
  }
}

void
gem_pager_place_general(GemPager *self)
{
  if (self->entries[self->n_domains].placing != NULL) {
    self->general = gem_gguf_ref(self->files->general);
  }
  if (gem_placement_is_forced(self->placement)) {
    gem_pager_settle_all(self, LOAD_MICROSECONDS);
  }
}

void
gem_pager_set_room(GemPager *self, gboolean (*has_room_for)(gpointer data, gsize bytes), gpointer data)
{
  self->has_room = has_room_for;
  self->room_data = data;
}

static gboolean
goes_to_device(const GemPagerEntry *entry, guint n)
{
  return entry->on_device || (entry->beside != NULL && gem_placed_pathway_takes(entry->beside, n));
}

gboolean
gem_pager_goes_to_device(const GemPager *self, guint index, guint n)
{
  return goes_to_device(&self->entries[index], n);
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

/* ---- when it goes from there ---- */

/* The pathway is in memory beside it, and goes on there. */
static void
drop_beside(GemPager *self, GemPagerEntry *entry)
{
  g_mutex_lock(&self->mutex);
  GemPlacedPathway *beside = g_steal_pointer(&entry->beside);
  entry->resident_bytes -= entry->beside_bytes;
  entry->beside_bytes = 0;
  g_mutex_unlock(&self->mutex);
  gem_placed_pathway_free(beside);
}

gsize
gem_pager_get_copy_bytes(const GemPager *self)
{
  gsize sum = 0;

  for (guint i = 0; i <= self->n_domains; i++) {
    sum += self->entries[i].beside_bytes;
  }
  return sum;
}

gboolean
gem_pager_drop_copy(GemPager *self)
{
  GemPagerEntry *oldest = NULL;

  /* General, which is in use always, comes last. */
  for (guint i = 0; i <= self->n_domains; i++) {
    GemPagerEntry *entry = &self->entries[i];

    if (entry->beside != NULL &&
        (oldest == NULL || (i < self->n_domains && entry->touched < oldest->touched))) {
      oldest = entry;
    }
  }
  if (oldest != NULL) {
    g_debug("pathway %s: its copy on the device goes", oldest->name);
    drop_beside(self, oldest);
  }
  return oldest != NULL;
}

void
gem_pager_drop_copies(GemPager *self)
{
  for (guint i = 0; i <= self->n_domains; i++) {
    if (self->entries[i].placing != NULL) {
      self->n_placing--;
      gem_placing_abandon(g_steal_pointer(&self->entries[i].placing));
    }
  }
  while (gem_pager_drop_copy(self)) {
  }
}

/* The pathway goes on where everything else runs, or is absent when it cannot be had there; general can. */
static void
leave(GemPager *self, guint index, const GemPluginError *reason)
{
  GemPagerEntry *entry = &self->entries[index];

  gem_log(LOG_WARNING, GEM_LOG_DEVICE_REFUSED, (const char *[]){"GEM_PATHWAY", entry->name, NULL},
          "pathway %s: its device failed: %s", entry->name, reason->message);
  gem_placement_give_up(self->placement, entry->name);
  if (entry->beside != NULL) {
    drop_beside(self, entry);
  } else {
    gem_pager_close_entry(self, entry);
    gem_pager_page_in(self, index, NULL);
  }
}

/* A device that is better at single rows alone is given one at a time: so many together cost it a block. */
static guint
rows_of_a_call(const GemPagerEntry *entry, guint n)
{
  return entry->beside != NULL && !gem_placed_pathway_takes_blocks(entry->beside) ? 1 : n;
}

guint
gem_pager_apply_on_device(GemPager *self, guint index, guint layer, const float *u, guint n, float *y)
{
  const GemPagerEntry *entry = &self->entries[index];
  const GemPathwayFunctions *functions = entry->beside != NULL ? entry->beside->functions : entry->functions;
  GemPathway *pathway = entry->beside != NULL ? entry->beside->pathway : entry->pathway;
  guint rows = rows_of_a_call(entry, n);
  GemPluginError reason = {0};

  if (!entry->on_device && entry->beside == NULL) {
    return 0; /* it failed for rows before these */
  }
  for (guint done = 0; done < n; done += rows) {
    gsize first = (gsize)done * self->shape->width;

    if (!functions->try_apply(pathway, layer, u + first, rows, y + first, &reason)) {
      leave(self, index, &reason);
      return done;
    }
  }
  return n;
}

/* ---- again ---- */

static void
place_again(GemPager *self, guint index)
{
  const GemPagerEntry *entry = &self->entries[index];
  g_autoptr(GemGguf) file = NULL;

  if (entry->pathway == NULL || entry->placing != NULL || entry->on_device || entry->beside != NULL ||
      !gem_placement_may_begin(self->placement, entry->name)) {
    return;
  }
  if (index != self->n_domains) {
    file = gem_model_files_open_pathway(self->files, entry->name, NULL);
  } else if (self->general != NULL) {
    file = gem_gguf_ref(self->general);
  }
  if (file != NULL) {
    gem_pager_begin_placing(self, index, file);
  }
}

void
gem_pager_place_again(GemPager *self)
{
  for (guint i = 0; i <= self->n_domains; i++) {
    place_again(self, i);
  }
}
