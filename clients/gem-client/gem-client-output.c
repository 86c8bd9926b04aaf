#include "clients/gem-client/gem-client-output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "process/gem-streams.h"

/* Why the first write that failed did; 0: none did. */
static int write_error;

static void
note_error(gboolean written)
{
  if (!written && write_error == 0) {
    write_error = errno;
  }
}

void
gem_output_text(const char *text)
{
  note_error(fputs(text, stdout) >= 0);
}

void
gem_output_printf(const char *format, ...)
{
  va_list arguments;

  va_start(arguments, format);
  note_error(vfprintf(stdout, format, arguments) >= 0);
  va_end(arguments);
}

gboolean
gem_output_push(void)
{
  note_error(fflush(stdout) == 0);
  return write_error == 0;
}

GemExit
gem_output_flush(GemExit status)
{
  if (gem_output_push()) {
    return status;
  }
  gem_streams_complain(write_error);
  return status == GEM_EXIT_OK ? GEM_EXIT_FAILED : status;
}

void
gem_output_complain(const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start(arguments, format);
  message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  fprintf(stderr, "%s: %s\n", program_invocation_short_name, message);
}

gboolean
gem_output_has_colour(void)
{
  const char *no_color = g_getenv("NO_COLOR");

  return isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0') &&
         g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

const char *
gem_output_colour(guint n)
{
  static const char *const colours[] = {"\033[31m", "\033[34m", "\033[32m", "\033[36m", "\033[33m",
                                        "\033[35m", "\033[94m", "\033[92m", "\033[91m"};

  return gem_output_has_colour() ? colours[n % G_N_ELEMENTS(colours)] : "";
}

const char *
gem_output_colour_end(void)
{
  return gem_output_has_colour() ? "\033[0m" : "";
}

char *
gem_output_size(guint64 bytes)
{
  static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
  double value = (double)bytes;
  gsize unit = 0;

  while (value >= 999.5 && unit + 1 < G_N_ELEMENTS(units)) {
    value /= 1000;
    unit++;
  }
  return unit == 0 ? g_strdup_printf("%.0f %s", value, units[unit])
                   : g_strdup_printf("%.1f %s", value, units[unit]);
}
