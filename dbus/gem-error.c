#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

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
