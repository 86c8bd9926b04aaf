/* gem-train as a process: a tiny model from text to measurement. */
#include <glib/gstdio.h>
#include <string.h>

#include "format/gem-gguf.h"
#include "format/gem-model-files.h"
#include "tests/gem-test-model.h"
#include "tests/gem-test-train-program.h"
#include "tests/gem-test-training.h"

static char *folder; /* data/, a first model start/ with the tokenizer */

static char *
in_folder(const char *name)
{
  return g_build_filename(folder, name, NULL);
}

/* A tensor of a file in the folder, of single floats. */
static float *
read_floats(const char *name, const char *tensor_name, gsize *ret_n)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = in_folder(name);
  g_autoptr(GemGguf) file = gem_gguf_open(path, &error);
  g_assert_no_error(error);
  const GemTensor *tensor = gem_gguf_find_tensor(file, tensor_name);
  g_assert_nonnull(tensor);
  gsize size = tensor->bytes;
  const void *data = gem_gguf_read_tensor(file, tensor, &error);
  g_assert_no_error(error);
  *ret_n = size / sizeof(float);
  return g_memdup2(data, size);
}

/* The loss in the last line of progress. */
static double
last_loss(const char *progress)
{
  const char *at = g_strrstr(progress, "  loss ");
  g_assert_nonnull(at);
  return g_ascii_strtod(at + strlen("  loss "), NULL);
}

/* The tokens that a row of `perplexity` counts. */
static guint64
tokens_of(const char *name, const char *table)
{
  const char *row = strstr(table, name);
  g_assert_nonnull(row);
  return g_ascii_strtoull(row + strlen(name), NULL, 10);
}

/* The second time counts alone, but for its first token, which nothing tells. */
static void
check_again(void)
{
  static const char *const command = "perplexity --model model --text letters.txt";
  g_auto(GemTestTrainRun) run = {0};
  g_autofree char *again = g_strconcat(command, " --again 10", NULL);
  gem_test_write_text(folder, "letters.txt", "qjx zvk wqz jxk vzq kwj xqv zjw kxz vqj\n");
  gem_test_train_assert_done(folder, command, &run);
  g_assert_cmpuint(tokens_of("letters.txt", run.out), >, 10);
  gem_test_train_assert_done(folder, again, &run);
  g_assert_cmpuint(tokens_of("letters.txt", run.out), ==, 9);
}

static void
check_measured(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(
      folder, "perplexity --model model --data data --router model/router.gguf --documents 3 --tasks", &run);
  gem_test_train_assert_contains(run.out, "own pathway");
  gem_test_train_assert_contains(run.out, "router");
  gem_test_train_assert_contains(run.out, "legal/clauses");
  gem_test_train_assert_contains(run.out, "finance/closed"); /* may be measured with, not trained on */
  gem_test_train_assert_done(
      folder,
      "perplexity --model backbone.gguf --tokenizer start/general.gguf --data data --clusters 8 "
      "--documents 2",
      &run);
  gem_test_train_assert_contains(run.out, "own pathway");
  gem_test_train_assert_done(
      folder,
      "perplexity --model model --text data/corpus/legal.txt --domain legal --router model/router.gguf",
      &run);
  gem_test_train_assert_contains(run.out, "data/corpus/legal.txt");
  gem_test_train_assert_contains(run.out, "own pathway");
  gem_test_write_text(folder, "empty.txt", "\n");
  gem_test_train_assert_done(folder, "perplexity --model model --text empty.txt", &run);
  gem_test_train_assert_contains(run.out, "           -\n");
  check_again();
  gem_test_train_assert_done(
      folder, "router --evaluate model/router.gguf --tokenizer start/general.gguf --data data --documents 3",
      &run);
  gem_test_train_assert_contains(run.out, "legal, corpus");
}

static void
check_inspected(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(folder, "inspect model", &run);
  gem_test_train_assert_contains(run.out, "general.gguf: ");
  gem_test_train_assert_contains(run.out, "pathway-legal.gguf: ");
  gem_test_train_assert_contains(run.out, "gem.scar.clusters");
  gem_test_train_assert_contains(run.out, "blk.0.scar_centroids_16.weight");
  gem_test_train_assert_done(folder, "inspect model --text 'ab c' --top 3 --greedy 4", &run);
  gem_test_train_assert_contains(run.out, "tokens: 1 102 103 261 104\n");
  gem_test_train_assert_contains(run.out, "top 1: ");
  gem_test_train_assert_contains(run.out, "top 3: ");
  g_assert_null(strstr(run.out, "top 4: "));
  gem_test_train_assert_contains(run.out, "greedy text: ");
  gem_test_train_assert_done(folder, "inspect backbone.gguf", &run);
  gem_test_train_assert_contains(run.out, "train.step");
  gem_test_train_assert_fails(folder, "inspect backbone.gguf --text a", 2,
                              "--text: backbone.gguf is a checkpoint");
}

/* A model folder is trained further: it begins about where the one before ended, not where a new one does. */
static void
check_further(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(folder, GEM_TEST_PRETRAIN "--steps 2 --seed 3 --rate 1e-6 --checkpoint new.gguf",
                             &run);
  double new_loss = last_loss(run.err);
  gem_test_train_assert_done(
      folder, GEM_TEST_PRETRAIN "--steps 2 --seed 3 --rate 1e-6 --checkpoint further.gguf --from model",
      &run);
  g_assert_cmpfloat(last_loss(run.err), <, 0.9 * new_loss);
  gem_test_train_assert_done(
      folder, GEM_TEST_PRETRAIN "--steps 2 --seed 3 --rate 1e-6 --checkpoint again.gguf --from backbone.gguf",
      &run);
  g_assert_cmpfloat(last_loss(run.err), <, 0.9 * new_loss);
  g_assert_null(strstr(run.err, "this run changes that"));
  gem_test_train_assert_done(folder,
                             "pretrain --preset gem-tiny " GEM_TEST_TRAIN_SHAPE
                             ",successors=1" GEM_TEST_PRETRAIN_OPTIONS
                             "--steps 1 --seed 3 --checkpoint changed.gguf --from model",
                             &run);
  gem_test_train_assert_contains(run.err, "scar.successors 0, not ");
  gem_test_train_assert_contains(run.err, "this run changes that (see --shape)");
  gem_test_train_assert_fails(
      folder, GEM_TEST_PRETRAIN "--steps 1 --checkpoint other.gguf --shape ffn=96 --from model", 1,
      "model is of another shape: ");
  gem_test_train_assert_fails(folder,
                              "pretrain --preset gem-tiny " GEM_TEST_TRAIN_SHAPE
                              ",clusters=4" GEM_TEST_PRETRAIN_OPTIONS
                              "--steps 1 --checkpoint other.gguf --from model",
                              1, "model has other clusters");
}

/* A mean of nothing but one file is that file; halfway it is neither, and a network that runs. */
static void
check_average(void)
{
  static const char *const first = "value:general/token_embd.weight";
  g_auto(GemTestTrainRun) run = {0};
  const struct {
    const char *command, *output;
    double share;
  } means[] = {{"average backbone.gguf new.gguf --share 0 --output mean.gguf", "mean.gguf", 0.0},
               {"average backbone.gguf new.gguf --output half.gguf", "half.gguf", 0.5},
               {"average backbone.gguf new.gguf --share 1 --output mean1.gguf", "mean1.gguf", 1.0}};
  gsize n = 0, n_other = 0, n_mean = 0;
  g_autofree float *one = read_floats("backbone.gguf", first, &n),
                   *other = read_floats("new.gguf", first, &n_other);
  g_assert_cmpuint(n, ==, n_other);
  for (gsize i = 0; i < G_N_ELEMENTS(means); i++) {
    gem_test_train_assert_done(folder, means[i].command, &run);
    g_autofree float *mean = read_floats(means[i].output, first, &n_mean);
    g_assert_cmpuint(n, ==, n_mean);
    for (gsize x = 0; x < n; x++) {
      double wanted = (1.0 - means[i].share) * one[x] + means[i].share * other[x];
      g_assert_cmpfloat_with_epsilon(mean[x], wanted, 1e-6);
    }
  }
  gem_test_train_assert_done(folder,
                             "perplexity --model half.gguf --tokenizer start/general.gguf --data data", &run);
  gem_test_train_assert_done(folder, GEM_TEST_PRETRAIN "--steps 1 --checkpoint halved.gguf --from half.gguf",
                             &run);
  gem_test_train_assert_fails(folder, GEM_TEST_PRETRAIN "--steps 2 --checkpoint half.gguf --resume", 1,
                              "train.steps");
  gem_test_train_assert_fails(folder, "average backbone.gguf --output mean.gguf", 2, "FIRST SECOND");
  gem_test_train_assert_fails(folder, "average backbone.gguf new.gguf", 2, "--output is needed");
  gem_test_train_assert_fails(folder, "average backbone.gguf new.gguf --output ./new.gguf", 2,
                              "--output=./new.gguf: that is new.gguf, which is read");
  gem_test_train_assert_fails(folder,
                              "export --backbone new.gguf --tokenizer start/general.gguf --name n --llama "
                              "--output new.gguf",
                              2, "--output=new.gguf: that is new.gguf, which is read");
  gem_test_train_assert_fails(folder, "average backbone.gguf router.gguf --output mean.gguf", 1,
                              "router.gguf");
  gem_test_train_assert_done(folder, "init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE ",heads=1 --output heads",
                             &run);
  gem_test_train_assert_fails(folder, "average backbone.gguf heads --output mean.gguf", 1,
                              "heads has 1 heads, not ");
  gem_test_train_assert_done(
      folder, "init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE ",successors=1 --output successors", &run);
  gem_test_train_assert_fails(folder, "average backbone.gguf successors --output mean.gguf", 1,
                              "and scar.successors 1, not ");
  gem_test_train_assert_done(folder, "init --preset gem-tiny --output another", &run);
  gem_test_train_assert_fails(folder, "average backbone.gguf another --output mean.gguf", 1,
                              "another is of another shape: ");
}

/* Transfer full. */
static char *
digest_of(const char *file)
{
  g_autofree char *path = in_folder(file), *bytes = NULL;
  gsize size = 0;
  g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
  return g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)bytes, size);
}

/* So that another run may have its name; transfer full. */
static char *
digest_and_remove(const char *file)
{
  g_autofree char *path = in_folder(file), *digest = digest_of(file);
  g_assert_cmpint(g_unlink(path), ==, 0);
  return g_steal_pointer(&digest);
}

static void
check_some_tasks(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(
      folder, GEM_TEST_PRETRAIN "--steps 1 --checkpoint some.gguf --tasks 'legal/cl?uses'", &run);
  gem_test_train_assert_contains(run.err, "read legal/clauses\n");
  gem_test_train_assert_fails(folder,
                              GEM_TEST_PRETRAIN "--steps 1 --checkpoint none.gguf --tasks legal/clause", 2,
                              "data: --tasks: there is no task 'legal/clause' to read");
  gem_test_train_assert_fails(
      folder, GEM_TEST_PRETRAIN "--steps 1 --checkpoint none.gguf --tasks 'legal/*,legal/clauses=3'", 2,
      "'legal/clauses' to read, or an entry before it has it");
  gem_test_train_assert_fails(folder,
                              GEM_TEST_PRETRAIN "--steps 1 --checkpoint none.gguf --tasks 'legal/*,stem/nil'",
                              2, "there is no task 'stem/nil' to read");
  gem_test_train_assert_fails(folder,
                              GEM_TEST_PRETRAIN "--steps 1 --checkpoint none.gguf --tasks legal/clauses=none",
                              2, "--tasks: 'legal/clauses=none': after = is how often");
  g_auto(GemTestTrainRun) answers = {0};
  gem_test_train_assert_done(folder,
                             GEM_TEST_PRETRAIN
                             "--steps 2 --checkpoint answers.gguf --tasks legal/clauses=3 "
                             "--task-share 1 --general-share 0 --input-share 0 --choice-weight 40",
                             &answers);
  /* with what dropout leaves out another model is learned, and each of the two does it */
  const char *const others[] = {"--dropout 0.3", "--input-dropout 0.5"};
  for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
    g_auto(GemTestTrainRun) dropped = {0};
    g_autofree char *command = g_strconcat(
        GEM_TEST_PRETRAIN "--steps 2 --checkpoint dropped.gguf --tasks legal/clauses=3 --task-share 1 "
                          "--general-share 0 --input-share 0 --choice-weight 40 ",
        others[i], NULL);
    gem_test_train_assert_done(folder, command, &dropped);
    g_autofree char *with = digest_and_remove("dropped.gguf"), *without = digest_of("answers.gguf");
    g_assert_cmpstr(with, !=, without);
  }
}

/* Wrong choices of a line, sentences of other documents, and what a text has said before teach something of
 * their own. */
static void
check_contests(void)
{
  static const char *const runs[][3] = {
      {"--task-share 1 --tasks legal/clauses ", "", "--contest-weight 30"},
      {"--task-share 0 --sequence 96 ", "--contest-weight 30", "--contest-weight 30 --passage-share 1"},
      {"--task-share 0 --sequence 96 ", "", "--copy-share 1"}};
  static const char *const file = "data/tasks/legal/clauses/train.jsonl";
  g_autofree char *path = in_folder(file), *lines = NULL;
  g_assert_true(g_file_get_contents(path, &lines, NULL, NULL));
  gem_test_write_text(folder, file,
                      "{\"input\": \"1\", \"target\": \"ab\", \"choices\": [\"ac\", \"ab\"]}\n"
                      "{\"input\": \"2\", \"target\": \"no\", \"choices\": [\"no\", \"yes\"]}\n");
  for (gsize i = 0; i < G_N_ELEMENTS(runs); i++) {
    char *digests[2] = {NULL};
    for (gsize with = 0; with < 2; with++) {
      g_auto(GemTestTrainRun) run = {0};
      g_autofree char *command = g_strconcat(
          GEM_TEST_PRETRAIN "--steps 2 --general-share 0 --batch-tokens 512 --checkpoint contest.gguf ",
          runs[i][0], runs[i][1 + with], NULL);
      gem_test_train_assert_done(folder, command, &run);
      digests[with] = digest_and_remove("contest.gguf");
    }
    g_assert_cmpstr(digests[0], !=, digests[1]);
    g_free(digests[0]);
    g_free(digests[1]);
  }
  gem_test_train_assert_fails(
      folder,
      GEM_TEST_PRETRAIN "--steps 1 --checkpoint none.gguf --contest-weight 1 --passage-share 1 --sequence 32",
      2, "a passage and a sentence need --sequence=");
  gem_test_write_text(folder, file, lines);
}

/* A model's own router is written as it is, unless another type is asked for. */
static void
check_router_stays(void)
{
  g_auto(GemTestTrainRun) run = {0};
  const char *const again = "export --backbone backbone.gguf --router model/router.gguf --tokenizer "
                            "start/general.gguf --name again --output again";
  gem_test_train_assert_done(folder, again, &run);
  g_autofree char *narrower = g_strconcat(again, "-narrower --types router=Q4_0", NULL);
  gem_test_train_assert_done(folder, narrower, &run);
  gem_test_train_assert_done(folder, "inspect again --text abc", &run);
  g_autofree char *first = digest_of("model/router.gguf"), *same = digest_of("again/router.gguf"),
                  *other = digest_of("again-narrower/router.gguf");
  g_assert_cmpstr(first, ==, same);
  g_assert_cmpstr(first, !=, other);
  /* a model loses no file to one that cannot be written whole */
  gem_test_train_assert_fails(folder,
                              "export --backbone start --router start/router.gguf --tokenizer "
                              "start/general.gguf --name 'no name' --types router=Q4_0 --output again",
                              1, "'no name' is not plain");
  gem_test_train_assert_done(folder, "inspect again", &run);
}

/* A training is not begun anew over what another one left, nor where nothing can be written. */
static void
check_no_overwriting(void)
{
#define THERE ": is there already; go on from it with --resume, give another name, or remove it"
  g_autofree char *before = digest_of("backbone.gguf");
  gem_test_train_assert_fails(folder, GEM_TEST_PRETRAIN "--steps 2 --checkpoint backbone.gguf", 2,
                              "--checkpoint=backbone.gguf" THERE);
  gem_test_train_assert_fails(folder, GEM_TEST_ROUTER "--steps 2 --checkpoint backbone.gguf", 2,
                              "--checkpoint=backbone.gguf" THERE);
  gem_test_train_assert_fails(folder, GEM_TEST_PRETRAIN "--steps 2 --checkpoint nowhere/backbone.gguf", 2,
                              "--checkpoint=nowhere/backbone.gguf: cannot write to the folder: ");
  g_autofree char *after = digest_of("backbone.gguf");
  g_assert_cmpstr(before, ==, after);
}

static void
test_pipeline(void)
{
  g_auto(GemTestTrainRun) run = {0};
  g_autoptr(GError) error = NULL;
  gem_test_train_assert_done(folder, GEM_TEST_ROUTER "--steps 10 --checkpoint router.gguf", &run);
  gem_test_train_assert_done(folder, GEM_TEST_PRETRAIN "--steps 3 --checkpoint early.gguf", &run);
  double early = last_loss(run.err);
  gem_test_train_assert_done(
      folder, GEM_TEST_PRETRAIN "--steps 60 --rate 5e-3 --checkpoint backbone.gguf --router router.gguf",
      &run);
  g_assert_cmpfloat(last_loss(run.err), <, 0.9 * early);
  check_no_overwriting();
  check_some_tasks();
  check_contests();
  gem_test_train_assert_done(
      folder,
      "export --backbone backbone.gguf --router router.gguf --tokenizer start/general.gguf "
      "--name tiny --output model",
      &run);
  g_autofree char *path = in_folder("model");
  g_autoptr(GemModelFiles) files = gem_model_files_open(path, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(files->name, ==, "tiny");
  check_measured();
  check_inspected();
  check_further();
  check_average();
  check_router_stays();
  gem_test_train_assert_done(
      folder,
      "export --backbone model --tokenizer start/general.gguf --name alone --types general=F16 "
      "--llama --output alone.gguf",
      &run);
  gem_test_train_assert_done(folder, "perplexity --model alone.gguf --data data --documents 2", &run);
  g_assert_null(strstr(run.out, "own pathway"));
}

/* Random weights as one file in place of a folder: nothing of the domains is in it. */
int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_unsetenv("GEM_DATA");
  folder = gem_test_train_folder_new();
  g_test_add_func("/gem-train/pipeline", test_pipeline);
  int status = g_test_run();
  gem_test_folder_remove(folder);
  g_free(folder);
  return status;
}
