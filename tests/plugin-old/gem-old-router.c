/*
 * The router bert as a module of plugin ABI 1.1 would have been: a table that ends before what came later.
 */
#include "plugins/router/bert/gem-bert.h"

static const GemRouterFunctions functions = {
    .open = gem_bert_open,
    .close = gem_bert_close,
    .resident_bytes = gem_bert_resident_bytes,
    .state_new = gem_bert_state_new,
    .state_copy = gem_bert_state_copy,
    .state_free = gem_bert_state_free,
    .state_bytes = gem_bert_state_bytes,
    .route = gem_bert_route,
    .set_go_on = gem_bert_set_go_on,
};

GEM_PLUGIN_EXPORT const GemPlugin *
gem_plugin_describe(void);

const GemPlugin *
gem_plugin_describe(void)
{
  static const GemPlugin plugin = {
      .abi_major = GEM_PLUGIN_ABI_MAJOR,
      .abi_minor = 1,
      .struct_size = sizeof(GemPlugin),
      .kind = GEM_PLUGIN_ROUTER,
      .functions_size = offsetof(GemRouterFunctions, row_width),
      .name = "bert",
      .version = "0.9",
      .license = "Apache-2.0",
      .summary = "The router of an older ABI",
      .functions = &functions,
  };
  return &plugin;
}
