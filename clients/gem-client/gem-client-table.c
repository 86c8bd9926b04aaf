#include "clients/gem-client/gem-client-table.h"

#include <string.h>

#include "clients/gem-client/gem-client-escape.h"
#include "clients/gem-client/gem-client-output.h"

typedef struct {
  gint colour;
  GPtrArray *cells; /* char *, escaped */
} Row;

struct _GemTable {
  char *alignment;
  guint *widths;
  guint n_columns;
  GPtrArray *rows; /* Row; the first is the heading */
};

static void
row_free(gpointer data)
{
  Row *row = data;

  g_ptr_array_unref(row->cells);
  g_free(row);
}

GemTable *
gem_table_new(const char *alignment, const char *const *headings)
{
  GemTable *self = g_new0(GemTable, 1);

  self->alignment = g_strdup(alignment);
  self->n_columns = (guint)strlen(alignment);
  self->widths = g_new0(guint, self->n_columns);
  self->rows = g_ptr_array_new_with_free_func(row_free);
  gem_table_add(self, -1, headings);
  return self;
}

void
gem_table_free(GemTable *self)
{
  g_free(self->alignment);
  g_free(self->widths);
  g_ptr_array_unref(self->rows);
  g_free(self);
}

guint
gem_table_text_width(const char *text)
{
  guint width = 0;
  const char *p;

  for (p = text; *p != '\0'; p = g_utf8_next_char(p)) {
    gunichar c = g_utf8_get_char(p);

    width += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
  }
  return width;
}

void
gem_table_add(GemTable *self, gint colour, const char *const *cells)
{
  Row *row = g_new0(Row, 1);
  guint i;

  row->colour = colour;
  row->cells = g_ptr_array_new_with_free_func(g_free);
  for (i = 0; i < self->n_columns; i++) {
    char *cell = gem_escape_text(cells[i], GEM_ESCAPE_STREAM);

    self->widths[i] = MAX(self->widths[i], gem_table_text_width(cell));
    g_ptr_array_add(row->cells, cell);
  }
  g_ptr_array_add(self->rows, row);
}

static void
append_row(GemTable *self, const Row *row, GString *line)
{
  guint i, j;

  for (i = 0; i < self->n_columns; i++) {
    const char *cell = row->cells->pdata[i];
    guint padding = self->widths[i] - gem_table_text_width(cell);

    g_string_append(line, i == 0 ? "" : "  ");
    g_string_append(line, self->alignment[i] == 'r' ? "" : cell);
    for (j = 0; j < padding; j++) {
      g_string_append_c(line, ' ');
    }
    g_string_append(line, self->alignment[i] == 'r' ? cell : "");
  }
  while (line->len > 0 && line->str[line->len - 1] == ' ') {
    g_string_truncate(line, line->len - 1);
  }
}

void
gem_table_print(GemTable *self)
{
  guint i;

  for (i = 0; i < self->rows->len; i++) {
    const Row *row = self->rows->pdata[i];
    g_autoptr(GString) line = g_string_new(NULL);

    append_row(self, row, line);
    if (row->colour >= 0) {
      gem_output_printf("%s%s%s\n", gem_output_colour((guint)row->colour), line->str,
                        gem_output_colour_end());
    } else {
      gem_output_printf("%s\n", line->str);
    }
  }
}
