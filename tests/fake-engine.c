/* The fake engine itself: loading, properties, and pathways that come and go at once (see fake-engine.h). */
#include "tests/fake-engine.h"

#include <sys/stat.h>

G_DEFINE_TYPE(GemEngine, gem_engine, G_TYPE_OBJECT)

static const char *const domains[] = {"legal", "stem", "broken", NULL};
/* Of the model "other". */
static const char *const other_domains[] = {"stem", "music", NULL};
static const char *const pathway_names[] = {"general", "legal", "stem", "broken", "music", NULL};

/* ---- engine ---- */

static void
gem_engine_finalize(GObject *object)
{
  g_ptr_array_unref(GEM_ENGINE(object)->running);
  g_ptr_array_unref(GEM_ENGINE(object)->additions);
  g_free(GEM_ENGINE(object)->name);
  G_OBJECT_CLASS(gem_engine_parent_class)->finalize(object);
}

static void
gem_engine_class_init(GemEngineClass *klass)
{
  G_OBJECT_CLASS(klass)->finalize = gem_engine_finalize;
}

static void
gem_engine_init(GemEngine *self)
{
  self->running = g_ptr_array_new();
  self->additions = g_ptr_array_new_with_free_func(g_object_unref);
  for (guint i = 0; i < G_N_ELEMENTS(self->paged_in); i++) {
    self->paged_in[i] = i != 3;
  }
}

GemEngine *
gem_engine_new(const GemEngineConfig *config, GError **error)
{
  static const char *const known[] = {"ok", "slow", "other", "mute", NULL};
  g_autofree char *name = g_path_get_basename(config->model_path);
  g_autofree char *held = g_build_filename(config->model_path, "hold", NULL);
  GemEngine *self;

  if (!g_strv_contains(known, name)) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_MODEL, "%s: general.gguf is missing", config->model_path);
    return NULL;
  }
  if (g_str_equal(name, "slow")) {
    g_usleep(G_USEC_PER_SEC / 2);
  }
  while (g_file_test(held, G_FILE_TEST_EXISTS)) {
    g_usleep(1000);
  }
  self = g_object_new(GEM_TYPE_ENGINE, NULL);
  self->name = g_strdup(g_str_equal(name, "ok") || g_str_equal(name, "slow") ? "fake" : name);
  self->max_sequences = config->max_sequences;
  return self;
}

void
gem_engine_stop(GemEngine *self)
{
  if (self->stopped) {
    return;
  }
  self->stopped = TRUE;
  for (guint i = 0; i < self->running->len; i++) {
    gem_fake_generation_shut_down(g_ptr_array_index(self->running, i));
  }
}

static gboolean
return_stopped(gpointer data)
{
  g_autoptr(GTask) task = data;

  g_task_return_boolean(task, TRUE);
  return G_SOURCE_REMOVE;
}

/* After the turns have ended, each in an idle source of its own. */
void
gem_engine_stop_async(GemEngine *self, GAsyncReadyCallback callback, gpointer data)
{
  gem_engine_stop(self);
  g_idle_add(return_stopped, g_task_new(self, NULL, callback, data));
}

void
gem_engine_stop_finish(GemEngine *self, GAsyncResult *result)
{
  g_task_propagate_boolean(G_TASK(result), NULL);
}

const char *
gem_engine_get_model_name(GemEngine *self)
{
  return self->name;
}

const char *
gem_engine_get_model_digest(GemEngine *self)
{
  return "0123456789abcdef";
}

/* One that has no files. */
const char *
gem_engine_get_file_sha256(GemEngine *self, const char *file)
{
  return self->learns ? file : NULL;
}

const char *
gem_engine_get_model_path(GemEngine *self)
{
  return "/fake";
}

guint
gem_engine_get_context(GemEngine *self)
{
  return GEM_FAKE_CONTEXT;
}

const char *const *
gem_engine_get_domains(GemEngine *self)
{
  return g_str_equal(self->name, "other") ? other_domains : domains;
}

GStrv
gem_engine_list_domains_of(GemEngine *self, guint owner)
{
  return g_strdupv((GStrv)gem_engine_get_domains(self));
}

const char *
gem_engine_get_attention(GemEngine *self)
{
  return "scar";
}

double
gem_engine_get_threshold(GemEngine *self)
{
  return 0.7;
}

guint64
gem_engine_get_resident_bytes(GemEngine *self)
{
  return 1000;
}

void
gem_engine_set_memory_limit(GemEngine *self, guint64 bytes)
{
  self->memory_limit = bytes;
  g_debug("model %s may take %" G_GUINT64_FORMAT " bytes", self->name, bytes);
}

guint64
gem_engine_get_fixed_bytes(GemEngine *self)
{
  return 900;
}

void
gem_engine_set_page_in(GemEngine *self, GemPageIn page_in)
{
  self->page_in = page_in;
}

/* A hundred bytes a step. */
void
gem_engine_relieve_async(
    GemEngine *self, GemRelief step, GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);

  g_debug("model %s: relief %u", self->name, (guint)step);
  self->counters.relief_steps[step]++;
  self->counters.relief_bytes += 100 * (guint64)step;
  g_task_return_int(task, 100 * (gssize)step);
}

gboolean
gem_engine_relieve_finish(GemEngine *self, GAsyncResult *result, guint64 *ret_freed_bytes, GError **error)
{
  gssize freed = g_task_propagate_int(G_TASK(result), error);

  if (freed < 0) {
    return FALSE;
  }
  if (ret_freed_bytes != NULL) {
    *ret_freed_bytes = (guint64)freed;
  }
  return TRUE;
}

void
gem_engine_get_counters(GemEngine *self, GemEngineCounters *ret_counters)
{
  *ret_counters = self->counters;
}

/* As if it had been busy for ten seconds. */
void
gem_engine_get_load(GemEngine *self, GemEngineLoad *ret_load)
{
  *ret_load = (GemEngineLoad){.tokens = 700, .tokens_per_second = 70, .running = 1};
}

gint64
gem_engine_get_last_beat(GemEngine *self)
{
  return g_get_monotonic_time();
}

void
gem_backend_info_free(GemBackendInfo *info)
{
  g_free(info->name);
  g_free(info->version);
  g_free(info->device);
  g_free(info->kernels);
  g_free(info->reason);
  g_free(info);
}

void
gem_engine_try_devices_again(GemEngine *self)
{
  g_debug("model %s tries devices again", self->name);
}

void
gem_engine_look_for_devices_async(GemEngine *self,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);

  g_task_return_boolean(task, FALSE);
}

gboolean
gem_engine_look_for_devices_finish(GemEngine *self, GAsyncResult *result)
{
  return g_task_propagate_boolean(G_TASK(result), NULL);
}

GPtrArray *
gem_engine_list_backends(GemEngine *self)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)gem_backend_info_free);
  GemBackendInfo *info = g_new0(GemBackendInfo, 1);

  info->name = g_strdup("cpu");
  info->version = g_strdup("1.0");
  info->device = g_strdup(g_str_equal(self->name, "other") ? "another" : "none");
  info->kernels = g_strdup("fake");
  info->score = 10;
  info->in_use = TRUE;
  g_ptr_array_add(list, info);
  return list;
}

/* ---- pathways ---- */

static int
pathway_index(const char *domain)
{
  for (int i = 0; pathway_names[i] != NULL; i++) {
    if (g_str_equal(pathway_names[i], domain)) {
      return i;
    }
  }
  return -1;
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
gem_engine_get_pathway(GemEngine *self, const char *domain)
{
  int index = pathway_index(domain);
  GemPathwayInfo *info;

  if (index < 0 || self->stopped) {
    return NULL;
  }
  info = g_new0(GemPathwayInfo, 1);
  info->domain = g_strdup(domain);
  info->state = self->paged_in[index] ? GEM_PATHWAY_RESIDENT : GEM_PATHWAY_ABSENT;
  info->reason = index == 3 ? g_strdup("pathway-broken.gguf is missing") : NULL;
  info->bits = index == 0 ? 8 : 4;
  info->backend = self->paged_in[index] ? g_strdup("fake") : NULL;
  if (self->paged_in[index] && index == 1) { /* as where a device is better at blocks alone */
    info->n_places = 2;
    info->places[0] =
        (GemPathwayPlace){.rows = 1, .backend = g_strdup("fake"), .us = 10.5, .device_us = 21.0};
    info->places[1] =
        (GemPathwayPlace){.rows = 64, .backend = g_strdup("npu"), .us = 640.0, .device_us = 64.25};
  }
  info->file_bytes = 4096;
  info->resident_bytes = self->paged_in[index] ? 5000 + self->holds[index] : 0;
  info->pinned = self->pinned[index];
  return info;
}

static void
page_async(GemEngine *self, const char *domain, gboolean in, GAsyncReadyCallback callback, gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, NULL, callback, data);
  int index = pathway_index(domain);

  if (index == 0 && !in) {
    g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_PATHWAY, "general cannot be paged out");
  } else if (index == 3) {
    g_task_return_new_error(task, GEM_ERROR, GEM_ERROR_PATHWAY, "pathway-broken.gguf is missing");
  } else {
    self->paged_in[index] = in;
    g_task_return_boolean(task, TRUE);
  }
}

void
gem_engine_page_in_async(GemEngine *self,
                         const char *domain,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer data)
{
  page_async(self, domain, TRUE, callback, data);
}

void
gem_engine_page_out_async(GemEngine *self,
                          const char *domain,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data)
{
  page_async(self, domain, FALSE, callback, data);
}

void
gem_engine_hold_pathway(GemEngine *self, const char *domain)
{
  self->holds[pathway_index(domain)]++;
}

void
gem_engine_release_pathway(GemEngine *self, const char *domain)
{
  g_assert(self->holds[pathway_index(domain)]-- > 0);
}

void
gem_engine_set_pinned(GemEngine *self, const char *domain, gboolean pinned)
{
  self->pinned[pathway_index(domain)] = pinned;
}

gboolean
gem_engine_page_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean(G_TASK(result), error);
}

/* ---- learned domains: whoever looks at a test's own knows when they are there ---- */

void
gem_engine_add_learned_async(GemEngine *self,
                             const GemLearnedDomain *domain,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer data)
{
  GTask *task = g_task_new(self, cancellable, callback, data);
  struct stat status;

  g_assert_cmpint(fstat(domain->fd, &status), ==, 0);
  g_task_set_task_data(task, GSIZE_TO_POINTER((gsize)status.st_size), NULL);
  g_ptr_array_add(self->additions, task);
}

gboolean
gem_engine_add_learned_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean(G_TASK(result), error);
}

void
gem_engine_remove_learned_async(GemEngine *self,
                                guint owner,
                                const char *name,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);

  self->learned_bytes = 0;
  g_task_return_boolean(task, TRUE);
}

gboolean
gem_engine_remove_learned_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean(G_TASK(result), error);
}

gboolean
gem_engine_share_learned(GemEngine *self, guint owner, const char *name, gboolean shared, GError **error)
{
  return TRUE;
}

void
gem_fake_end_addition(GemEngine *self, guint which, GError *error)
{
  g_autoptr(GTask) task = g_ptr_array_steal_index(self->additions, which);

  if (error != NULL) {
    g_task_return_error(task, error);
  } else {
    self->learned_bytes = GPOINTER_TO_SIZE(g_task_get_task_data(task));
    g_task_return_boolean(task, TRUE);
  }
}
