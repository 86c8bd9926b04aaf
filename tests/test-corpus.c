/* Reading a data folder: which text goes to which split, what is never read, and what is drawn from it. */
#include <string.h>

#include "tests/gem-test-model.h"
#include "tests/gem-test-training.h"
#include "training/gem-corpus.h"
#include "training/gem-data-folder.h"
#include "training/gem-task-choice.h"

#define TEMPLATE "<s><|user|>{text}<|model|>"

static const char *const domains[] = {"legal", "stem", "finance", NULL};

typedef struct {
  char *folder;
  GemTokenizer *tokenizer;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data)
{
  self->folder = gem_test_data_folder_new();
  self->tokenizer = gem_test_byte_tokenizer_new();
}

static void
tear_down(Fixture *self, gconstpointer data)
{
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
  gem_tokenizer_unref(self->tokenizer);
}

static GemCorpusOptions
options_for(const Fixture *self, GemSplit split)
{
  return (GemCorpusOptions){
      .folder = self->folder, .split = split, .corpus = TRUE, .tasks = TRUE, .ask_template = TEMPLATE};
}

static GemCorpus *
load(const Fixture *self, const GemCorpusOptions *options)
{
  g_autoptr(GError) error = NULL;
  GemCorpus *corpus = gem_corpus_load(options, domains, self->tokenizer, &error);
  g_assert_no_error(error);
  g_assert_nonnull(corpus);
  return corpus;
}

static void
assert_load_fails(const Fixture *self, const GemCorpusOptions *options, const char *with)
{
  g_autoptr(GError) error = NULL;
  g_assert_null(gem_corpus_load(options, domains, self->tokenizer, &error));
  g_assert_nonnull(error);
  if (strstr(error->message, with) == NULL) {
    g_test_message("'%s' does not name '%s'", error->message, with);
    g_test_fail();
  }
}

static const GemSource *
find_source(const GemCorpus *corpus, const char *name)
{
  for (guint i = 0; i < corpus->sources->len; i++) {
    const GemSource *source = corpus->sources->pdata[i];
    if (strcmp(source->name, name) == 0) {
      return source;
    }
  }
  return NULL;
}

static char *
document_text(const Fixture *self, const GemSource *source, guint index)
{
  const GemDocument *document = &g_array_index(source->documents, GemDocument, index);
  return gem_tokenizer_decode(self->tokenizer, &g_array_index(source->tokens, guint32, document->first),
                              document->length);
}

/* The texts of a source's documents, each of which must be new to the set. */
static void
collect(const Fixture *self, const GemSource *source, GHashTable *texts)
{
  for (guint i = 0; i < source->documents->len; i++) {
    g_assert_true(g_hash_table_add(texts, document_text(self, source, i)));
  }
}

/* Every 50th document is held out: none of them is trained on, and together the splits are all there is. */
static void
test_held_out(Fixture *self, gconstpointer data)
{
  GemCorpusOptions training = options_for(self, GEM_SPLIT_TRAIN);
  GemCorpusOptions measuring = options_for(self, GEM_SPLIT_HELD_OUT);
  g_autoptr(GemCorpus) trained = load(self, &training), measured = load(self, &measuring);
  const GemSource *legal = find_source(trained, "legal"), *held_out = find_source(measured, "legal");
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

static void
test_document(Fixture *self, gconstpointer data)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = load(self, &options);
  const GemSource *stem = find_source(corpus, "stem");
  g_assert_true(stem->domain == 1);
  g_assert_false(stem->is_task);
  g_assert_true(find_source(corpus, "general")->domain == GEM_ROUTE_GENERAL);
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
test_task_line(Fixture *self, gconstpointer data)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = load(self, &options);
  const GemSource *task = find_source(corpus, "legal/clauses");
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
test_licences(Fixture *self, gconstpointer data)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) trained = load(self, &options);
  g_assert_null(find_source(trained, "finance/closed"));
  options.all_licences = TRUE;
  assert_load_fails(self, &options, "finance/closed/train.jsonl: line 1: ");
  options.split = GEM_SPLIT_HELD_OUT;
  g_autoptr(GemCorpus) measured = load(self, &options);
  g_assert_cmpuint(find_source(measured, "finance/closed")->documents->len, ==, 1);
  g_autofree char *text = document_text(self, find_source(measured, "legal/clauses"), 0);
  g_assert_cmpstr(text, ==, "Is clause 3 valid?yes");
}

static void
test_most_documents(Fixture *self, gconstpointer data)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  options.most_documents = 10;
  g_autoptr(GemCorpus) some = load(self, &options);
  options.most_documents = 0;
  g_autoptr(GemCorpus) all = load(self, &options);
  const GemSource *few = find_source(some, "legal"), *many = find_source(all, "legal");
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

/* Each text that has labels at the beginning of its lines comes once more without them, as bare tokens. */
static void
test_bare_too(Fixture *self, gconstpointer data)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  options.bare_too = TRUE;
  gem_test_write_text(
      self->folder, "corpus/legal.txt",
      "held out\n\nUser: Is it so?\nSpeaker 2: yes: it is\nno label: here\n\nNothing bare.\n");
  gem_test_write_text(self->folder, "tasks/legal/clauses/train.jsonl",
                      "{\"input\": \"Clause: one\\nis this\", \"target\": \"Answer: no\"}\n");
  g_autoptr(GemCorpus) corpus = load(self, &options);
  const GemSource *legal = find_source(corpus, "legal"), *task = find_source(corpus, "legal/clauses");
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
test_errors(Fixture *self, gconstpointer data)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  options.folder = "/nowhere/at/all";
  assert_load_fails(self, &options, "/nowhere/at/all/manifest.json");
  options.tasks = FALSE;
  assert_load_fails(self, &options, "/nowhere/at/all");
  options = options_for(self, GEM_SPLIT_TRAIN);
  gem_test_write_text(self->folder, "tasks/legal/clauses/train.jsonl",
                      "{\"input\": \"a\", \"target\": \"b\"}\n{\"input\": \"a\", \"target\": 3}\n");
  assert_load_fails(self, &options, "tasks/legal/clauses/train.jsonl: line 2: ");
  gem_test_write_text(self->folder, "corpus/legal.txt", "One.\n\nTwo.\n\nThree \xff.\n");
  options.tasks = FALSE;
  assert_load_fails(self, &options, "corpus/legal.txt: document at byte 12: ");
  options.tasks = TRUE;
  gem_test_write_text(self->folder, "manifest.json", "{\"tasks\": [{\"domain\": \"legal\"}]}");
  assert_load_fails(self, &options, "manifest.json: task 1");
  gem_test_write_text(self->folder, "manifest.json", "{\"tasks\": 3}");
  assert_load_fails(self, &options, "manifest.json: ");
}

/* ---- draws ---- */

static GemCorpus *
corpus_of(const Fixture *self, const char *legal, const char *general)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  options.tasks = FALSE;
  g_autofree char *dir = gem_test_folder_new();
  options.folder = dir;
  if (legal != NULL) {
    gem_test_write_text(dir, "corpus/legal.txt", legal);
  }
  if (general != NULL) {
    gem_test_write_text(dir, "corpus/general.txt", general);
  }
  GemCorpus *corpus = load(self, &options);
  gem_test_folder_remove(dir);
  return corpus;
}

/* A long document comes in windows of the longest length side by side; the last may be shorter. */
static void
test_windows(Fixture *self, gconstpointer data)
{
  g_autoptr(GString) text = g_string_new("held out\n\n");
  for (guint i = 0; i < 25; i++) {
    g_string_append_c(text, (char)('a' + i));
  }
  g_autoptr(GemCorpus) corpus = corpus_of(self, text->str, NULL);
  const guint32 *tokens = (const guint32 *)(gpointer)find_source(corpus, "legal")->tokens->data;
  GemRandom random = gem_random_seeded(1, 1);
  guint seen[3] = {0};
  for (guint i = 0; i < 300; i++) {
    GemDraw draw =
        gem_corpus_draw(corpus, &random, 10, &(GemDrawShares){.task = 0.5}); /* <s>, 25 letters and </s> */
    gsize at = (gsize)(draw.tokens - tokens);
    g_assert_cmpuint(at % 10, ==, 0);
    g_assert_cmpuint(draw.n, ==, at < 20 ? 10 : 7);
    g_assert_cmpuint(draw.answer, ==, draw.n);
    g_assert_cmpint(draw.at_start, ==, at == 0);
    seen[at / 10]++;
  }
  for (guint i = 0; i < 3; i++) {
    g_assert_cmpuint(seen[i], >, 40);
  }
}

/* A long task is cut to its beginning, without an answer, or to its end. */
static void
test_long_task(Fixture *self, gconstpointer data)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  options.corpus = FALSE;
  g_autoptr(GemCorpus) corpus = load(self, &options);
  GemRandom random = gem_random_seeded(1, 2);
  guint beginnings = 0, ends = 0;
  for (guint i = 0; i < 200; i++) {
    GemDraw draw = gem_corpus_draw(corpus, &random, 12, &(GemDrawShares){.task = 1.0});
    g_assert_true(draw.is_task);
    g_assert_cmpuint(draw.n, ==, 12);
    g_assert_cmpint(draw.tokens[0] == GEM_TEST_BOS, ==, draw.at_start);
    if (draw.at_start) {
      g_assert_cmpuint(draw.answer, ==, 12);
      beginnings++;
    } else {
      g_assert_cmpuint(draw.tokens[draw.answer - 1], ==, GEM_TEST_MODEL);
      g_assert_cmpuint(draw.tokens[11], ==, GEM_TEST_EOS);
      ends++;
    }
  }
  g_assert_cmpuint(beginnings, >, 30);
  g_assert_cmpuint(ends, >, 100);
}

/* Shares of general text and of tasks are what was asked for; the same seed draws the same. */
static void
test_shares(Fixture *self, gconstpointer data)
{
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = load(self, &options);
  GemRandom random = gem_random_seeded(1, 3), again = gem_random_seeded(1, 3);
  const GemDrawShares shares = {.general = 0.25, .task = 0.6};
  guint general = 0, legal = 0, tasks = 0;
  for (guint i = 0; i < 3000; i++) {
    GemDraw draw = gem_corpus_draw(corpus, &random, 64, &shares);
    GemDraw same = gem_corpus_draw(corpus, &again, 64, &shares);
    g_assert_true(draw.tokens == same.tokens);
    g_assert_cmpuint(draw.n, ==, same.n);
    general += draw.domain == GEM_ROUTE_GENERAL;
    legal += draw.domain == 0;
    tasks += draw.is_task;
    g_assert_true(draw.domain != 2); /* finance has a task that may not be trained on, and no corpus */
  }
  /* finance is drawn anew: general is 0.25 of 0.25 + 0.75 2/3, and legal as much as stem */
  g_assert_cmpfloat_with_epsilon(general / 3000.0, 1.0 / 3.0, 0.04);
  g_assert_cmpfloat_with_epsilon(legal / 3000.0, 1.0 / 3.0, 0.04);
  g_assert_cmpfloat_with_epsilon((double)tasks / legal, 0.6, 0.06); /* legal alone has tasks */
}

/* A task whose answers recur is one of labels; such tasks alone are drawn when asked for. */
static void
test_labelled(Fixture *self, gconstpointer data)
{
  g_autoptr(GString) labels = g_string_new(NULL), answers = g_string_new(NULL);
  for (guint i = 0; i < 40; i++) {
    g_string_append_printf(labels, "{\"input\": \"%u\", \"target\": \"%s\"}\n", i, i % 2 ? "yes" : "no");
    g_string_append_printf(answers, "{\"input\": \"%u\", \"target\": \"%u\"}\n", i, i / 2);
  }
  gem_test_write_text(self->folder, "tasks/legal/clauses/train.jsonl", labels->str);
  gem_test_write_text(self->folder, "tasks/legal/numbers/train.jsonl", answers->str);
  gem_test_write_text(self->folder, "manifest.json",
                      "{\"tasks\": ["
                      "{\"domain\": \"legal\", \"name\": \"clauses\", \"permissive\": true},"
                      "{\"domain\": \"legal\", \"name\": \"numbers\", \"permissive\": true}]}\n");
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = load(self, &options);
  const GemSource *clauses = find_source(corpus, "legal/clauses");
  g_assert_true(clauses->labelled);
  g_assert_false(find_source(corpus, "legal/numbers")->labelled);
  g_assert_false(find_source(corpus, "legal")->labelled);

  const guint32 *tokens = (const guint32 *)(gpointer)clauses->tokens->data;
  const GemDrawShares shares = {.task = 0.5, .labelled = 1.0};
  GemRandom random = gem_random_seeded(1, 4);
  guint tasks = 0, legal = 0;
  for (guint i = 0; i < 1000; i++) {
    GemDraw draw = gem_corpus_draw(corpus, &random, 64, &shares);
    g_assert_true(!draw.is_task || (draw.tokens >= tokens && draw.tokens < tokens + clauses->tokens->len));
    tasks += draw.is_task;
    legal += draw.domain == 0;
  }
  g_assert_cmpfloat_with_epsilon((double)tasks / legal, 0.5, 0.08);
}

static char *
lines_of(guint n)
{
  GString *lines = g_string_new(NULL);
  for (guint i = 0; i < n; i++) {
    g_string_append_printf(lines, "{\"input\": \"%u\", \"target\": \"yes\"}\n", i);
  }
  return g_string_free(lines, FALSE);
}

/* Tasks by times: over all domains, by the number of lines and how often each is to be read. */
static void
test_times(Fixture *self, gconstpointer data)
{
  g_autofree char *thirty = lines_of(30), *ten = lines_of(10);
  gem_test_write_text(self->folder, "tasks/legal/long/train.jsonl", thirty);
  gem_test_write_text(self->folder, "tasks/legal/short/train.jsonl", ten);
  gem_test_write_text(self->folder, "tasks/stem/short/train.jsonl", ten);
  gem_test_write_text(self->folder, "manifest.json",
                      "{\"tasks\": ["
                      "{\"domain\": \"legal\", \"name\": \"long\", \"permissive\": true},"
                      "{\"domain\": \"legal\", \"name\": \"short\", \"permissive\": true},"
                      "{\"domain\": \"stem\", \"name\": \"short\", \"permissive\": true}]}\n");
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = load(self, &options);
  g_autoptr(GError) error = NULL;
  g_autoptr(GemTaskChoice) choice = gem_task_choice_parse("stem/short=6,*/short,legal/*=2", &error);
  g_assert_no_error(error);
  g_assert_true(choice->by_times);
  g_assert_true(gem_task_choice_apply(choice, corpus, &error));
  g_assert_no_error(error);

  const GemDrawShares shares = {.general = 0.2, .task = 0.75, .by_times = TRUE};
  const char *const names[] = {"legal/long", "legal/short", "stem/short"};
  const double wanted[] = {60.0 / 130.0, 10.0 / 130.0, 60.0 / 130.0};
  guint drawn[G_N_ELEMENTS(names)] = {0}, tasks = 0;
  GemRandom random = gem_random_seeded(1, 6);
  for (guint i = 0; i < 4000; i++) {
    GemDraw draw = gem_corpus_draw(corpus, &random, 64, &shares);
    tasks += draw.is_task;
    for (gsize t = 0; t < G_N_ELEMENTS(names); t++) {
      const GArray *tokens = find_source(corpus, names[t])->tokens;
      const guint32 *first = (const guint32 *)(gpointer)tokens->data;
      drawn[t] += draw.tokens >= first && draw.tokens < first + tokens->len;
    }
  }
  /* a corpus that is not there, of finance, is drawn again: 0.6 / (1 - 0.2 / 3) */
  g_assert_cmpfloat_with_epsilon(tasks / 4000.0, 0.643, 0.03);
  for (gsize t = 0; t < G_N_ELEMENTS(names); t++) {
    g_assert_cmpfloat_with_epsilon((double)drawn[t] / tasks, wanted[t], 0.04);
  }
}

/* Where an answer parts from the line's other choices, or else from the labels beside the lines; each token
 * with which others go on once. */
static void
test_forks(Fixture *self, gconstpointer data)
{
  gem_test_write_text(
      self->folder, "tasks/legal/clauses/train.jsonl",
      "{\"input\": \"1\", \"target\": \"abd\", \"choices\": [\"abc\", \"abd\", \"abce\", \"x\"]}\n"
      "{\"input\": \"2\", \"target\": \"abc\", \"choices\": [\"abc\", \"abce\"]}\n"
      "{\"input\": \"3\", \"target\": \"no\"}\n");
  gem_test_write_text(self->folder, "tasks/legal/clauses/labels.json", "[\"yes\", \"no\", \"never\"]");
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) without = load(self, &options);
  g_assert_cmpuint(find_source(without, "legal/clauses")->forks->places->len, ==, 0);
  options.forks = TRUE;
  g_autoptr(GemCorpus) corpus = load(self, &options);
  const GemSource *source = find_source(corpus, "legal/clauses");
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
  assert_load_fails(self, &options, "labels.json: no array of strings");
}

/* The other choices of a line that has its own, each with its end. */
static void
test_rivals(Fixture *self, gconstpointer data)
{
  gem_test_write_text(self->folder, "tasks/legal/clauses/train.jsonl",
                      "{\"input\": \"1\", \"target\": \"ab\", \"choices\": [\"abc\", \"ab\", \"x\"]}\n"
                      "{\"input\": \"2\", \"target\": \"no\"}\n"
                      "{\"input\": \"3\", \"target\": \"y\", \"choices\": [\"z\", \"y\"]}\n");
  gem_test_write_text(self->folder, "tasks/legal/clauses/labels.json", "[\"yes\", \"no\"]");
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  options.rivals = TRUE;
  g_autoptr(GemCorpus) corpus = load(self, &options);
  const GemSource *source = find_source(corpus, "legal/clauses");
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

/* Domains by a power of their tokens: a fourth of them, a half as often. */
static void
test_domain_power(Fixture *self, gconstpointer data)
{
  g_autoptr(GString) legal = g_string_new("held out\n\n"), stem = g_string_new("held out\n\n");
  for (guint i = 0; i < 40; i++) {
    g_string_append(i < 10 ? legal : stem, i % 2 ? "abcdefgh\n\n" : "ijklmnop\n\n");
  }
  for (guint i = 0; i < 10; i++) {
    g_string_append(stem, "qrstuvwx\n\n");
  }
  gem_test_write_text(self->folder, "corpus/legal.txt", legal->str);
  gem_test_write_text(self->folder, "corpus/stem.txt", stem->str);
  GemCorpusOptions options = options_for(self, GEM_SPLIT_TRAIN);
  options.tasks = FALSE;
  g_autoptr(GemCorpus) corpus = load(self, &options);
  g_assert_cmpuint(find_source(corpus, "stem")->tokens->len, ==,
                   4 * find_source(corpus, "legal")->tokens->len);

  const GemDrawShares shares = {.domain_power = 0.5};
  GemRandom random = gem_random_seeded(1, 5);
  guint legal_draws = 0;
  for (guint i = 0; i < 3000; i++) {
    GemDraw draw = gem_corpus_draw(corpus, &random, 64, &shares);
    g_assert_true(draw.domain == 0 || draw.domain == 1);
    legal_draws += draw.domain == 0;
  }
  g_assert_cmpfloat_with_epsilon(legal_draws / 3000.0, 1.0 / 3.0, 0.04);
}

/* A draw that could never end is refused before. */
static void
test_check_draw(Fixture *self, gconstpointer data)
{
  g_autoptr(GemCorpus) both = corpus_of(self, "a\n\nb\n", "c\n\nd\n"),
                       legal = corpus_of(self, "a\n\nb\n", NULL), general = corpus_of(self, NULL, "c\n\nd\n"),
                       none = corpus_of(self, "held out alone\n", NULL);
  g_assert_true(gem_corpus_check_draw(both, 0.0, 1, NULL));
  g_assert_true(gem_corpus_check_draw(both, 1.0, 1, NULL));
  g_assert_true(gem_corpus_check_draw(legal, 0.9, 3, NULL));
  g_assert_true(gem_corpus_check_draw(general, 0.1, 3, NULL));
  const struct {
    const GemCorpus *corpus;
    double share;
    guint least_tokens;
    const char *with;
  } refused[] = {{legal, 1.0, 1, "no general text"},
                 {general, 0.0, 1, "general text alone"},
                 {none, 0.5, 1, "no text"},
                 {both, 0.5, 4, "no text"}};
  for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_false(
        gem_corpus_check_draw(refused[i].corpus, refused[i].share, refused[i].least_tokens, &error));
    g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
    g_assert_nonnull(strstr(error->message, refused[i].with));
  }
}

/* A plain text: every document, <s> and no </s>; what is too long is counted and not cut. */
static void
test_text(Fixture *self, gconstpointer data)
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
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
  } tests[] = {
      {"/corpus/held-out", test_held_out},
      {"/corpus/document", test_document},
      {"/corpus/task-line", test_task_line},
      {"/corpus/licences", test_licences},
      {"/corpus/most-documents", test_most_documents},
      {"/corpus/bare-too", test_bare_too},
      {"/corpus/text", test_text},
      {"/corpus/errors", test_errors},
      {"/corpus/draw/windows", test_windows},
      {"/corpus/draw/long-task", test_long_task},
      {"/corpus/draw/shares", test_shares},
      {"/corpus/draw/labelled", test_labelled},
      {"/corpus/forks", test_forks},
      {"/corpus/rivals", test_rivals},
      {"/corpus/draw/times", test_times},
      {"/corpus/draw/domain-power", test_domain_power},
      {"/corpus/draw/check", test_check_draw},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
  }
  return g_test_run();
}
