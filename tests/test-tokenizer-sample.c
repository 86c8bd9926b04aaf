/* The sample that a tokenizer is trained on, and `gem-train tokenizer` from end to end, over a data folder
 * made here. */
#include <errno.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "format/gem-tokenizer.h"
#include "tests/gem-test-program.h"
#include "training/text/gem-tokenizer-sample.h"

typedef struct {
  char *folder;
  char *sample;
} Fixture;

static void
write_file(Fixture *fixture, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename(fixture->folder, name, NULL);
  g_autofree char *folder = g_path_get_dirname(path);

  g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
  g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* Documents of ten lines, about `size` bytes. Every line tells its domain; of the documents that are held
 * out, that too. */
static void
write_corpus(Fixture *fixture, const char *domain, gsize size)
{
  g_autofree char *name = g_strdup_printf("corpus/%s.txt", domain);
  g_autoptr(GString) text = g_string_new(NULL);

  for (guint document = 0; text->len < size; document++) {
    for (guint line = 0; line < 10; line++) {
      g_string_append_printf(text, "@%s %s, the words of line %u of document %u\n", domain,
                             document % 50 == 0 ? "HELDOUT" : "corpus", line, document);
    }
    g_string_append_c(text, '\n');
  }
  write_file(fixture, name, text->str);
}

/* `size` bytes of input, in lines, with quotes and a line end that JSON escapes. */
static void
write_task(Fixture *fixture, const char *domain, const char *task, const char *mark, gsize size)
{
  const char *splits[] = {"train", "dev", "test"};

  for (guint i = 0; i < G_N_ELEMENTS(splits); i++) {
    g_autofree char *name = g_strdup_printf("tasks/%s/%s/%s.jsonl", domain, task, splits[i]);
    g_autoptr(GString) text = g_string_new(NULL);

    while (text->len < size) {
      g_string_append_printf(text,
                             "{\"id\": \"1\", \"input\": \"@%s \\\"%s\\\"\\nsecond %s\", \"choices\": "
                             "[\"a\"], \"target\": \"@%s answer\"}\n",
                             domain, i == 0 ? mark : "MEASURED", mark, domain);
    }
    write_file(fixture, name, text->str);
  }
}

static void
fixture_set_up(Fixture *fixture, gconstpointer data)
{
  fixture->folder = g_dir_make_tmp("gem-sample-XXXXXX", NULL);
  g_assert_nonnull(fixture->folder);
  fixture->sample = g_build_filename(fixture->folder, "sample.txt", NULL);
  write_corpus(fixture, "small", 20000);
  write_corpus(fixture, "large", 600000);
  write_corpus(fixture, "multilingual", 600000);
  write_task(fixture, "large", "open", "OPEN", 300000);
  write_task(fixture, "large", "closed", "CLOSED", 100000);
  write_file(fixture, "manifest.json",
             "{\"suite\": [], \"tasks\": [{\"domain\": \"large\", \"name\": \"open\", \"permissive\": true},"
             "{\"domain\": \"large\", \"name\": \"closed\", \"permissive\": false},"
             "{\"domain\": \"large\", \"name\": \"absent\", \"permissive\": true}]}");
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
  return remove(path);
}

static void
fixture_tear_down(Fixture *fixture, gconstpointer data)
{
  g_assert_cmpint(nftw(fixture->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), ==, 0);
  g_free(fixture->folder);
  g_free(fixture->sample);
}

static guint n_domains_told;

static void
count_domain(const char *domain, gsize taken, gsize available)
{
  n_domains_told++;
  g_assert_cmpuint(taken, <=, available);
}

static char *
take_sample(Fixture *fixture, gsize bytes, guint64 seed)
{
  g_autoptr(GError) error = NULL;
  char *text = NULL;

  n_domains_told = 0;
  g_assert_true(
      gem_tokenizer_sample_write(fixture->folder, bytes, seed, fixture->sample, count_domain, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(n_domains_told, ==, 3);
  g_assert_true(g_file_get_contents(fixture->sample, &text, NULL, NULL));
  return text;
}

/* Bytes of the lines that hold `mark`. */
static double
bytes_of(const char *text, const char *mark)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  double n = 0;

  for (guint i = 0; lines[i]; i++) {
    if (strstr(lines[i], mark)) {
      n += (double)strlen(lines[i]) + 1;
    }
  }
  return n;
}

static void
assert_near(double value, double expected)
{
  g_assert_cmpfloat(value, >, 0.9 * expected);
  g_assert_cmpfloat(value, <, 1.1 * expected);
}

static void
test_shares(Fixture *fixture, gconstpointer data)
{
  g_autofree char *text = take_sample(fixture, 320000, 1);
  const double rest = 320000 - bytes_of(text, "@small");

  assert_near((double)strlen(text), 320000);
  /* The small domain gives all that it has, but what is held out; the others share the rest by weight. */
  g_assert_cmpfloat(bytes_of(text, "@small"), >, 18000);
  assert_near(bytes_of(text, "@multilingual"), rest * 1.5 / 2.5);
  assert_near(bytes_of(text, "@large corpus"), rest / 2.5 * 0.6);
  g_assert_cmpfloat(bytes_of(text, "@large \"OPEN\""), >, rest / 2.5 * 0.1);
  g_assert_cmpfloat(bytes_of(text, "@large answer"), >, rest / 2.5 * 0.1);
  g_assert_cmpfloat(bytes_of(text, "second OPEN"), >, 0);
}

static void
test_left_out(Fixture *fixture, gconstpointer data)
{
  const char *marks[] = {"HELDOUT", "MEASURED", "CLOSED"};
  g_autofree char *text = take_sample(fixture, 10000000, 1); /* more than there is: all of it */

  assert_near(bytes_of(text, "@large corpus"), 588000);
  for (guint i = 0; i < G_N_ELEMENTS(marks); i++) {
    g_assert_null(strstr(text, marks[i]));
  }
  g_assert_null(strstr(text, "\n\n"));
}

static void
test_seed(Fixture *fixture, gconstpointer data)
{
  g_autofree char *first = take_sample(fixture, 50000, 1);
  g_autofree char *again = take_sample(fixture, 50000, 1);
  g_autofree char *other = take_sample(fixture, 50000, 2);

  g_assert_cmpstr(first, ==, again);
  g_assert_cmpstr(first, !=, other);
}

static void
assert_fails(Fixture *fixture, const char *message)
{
  g_autoptr(GError) error = NULL;

  g_assert_false(gem_tokenizer_sample_write(fixture->folder, 1000, 1, fixture->sample, count_domain, &error));
  g_assert_nonnull(error);
  if (!strstr(error->message, message)) {
    g_error("\"%s\" does not say \"%s\"", error->message, message);
  }
}

static void
test_errors(Fixture *fixture, gconstpointer data)
{
  g_autofree char *corpus = g_build_filename(fixture->folder, "corpus", NULL);
  g_autofree char *elsewhere = g_build_filename(fixture->folder, "elsewhere", NULL);
  g_autofree char *small = g_build_filename(corpus, "small.txt", NULL);

  write_file(fixture, "tasks/large/open/train.jsonl",
             "{\"input\": \"a\", \"target\": \"b\"}\n{\"input\": \n");
  assert_fails(fixture, "train.jsonl: line 2: ");
  write_file(fixture, "tasks/large/open/train.jsonl", "\n[1]\n");
  assert_fails(fixture, "train.jsonl: line 2: no object with the strings \"input\" and \"target\"");
  write_file(fixture, "tasks/large/open/train.jsonl", "");
  g_assert_true(g_file_set_contents(small, "One.\n\0two.\n", 11, NULL));
  assert_fails(fixture, "corpus/small.txt: a NUL at byte 5");
  write_file(fixture, "corpus/small.txt", "");
  write_file(fixture, "manifest.json", "{\"tasks\": [3]}");
  assert_fails(fixture, "manifest.json: task 1 has no domain or no name");
  write_file(fixture, "manifest.json", "{\"tasks\": 3}");
  assert_fails(fixture, "manifest.json: there is no array \"tasks\"");
  g_assert_cmpint(g_rename(corpus, elsewhere), ==, 0);
  assert_fails(fixture, corpus);
}

static void
limit_files(rlim_t most)
{
  struct rlimit limit;

  g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
  limit.rlim_cur = MIN(most, limit.rlim_max);
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

static void
make_room(const char *domain, gsize taken, gsize available)
{
  limit_files(RLIM_INFINITY);
  errno = 0;
}

/* What could not be written is told of with its cause, though there is room again before the end. */
static void
test_no_room(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
  gboolean written;

  limit_files(4096);
  written = gem_tokenizer_sample_write(fixture->folder, 500000, 1, fixture->sample, make_room, &error);
  signal(SIGXFSZ, before);
  g_assert_false(written);
  g_assert_nonnull(strstr(error->message, "sample.txt: cannot be written: "));
  g_assert_nonnull(strstr(error->message, g_strerror(EFBIG)));
}

/* ---- the command ---- */

/* gem-train tokenizer over the fixture's folder. */
static GSubprocess *
start_command(Fixture *fixture, GSubprocessLauncher *launcher, const char *vocabulary, const char *output)
{
  const char *const arguments[] = {"tokenizer", "--data",   fixture->folder, "--sample-mb", "1",
                                   "--vocab",   vocabulary, "--output",      output};
  g_autoptr(GPtrArray) words = gem_test_program_words("training", "gem-train");
  g_autoptr(GError) error = NULL;
  GSubprocess *process;

  for (guint i = 0; i < G_N_ELEMENTS(arguments); i++) {
    g_ptr_array_add(words, g_strdup(arguments[i]));
  }
  g_ptr_array_add(words, NULL);
  process = g_subprocess_launcher_spawnv(launcher, (const char *const *)words->pdata, &error);
  g_assert_no_error(error);
  return process;
}

static GSubprocess *
run_command(Fixture *fixture, const char *vocabulary, const char *output)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  g_autoptr(GError) error = NULL;
  GSubprocess *process = start_command(fixture, launcher, vocabulary, output);

  g_assert_true(g_subprocess_wait(process, NULL, &error));
  g_assert_no_error(error);
  return process;
}

static gboolean
skip_without_trainer(void)
{
  g_autofree char *trainer = g_find_program_in_path("spm_train");

  if (!trainer) {
    g_test_skip("spm_train is not installed (package sentencepiece)");
  }
  return trainer == NULL;
}

/* Words enough for a vocabulary of 512. */
static void
write_varied_corpus(Fixture *fixture)
{
  const char *syllables[] = {"ba", "ren", "to", "li", "sku", "mo", "na", "tri", "vel", "ga", "pho", "de"};
  g_autoptr(GString) text = g_string_new(NULL);

  for (guint i = 0; i < 4000; i++) {
    g_string_append_printf(text, "%s%s%s%s", syllables[i % 12], syllables[i / 12 % 12],
                           syllables[i / 144 % 12], i % 20 == 0 ? "\n\n" : " ");
  }
  write_file(fixture, "corpus/varied.txt", text->str);
}

static void
test_command(Fixture *fixture, gconstpointer data)
{
  const char *text = "the words of line 42, and what was never seen: \xc3\xa9\xf0\x9f\x98\x80";
  g_autofree char *output = g_build_filename(fixture->folder, "tokenizer.gguf", NULL);
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GemGguf) file = NULL;
  g_autoptr(GemTokenizer) tokenizer = NULL;
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autoptr(GError) error = NULL;
  g_autofree char *decoded = NULL;

  if (skip_without_trainer()) {
    return;
  }
  write_varied_corpus(fixture);
  process = run_command(fixture, "512", output);
  g_assert_cmpint(g_subprocess_get_exit_status(process), ==, 0);

  file = gem_gguf_open(output, &error);
  g_assert_no_error(error);
  tokenizer = gem_tokenizer_new_from_gguf(file, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(gem_tokenizer_n_tokens(tokenizer), ==, 512);
  g_assert_cmpuint(gem_tokenizer_bos(tokenizer), ==, 1);
  g_assert_cmpuint(gem_tokenizer_eos(tokenizer), ==, 2);
  g_assert_cmpuint(gem_tokenizer_find_control(tokenizer, "<|user|>"), ==, 3);
  g_assert_cmpuint(gem_tokenizer_find_control(tokenizer, "<|model|>"), ==, 4);

  g_assert_true(gem_tokenizer_encode(tokenizer, text, -1, tokens, NULL, NULL));
  g_assert_cmpuint(tokens->len, <, strlen(text));
  decoded = gem_tokenizer_decode(tokenizer, (const guint32 *)tokens->data, tokens->len);
  g_assert_cmpstr(decoded, ==, text);
}

static void
test_command_fails(Fixture *fixture, gconstpointer data)
{
  g_autofree char *output = g_build_filename(fixture->folder, "tokenizer.model", NULL);
  g_autofree char *unknown_kind = g_build_filename(fixture->folder, "tokenizer.txt", NULL);
  g_autoptr(GSubprocess) wrong = run_command(fixture, "512", unknown_kind);
  g_autoptr(GSubprocess) impossible = NULL;

  g_assert_cmpint(g_subprocess_get_exit_status(wrong), ==, 2);
  if (skip_without_trainer()) {
    return;
  }
  impossible = run_command(fixture, "200000", output); /* more than this text can give */
  g_assert_cmpint(g_subprocess_get_exit_status(impossible), ==, 1);
  g_assert_false(g_file_test(output, G_FILE_TEST_EXISTS));
}

/* A trainer that never ends. It tells that it runs by a file beside itself. */
static void
write_endless_trainer(Fixture *fixture)
{
  g_autofree char *path = g_build_filename(fixture->folder, "bin", "spm_train", NULL);

  write_file(fixture, "bin/spm_train", "#!/bin/sh\n: >\"$0.runs\"\nexec sleep 1000\n");
  g_assert_cmpint(g_chmod(path, 0700), ==, 0);
}

static GSubprocess *
spawn_interruptible(Fixture *fixture, const char *temporary, const char *output)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autofree char *search = g_strdup_printf("%s/bin:%s", fixture->folder, g_getenv("PATH"));

  g_subprocess_launcher_setenv(launcher, "PATH", search, TRUE);
  g_subprocess_launcher_setenv(launcher, "TMPDIR", temporary, TRUE);
  return start_command(fixture, launcher, "512", output);
}

/* Sent to gem-train alone, either signal ends its trainer, too, and nothing is left. */
static void
check_interrupted(Fixture *fixture, int number)
{
  g_autofree char *output = g_build_filename(fixture->folder, "tokenizer.gguf", NULL);
  g_autofree char *temporary = g_build_filename(fixture->folder, "temporary", NULL);
  g_autofree char *runs = g_build_filename(fixture->folder, "bin", "spm_train.runs", NULL);
  g_autofree char *told = NULL;
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint(g_mkdir(temporary, 0700), ==, 0);
  process = spawn_interruptible(fixture, temporary, output);
  while (!g_file_test(runs, G_FILE_TEST_EXISTS)) {
    g_usleep(1000);
  }
  g_subprocess_send_signal(process, number);
  g_assert_true(g_subprocess_communicate_utf8(process, NULL, NULL, NULL, &told, &error));
  g_assert_no_error(error);
  g_assert_cmpint(g_subprocess_get_exit_status(process), ==, 1);
  g_assert_nonnull(strstr(told, "interrupted"));
  g_assert_false(g_file_test(output, G_FILE_TEST_EXISTS));
  g_assert_cmpint(g_rmdir(temporary), ==, 0); /* it is empty */
  g_assert_cmpint(g_unlink(runs), ==, 0);
}

static void
test_interrupted(Fixture *fixture, gconstpointer data)
{
  write_endless_trainer(fixture);
  check_interrupted(fixture, SIGINT);
  check_interrupted(fixture, SIGTERM);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*run)(Fixture *self, gconstpointer data);
  } tests[] = {
      {"/tokenizer-sample/shares", test_shares},
      {"/tokenizer-sample/left-out", test_left_out},
      {"/tokenizer-sample/seed", test_seed},
      {"/tokenizer-sample/errors", test_errors},
      {"/tokenizer-sample/no-room", test_no_room},
      {"/tokenizer-sample/command", test_command},
      {"/tokenizer-sample/command-fails", test_command_fails},
      {"/tokenizer-sample/interrupted", test_interrupted},
  };

  g_test_init(&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].path, Fixture, NULL, fixture_set_up, tests[i].run, fixture_tear_down);
  }
  return g_test_run();
}
