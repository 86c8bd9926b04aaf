#include "clients/gem-client/gem-client-exit.h"

#include "clients/gem-client/gem-client-escape.h"
#include "clients/gem-client/gem-client-output.h"
#include "dbus/gem-error.h"

static GemExit
exit_from_service_error(gint code)
{
  switch ((GemError)code) {
  case GEM_ERROR_INVALID_TEXT:
  case GEM_ERROR_INVALID_OPTION:
  case GEM_ERROR_UNKNOWN_DOMAIN:
    return GEM_EXIT_INVALID_INPUT;
  case GEM_ERROR_CONTEXT_EXCEEDED:
  case GEM_ERROR_LIMIT_EXCEEDED:
  case GEM_ERROR_BUSY:
    return GEM_EXIT_LIMIT;
  case GEM_ERROR_NOT_AUTHORIZED:
    return GEM_EXIT_NOT_AUTHORIZED;
  case GEM_ERROR_NOT_READY:
    return GEM_EXIT_NOT_READY;
  case GEM_ERROR_FAILED:
  case GEM_ERROR_CANCELLED:
  case GEM_ERROR_MODEL:
  case GEM_ERROR_PATHWAY:
  case GEM_ERROR_MODEL_CHANGED:
  case GEM_ERROR_NOT_SUPPORTED:
  case GEM_ERROR_SHUTTING_DOWN:
    break;
  }
  return GEM_EXIT_FAILED;
}

static GemExit
exit_from_bus_error(gint code)
{
  switch (code) {
  case G_DBUS_ERROR_ACCESS_DENIED:
  case G_DBUS_ERROR_AUTH_FAILED:
    return GEM_EXIT_NOT_AUTHORIZED;
  case G_DBUS_ERROR_LIMITS_EXCEEDED:
    return GEM_EXIT_LIMIT;
  case G_DBUS_ERROR_SERVICE_UNKNOWN:
  case G_DBUS_ERROR_NAME_HAS_NO_OWNER:
  case G_DBUS_ERROR_NO_REPLY:
  case G_DBUS_ERROR_NO_SERVER:
  case G_DBUS_ERROR_NO_NETWORK:
  case G_DBUS_ERROR_DISCONNECTED:
  case G_DBUS_ERROR_FILE_NOT_FOUND:
    return GEM_EXIT_UNREACHABLE;
  default:
    /* Every way in which activation can fail. */
    return code >= G_DBUS_ERROR_SPAWN_EXEC_FAILED && code <= G_DBUS_ERROR_SPAWN_NO_MEMORY
               ? GEM_EXIT_UNREACHABLE
               : GEM_EXIT_FAILED;
  }
}

GemExit
gem_exit_from_error(const GError *error)
{
  if (error->domain == GEM_ERROR) {
    return exit_from_service_error(error->code);
  }
  if (error->domain == G_DBUS_ERROR) {
    return exit_from_bus_error(error->code);
  }
  if (error->domain == G_OPTION_ERROR) {
    return GEM_EXIT_USAGE;
  }
  if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
      g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
    return GEM_EXIT_UNREACHABLE;
  }
  /* nothing else gives up what it waits for */
  return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? GEM_EXIT_INTERRUPTED : GEM_EXIT_FAILED;
}

GemExit
gem_exit_report(const GError *error)
{
  g_autoptr(GError) plain = g_error_copy(error);
  g_autofree char *shown = NULL;

  g_dbus_error_strip_remote_error(plain);
  shown = gem_escape_text(plain->message, GEM_ESCAPE_STREAM);
  gem_output_complain("%s", shown);
  return gem_exit_from_error(error);
}

GemExit
gem_exit_report_typed(const GError *error, const GemTypedOption *options)
{
  g_autoptr(GError) typed = g_error_copy(error);
  g_autofree char *key = NULL;
  g_autofree char *message = NULL;

  if (gem_error_get_key(error, &key, &message)) {
    for (; options->key != NULL; options++) {
      if (g_str_equal(options->key, key)) {
        g_free(typed->message);
        typed->message = g_strdup_printf("--%s: %s", options->typed, message);
      }
    }
  }
  return gem_exit_report(typed);
}
