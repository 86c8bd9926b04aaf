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
    .row_width = gem_bert_row_width,
    .route_classes = gem_bert_route_classes,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_ROUTER,
                  "bert",
                  "1.0",
                  "Apache-2.0",
                  "BERT-like encoder that gives each token its probability of every domain",
                  functions)
