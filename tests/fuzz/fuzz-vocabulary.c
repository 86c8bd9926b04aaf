/* Any bytes as the files that a tokenizer is read from; one that comes of them takes and gives text. */
#include <string.h>

#include "format/gem-tokenizer.h"
#include "tests/fuzz/gem-fuzz.h"

static void
use_tokenizer(GemTokenizer *tokenizer)
{
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autofree char *text = NULL;
  guint i;

  if (!gem_tokenizer_encode(tokenizer, "a patient, \xf0\x9f\x98\x80 <|user|>", -1, tokens, NULL, NULL)) {
    return;
  }
  for (i = 0; i < tokens->len; i++) {
    g_assert_cmpuint(g_array_index(tokens, guint32, i), <, gem_tokenizer_n_tokens(tokenizer));
  }
  text = gem_tokenizer_decode(tokenizer, (const guint32 *)(gpointer)tokens->data, tokens->len);
  g_assert_true(g_utf8_validate(text, -1, NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  GError *error = NULL, *other_error = NULL;
  g_autoptr(GBytes) bytes = g_bytes_new(data, size);
  g_autoptr(GemTokenizer) tokenizer = NULL, other = NULL;
  g_autoptr(GemGguf) file = gem_gguf_new_from_bytes(bytes, "fuzz", NULL);

  if (file != NULL) {
    tokenizer = gem_tokenizer_new_from_gguf(file, &error);
    gem_fuzz_check_outcome(tokenizer != NULL, error);
  }
  other = gem_tokenizer_new_from_sentencepiece(gem_fuzz_make_file(data, size), &other_error);
  gem_fuzz_check_outcome(other != NULL, other_error);
  if (tokenizer != NULL) {
    use_tokenizer(tokenizer);
  }
  if (other != NULL) {
    use_tokenizer(other);
  }
  return 0;
}
