/*
 * A module that holds in all points but one; which one, the build's definitions say.
 */
#include "plugins/gem-plugin.h"

#ifndef BROKEN_MAJOR
#define BROKEN_MAJOR GEM_PLUGIN_ABI_MAJOR
#endif
#ifndef BROKEN_MINOR
#define BROKEN_MINOR GEM_PLUGIN_ABI_MINOR
#endif
#ifndef BROKEN_STRUCT_SIZE
#define BROKEN_STRUCT_SIZE sizeof(GemPlugin)
#endif
#ifndef BROKEN_KIND
#define BROKEN_KIND GEM_PLUGIN_ATTENTION
#endif
#ifndef BROKEN_NAME
#define BROKEN_NAME "whole"
#endif
#ifndef BROKEN_LICENSE
#define BROKEN_LICENSE "Apache-2.0"
#endif
#ifndef BROKEN_TABLE_SIZE
#define BROKEN_TABLE_SIZE sizeof functions
#endif
#ifndef BROKEN_TABLE
#define BROKEN_TABLE &functions
#endif
#ifndef BROKEN_CLOSE
#define BROKEN_CLOSE attention_close
#endif
#ifndef BROKEN_ENTRY
#define BROKEN_ENTRY gem_plugin_describe
#endif

static GemAttention *
attention_open(const GemTensorSource *source,
               const GemShape *shape,
               const GemBackend *backend,
               GemPluginError *error)
{
  return NULL;
}

__attribute__((unused)) static void
attention_close(GemAttention *self)
{
}

static size_t
attention_resident_bytes(const GemAttention *self)
{
  return 0;
}

static bool
attention_needs_clusters(const GemAttention *self)
{
  return false;
}

static void
attention_assign(
    GemAttention *self, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
}

static uint32_t
attention_needs_window(const GemAttention *self)
{
  return 0;
}

static int
attention_attend(GemAttention *self,
                 const GemKeyValueForm *form,
                 const GemAttentionSpan *spans,
                 size_t n,
                 const float *q,
                 float *out)
{
  return -1;
}

__attribute__((unused)) static const GemAttentionFunctions functions = {
    .open = attention_open,
    .close = BROKEN_CLOSE,
    .resident_bytes = attention_resident_bytes,
    .needs_clusters = attention_needs_clusters,
    .needs_window = attention_needs_window,
    .assign = attention_assign,
    .attend = attention_attend,
};

GEM_PLUGIN_EXPORT const GemPlugin *
BROKEN_ENTRY(void);

const GemPlugin *
BROKEN_ENTRY(void)
{
#ifdef BROKEN_DESCRIPTION
  return BROKEN_DESCRIPTION;
#else
  static const GemPlugin plugin = {
      .abi_major = BROKEN_MAJOR,
      .abi_minor = BROKEN_MINOR,
      .struct_size = BROKEN_STRUCT_SIZE,
      .kind = BROKEN_KIND,
      .functions_size = BROKEN_TABLE_SIZE,
      .name = BROKEN_NAME,
      .version = "1.0",
      .license = BROKEN_LICENSE,
      .summary = "One point short of whole",
      .functions = BROKEN_TABLE,
  };
  return &plugin;
#endif
}
