/* The text that a verb is about: an argument, or standard input. */
#pragma once

#include <gio/gio.h>

#include "clients/gem-client/gem-client-verb.h"

/* The one argument; "-", or no argument while standard input is no terminal: standard input, less one newline
 * at its end. UTF-8 without NUL, at most GEM_MAX_TEXT_BYTES. Errors: G_OPTION_ERROR, or
 * GEM_ERROR_INVALID_TEXT with the place or the counts. Transfer full. */
char *
gem_input_text(const GemVerbOptions *options, GError **error);
