#include "daemon/base/gem-log.h"

#define MAX_FIELDS 16

/* The level only decides where GLib writes it; a problem with a model or a client never is a g_warning, which
 * stands for a mistake in the program. */
void
gem_log(int priority, const char *message_id, const char *const *fields, const char *format, ...)
{
  GLogLevelFlags level = priority >= LOG_INFO ? G_LOG_LEVEL_INFO : G_LOG_LEVEL_MESSAGE;
  const char priority_text[] = {(char)('0' + priority), '\0'};
  g_autofree char *message = NULL;
  GLogField entries[MAX_FIELDS] = {
      {"PRIORITY", priority_text, -1},
      {"GLIB_DOMAIN", "gemd", -1},
      {"SYSLOG_IDENTIFIER", "gemd", -1},
      {"MESSAGE_ID", message_id, -1},
  };
  gsize n = 4;
  va_list arguments;

  va_start(arguments, format);
  message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  entries[n++] = (GLogField){"MESSAGE", message, -1};
  for (gsize i = 0; fields != NULL && fields[i] != NULL; i += 2) {
    g_assert(n < MAX_FIELDS);
    entries[n++] = (GLogField){fields[i], fields[i + 1], -1};
  }
  g_log_structured_array(level, entries, n);
}
