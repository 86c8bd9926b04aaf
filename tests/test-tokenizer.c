/* The tokenizer over hand-made vocabularies: what it encodes and decodes, what it refuses, and what it costs.
 */
#include <string.h>
#include <time.h>

#include "tests/gem-test-vocabulary.h"

#define SPACE "\xe2\x96\x81"

enum { BOS = 1, EOS = 2, USER = 3, MODEL = 4, FIRST_BYTE = 5, FIRST_PIECE = 261 };

static GArray *
new_tokens(void)
{
  return g_array_new(FALSE, FALSE, sizeof(guint32));
}

/* The pieces of the text's tokens, joined with '|'. */
static char *
encode_to_pieces(GemTokenizer *tokenizer, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) tokens = new_tokens();
  g_autoptr(GPtrArray) pieces = g_ptr_array_new();

  g_assert_true(gem_tokenizer_encode(tokenizer, text, -1, tokens, NULL, &error));
  g_assert_no_error(error);
  for (guint i = 0; i < tokens->len; i++) {
    g_ptr_array_add(pieces,
                    (gpointer)gem_tokenizer_token_piece(tokenizer, g_array_index(tokens, guint32, i)));
  }
  g_ptr_array_add(pieces, NULL);
  return g_strjoinv("|", (char **)pieces->pdata);
}

static void
assert_pieces(GemTokenizer *tokenizer, const char *text, const char *expected)
{
  g_autofree char *pieces = encode_to_pieces(tokenizer, text);

  g_assert_cmpstr(pieces, ==, expected);
}

static char *
decode(GemTokenizer *tokenizer, const guint32 *tokens, gsize n)
{
  char *text = gem_tokenizer_decode(tokenizer, tokens, n);

  g_assert_nonnull(text);
  return text;
}

/* ---- merging ---- */

static void
test_best_score_first(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;

  test_vocabulary_add(vocabulary, "bc", -1, NORMAL);
  test_vocabulary_add(vocabulary, "ab", -2, NORMAL);
  test_vocabulary_add(vocabulary, "abc", -3, NORMAL);
  test_vocabulary_add(vocabulary, "a", -4, NORMAL);
  test_vocabulary_add(vocabulary, "b", -5, NORMAL);
  test_vocabulary_add(vocabulary, "c", -6, NORMAL);
  test_vocabulary_add(vocabulary, "cd", -7, NORMAL);
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  assert_pieces(tokenizer, "", "");
  assert_pieces(tokenizer, "c", "c");
  assert_pieces(tokenizer, "abc", "abc");
  assert_pieces(tokenizer, "abb", "ab|b");
  /* "bc" goes before "cd"; "d" alone is no piece. */
  assert_pieces(tokenizer, "bcd", "bc|<0x64>");
  /* "cd" is made of a character that is no piece. */
  assert_pieces(tokenizer, "dcd", "<0x64>|cd");
}

static void
test_leftmost_of_ties(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;

  test_vocabulary_add(vocabulary, "aa", -1, NORMAL);
  test_vocabulary_add(vocabulary, "ab", -1, NORMAL);
  test_vocabulary_add(vocabulary, "a", -2, NORMAL);
  test_vocabulary_add(vocabulary, "b", -2, NORMAL);
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  assert_pieces(tokenizer, "aab", "aa|b");
  assert_pieces(tokenizer, "aaab", "aa|ab");
  assert_pieces(tokenizer, "aaaaa", "aa|aa|a");
}

static void
test_spaces(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;
  g_autoptr(GemTokenizer) prefixing = NULL;

  test_vocabulary_add(vocabulary, SPACE SPACE, -1, NORMAL);
  test_vocabulary_add(vocabulary, SPACE "a", -2, NORMAL);
  test_vocabulary_add(vocabulary, "a", -3, NORMAL);
  test_vocabulary_add(vocabulary, " b", -3, NORMAL); /* a plain space in a piece is never met */
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);
  vocabulary->add_dummy_prefix = TRUE;
  prefixing = test_vocabulary_to_tokenizer(vocabulary);

  assert_pieces(tokenizer, "a a", "a|" SPACE "a");
  assert_pieces(tokenizer, "a  a", "a|" SPACE SPACE "|a");
  assert_pieces(tokenizer, " b", "<0xE2>|<0x96>|<0x81>|<0x62>");
  assert_pieces(tokenizer, SPACE "a", SPACE "a");
  assert_pieces(prefixing, "a", SPACE "a");
  assert_pieces(prefixing, " a", SPACE SPACE "|a");
  assert_pieces(prefixing, "", "");
}

static void
test_user_defined(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;

  test_vocabulary_add(vocabulary, "ab", -1, NORMAL);
  test_vocabulary_add(vocabulary, "a", -2, NORMAL);
  test_vocabulary_add(vocabulary, "b", -2, NORMAL);
  test_vocabulary_add(vocabulary, "bx", 0, USER_DEFINED);
  test_vocabulary_add(vocabulary, "bxyz", 0, USER_DEFINED);
  test_vocabulary_add(vocabulary, "abx", 0, NORMAL); /* cannot arise: bx is taken out first */
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  assert_pieces(tokenizer, "abxb", "a|bx|b");
  assert_pieces(tokenizer, "abxyzab", "a|bxyz|ab");
  assert_pieces(tokenizer, "bxyab", "bx|<0x79>|ab");
  assert_pieces(tokenizer, "bxbx", "bx|bx");
}

static void
test_unused_taken_apart(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;

  test_vocabulary_add(vocabulary, "ab", -1, NORMAL);
  test_vocabulary_add(vocabulary, "abc", -2, UNUSED);
  test_vocabulary_add(vocabulary, "abcd", -3, NORMAL);
  test_vocabulary_add(vocabulary, "c", -4, NORMAL);
  test_vocabulary_add(vocabulary, "x", -5, UNUSED);
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  assert_pieces(tokenizer, "abc", "ab|c");
  assert_pieces(tokenizer, "abcd", "abcd");
  assert_pieces(tokenizer, "abcabcd", "ab|c|abcd");
  assert_pieces(tokenizer, "x", "x"); /* one character cannot be taken apart */
}

static void
test_special_pieces_are_text(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;
  const char *text = "<s></s><unk><0x41><|user|>!";
  g_autoptr(GArray) tokens = new_tokens();

  test_vocabulary_add(vocabulary, "!", 0, CONTROL); /* not even one of a single character */
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  g_assert_true(gem_tokenizer_encode(tokenizer, text, -1, tokens, NULL, NULL));
  g_assert_cmpuint(tokens->len, ==, strlen(text));
  for (guint i = 0; i < tokens->len; i++) {
    g_assert_cmpuint(g_array_index(tokens, guint32, i), ==, FIRST_BYTE + (guchar)text[i]);
  }
}

/* ---- offsets, errors ---- */

static void
test_offsets(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;
  g_autoptr(GArray) tokens = new_tokens();
  g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(gsize));
  const gsize expected[] = {0, 2, 5, 6, 7, 8};

  test_vocabulary_add(vocabulary, SPACE "a", -1, NORMAL);
  test_vocabulary_add(vocabulary, "\xc3\xa9", -2, NORMAL);
  test_vocabulary_add(vocabulary, SPACE "\xc3\xa9", -2, NORMAL);
  vocabulary->add_dummy_prefix = TRUE;
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  /* dummy prefix + e acute, space + e acute, a euro sign and "b" as bytes */
  g_assert_true(gem_tokenizer_encode(tokenizer,
                                     "\xc3\xa9 \xc3\xa9\xe2\x82\xac"
                                     "b",
                                     -1, tokens, offsets, NULL));
  g_assert_cmpmem(offsets->data, offsets->len * sizeof(gsize), expected, sizeof(expected));
  g_assert_cmpuint(tokens->len, ==, offsets->len);
}

static void
test_invalid_text(void)
{
  static const struct {
    const char *text;
    gsize length;
    const char *message;
  } cases[] = {
      {"ab\0c", 4, "the text holds a NUL at byte 2"},
      {"\0", 1, "the text holds a NUL at byte 0"},
      {"abc\xff", 4, "the text is no valid UTF-8 at byte 3"},
      {"a\xe2\x96", 3, "the text is no valid UTF-8 at byte 1"},
      {"\xed\xa0\x80", 3, "the text is no valid UTF-8 at byte 0"},        /* a surrogate */
      {"\xc0\x80", 2, "the text is no valid UTF-8 at byte 0"},            /* too long a form */
      {"xyz\xf4\x90\x80\x80", 7, "the text is no valid UTF-8 at byte 3"}, /* above U+10FFFF */
  };
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) tokens = new_tokens();

    g_assert_false(
        gem_tokenizer_encode(tokenizer, cases[i].text, (gssize)cases[i].length, tokens, NULL, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID);
    g_assert_cmpstr(error->message, ==, cases[i].message);
    g_assert_cmpuint(tokens->len, ==, 0);
  }
}

/* ---- decoding ---- */

static void
assert_decodes(GemTokenizer *tokenizer, const guint32 *tokens, gsize n, const char *expected)
{
  g_autofree char *text = decode(tokenizer, tokens, n);

  g_assert_cmpstr(text, ==, expected);
}

#define ASSERT_DECODES(tokenizer, expected, ...)                                                             \
  assert_decodes(tokenizer, (const guint32[]){__VA_ARGS__},                                                  \
                 sizeof((const guint32[]){__VA_ARGS__}) / sizeof(guint32), expected)

static void
test_decode(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;
  g_autoptr(GemTokenizer) prefixing = NULL;
  const guint32 word = test_vocabulary_add(vocabulary, SPACE "a", -1, NORMAL);
  const guint32 space = test_vocabulary_add(vocabulary, SPACE, -2, NORMAL);
  const guint32 byte = FIRST_BYTE;

  tokenizer = test_vocabulary_to_tokenizer(vocabulary);
  vocabulary->add_dummy_prefix = TRUE;
  prefixing = test_vocabulary_to_tokenizer(vocabulary);

  assert_decodes(tokenizer, NULL, 0, "");
  ASSERT_DECODES(tokenizer, " a a", word, word);
  ASSERT_DECODES(tokenizer, " a", BOS, word, USER, EOS);
  ASSERT_DECODES(tokenizer, " \xe2\x81\x87  a", 0, word);
  ASSERT_DECODES(prefixing, "a a", word, word);
  ASSERT_DECODES(prefixing, "a", BOS, word);
  ASSERT_DECODES(prefixing, " a", space, word);
  ASSERT_DECODES(prefixing, "  ", space, space, space);
  ASSERT_DECODES(prefixing, "x a", byte + 'x', word);

  /* Bytes make characters; each that belongs to none becomes U+FFFD, and a NUL does. */
  ASSERT_DECODES(tokenizer, "\xe2\x82\xac", byte + 0xe2, byte + 0x82, byte + 0xac);
  ASSERT_DECODES(tokenizer, "\xef\xbf\xbd\xef\xbf\xbd a", byte + 0xe2, byte + 0x82, word);
  ASSERT_DECODES(tokenizer, "\xef\xbf\xbdx\xef\xbf\xbd", byte + 0xff, byte + 'x', byte + 0xac);
  ASSERT_DECODES(tokenizer, "x\xef\xbf\xbdy", byte + 'x', byte, byte + 'y');
  /* U+2581 out of bytes is itself, not a space. */
  ASSERT_DECODES(tokenizer, SPACE, byte + 0xe2, byte + 0x96, byte + 0x81);
}

static void
test_accessors(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  const guint32 word = test_vocabulary_add(vocabulary, SPACE "a" SPACE, -1, NORMAL);
  g_autoptr(GemTokenizer) tokenizer = test_vocabulary_to_tokenizer(vocabulary);
  gsize length;

  g_assert_cmpuint(gem_tokenizer_n_tokens(tokenizer), ==, FIRST_PIECE + 1);
  g_assert_cmpuint(gem_tokenizer_bos(tokenizer), ==, BOS);
  g_assert_cmpuint(gem_tokenizer_eos(tokenizer), ==, EOS);
  g_assert_true(gem_tokenizer_is_control(tokenizer, USER));
  g_assert_false(gem_tokenizer_is_control(tokenizer, word));
  g_assert_false(gem_tokenizer_is_control(tokenizer, FIRST_PIECE + 1));
  g_assert_cmpuint(gem_tokenizer_find_control(tokenizer, "<|model|>"), ==, MODEL);
  g_assert_cmpuint(gem_tokenizer_find_control(tokenizer, "<|nobody|>"), ==, G_MAXUINT32);
  g_assert_cmpuint(gem_tokenizer_find_control(tokenizer, "<0x41>"), ==, G_MAXUINT32);
  g_assert_cmpstr(gem_tokenizer_token_piece(tokenizer, word), ==, SPACE "a" SPACE);

  g_assert_cmpstr(gem_tokenizer_token_bytes(tokenizer, word, &length), ==, " a ");
  g_assert_cmpuint(length, ==, 3);
  g_assert_cmpstr(gem_tokenizer_token_bytes(tokenizer, USER, &length), ==, "");
  g_assert_cmpuint(length, ==, 0);
  for (guint i = 0; i < 256; i++) {
    const char *bytes = gem_tokenizer_token_bytes(tokenizer, FIRST_BYTE + i, &length);

    g_assert_cmpuint(length, ==, 1);
    g_assert_cmpuint((guchar)bytes[0], ==, i);
  }
}

/* ---- templates ---- */

static void
assert_template(
    GemTokenizer *tokenizer, const char *ask_template, const char *text, const guint32 *expected, gsize n)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) tokens = new_tokens();

  g_assert_true(gem_tokenizer_encode_template(tokenizer, ask_template, text, tokens, &error));
  g_assert_no_error(error);
  g_assert_cmpmem(tokens->data, tokens->len * sizeof(guint32), expected, n * sizeof(guint32));
}

#define ASSERT_TEMPLATE(tokenizer, ask_template, text, ...)                                                  \
  assert_template(tokenizer, ask_template, text, (const guint32[]){__VA_ARGS__},                             \
                  sizeof((const guint32[]){__VA_ARGS__}) / sizeof(guint32))

static void
test_template(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = NULL;
  const guint32 ab = test_vocabulary_add(vocabulary, "ab", -1, NORMAL);
  const guint32 byte = FIRST_BYTE;

  tokenizer = test_vocabulary_to_tokenizer(vocabulary);
  ASSERT_TEMPLATE(tokenizer, NULL, "ab", BOS, ab);
  ASSERT_TEMPLATE(tokenizer, NULL, "", BOS);
  ASSERT_TEMPLATE(tokenizer, "<s><|user|>{text}<|model|>", "ab", BOS, USER, ab, MODEL);
  ASSERT_TEMPLATE(tokenizer, "<s><|user|>{text}<|model|>", "", BOS, USER, MODEL);
  /* The template's text and the caller's are one text. */
  ASSERT_TEMPLATE(tokenizer, "a{text}b<|model|>", "ba", ab, ab, MODEL);
  /* What a caller spells out is text. */
  ASSERT_TEMPLATE(tokenizer, "{text}</s>", "<s>", byte + '<', byte + 's', byte + '>', EOS);
  ASSERT_TEMPLATE(tokenizer, "<{text}", "s>", byte + '<', byte + 's', byte + '>');
  ASSERT_TEMPLATE(tokenizer, "{text}", "{t}", byte + '{', byte + 't', byte + '}');
}

static void
test_template_errors(void)
{
  static const struct {
    const char *ask_template, *text, *message;
  } cases[] = {
      {"<s><|user|>", "ab", "the template holds {text} not at all; it must hold it once"},
      {"{text}{text}", "ab", "the template holds {text} more than once; it must hold it once"},
      {"\xff{text}", "ab", "the template is no valid UTF-8"},
      {"<s>abc{text}", "ab\xff", "the text is no valid UTF-8 at byte 2"},
      {NULL, "a\xff", "the text is no valid UTF-8 at byte 1"},
  };
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GemTokenizer) tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) tokens = new_tokens();

    g_assert_false(
        gem_tokenizer_encode_template(tokenizer, cases[i].ask_template, cases[i].text, tokens, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_INVALID);
    g_assert_cmpstr(error->message, ==, cases[i].message);
    g_assert_cmpuint(tokens->len, ==, 0);
  }
}

/* ---- cost ---- */

/* Seconds of this thread's own time, which other processes disturb little. */
static double
thread_seconds(void)
{
  struct timespec now;

  g_assert_cmpint(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), ==, 0);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double
time_encode(GemTokenizer *tokenizer, const char *text, gsize length)
{
  g_autoptr(GArray) tokens = new_tokens();
  const double start = thread_seconds();

  g_assert_true(gem_tokenizer_encode(tokenizer, text, (gssize)length, tokens, NULL, NULL));
  return thread_seconds() - start;
}

/* Twice the text costs less than three times as much: by the best of the tries, of which a busy machine needs
 * more. */
static void
assert_near_linear(GemTokenizer *tokenizer, const char *pattern)
{
  const gsize megabyte = 1 << 20;
  g_autofree char *text = g_malloc(2 * megabyte);
  double once = G_MAXDOUBLE, twice = G_MAXDOUBLE;

  for (gsize i = 0; i < 2 * megabyte; i++) {
    text[i] = pattern[i % strlen(pattern)];
  }
  for (guint tries = 0; tries == 0 || (tries < 10 && twice >= 3 * once); tries++) {
    once = MIN(once, time_encode(tokenizer, text, megabyte));
    twice = MIN(twice, time_encode(tokenizer, text, 2 * megabyte));
  }
  g_test_message("1 MiB of \"%.8s\": %.0f ms, 2 MiB: %.0f ms", pattern, once * 1e3, twice * 1e3);
  g_assert_cmpfloat(twice, <, 3 * once);
}

static void
test_near_linear(void)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GString) run = g_string_new("a");
  g_autoptr(GemTokenizer) tokenizer = NULL;

  for (guint i = 0; i < 8; i++) {
    g_string_append(run, run->str);
    test_vocabulary_add(vocabulary, run->str, -(float)i, NORMAL);
  }
  test_vocabulary_add(vocabulary, "ba", -20, NORMAL);
  test_vocabulary_add(vocabulary, "ab", -21, NORMAL);
  test_vocabulary_add(vocabulary, SPACE "b", -22, NORMAL);
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);

  assert_near_linear(tokenizer, "a");
  assert_near_linear(tokenizer, "aab");
  assert_near_linear(tokenizer, "abaa baab aaaaaa b ");
  assert_near_linear(tokenizer, "?");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/tokenizer/best-score-first", test_best_score_first);
  g_test_add_func("/tokenizer/leftmost-of-ties", test_leftmost_of_ties);
  g_test_add_func("/tokenizer/spaces", test_spaces);
  g_test_add_func("/tokenizer/user-defined", test_user_defined);
  g_test_add_func("/tokenizer/unused-taken-apart", test_unused_taken_apart);
  g_test_add_func("/tokenizer/special-pieces-are-text", test_special_pieces_are_text);
  g_test_add_func("/tokenizer/offsets", test_offsets);
  g_test_add_func("/tokenizer/invalid-text", test_invalid_text);
  g_test_add_func("/tokenizer/decode", test_decode);
  g_test_add_func("/tokenizer/accessors", test_accessors);
  g_test_add_func("/tokenizer/template", test_template);
  g_test_add_func("/tokenizer/template-errors", test_template_errors);
  g_test_add_func("/tokenizer/near-linear", test_near_linear);
  return g_test_run();
}
