#include "daemon/plugin/gem-backend-set.h"

#include <string.h>

#include "daemon/base/gem-device-call.h"
#include "daemon/base/gem-log.h"
#include "daemon/plugin/gem-tensor-source.h"
#include "dbus/gem-error.h"

typedef struct {
  GemBackendInfo info;
  GemPluginModule *module;       /* NULL: refused, or closed since it is not in use */
  GemBackendFunctions functions; /* of the module; what its ABI does not have yet is NULL */
  GemProbeResult result;
  char *settings; /* what its results depend on beside versions and device, as it says; NULL: not known */
} Candidate;

struct GemBackendSet {
  GPtrArray *candidates; /* of Candidate */
  const Candidate *backend_candidate;
  GemBackend backend;
  const Candidate *device_candidate; /* NULL: there is none */
  GemBackend device;
};

static void
clear_info(GemBackendInfo *info)
{
  g_free(info->name);
  g_free(info->version);
  g_free(info->device);
  g_free(info->kernels);
  g_free(info->reason);
}

void
gem_backend_info_free(GemBackendInfo *info)
{
  clear_info(info);
  g_free(info);
}

GemBackendInfo *
gem_backend_info_copy(const GemBackendInfo *info)
{
  GemBackendInfo *copy = g_new0(GemBackendInfo, 1);

  copy->name = g_strdup(info->name);
  copy->version = g_strdup(info->version);
  copy->device = g_strdup(info->device);
  copy->kernels = g_strdup(info->kernels);
  copy->reason = g_strdup(info->reason);
  copy->score = info->score;
  copy->in_use = info->in_use;
  copy->deferred = info->deferred;
  return copy;
}

static void
candidate_free(Candidate *candidate)
{
  g_clear_pointer(&candidate->module, gem_plugin_module_close);
  clear_info(&candidate->info);
  g_free(candidate->settings);
  g_free(candidate);
}

static void
copy_functions(Candidate *candidate)
{
  const GemPlugin *plugin = gem_plugin_module_get(candidate->module);
  memcpy(&candidate->functions, plugin->functions, MIN(plugin->functions_size, sizeof candidate->functions));
}

/* Runs whole pathways, and nothing else. */
static gboolean
is_device(const Candidate *candidate)
{
  return candidate->functions.compile != NULL;
}

/* Text of a module's fixed array as UTF-8, whatever it holds. */
static char *
take_text(const char *array, gsize size)
{
  return g_utf8_make_valid(array, (gssize)strnlen(array, size));
}

static Candidate *
probe_candidate(const GemPluginLoader *loader, const char *name)
{
  Candidate *candidate = g_new0(Candidate, 1);
  g_autoptr(GError) error = NULL;
  GemProbeReport report = {0};

  candidate->info.name = g_strdup(name);
  candidate->module = gem_plugin_loader_open(loader, GEM_PLUGIN_BACKEND, name, &error);
  if (candidate->module == NULL) {
    candidate->info.version = g_strdup("");
    candidate->info.device = g_strdup("");
    candidate->info.kernels = g_strdup("");
    candidate->info.reason = g_strdup(error->message);
    return candidate;
  }
  copy_functions(candidate);
  candidate->result = candidate->functions.probe(&report);
  candidate->info.version = g_strdup(gem_plugin_module_get(candidate->module)->version);
  candidate->info.device = take_text(report.device, sizeof report.device);
  candidate->info.kernels = take_text(report.kernels, sizeof report.kernels);
  candidate->info.score = report.score;
  candidate->info.deferred = candidate->result == GEM_PROBE_DEFERRED && is_device(candidate);
  char **text = candidate->result != GEM_PROBE_SUPPORTED ? &candidate->info.reason : &candidate->settings;
  *text = take_text(report.reason, sizeof report.reason);
  return candidate;
}

static const Candidate *
find(GPtrArray *candidates, const char *name)
{
  for (guint i = 0; i < candidates->len; i++) {
    const Candidate *candidate = candidates->pdata[i];

    if (g_str_equal(name, candidate->info.name)) {
      return candidate;
    }
  }
  return NULL;
}

gboolean
gem_backend_set_is_there(const GemPluginLoader *loader, const char *name)
{
  gem_device_call_begin();
  Candidate *candidate = probe_candidate(loader, name);
  gboolean supported = candidate->result == GEM_PROBE_SUPPORTED;

  candidate_free(candidate);
  gem_device_call_end();
  return supported;
}

/* The supported candidate called `name`, or the one with the highest score; the first of equals. Of devices,
 * or of those that do everything. */
static Candidate *
choose(GPtrArray *candidates, const char *name, gboolean device)
{
  Candidate *best = NULL;

  for (guint i = 0; i < candidates->len; i++) {
    Candidate *candidate = candidates->pdata[i];

    if (candidate->result != GEM_PROBE_SUPPORTED || is_device(candidate) != device ||
        (name != NULL && !g_str_equal(name, candidate->info.name))) {
      continue;
    }
    if (best == NULL || candidate->info.score > best->info.score) {
      best = candidate;
    }
  }
  return best;
}

static void
set_none_usable(const GemPluginLoader *loader, GPtrArray *candidates, const char *name, GError **error)
{
  g_autoptr(GString) reasons = g_string_new(NULL);

  for (guint i = 0; i < candidates->len; i++) {
    const Candidate *candidate = candidates->pdata[i];

    if (name == NULL || g_str_equal(name, candidate->info.name)) {
      g_string_append_printf(reasons, "; %s: %s", candidate->info.name,
                             candidate->info.reason != NULL ? candidate->info.reason : "runs pathways alone");
    }
  }
  if (reasons->len == 0) {
    g_autofree char *dirs = gem_plugin_loader_describe_dirs(loader);
    g_string_append_printf(reasons, "; there is no such module in %s", dirs);
  }
  g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "backend %s cannot be used%s",
              name != NULL ? name : "of any kind", reasons->str);
}

static gboolean
open_backend(Candidate *candidate, const GemBackendOptions *options, GemBackend *ret_backend, GError **error)
{
  GemPluginError reason = {0};
  GemBackendState *state = candidate->functions.open(options, &reason);

  if (state == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "backend %s: %s", candidate->info.name, reason.message);
    return FALSE;
  }
  *ret_backend = (GemBackend){.functions = &candidate->functions, .state = state};
  candidate->info.in_use = TRUE;
  return TRUE;
}

/* One that fails to open is as good as none: the reason is told, and the other backend does everything. */
static void
open_device(GemBackendSet *self, Candidate *device, const GemBackendOptions *options)
{
  g_autoptr(GError) error = NULL;

  if (open_backend(device, options, &self->device, &error)) {
    self->device_candidate = device;
  } else {
    g_free(device->info.reason);
    device->info.reason = g_strdup(error->message);
  }
}

/* The administrator wants to know of a device that was named and is not used. */
static void
warn_of_missing(const GemBackendSet *self, const Candidate *named)
{
  if (named != NULL && is_device(named) && self->device_candidate != named) {
    gem_log(LOG_WARNING, GEM_LOG_DEVICE_MISSING, (const char *[]){"GEM_BACKEND", named->info.name, NULL},
            "Backend=%s is not used, and backend %s does everything: %s", named->info.name,
            self->backend_candidate->info.name, named->info.reason);
  }
}

static void
close_others(GPtrArray *candidates)
{
  for (guint i = 0; i < candidates->len; i++) {
    Candidate *candidate = candidates->pdata[i];

    if (!candidate->info.in_use) {
      g_clear_pointer(&candidate->module, gem_plugin_module_close);
    }
  }
}

static GemBackendSet *
open_set(
    const GemPluginLoader *loader, const char *name, guint threads, const char *cache_dir, GError **error)
{
  const GemBackendOptions options = {.struct_size = sizeof options,
                                     .threads = threads,
                                     .cache_dir = cache_dir,
                                     .locate = gem_tensor_source_locate};
  g_autoptr(GemBackendSet) self = g_new0(GemBackendSet, 1);
  g_auto(GStrv) names = gem_plugin_loader_list(loader, GEM_PLUGIN_BACKEND);

  self->candidates = g_ptr_array_new_with_free_func((GDestroyNotify)candidate_free);
  for (char **each = names; *each != NULL; each++) {
    g_ptr_array_add(self->candidates, probe_candidate(loader, *each));
  }
  const Candidate *named = name != NULL ? find(self->candidates, name) : NULL;
  gboolean names_device = named != NULL && is_device(named);
  Candidate *device = choose(self->candidates, name, TRUE);
  /* A device that is named needs another one beside it, and the more so when it cannot be used; one that is
   * named and does everything is alone. */
  Candidate *best = choose(self->candidates, names_device ? NULL : name, FALSE);
  if (best == NULL) {
    set_none_usable(loader, self->candidates, names_device ? NULL : name, error);
    return NULL;
  }
  if (!open_backend(best, &options, &self->backend, error)) {
    return NULL;
  }
  self->backend_candidate = best;
  if (device != NULL) {
    open_device(self, device, &options);
  }
  warn_of_missing(self, named);
  close_others(self->candidates);
  return g_steal_pointer(&self);
}

GemBackendSet *
gem_backend_set_open(
    const GemPluginLoader *loader, const char *name, guint threads, const char *cache_dir, GError **error)
{
  gem_device_call_begin();
  GemBackendSet *self = open_set(loader, name, threads, cache_dir, error);
  gem_device_call_end();
  return self;
}

void
gem_backend_set_free(GemBackendSet *self)
{
  if (self == NULL) {
    return;
  }
  if (self->device.state != NULL) {
    self->device.functions->close(self->device.state);
  }
  if (self->backend.state != NULL) {
    self->backend.functions->close(self->backend.state);
  }
  g_ptr_array_unref(self->candidates);
  g_free(self);
}

const char *
gem_backend_set_get_name(GemBackendSet *self)
{
  return self->backend_candidate->info.name;
}

/* A module that is built anew may do the same in another way. */
static char *
hash_module(const Candidate *candidate)
{
  const char *path = gem_plugin_module_get_path(candidate->module);
  g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, NULL);

  return file != NULL ? g_compute_checksum_for_data(G_CHECKSUM_SHA256,
                                                    (const guchar *)g_mapped_file_get_contents(file),
                                                    g_mapped_file_get_length(file))
                      : g_strdup("");
}

static char *
describe_candidate(const Candidate *candidate)
{
  const GemBackendInfo *info = &candidate->info;
  g_autofree char *hash = hash_module(candidate);

  return g_strdup_printf("%s %s %.16s, %s, %s, %s", info->name, info->version, hash, info->device,
                         info->kernels, candidate->settings);
}

char *
gem_backend_set_describe(GemBackendSet *self, guint threads)
{
  g_autofree char *backend = describe_candidate(self->backend_candidate);
  g_autofree char *device =
      self->device_candidate != NULL ? describe_candidate(self->device_candidate) : g_strdup("no device");

  return g_strdup_printf("%s; beside %s, threads %u of %u", device, backend, threads, g_get_num_processors());
}

const GemBackend *
gem_backend_set_get_device(GemBackendSet *self, const GemBackendInfo **ret_info)
{
  if (self->device_candidate == NULL) {
    return NULL;
  }
  if (ret_info != NULL) {
    *ret_info = &self->device_candidate->info;
  }
  return &self->device;
}

const GemBackend *
gem_backend_set_get(GemBackendSet *self)
{
  return &self->backend;
}

GPtrArray *
gem_backend_set_list(GemBackendSet *self)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)gem_backend_info_free);

  for (guint i = 0; i < self->candidates->len; i++) {
    g_ptr_array_add(list, gem_backend_info_copy(&((const Candidate *)self->candidates->pdata[i])->info));
  }
  return list;
}
