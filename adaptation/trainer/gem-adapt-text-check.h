/* Whether what a caller calls text is text. */
#pragma once

#include <gio/gio.h>

/* The one error that is the text's: there is nothing wrong with anything else. Its code is 0. */
#define GEM_ADAPT_TEXT_ERROR gem_adapt_text_error_quark()
GQuark
gem_adapt_text_error_quark(void);

/* Takes the carriage returns before line ends out of text[*length], in place, and makes a line end of a form
 * feed: after that of a page's last line it is an empty line. Then every line has to be UTF-8 and free of
 * control characters but tabs: TEXT_ERROR counts the lines that are not and names the first by its number,
 * never by what is in it. The text ends with a NUL beyond its length. */
gboolean
gem_adapt_text_check(char *text, gsize *length, GError **error);
