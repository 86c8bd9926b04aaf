/* Memory that goes from a pathway to the one that comes in its place. */
#include "daemon/pager/gem-pager-private.h"

#include <errno.h>

#include "daemon/plugin/gem-tensor-source.h"
#include "dbus/gem-error.h"

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

/* Why a module could not open its pathway: the error of its file, or GEM_ERROR, FAILED when it had too little
 * memory, else PATHWAY. `number` is what it left in errno. */
static void
set_open_error(const GemTensorSource *source, const GemPluginError *reason, int number, GError **error)
{
  const GError *cause = gem_tensor_source_get_error(source);

  if (cause != NULL) {
    g_propagate_error(error, g_error_copy(cause));
    return;
  }
  g_set_error_literal(error, GEM_ERROR, number == ENOMEM ? GEM_ERROR_FAILED : GEM_ERROR_PATHWAY,
                      reason->message);
}

/* The pathway, of a file that is now what it was when it was opened. */
static GemPathway *
open_unchanged(GemPager *self, const GemPagerEntry *entry, GemGguf *file, GError **error)
{
  g_autoptr(GemTensorSource) source = gem_tensor_source_new(file);
  GemPluginError reason = {0};
  gboolean unchanged;

  if (entry->reader == NULL && entry != &self->entries[self->n_domains]) {
    gem_tensor_source_set_digest(source, gem_model_files_get_pathway_digest(self->files, entry->name));
  }
  errno = 0;
  GemPathway *pathway = entry->functions->open(source, self->shape, self->backend, &reason);
  if (pathway == NULL) {
    set_open_error(source, &reason, errno, error);
    return NULL;
  }
  /* A learned file may have lost its name, or got another one. */
  unchanged = entry->reader != NULL ? gem_file_reader_check_contents(entry->reader, error)
                                    : gem_gguf_check_unchanged(file, error);
  if (!unchanged) {
    g_clear_pointer(&pathway, entry->functions->close);
  }
  return pathway;
}

GemPathway *
gem_pager_open_in_place(GemPager *self, const GemPagerEntry *entry, GemGguf *file, GError **error)
{
  const GemBackendFunctions *backend = self->backend->functions;
  GemPathway *pathway;

  if (entry == &self->entries[self->n_domains]) {
    return open_unchanged(self, entry, file, error);
  }
  if (!self->has_place) {
    backend->group_begin(self->backend->state, gem_gguf_tensor_bytes(file));
  }
  self->has_place = FALSE;
  /* Before the group ends: the backend may keep what is there then. */
  pathway = open_unchanged(self, entry, file, error);
  backend->group_end(self->backend->state);
  return pathway;
}
