/* Reading a data folder: which text goes to which split, and what is never read. */
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/gem-test-corpus.h"
#include "tests/gem-test-model.h"
#include "training/text/gem-data-folder.h"

static char *
document_text(const GemTestCorpus *self, const GemSource *source, guint index)
{
  const GemDocument *document = &g_array_index(source->documents, GemDocument, index);
  return gem_tokenizer_decode(self->tokenizer, &g_array_index(source->tokens, guint32, document->first),
                              document->length);
}

/* The texts of a source's documents, each of which must be new to the set. */
static void
collect(const GemTestCorpus *self, const GemSource *source, GHashTable *texts)
{
  for (guint i = 0; i < source->documents->len; i++) {
    g_assert_true(g_hash_table_add(texts, document_text(self, source, i)));
  }
}

/* Every 50th document is held out: none of them is trained on, and together the splits are all there is. */
static void
test_held_out(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions training = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  GemCorpusOptions measuring = gem_test_corpus_options(self, GEM_SPLIT_HELD_OUT);
  g_autoptr(GemCorpus) trained = gem_test_corpus_load(self, &training),
                       measured = gem_test_corpus_load(self, &measuring);
  const GemSource *legal = gem_test_corpus_find(trained, "legal"),
                  *held_out = gem_test_corpus_find(measured, "legal");
  g_autoptr(GHashTable) texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_assert_cmpuint(legal->documents->len, ==, 117);
  g_assert_cmpuint(held_out->documents->len, ==, 3);
  for (guint i = 0; i < 3; i++) {
    g_autofree char *text = document_text(self, held_out, i);
    g_autofree char *expected = g_strdup_printf("The party of the first part shall indemnify number %u.%s",
                                                50 * i, 50 * i % 3 == 0 ? "\nAnd one more line." : "");
    g_assert_cmpstr(text, ==, expected);
  }
  collect(self, legal, texts);
  collect(self, held_out, texts); /* asserts that no text is in both */
  g_assert_cmpuint(g_hash_table_size(texts), ==, 120);
}

/* Blank lines before the first document are none of their own, which would shift all that are held out. */
static void
test_blank_lines(GemTestCorpus *self, gconstpointer data)
{
  const char text[] = "\n\n\none\ntwo\n\n\nthree\n";
  const char *at = text, *end = text + strlen(text), *document;
  gsize length;
  document = gem_data_next_document(&at, end, &length);
  g_assert_cmpmem(document, length, "one\ntwo", 7);
  document = gem_data_next_document(&at, end, &length);
  g_assert_cmpmem(document, length, "three", 5);
  g_assert_null(gem_data_next_document(&at, end, &length));
}

static void
test_document(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
  const GemSource *stem = gem_test_corpus_find(corpus, "stem");
  g_assert_true(stem->domain == 1);
  g_assert_false(stem->is_task);
  g_assert_true(gem_test_corpus_find(corpus, "general")->domain == GEM_ROUTE_GENERAL);
  gsize end = 0;
  for (guint i = 0; i < stem->documents->len; i++) {
    const GemDocument *document = &g_array_index(stem->documents, GemDocument, i);
    g_assert_cmpuint(document->first, ==, end);
    g_assert_cmpuint(document->answer, ==, 0);
    end += document->length;
    g_assert_cmpuint(g_array_index(stem->tokens, guint32, document->first), ==, GEM_TEST_BOS);
    g_assert_cmpuint(g_array_index(stem->tokens, guint32, end - 1), ==, GEM_TEST_EOS);
  }
  g_assert_cmpuint(stem->tokens->len, ==, end);
}

/* The template around the input, then the answer and the end. */
static void
test_task_line(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
  const GemSource *task = gem_test_corpus_find(corpus, "legal/clauses");
  g_assert_true(task->is_task);
  g_assert_true(task->domain == 0);
  g_assert_cmpuint(task->documents->len, ==, 2);
  const GemDocument *second = &g_array_index(task->documents, GemDocument, 1);
  const guint32 *tokens = &g_array_index(task->tokens, guint32, second->first);
  g_autofree char *prompt = gem_tokenizer_decode(self->tokenizer, tokens, second->answer);
  g_assert_cmpstr(prompt, ==, "Is clause 2 valid?");
  g_assert_cmpuint(tokens[0], ==, GEM_TEST_BOS);
  g_assert_cmpuint(tokens[1], ==, GEM_TEST_USER);
  g_assert_cmpuint(tokens[second->answer - 1], ==, GEM_TEST_MODEL);
  g_assert_cmpuint(second->length, ==, second->answer + 3);
  g_assert_cmpuint(tokens[second->answer], ==, GEM_TEST_BYTES + 'n');
  g_assert_cmpuint(tokens[second->answer + 1], ==, GEM_TEST_BYTES + 'o');
  g_assert_cmpuint(tokens[second->answer + 2], ==, GEM_TEST_EOS);
}

/* What may not be trained on is not even opened: its lines cannot be parsed. Measuring may read it all. */
static void
test_licences(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) trained = gem_test_corpus_load(self, &options);
  g_assert_null(gem_test_corpus_find(trained, "finance/closed"));
  options.all_licences = TRUE;
  gem_test_corpus_assert_fails(self, &options, "finance/closed/train.jsonl: line 1: ");
  options.split = GEM_SPLIT_HELD_OUT;
  g_autoptr(GemCorpus) measured = gem_test_corpus_load(self, &options);
  g_assert_cmpuint(gem_test_corpus_find(measured, "finance/closed")->documents->len, ==, 1);
  g_autofree char *text = document_text(self, gem_test_corpus_find(measured, "legal/clauses"), 0);
  g_assert_cmpstr(text, ==, "Is clause 3 valid?yes");
}

/* A file that is none, and a link that leads nowhere, are told of: it would be less text without a word.
 * What is not wanted is not looked at. */
static void
test_no_files(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autofree char *finance = g_build_filename(self->folder, "corpus/finance.txt", NULL);
  options.forks = TRUE;
  g_assert_cmpint(g_mkdir(finance, 0700), ==, 0);
  gem_test_corpus_assert_fails(self, &options, "corpus/finance.txt: cannot be read: Is a directory");
  g_assert_cmpint(g_rmdir(finance), ==, 0);
  g_assert_cmpint(symlink("nowhere", finance), ==, 0);
  gem_test_corpus_assert_fails(self, &options, "corpus/finance.txt: cannot be read: No such file");
  g_assert_cmpint(g_unlink(finance), ==, 0);
  gem_test_write_text(self->folder, "tasks/legal/clauses/labels.json/mine", "");
  gem_test_corpus_assert_fails(self, &options, "clauses/labels.json: cannot be read: Is a directory");
  options.forks = FALSE;
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
}

static void
test_most_documents(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  options.most_documents = 10;
  g_autoptr(GemCorpus) some = gem_test_corpus_load(self, &options);
  options.most_documents = 0;
  g_autoptr(GemCorpus) all = gem_test_corpus_load(self, &options);
  const GemSource *few = gem_test_corpus_find(some, "legal"), *many = gem_test_corpus_find(all, "legal");
  g_assert_cmpuint(few->documents->len, ==, 10);
  g_assert_cmpuint(gem_corpus_n_tokens(some), <, gem_corpus_n_tokens(all));
  /* from all over the file: the last is of its last tenth */
  g_autofree char *last = document_text(self, few, 9);
  gboolean found = FALSE;
  for (guint i = 105; i < 117; i++) {
    g_autofree char *text = document_text(self, many, i);
    found |= strcmp(text, last) == 0;
  }
  g_assert_true(found);
}

/* Of a task's lines as many as are asked for, evenly: the line end after the last begins no further one. */
static void
test_most_lines(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autoptr(GString) lines = g_string_new(NULL);
  for (guint i = 0; i < 20; i++) {
    g_string_append_printf(lines, "{\"input\": \"%c\", \"target\": \"x\"}\n%s", 'a' + i, i == 7 ? "\n" : "");
  }
  gem_test_write_text(self->folder, "tasks/legal/clauses/train.jsonl", lines->str);
  for (guint most = 1; most <= 20; most++) {
    options.most_documents = most;
    g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
    const GemSource *task = gem_test_corpus_find(corpus, "legal/clauses");
    g_assert_cmpuint(task->documents->len, ==, most);
    g_autofree char *last = document_text(self, task, most - 1);
    g_assert_cmpstr(last, ==, "tx");
  }
}

/* Each text that has labels at the beginning of its lines comes once more without them, as bare tokens. */
static void
test_bare_too(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  options.bare_too = TRUE;
  gem_test_write_text(
      self->folder, "corpus/legal.txt",
      "held out\n\nUser: Is it so?\nSpeaker 2: yes: it is\nno label: here\n\nNothing bare.\n");
  gem_test_write_text(self->folder, "tasks/legal/clauses/train.jsonl",
                      "{\"input\": \"Clause: one\\nis this\", \"target\": \"Answer: no\"}\n");
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
  const GemSource *legal = gem_test_corpus_find(corpus, "legal"),
                  *task = gem_test_corpus_find(corpus, "legal/clauses");
  g_assert_cmpuint(legal->documents->len, ==, 3);
  g_assert_cmpuint(task->documents->len, ==, 2);
  g_autofree char *whole = document_text(self, legal, 0), *bare = document_text(self, legal, 1);
  g_assert_cmpstr(whole, ==, "User: Is it so?\nSpeaker 2: yes: it is\nno label: here");
  g_assert_cmpstr(bare, ==, "Is it so?\nyes: it is\nno label: here");
  g_autofree char *bare_input = document_text(self, task, 1);
  g_assert_cmpstr(bare_input, ==, "one\nis this");
  g_assert_cmpuint(g_array_index(task->documents, GemDocument, 1).answer, ==, 0);
}

static void
test_errors(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  options.folder = "/nowhere/at/all";
  gem_test_corpus_assert_fails(self, &options, "/nowhere/at/all/manifest.json");
  options.tasks = FALSE;
  gem_test_corpus_assert_fails(self, &options, "/nowhere/at/all");
  options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  gem_test_write_text(self->folder, "tasks/legal/clauses/train.jsonl",
                      "{\"input\": \"a\", \"target\": \"b\"}\n{\"input\": \"a\", \"target\": 3}\n");
  gem_test_corpus_assert_fails(self, &options, "tasks/legal/clauses/train.jsonl: line 2: ");
  gem_test_write_text(self->folder, "corpus/legal.txt", "One.\n\nTwo.\n\nThree \xff.\n");
  options.tasks = FALSE;
  gem_test_corpus_assert_fails(self, &options, "corpus/legal.txt: document at byte 12: ");
  options.tasks = TRUE;
  gem_test_write_text(self->folder, "manifest.json", "{\"tasks\": [{\"domain\": \"legal\"}]}");
  gem_test_corpus_assert_fails(self, &options, "manifest.json: task 1");
  gem_test_write_text(self->folder, "manifest.json", "{\"tasks\": 3}");
  gem_test_corpus_assert_fails(self, &options, "manifest.json: ");
}

/* What the parser of JSON takes a part of, without a word: the line, or all lines after it, would be lost. */
static void
test_not_cut(GemTestCorpus *self, gconstpointer data)
{
#define LINE  "{\"input\": \"a\", \"target\": \"b\"}"
#define START "{\"target\": \"b\", \"input\": \"a"
  static const char file[] = "tasks/legal/clauses/train.jsonl";
  const struct {
    const char *line, *error; /* NULL: it is none */
  } lines[] = {{START "\\u0000b\"}", "line 2: a NUL in a string"},
               {START "\\\\u0000b\"}", NULL},
               {START "\\0b\"}", "line 2: an escape that JSON does not have"},
               {START "\\\\0b\"}", NULL},
               {START "\\\"[{' // \"}", NULL},
               {LINE " " LINE, "line 2: more than one value"},
               {"{'input': 'a', 'target': 'b'}", "line 2: a quote or a comment that JSON does not have"},
               {LINE " /* \" */", "line 2: a quote or a comment"}};
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
    g_autofree char *text = g_strconcat(LINE "\n", lines[i].line, "\n", NULL);
    gem_test_write_text(self->folder, file, text);
    if (lines[i].error != NULL) {
      gem_test_corpus_assert_fails(self, &options, lines[i].error);
    } else {
      gem_corpus_free(gem_test_corpus_load(self, &options));
    }
  }
  g_autofree char *deep = g_strnfill(1000000, '['), *text = g_strconcat(START "\", \"x\": ", deep, NULL);
  gem_test_write_text(self->folder, file, text);
  gem_test_corpus_assert_fails(self, &options, "line 1: values in values, more than 64 deep");
}

/* What comes after it would not be seen: here all but one document, which is held out. */
static void
test_nul(GemTestCorpus *self, gconstpointer data)
{
  static const char lines[] = LINE "\n\0\n" LINE "\n", corpus[] = "One \0.\n\nTwo.\n\nThree.\n";
  g_autofree char *task = g_build_filename(self->folder, "tasks/legal/clauses/train.jsonl", NULL),
                  *legal = g_build_filename(self->folder, "corpus/legal.txt", NULL);
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_assert_true(g_file_set_contents(task, lines, sizeof lines - 1, NULL));
  gem_test_corpus_assert_fails(self, &options, "clauses/train.jsonl: a NUL at byte 30");
  options.tasks = FALSE;
  g_assert_true(g_file_set_contents(legal, corpus, sizeof corpus - 1, NULL));
  gem_test_corpus_assert_fails(self, &options, "corpus/legal.txt: a NUL at byte 4");
}

/* Documents of which nothing would be learned, since they look like one. */
static void
test_line_ends(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  gem_test_write_text(self->folder, "corpus/legal.txt", "\nOne.\r\n\r\nTwo.\r\n\r\nThree.\r\n");
  gem_test_corpus_assert_fails(self, &options,
                               "corpus/legal.txt: one document, which is held out: lines end ");
  gem_test_write_text(self->folder, "corpus/legal.txt", "One.\r\n\nTwo.\r\n\r\nThree.\r\n");
  gem_corpus_free(gem_test_corpus_load(self, &options));
}

/* Where an answer parts from the line's other choices, or else from the labels beside the lines; each token
 * with which others go on once. */
static void
test_forks(GemTestCorpus *self, gconstpointer data)
{
  gem_test_write_text(
      self->folder, "tasks/legal/clauses/train.jsonl",
      "{\"input\": \"1\", \"target\": \"abd\", \"choices\": [\"abc\", \"abd\", \"abce\", \"x\"]}\n"
      "{\"input\": \"2\", \"target\": \"abc\", \"choices\": [\"abc\", \"abce\"]}\n"
      "{\"input\": \"3\", \"target\": \"no\"}\n");
  gem_test_write_text(self->folder, "tasks/legal/clauses/labels.json", "[\"yes\", \"no\", \"never\"]");
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) without = gem_test_corpus_load(self, &options);
  g_assert_cmpuint(gem_test_corpus_find(without, "legal/clauses")->forks->places->len, ==, 0);
  options.forks = TRUE;
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
  const GemSource *source = gem_test_corpus_find(corpus, "legal/clauses");
  const struct {
    guint document, depth, n;
    const char *others;
  } expected[] = {{0, 0, 1, "x"}, {0, 2, 1, "c"}, {1, 3, 1, "e"}, {2, 0, 1, "y"}, {2, 1, 1, "e"}};
  g_assert_cmpuint(source->forks->places->len, ==, G_N_ELEMENTS(expected));
  for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
    const GemFork *fork = &g_array_index(source->forks->places, GemFork, i);
    const GemDocument *document = &g_array_index(source->documents, GemDocument, expected[i].document);
    g_assert_cmpuint(i, >=, document->first_fork);
    g_assert_cmpuint(i, <, document->first_fork + document->n_forks);
    g_assert_cmpuint(fork->at, ==, document->first + document->answer + expected[i].depth);
    g_assert_cmpuint(fork->n, ==, expected[i].n);
    for (guint32 o = 0; o < fork->n; o++) {
      g_assert_cmpuint(g_array_index(source->forks->others, guint32, fork->first + o), ==,
                       GEM_TEST_BYTES + (guint8)expected[i].others[o]);
    }
  }
  g_assert_cmpuint(source->rivals->len, ==, 0);
  gem_test_write_text(self->folder, "tasks/legal/clauses/labels.json", "{}");
  gem_test_corpus_assert_fails(self, &options, "labels.json: no array of strings");
  gem_test_write_text(self->folder, "tasks/legal/clauses/labels.json", "[\"\xff\"]");
  gem_test_corpus_assert_fails(self, &options, "labels.json: ");
}

/* The other choices of a line that has its own, each with its end. */
static void
test_rivals(GemTestCorpus *self, gconstpointer data)
{
  gem_test_write_text(self->folder, "tasks/legal/clauses/train.jsonl",
                      "{\"input\": \"1\", \"target\": \"ab\", \"choices\": [\"abc\", \"ab\", \"x\"]}\n"
                      "{\"input\": \"2\", \"target\": \"no\"}\n"
                      "{\"input\": \"3\", \"target\": \"y\", \"choices\": [\"z\", \"y\"]}\n");
  gem_test_write_text(self->folder, "tasks/legal/clauses/labels.json", "[\"yes\", \"no\"]");
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  options.rivals = TRUE;
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
  const GemSource *source = gem_test_corpus_find(corpus, "legal/clauses");
  static const char *const expected[] = {"abc", "x", "z"};
  static const guint n_rivals[] = {2, 0, 1};
  g_assert_cmpuint(source->forks->places->len, ==, 0);
  g_assert_cmpuint(source->rivals->len, ==, G_N_ELEMENTS(expected));
  for (guint d = 0, r = 0; d < G_N_ELEMENTS(n_rivals); r += n_rivals[d++]) {
    const GemDocument *document = &g_array_index(source->documents, GemDocument, d);
    g_assert_cmpuint(document->n_rivals, ==, n_rivals[d]);
    g_assert_true(n_rivals[d] == 0 || document->first_rival == r);
  }
  for (guint r = 0; r < G_N_ELEMENTS(expected); r++) {
    const GemRival *rival = &g_array_index(source->rivals, GemRival, r);
    g_assert_cmpuint(rival->n, ==, strlen(expected[r]) + 1);
    for (guint32 i = 0; i + 1 < rival->n; i++) {
      g_assert_cmpuint(g_array_index(source->rival_tokens, guint32, rival->first + i), ==,
                       GEM_TEST_BYTES + (guint8)expected[r][i]);
    }
    g_assert_cmpuint(g_array_index(source->rival_tokens, guint32, rival->first + rival->n - 1), ==, 2);
  }
}

/* A plain text: every document, <s> and no </s>; what is too long is counted and not cut. */
static void
test_text(GemTestCorpus *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->folder, "text.txt", NULL);
  g_autoptr(GError) error = NULL;
  guint left_out = 99;
  gem_test_write_text(self->folder, "text.txt", "\nab\ncd\n\n\nabcdefgh\n\nxyz\n");
  g_autoptr(GemCorpus) corpus = gem_corpus_load_text(path, 1, 6, self->tokenizer, &left_out, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(left_out, ==, 1);
  const GemSource *source = corpus->sources->pdata[0];
  g_assert_cmpstr(source->name, ==, path);
  g_assert_true(source->domain == 1);
  g_assert_cmpuint(source->documents->len, ==, 2);
  const char *texts[] = {"ab\ncd", "xyz"};
  for (guint i = 0; i < 2; i++) {
    const GemDocument *document = &g_array_index(source->documents, GemDocument, i);
    const guint32 *tokens = &g_array_index(source->tokens, guint32, document->first);
    g_autoptr(GArray) expected = g_array_new(FALSE, FALSE, sizeof(guint32));
    guint32 bos = gem_tokenizer_bos(self->tokenizer);
    g_array_append_val(expected, bos);
    g_assert_true(gem_tokenizer_encode(self->tokenizer, texts[i], -1, expected, NULL, NULL));
    g_assert_cmpmem(tokens, document->length * sizeof *tokens, expected->data,
                    expected->len * sizeof *tokens);
  }
  g_assert_null(gem_corpus_load_text("/nonexistent.txt", 1, 6, self->tokenizer, &left_out, &error));
  g_assert_nonnull(strstr(error->message, "/nonexistent.txt"));
  g_clear_error(&error);
  g_assert_true(g_file_set_contents(path, "ab\n\nc\0\n\nd", 9, NULL));
  g_assert_null(gem_corpus_load_text(path, 1, 6, self->tokenizer, &left_out, &error));
  g_assert_nonnull(strstr(error->message, "text.txt: a NUL at byte 5"));
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(GemTestCorpus *self, gconstpointer data);
  } tests[] = {
      {"/corpus/held-out", test_held_out},
      {"/corpus/blank-lines", test_blank_lines},
      {"/corpus/document", test_document},
      {"/corpus/task-line", test_task_line},
      {"/corpus/licences", test_licences},
      {"/corpus/most-documents", test_most_documents},
      {"/corpus/most-lines", test_most_lines},
      {"/corpus/no-files", test_no_files},
      {"/corpus/bare-too", test_bare_too},
      {"/corpus/text", test_text},
      {"/corpus/errors", test_errors},
      {"/corpus/forks", test_forks},
      {"/corpus/rivals", test_rivals},
      {"/corpus/not-cut", test_not_cut},
      {"/corpus/nul", test_nul},
      {"/corpus/line-ends", test_line_ends},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, GemTestCorpus, NULL, gem_test_corpus_set_up, tests[i].run,
               gem_test_corpus_tear_down);
  }
  return g_test_run();
}
