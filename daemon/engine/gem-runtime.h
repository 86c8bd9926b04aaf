/*
 * Everything that the engine thread works with: the model's files, the modules opened for them and the
 * weights. Opened, used and closed on one thread; `shape`, `tokenizer` and `backends` may be read from others
 * while it is open.
 */
#pragma once

#include "daemon/engine/gem-beat.h"
#include "daemon/engine/gem-engine.h"
#include "daemon/model/gem-model.h"
#include "daemon/pager/gem-budget.h"
#include "daemon/plugin/gem-backend-set.h"
#include "daemon/plugin/gem-plugin-loader.h"
#include "format/gem-model-files.h"
#include "format/gem-tokenizer.h"

typedef struct {
  GemModelFiles *files;       /* outlives the runtime */
  const GemModelShape *shape; /* of `files` */
  GemTokenizer *tokenizer;
  guint vocab; /* ids that may be sampled: 0..vocab - 1 */
  GemShape plugin_shape;
  GemPluginLoader *loader;
  GemBackendSet *backends;
  const GemBackend *backend;
  GemModel *model;

  GemPluginModule *attention_module;
  const GemAttentionFunctions *attention_functions;
  GemAttention *attention;
  gboolean clusters_needed;
  guint window;        /* latest positions that attention wants in order; G_MAXUINT: all */
  gsize kv_tile_bytes; /* of the backend, for kv_form */
  guint cluster_set;   /* index into shape->clusters that is used unless a call says otherwise */

  GemPluginModule *router_module; /* NULL, as the next two, for a model without domains */
  const GemRouterFunctions *router_functions;
  GemRouter *router;
  guint row_width; /* values of a learned domain's row of the router; 0: it takes none */
  float threshold; /* tau, 0..1 */
  GemBeat *beat;   /* shows that the engine thread is alive while the router is at work; NULL: nobody looks */
  /* Asked again and again while the router is at work on a long turn; FALSE: it gives up, and what is
   * appended fails as cancelled. NULL: it never gives up. */
  gboolean (*go_on)(gpointer data);
  gpointer go_on_data;

  char *device_identity; /* by which decisions of the next are kept */
  GemPlacement *placement;
  GemPager *pager;
  guint context; /* tokens a sequence may hold */
  GemKeyValueForm kv_form;
  gsize sequence_bytes;     /* of all sequences: caches and router states */
  GPtrArray *conversations; /* of GemSequenceState: those that live from turn to turn */
  GemBudget budget;
  guint64 step;         /* the number of the latest step, from 1 */
  GemPathwaySet wanted; /* pathways that tokens of it went without, to be paged in after it */
  GemEngineCounters counters;
} GemRuntime;

/* Checks the configuration and opens the model that it names. `record` (may be NULL) outlives the files.
 * INVALID_OPTION names the option, MODEL the file. */
GemModelFiles *
gem_runtime_open_files(const GemEngineConfig *config, GemVerified *record, GError **error);

/* Opens modules and weights for a checked configuration. Errors are of GEM_ERROR: INVALID_OPTION names the
 * option, MODEL the file, FAILED the module. */
GemRuntime *
gem_runtime_open(const GemEngineConfig *config, GemModelFiles *files, GError **error);
/* Every GemSequenceState must be gone. */
void
gem_runtime_close(GemRuntime *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemRuntime, gem_runtime_close)

/* The index of the set of `clusters` centroids; 0 clusters: the engine's. INVALID_OPTION when attention has
 * no such set. Any thread. */
gboolean
gem_runtime_find_cluster_set(const GemRuntime *self, guint clusters, guint *ret_set, GError **error);

/* Weights, and caches of `sequence_bytes`, in memory. */
gsize
gem_runtime_bytes(const GemRuntime *self);
