#include "daemon/pager/gem-budget.h"
#include "dbus/gem-error.h"

static gboolean
refuses_nothing(const GemBudget *self)
{
  return self->limit == 0 || self->limit < self->fixed;
}

/* Within the limit, in numbers that cannot overflow. */
static gboolean
is_within(const GemBudget *self, guint64 used, gsize bytes)
{
  return used <= self->limit && bytes <= self->limit - used;
}

gboolean
gem_budget_has_room(const GemBudget *self, gsize bytes)
{
  return self->limit == 0 || is_within(self, self->functions->used(self->data), bytes);
}

gboolean
gem_budget_fits(const GemBudget *self, gsize bytes, GemPathwaySet kept)
{
  gsize used, spare;

  if (refuses_nothing(self)) {
    return TRUE;
  }
  used = self->functions->used(self->data);
  spare = self->functions->spare(self->data, kept);
  return is_within(self, used - MIN(spare, used), bytes);
}

gboolean
gem_budget_make_room(const GemBudget *self, gsize bytes, GemPathwaySet kept)
{
  if (self->limit == 0) {
    return TRUE;
  }
  if (!gem_budget_fits(self, bytes, kept)) {
    return FALSE;
  }
  while (!is_within(self, self->functions->used(self->data), bytes)) {
    if (!self->functions->drop_pathway(self->data, kept) && !self->functions->drop_cache(self->data)) {
      return refuses_nothing(self);
    }
  }
  return TRUE;
}

void
gem_budget_refuse(const GemBudget *self, const char *what, gsize bytes, GError **error)
{
  guint64 used = self->functions->used(self->data);
  guint64 spare = self->functions->spare(self->data, 0);

  g_set_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED,
              "MemoryLimit: %s needs %" G_GSIZE_FORMAT " bytes, but of %" G_GUINT64_FORMAT
              " there are %" G_GUINT64_FORMAT " in use that cannot go now",
              what, bytes, self->limit, used - MIN(spare, used));
}
