/*
 * Text of a model or of a service, made safe for a terminal: what a terminal would obey is shown in its
 * place.
 *
 *   C0 and DEL      ^[ ^G ^?      (newline and tab pass in a stream)
 *   C1              <U+009B>
 *   bidi controls   <U+202E>      (embeddings, overrides, isolates: they reorder what follows)
 *   invalid UTF-8   <0xNN>
 */
#pragma once

#include <glib.h>

typedef enum {
  GEM_ESCAPE_STREAM, /* newline and tab are kept */
  GEM_ESCAPE_CELL,   /* for one cell of a table: newline is \n, tab is \t, a space is U+2581 */
} GemEscapeMode;

/* Escapes text that comes in parts; a character may be cut between two of them. Zeroed: ready. */
typedef struct {
  GemEscapeMode mode;
  char partial[4]; /* the beginning of a character */
  gsize n_partial;
} GemEscaper;

/* Appends `length` bytes to `out`. An incomplete character at the end waits for the next part. */
void
gem_escaper_push(GemEscaper *self, const char *bytes, gsize length, GString *out);
/* The text is over: what waited is not going to be a character. */
void
gem_escaper_finish(GemEscaper *self, GString *out);

/* A whole text at once. Transfer full. */
char *
gem_escape_text(const char *text, GemEscapeMode mode);
