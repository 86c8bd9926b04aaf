#include "clients/gem-client/gem-client-run-options.h"

#include <math.h>
#include <stdarg.h>

void
gem_run_arguments_clear(GemRunArguments *arguments)
{
  g_clear_pointer(&arguments->domain, g_free);
  g_clear_pointer(&arguments->clusters, g_free);
  g_clear_pointer(&arguments->priority, g_free);
}

void
gem_generate_arguments_clear(GemGenerateArguments *arguments)
{
  g_clear_pointer(&arguments->max_tokens, g_free);
  g_clear_pointer(&arguments->temperature, g_free);
  g_clear_pointer(&arguments->top_k, g_free);
  g_clear_pointer(&arguments->top_p, g_free);
  g_clear_pointer(&arguments->seed, g_free);
  g_clear_pointer(&arguments->stop, g_strfreev);
}

GOptionEntry *
gem_run_arguments_entries(GemRunArguments *arguments)
{
  const GOptionEntry entries[] = {
      {"domain", 0, 0, G_OPTION_ARG_FILENAME, &arguments->domain,
       "Run this pathway for every token (general: none) in place of the router's choice", "DOMAIN"},
      {"clusters", 0, 0, G_OPTION_ARG_STRING, &arguments->clusters,
       "Clusters of sparse attention, such as 16, or 8 to save power (the service's own)", "K"},
      {"priority", 0, 0, G_OPTION_ARG_FILENAME, &arguments->priority,
       "interactive (the default), or batch: after what others wait for", "PRIORITY"},
      G_OPTION_ENTRY_NULL,
  };

  return g_memdup2(entries, sizeof entries);
}

GOptionEntry *
gem_generate_arguments_entries(GemGenerateArguments *arguments)
{
  const GOptionEntry entries[] = {
      {"max-tokens", 'n', 0, G_OPTION_ARG_STRING, &arguments->max_tokens,
       "Stop after N tokens (256, or as many as the context has room for)", "N"},
      {"temperature", 't', 0, G_OPTION_ARG_STRING, &arguments->temperature,
       "0: always the likeliest token (the default); up to 4", "T"},
      {"top-k", 0, 0, G_OPTION_ARG_STRING, &arguments->top_k,
       "Draw from the K likeliest tokens (0: from all)", "K"},
      {"top-p", 0, 0, G_OPTION_ARG_STRING, &arguments->top_p,
       "Draw from the likeliest tokens that make up P of the probability (1: from all)", "P"},
      {"seed", 0, 0, G_OPTION_ARG_STRING, &arguments->seed,
       "Draw the same way each time (another way each time)", "SEED"},
      {"stop", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->stop,
       "End the answer before TEXT; may be given several times", "TEXT"},
      {"raw", 0, 0, G_OPTION_ARG_NONE, &arguments->raw, "Go on with the text, without the model's template",
       NULL},
      {"slide", 0, 0, G_OPTION_ARG_NONE, &arguments->slide,
       "When the context is full, forget its older half and go on", NULL},
      G_OPTION_ENTRY_NULL,
  };

  return g_memdup2(entries, sizeof entries);
}

/* FALSE, with an error that names the option: "max_tokens" is --max-tokens. */
static gboolean G_GNUC_PRINTF(3, 4) refuse(GError **error, const char *key, const char *format, ...)
{
  g_autofree char *option = g_strdelimit(g_strdup(key), "_", '-');
  g_autofree char *message = NULL;
  va_list arguments;

  va_start(arguments, format);
  message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s: %s", option, message);
  return FALSE;
}

static gboolean
add_unsigned(
    GVariantDict *dict, const char *key, const char *type, const char *text, guint64 limit, GError **error)
{
  guint64 value;

  if (text == NULL) {
    return TRUE;
  }
  if (!g_ascii_string_to_unsigned(text, 10, 0, limit, &value, NULL)) {
    return refuse(error, key, "'%s' is no whole number from 0 to %" G_GUINT64_FORMAT, text, limit);
  }
  g_variant_dict_insert_value(
      dict, key, *type == 'u' ? g_variant_new_uint32((guint32)value) : g_variant_new_uint64(value));
  return TRUE;
}

static gboolean
add_double(GVariantDict *dict, const char *key, const char *text, GError **error)
{
  char *end = NULL;
  double value;

  if (text == NULL) {
    return TRUE;
  }
  value = g_ascii_strtod(text, &end);
  if (end == text || *end != '\0' || !isfinite(value)) {
    return refuse(error, key, "'%s' is no number", text);
  }
  g_variant_dict_insert(dict, key, "d", value);
  return TRUE;
}

/* D-Bus carries UTF-8 alone. */
static gboolean
add_string(GVariantDict *dict, const char *key, const char *text, GError **error)
{
  if (text == NULL) {
    return TRUE;
  }
  if (!g_utf8_validate(text, -1, NULL)) {
    return refuse(error, key, "not UTF-8");
  }
  g_variant_dict_insert(dict, key, "s", text);
  return TRUE;
}

static gboolean
add_strings(GVariantDict *dict, const char *key, GStrv texts, GError **error)
{
  guint i;

  for (i = 0; texts != NULL && texts[i] != NULL; i++) {
    if (!g_utf8_validate(texts[i], -1, NULL)) {
      return refuse(error, key, "not UTF-8");
    }
  }
  if (texts != NULL) {
    g_variant_dict_insert(dict, key, "^as", texts);
  }
  return TRUE;
}

static void
add_flag(GVariantDict *dict, const char *key, gboolean value)
{
  if (value) {
    g_variant_dict_insert(dict, key, "b", TRUE);
  }
}

GVariant *
gem_run_arguments_to_variant(const GemRunArguments *arguments, GError **error)
{
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(NULL);

  if (!add_string(&dict, "domain", arguments->domain, error) ||
      !add_unsigned(&dict, "clusters", "u", arguments->clusters, G_MAXUINT32, error) ||
      !add_string(&dict, "priority", arguments->priority, error)) {
    return NULL;
  }
  return g_variant_dict_end(&dict);
}

GVariant *
gem_generate_arguments_to_variant(const GemGenerateArguments *arguments, gboolean routes, GError **error)
{
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(NULL);

  if (!add_unsigned(&dict, "max_tokens", "u", arguments->max_tokens, G_MAXUINT32, error) ||
      !add_double(&dict, "temperature", arguments->temperature, error) ||
      !add_unsigned(&dict, "top_k", "u", arguments->top_k, G_MAXUINT32, error) ||
      !add_double(&dict, "top_p", arguments->top_p, error) ||
      !add_unsigned(&dict, "seed", "t", arguments->seed, G_MAXUINT64, error) ||
      !add_strings(&dict, "stop", arguments->stop, error)) {
    return NULL;
  }
  add_flag(&dict, "raw", arguments->raw);
  add_flag(&dict, "slide", arguments->slide);
  add_flag(&dict, "routes", routes);
  return g_variant_dict_end(&dict);
}

/* ---- what the service says of them ---- */

/* Keys of the service's methods, and the option of gem-client that gives it. */
static const GemTypedOption typed_options[] = {
    {"clusters", "clusters"},
    {"domain", "domain"},
    {"grace_seconds", "grace"},
    {"labels", "label"},
    {"least_gain_percent", "least-gain"},
    {"max_tokens", "max-tokens"},
    {"mode", "mode"},
    {"priority", "priority"},
    {"seconds", "seconds"},
    {"seed", "seed"},
    {"stop", "stop"},
    {"temperature", "temperature"},
    {"top_k", "top-k"},
    {"top_p", "top-p"},
    {"worst_other_percent", "worst-other"},
    {NULL, NULL},
};

GemExit
gem_run_options_report(const GError *error)
{
  return gem_exit_report_typed(error, typed_options);
}
