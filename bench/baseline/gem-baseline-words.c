#include "bench/baseline/gem-baseline-words.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of the longest heading. */
#define HEADING 40u

struct _GemBaselineWords {
  GHashTable *words;  /* char * to number */
  GHashTable *fields; /* char * to number: headings, with their colon */
};

GemBaselineWords *
gem_baseline_words_new(void)
{
  GemBaselineWords *self = g_new0(GemBaselineWords, 1);

  self->words = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  self->fields = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
gem_baseline_words_free(GemBaselineWords *self)
{
  g_hash_table_unref(self->words);
  g_hash_table_unref(self->fields);
  g_free(self);
}

/* ---- fields ---- */

/* The heading that a line begins with, its colon included; NULL when it has none. Transfer full. */
static char *
read_heading(const char *line)
{
  gsize length = strcspn(line, ":\n");

  return line[length] == ':' && length > 0 && length < HEADING &&
                 (line[length + 1] == ' ' || line[length + 1] == '\n')
             ? g_strndup(line, length + 1)
             : NULL;
}

typedef struct {
  const char *heading;
  guint texts; /* that have it */
} Heading;

static int
compare_headings(const void *a, const void *b)
{
  const Heading *left = a, *right = b;

  return left->texts != right->texts ? (left->texts < right->texts) - (left->texts > right->texts)
                                     : strcmp(left->heading, right->heading);
}

/* In how many texts each heading stands. */
static GHashTable *
count_headings(const char *const *texts, guint n)
{
  GHashTable *counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  guint i;

  for (i = 0; i < n; i++) {
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const char *line = texts[i];

    while (line != NULL) {
      char *heading = read_heading(line);
      const char *end = strchr(line, '\n');

      if (heading != NULL && g_hash_table_add(seen, heading)) {
        guint before = GPOINTER_TO_UINT(g_hash_table_lookup(counts, heading));

        g_hash_table_replace(counts, g_strdup(heading), GUINT_TO_POINTER(before + 1));
      }
      line = end == NULL ? NULL : end + 1;
    }
  }
  return counts;
}

guint
gem_baseline_words_learn_fields(GemBaselineWords *self, const char *const *texts, guint n)
{
  g_autoptr(GHashTable) counts = count_headings(texts, n);
  g_autoptr(GArray) headings = g_array_new(FALSE, FALSE, sizeof(Heading));
  GHashTableIter iter;
  gpointer key, value;
  guint i;

  g_hash_table_iter_init(&iter, counts);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    Heading heading = {key, GPOINTER_TO_UINT(value)};

    if (heading.texts * 10 >= n) {
      g_array_append_val(headings, heading);
    }
  }
  g_array_sort(headings, compare_headings);
  for (i = 0; i < MIN(headings->len, GEM_BASELINE_FIELDS); i++) {
    g_hash_table_insert(self->fields, g_strdup(g_array_index(headings, Heading, i).heading),
                        GUINT_TO_POINTER(i + 1));
  }
  return g_hash_table_size(self->fields);
}

/* The field of a line; that of the line before when it begins with no heading that was learned. */
static guint32
find_field(const GemBaselineWords *self, const char *line, guint32 before)
{
  g_autofree char *heading = read_heading(line);
  guint32 field = heading == NULL ? 0 : GPOINTER_TO_UINT(g_hash_table_lookup(self->fields, heading));

  return field == 0 ? before : field;
}

/* ---- words ---- */

/* Scripts that put no space between words. */
static gboolean
writes_without_spaces(gunichar c)
{
  switch (g_unichar_get_script(c)) {
  case G_UNICODE_SCRIPT_HAN:
  case G_UNICODE_SCRIPT_HIRAGANA:
  case G_UNICODE_SCRIPT_KATAKANA:
  case G_UNICODE_SCRIPT_THAI:
  case G_UNICODE_SCRIPT_LAO:
  case G_UNICODE_SCRIPT_KHMER:
  case G_UNICODE_SCRIPT_MYANMAR:
    return TRUE;
  default:
    return FALSE;
  }
}

static gboolean
belongs_to_word(gunichar c)
{
  return (g_unichar_isalnum(c) || g_unichar_ismark(c)) && (c < 0x0e00 || !writes_without_spaces(c));
}

static guint32
number_word(GemBaselineWords *self, const char *word, gsize length, gboolean learn)
{
  g_autofree char *copy = g_strndup(word, length);
  guint32 number = GPOINTER_TO_UINT(g_hash_table_lookup(self->words, copy));

  if (number == GEM_BASELINE_UNKNOWN && learn) {
    number = g_hash_table_size(self->words) + 1;
    g_hash_table_insert(self->words, g_steal_pointer(&copy), GUINT_TO_POINTER(number));
  }
  return number;
}

GArray *
gem_baseline_words_read(GemBaselineWords *self, const char *text, gboolean learn)
{
  GArray *words = g_array_new(FALSE, FALSE, sizeof(GemBaselineWord));
  g_autofree char *lower = g_utf8_strdown(text, -1);
  guint32 field = find_field(self, text, 0);
  const char *at = lower;

  /* Lines of the text and of its lower case are the same ones; headings are looked for as they are written.
   */
  while (*at != '\0') {
    const char *end = g_utf8_next_char(at);
    gunichar c = g_utf8_get_char(at);

    if (c == '\n') {
      text = strchr(text, '\n') + 1;
      field = find_field(self, text, field);
    } else if (!g_unichar_isspace(c)) {
      GemBaselineWord word = {.field = field};

      while (belongs_to_word(c) && belongs_to_word(g_utf8_get_char(end))) {
        end = g_utf8_next_char(end);
      }
      word.word = number_word(self, at, (gsize)(end - at), learn);
      g_array_append_val(words, word);
    }
    at = end;
  }
  return words;
}
