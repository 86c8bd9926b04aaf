#include "daemon/pager/gem-placement.h"

#include "daemon/base/gem-log.h"
#include "daemon/pager/gem-placement-private.h"

#define CACHE_FILE "placement"

/* How long the end of the service waits for a device that compiles. */
#define STOP_MICROSECONDS (3 * G_USEC_PER_SEC)
/* A device that took longer for its first run is not run again to be measured. */
#define SLOW_MICROSECONDS ((double)G_USEC_PER_SEC)

typedef struct {
  char *identity;
  GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS];
  gboolean is_checked; /* what the device gives was compared since the service began */
} Known;

static void
known_free(gpointer data)
{
  Known *known = data;
  g_free(known->identity);
  g_free(known);
}

/* ---- the decisions that are kept ---- */

/* Of a pathway's weights and the device. */
static char *
identity_of(const GemPlacement *self, GemGguf *file)
{
  g_autofree char *name = g_path_get_basename(gem_gguf_get_name(file));
  const char *hash =
      self->options.manifest != NULL ? gem_manifest_get_sha256(self->options.manifest, name) : NULL;
  return g_strdup_printf("%s, %s", hash != NULL ? hash : self->options.model, self->options.device_identity);
}

static Known *
remember(GemPlacement *self,
         const char *name,
         const char *identity,
         const GemPlacementDecision decisions[GEM_PLACEMENT_COUNTS])
{
  Known *known = g_new0(Known, 1);
  known->identity = g_strdup(identity);
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    known->decisions[i] = decisions[i];
  }
  g_hash_table_insert(self->known, g_strdup(name), known);
  return known;
}

/* What is known of these weights since the service began, or was kept before; NULL: nothing. */
static Known *
look_up(GemPlacement *self, const char *name, const char *identity)
{
  Known *known = g_hash_table_lookup(self->known, name);
  GemPlacementDecision kept[GEM_PLACEMENT_COUNTS];
  if (known != NULL && g_str_equal(known->identity, identity)) {
    return known;
  }
  g_hash_table_remove(self->known, name); /* of other weights */
  if (self->path == NULL || !gem_placement_decisions_load(self->path, name, identity, kept)) {
    return NULL;
  }
  return remember(self, name, identity, kept);
}

const GemPlacementDecision *
gem_placement_get_decisions(const GemPlacement *self, const char *name)
{
  const Known *known = g_hash_table_lookup(self->known, name);
  return known != NULL ? known->decisions : NULL;
}

/* ---- life ---- */

/* Whether an earlier service ended in the midst of it; says so. */
static gboolean
is_left_marked(const GemPlacement *self)
{
  g_autofree char *name = self->options.device != NULL && self->path != NULL
                              ? gem_placement_decisions_find_mark(self->path, self->options.device_identity)
                              : NULL;
  if (name != NULL) {
    gem_log(LOG_WARNING, GEM_LOG_DEVICE_DECLINED, (const char *[]){"GEM_PATHWAY", name, NULL},
            "no pathway runs on the device: the service ended while it tried pathway %s there; when %s is "
            "removed, the next start tries again",
            name, self->path);
  }
  return name != NULL;
}

GemPlacement *
gem_placement_new(const GemPlacementOptions *options, const GemPluginLoader *loader, const GemShape *shape)
{
  GemPlacement *self = g_new0(GemPlacement, 1);
  self->options = *options;
  self->loader = loader;
  self->shape = shape;
  self->path = options->cache_dir != NULL ? g_build_filename(options->cache_dir, CACHE_FILE, NULL) : NULL;
  self->who = g_uuid_string_random();
  self->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, known_free);
  self->given_up = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_mutex_init(&self->mutex);
  g_cond_init(&self->changed);
  g_queue_init(&self->waiting);
  self->declined = is_left_marked(self);
  return self;
}

gboolean
gem_placement_free(GemPlacement *self)
{
  if (!gem_placement_work_stop(self, STOP_MICROSECONDS)) {
    /* An end in good order is none that the device brought about. */
    if (self->path != NULL) {
      gem_placement_decisions_unmark(self->path, self->who);
    }
    g_debug("the device still compiles: what it works on stays in memory");
    return FALSE;
  }
  g_queue_clear_full(&self->waiting, (GDestroyNotify)gem_placing_unref);
  g_mutex_clear(&self->mutex);
  g_cond_clear(&self->changed);
  g_hash_table_unref(self->known);
  g_hash_table_unref(self->given_up);
  g_free(self->path);
  g_free(self->who);
  g_free(self);
  return TRUE;
}

const char *
gem_placement_get_backend(const GemPlacement *self, gboolean on_device)
{
  return on_device ? self->options.device_name : self->options.backend;
}

gboolean
gem_placement_may_begin(const GemPlacement *self, const char *name)
{
  return self->options.device != NULL && !self->declined && !g_hash_table_contains(self->given_up, name);
}

gboolean
gem_placement_is_forced(const GemPlacement *self)
{
  return self->options.device != NULL && self->options.forced;
}

/* ---- one pathway ---- */

static gboolean
stays(const Known *known)
{
  return known != NULL && !known->decisions[GEM_PLACEMENT_OF_ROW].device &&
         !known->decisions[GEM_PLACEMENT_OF_BLOCK].device;
}

GemPlacing *
gem_placement_begin(GemPlacement *self, const char *name, GemGguf *file)
{
  if (!gem_placement_may_begin(self, name)) {
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
  placing->name = g_strdup(name);
  placing->identity = g_steal_pointer(&identity);
  placing->is_first = known == NULL || !known->is_checked;
  placing->file = gem_gguf_ref(file);
  if (!gem_placement_work_add(self, placing)) {
    gem_placing_unref(placing);
    return NULL;
  }
  return placing;
}

void
gem_placing_abandon(GemPlacing *self)
{
  gem_placement_work_next(self->placement, self);
  gem_placing_unref(self);
}

static void
log_stays(const char *name, const char *reason)
{
  gem_log(LOG_WARNING, GEM_LOG_DEVICE_REFUSED, (const char *[]){"GEM_PATHWAY", name, NULL},
          "pathway %s does not run on the device: %s", name, reason);
}

/* FALSE: what the device gave is not what the other side gives; the log says so. */
static gboolean
check_results(const GemPlacing *placing, const GemPlacementSide *other)
{
  g_autoptr(GemPlacementResults) expected = gem_placement_results_new(other, NULL);
  GemPlacementDifference difference = gem_placement_results_compare(placing->results, expected, other->shape);
  g_debug("pathway %s: what the device gives differs by %.4f", placing->name, difference.relative);
  if (difference.relative > GEM_PLACEMENT_LARGEST_DIFFERENCE) {
    g_autofree char *reason = g_strdup_printf(
        "what it gives is %.3f off (layer %u, rows %u), and %.2f is allowed", difference.relative,
        difference.layer, difference.rows, GEM_PLACEMENT_LARGEST_DIFFERENCE);
    log_stays(placing->name, reason);
    return FALSE;
  }
  return TRUE;
}

/* FALSE: the device failed; the log says so. */
static gboolean
measure_sides(const GemPlacing *placing,
              const GemPlacementSide *device,
              const GemPlacementSide *other,
              GemPlacementDecision ret_decisions[GEM_PLACEMENT_COUNTS])
{
  for (guint i = 0; i < GEM_PLACEMENT_COUNTS; i++) {
    guint rows = gem_placement_rows((GemPlacementCount)i);
    double first_us = placing->results->us[i];
    GemPluginError failure = {0};
    double device_us =
        first_us > SLOW_MICROSECONDS ? first_us : gem_placement_measure(device, rows, &failure);
    if (device_us < 0.0) {
      log_stays(placing->name, failure.message);
      return FALSE;
    }
    double us = gem_placement_measure(other, rows, NULL);
    ret_decisions[i] = (GemPlacementDecision){.device = device_us < us, .us = us, .device_us = device_us};
    g_debug("pathway %s, %u rows: %.0f us, on the device %.0f", placing->name, rows, us, device_us);
  }
  return TRUE;
}

/* What is decided of a pathway that was compiled, measured if it never was. What the device gives is compared
 * once in each life of the service whatever is known. NULL: it stays. */
static const Known *
decide(GemPlacement *self,
       const GemPlacing *placing,
       const GemPathwayFunctions *functions,
       GemPathway *pathway)
{
  const GemPlacementSide other = {self->shape, functions, pathway, FALSE};
  const GemPlacementSide device = {self->shape, placing->placed->functions, placing->placed->pathway, TRUE};
  Known *known = look_up(self, placing->name, placing->identity);
  if ((known == NULL || !known->is_checked) && !check_results(placing, &other)) {
    return NULL;
  }
  if (known == NULL || stays(known)) { /* what stays may have been slow while the machine was busy */
    GemPlacementDecision found[GEM_PLACEMENT_COUNTS];
    if (!measure_sides(placing, &device, &other, found)) {
      return NULL;
    }
    known = remember(self, placing->name, placing->identity, found);
    if (self->path != NULL) {
      gem_placement_decisions_save(self->path, placing->name, placing->identity, found);
    }
  }
  known->is_checked = TRUE;
  return known;
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
  const Known *known = NULL;
  g_assert(gem_placing_is_done(placing));
  if (placing->placed == NULL) {
    log_stays(placing->name, placing->reason);
  } else {
    known = decide(self, placing, functions, pathway);
  }
  g_autoptr(GemPlacedPathway) placed = g_steal_pointer(&placing->placed);
  gboolean goes = known != NULL && divide(self, known, placed);
  if (!goes) {
    gem_placement_give_up(self, placing->name);
  }
  gem_placing_abandon(placing);
  return goes ? g_steal_pointer(&placed) : NULL;
}

gboolean
gem_placed_pathway_takes(const GemPlacedPathway *self, guint n)
{
  return n == 1 ? self->takes_rows : n >= self->least_rows;
}

gboolean
gem_placed_pathway_takes_blocks(const GemPlacedPathway *self)
{
  return self->least_rows != G_MAXUINT;
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

void
gem_placement_try_again(GemPlacement *self)
{
  g_hash_table_remove_all(self->given_up);
}
