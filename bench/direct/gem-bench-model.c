#include "bench/direct/gem-bench-model.h"

#include "bench/gem-bench-command.h"
#include "daemon/base/gem-version.h"
#include "daemon/engine/gem-sequence-state.h"
#include "dbus/gem-error.h"

/* The least context that the engine takes. */
#define LEAST_CONTEXT 8u
/* How long a device may take for a pathway: what is measured afterwards is to run there. */
#define DEVICE_MICROSECONDS (60 * G_USEC_PER_SEC)

#define MOST_THREADS 256

void
gem_bench_model_options_clear(GemBenchModelOptions *options)
{
  g_clear_pointer(&options->plugin_dirs, g_strfreev);
  g_clear_pointer(&options->backend, g_free);
  g_clear_pointer(&options->cache_dir, g_free);
}

GOptionEntry *
gem_bench_model_entries(GemBenchModelOptions *options)
{
  const GOptionEntry entries[] = {
      {"plugin-dir", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->plugin_dirs,
       "Look for modules here; may be repeated (GEMD_PLUGIN_DIR, and where they are installed)", "DIR"},
      {"backend", 0, 0, G_OPTION_ARG_FILENAME, &options->backend,
       "Run the arithmetic with this module (the one with the highest score)", "NAME"},
      {"cache", 0, 0, G_OPTION_ARG_FILENAME, &options->cache_dir,
       "Let modules keep what they make in DIR, as the service's do in its cache (nowhere)", "DIR"},
      {"threads", 't', 0, G_OPTION_ARG_INT, &options->threads, "Threads that calculate (1)", "N"},
      G_OPTION_ENTRY_NULL,
  };

  options->threads = 1;
  return g_memdup2(entries, sizeof entries);
}

GStrv
gem_bench_model_find_plugin_dirs(const GemBenchModelOptions *options)
{
  const char *path = g_getenv("GEMD_PLUGIN_DIR");
  g_autofree char *joined = path == NULL ? g_strdup(GEM_PLUGIN_DIR)
                                         : g_strjoin(G_SEARCHPATH_SEPARATOR_S, path, GEM_PLUGIN_DIR, NULL);

  return options->plugin_dirs != NULL ? g_strdupv(options->plugin_dirs)
                                      : g_strsplit(joined, G_SEARCHPATH_SEPARATOR_S, -1);
}

void
gem_bench_model_advise(const char *const *plugin_dirs, GError **error)
{
  gboolean found = FALSE;

  for (; *plugin_dirs != NULL && !found; plugin_dirs++) {
    found = g_file_test(*plugin_dirs, G_FILE_TEST_IS_DIR);
  }
  if (!found && error != NULL && g_error_matches(*error, GEM_ERROR, GEM_ERROR_FAILED)) {
    char *message = g_strdup_printf(
        "%s, which is no folder: --plugin-dir or GEMD_PLUGIN_DIR names one with modules", (*error)->message);

    g_free((*error)->message);
    (*error)->message = message;
  }
}

static guint
clusters_in_use(const GemRuntime *runtime)
{
  return runtime->clusters_needed ? runtime->shape->clusters[runtime->cluster_set] : 0;
}

GemBenchModel *
gem_bench_model_open(const GemBenchModelOptions *options, const GemBenchModelWish *wish, GError **error)
{
  g_autoptr(GemBenchModel) self = g_new0(GemBenchModel, 1);
  g_auto(GStrv) plugin_dirs = gem_bench_model_find_plugin_dirs(options);
  GemEngineConfig config = {
      .model_path = wish->path,
      .plugin_dirs = (const char *const *)plugin_dirs,
      .backend = options->backend,
      .threads = (guint)options->threads,
      .attention = wish->attention,
      .clusters = (gint)wish->clusters,
      .cache_dir = options->cache_dir,
      .threshold_percent = -1,
      .context = MAX(wish->context, LEAST_CONTEXT),
  };
  gint64 started = g_get_monotonic_time();

  if (!gem_bench_check_range("threads", options->threads, 1, MOST_THREADS, error)) {
    return NULL;
  }
  self->files = gem_runtime_open_files(&config, NULL, error);
  if (self->files == NULL) {
    return NULL;
  }
  self->runtime = gem_runtime_open(&config, self->files, error);
  if (self->runtime == NULL) {
    gem_bench_model_advise(config.plugin_dirs, error);
    return NULL;
  }
  gem_pager_settle_all(self->runtime->pager, DEVICE_MICROSECONDS);
  self->load_seconds = (double)(g_get_monotonic_time() - started) / G_USEC_PER_SEC;
  gem_bench_weights_count(self->files, clusters_in_use(self->runtime), &self->weights);
  self->threads = (guint)options->threads;
  if (!wish->keep_files) {
    /* What is needed of these two is packed now; names and shape stay. */
    g_clear_pointer(&self->files->general, gem_gguf_unref);
    g_clear_pointer(&self->files->router, gem_gguf_unref);
  }
  return g_steal_pointer(&self);
}

void
gem_bench_model_free(GemBenchModel *self)
{
  g_clear_pointer(&self->runtime, gem_runtime_close);
  g_clear_pointer(&self->files, gem_model_files_free);
  g_free(self);
}

/* ---- what it is ---- */

static const char *
attention_name(const GemBenchModel *self)
{
  return gem_plugin_module_get(self->runtime->attention_module)->name;
}

/* The backend that does everything; borrowed from `backends`. */
static const GemBackendInfo *
backend_in_use(const GemBenchModel *self, const GPtrArray *backends)
{
  const char *name = gem_backend_set_get_name(self->runtime->backends);

  for (guint i = 0; i < backends->len; i++) {
    if (g_str_equal(((const GemBackendInfo *)backends->pdata[i])->name, name)) {
      return backends->pdata[i];
    }
  }
  g_assert_not_reached();
}

char *
gem_bench_model_describe(const GemBenchModel *self)
{
  g_autoptr(GPtrArray) backends = gem_backend_set_list(self->runtime->backends);
  const GemBackendInfo *backend = backend_in_use(self, backends), *device = NULL;
  g_autofree char *beside =
      gem_backend_set_get_device(self->runtime->backends, &device) != NULL
          ? g_strdup_printf(", pathways on %s (%s, %s)", device->name, device->device, device->kernels)
          : g_strdup("");

  return g_strdup_printf("%s, gemd %s, backend %s (%s, threads %u)%s, attention %s", self->files->name,
                         GEM_VERSION, backend->name, backend->kernels, self->threads, beside,
                         attention_name(self));
}

void
gem_bench_model_add_json(const GemBenchModel *self, JsonBuilder *builder)
{
  g_autoptr(GPtrArray) backends = gem_backend_set_list(self->runtime->backends);
  const GemBackendInfo *backend = backend_in_use(self, backends), *device = NULL;

  gem_bench_json_add_string(builder, "version", GEM_VERSION);
  gem_bench_json_add_string(builder, "backend", backend->name);
  gem_bench_json_add_string(builder, "device", backend->device);
  gem_bench_json_add_string(builder, "kernels", backend->kernels);
  if (gem_backend_set_get_device(self->runtime->backends, &device) != NULL) {
    gem_bench_json_add_string(builder, "pathway_backend", device->name);
    gem_bench_json_add_string(builder, "pathway_device", device->device);
    gem_bench_json_add_string(builder, "pathway_kernels", device->kernels);
  }
  gem_bench_json_add_string(builder, "attention", attention_name(self));
  gem_bench_json_add_count(builder, "threads", self->threads);
  gem_bench_json_add_count(builder, "clusters", clusters_in_use(self->runtime));
}

/* ---- pathways ---- */

static gboolean
page_in(GemBenchModel *self, guint domain, GError **error)
{
  if (!gem_pager_page_in(self->runtime->pager, domain, error)) {
    return FALSE;
  }
  gem_pager_settle_all(self->runtime->pager, DEVICE_MICROSECONDS);
  return gem_bench_weights_count_domain(&self->weights, self->files, domain, error);
}

gboolean
gem_bench_model_find_route(GemBenchModel *self, const char *domain, guint8 *ret_route, GError **error)
{
  guint index;

  if (!gem_pager_find(self->runtime->pager, domain, &index)) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN, "%s has no domain '%s'", self->files->name,
                domain);
    return FALSE;
  }
  if (index == self->files->shape.n_domains) {
    *ret_route = GEM_ROUTE_GENERAL;
    return TRUE;
  }
  if (!page_in(self, index, error)) {
    return FALSE;
  }
  *ret_route = (guint8)index;
  return TRUE;
}

gboolean
gem_bench_model_page_in_all(GemBenchModel *self, GError **error)
{
  guint i;

  for (i = 0; i < self->files->shape.n_domains; i++) {
    if (!page_in(self, i, error)) {
      return FALSE;
    }
  }
  return TRUE;
}
