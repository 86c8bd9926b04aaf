/* Writing on standard output and standard error: bytes as they are (UTF-8 whatever the locale), and one place
 * that notices when nothing can be written. */
#pragma once

#include <glib.h>

#include "clients/gem-client/gem-client-exit.h"

/* On standard output. Errors wait for gem_output_flush. */
void
gem_output_text(const char *text);
void
gem_output_printf(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Writes out what is buffered. `status`, or GEM_EXIT_FAILED, with a message, when something could not be
 * written (no message when the reader of a pipe went away). */
GemExit
gem_output_flush(GemExit status);

/* Hands on at once what was written; FALSE when that is not possible. */
gboolean
gem_output_push(void);

/* "PROGRAM: ..." on standard error. */
void
gem_output_complain(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Whether standard output is a terminal that wants colours (NO_COLOR is not set, TERM is not "dumb"). */
gboolean
gem_output_has_colour(void);

/* The escape sequence that begins the n-th colour, or "" without colours; gem_output_colour_end() ends it. */
const char *
gem_output_colour(guint n);
const char *
gem_output_colour_end(void);

/* "13.7 MB". Transfer full. */
char *
gem_output_size(guint64 bytes);
