/* What is drawn from a corpus, and how often. */
#include <string.h>

#include "tests/gem-test-corpus.h"
#include "tests/gem-test-model.h"
#include "training/text/gem-task-choice.h"

/* ---- draws ---- */

static GemCorpus *
corpus_of(const GemTestCorpus *self, const char *legal, const char *general)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  options.tasks = FALSE;
  g_autofree char *dir = gem_test_folder_new();
  options.folder = dir;
  if (legal != NULL) {
    gem_test_write_text(dir, "corpus/legal.txt", legal);
  }
  if (general != NULL) {
    gem_test_write_text(dir, "corpus/general.txt", general);
  }
  GemCorpus *corpus = gem_test_corpus_load(self, &options);
  gem_test_folder_remove(dir);
  return corpus;
}

/* A long document comes in windows of the longest length side by side; the last may be shorter. */
static void
test_windows(GemTestCorpus *self, gconstpointer data)
{
  g_autoptr(GString) text = g_string_new("held out\n\n");
  for (guint i = 0; i < 25; i++) {
    g_string_append_c(text, (char)('a' + i));
  }
  g_autoptr(GemCorpus) corpus = corpus_of(self, text->str, NULL);
  const guint32 *tokens = (const guint32 *)(gpointer)gem_test_corpus_find(corpus, "legal")->tokens->data;
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
test_long_task(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  options.corpus = FALSE;
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
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
test_shares(GemTestCorpus *self, gconstpointer data)
{
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
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
test_labelled(GemTestCorpus *self, gconstpointer data)
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
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
  const GemSource *clauses = gem_test_corpus_find(corpus, "legal/clauses");
  g_assert_true(clauses->labelled);
  g_assert_false(gem_test_corpus_find(corpus, "legal/numbers")->labelled);
  g_assert_false(gem_test_corpus_find(corpus, "legal")->labelled);

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
test_times(GemTestCorpus *self, gconstpointer data)
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
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
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
      const GArray *tokens = gem_test_corpus_find(corpus, names[t])->tokens;
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

/* Domains by a power of their tokens: a fourth of them, a half as often. */
static void
test_domain_power(GemTestCorpus *self, gconstpointer data)
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
  GemCorpusOptions options = gem_test_corpus_options(self, GEM_SPLIT_TRAIN);
  options.tasks = FALSE;
  g_autoptr(GemCorpus) corpus = gem_test_corpus_load(self, &options);
  g_assert_cmpuint(gem_test_corpus_find(corpus, "stem")->tokens->len, ==,
                   4 * gem_test_corpus_find(corpus, "legal")->tokens->len);

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
test_check_draw(GemTestCorpus *self, gconstpointer data)
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

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(GemTestCorpus *self, gconstpointer data);
  } tests[] = {
      {"/corpus/draw/windows", test_windows},  {"/corpus/draw/long-task", test_long_task},
      {"/corpus/draw/shares", test_shares},    {"/corpus/draw/labelled", test_labelled},
      {"/corpus/draw/times", test_times},      {"/corpus/draw/domain-power", test_domain_power},
      {"/corpus/draw/check", test_check_draw},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, GemTestCorpus, NULL, gem_test_corpus_set_up, tests[i].run,
               gem_test_corpus_tear_down);
  }
  return g_test_run();
}
