#include "bench/direct/gem-bench-attention.h"

#include <string.h>
#include <time.h>

#include "bench/direct/gem-bench-scar-count.h"
#include "daemon/plugin/gem-tensor-source.h"

/* The module's object, as far as the step is concerned. */
struct GemAttention {
  GemBenchAttention *self;
};

struct _GemBenchAttention {
  GemRuntime *runtime;
  guint limit;  /* tokens */
  guint sets;   /* of clusters */
  guint turn;   /* which kind runs first in the next call: none is always the one that finds the cache cold */
  guint *known; /* [layers] tokens that have their clusters */
  guint8 *clusters; /* [sets][layers][limit] */
  float *spare;     /* results that the model does not go on with */
  gsize spare_rows; /* rows of those */
  double seconds[GEM_BENCH_KINDS_MAX];

  GemAttention object;
  GemAttentionFunctions functions;
  const GemAttentionFunctions *scar_functions;
  GemAttention *scar;
  GemPluginModule *dense_module;
  const GemAttentionFunctions *dense_functions;
  GemAttention *dense;
};

static double
now(void)
{
  struct timespec time;

  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static guint8 *
clusters_of(const GemBenchAttention *self, guint set, guint layer)
{
  return self->clusters + ((gsize)set * self->runtime->shape->layers + layer) * self->limit;
}

/* ---- what the step calls ---- */

static void
assign(
    GemAttention *object, uint32_t layer, uint32_t cluster_set, const float *u, size_t n, uint8_t *clusters)
{
  GemBenchAttention *self = object->self;
  guint set;

  g_assert(self->known[layer] + n <= self->limit);
  for (set = 0; set < self->sets; set++) {
    double started = now();

    self->scar_functions->assign(self->scar, layer, set, u, n,
                                 clusters_of(self, set, layer) + self->known[layer]);
    self->seconds[1 + set] += now() - started;
  }
  memcpy(clusters, clusters_of(self, cluster_set, layer) + self->known[layer], n);
  self->known[layer] += (guint)n;
}

/* One kind over the rows; its time is taken. */
static int
attend_as(GemBenchAttention *self, guint kind, const GemAttentionRows *rows, float *out)
{
  GemAttentionRows own = *rows;
  double started = now();
  int result;

  if (kind == 0) {
    own.clusters = NULL;
    result = self->dense_functions->attend(self->dense, &own, out);
  } else {
    own.clusters = clusters_of(self, kind - 1, rows->layer);
    result = self->scar_functions->attend(self->scar, &own, out);
  }
  self->seconds[kind] += now() - started;
  return result;
}

static int
attend(GemAttention *object, const GemAttentionRows *rows, float *out)
{
  GemBenchAttention *self = object->self;
  const GemModelShape *shape = self->runtime->shape;
  guint kinds = 1 + self->sets, i, used = 1 + self->runtime->cluster_set;

  if (rows->n > self->spare_rows) {
    self->spare_rows = rows->n;
    self->spare = g_renew(float, self->spare, rows->n * shape->heads * shape->head_dim);
  }
  for (i = 0; i < kinds; i++) {
    guint kind = (self->turn + i) % kinds;

    if (attend_as(self, kind, rows, kind == used ? out : self->spare) < 0) {
      return -1;
    }
  }
  self->turn++;
  return 0;
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

GemBenchAttention *
gem_bench_attention_new(GemRuntime *runtime, guint limit, GError **error)
{
  g_autoptr(GemBenchAttention) self = g_new0(GemBenchAttention, 1);

  self->runtime = runtime;
  self->limit = limit;
  self->sets = runtime->shape->n_cluster_sets;
  self->known = g_new0(guint, runtime->shape->layers);
  self->clusters = g_new0(guint8, (gsize)self->sets * runtime->shape->layers * limit);
  if (!open_dense(self, error)) {
    return NULL;
  }
  self->scar_functions = runtime->attention_functions;
  self->scar = runtime->attention;
  self->functions = *self->scar_functions;
  self->functions.assign = assign;
  self->functions.attend = attend;
  self->object.self = self;
  runtime->attention_functions = &self->functions;
  runtime->attention = &self->object;
  return g_steal_pointer(&self);
}

void
gem_bench_attention_free(GemBenchAttention *self)
{
  if (self->scar != NULL) {
    self->runtime->attention_functions = self->scar_functions;
    self->runtime->attention = self->scar;
  }
  if (self->dense != NULL) {
    self->dense_functions->close(self->dense);
  }
  g_clear_pointer(&self->dense_module, gem_plugin_module_close);
  g_free(self->known);
  g_free(self->clusters);
  g_free(self->spare);
  g_free(self);
}

void
gem_bench_attention_reset(GemBenchAttention *self)
{
  memset(self->known, 0, self->runtime->shape->layers * sizeof *self->known);
  memset(self->seconds, 0, sizeof self->seconds);
}

/* ---- what came out ---- */

guint
gem_bench_attention_count_kinds(const GemBenchAttention *self)
{
  return 1 + self->sets;
}

guint
gem_bench_attention_get_clusters(const GemBenchAttention *self, guint kind)
{
  return kind == 0 ? 0 : self->runtime->shape->clusters[kind - 1];
}

double
gem_bench_attention_get_seconds(const GemBenchAttention *self, guint kind)
{
  return self->seconds[kind];
}

guint64
gem_bench_attention_count_pairs(const GemBenchAttention *self, guint kind, guint n)
{
  const GemModelShape *shape = self->runtime->shape;
  guint64 pairs = 0;
  guint layer;

  if (kind == 0) {
    return shape->layers * gem_bench_count_dense_pairs(n);
  }
  for (layer = 0; layer < shape->layers; layer++) {
    g_assert(n <= self->known[layer]);
    pairs += gem_bench_count_scar_pairs(clusters_of(self, kind - 1, layer), n, shape->window);
  }
  return pairs;
}
