#include "bench/direct/gem-bench-attention.h"

#include "bench/direct/gem-bench-scar-count.h"
#include "bench/gem-bench-clock.h"
#include "daemon/plugin/gem-tensor-source.h"

/* The module's object, as far as the step is concerned. */
struct GemAttention {
  GemBenchAttention *self;
};

struct _GemBenchAttention {
  GemRuntime *runtime;
  guint set, window; /* set of clusters and window that the runtime used */
  GemBenchAttentionCost cost;
  double mark; /* seconds: when what is stored began, or goes on */

  GemBackend watched; /* the runtime's, with two of its functions in ours */
  GemBackendFunctions watched_functions;
  const GemBackend *backend;

  GemAttention object;
  GemAttentionFunctions timed;
  const GemAttentionFunctions *functions; /* those in use, */
  GemAttention *attention;                /* and what they work on */

  const GemAttentionFunctions *scar_functions;
  GemAttention *scar;
  GemPluginModule *dense_module;
  const GemAttentionFunctions *dense_functions;
  GemAttention *dense;
};

/* ---- what the step calls ---- */

/* Functions of a backend get its own state, and nothing to find the one who watches by. */
static GemBenchAttention *watcher;

/* The last thing before attention begins. */
static void
rope(GemBackendState *state,
     float *x,
     const uint32_t *positions,
     size_t n,
     size_t heads,
     size_t head_dim,
     size_t rope_dim,
     float base)
{
  watcher->backend->functions->rope(state, x, positions, n, heads, head_dim, rope_dim, base);
  watcher->mark = gem_bench_now();
}

static void
kv_store(GemBackendState *state,
         const GemKeyValueForm *form,
         const float *keys,
         const float *values,
         size_t n,
         uint8_t *const *tiles,
         const uint8_t *places)
{
  watcher->backend->functions->kv_store(state, form, keys, values, n, tiles, places);
  watcher->cost.stored += n;
}

static bool
needs_clusters(const GemAttention *object)
{
  return object->self->functions->needs_clusters(object->self->attention);
}

static uint32_t
needs_window(const GemAttention *object)
{
  return object->self->functions->needs_window(object->self->attention);
}

static void
assign(
    GemAttention *object, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
  GemBenchAttention *self = object->self;
  double started = gem_bench_now();

  self->functions->assign(self->attention, layer, cluster_set, u, n, clusters);
  self->mark = gem_bench_now();
  self->cost.assign += self->mark - started;
}

static int
attend(GemAttention *object,
       const GemKeyValueForm *form,
       const GemAttentionSpan *spans,
       size_t n,
       const float *q,
       float *out)
{
  GemBenchAttention *self = object->self;
  double started = gem_bench_now();
  int result = self->functions->attend(self->attention, form, spans, n, q, out);

  self->cost.store += started - self->mark;
  self->cost.attend += gem_bench_now() - started;
  return result;
}

/* ---- in place of the runtime's ---- */

static gboolean
open_dense(GemBenchAttention *self, GError **error)
{
  GemRuntime *runtime = self->runtime;
  g_autoptr(GemTensorSource) source = gem_tensor_source_new(runtime->files->general);
  GemPluginError reason = {0};
  g_autoptr(GError) cause = NULL;

  self->dense_module = gem_plugin_loader_open(runtime->loader, GEM_PLUGIN_ATTENTION, "dense", &cause);
  if (self->dense_module == NULL) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_FAILED, cause->message);
    return FALSE;
  }
  self->dense_functions = gem_plugin_module_get(self->dense_module)->functions;
  self->dense = self->dense_functions->open(source, &runtime->plugin_shape, runtime->backend, &reason);
  if (self->dense == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "attention dense: %s", reason.message);
    return FALSE;
  }
  return TRUE;
}

static void
watch_backend(GemBenchAttention *self)
{
  g_assert(watcher == NULL);
  watcher = self;
  self->backend = self->runtime->backend;
  self->watched_functions = *self->backend->functions;
  self->watched_functions.rope = rope;
  self->watched_functions.kv_store = kv_store;
  self->watched = (GemBackend){.functions = &self->watched_functions, .state = self->backend->state};
  self->runtime->backend = &self->watched;
}

GemBenchAttention *
gem_bench_attention_new(GemRuntime *runtime, GError **error)
{
  g_autoptr(GemBenchAttention) self = g_new0(GemBenchAttention, 1);

  self->runtime = runtime;
  if (!open_dense(self, error)) {
    return NULL;
  }
  self->set = runtime->cluster_set;
  self->window = runtime->window;
  self->scar_functions = runtime->attention_functions;
  self->scar = runtime->attention;
  self->timed = *self->scar_functions;
  self->timed.needs_clusters = needs_clusters;
  self->timed.needs_window = needs_window;
  self->timed.assign = assign;
  self->timed.attend = attend;
  self->object.self = self;
  runtime->attention_functions = &self->timed;
  runtime->attention = &self->object;
  watch_backend(self);
  gem_bench_attention_use(self, 1 + self->set);
  return g_steal_pointer(&self);
}

void
gem_bench_attention_free(GemBenchAttention *self)
{
  if (self->scar != NULL) {
    self->runtime->attention_functions = self->scar_functions;
    self->runtime->attention = self->scar;
    self->runtime->backend = self->backend;
    watcher = NULL;
    self->runtime->clusters_needed = TRUE;
    self->runtime->window = self->window;
    self->runtime->cluster_set = self->set;
  }
  if (self->dense != NULL) {
    self->dense_functions->close(self->dense);
  }
  g_clear_pointer(&self->dense_module, gem_plugin_module_close);
  g_free(self);
}

guint
gem_bench_attention_count_kinds(const GemBenchAttention *self)
{
  return 1 + self->runtime->shape->n_cluster_sets;
}

guint
gem_bench_attention_get_clusters(const GemBenchAttention *self, guint kind)
{
  return kind == 0 ? 0 : self->runtime->shape->clusters[kind - 1];
}

void
gem_bench_attention_use(GemBenchAttention *self, guint kind)
{
  self->functions = kind == 0 ? self->dense_functions : self->scar_functions;
  self->attention = kind == 0 ? self->dense : self->scar;
  self->runtime->clusters_needed = kind > 0;
  self->runtime->window = kind > 0 ? self->window : G_MAXUINT;
  self->runtime->cluster_set = kind > 0 ? kind - 1 : self->set;
}

GemBenchAttentionCost
gem_bench_attention_take_cost(GemBenchAttention *self)
{
  GemBenchAttentionCost cost = self->cost;

  self->cost = (GemBenchAttentionCost){0};
  return cost;
}

double
gem_bench_attention_cost_sum(const GemBenchAttentionCost *cost)
{
  return cost->assign + cost->store + cost->attend;
}

void
gem_bench_attention_cost_add(GemBenchAttentionCost *self, const GemBenchAttentionCost *other)
{
  self->assign += other->assign;
  self->store += other->store;
  self->attend += other->attend;
  self->stored += other->stored;
}

guint64
gem_bench_attention_count_pairs(const GemBenchAttention *self, guint kind, const GemSequenceState *sequence)
{
  const GemModelShape *shape = self->runtime->shape;
  guint64 pairs = 0;

  if (kind == 0) {
    return shape->layers * gem_bench_count_dense_pairs(sequence->cached);
  }
  for (guint layer = 0; layer < shape->layers; layer++) {
    GemAttentionSpan span = gem_kv_cache_get_span(sequence->cache, layer, sequence->cached);

    pairs +=
        gem_bench_count_scar_pairs(span.clusters, sequence->cached, shape->window, shape->successors != 0);
  }
  return pairs;
}
