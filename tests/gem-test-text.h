/* Text by chance, for tests. */
#pragma once

#include <glib.h>

/* `n` characters of valid UTF-8 without NUL, line feed and U+2581: words and spaces, digits, marks, emoji and
 * their joiners, combining marks, scripts with and without spaces, and any other code point. */
char *
test_text_random(GRand *random, guint n);
