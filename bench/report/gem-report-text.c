#include "bench/report/gem-report-text.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "bench/gem-bench-progress.h"

#define DASH  "\u2013"
#define MINUS "\u2212"

void
gem_report_add(GString *page, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start(arguments, format);
  text = g_markup_vprintf_escaped(format, arguments);
  va_end(arguments);
  g_string_append(page, text);
}

char *
gem_report_format(double value, int digits)
{
  gboolean zero = fabs(value) < 0.5 * pow(10, -digits);

  return isfinite(value) ? g_strdup_printf("%s%.*f", value < 0 && !zero ? MINUS : "", digits, fabs(value))
                         : g_strdup(DASH);
}

char *
gem_report_format_count(double value)
{
  g_autofree char *plain = gem_report_format(value, 0);
  GString *text;
  gsize length, i;

  if (!isfinite(value) || value < 0) {
    return g_steal_pointer(&plain);
  }
  text = g_string_new(NULL);
  for (length = strlen(plain), i = 0; i < length; i++) {
    g_string_append_printf(text, "%s%c", i > 0 && (length - i) % 3 == 0 ? "," : "", plain[i]);
  }
  return g_string_free(text, FALSE);
}

char *
gem_report_format_bytes(double value)
{
  g_autofree char *text = gem_report_format(value / 1e6, 1);

  return isfinite(value) ? g_strconcat(text, " MB", NULL) : g_strdup(DASH);
}

char *
gem_report_format_seconds(double value)
{
  if (!isfinite(value)) {
    return g_strdup(DASH);
  }
  return value < 1 ? g_strdup_printf(value < 0.01  ? "%.2f ms"
                                     : value < 0.1 ? "%.1f ms"
                                                   : "%.0f ms",
                                     1e3 * value)
                   : gem_bench_progress_describe_seconds(value);
}

void
gem_report_add_cell(GString *page, double value, double error)
{
  g_autofree char *text = gem_report_format(value, 3);
  g_autofree char *spread = gem_report_format(error, 3);

  /* data-v is what the column is sorted by */
  if (isfinite(value)) {
    gem_report_add(page, "<td class=\"n\" data-v=\"%.6f\">%s", value, text);
  } else {
    gem_report_add(page, "<td class=\"n none\">%s", text);
  }
  if (isfinite(error)) {
    gem_report_add(page, "<small>\u00b1%s</small>", spread);
  }
  g_string_append(page, "</td>");
}
