/* Hyper-parameters from GGUF metadata, each held against its range. */
#include "format/gem-model-private.h"

#include <math.h>
#include <string.h>

char *
gem_model_keys_name(const GemModelKeys *keys, const char *name)
{
  return g_strconcat(keys->architecture, ".", name, NULL);
}

gboolean
gem_model_keys_has(const GemModelKeys *keys, const char *name)
{
  g_autofree char *key = gem_model_keys_name(keys, name);
  return gem_gguf_has_key(keys->file, key);
}

gboolean
gem_model_keys_fail(
    const GemModelKeys *keys, GError **error, GemFormatError code, const char *name, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_autofree char *field = g_strdup_printf("key %s.%s", keys->architecture, name);
  return gem_gguf_fail(keys->file, error, code, field, "%s", message);
}

gboolean
gem_model_keys_uint(
    const GemModelKeys *keys, const char *name, guint least, guint most, guint *ret_value, GError **error)
{
  g_autofree char *key = gem_model_keys_name(keys, name);
  guint64 value = 0;
  if (!gem_gguf_get_uint(keys->file, key, &value, error)) {
    return FALSE;
  }
  if (value < least || value > most) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, name,
                               "%" G_GUINT64_FORMAT "; %u to %u are allowed", value, least, most);
  }
  *ret_value = (guint)value;
  return TRUE;
}

gboolean
gem_model_keys_uint_or(const GemModelKeys *keys,
                       const char *name,
                       guint least,
                       guint most,
                       guint absent,
                       guint *ret_value,
                       GError **error)
{
  if (gem_model_keys_has(keys, name)) {
    return gem_model_keys_uint(keys, name, least, most, ret_value, error);
  }
  *ret_value = absent;
  return TRUE;
}

gboolean
gem_model_keys_float(
    const GemModelKeys *keys, const char *name, double least, double most, float *ret_value, GError **error)
{
  g_autofree char *key = gem_model_keys_name(keys, name);
  double value = 0.0;
  if (!gem_gguf_get_float(keys->file, key, &value, error)) {
    return FALSE;
  }
  if (!isfinite(value) || value < least || value > most) {
    return gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, name, "%g; %g to %g are allowed",
                               value, least, most);
  }
  *ret_value = (float)value;
  return TRUE;
}

gboolean
gem_domain_name_is_plain(const char *name)
{
  gsize length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
  return length > 0 && length <= GEM_MAX_DOMAIN_NAME && name[length] == '\0' && g_ascii_islower(name[0]) &&
         strcmp(name, "general") != 0;
}

GStrv
gem_model_keys_domains(const GemModelKeys *keys, GError **error)
{
  g_autofree char *key = gem_model_keys_name(keys, "domains");
  g_auto(GStrv) domains = gem_gguf_get_string_array(keys->file, key, error);
  if (domains == NULL) {
    return NULL;
  }
  guint n = g_strv_length(domains);
  if (n > GEM_MAX_DOMAINS) {
    gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_UNSUPPORTED, "domains",
                        "%u domains; at most %d are allowed", n, GEM_MAX_DOMAINS);
    return NULL;
  }
  for (guint i = 0; i < n; i++) {
    if (!gem_domain_name_is_plain(domains[i])) {
      gem_model_keys_fail(
          keys, error, GEM_FORMAT_ERROR_MALFORMED, "domains",
          "name %u is not of 1 to %d letters a-z, digits and hyphens, a letter first, or is 'general'", i,
          GEM_MAX_DOMAIN_NAME);
      return NULL;
    }
    for (guint j = 0; j < i; j++) {
      if (strcmp(domains[i], domains[j]) == 0) {
        gem_model_keys_fail(keys, error, GEM_FORMAT_ERROR_MALFORMED, "domains", "%s is named twice",
                            domains[i]);
        return NULL;
      }
    }
  }
  return g_steal_pointer(&domains);
}

gboolean
gem_model_check_architecture(GemGguf *file, const char *architecture, GError **error)
{
  g_autofree char *found = gem_gguf_get_string(file, "general.architecture", error);
  if (found == NULL) {
    return FALSE;
  }
  if (strcmp(found, architecture) != 0) {
    g_autofree char *shown = gem_gguf_key_to_string(file, "general.architecture");
    return gem_gguf_fail(file, error, GEM_FORMAT_ERROR_MISMATCH, "key general.architecture",
                         "%s, but \"%s\" is needed", shown, architecture);
  }
  return TRUE;
}

void
gem_model_write_architecture(GemGgufWriter *writer, const char *architecture)
{
  gem_gguf_writer_set_string(writer, "general.architecture", architecture);
  gem_gguf_writer_set_uint(writer, "general.quantization_version", 2);
}
