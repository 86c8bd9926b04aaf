/* A table on standard output: a heading, then a row a line, columns as wide as their widest cell. */
#pragma once

#include <glib.h>

typedef struct _GemTable GemTable;

/* `alignment` has a letter for each column, l or r. `headings` has as many. */
GemTable *
gem_table_new(const char *alignment, const char *const *headings);
void
gem_table_free(GemTable *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemTable, gem_table_free)

/* Takes one cell for each column; they are shown with control bytes escaped. `colour` is for
 * gem_output_colour, or negative for none. */
void
gem_table_add(GemTable *self, gint colour, const char *const *cells);

void
gem_table_print(GemTable *self);

/* Columns of a terminal that `text` fills. */
guint
gem_table_text_width(const char *text);
