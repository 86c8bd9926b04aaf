/* Whether what a caller calls text is text. */
#pragma once

#include <gio/gio.h>

/* Takes the carriage returns before line ends out of text[*length], in place. Then every line has to be UTF-8
 * and free of control characters but tabs: INVALID_DATA counts the lines that are not and names the first by
 * its number, never by what is in it. The text ends with a NUL beyond its length. */
gboolean
gem_adapt_text_check(char *text, gsize *length, GError **error);
