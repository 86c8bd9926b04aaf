#include "daemon/engine/gem-backend-set.h"

#include <string.h>

typedef struct {
  GemBackendInfo info;
  GemPluginModule *module; /* NULL: refused, or closed since it is not in use */
  GemProbeResult result;
} Candidate;

struct GemBackendSet {
  GPtrArray *candidates; /* of Candidate */
  GemBackend backend;
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
  return copy;
}

static void
candidate_free(Candidate *candidate)
{
  g_clear_pointer(&candidate->module, gem_plugin_module_close);
  clear_info(&candidate->info);
  g_free(candidate);
}

static const GemBackendFunctions *
functions_of(const Candidate *candidate)
{
  return gem_plugin_module_get(candidate->module)->functions;
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
  candidate->result = functions_of(candidate)->probe(&report);
  candidate->info.version = g_strdup(gem_plugin_module_get(candidate->module)->version);
  candidate->info.device = take_text(report.device, sizeof report.device);
  candidate->info.kernels = take_text(report.kernels, sizeof report.kernels);
  candidate->info.score = report.score;
  if (candidate->result != GEM_PROBE_SUPPORTED) {
    candidate->info.reason = take_text(report.reason, sizeof report.reason);
  }
  return candidate;
}

/* The supported candidate called `name`, or the one with the highest score; the first of equals. */
static Candidate *
choose(GPtrArray *candidates, const char *name)
{
  Candidate *best = NULL;

  for (guint i = 0; i < candidates->len; i++) {
    Candidate *candidate = candidates->pdata[i];

    if (candidate->result != GEM_PROBE_SUPPORTED ||
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
set_none_usable(GPtrArray *candidates, const char *name, GError **error)
{
  g_autoptr(GString) reasons = g_string_new(NULL);

  for (guint i = 0; i < candidates->len; i++) {
    const Candidate *candidate = candidates->pdata[i];

    if (name == NULL || g_str_equal(name, candidate->info.name)) {
      g_string_append_printf(reasons, "; %s: %s", candidate->info.name, candidate->info.reason);
    }
  }
  if (reasons->len == 0) {
    g_string_append(reasons, "; there is no such module");
  }
  g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "backend %s cannot be used%s",
              name != NULL ? name : "of any kind", reasons->str);
}

GemBackendSet *
gem_backend_set_open(const GemPluginLoader *loader, const char *name, guint threads, GError **error)
{
  const GemBackendOptions options = {.struct_size = sizeof options, .threads = threads};
  g_autoptr(GemBackendSet) self = g_new0(GemBackendSet, 1);
  g_auto(GStrv) names = gem_plugin_loader_list(loader, GEM_PLUGIN_BACKEND);
  GemPluginError reason = {0};
  Candidate *best;

  self->candidates = g_ptr_array_new_with_free_func((GDestroyNotify)candidate_free);
  for (char **each = names; *each != NULL; each++) {
    g_ptr_array_add(self->candidates, probe_candidate(loader, *each));
  }
  best = choose(self->candidates, name);
  if (best == NULL) {
    set_none_usable(self->candidates, name, error);
    return NULL;
  }
  self->backend.functions = functions_of(best);
  self->backend.state = self->backend.functions->open(&options, &reason);
  if (self->backend.state == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_FAILED, "backend %s: %s", best->info.name, reason.message);
    return NULL;
  }
  best->info.in_use = TRUE;
  for (guint i = 0; i < self->candidates->len; i++) {
    Candidate *other = self->candidates->pdata[i];

    if (other != best) {
      g_clear_pointer(&other->module, gem_plugin_module_close);
    }
  }
  return g_steal_pointer(&self);
}

void
gem_backend_set_free(GemBackendSet *self)
{
  if (self == NULL) {
    return;
  }
  if (self->backend.state != NULL) {
    self->backend.functions->close(self->backend.state);
  }
  g_ptr_array_unref(self->candidates);
  g_free(self);
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
