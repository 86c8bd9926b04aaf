#include "daemon/pager/gem-pager-private.h"

#include "daemon/base/gem-log.h"
#include "dbus/gem-error.h"

/* After a passing reason a pathway is tried again, if it is needed, when this time is over; twice as long
 * after each time that this fails, too. */
#define FIRST_RETRY_MICROSECONDS G_USEC_PER_SEC
#define LAST_RETRY_MICROSECONDS  (64 * G_USEC_PER_SEC)

/* Bits of a value by its type in the file. */
static guint
bits_of_type(GemType type)
{
  switch (type) {
  case GEM_TYPE_Q4_0:
    return 4;
  case GEM_TYPE_Q6_K:
    return 6;
  case GEM_TYPE_Q8_0:
    return 8;
  case GEM_TYPE_F16:
    return 16;
  case GEM_TYPE_F32:
    return 32;
  }
  return 0;
}

guint
gem_pager_bits_of_file(GemGguf *file)
{
  const GemTensor *largest = NULL;

  for (guint i = 0; i < gem_gguf_n_tensors(file); i++) {
    const GemTensor *tensor = gem_gguf_tensor(file, i);

    if (largest == NULL || tensor->bytes > largest->bytes) {
      largest = tensor;
    }
  }
  return largest != NULL ? bits_of_type(largest->type) : 0;
}

/* Whether the backend has its own form of the file's matrices on disk, and reads that ahead. */
static gboolean
is_kept(const GemPager *self, const GemPagerEntry *entry)
{
  const GemBackendFunctions *backend = self->backend->functions;
  const char *digest = gem_model_files_get_pathway_digest(self->files, entry->name);

  return digest != NULL && backend->expect != NULL && backend->expect(self->backend->state, digest);
}

/* Has the system read what a pathway needs, unless it is in its cache; does not wait. */
static void
read_ahead(const GemPager *self, const GemPagerEntry *entry)
{
  if (entry->reader != NULL) {
    gem_file_reader_read_ahead(entry->reader);
  } else if (!is_kept(self, entry)) {
    gem_model_files_expect_pathway(self->files, entry->name);
  }
}

/* The file of a pathway, verified against the manifest; a learned one was verified when it was added. */
static GemGguf *
open_file(GemPager *self, guint index, GError **error)
{
  if (index == self->n_domains) {
    return gem_gguf_ref(self->files->general);
  }
  if (self->entries[index].reader != NULL) {
    return gem_gguf_new_from_reader(self->entries[index].reader, self->entries[index].file, error);
  }
  /* First: a file that is changed while it is read is another one afterwards. */
  gem_model_files_identify_pathway(self->files, self->entries[index].name, &self->entries[index].tried);
  return gem_model_files_open_pathway(self->files, self->entries[index].name, error);
}

static void
set_state(GemPager *self, GemPagerEntry *entry, GemPathwayState state)
{
  g_mutex_lock(&self->mutex);
  entry->state = state;
  g_mutex_unlock(&self->mutex);
}

/* What may be over in a while: reading failed, or the process lacked something. What is wrong with a file or
 * a module stays wrong. */
static gboolean
is_passing(const GError *cause)
{
  return g_error_matches(cause, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO) ||
         g_error_matches(cause, GEM_PLUGIN_LOADER_ERROR, GEM_PLUGIN_LOADER_ERROR_SHORT) ||
         g_error_matches(cause, GEM_ERROR, GEM_ERROR_FAILED);
}

static void
plan_retry(GemPagerEntry *entry, const GError *cause)
{
  if (!is_passing(cause)) {
    entry->retry_wait = 0;
    return;
  }
  entry->retry_wait = CLAMP(2 * entry->retry_wait, FIRST_RETRY_MICROSECONDS, LAST_RETRY_MICROSECONDS);
  entry->retry_at = g_get_monotonic_time() + entry->retry_wait;
}

/* Keeps why the pathway is absent and passes it on as GEM_ERROR_PATHWAY. */
static void
refuse(GemPager *self, GemPagerEntry *entry, const GError *cause, GError **error)
{
  g_assert(cause != NULL);
  plan_retry(entry, cause);
  g_mutex_lock(&self->mutex);
  entry->state = GEM_PATHWAY_ABSENT;
  g_free(entry->reason);
  entry->reason = g_strdup(cause->message);
  g_mutex_unlock(&self->mutex);
  g_set_error(error, GEM_ERROR, GEM_ERROR_PATHWAY, "pathway %s: %s", entry->name, cause->message);
}

/* Reads file and module without keeping them: a domain that does not hold says so before it is needed. */
static void
inspect(GemPager *self, guint index)
{
  GemPagerEntry *entry = &self->entries[index];
  g_autoptr(GError) error = NULL;
  g_autoptr(GemGguf) file = open_file(self, index, &error);
  g_autoptr(GemPluginModule) module = NULL;

  if (file != NULL) {
    entry->bits = gem_pager_bits_of_file(file);
    entry->file_bytes = gem_gguf_get_size(file);
    module = gem_plugin_loader_open(self->loader, GEM_PLUGIN_PATHWAY, entry->name, &error);
  }
  if (module == NULL) {
    refuse(self, entry, error, NULL);
    g_debug("pathway %s is absent: %s", entry->name, error->message);
  }
}

GemPager *
gem_pager_new(GemModelFiles *files,
              const GemPluginLoader *loader,
              const GemShape *shape,
              const GemBackend *backend,
              GemPlacement *placement,
              GemPagerCounters *counters,
              GError **error)
{
  g_autoptr(GemPager) self = g_new0(GemPager, 1);
  const GemModelShape *model_shape = &files->shape;

  g_mutex_init(&self->mutex);
  self->files = files;
  self->loader = loader;
  self->shape = shape;
  self->backend = backend;
  self->placement = placement;
  self->counters = counters;
  self->read_ahead = TRUE;
  self->n_domains = model_shape->n_domains;
  for (guint i = 0; i < self->n_domains; i++) {
    self->entries[i].name = model_shape->domains[i];
    inspect(self, i);
  }
  self->entries[self->n_domains].name = "general";
  if (!gem_pager_page_in(self, self->n_domains, error)) {
    return NULL;
  }
  gem_pager_place_general(self);
  return g_steal_pointer(&self);
}

/* Empty for general. */
static GemPathwaySet
bit_of(const GemPager *self, const GemPagerEntry *entry)
{
  guint index = (guint)(entry - self->entries);

  return index != self->n_domains ? gem_pathway_set_of(index) : 0;
}

void
gem_pager_close_entry(GemPager *self, GemPagerEntry *entry)
{
  GemPathway *pathway = g_steal_pointer(&entry->pathway);

  self->resident &= ~bit_of(self, entry);
  if (entry->placing != NULL) {
    self->n_placing--;
    gem_placing_abandon(g_steal_pointer(&entry->placing));
  }
  g_mutex_lock(&self->mutex);
  entry->state = GEM_PATHWAY_ABSENT;
  entry->on_device = FALSE;
  GemPlacedPathway *beside = g_steal_pointer(&entry->beside);
  entry->resident_bytes = 0;
  entry->beside_bytes = 0;
  g_mutex_unlock(&self->mutex);
  g_clear_pointer(&beside, gem_placed_pathway_free);
  if (pathway != NULL) {
    entry->functions->close(pathway);
  }
  entry->functions = NULL;
  g_clear_pointer(&entry->module, gem_plugin_module_close);
}

void
gem_pager_free(GemPager *self)
{
  if (self == NULL) {
    return;
  }
  for (guint i = 0; i < GEM_MAX_PATHWAYS; i++) {
    gem_pager_close_entry(self, &self->entries[i]);
    gem_pager_clear_learned(&self->entries[i]);
    g_free(self->entries[i].reason);
  }
  g_clear_pointer(&self->general, gem_gguf_unref);
  g_mutex_clear(&self->mutex);
  g_free(self);
}

gboolean
gem_pager_find(GemPager *self, const char *name, guint *ret_index)
{
  for (guint i = 0; i <= self->n_domains; i++) {
    if (g_str_equal(self->entries[i].name, name)) {
      *ret_index = i;
      return TRUE;
    }
  }
  return FALSE;
}

void
gem_pathway_info_free(GemPathwayInfo *info)
{
  g_free(info->domain);
  g_free(info->reason);
  g_free(info->backend);
  for (guint i = 0; i < info->n_places; i++) {
    g_free(info->places[i].backend);
  }
  g_free(info);
}

GemPathwayInfo *
gem_pager_get_info(GemPager *self, guint index)
{
  const GemPagerEntry *entry = &self->entries[index];
  GemPathwayInfo *info = g_new0(GemPathwayInfo, 1);

  info->domain = g_strdup(entry->name);
  g_mutex_lock(&self->mutex);
  info->state = entry->state;
  info->reason = g_strdup(entry->reason);
  info->bits = entry->bits;
  info->file_bytes = entry->file_bytes;
  info->resident_bytes = entry->resident_bytes;
  gem_pager_describe_places(self, entry, info);
  info->pinned = g_atomic_int_get(&entry->pinned);
  g_mutex_unlock(&self->mutex);
  return info;
}

/* Opens module and pathway over `file`; what is open on failure is closed by gem_pager_close_entry. */
static gboolean
open_pathway(GemPager *self, GemPagerEntry *entry, GemGguf *file, GError **error)
{
  entry->module = gem_plugin_loader_open(self->loader, GEM_PLUGIN_PATHWAY, entry->name, error);
  if (entry->module == NULL) {
    return FALSE;
  }
  entry->functions = gem_plugin_module_get(entry->module)->functions;
  entry->pathway = gem_pager_open_in_place(self, entry, file, error);
  return entry->pathway != NULL;
}

gboolean
gem_pager_page_in(GemPager *self, guint index, GError **error)
{
  GemPagerEntry *entry = &self->entries[index];
  g_autoptr(GError) cause = NULL;
  g_autoptr(GemGguf) file = NULL;
  gint64 start = g_get_monotonic_time();

  if (entry->pathway != NULL) {
    return TRUE;
  }
  set_state(self, entry, GEM_PATHWAY_LOADING);
  if (index != self->n_domains) {
    read_ahead(self, entry);
  }
  file = open_file(self, index, &cause);
  if (file == NULL || !open_pathway(self, entry, file, &cause)) {
    gem_pager_close_entry(self, entry);
    refuse(self, entry, cause, error);
    self->counters->page_in_failures++;
    return FALSE;
  }
  self->counters->page_ins += index != self->n_domains ? 1 : 0;
  self->resident |= bit_of(self, entry);
  g_mutex_lock(&self->mutex);
  entry->state = GEM_PATHWAY_RESIDENT;
  g_clear_pointer(&entry->reason, g_free);
  entry->retry_wait = 0;
  entry->bits = gem_pager_bits_of_file(file);
  entry->file_bytes = gem_gguf_get_size(file);
  entry->resident_bytes = entry->functions->resident_bytes(entry->pathway);
  g_mutex_unlock(&self->mutex);
  entry->last_bytes = entry->resident_bytes;
  g_debug("pathway %s paged in: %" G_GUINT64_FORMAT " bytes in %.1f ms", entry->name, entry->resident_bytes,
          (double)(g_get_monotonic_time() - start) / 1e3);
  gem_pager_begin_placing(self, index, file);
  return TRUE;
}

void
gem_pager_expect(GemPager *self, guint index)
{
  const GemPagerEntry *entry = &self->entries[index];

  if (!self->read_ahead || entry->pathway != NULL || entry->reason != NULL) {
    return;
  }
  read_ahead(self, entry);
}

gboolean
gem_pager_need(GemPager *self, guint index, GError **error)
{
  const GemPagerEntry *entry = &self->entries[index];

  if (entry->pathway != NULL) {
    return TRUE;
  }
  if (entry->reason != NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_PATHWAY, "pathway %s: %s", entry->name, entry->reason);
    return FALSE;
  }
  if (!gem_pager_page_in(self, index, error)) {
    gem_log(LOG_WARNING, GEM_LOG_PATHWAY_ABSENT, (const char *[]){"GEM_PATHWAY", entry->name, NULL},
            "pathway %s is absent: %s", entry->name,
            entry->reader != NULL ? "its file does not hold" : entry->reason);
    return FALSE;
  }
  return TRUE;
}

void
gem_pager_set_read_ahead(GemPager *self, gboolean read_ahead)
{
  self->read_ahead = read_ahead;
}

static void
count_page_out(GemPager *self, GemPageOutCause cause)
{
  switch (cause) {
  case GEM_PAGE_OUT_ASKED:
    self->counters->page_outs_asked++;
    break;
  case GEM_PAGE_OUT_RELIEF:
    self->counters->page_outs_relief++;
    break;
  case GEM_PAGE_OUT_BUDGET:
    self->counters->page_outs_budget++;
    break;
  }
}

gboolean
gem_pager_page_out(GemPager *self, guint index, GemPageOutCause cause, GError **error)
{
  if (index == self->n_domains) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_PATHWAY, "pathway general cannot be paged out");
    return FALSE;
  }
  if (self->entries[index].pathway != NULL) {
    gem_pager_close_entry(self, &self->entries[index]);
    count_page_out(self, cause);
    g_debug("pathway %s paged out", self->entries[index].name);
  }
  return TRUE;
}

void
gem_pager_page_out_others(GemPager *self, GemPathwaySet set, GemPageOutCause cause)
{
  GemPathwaySet others = self->resident & ~set;

  while (others != 0) {
    gem_pager_page_out(self, gem_pathway_set_take(&others), cause, NULL);
  }
}

/* Whether one that failed is to be tried again when it is needed; says why. */
static gboolean
may_try_again(GemPager *self, const GemPagerEntry *entry, gint64 now)
{
  GemFileIdentity identity;

  if (entry->retry_wait > 0 && now >= entry->retry_at) {
    g_debug("pathway %s: may be tried again", entry->name);
    return TRUE;
  }
  if (entry->reader != NULL) {
    return FALSE; /* the file of a learned one is always the same */
  }
  gem_model_files_identify_pathway(self->files, entry->name, &identity);
  if (!gem_file_identity_equal(&identity, &entry->tried)) {
    g_debug("pathway %s: its file is another one now", entry->name);
    return TRUE;
  }
  return FALSE;
}

void
gem_pager_look_again(GemPager *self, gint64 now)
{
  for (guint i = 0; i < GEM_MAX_PATHWAYS; i++) {
    GemPagerEntry *entry = &self->entries[i];

    if (entry->reason != NULL && may_try_again(self, entry, now)) {
      g_mutex_lock(&self->mutex);
      g_clear_pointer(&entry->reason, g_free);
      g_mutex_unlock(&self->mutex);
    }
  }
}

void
gem_pager_apply(
    GemPager *self, guint index, guint layer, gboolean on_device, const float *u, guint n, float *y)
{
  const GemPagerEntry *entry = &self->entries[index];
  guint done = on_device ? gem_pager_apply_on_device(self, index, layer, u, n, y) : 0;
  gsize first = (gsize)done * self->shape->width;

  if (done < n && entry->pathway != NULL) {
    entry->functions->apply(entry->pathway, layer, u + first, n - done, y + first);
  }
}

gsize
gem_pager_bytes(GemPager *self)
{
  gsize sum = 0;

  for (guint i = 0; i < GEM_MAX_PATHWAYS; i++) {
    sum += self->entries[i].resident_bytes + self->entries[i].row_values * sizeof(float);
  }
  return sum;
}
