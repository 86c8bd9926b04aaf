#include "daemon/pager/gem-placement.h"

#include "daemon/gem-log.h"
#include "daemon/pager/gem-placement-compare.h"
#include "daemon/plugin/gem-tensor-source.h"

#define CACHE_FILE "placement"

typedef struct {
  GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS];
} Known;

struct GemPlacement {
  GemPlacementOptions options;
  const GemPluginLoader *loader;
  const GemShape *shape;
  GHashTable *known;    /* name -> Known* */
  GHashTable *given_up; /* names */
  GMutex mutex;
  GCond ended; /* one of the threads did */
  guint threads;
};

struct GemPlacing {
  gatomicrefcount references; /* the thread's and the pager's */
  GemPlacement *placement;
  gboolean known; /* it was measured before */
  char *name, *identity;
  GemGguf *file;
  gint done; /* atomic: what follows is complete */
  GemPlacedPathway *placed;
  char *reason; /* why there is none */
};

/* ---- the decisions that are kept ---- */

static char *
cache_path(const GemPlacement *self)
{
  return self->options.cache_dir != NULL ? g_build_filename(self->options.cache_dir, CACHE_FILE, NULL) : NULL;
}

/* Of a pathway's weights and the device. */
static char *
identity_of(const GemPlacement *self, GemGguf *file)
{
  g_autofree char *name = g_path_get_basename(gem_gguf_get_name(file));
  const char *hash =
      self->options.manifest != NULL ? gem_manifest_get_sha256(self->options.manifest, name) : NULL;
  return g_strdup_printf("%s, %s", hash != NULL ? hash : self->options.model, self->options.device_identity);
}

/* What is known of a pathway since the service began, or was kept before; NULL: nothing. */
static const Known *
look_up(GemPlacement *self, const char *name, const char *identity)
{
  Known *known = g_hash_table_lookup(self->known, name);
  g_autofree char *path = cache_path(self);
  Known kept;
  if (known == NULL && path != NULL && gem_placement_decisions_load(path, name, identity, kept.decisions)) {
    known = g_memdup2(&kept, sizeof kept);
    g_hash_table_insert(self->known, g_strdup(name), known);
  }
  return known;
}

static const Known *
keep(GemPlacement *self, const char *name, const char *identity, const Known *found)
{
  g_autofree char *path = cache_path(self);
  Known *known = g_memdup2(found, sizeof *found);
  g_hash_table_insert(self->known, g_strdup(name), known);
  if (path != NULL) {
    gem_placement_decisions_save(path, name, identity, known->decisions);
  }
  return known;
}

const GemPlacementDecision *
gem_placement_get_decisions(const GemPlacement *self, const char *name)
{
  const Known *known = g_hash_table_lookup(self->known, name);
  return known != NULL ? known->decisions : NULL;
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
  g_free(self->identity);
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
  self->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
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
  g_hash_table_unref(self->known);
  g_hash_table_unref(self->given_up);
  g_free(self);
}

const char *
gem_placement_get_backend(const GemPlacement *self, gboolean on_device)
{
  return on_device ? self->options.device_name : self->options.backend;
}

static gboolean
stays(const Known *known)
{
  return known != NULL && !known->decisions[GEM_PLACEMENT_OF_ROW].device &&
         !known->decisions[GEM_PLACEMENT_OF_BLOCK].device;
}

GemPlacing *
gem_placement_begin(GemPlacement *self, const char *name, GemGguf *file)
{
  if (self->options.device == NULL || g_hash_table_contains(self->given_up, name)) {
    return NULL;
  }
  g_autofree char *identity = identity_of(self, file);
  const Known *known = look_up(self, name, identity);
  if (stays(known) && !self->options.forced) {
    return NULL;
  }
  GemPlacing *placing = g_new0(GemPlacing, 1);
  g_atomic_ref_count_init(&placing->references);
  placing->placement = self;
  placing->known = known != NULL && !stays(known); /* what stays may have been wrong */
  placing->name = g_strdup(name);
  placing->identity = g_steal_pointer(&identity);
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

static void
log_stays(const char *name, const char *reason)
{
  gem_log(LOG_WARNING, GEM_LOG_DEVICE_REFUSED, (const char *[]){"GEM_PATHWAY", name, NULL},
          "pathway %s does not run on the device: %s", name, reason);
}

/* FALSE: the device failed, or what it gives is not what the other gives; the log says so. */
static gboolean
check_results(const char *name, const GemPlacementSide *device, const GemPlacementSide *other)
{
  GemPluginError failure = {0};
  g_autoptr(GemPlacementResults) found = gem_placement_results_new(device, &failure);
  if (found == NULL) {
    log_stays(name, failure.message);
    return FALSE;
  }
  g_autoptr(GemPlacementResults) expected = gem_placement_results_new(other, NULL);
  GemPlacementDifference difference = gem_placement_results_compare(found, expected, device->shape);
  g_debug("pathway %s: what the device gives differs by %.4f", name, difference.relative);
  if (difference.relative > GEM_PLACEMENT_LARGEST_DIFFERENCE) {
    g_autofree char *reason = g_strdup_printf(
        "what it gives is %.3f off (layer %u, rows %u), and %.2f is allowed", difference.relative,
        difference.layer, difference.rows, GEM_PLACEMENT_LARGEST_DIFFERENCE);
    log_stays(name, reason);
    return FALSE;
  }
  return TRUE;
}

/* FALSE: the device failed; the log says so. */
static gboolean
measure_sides(const char *name,
              const GemPlacementSide *device,
              const GemPlacementSide *other,
              Known *ret_known)
{
  Known known;
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    GemPlacementDecision *decision = &known.decisions[i];
    guint rows = gem_placement_rows((GemPlacementCount)i);
    GemPluginError failure = {0};
    decision->device_us = gem_placement_measure(device, rows, &failure);
    if (decision->device_us < 0.0) {
      log_stays(name, failure.message);
      return FALSE;
    }
    decision->us = gem_placement_measure(other, rows, NULL);
    decision->device = decision->device_us < decision->us;
    g_debug("pathway %s, %u rows: %.0f us, on the device %.0f", name, rows, decision->us,
            decision->device_us);
  }
  *ret_known = known;
  return TRUE;
}

/* Measures a pathway that never was, and keeps what it finds. NULL: the device failed, or what it gives is
 * wrong. */
static const Known *
measure_pathway(GemPlacement *self,
                const GemPlacing *placing,
                const GemPlacedPathway *placed,
                const GemPathwayFunctions *functions,
                GemPathway *pathway)
{
  const GemPlacementSide device = {self->shape, placed->functions, placed->pathway, TRUE};
  const GemPlacementSide other = {self->shape, functions, pathway, FALSE};
  Known known;
  if (!check_results(placing->name, &device, &other) ||
      !measure_sides(placing->name, &device, &other, &known)) {
    return NULL;
  }
  return keep(self, placing->name, placing->identity, &known);
}

/* Which calls go there. FALSE: none. */
static gboolean
divide(const GemPlacement *self, const Known *known, GemPlacedPathway *placed)
{
  const GemPlacementDecision *row = &known->decisions[GEM_PLACEMENT_OF_ROW];
  const GemPlacementDecision *block = &known->decisions[GEM_PLACEMENT_OF_BLOCK];
  gboolean all = self->options.forced || (row->device && block->device);
  placed->takes_rows = all || row->device;
  placed->least_rows = all ? 2 : block->device ? gem_placement_least_rows(block) : G_MAXUINT;
  return all || row->device || block->device;
}

GemPlacedPathway *
gem_placement_finish(GemPlacement *self,
                     GemPlacing *placing,
                     const GemPathwayFunctions *functions,
                     GemPathway *pathway)
{
  wait_until_done(placing);
  g_autoptr(GemPlacedPathway) placed = g_steal_pointer(&placing->placed);
  const Known *known = NULL;
  if (placed == NULL) {
    log_stays(placing->name, placing->reason);
  } else {
    known = placing->known ? g_hash_table_lookup(self->known, placing->name)
                           : measure_pathway(self, placing, placed, functions, pathway);
  }
  gboolean goes = known != NULL && divide(self, known, placed);
  if (!goes) {
    gem_placement_give_up(self, placing->name);
  }
  placing_unref(placing);
  return goes ? g_steal_pointer(&placed) : NULL;
}

gboolean
gem_placed_pathway_takes(const GemPlacedPathway *self, guint n)
{
  return n == 1 ? self->takes_rows : n >= self->least_rows;
}

gboolean
gem_placed_pathway_takes_all(const GemPlacedPathway *self)
{
  return self->takes_rows && self->least_rows <= 2;
}

void
gem_placement_give_up(GemPlacement *self, const char *name)
{
  g_hash_table_add(self->given_up, g_strdup(name));
}
