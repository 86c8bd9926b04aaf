/* What callers may say about a run: checked here, before anything is started. */
#include "daemon/engine/gem-engine-private.h"

#include <string.h>

#define MAX_STOP_STRINGS     16u
#define MAX_STOP_BYTES       256u
#define MAX_TEMPERATURE      4.0
#define MAX_SHOWN_CHARACTERS 64

void
gem_run_options_clear(GemRunOptions *options)
{
  g_free(options->domain);
  *options = (GemRunOptions){0};
}

void
gem_generate_options_clear(GemGenerateOptions *options)
{
  gem_run_options_clear(&options->run);
  g_clear_pointer(&options->stop, g_strfreev);
  *options = (GemGenerateOptions){0};
}

void
gem_set_unknown_domain(GError **error, const char *domain)
{
  glong length = g_utf8_validate(domain, -1, NULL) ? g_utf8_strlen(domain, -1) : 0;
  g_autofree char *shown = g_utf8_substring(domain, 0, MIN(length, MAX_SHOWN_CHARACTERS));

  g_set_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN, "the model has no domain “%s”", shown);
}

static gboolean
check_pathway(GemEngine *engine, const char *domain, guint index, GError **error)
{
  g_autoptr(GemPathwayInfo) info = gem_pager_get_info(engine->runtime->pager, index);

  if (info->reason != NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_PATHWAY, "domain: pathway %s is absent: %s", domain,
                info->reason);
    return FALSE;
  }
  return TRUE;
}

/* A learned domain of that name is before the model's own. */
static gboolean
resolve_domain(GemEngine *engine, const char *domain, GemRouting *routing, GError **error)
{
  guint index;

  routing->forced = TRUE;
  if (routing->learned != NULL && gem_learned_view_find(routing->learned, domain, &routing->route)) {
    return check_pathway(engine, domain, routing->route, error);
  }
  if (!gem_pager_find(engine->runtime->pager, domain, &index)) {
    gem_set_unknown_domain(error, domain);
    return FALSE;
  }
  routing->route = index < engine->runtime->shape->n_domains ? (guint8)index : GEM_ROUTE_GENERAL;
  return check_pathway(engine, domain, index, error);
}

gboolean
gem_run_options_resolve(GemEngine *engine,
                        const GemRunOptions *options,
                        GemRouting *ret_routing,
                        guint *ret_cluster_set,
                        GError **error)
{
  static const GemRunOptions defaults = {0};
  g_autoptr(GemLearnedView) learned = NULL;
  GemRouting routing = {0};
  guint cluster_set;

  options = options != NULL ? options : &defaults;
  learned = gem_learned_list_view(&engine->learned, engine->runtime->shape, options->owner);
  routing.learned = learned;
  if (options->domain != NULL && !resolve_domain(engine, options->domain, &routing, error)) {
    return FALSE;
  }
  if (!gem_runtime_find_cluster_set(engine->runtime, options->clusters, &cluster_set, error)) {
    return FALSE;
  }
  routing.degrade = options->page_in == GEM_PAGE_IN_DEGRADE;
  *ret_routing = routing;
  ret_routing->learned = g_steal_pointer(&learned);
  *ret_cluster_set = cluster_set;
  return TRUE;
}

static gboolean
check_stop(char *const *stop, GError **error)
{
  guint n = stop != NULL ? g_strv_length((GStrv)stop) : 0;

  if (n > MAX_STOP_STRINGS) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "stop", "%u strings, at most %u", n,
                         MAX_STOP_STRINGS);
    return FALSE;
  }
  for (guint i = 0; i < n; i++) {
    gsize length = strlen(stop[i]);

    if (length == 0 || length > MAX_STOP_BYTES || !g_utf8_validate(stop[i], (gssize)length, NULL)) {
      gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "stop",
                           "string %u has to be UTF-8 of 1..%u bytes, it has %" G_GSIZE_FORMAT, i,
                           MAX_STOP_BYTES, length);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
gem_generate_options_check(GemEngine *engine, const GemGenerateOptions *options, GError **error)
{
  guint context = engine->runtime->context;

  if (options->max_tokens > context) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "max_tokens", "%u is not within 1..%u",
                         options->max_tokens, context);
    return FALSE;
  }
  /* Written so that a NaN fails too. */
  if (!(options->temperature >= 0 && options->temperature <= MAX_TEMPERATURE)) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "temperature", "%g is not within 0..%g",
                         options->temperature, MAX_TEMPERATURE);
    return FALSE;
  }
  if (!(options->top_p >= 0 && options->top_p <= 1)) {
    gem_error_set_option(error, GEM_ERROR_INVALID_OPTION, "top_p", "%g is not within 0..1", options->top_p);
    return FALSE;
  }
  return check_stop(options->stop, error);
}
