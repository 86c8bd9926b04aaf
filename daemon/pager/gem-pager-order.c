/* Which pathways go first when their memory is wanted: who keeps them, and when they were used. */
#include "daemon/pager/gem-pager-private.h"

void
gem_pager_hold(GemPager *self, guint index)
{
  g_atomic_int_inc(&self->entries[index].holds);
}

void
gem_pager_release(GemPager *self, guint index)
{
  gint before = g_atomic_int_add(&self->entries[index].holds, -1);

  g_assert(before > 0);
}

void
gem_pager_set_pinned(GemPager *self, guint index, gboolean pinned)
{
  g_atomic_int_set(&self->entries[index].pinned, pinned);
}

/* Whether the index is that of a domain. */
static gboolean
is_domain(const GemPager *self, guint index)
{
  return index != self->n_domains && self->entries[index].name != NULL;
}

static gboolean
is_kept(const GemPagerEntry *entry)
{
  return g_atomic_int_get(&entry->holds) > 0 || g_atomic_int_get(&entry->pinned);
}

GemPathwaySet
gem_pager_get_kept(const GemPager *self)
{
  GemPathwaySet set = 0;

  for (guint i = 0; i < GEM_MAX_PATHWAYS; i++) {
    set |= is_domain(self, i) && is_kept(&self->entries[i]) ? gem_pathway_set_of(i) : 0;
  }
  return set;
}

GemPathwaySet
gem_pager_get_resident(const GemPager *self)
{
  return self->resident;
}

void
gem_pager_touch(GemPager *self, guint index, guint64 step)
{
  self->entries[index].touched = step;
}

GemPathwaySet
gem_pager_get_touched(const GemPager *self, guint64 since)
{
  GemPathwaySet resident = self->resident;
  GemPathwaySet set = 0;

  while (resident != 0) {
    guint index = gem_pathway_set_take(&resident);

    set |= self->entries[index].touched >= since ? gem_pathway_set_of(index) : 0;
  }
  return set;
}

gboolean
gem_pager_may_come(const GemPager *self, guint index)
{
  return self->entries[index].reason == NULL;
}

gsize
gem_pager_get_expected_bytes(const GemPager *self, guint index)
{
  const GemPagerEntry *entry = &self->entries[index];

  /* Packed blocks are padded by less than a 64th. */
  return entry->last_bytes > 0 ? entry->last_bytes : entry->file_bytes + entry->file_bytes / 64;
}

/* Those that are in memory and neither in `kept` nor kept by somebody. */
static GemPathwaySet
find_spare(const GemPager *self, GemPathwaySet kept)
{
  return self->resident & ~kept & ~gem_pager_get_kept(self);
}

gsize
gem_pager_get_spare_bytes(const GemPager *self, GemPathwaySet kept)
{
  GemPathwaySet spare = find_spare(self, kept);
  gsize sum = gem_pager_get_copy_bytes(self);

  while (spare != 0) {
    const GemPagerEntry *entry = &self->entries[gem_pathway_set_take(&spare)];

    sum += entry->resident_bytes - entry->beside_bytes;
  }
  return sum;
}

gboolean
gem_pager_page_out_oldest(GemPager *self, GemPathwaySet kept, GemPageOutCause cause)
{
  GemPathwaySet spare = find_spare(self, kept);
  guint oldest = self->n_domains;

  while (spare != 0) {
    guint index = gem_pathway_set_take(&spare);

    if (oldest == self->n_domains || self->entries[index].touched < self->entries[oldest].touched) {
      oldest = index;
    }
  }
  return oldest != self->n_domains && gem_pager_page_out(self, oldest, cause, NULL);
}
