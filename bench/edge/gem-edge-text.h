/* Answers taken apart for being compared: SQuAD's normalisation, and words. Texts are valid UTF-8. */
#pragma once

#include <glib.h>

/* What SQuAD's evaluation script compares: lower case, without ASCII punctuation, without the words a, an and
 * the, with single blanks between words and none around. Transfer full. */
char *
gem_edge_normalise(const char *text);

/* The words of what gem_edge_normalise made: what stands between blanks, as SQuAD splits; but each letter of
 * a script that writes without blanks (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar, Tibetan) is a word
 * of its own, together with the marks on it, as MLQA's script does it for Chinese. Array of char *. */
GPtrArray *
gem_edge_split_words(const char *normalised);

/* The words that ROUGE compares: runs of letters and digits in lower case, nothing left out, no stems;
 * letters of scripts without blanks as above. Array of char *. */
GPtrArray *
gem_edge_split_rouge(const char *text);

/* The mentions of a list "one; two; three": lower case, single blanks, without empty ones, each once. */
GHashTable *
gem_edge_split_mentions(const char *text);
