/* The tokenizer against SentencePiece's own tools: over hand-made models by chance, and over models that
 * spm_train made. */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#include "tests/gem-test-text.h"
#include "tests/gem-test-vocabulary.h"

typedef struct {
  char *folder;
  char *model; /* path of the .model file */
  GRand *random;
} Fixture;

static void
fixture_set_up(Fixture *fixture, gconstpointer data)
{
  fixture->folder = g_dir_make_tmp("gem-tokenizer-XXXXXX", NULL);
  g_assert_nonnull(fixture->folder);
  fixture->model = g_build_filename(fixture->folder, "test.model", NULL);
  fixture->random = g_rand_new_with_seed((guint32)g_test_rand_int());
}

static void
fixture_tear_down(Fixture *fixture, gconstpointer data)
{
  g_autofree char *vocabulary = g_build_filename(fixture->folder, "test.vocab", NULL);
  g_autofree char *text = g_build_filename(fixture->folder, "text", NULL);

  g_unlink(fixture->model);
  g_unlink(vocabulary);
  g_unlink(text);
  g_assert_cmpint(g_rmdir(fixture->folder), ==, 0);
  g_free(fixture->folder);
  g_free(fixture->model);
  g_rand_free(fixture->random);
}

static gboolean
skip_without_tools(void)
{
  const char *tools[] = {"spm_encode", "spm_decode", "spm_train"};

  for (guint i = 0; i < G_N_ELEMENTS(tools); i++) {
    g_autofree char *path = g_find_program_in_path(tools[i]);

    if (!path) {
      g_test_skip("SentencePiece's tools are not installed (package sentencepiece)");
      return TRUE;
    }
  }
  return FALSE;
}

/* ---- running SentencePiece ---- */

/* What `tool` writes for `input`, line by line. */
static GStrv
run_tool(Fixture *fixture, const char *tool, const char *format, GString *input)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *model = g_strconcat("--model=", fixture->model, NULL);
  g_autoptr(GSubprocess) process = g_subprocess_new(
      G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE,
      &error, tool, model, format, NULL);
  g_autoptr(GBytes) bytes = g_bytes_new(input->str, input->len);
  g_autoptr(GBytes) output = NULL;
  g_autofree char *text = NULL;

  g_assert_no_error(error);
  g_assert_true(g_subprocess_communicate(process, bytes, NULL, &output, NULL, &error));
  g_assert_no_error(error);
  g_assert_true(g_subprocess_get_successful(process));
  text = g_strndup(g_bytes_get_data(output, NULL), g_bytes_get_size(output));
  return g_strsplit(text, "\n", -1);
}

static char *
ids_to_string(const GArray *tokens)
{
  GString *line = g_string_new(NULL);

  for (guint i = 0; i < tokens->len; i++) {
    g_string_append_printf(line, i > 0 ? " %u" : "%u", g_array_index(tokens, guint32, i));
  }
  return g_string_free(line, FALSE);
}

/* Every line of `lines` is encoded as spm_encode does it, and its ids decoded as spm_decode does it. */
static void
assert_lines_equal(Fixture *fixture, GemTokenizer *tokenizer, const char *const *lines)
{
  g_autoptr(GString) input = g_string_new(NULL);
  g_autoptr(GString) ids = g_string_new(NULL);
  g_auto(GStrv) encoded = NULL;
  g_auto(GStrv) decoded = NULL;

  for (guint i = 0; lines[i]; i++) {
    g_string_append_printf(input, "%s\n", lines[i]);
  }
  encoded = run_tool(fixture, "spm_encode", "--output_format=id", input);
  for (guint i = 0; lines[i]; i++) {
    g_string_append_printf(ids, "%s\n", encoded[i]);
  }
  decoded = run_tool(fixture, "spm_decode", "--input_format=id", ids);

  for (guint i = 0; lines[i]; i++) {
    g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autofree char *ours = NULL;
    g_autofree char *text = NULL;

    g_assert_true(gem_tokenizer_encode(tokenizer, lines[i], -1, tokens, NULL, NULL));
    ours = ids_to_string(tokens);
    g_assert_cmpstr(ours, ==, encoded[i]);
    text = gem_tokenizer_decode(tokenizer, (const guint32 *)tokens->data, tokens->len);
    g_assert_cmpstr(text, ==, decoded[i]);
  }
}

/* Ids by chance, as a model might give them, are decoded as spm_decode does it. NUL (which becomes U+FFFD
 * here) and line feed (which ends the tool's line) are left out. */
static void
assert_random_ids_equal(Fixture *fixture, GemTokenizer *tokenizer, guint n_lines)
{
  g_autoptr(GString) input = g_string_new(NULL);
  g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
  g_auto(GStrv) decoded = NULL;
  gsize length;

  for (guint i = 0; i < n_lines; i++) {
    GArray *tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autofree char *line = NULL;

    for (guint j = (guint)g_rand_int_range(fixture->random, 1, 20); j > 0; j--) {
      const guint32 token =
          (guint32)g_rand_int_range(fixture->random, 0, (gint32)gem_tokenizer_n_tokens(tokenizer));
      const char *bytes = gem_tokenizer_token_bytes(tokenizer, token, &length);

      if (length != 1 || (bytes[0] != '\0' && bytes[0] != '\n')) {
        g_array_append_val(tokens, token);
      }
    }
    line = ids_to_string(tokens);
    g_string_append_printf(input, "%s\n", line);
    g_ptr_array_add(lines, tokens);
  }
  decoded = run_tool(fixture, "spm_decode", "--input_format=id", input);

  for (guint i = 0; i < n_lines; i++) {
    const GArray *tokens = g_ptr_array_index(lines, i);
    g_autofree char *text = gem_tokenizer_decode(tokenizer, (const guint32 *)tokens->data, tokens->len);

    g_assert_cmpstr(text, ==, decoded[i]);
  }
}

static GemTokenizer *
open_model(Fixture *fixture)
{
  g_autoptr(GError) error = NULL;
  GemTokenizer *tokenizer = gem_tokenizer_new_from_sentencepiece(fixture->model, &error);

  g_assert_no_error(error);
  return tokenizer;
}

/* ---- hand-made models ---- */

/* `n` characters out of a few, so that pieces meet each other often. */
static char *
random_string(Fixture *fixture, guint n, const char *space)
{
  const char *characters[] = {"a", "a", "b", "b", "c", "\xc3\xa9", "\xf0\x9f\x98\x80", space, "d"};
  GString *text = g_string_new(NULL);

  for (guint i = 0; i < n; i++) {
    g_string_append(text, characters[g_rand_int_range(fixture->random, 0, G_N_ELEMENTS(characters))]);
  }
  return g_string_free(text, FALSE);
}

/* Few scores, so that there are ties. */
static void
write_random_model(Fixture *fixture, gboolean with_user_defined, gboolean with_unused)
{
  g_autoptr(TestVocabulary) vocabulary = test_vocabulary_new();
  g_autoptr(GByteArray) model = NULL;

  vocabulary->add_dummy_prefix = g_rand_boolean(fixture->random);
  for (guint i = 0; i < 60; i++) {
    g_autofree char *piece =
        random_string(fixture, (guint)g_rand_int_range(fixture->random, 1, 5), "\xe2\x96\x81");
    const gint chance = g_rand_int_range(fixture->random, 0, 20);
    const gint32 type = with_user_defined && chance == 0 ? USER_DEFINED
                        : with_unused && chance < 6      ? UNUSED
                                                         : NORMAL;

    if (!test_vocabulary_has(vocabulary, piece)) {
      test_vocabulary_add(vocabulary, piece, -(float)g_rand_int_range(fixture->random, 0, 12), type);
    }
  }
  model = test_vocabulary_to_sentencepiece(vocabulary);
  g_assert_true(g_file_set_contents(fixture->model, (const char *)model->data, model->len, NULL));
}

static void
test_random_models(Fixture *fixture, gconstpointer data)
{
  if (skip_without_tools()) {
    return;
  }
  for (guint i = 0; i < 40; i++) {
    g_autoptr(GemTokenizer) tokenizer = NULL;
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    write_random_model(fixture, i & 1, i & 2);
    tokenizer = open_model(fixture);
    for (guint j = 0; j < 40; j++) {
      g_ptr_array_add(lines, random_string(fixture, j, j % 8 == 0 ? "\xe2\x96\x81" : " "));
    }
    g_ptr_array_add(lines, NULL);
    assert_lines_equal(fixture, tokenizer, (const char *const *)lines->pdata);
    assert_random_ids_equal(fixture, tokenizer, 40);
  }
}

/* ---- trained models ---- */

static void
train_model(Fixture *fixture, const char *text, gboolean add_dummy_prefix)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_build_filename(fixture->folder, "text", NULL);
  g_autofree char *input = g_strconcat("--input=", path, NULL);
  g_autofree char *prefix = g_strdup_printf("--model_prefix=%s/test", fixture->folder);
  g_autofree char *dummy_prefix =
      g_strdup_printf("--add_dummy_prefix=%s", add_dummy_prefix ? "true" : "false");
  g_autoptr(GSubprocess) process = NULL;

  g_assert_true(g_file_set_contents(path, text, -1, &error));
  process = g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error,
                             "spm_train", input, prefix, dummy_prefix, "--vocab_size=1200",
                             "--hard_vocab_limit=false", "--model_type=bpe", "--byte_fallback=true",
                             "--normalization_rule_name=identity", "--remove_extra_whitespaces=false",
                             "--allow_whitespace_only_pieces=true", "--split_digits=true",
                             "--character_coverage=0.99", "--max_sentence_length=65536", "--num_threads=2",
                             "--control_symbols=<|user|>,<|model|>", "--user_defined_symbols=<br>,::", NULL);
  g_assert_no_error(error);
  g_assert_true(g_subprocess_wait_check(process, NULL, &error));
  g_assert_no_error(error);
}

/* Lines of made-up words, some much more often than others, with runs of spaces and digits. */
static char *
make_training_text(Fixture *fixture)
{
  GString *text = g_string_new(NULL);
  char *words[200];
  const guint n_words = G_N_ELEMENTS(words);

  for (guint i = 0; i < n_words; i++) {
    words[i] = test_text_random(fixture->random, 6);
  }
  for (guint i = 0; i < 20000; i++) {
    const double chance = g_rand_double(fixture->random);

    g_string_append(text, words[(guint)(chance * chance * chance * n_words)]);
    g_string_append(text, i % 12 == 0 ? "\n" : i % 7 == 0 ? "    " : i % 5 == 0 ? " 1984 " : " ");
  }
  for (guint i = 0; i < n_words; i++) {
    g_free(words[i]);
  }
  return g_string_free(text, FALSE);
}

static void
test_trained_models(Fixture *fixture, gconstpointer data)
{
  g_autofree char *training_text = NULL;

  if (skip_without_tools()) {
    return;
  }
  training_text = make_training_text(fixture);
  for (guint i = 0; i < 2; i++) {
    g_autoptr(GemTokenizer) tokenizer = NULL;
    g_auto(GStrv) training_lines = g_strsplit(training_text, "\n", -1);
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    train_model(fixture, training_text, i == 0);
    tokenizer = open_model(fixture);
    assert_lines_equal(fixture, tokenizer, (const char *const *)training_lines);

    for (guint j = 0; j < 300; j++) {
      g_ptr_array_add(lines, test_text_random(fixture->random, j));
    }
    g_ptr_array_add(lines, test_text_random(fixture->random, 30000)); /* about 100 kB */
    g_ptr_array_add(lines, g_strnfill(100000, 'a'));
    g_ptr_array_add(lines, g_strnfill(100000, ' '));
    g_ptr_array_add(lines, g_strdup("  <br>a::b:::<br <s></s><unk><|user|><0x41>\xe2\x96\x81 \xe2\x96\x81"));
    g_ptr_array_add(lines, g_strdelimit(g_strdup(training_text), " \n", '_')); /* no space at all */
    g_ptr_array_add(lines, NULL);
    assert_lines_equal(fixture, tokenizer, (const char *const *)lines->pdata);
    assert_random_ids_equal(fixture, tokenizer, 1000);
  }
}

/* ---- real text ---- */

/* Whole lines, about `size` bytes, from the middle of a file. */
static char *
read_middle(const char *path, gsize size)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *contents = NULL;
  char *first, *last;
  gsize length;

  g_assert_true(g_file_get_contents(path, &contents, &length, &error));
  g_assert_no_error(error);
  g_assert_nonnull(contents);
  first = length > size ? strchr(contents + (length - size) / 2, '\n') : contents;
  first = first ? first : contents;
  last = (gsize)(contents + length - first) > size ? strchr(first + size, '\n') : NULL;
  return g_strndup(first, last ? (gsize)(last - first) : strlen(first));
}

static void
test_real_text(Fixture *fixture, gconstpointer data)
{
  const char *folder = g_getenv("GEM_DATA");
  const char *domains[] = {"general", "multilingual", "legal", "stem", "conversational"};
  g_autoptr(GString) training_text = g_string_new(NULL);
  g_autoptr(GemTokenizer) tokenizer = NULL;

  if (!folder) {
    g_test_skip("GEM_DATA names no folder of real text");
    return;
  }
  if (skip_without_tools()) {
    return;
  }
  for (guint pass = 0; pass < 2; pass++) {
    for (guint i = 0; i < G_N_ELEMENTS(domains); i++) {
      g_autofree char *path = g_strdup_printf("%s/corpus/%s.txt", folder, domains[i]);
      g_autofree char *text = read_middle(path, pass == 0 ? 300000 : 2000000);
      g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

      if (pass == 0) {
        g_string_append(training_text, text);
      } else {
        assert_lines_equal(fixture, tokenizer, (const char *const *)lines);
      }
    }
    if (pass == 0) {
      train_model(fixture, training_text->str, FALSE);
      tokenizer = open_model(fixture);
    }
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/tokenizer-sentencepiece/random-models", Fixture, NULL, fixture_set_up, test_random_models,
             fixture_tear_down);
  g_test_add("/tokenizer-sentencepiece/trained-models", Fixture, NULL, fixture_set_up, test_trained_models,
             fixture_tear_down);
  g_test_add("/tokenizer-sentencepiece/real-text", Fixture, NULL, fixture_set_up, test_real_text,
             fixture_tear_down);
  return g_test_run();
}
