#include "dbus/gem-error.h"

#include <string.h>

#include "dbus/gem-names.h"

/* How a message begins that is of an option, and what stands between the key and the rest. */
#define OPTION_BEGIN "option \""
#define OPTION_END   "\": "
#define ARGUMENT_END ": "
#define KEY_LETTERS  G_CSET_a_2_z "_"

static const GDBusErrorEntry entries[] = {
    {GEM_ERROR_FAILED, GEM_ERROR_PREFIX "Failed"},
    {GEM_ERROR_INVALID_TEXT, GEM_ERROR_PREFIX "InvalidText"},
    {GEM_ERROR_INVALID_OPTION, GEM_ERROR_PREFIX "InvalidOption"},
    {GEM_ERROR_UNKNOWN_DOMAIN, GEM_ERROR_PREFIX "UnknownDomain"},
    {GEM_ERROR_CONTEXT_EXCEEDED, GEM_ERROR_PREFIX "ContextExceeded"},
    {GEM_ERROR_LIMIT_EXCEEDED, GEM_ERROR_PREFIX "LimitExceeded"},
    {GEM_ERROR_BUSY, GEM_ERROR_PREFIX "Busy"},
    {GEM_ERROR_CANCELLED, GEM_ERROR_PREFIX "Cancelled"},
    {GEM_ERROR_NOT_AUTHORIZED, GEM_ERROR_PREFIX "NotAuthorized"},
    {GEM_ERROR_NOT_READY, GEM_ERROR_PREFIX "NotReady"},
    {GEM_ERROR_MODEL, GEM_ERROR_PREFIX "Model"},
    {GEM_ERROR_PATHWAY, GEM_ERROR_PREFIX "Pathway"},
    {GEM_ERROR_MODEL_CHANGED, GEM_ERROR_PREFIX "ModelChanged"},
    {GEM_ERROR_NOT_SUPPORTED, GEM_ERROR_PREFIX "NotSupported"},
    {GEM_ERROR_SHUTTING_DOWN, GEM_ERROR_PREFIX "ShuttingDown"},
};

/* gem_error_name indexes the table by code. */
G_STATIC_ASSERT(G_N_ELEMENTS(entries) == GEM_ERROR_SHUTTING_DOWN + 1);

GQuark
gem_error_quark(void)
{
  static gsize quark = 0;

  g_dbus_error_register_error_domain("gem-error-quark", &quark, entries, G_N_ELEMENTS(entries));
  return (GQuark)quark;
}

const char *
gem_error_name(GemError code)
{
  if ((guint)code >= G_N_ELEMENTS(entries)) {
    code = GEM_ERROR_FAILED;
  }
  g_assert(entries[code].error_code == (gint)code);
  return entries[code].dbus_error_name;
}

GError *
gem_error_for_caller(GError *error)
{
  GemError code = GEM_ERROR_FAILED;
  GError *mapped;

  if (error->domain == GEM_ERROR) {
    return error;
  }
  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    code = GEM_ERROR_CANCELLED;
  }
  mapped = g_error_new_literal(GEM_ERROR, code, error->message);
  g_error_free(error);
  return mapped;
}

static void G_GNUC_PRINTF(4, 0)
    set_prefixed(GError **error, GemError code, const char *before, const char *format, va_list arguments)
{
  g_autofree char *message = g_strdup_vprintf(format, arguments);

  g_set_error(error, GEM_ERROR, (gint)code, "%s%s", before, message);
}

void
gem_error_set_option(GError **error, GemError code, const char *key, const char *format, ...)
{
  g_autofree char *before = g_strconcat(OPTION_BEGIN, key, OPTION_END, NULL);
  va_list arguments;

  va_start(arguments, format);
  set_prefixed(error, code, before, format, arguments);
  va_end(arguments);
}

void
gem_error_set_argument(GError **error, const char *name, const char *format, ...)
{
  g_autofree char *before = g_strconcat(name, ARGUMENT_END, NULL);
  va_list arguments;

  va_start(arguments, format);
  set_prefixed(error, GEM_ERROR_INVALID_OPTION, before, format, arguments);
  va_end(arguments);
}

gboolean
gem_error_get_key(const GError *error, char **ret_key, char **ret_message)
{
  g_autoptr(GError) plain = g_error_copy(error);
  const char *key, *end;
  gboolean is_option;
  gsize length;

  g_dbus_error_strip_remote_error(plain);
  is_option = g_str_has_prefix(plain->message, OPTION_BEGIN);
  key = plain->message + (is_option ? strlen(OPTION_BEGIN) : 0);
  end = is_option ? OPTION_END : ARGUMENT_END;
  length = strspn(key, KEY_LETTERS);
  if (error->domain != GEM_ERROR || (!is_option && error->code != GEM_ERROR_INVALID_OPTION) || length == 0 ||
      !g_str_has_prefix(key + length, end)) {
    return FALSE;
  }
  *ret_key = g_strndup(key, length);
  *ret_message = g_strdup(key + length + strlen(end));
  return TRUE;
}
