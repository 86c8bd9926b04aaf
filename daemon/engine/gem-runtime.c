#include "daemon/engine/gem-runtime.h"

#include "daemon/engine/gem-room.h"
#include "daemon/plugin/gem-tensor-source.h"

#define DEFAULT_CONTEXT 2048u
#define MIN_CONTEXT     8u
#define MAX_CONTEXT     (1u << 20)

/* Turns an error of a lower domain into one that the bus has a name for. */
static void
take_error(GError **error, GemError code, GError *cause)
{
  if (cause->domain == GEM_ERROR) {
    g_propagate_error(error, cause);
    return;
  }
  g_set_error_literal(error, GEM_ERROR, code, cause->message);
  g_error_free(cause);
}

static gboolean
check_range(const char *option, gint64 value, gint64 low, gint64 high, GError **error)
{
  if (value < low || value > high) {
    gem_error_set_argument(error, option,
                           "%" G_GINT64_FORMAT " is not within %" G_GINT64_FORMAT "..%" G_GINT64_FORMAT,
                           value, low, high);
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_config(const GemEngineConfig *config, GError **error)
{
  if (config->model_path == NULL || config->model_path[0] == '\0') {
    gem_error_set_argument(error, "model_path", "no model is named");
    return FALSE;
  }
  if (config->plugin_dirs == NULL || config->plugin_dirs[0] == NULL) {
    gem_error_set_argument(error, "plugin_dirs", "no folder is named");
    return FALSE;
  }
  return check_range("threshold_percent", config->threshold_percent, -1, 100, error) &&
         check_range("clusters", config->clusters, 0, 256, error) &&
         (config->context == 0 || check_range("context", config->context, MIN_CONTEXT, MAX_CONTEXT, error)) &&
         check_range("prefill_block", config->prefill_block, 0, 4096, error) &&
         check_range("max_sequences", config->max_sequences, 0, 65536, error);
}

GemModelFiles *
gem_runtime_open_files(const GemEngineConfig *config, GemVerified *record, GError **error)
{
  GError *cause = NULL;
  GemModelFiles *files;

  if (!check_config(config, error)) {
    return NULL;
  }
  files = gem_model_files_open_recorded(config->model_path, record, &cause);
  if (files == NULL) {
    take_error(error, GEM_ERROR_MODEL, cause);
  }
  return files;
}

/* The tables of a tokenizer take as long to make as the weights to pack: both at a time. */
typedef struct {
  GemGguf *file;
  GThread *thread; /* NULL: none could be had */
  GemTokenizer *tokenizer;
  GError *error;
} TokenizerWork;

static gpointer
make_tokenizer(gpointer data)
{
  TokenizerWork *work = data;

  work->tokenizer = gem_tokenizer_new_from_gguf(work->file, &work->error);
  return NULL;
}

static void
begin_tokenizer(TokenizerWork *work)
{
  work->thread = g_thread_try_new("tokenizer", make_tokenizer, work, NULL);
  if (work->thread == NULL) {
    make_tokenizer(work);
  }
}

/* Takes what the work came to. */
static gboolean
take_tokenizer(GemRuntime *self, TokenizerWork *work, GError **error)
{
  if (work->thread != NULL) {
    g_thread_join(work->thread);
  }
  if (work->tokenizer == NULL) {
    take_error(error, GEM_ERROR_MODEL, work->error);
    return FALSE;
  }
  self->tokenizer = work->tokenizer;
  self->vocab = gem_tokenizer_n_tokens(self->tokenizer);
  if (self->vocab > self->shape->vocab) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL, "%s: the tokenizer has %u tokens, the embedding %u rows",
                gem_gguf_get_name(self->files->general), self->vocab, self->shape->vocab);
    return FALSE;
  }
  return TRUE;
}

/* The weights that all tokens run through. */
static gboolean
open_model(GemRuntime *self, GError **error)
{
  GError *cause = NULL;

  self->model = gem_model_new(self->files->general, self->shape, self->backend, &cause);
  if (self->model == NULL) {
    take_error(error, GEM_ERROR_MODEL, cause);
    return FALSE;
  }
  return TRUE;
}

static gboolean
open_attention(GemRuntime *self, const GemEngineConfig *config, GError **error)
{
  const char *name = self->shape->n_cluster_sets > 0 ? "scar" : "dense";
  g_autoptr(GemTensorSource) source = gem_tensor_source_new(self->files->general);
  GemPluginError reason = {0};
  GError *cause = NULL;

  if (config->attention != NULL) {
    name = config->attention;
  }
  self->attention_module = gem_plugin_loader_open(self->loader, GEM_PLUGIN_ATTENTION, name, &cause);
  if (self->attention_module == NULL) {
    take_error(error, GEM_ERROR_FAILED, cause);
    return FALSE;
  }
  self->attention_functions = gem_plugin_module_get(self->attention_module)->functions;
  self->attention = self->attention_functions->open(source, &self->plugin_shape, self->backend, &reason);
  if (self->attention == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL, "attention %s: %s", name,
                gem_tensor_source_explain(source, &reason));
    return FALSE;
  }
  self->clusters_needed = self->attention_functions->needs_clusters(self->attention);
  if (self->clusters_needed && self->shape->successors &&
      gem_plugin_module_get(self->attention_module)->abi_minor < 3) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL,
                "attention %s: its plugin is of an ABI before 1.3 and knows no model with scar.successors",
                name);
    return FALSE;
  }
  /* What is out of the window comes back out of the clusters' lists: without them all is kept. */
  self->window = self->clusters_needed ? self->attention_functions->needs_window(self->attention) : G_MAXUINT;
  return gem_runtime_find_cluster_set(self, config->clusters, &self->cluster_set, error);
}

static bool
router_may_go_on(void *data)
{
  const GemRuntime *self = data;

  if (self->beat != NULL) {
    gem_beat_now(self->beat);
  }
  return self->go_on == NULL || self->go_on(self->go_on_data);
}

/* The router, when the model has domains to route to. */
static gboolean
open_router(GemRuntime *self, const GemEngineConfig *config, GError **error)
{
  g_autoptr(GemTensorSource) source = NULL;
  GemPluginError reason = {0};
  GError *cause = NULL;

  self->threshold =
      config->threshold_percent >= 0 ? (float)config->threshold_percent / 100 : self->shape->router_threshold;
  if (self->shape->n_domains == 0) {
    return TRUE;
  }
  self->router_module = gem_plugin_loader_open(self->loader, GEM_PLUGIN_ROUTER, "bert", &cause);
  if (self->router_module == NULL) {
    take_error(error, GEM_ERROR_FAILED, cause);
    return FALSE;
  }
  source = gem_tensor_source_new(self->files->router);
  self->router_functions = gem_plugin_module_get(self->router_module)->functions;
  self->router = self->router_functions->open(source, &self->plugin_shape, self->backend, &reason);
  if (self->router == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL, "router: %s", gem_tensor_source_explain(source, &reason));
    return FALSE;
  }
  if (gem_plugin_module_get(self->router_module)->abi_minor >= 1) {
    self->router_functions->set_go_on(self->router, router_may_go_on, self);
  }
  if (gem_plugin_module_get(self->router_module)->abi_minor >= 2) {
    self->row_width = self->router_functions->row_width(self->router);
  }
  return TRUE;
}

/* All that is needed of the files is packed now: were they what they were verified to be up to here? */
static gboolean
check_files(const GemRuntime *self, GError **error)
{
  GError *cause = NULL;

  if (!gem_model_files_check_unchanged(self->files, &cause)) {
    take_error(error, GEM_ERROR_MODEL, cause);
    return FALSE;
  }
  return TRUE;
}

/* Which pathways may run on a device, and what is remembered of that. */
static void
make_placement(GemRuntime *self, const GemEngineConfig *config)
{
  const GemBackendInfo *info = NULL;
  const GemBackend *device = gem_backend_set_get_device(self->backends, &info);
  GemPlacementOptions options = {
      .backend = gem_backend_set_get_name(self->backends), .device = device, .cache_dir = config->cache_dir};

  if (device != NULL) {
    self->device_identity = gem_backend_set_describe(self->backends, config->threads);
    options.device_name = info->name;
    options.device_identity = self->device_identity;
    options.manifest = self->files->manifest;
    options.model = self->files->name;
    options.forced = config->backend != NULL && g_str_equal(config->backend, info->name);
  }
  self->placement = gem_placement_new(&options, self->loader, &self->plugin_shape);
}

/* All that stays in memory as long as the runtime does, but the tokenizer. */
static gboolean
open_parts(GemRuntime *self, const GemEngineConfig *config, GError **error)
{
  self->plugin_shape = gem_shape_for_plugins(self->shape);
  if (!open_model(self, error) || !open_attention(self, config, error) || !open_router(self, config, error)) {
    return FALSE;
  }
  make_placement(self, config);
  self->pager = gem_pager_new(self->files, self->loader, &self->plugin_shape, self->backend, self->placement,
                              &self->counters.paging, error);
  return self->pager != NULL;
}

static gboolean
open_together(GemRuntime *self, const GemEngineConfig *config, GError **error)
{
  const GemBackendFunctions *functions = self->backend->functions;
  TokenizerWork work = {.file = self->files->general};
  guint64 bytes = gem_gguf_tensor_bytes(self->files->general);
  gboolean opened;

  begin_tokenizer(&work);
  bytes += self->files->router != NULL ? gem_gguf_tensor_bytes(self->files->router) : 0;
  functions->group_begin(self->backend->state, bytes);
  opened = open_parts(self, config, error);
  functions->group_end(self->backend->state);
  /* What failed first has said why. */
  return take_tokenizer(self, &work, opened ? error : NULL) && opened;
}

GemRuntime *
gem_runtime_open(const GemEngineConfig *config, GemModelFiles *files, GError **error)
{
  g_autoptr(GemRuntime) self = g_new0(GemRuntime, 1);

  self->files = files;
  self->shape = &files->shape;
  self->context = config->context > 0 ? config->context : DEFAULT_CONTEXT;
  self->kv_form = (GemKeyValueForm){
      .kv_heads = self->shape->kv_heads, .head_dim = self->shape->head_dim, .half = config->kv_half};
  self->loader = gem_plugin_loader_new(config->plugin_dirs);
  self->backends =
      gem_backend_set_open(self->loader, config->backend, config->threads, config->cache_dir, error);
  if (self->backends == NULL) {
    return NULL;
  }
  self->backend = gem_backend_set_get(self->backends);
  self->kv_tile_bytes = self->backend->functions->kv_tile_bytes(self->backend->state, &self->kv_form);
  self->conversations = g_ptr_array_new();
  if (!open_together(self, config, error) || !check_files(self, error)) {
    return NULL;
  }
  gem_room_init(self);
  return g_steal_pointer(&self);
}

/* What a device that hangs works on: its module and backend, the loader, and the shape in here. It stays, and
 * can be found. */
static void
leave_behind(GemRuntime *self)
{
  static GMutex mutex;
  static GSList *left;

  g_mutex_lock(&mutex);
  left = g_slist_prepend(left, self);
  g_mutex_unlock(&mutex);
}

void
gem_runtime_close(GemRuntime *self)
{
  if (self == NULL) {
    return;
  }
  g_clear_pointer(&self->pager, gem_pager_free);
  gboolean hangs = self->placement != NULL && !gem_placement_free(self->placement);
  if (self->router != NULL) {
    self->router_functions->close(self->router);
  }
  g_clear_pointer(&self->router_module, gem_plugin_module_close);
  if (self->attention != NULL) {
    self->attention_functions->close(self->attention);
  }
  g_clear_pointer(&self->attention_module, gem_plugin_module_close);
  g_clear_pointer(&self->model, gem_model_free);
  g_clear_pointer(&self->tokenizer, gem_tokenizer_unref);
  g_clear_pointer(&self->conversations, g_ptr_array_unref);
  if (hangs) {
    leave_behind(self);
  } else {
    g_clear_pointer(&self->backends, gem_backend_set_free);
    g_clear_pointer(&self->loader, gem_plugin_loader_free);
    g_free(self->device_identity);
    g_free(self);
  }
}

gboolean
gem_runtime_find_cluster_set(const GemRuntime *self, guint clusters, guint *ret_set, GError **error)
{
  g_autoptr(GString) sets = g_string_new(NULL);

  if (clusters == 0) {
    *ret_set = self->cluster_set;
    return TRUE;
  }
  if (!self->clusters_needed) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "clusters", "%u, but the attention in use has none",
                         clusters);
    return FALSE;
  }
  for (guint i = 0; i < self->shape->n_cluster_sets; i++) {
    if (self->shape->clusters[i] == clusters) {
      *ret_set = i;
      return TRUE;
    }
    g_string_append_printf(sets, "%s%u", i > 0 ? ", " : "", self->shape->clusters[i]);
  }
  gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "clusters", "%u is none of the model's sets: %s",
                       clusters, sets->str);
  return FALSE;
}

gsize
gem_runtime_bytes(const GemRuntime *self)
{
  gsize router = self->router != NULL ? self->router_functions->resident_bytes(self->router) : 0;

  return gem_model_bytes(self->model) + router + self->attention_functions->resident_bytes(self->attention) +
         gem_pager_bytes(self->pager) + self->sequence_bytes;
}
