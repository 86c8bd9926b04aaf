#include "daemon/pager/gem-placement.h"

#include <math.h>
#include <string.h>

#include "daemon/gem-log.h"
#include "daemon/plugin/gem-tensor-source.h"

/* Runs of each that is measured; the fastest counts. */
#define ROUNDS 3u

/* |device - other| / |other| of what a pathway adds: the other rounds its inputs to 8 bits, which is 1 % or
 * so; weights that a provider wanted in fewer bits are more, and wrong ones are about 1. */
#define LARGEST_DIFFERENCE 0.05

#define CACHE_FILE "placement"

struct GemPlacement {
  GemPlacementOptions options;
  const GemPluginLoader *loader;
  const GemShape *shape;
  GHashTable *given_up; /* names */
  GMutex mutex;
  GCond ended; /* one of the threads did */
  guint threads;
};

struct GemPlacing {
  gatomicrefcount references; /* the thread's and the pager's */
  GemPlacement *placement;
  gboolean known; /* it was measured before, and is better off there */
  char *name;
  GemGguf *file;
  gint done; /* atomic: what follows is complete */
  GemPlacedPathway *placed;
  char *reason; /* why there is none */
};

/* ---- the decisions that are kept ---- */

static char *
group_of(const GemPlacement *self, const char *name)
{
  return g_strdup_printf("%s %s %s", name, self->options.device_identity, self->options.model_identity);
}

static char *
cache_path(const GemPlacement *self)
{
  return self->options.cache_dir != NULL ? g_build_filename(self->options.cache_dir, CACHE_FILE, NULL) : NULL;
}

typedef enum { DECISION_NONE, DECISION_STAYS, DECISION_DEVICE } Decision;

static Decision
look_up(const GemPlacement *self, const char *name)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autofree char *path = cache_path(self), *group = group_of(self, name);
  g_autoptr(GError) error = NULL;
  if (path == NULL || !g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL)) {
    return DECISION_NONE;
  }
  gboolean device = g_key_file_get_boolean(file, group, "device", &error);
  return error != NULL ? DECISION_NONE : device ? DECISION_DEVICE : DECISION_STAYS;
}

/* Microseconds for a row and for a block, on either. */
typedef struct {
  double single, block;
} Times;

static void
keep(const GemPlacement *self, const char *name, gboolean device, const Times *own, const Times *other)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autofree char *path = cache_path(self), *group = group_of(self, name);
  g_autoptr(GError) error = NULL;
  if (path == NULL) {
    return;
  }
  (void)g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL);
  g_key_file_set_boolean(file, group, "device", device);
  g_key_file_set_double(file, group, "device-row-us", own->single);
  g_key_file_set_double(file, group, "device-block-us", own->block);
  g_key_file_set_double(file, group, "other-row-us", other->single);
  g_key_file_set_double(file, group, "other-block-us", other->block);
  if (!g_key_file_save_to_file(file, path, &error)) {
    g_debug("%s", error->message);
  }
}

/* ---- compiling ---- */

void
gem_placed_pathway_free(GemPlacedPathway *self)
{
  if (self->pathway != NULL) {
    self->functions->close(self->pathway);
  }
  g_clear_pointer(&self->module, gem_plugin_module_close);
  g_free(self);
}

static void
placing_unref(GemPlacing *self)
{
  if (!g_atomic_ref_count_dec(&self->references)) {
    return;
  }
  g_clear_pointer(&self->placed, gem_placed_pathway_free);
  g_free(self->reason);
  g_free(self->name);
  gem_gguf_unref(self->file);
  g_free(self);
}

/* Sets `placed`, or `reason`. */
static void
compile(GemPlacing *self)
{
  const GemPlacement *placement = self->placement;
  g_autoptr(GemPlacedPathway) placed = g_new0(GemPlacedPathway, 1);
  g_autoptr(GemTensorSource) source = gem_tensor_source_new(self->file);
  g_autoptr(GError) error = NULL;
  GemPluginError reason = {0};

  placed->module = gem_plugin_loader_open(placement->loader, GEM_PLUGIN_PATHWAY, self->name, &error);
  if (placed->module == NULL) {
    self->reason = g_strdup(error->message);
  } else if (gem_plugin_module_get(placed->module)->abi_minor < 2) {
    self->reason = g_strdup("its module is of an ABI without devices");
  } else {
    placed->functions = gem_plugin_module_get(placed->module)->functions;
    placed->pathway = placed->functions->open(source, placement->shape, placement->options.device, &reason);
    if (placed->pathway == NULL) {
      self->reason = g_strdup(gem_tensor_source_explain(source, &reason));
    } else {
      self->placed = g_steal_pointer(&placed);
    }
  }
}

static gpointer
run_thread(gpointer data)
{
  GemPlacing *self = data;
  GemPlacement *placement = self->placement;
  compile(self);
  g_atomic_int_set(&self->done, TRUE);
  placing_unref(self);
  g_mutex_lock(&placement->mutex);
  placement->threads--;
  g_cond_broadcast(&placement->ended);
  g_mutex_unlock(&placement->mutex);
  return NULL;
}

static gboolean
start_thread(GemPlacing *self)
{
  GemPlacement *placement = self->placement;
  g_atomic_ref_count_inc(&self->references);
  g_mutex_lock(&placement->mutex);
  GThread *thread = g_thread_try_new("placement", run_thread, self, NULL);
  placement->threads += thread != NULL ? 1 : 0;
  g_mutex_unlock(&placement->mutex);
  if (thread == NULL) {
    placing_unref(self);
    return FALSE;
  }
  g_thread_unref(thread);
  return TRUE;
}

GemPlacement *
gem_placement_new(const GemPlacementOptions *options, const GemPluginLoader *loader, const GemShape *shape)
{
  GemPlacement *self = g_new0(GemPlacement, 1);
  self->options = *options;
  self->loader = loader;
  self->shape = shape;
  self->given_up = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_mutex_init(&self->mutex);
  g_cond_init(&self->ended);
  return self;
}

void
gem_placement_free(GemPlacement *self)
{
  g_mutex_lock(&self->mutex);
  while (self->threads > 0) {
    g_cond_wait(&self->ended, &self->mutex);
  }
  g_mutex_unlock(&self->mutex);
  g_mutex_clear(&self->mutex);
  g_cond_clear(&self->ended);
  g_hash_table_unref(self->given_up);
  g_free(self);
}

const char *
gem_placement_get_backend(const GemPlacement *self, gboolean on_device)
{
  return on_device ? self->options.device_name : self->options.backend;
}

GemPlacing *
gem_placement_begin(GemPlacement *self, const char *name, GemGguf *file)
{
  Decision decision = self->options.device != NULL ? look_up(self, name) : DECISION_STAYS;
  if (self->options.device == NULL || g_hash_table_contains(self->given_up, name) ||
      (decision == DECISION_STAYS && !self->options.forced)) {
    return NULL;
  }
  GemPlacing *placing = g_new0(GemPlacing, 1);
  g_atomic_ref_count_init(&placing->references);
  placing->placement = self;
  placing->known = decision == DECISION_DEVICE;
  placing->name = g_strdup(name);
  placing->file = gem_gguf_ref(file);
  if (!start_thread(placing)) {
    placing_unref(placing);
    return NULL;
  }
  return placing;
}

static void
wait_until_done(GemPlacing *self)
{
  GemPlacement *placement = self->placement;
  g_mutex_lock(&placement->mutex);
  while (!g_atomic_int_get(&self->done)) {
    g_cond_wait(&placement->ended, &placement->mutex);
  }
  g_mutex_unlock(&placement->mutex);
}

gboolean
gem_placing_is_done(GemPlacing *self)
{
  return self->placement->options.forced || g_atomic_int_get(&self->done);
}

void
gem_placing_abandon(GemPlacing *self)
{
  placing_unref(self);
}

/* ---- comparing ---- */

/* y[n][width] of all layers, one after the other, each for the same x; FALSE: the device failed. */
static gboolean
run_layers(const GemPlacement *self,
           const GemPathwayFunctions *functions,
           GemPathway *pathway,
           const float *x,
           gsize n,
           float *y,
           GemPluginError *reason)
{
  gboolean ran = TRUE;
  memset(y, 0, self->shape->layers * n * self->shape->width * sizeof *y);
  for (guint layer = 0; ran && layer < self->shape->layers; layer++) {
    float *to = y + layer * n * self->shape->width;
    if (reason != NULL) {
      ran = functions->try_apply(pathway, layer, x, n, to, reason);
    } else {
      functions->apply(pathway, layer, x, n, to);
    }
  }
  return ran;
}

/* The fastest of some runs, in microseconds; negative: the device failed. */
static double
measure(const GemPlacement *self,
        const GemPathwayFunctions *functions,
        GemPathway *pathway,
        const float *x,
        gsize n,
        float *y,
        GemPluginError *reason)
{
  gint64 best = G_MAXINT64;
  for (guint round = 0; round < ROUNDS; round++) {
    gint64 start = g_get_monotonic_time();
    if (!run_layers(self, functions, pathway, x, n, y, reason)) {
      return -1.0;
    }
    best = MIN(best, g_get_monotonic_time() - start);
  }
  return (double)best;
}

static double
relative_difference(const float *a, const float *b, gsize n)
{
  double difference = 0.0, norm = 0.0;
  for (gsize i = 0; i < n; i++) {
    double d = (double)a[i] - (double)b[i];
    difference += d * d;
    norm += (double)b[i] * (double)b[i];
  }
  return sqrt(difference / MAX(norm, 1e-30));
}

typedef struct {
  Times device, other;
  double difference; /* relative */
} Comparison;

/* FALSE: the device failed. */
static gboolean
compare(const GemPlacement *self,
        const GemPlacedPathway *placed,
        const GemPathwayFunctions *functions,
        GemPathway *pathway,
        Comparison *ret_comparison,
        GemPluginError *reason)
{
  const gsize n = GEM_PLACEMENT_BLOCK, width = self->shape->width, values = n * width;
  g_autofree float *x = g_new(float, values);
  g_autofree float *device = g_new(float, values * self->shape->layers);
  g_autofree float *other = g_new(float, values * self->shape->layers);
  GRand *random = g_rand_new_with_seed(1);
  for (gsize i = 0; i < values; i++) { /* of about the size of normed inputs */
    x[i] = (float)g_rand_double_range(random, -1.7, 1.7);
  }
  g_rand_free(random);
  Comparison comparison = {0};
  comparison.device.single = measure(self, placed->functions, placed->pathway, x, 1, device, reason);
  comparison.other.single = measure(self, functions, pathway, x, 1, other, NULL);
  comparison.device.block = measure(self, placed->functions, placed->pathway, x, n, device, reason);
  comparison.other.block = measure(self, functions, pathway, x, n, other, NULL);
  if (comparison.device.single < 0.0 || comparison.device.block < 0.0) {
    return FALSE;
  }
  comparison.difference = relative_difference(device, other, values * self->shape->layers);
  *ret_comparison = comparison;
  return TRUE;
}

/* A turn that reads a block and writes as much. */
static double
cost(const Times *times)
{
  return times->block + GEM_PLACEMENT_BLOCK * times->single;
}

static void
log_stays(const char *name, const char *reason)
{
  gem_log(LOG_WARNING, GEM_LOG_DEVICE_REFUSED, (const char *[]){"GEM_PATHWAY", name, NULL},
          "pathway %s does not run on the device: %s", name, reason);
}

/* Whether the compiled pathway is right and, unless it was chosen, faster. */
static gboolean
is_better(GemPlacement *self,
          const char *name,
          const GemPlacedPathway *placed,
          const GemPathwayFunctions *functions,
          GemPathway *pathway)
{
  Comparison comparison;
  GemPluginError failure = {0};
  if (!compare(self, placed, functions, pathway, &comparison, &failure)) {
    log_stays(name, failure.message);
    return FALSE;
  }
  gboolean right = comparison.difference <= LARGEST_DIFFERENCE;
  gboolean faster = cost(&comparison.device) < cost(&comparison.other);
  if (!right) {
    g_autofree char *reason = g_strdup_printf("what it gives is %.3f off, and %.2f is allowed",
                                              comparison.difference, LARGEST_DIFFERENCE);
    log_stays(name, reason);
  }
  g_debug("pathway %s: device %.0f us a row and %.0f a block, else %.0f and %.0f; difference %.4f", name,
          comparison.device.single, comparison.device.block, comparison.other.single, comparison.other.block,
          comparison.difference);
  keep(self, name, right && faster, &comparison.device, &comparison.other);
  return right && (faster || self->options.forced);
}

GemPlacedPathway *
gem_placement_finish(GemPlacement *self,
                     GemPlacing *placing,
                     const GemPathwayFunctions *functions,
                     GemPathway *pathway)
{
  wait_until_done(placing);
  g_autoptr(GemPlacedPathway) placed = g_steal_pointer(&placing->placed);
  if (placed == NULL) {
    log_stays(placing->name, placing->reason);
  }
  gboolean better =
      placed != NULL && (placing->known || is_better(self, placing->name, placed, functions, pathway));
  if (!better) {
    gem_placement_give_up(self, placing->name);
  }
  placing_unref(placing);
  return better ? g_steal_pointer(&placed) : NULL;
}

void
gem_placement_give_up(GemPlacement *self, const char *name)
{
  g_hash_table_add(self->given_up, g_strdup(name));
}
