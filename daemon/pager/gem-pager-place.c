/* Memory that goes from a pathway to the one that comes in its place. */
#include "daemon/pager/gem-pager-private.h"

void
gem_pager_begin_place(GemPager *self, guint index)
{
  if (index != self->n_domains && !self->has_place) {
    self->backend->functions->group_begin(self->backend->state, gem_pager_get_expected_bytes(self, index));
    self->has_place = TRUE;
  }
}

void
gem_pager_end_place(GemPager *self)
{
  if (self->has_place) {
    self->backend->functions->group_end(self->backend->state);
    self->has_place = FALSE;
  }
}

GemPathway *
gem_pager_open_in_place(GemPager *self,
                        const GemPagerEntry *entry,
                        GemGguf *file,
                        const GemTensorSource *source,
                        GemPluginError *reason)
{
  const GemBackendFunctions *backend = self->backend->functions;
  GemPathway *pathway;

  if (entry == &self->entries[self->n_domains]) {
    return entry->functions->open(source, self->shape, self->backend, reason);
  }
  if (!self->has_place) {
    backend->group_begin(self->backend->state, gem_gguf_tensor_bytes(file));
  }
  self->has_place = FALSE;
  pathway = entry->functions->open(source, self->shape, self->backend, reason);
  backend->group_end(self->backend->state);
  return pathway;
}
