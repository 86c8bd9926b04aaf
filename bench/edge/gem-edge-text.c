#include "bench/edge/gem-edge-text.h"

#include <string.h>

static char *
lower(const char *text)
{
  GString *result = g_string_new(NULL);
  const char *at;

  /* Not g_utf8_strdown: results must not depend on the locale. */
  for (at = text; *at != '\0'; at = g_utf8_next_char(at)) {
    g_string_append_unichar(result, g_unichar_tolower(g_utf8_get_char(at)));
  }
  return g_string_free(result, FALSE);
}

static gboolean
is_space(gunichar c)
{
  return g_unichar_isspace(c) || c == '\v' || (c >= 0x1c && c <= 0x1f) || c == 0x85;
}

static gboolean
is_article(const char *word, gsize length)
{
  return (length == 1 && word[0] == 'a') || (length == 2 && memcmp(word, "an", 2) == 0) ||
         (length == 3 && memcmp(word, "the", 3) == 0);
}

static char *
drop_punctuation(const char *text)
{
  GString *result = g_string_new(NULL);

  for (; *text != '\0'; text++) {
    if (!g_ascii_ispunct(*text)) {
      g_string_append_c(result, *text);
    }
  }
  return g_string_free(result, FALSE);
}

/* \b(a|an|the)\b becomes a blank: words are runs of letters and digits. */
static char *
drop_articles(const char *text)
{
  GString *result = g_string_new(NULL);

  while (*text != '\0') {
    const char *end = text;

    while (*end != '\0' && g_unichar_isalnum(g_utf8_get_char(end))) {
      end = g_utf8_next_char(end);
    }
    if (end == text) {
      end = g_utf8_next_char(text);
      g_string_append_len(result, text, end - text);
    } else if (is_article(text, (gsize)(end - text))) {
      g_string_append_c(result, ' ');
    } else {
      g_string_append_len(result, text, end - text);
    }
    text = end;
  }
  return g_string_free(result, FALSE);
}

static char *
join_blanks(const char *text)
{
  GString *result = g_string_new(NULL);
  gboolean blank = FALSE;

  for (; *text != '\0'; text = g_utf8_next_char(text)) {
    gunichar c = g_utf8_get_char(text);

    if (is_space(c)) {
      blank = TRUE;
      continue;
    }
    if (blank && result->len > 0) {
      g_string_append_c(result, ' ');
    }
    blank = FALSE;
    g_string_append_unichar(result, c);
  }
  return g_string_free(result, FALSE);
}

char *
gem_edge_normalise(const char *text)
{
  g_autofree char *small = lower(text);
  g_autofree char *plain = drop_punctuation(small);
  g_autofree char *bare = drop_articles(plain);

  return join_blanks(bare);
}

static gboolean
writes_without_blanks(gunichar c)
{
  switch (g_unichar_get_script(c)) {
  case G_UNICODE_SCRIPT_HAN:
  case G_UNICODE_SCRIPT_HIRAGANA:
  case G_UNICODE_SCRIPT_KATAKANA:
  case G_UNICODE_SCRIPT_THAI:
  case G_UNICODE_SCRIPT_LAO:
  case G_UNICODE_SCRIPT_KHMER:
  case G_UNICODE_SCRIPT_MYANMAR:
  case G_UNICODE_SCRIPT_TIBETAN:
    return TRUE;
  default:
    return FALSE;
  }
}

/* Words of the characters that `belongs` takes. A mark stays with what it stands on. */
static GPtrArray *
split(const char *text, gboolean (*belongs)(gunichar c))
{
  GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GString) word = g_string_new(NULL);
  gboolean alone = FALSE; /* the word is one letter of a script without blanks */

  for (;; text = g_utf8_next_char(text)) {
    gunichar c = g_utf8_get_char(text);
    gboolean part = c != 0 && belongs(c);
    gboolean mark = part && g_unichar_ismark(c);
    gboolean single = part && !mark && writes_without_blanks(c);

    if (word->len > 0 && !mark && (!part || alone || single)) {
      g_ptr_array_add(words, g_strdup(word->str));
      g_string_truncate(word, 0);
    }
    if (c == 0) {
      return words;
    }
    if (part) {
      alone = mark && word->len > 0 ? alone : single;
      g_string_append_unichar(word, c);
    }
  }
}

static gboolean
is_no_space(gunichar c)
{
  return !is_space(c);
}

static gboolean
is_letter(gunichar c)
{
  return g_unichar_isalnum(c) || g_unichar_ismark(c);
}

GPtrArray *
gem_edge_split_words(const char *normalised)
{
  return split(normalised, is_no_space);
}

GPtrArray *
gem_edge_split_rouge(const char *text)
{
  g_autofree char *small = lower(text);

  return split(small, is_letter);
}

GHashTable *
gem_edge_split_mentions(const char *text)
{
  GHashTable *mentions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *small = lower(text);
  g_auto(GStrv) parts = g_strsplit(small, ";", -1);
  guint i;

  for (i = 0; parts[i] != NULL; i++) {
    g_autofree char *mention = join_blanks(parts[i]);

    if (mention[0] != '\0') {
      g_hash_table_add(mentions, g_steal_pointer(&mention));
    }
  }
  return mentions;
}
