/* gem-train as a process that is stopped, by whatever, and resumed. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

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
  g_spawn_async(folder, words, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, &error);
  g_assert_no_error(error);
  while (!is_staged(name)) {
    g_assert_cmpint(waitpid(pid, &status, WNOHANG), ==, 0); /* it ended before it wrote */
    g_usleep(500);
  }
  g_assert_cmpint(kill(pid, signal_number), ==, 0);
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  return status;
}

/* A model that is there is the same afterwards, and of one that was begun nothing is left where that can be
 * helped. */
static void
test_stopped_writing(void)
{
  g_auto(GemTestTrainRun) before = {0}, after = {0};
  gem_test_train_assert_done(folder, "init --preset gem-tiny --output kept", &before);
  gem_test_train_assert_done(folder, "inspect kept", &before);
  g_assert_true(WIFSIGNALED(stop_writing("kept", SIGKILL)));
  gem_test_train_assert_done(folder, "inspect kept", &after);
  g_assert_cmpstr(before.out, ==, after.out);
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
  g_test_add_func("/gem-train/interrupt", test_interrupt);
  g_test_add_func("/gem-train/stopped-writing", test_stopped_writing);
  g_test_add_func("/gem-train/not-finite", test_not_finite);
  int status = g_test_run();
  gem_test_folder_remove(folder);
  g_free(folder);
  return status;
}
