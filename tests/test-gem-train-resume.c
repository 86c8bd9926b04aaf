/* gem-train as a process that is stopped, by whatever, and resumed. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <glib/gstdio.h>

#include "tests/gem-test-train-program.h"
#include "tests/gem-test-training.h"

static char *folder; /* of gem_test_train_folder_new */

static char *
in_folder(const char *name)
{
  return g_build_filename(folder, name, NULL);
}

static void
assert_same_files(const char *a, const char *b)
{
  g_autofree char *left_path = in_folder(a), *right_path = in_folder(b), *left = NULL, *right = NULL;
  gsize left_size = 0, right_size = 0;
  g_assert_true(g_file_get_contents(left_path, &left, &left_size, NULL));
  g_assert_true(g_file_get_contents(right_path, &right, &right_size, NULL));
  g_assert_cmpuint(left_size, ==, right_size);
  gem_test_assert_same_bytes(left, right, left_size, a);
}

/* Killed, then interrupted, then left alone: the same bytes as a run that was never stopped. Centroids move
 * in half of the steps, and the router's routes are used in the others. */
static void
test_resume(void)
{
  g_auto(GemTestTrainRun) run = {0};
  g_autofree char *killed = NULL, *interrupted = NULL;
  gem_test_train_assert_done(folder, GEM_TEST_ROUTER "--steps 3 --seed 9 --checkpoint routes.gguf", &run);
  const char *options =
      GEM_TEST_PRETRAIN "--steps 60 --routed-share 0.5 --router routes.gguf --checkpoint-minutes 0 ";
  g_autofree char *whole = g_strconcat(options, "--checkpoint whole.gguf", NULL);
  g_autofree char *stopped = g_strconcat(options, "--checkpoint stopped.gguf", NULL);
  g_autofree char *resumed = g_strconcat(stopped, " --resume", NULL);
  int status = gem_test_train_stop(folder, stopped, "stopped.gguf", SIGKILL, &killed);
  g_assert_true(WIFSIGNALED(status));
  status = gem_test_train_stop(folder, resumed, "stopped.gguf", SIGKILL, &interrupted);
  g_assert_true(WIFSIGNALED(status));
  gem_test_train_assert_fails(
      folder, GEM_TEST_PRETRAIN "--steps 60 --seed 2 --checkpoint stopped.gguf --resume", 1, "train.seed");
  gem_test_train_assert_fails(folder,
                              "pretrain --preset gem-tiny " GEM_TEST_TRAIN_SHAPE
                              ",window=0" GEM_TEST_PRETRAIN_OPTIONS
                              "--steps 60 --checkpoint stopped.gguf --resume",
                              1, "stopped.gguf has a window of ");
  gem_test_train_assert_fails(folder,
                              "pretrain --preset gem-tiny " GEM_TEST_TRAIN_SHAPE
                              ",successors=1" GEM_TEST_PRETRAIN_OPTIONS
                              "--steps 60 --checkpoint stopped.gguf --resume",
                              1, "and scar.successors 0, not ");
  gem_test_train_assert_fails(folder,
                              "pretrain --preset gem-tiny " GEM_TEST_TRAIN_SHAPE
                              ",clusters=16" GEM_TEST_PRETRAIN_OPTIONS
                              "--steps 60 --checkpoint stopped.gguf --resume",
                              1, "stopped.gguf has other clusters");
  gem_test_train_assert_fails(folder,
                              GEM_TEST_ROUTER "--shape width=64,heads=2,layers=1,ffn=64,domain-ffn=32,"
                                              "router-width=64,router-embedding=64,router-heads=1,"
                                              "router-ffn=64 --steps 3 --seed 9 --checkpoint routes.gguf "
                                              "--resume",
                              1, "routes.gguf has 2 heads, not 1");
  gem_test_train_assert_done(folder, resumed, &run);
  gem_test_train_assert_done(folder, whole, &run);
  assert_same_files("whole.gguf", "stopped.gguf");
}

/* What is dropped is that of the step, also in a run that begins within the training. */
static void
test_resume_dropout(void)
{
  g_auto(GemTestTrainRun) run = {0};
  const char *options =
      GEM_TEST_PRETRAIN "--steps 12 --routed-share 0.25 --router drops.gguf --dropout 0.2 "
                        "--input-share 0.3 --input-dropout 0.3 --choice-weight 5 --checkpoint ";
  gem_test_train_assert_done(folder, GEM_TEST_ROUTER "--steps 3 --seed 9 --checkpoint drops.gguf", &run);
  g_autofree char *whole = g_strconcat(options, "undivided.gguf", NULL),
                  *first = g_strconcat(options, "divided.gguf --until 5", NULL),
                  *second = g_strconcat(options, "divided.gguf --resume", NULL);
  gem_test_train_assert_done(folder, whole, &run);
  gem_test_train_run(folder, first, &run);
  gem_test_train_assert_done(folder, second, &run);
  gem_test_train_assert_contains(run.err, "resuming divided.gguf at step 5\n");
  assert_same_files("undivided.gguf", "divided.gguf");
}

#define STOPPED GEM_TEST_PRETRAIN "--checkpoint other.gguf --steps 5000 --checkpoint-minutes 0 "

/* Each option that the result depends on is named, with both values; nothing is written. */
static void
test_other_options(void)
{
  static const struct {
    const char *options, *message;
  } cases[] = {
      {"--rate 3e-3", "rate is 0.002 there and 0.003 here"},
      {"--batch-tokens 96", "batch-tokens is 64 there and 96 here"},
      {"--sequence 48 --warm-up 6", "warm-up is 5 there and 6 here, sequence is 64 there and 48 here"},
      {"--decay-share 0.4", "decay-share is 0.5 there and 0.4 here"},
      {"--weight-decay 0.1", "weight-decay is 0.05 there and 0.1 here"},
      {"--task-share 0.5", "task-share is 0.6 there and 0.5 here"},
      {"--general-share 0.2", "general-share is 0.15 there and 0.2 here"},
      {"--answer-least 80", "answer-least is 0 there and 80 here"},
      {"--dropout 0.1", "dropout is 0 there and 0.1 here"},
      {"--routed-share 0.2", "routed-share is 0.1 there and 0.2 here"},
      {"--tasks 'legal/clauses=2'", "tasks is none there and legal/clauses=2 here"},
      {"--data more", "data is "},
      {"--task-share 0.5", "resume with the same options (what is read may change where a run has ended by "
                           "--until)"},
      {"--shape layers=2,width=64,heads=2,ffn=64,domain-ffn=32", "other.gguf has 1 layers, not 2"},
      {"--general-only", "other.gguf has 8 domains, not 0"},
  };
  g_autofree char *message = NULL, *data = gem_test_data_folder_new(), *more = in_folder("more");
  gem_test_train_stop(folder, STOPPED, "other.gguf", SIGINT, &message);
  gem_test_write_text(data, "corpus/stem.txt", "Nothing\n\nelse");
  g_assert_cmpint(g_rename(data, more), ==, 0);
  g_autofree char *kept = in_folder("other.gguf"), *before = in_folder("before.gguf"), *bytes = NULL;
  gsize size = 0;
  g_assert_true(g_file_get_contents(kept, &bytes, &size, NULL));
  g_assert_true(g_file_set_contents(before, bytes, (gssize)size, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *command = g_strconcat(STOPPED "--resume ", cases[i].options, NULL);
    gem_test_train_assert_fails(folder, command, 1, cases[i].message);
  }
  assert_same_files("other.gguf", "before.gguf");
}

/* The text may change where a run has ended by --until, as docs/training.md does it, and there alone; the
 * rate may be lower, and the router another one until its routes are used. */
static void
test_parts(void)
{
#define PART    GEM_TEST_PRETRAIN "--checkpoint part.gguf --steps 12 --decay-share 0.43 --resume "
#define OF_TEXT "--task-share 0.85 --labelled-share 0.7 --domain-power 0.25 --answer-least 80 "
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(folder, GEM_TEST_ROUTER "--steps 3 --seed 9 --checkpoint one.gguf", &run);
  gem_test_train_assert_done(folder, GEM_TEST_ROUTER "--steps 3 --seed 10 --checkpoint two.gguf", &run);
  gem_test_train_run(folder,
                     GEM_TEST_PRETRAIN "--checkpoint part.gguf --steps 12 --decay-share 0.43 "
                                       "--router one.gguf --until 3",
                     &run);
  gem_test_train_assert_fails(folder, PART OF_TEXT "--router one.gguf --batch-tokens 96", 1,
                              "another training: batch-tokens is 64 there and 96 here; resume with the same "
                              "options\n");
  gem_test_train_run(folder, PART OF_TEXT "--router two.gguf --until 5 --rate 1e-3", &run);
  gem_test_train_assert_contains(run.err, "resuming part.gguf at step 3\n");
  gem_test_train_assert_fails(folder, PART OF_TEXT "--router two.gguf", 1,
                              "rate is 0.001 there and 0.002 here");
  gem_test_train_run(folder, PART OF_TEXT "--router two.gguf --rate 1e-3 --until 11", &run);
  gem_test_train_assert_contains(run.err, "resuming part.gguf at step 5\n");
  gem_test_train_assert_fails(folder, PART OF_TEXT "--router one.gguf --rate 1e-3", 1, "router is ");
  gem_test_train_assert_done(folder, PART OF_TEXT "--router two.gguf --rate 1e-3", &run);
}

/* The number of steps may change as long as neither the rate nor the routes go by it; nothing else is asked
 * of
 * --from, which has been read. */
static void
test_steps(void)
{
#define ROUTED GEM_TEST_PRETRAIN "--decay-share 0.1 --routed-share 0.5 --router way.gguf --from from.gguf "
  g_auto(GemTestTrainRun) run = {0};
  g_autofree char *from = in_folder("from.gguf");
  gem_test_train_assert_done(folder, GEM_TEST_ROUTER "--steps 3 --seed 9 --checkpoint way.gguf", &run);
  gem_test_train_assert_done(folder, GEM_TEST_PRETRAIN "--steps 1 --checkpoint from.gguf", &run);
  gem_test_train_run(folder, ROUTED "--checkpoint plan.gguf --steps 20 --until 10", &run);
  g_assert_cmpint(g_unlink(from), ==, 0);
  gem_test_train_assert_fails(folder, ROUTED "--checkpoint plan.gguf --resume --steps 16 --until 11", 1,
                              "train.steps is 20 there and 16 on the command line, and of the 10 that");
  gem_test_train_run(folder, ROUTED "--checkpoint plan.gguf --resume --steps 24 --until 13", &run);
  gem_test_train_assert_contains(run.err, "resuming plan.gguf at step 10\n");
  gem_test_train_assert_fails(folder, ROUTED "--checkpoint plan.gguf --resume --steps 24 --until 12", 1,
                              "plan.gguf is at step 13 already; --until 12 would end the run before it");
  gem_test_train_assert_fails(folder, ROUTED "--checkpoint plan.gguf --resume --steps 28", 1,
                              "train.steps is 24 there and 28 on the command line, and of the 13 that");
}

/* A router's training compares them, too; and what an earlier gem-train has kept is gone on from. */
static void
test_router_options(void)
{
#define ROUTES GEM_TEST_ROUTER "--steps 9 --checkpoint early.gguf "
  g_auto(GemTestTrainRun) run = {0};
  g_autofree char *path = in_folder("early.gguf"), *bytes = NULL;
  gsize size = 0;
  gem_test_train_run(folder, ROUTES "--until 2", &run);
  gem_test_train_assert_fails(folder, ROUTES "--resume --batch-tokens 256", 1,
                              "early.gguf is the checkpoint of another training: batch-tokens is 128 there "
                              "and 256 here");
  g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
  char *key = memmem(bytes, size, "train.options", strlen("train.options"));
  g_assert_nonnull(key);
  *key = 'b';
  g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
  gem_test_train_assert_done(folder, ROUTES "--resume", &run);
  gem_test_train_assert_contains(run.err, "early.gguf does not tell its options");
}

static void
test_interrupt(void)
{
  g_autofree char *message = NULL;
  int status = gem_test_train_stop(
      folder, GEM_TEST_PRETRAIN "--steps 5000 --checkpoint-minutes 0 --checkpoint long.gguf", "long.gguf",
      SIGINT, &message);
  g_assert_true(WIFEXITED(status));
  g_assert_cmpint(WEXITSTATUS(status), ==, 1);
  gem_test_train_assert_contains(message, "gem-train pretrain: stopped after step ");
  gem_test_train_assert_contains(message, " of 5000; the same command with --resume goes on from there");
}

/* Whether a folder's files are being written, or were left behind. */
static gboolean
is_staged(const char *name)
{
  g_autofree char *prefix = g_strconcat(name, ".", NULL);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *entry;
  while ((entry = g_dir_read_name(dir)) != NULL) {
    if (g_str_has_prefix(entry, prefix) && g_str_has_suffix(entry, ".tmp")) {
      return TRUE;
    }
  }
  return FALSE;
}

/* Sends a signal to a run that writes the model folder NAME, in the midst of it. Returns its wait status. */
static int
stop_writing(const char *name, int signal_number)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *command = g_strconcat("init --preset gem-mini --output ", name, NULL);
  g_auto(GStrv) words = gem_test_train_words(command);
  GPid pid = 0;
  int status = 0;
  g_spawn_async(folder, words, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &pid,
                &error);
  g_assert_no_error(error);
  while (!is_staged(name)) {
    g_assert_cmpint(waitpid(pid, &status, WNOHANG), ==, 0); /* it ended before it wrote */
    g_usleep(500);
  }
  g_assert_cmpint(kill(pid, signal_number), ==, 0);
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  return status;
}

/* A model that is there is the same afterwards, and of one that was begun nothing is left: at once where that
 * can be helped, else with the next one. */
static void
test_stopped_writing(void)
{
  g_auto(GemTestTrainRun) before = {0}, after = {0};
  gem_test_train_assert_done(folder, "init --preset gem-tiny --output kept", &before);
  gem_test_train_assert_done(folder, "inspect kept", &before);
  g_assert_true(WIFSIGNALED(stop_writing("kept", SIGKILL)));
  gem_test_train_assert_done(folder, "inspect kept", &after);
  g_assert_cmpstr(before.out, ==, after.out);
  g_assert_true(is_staged("kept"));
  gem_test_train_assert_done(folder, "init --preset gem-tiny --output kept", &after);
  g_assert_false(is_staged("kept"));
  int status = stop_writing("begun", SIGINT);
  g_assert_true(WIFEXITED(status));
  g_assert_cmpint(WEXITSTATUS(status), ==, 1);
  g_assert_false(is_staged("begun"));
  g_autofree char *begun = in_folder("begun");
  g_assert_false(g_file_test(begun, G_FILE_TEST_EXISTS));
}

/* Whoever has options that help says which. */
static void
test_not_finite(void)
{
  const char *const advice =
      ": the loss is not finite; lower --rate and go on from the checkpoint with --resume\n";
  const char *const commands[][2] = {
      {GEM_TEST_ROUTER "--steps 9 --checkpoint ", "value:router/token_embd.weight"},
      {GEM_TEST_PRETRAIN "--steps 9 --checkpoint ", "value:general/token_embd.weight"}};
  for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
    g_auto(GemTestTrainRun) run = {0};
    g_autofree char *sound = g_strdup_printf("sound%" G_GSIZE_FORMAT ".gguf", i),
                    *first = g_strconcat(commands[i][0], sound, " --until 1", NULL),
                    *next = g_strconcat(commands[i][0], "spoiled.gguf --resume", NULL);
    gem_test_train_run(folder, first, &run);
    gem_test_train_spoil(folder, sound, commands[i][1], "spoiled.gguf");
    gem_test_train_assert_fails(folder, next, 1, advice);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_unsetenv("GEM_DATA");
  folder = gem_test_train_folder_new();
  g_test_add_func("/gem-train/resume", test_resume);
  g_test_add_func("/gem-train/resume/dropout", test_resume_dropout);
  g_test_add_func("/gem-train/resume/other-options", test_other_options);
  g_test_add_func("/gem-train/resume/parts", test_parts);
  g_test_add_func("/gem-train/resume/steps", test_steps);
  g_test_add_func("/gem-train/resume/router", test_router_options);
  g_test_add_func("/gem-train/interrupt", test_interrupt);
  g_test_add_func("/gem-train/stopped-writing", test_stopped_writing);
  g_test_add_func("/gem-train/not-finite", test_not_finite);
  int status = g_test_run();
  gem_test_folder_remove(folder);
  g_free(folder);
  return status;
}
