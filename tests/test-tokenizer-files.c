/* The tokenizer's files: what is written is read back, what does not hold is refused, and no damage brings it
 * down. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-text.h"
#include "tests/gem-test-vocabulary.h"

#define SPACE "\xe2\x96\x81"

/* A vocabulary with some of everything. */
static TestVocabulary *
new_sample(void)
{
  TestVocabulary *vocabulary = test_vocabulary_new();

  test_vocabulary_add(vocabulary, "th", -1, NORMAL);
  test_vocabulary_add(vocabulary, SPACE "th", -2, NORMAL);
  test_vocabulary_add(vocabulary, SPACE "the", -3, NORMAL);
  test_vocabulary_add(vocabulary, SPACE SPACE, -4, UNUSED);
  test_vocabulary_add(vocabulary, "<br>", 0, USER_DEFINED);
  test_vocabulary_add(vocabulary, "e", -6, NORMAL);
  test_vocabulary_add(vocabulary, SPACE, -5, NORMAL);
  return vocabulary;
}

static GArray *
encode(GemTokenizer *tokenizer, const char *text)
{
  GArray *tokens = g_array_new(FALSE, FALSE, sizeof(guint32));

  g_assert_true(gem_tokenizer_encode(tokenizer, text, -1, tokens, NULL, NULL));
  return tokens;
}

static void
assert_same(GemTokenizer *first, GemTokenizer *second)
{
  g_autoptr(GRand) random = g_rand_new_with_seed((guint32)g_test_rand_int());

  g_assert_cmpuint(gem_tokenizer_n_tokens(first), ==, gem_tokenizer_n_tokens(second));
  g_assert_cmpuint(gem_tokenizer_bos(first), ==, gem_tokenizer_bos(second));
  g_assert_cmpuint(gem_tokenizer_eos(first), ==, gem_tokenizer_eos(second));
  for (guint i = 0; i < 100; i++) {
    g_autofree char *text = test_text_random(random, i);
    g_autofree char *line = g_strconcat(text, "  the<br> the", NULL);
    g_autoptr(GArray) ours = encode(first, line);
    g_autoptr(GArray) theirs = encode(second, line);
    g_autofree char *decoded = gem_tokenizer_decode(first, (const guint32 *)ours->data, ours->len);
    g_autofree char *decoded_too = gem_tokenizer_decode(second, (const guint32 *)ours->data, ours->len);

    g_assert_cmpmem(ours->data, ours->len * sizeof(guint32), theirs->data, theirs->len * sizeof(guint32));
    g_assert_cmpstr(decoded, ==, decoded_too);
  }
}

static GemTokenizer *
read_writer(GemGgufWriter *writer, GError **error)
{
  g_autoptr(GBytes) bytes = gem_gguf_writer_to_bytes(writer);
  g_autoptr(GemGguf) file = gem_gguf_new_from_bytes(bytes, "sample.gguf", NULL);

  g_assert_nonnull(file);
  return gem_tokenizer_new_from_gguf(file, error);
}

static GemTokenizer *
read_model(const guint8 *data, gsize length, GError **error)
{
  g_autofree char *path = NULL;
  const int fd = g_file_open_tmp("gem-tokenizer-XXXXXX.model", &path, NULL);
  GemTokenizer *tokenizer;

  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint(write(fd, data, length), ==, (gssize)length);
  g_assert_true(g_close(fd, NULL));
  tokenizer = gem_tokenizer_new_from_sentencepiece(path, error);
  g_unlink(path);
  return tokenizer;
}

/* ---- read back ---- */

static void
test_read_back(void)
{
  for (guint i = 0; i < 2; i++) {
    g_autoptr(TestVocabulary) vocabulary = new_sample();
    g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
    g_autoptr(GByteArray) model = NULL;
    g_autoptr(GemTokenizer) from_gguf = NULL, from_model = NULL, from_written = NULL;
    g_autoptr(GError) error = NULL;

    vocabulary->add_dummy_prefix = i == 1;
    model = test_vocabulary_to_sentencepiece(vocabulary);
    from_gguf = test_vocabulary_to_tokenizer(vocabulary);
    from_model = read_model(model->data, model->len, &error);
    g_assert_no_error(error);
    gem_tokenizer_write(from_model, writer);
    from_written = read_writer(writer, &error);
    g_assert_no_error(error);

    assert_same(from_gguf, from_model);
    assert_same(from_gguf, from_written);
  }
}

static void
test_round_trip(void)
{
  g_autoptr(GRand) random = g_rand_new_with_seed((guint32)g_test_rand_int());

  for (guint i = 0; i < 2; i++) {
    g_autoptr(TestVocabulary) vocabulary = new_sample();
    g_autoptr(GemTokenizer) tokenizer = NULL;

    vocabulary->add_dummy_prefix = i == 1;
    tokenizer = test_vocabulary_to_tokenizer(vocabulary);
    for (guint j = 0; j < 500; j++) {
      g_autofree char *text = test_text_random(random, j);
      g_autoptr(GArray) tokens = encode(tokenizer, text);
      g_autofree char *decoded = gem_tokenizer_decode(tokenizer, (const guint32 *)tokens->data, tokens->len);

      g_assert_cmpstr(decoded, ==, text);
    }
  }
}

/* ---- GGUF that is refused ---- */

static void
assert_refused(GemGgufWriter *writer, GemFormatError code, const char *message)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemTokenizer) tokenizer = read_writer(writer, &error);

  g_assert_null(tokenizer);
  g_assert_error(error, GEM_FORMAT_ERROR, (int)code);
  g_assert_nonnull(strstr(error->message, "sample.gguf"));
  if (!strstr(error->message, message)) {
    g_error("\"%s\" does not say \"%s\"", error->message, message);
  }
}

static void
test_gguf_keys_refused(void)
{
  g_autoptr(TestVocabulary) vocabulary = new_sample();
  const guint n = vocabulary->pieces->len;
  g_autofree float *scores = g_new0(float, n);
  g_autofree gint32 *types = g_new0(gint32, n);
  g_autoptr(GemGgufWriter) empty = gem_gguf_writer_new();

  assert_refused(empty, GEM_FORMAT_ERROR_MISSING, "tokenizer.ggml.model");
  for (guint i = 0; i < 8; i++) {
    g_autoptr(GemGgufWriter) writer = test_vocabulary_write_gguf(vocabulary);

    switch (i) {
    case 0:
      gem_gguf_writer_set_string(writer, "tokenizer.ggml.model", "gpt2");
      assert_refused(writer, GEM_FORMAT_ERROR_UNSUPPORTED, "is \"gpt2\"; only \"llama\"");
      break;
    case 1:
      gem_gguf_writer_set_bool(writer, "tokenizer.ggml.remove_extra_whitespaces", TRUE);
      assert_refused(writer, GEM_FORMAT_ERROR_UNSUPPORTED, "tokenizer.ggml.remove_extra_whitespaces");
      break;
    case 2:
      gem_gguf_writer_set_float_array(writer, "tokenizer.ggml.scores", scores, n - 1);
      assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, "268, 267 and 268 entries");
      break;
    case 3:
      gem_gguf_writer_set_int_array(writer, "tokenizer.ggml.token_type", types, n);
      assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, "token 0: type 0 is unknown");
      break;
    case 4:
      gem_gguf_writer_set_uint(writer, "tokenizer.ggml.bos_token_id", n);
      assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED,
                     "the beginning-of-sequence token is 268, but there are 268");
      break;
    case 5:
      gem_gguf_writer_set_string(writer, "tokenizer.ggml.eos_token_id", "2");
      assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, "tokenizer.ggml.eos_token_id");
      break;
    case 6:
      gem_gguf_writer_set_string_array(writer, "tokenizer.ggml.precompiled_charsmap",
                                       (const char *const[]){"x", NULL});
      assert_refused(writer, GEM_FORMAT_ERROR_UNSUPPORTED, "tokenizer.ggml.precompiled_charsmap");
      break;
    default:
      scores[7] = (float)G_MAXDOUBLE; /* infinite */
      gem_gguf_writer_set_float_array(writer, "tokenizer.ggml.scores", scores, n);
      assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, "token 7: the score is no finite number");
    }
  }
}

static void
test_pieces_refused(void)
{
  static const struct {
    const char *piece;
    gint32 type;
    const char *message;
  } cases[] = {
      {"", NORMAL, "token 268: the piece is empty"},
      {"a\xff", NORMAL, "token 268: the piece is no valid UTF-8"},
      {"th", NORMAL, "token 268: the piece is the same as token 261's"},
      {"<0x0A>", NORMAL, "token 268: the piece is the same as token 15's"},
      {"<0x0g>", BYTE, "token 268: a byte piece that does not read"},
      {"0x0A", BYTE, "token 268: a byte piece that does not read"},
      {"x", 7, "token 268: type 7 is unknown"},
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(TestVocabulary) vocabulary = new_sample();
    g_autoptr(GemGgufWriter) writer = NULL;

    test_vocabulary_add(vocabulary, cases[i].piece, 0, cases[i].type);
    writer = test_vocabulary_write_gguf(vocabulary);
    assert_refused(writer, GEM_FORMAT_ERROR_MALFORMED, cases[i].message);
  }
}

static void
test_missing_byte_refused(void)
{
  g_autoptr(TestVocabulary) vocabulary = new_sample();
  g_autoptr(GemGgufWriter) writer = NULL;

  g_array_remove_index(vocabulary->pieces, 5 + 0x41);
  writer = test_vocabulary_write_gguf(vocabulary);
  assert_refused(writer, GEM_FORMAT_ERROR_UNSUPPORTED, "there is no byte piece <0x41>");
}

static void
test_long_pieces(void)
{
  g_autoptr(TestVocabulary) vocabulary = new_sample();
  g_autofree char *longest = g_strnfill(2048, 'a');
  g_autofree char *too_long = g_strnfill(2049, 'b');
  g_autoptr(GemTokenizer) tokenizer = NULL;
  g_autoptr(GemGgufWriter) writer = NULL;

  test_vocabulary_add(vocabulary, longest, -1, NORMAL);
  tokenizer = test_vocabulary_to_tokenizer(vocabulary);
  g_assert_cmpuint(gem_tokenizer_n_tokens(tokenizer), ==, 269);
  test_vocabulary_add(vocabulary, too_long, -1, NORMAL);
  writer = test_vocabulary_write_gguf(vocabulary);
  assert_refused(writer, GEM_FORMAT_ERROR_UNSUPPORTED, "token 269: the piece has 2049 bytes, more than 2048");
}

/* ---- .model files ---- */

static void
test_model_settings_refused(void)
{
  /* Messages that are appended, and so take the place of what was set before: trainer_spec is field 2,
   * normalizer_spec 3, denormalizer_spec 5. */
  static const struct {
    const char *bytes;
    gsize length;
    const char *message;
  } cases[] = {
      {"\x12\x02\x18\x01", 4, "the model type is not BPE"},
      {"\x12\x03\x98\x02\x00", 5, "byte_fallback is off"},
      {"\x12\x03\xc0\x01\x01", 5, "treat_whitespace_as_suffix is on"},
      {"\x12\x05\xe2\x02\x02??", 7, "unk_surface is not the usual one"},
      {"\x1a\x03\x12\x01?", 5, "the normalization is not `identity`"},
      {"\x1a\x02\x20\x01", 4, "remove_extra_whitespaces is on"},
      {"\x1a\x02\x28\x00", 4, "escape_whitespaces is off"},
      {"\x2a\x03\x12\x01?", 5, "the normalization is not `identity`"},
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(TestVocabulary) vocabulary = new_sample();
    g_autoptr(GByteArray) model = test_vocabulary_to_sentencepiece(vocabulary);
    g_autoptr(GemTokenizer) tokenizer = NULL;
    g_autoptr(GError) error = NULL;

    g_byte_array_append(model, (const guint8 *)cases[i].bytes, (guint)cases[i].length);
    tokenizer = read_model(model->data, model->len, &error);
    g_assert_null(tokenizer);
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_UNSUPPORTED);
    g_assert_nonnull(strstr(error->message, cases[i].message));
  }
}

static void
test_model_missing(void)
{
  g_autoptr(GError) error = NULL;

  g_assert_null(gem_tokenizer_new_from_sentencepiece("/nonexistent/file.model", &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_assert_nonnull(strstr(error->message, "/nonexistent/file.model"));
}

/* A damaged file is refused with an error, or read as what it still says and then works. */
static void
assert_survives(const guint8 *data, gsize length)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemTokenizer) tokenizer = read_model(data, length, &error);
  g_autoptr(GArray) tokens = NULL;
  g_autofree char *text = NULL;

  if (!tokenizer) {
    g_assert_nonnull(error);
    return;
  }
  g_assert_no_error(error);
  tokens = encode(tokenizer, "the  the<br>\xf0\x9f\x98\x80 the");
  text = gem_tokenizer_decode(tokenizer, (const guint32 *)tokens->data, tokens->len);
  g_assert_nonnull(text);
}

static void
test_model_cut_short(void)
{
  g_autoptr(TestVocabulary) vocabulary = new_sample();
  g_autoptr(GByteArray) model = test_vocabulary_to_sentencepiece(vocabulary);

  for (guint n = 0; n < model->len; n += n < model->len - 200 ? 23 : 1) {
    g_autofree guint8 *cut = g_memdup2(model->data, MAX(n, 1)); /* so that a read past the end shows */

    assert_survives(cut, n);
  }
}

static void
test_model_damaged(void)
{
  g_autoptr(TestVocabulary) vocabulary = new_sample();
  g_autoptr(GByteArray) model = test_vocabulary_to_sentencepiece(vocabulary);

  for (guint i = 0; i < 1500; i++) {
    g_autofree guint8 *damaged = g_memdup2(model->data, model->len);

    for (gint flips = g_test_rand_int_range(1, 4); flips > 0; flips--) {
      damaged[g_test_rand_int_range(0, (gint)model->len)] ^= (guint8)(1 << g_test_rand_int_range(0, 8));
    }
    assert_survives(damaged, model->len);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/tokenizer-files/read-back", test_read_back);
  g_test_add_func("/tokenizer-files/round-trip", test_round_trip);
  g_test_add_func("/tokenizer-files/gguf-keys-refused", test_gguf_keys_refused);
  g_test_add_func("/tokenizer-files/pieces-refused", test_pieces_refused);
  g_test_add_func("/tokenizer-files/missing-byte-refused", test_missing_byte_refused);
  g_test_add_func("/tokenizer-files/long-pieces", test_long_pieces);
  g_test_add_func("/tokenizer-files/model-settings-refused", test_model_settings_refused);
  g_test_add_func("/tokenizer-files/model-missing", test_model_missing);
  g_test_add_func("/tokenizer-files/model-cut-short", test_model_cut_short);
  g_test_add_func("/tokenizer-files/model-damaged", test_model_damaged);
  return g_test_run();
}
