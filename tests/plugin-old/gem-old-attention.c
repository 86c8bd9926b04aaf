/*
 * Attention by clusters as a module of plugin ABI 1.2 would have been. It is opened, and asked for nothing.
 */
#include <stdlib.h>

#include "plugins/gem-plugin.h"

struct GemAttention {
  char none;
};

static GemAttention *
old_open(const GemTensorSource *source,
         const GemShape *shape,
         const GemBackend *backend,
         GemPluginError *error)
{
  return malloc(sizeof(GemAttention));
}

static void
old_close(GemAttention *self)
{
  free(self);
}

static size_t
old_resident_bytes(const GemAttention *self)
{
  return sizeof *self;
}

static bool
old_needs_clusters(const GemAttention *self)
{
  return true;
}

static uint32_t
old_needs_window(const GemAttention *self)
{
  return 1;
}

static void
old_assign(
    GemAttention *self, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
  abort();
}

static int
old_attend(GemAttention *self,
           const GemKeyValueForm *form,
           const GemAttentionSpan *spans,
           size_t n,
           const float *q,
           float *out)
{
  abort();
}

static const GemAttentionFunctions functions = {
    .open = old_open,
    .close = old_close,
    .resident_bytes = old_resident_bytes,
    .needs_clusters = old_needs_clusters,
    .needs_window = old_needs_window,
    .assign = old_assign,
    .attend = old_attend,
};

GEM_PLUGIN_EXPORT const GemPlugin *
gem_plugin_describe(void);

const GemPlugin *
gem_plugin_describe(void)
{
  static const GemPlugin plugin = {
      .abi_major = GEM_PLUGIN_ABI_MAJOR,
      .abi_minor = 2,
      .struct_size = sizeof(GemPlugin),
      .kind = GEM_PLUGIN_ATTENTION,
      .functions_size = sizeof functions,
      .name = "older",
      .version = "0.9",
      .license = "Apache-2.0",
      .summary = "Attention of an older ABI",
      .functions = &functions,
  };
  return &plugin;
}
