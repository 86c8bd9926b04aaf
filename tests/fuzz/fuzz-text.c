/* Any bytes as text: refused, or cut into tokens and joined again to what it was. */
#include <string.h>

#include "format/gem-tokenizer.h"
#include "tests/fuzz/gem-fuzz.h"
#include "tests/gem-test-vocabulary.h"

static GemTokenizer *
make_tokenizer(void)
{
  static const char *const pieces[] = {"a",
                                       "b",
                                       "e",
                                       "t",
                                       "h",
                                       "th",
                                       "he",
                                       "the",
                                       "\xe2\x96\x81the",
                                       "\xe2\x96\x81",
                                       "\xe2\x96\x81\xe2\x96\x81",
                                       "\xc3\xa9",
                                       "\xf0\x9f\x98\x80"};
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  gsize i;

  for (i = 0; i < G_N_ELEMENTS(pieces); i++) {
    test_vocabulary_add(vocabulary, pieces[i], -(float)i, NORMAL);
  }
  return test_vocabulary_to_tokenizer(vocabulary);
}

static void
check_tokens(GemTokenizer *tokenizer, const GArray *tokens, const char *given, size_t size)
{
  g_autofree char *text =
      gem_tokenizer_decode(tokenizer, (const guint32 *)(gpointer)tokens->data, tokens->len);
  guint i;

  for (i = 0; i < tokens->len; i++) {
    /* Control tokens spelled out in a text are text. */
    g_assert_false(gem_tokenizer_is_control(tokenizer, g_array_index(tokens, guint32, i)));
  }
  /* Pieces spell a space as U+2581: one in the text comes back as a space, as SentencePiece has it. */
  if (g_strstr_len(given, (gssize)size, "\xe2\x96\x81") == NULL) {
    g_assert_cmpmem(text, strlen(text), given, size);
  }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static GemTokenizer *tokenizer;
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(gsize));
  const char *text = size > 0 ? (const char *)data : "";
  GError *error = NULL;
  gboolean success;

  if (tokenizer == NULL) {
    tokenizer = make_tokenizer();
  }
  success = gem_tokenizer_encode(tokenizer, text, (gssize)size, tokens, offsets, &error);
  gem_fuzz_check_outcome(success, error);
  /* NUL is no part of a text. */
  g_assert_true(success == (g_utf8_validate_len(text, size, NULL) != FALSE));
  if (success) {
    check_tokens(tokenizer, tokens, text, size);
  }
  return 0;
}
