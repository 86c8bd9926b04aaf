/* gem-train as a process: a tiny model from text to measurement, and what every command says of a wrong
 * command line. */
#include <glib/gstdio.h>
#include <string.h>

#include "format/gem-gguf.h"
#include "format/gem-model-files.h"
#include "tests/gem-test-model.h"
#include "tests/gem-test-train-program.h"
#include "tests/gem-test-training.h"

static void
assert_contains(const char *text, const char *part)
{
  if (strstr(text, part) == NULL) {
    g_test_message("no '%s' in: %s", part, text);
    g_test_fail();
  }
}

/* ---- one folder for all tests: data/, a first model start/ with the tokenizer ---- */

static char *folder;

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

/* ---- from text to measurement ---- */

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
  assert_contains(run.out, "own pathway");
  assert_contains(run.out, "router");
  assert_contains(run.out, "legal/clauses");
  assert_contains(run.out, "finance/closed"); /* may be measured with, not trained on */
  gem_test_train_assert_done(
      folder,
      "perplexity --model backbone.gguf --tokenizer start/general.gguf --data data --clusters 8 "
      "--documents 2",
      &run);
  assert_contains(run.out, "own pathway");
  gem_test_train_assert_done(
      folder,
      "perplexity --model model --text data/corpus/legal.txt --domain legal --router model/router.gguf",
      &run);
  assert_contains(run.out, "data/corpus/legal.txt");
  assert_contains(run.out, "own pathway");
  gem_test_write_text(folder, "empty.txt", "\n");
  gem_test_train_assert_done(folder, "perplexity --model model --text empty.txt", &run);
  assert_contains(run.out, "           -\n");
  check_again();
  gem_test_train_assert_done(
      folder, "router --evaluate model/router.gguf --tokenizer start/general.gguf --data data --documents 3",
      &run);
  assert_contains(run.out, "legal, corpus");
}

static void
check_inspected(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(folder, "inspect model", &run);
  assert_contains(run.out, "general.gguf: ");
  assert_contains(run.out, "pathway-legal.gguf: ");
  assert_contains(run.out, "gem.scar.clusters");
  assert_contains(run.out, "blk.0.scar_centroids_16.weight");
  gem_test_train_assert_done(folder, "inspect model --text 'ab c' --top 3 --greedy 4", &run);
  assert_contains(run.out, "tokens: 1 102 103 261 104\n");
  assert_contains(run.out, "top 1: ");
  assert_contains(run.out, "top 3: ");
  g_assert_null(strstr(run.out, "top 4: "));
  assert_contains(run.out, "greedy text: ");
  gem_test_train_assert_done(folder, "inspect backbone.gguf", &run);
  assert_contains(run.out, "train.step");
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
  assert_contains(run.err, "scar.successors 0, not ");
  assert_contains(run.err, "this run changes that (see --shape)");
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
  assert_contains(run.err, "read legal/clauses\n");
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
static void
test_init_llama(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(
      folder, "init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE " --type Q4_0 --llama --output lone.gguf", &run);
  gem_test_train_assert_done(folder, "inspect lone.gguf", &run);
  assert_contains(run.out, "llama.block_count");
  assert_contains(run.out, "blk.0.ffn_down.weight");
  g_assert_null(strstr(run.out, "scar"));
  g_assert_null(strstr(run.out, "domain"));
  gem_test_train_assert_fails(folder, "init --preset gem-tiny --llama --output /dev/null/lone.gguf", 1,
                              "/dev/null/lone.gguf");
}

static char *
perplexity_lines(const char *model)
{
  g_auto(GemTestTrainRun) run = {0};
  g_autofree char *command = g_strdup_printf("perplexity --model %s --data data --documents 2", model);
  gem_test_train_assert_done(folder, command, &run);
  return g_strdup(run.out);
}

/* Residuals that are heard change what the model says; those that are silent do not. */
static void
test_init_loud(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(
      folder, "init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE " --type F32 --output silent", &run);
  gem_test_train_assert_done(
      folder, "init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE " --type F32 --output again", &run);
  gem_test_train_assert_done(
      folder, "init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE " --type F32 --loud --output loud", &run);
  g_autofree char *silent = perplexity_lines("silent"), *again = perplexity_lines("again");
  g_autofree char *loud = perplexity_lines("loud");
  g_assert_cmpstr(silent, ==, again);
  g_assert_cmpstr(silent, !=, loud);
}

/* A Llama-architecture file of others, with shared keys and values, tied and not. */
static void
test_llama(void)
{
  for (int tied = 0; tied < 2; tied++) {
    g_auto(GemModelShape) shape = {0};
    g_auto(GemTestTrainRun) run = {0};
    g_autofree char *path = in_folder("llama.gguf");
    gem_test_model_shape(&shape);
    shape.kv_heads = 2;
    shape.tied = tied;
    gem_test_model_write_llama(path, &shape, GEM_TYPE_Q8_0, 4);
    gem_test_train_assert_done(folder, "inspect llama.gguf", &run);
    assert_contains(run.out, "llama.attention.head_count_kv");
    g_assert_true((strstr(run.out, "  output.weight") == NULL) == tied);
    gem_test_train_assert_done(folder, "inspect llama.gguf --text 'the end' --top 2 --greedy 3 --no-bos",
                               &run);
    assert_contains(run.out, "top 2: ");
    assert_contains(run.out, "greedy: ");
    g_assert_null(strstr(run.out, "tokens: 1 "));
    gem_test_train_assert_done(folder, "perplexity --model llama.gguf --data data --documents 2", &run);
    g_assert_null(strstr(run.out, "own pathway"));
    assert_contains(run.out, "legal");
    g_auto(GemTestTrainRun) mean = {0};
    gem_test_train_assert_done(folder, "average llama.gguf llama.gguf --output same.gguf", &mean);
    gem_test_train_assert_done(
        folder, "perplexity --model same.gguf --tokenizer llama.gguf --data data --documents 2", &mean);
    g_assert_cmpstr(mean.out, ==, run.out);
  }
}

/* ---- wrong command lines ---- */

static const char *const usage_lines[][2] = {
    {"", "Usage: gem-train COMMAND"},
    {"fly", "unknown command 'fly'"},
    {"init", "--output is needed"},
    {"init --output x --preset huge", "--preset=huge"},
    {"init --output x --shape width", "--shape: 'width'"},
    {"init --output x --shape wings=2", "--shape: unknown key 'wings'"},
    {"init --output x --shape layers=0", "--shape: layers=0"},
    {"init --output x --shape clusters=8+16", "--shape: clusters=16"},
    {"init --output x --shape heads=3", "--shape: width / heads"},
    {"init --output x --type Q3", "--type=Q3"},
    {"init --output x --seed -1", "--seed=-1"},
    {"init --output x --seed many", "--seed"},
    {"init --output x more", "unexpected argument 'more'"},
    {"init --sizes", "--sizes"},
    {"tokenizer --output x.gguf", "--data is needed"},
    {"tokenizer --data data", "--output is needed"},
    {"tokenizer --data data --output x.txt", "--output=x.txt"},
    {"tokenizer --data data --output nowhere/x.gguf",
     "--output=nowhere/x.gguf: cannot write to the folder: "},
    {"tokenizer --data data --output x.gguf --vocab 3", "--vocab=3"},
    {"tokenizer --data data --output x.gguf --sample-mb 0", "--sample-mb=0"},
    {"pretrain --tokenizer t --checkpoint c", "--data is needed"},
    {"pretrain --data data --checkpoint c", "--tokenizer is needed"},
    {"pretrain --data data --tokenizer t", "--checkpoint is needed"},
    {"pretrain --data data --tokenizer t --checkpoint c --contest-weight -1", "--contest-weight=-1"},
    {"pretrain --data data --tokenizer t --checkpoint c --contest-rivals 0", "--contest-rivals=0"},
    {"pretrain --data data --tokenizer t --checkpoint c --passage-share 2", "--passage-share=2"},
    {"pretrain --data data --tokenizer t --checkpoint c --passage-share 1", "give a --contest-weight"},
    {"pretrain --data data --tokenizer t --checkpoint c --copy-share -1", "--copy-share=-1"},
    {GEM_TEST_PRETRAIN "--checkpoint c --copy-share nan", "--copy-share=nan"},
    {GEM_TEST_PRETRAIN "--checkpoint c --steps 0", "--steps=0"},
    {GEM_TEST_PRETRAIN "--checkpoint c --lanes 65", "--lanes=65"},
    {GEM_TEST_PRETRAIN "--checkpoint c --rate nan", "--rate=nan"},
    {GEM_TEST_PRETRAIN "--checkpoint c --decay-share 1.5", "--decay-share=1.5"},
    {GEM_TEST_PRETRAIN "--checkpoint c --sequence 512", "--sequence=512"},
    {GEM_TEST_PRETRAIN "--checkpoint c --accumulate 0", "--accumulate=0"},
    {GEM_TEST_PRETRAIN "--checkpoint c --general-share -0.1", "--general-share=-0.1"},
    {GEM_TEST_PRETRAIN "--checkpoint c --residual-dropout 2", "--residual-dropout=2"},
    {GEM_TEST_PRETRAIN "--checkpoint c --dropout 0.95", "--dropout=0.95"},
    {GEM_TEST_PRETRAIN "--checkpoint c --input-dropout -0.1", "--input-dropout=-0.1"},
    {GEM_TEST_PRETRAIN "--checkpoint c --input-dropout 0.1",
     "--input-dropout=0.1 drops tokens of inputs that are not"},
    {GEM_TEST_PRETRAIN "--checkpoint c --input-dropout 0.1 --input-share 1", "with --input-share=1 all are"},
    {GEM_TEST_PRETRAIN "--checkpoint c --matmul fp8", "--matmul=fp8"},
    {"router --data data --tokenizer t", "--checkpoint is needed"},
    {GEM_TEST_ROUTER "--checkpoint c --batch-tokens 127", "--batch-tokens=127"},
    {GEM_TEST_ROUTER "--checkpoint c --threshold 1.1", "--threshold=1.1"},
    {GEM_TEST_ROUTER "--checkpoint c --documents -1", "--documents=-1"},
    {GEM_TEST_ROUTER "--checkpoint c --shape domains=0", "--shape: a router needs domains"},
    {"export --router r --tokenizer t --name n --output o", "--backbone is needed"},
    {"export --backbone b --name n --output o", "--tokenizer is needed"},
    {"export --backbone b --tokenizer t --output o", "--name is needed"},
    {"export --backbone b --tokenizer t --name n", "--output is needed"},
    {"export --backbone b --tokenizer t --name n --output o --types wheels=F16", "--types: 'wheels=F16'"},
    {"export --backbone start --tokenizer start/general.gguf --name n --output o", "--router is needed"},
    {"perplexity --data data", "--model is needed"},
    {"perplexity --model start", "either --data or --text"},
    {"perplexity --model start --data data --text t", "either --data or --text"},
    {"perplexity --model start --data data --domain legal", "--domain goes with --text"},
    {"perplexity --model start --text data/corpus/legal.txt --domain moon", "--domain=moon"},
    {"perplexity --model start --data data --documents -1", "--documents=-1"},
    {"perplexity --model start --data data --clusters 5", "--clusters=5"},
    {"perplexity --model start --data data --again 256", "--again=256"},
    {"perplexity --model start --data data --matmul x", "--matmul=x"},
    {"inspect", "MODEL is needed"},
    {"inspect start more", "unexpected argument 'more'"},
    {"inspect start --greedy -1", "--greedy=-1"},
    {"inspect start --top -1", "--top=-1"},
    {"inspect start --text ''  --no-bos", "--text: 0 tokens"},
};

static void
test_usage(void)
{
  for (gsize i = 0; i < G_N_ELEMENTS(usage_lines); i++) {
    g_auto(GemTestTrainRun) run = {0};
    gem_test_train_run(folder, usage_lines[i][0], &run);
    const char *said = *usage_lines[i][0] == '\0' ? run.out : run.err;
    if (run.status != 2 || strstr(said, usage_lines[i][1]) == NULL) {
      g_test_message("'%s': status %d, and no '%s' in: %s", usage_lines[i][0], run.status, usage_lines[i][1],
                     said);
      g_test_fail();
    }
  }
}

/* The command line is right, the files are not. */
static void
test_files(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(folder, "init --preset gem-tiny --shape vocab=300,domains=2 --output other",
                             &run);
  gem_test_train_assert_done(folder, "inspect other --text a",
                             &run); /* as many domains in the router as in the model */
  g_autofree char *trainer = g_find_program_in_path("spm_train");
  const char *const lines[][2] = {
      {"init --preset gem-tiny --output /dev/null/model", "/dev/null/model"},
      {"init --output x --tokenizer none.gguf", "none.gguf"},
      {"tokenizer --data nowhere --output x.gguf", trainer != NULL ? "nowhere" : "install the package"},
      {GEM_TEST_PRETRAIN "--steps 1 --checkpoint x --data nowhere", "nowhere"},
      {GEM_TEST_PRETRAIN "--steps 1 --checkpoint x --tokenizer none.model", "none.model"},
      {GEM_TEST_PRETRAIN "--steps 1 --checkpoint x --tokenizer other/general.gguf", "has 300 tokens"},
      {GEM_TEST_PRETRAIN "--steps 1 --checkpoint x --router none.gguf", "none.gguf"},
      {GEM_TEST_PRETRAIN "--steps 1 --checkpoint x --router other/router.gguf",
       "other/router.gguf has 300 tokens"},
      {GEM_TEST_PRETRAIN "--steps 1 --checkpoint none.gguf --resume", "none.gguf"},
      {GEM_TEST_PRETRAIN "--steps 1 --checkpoint start/general.gguf --resume", "train.step"},
      {GEM_TEST_PRETRAIN "--steps 1 --checkpoint x --from none.gguf", "none.gguf"},
      {GEM_TEST_ROUTER "--steps 1 --checkpoint x --tokenizer other/general.gguf", "has 300 tokens"},
      {GEM_TEST_ROUTER "--evaluate none.gguf", "none.gguf"},
      {GEM_TEST_ROUTER "--evaluate other/router.gguf", "has 512 tokens, other/router.gguf 300"},
      {"export --backbone none --tokenizer start/general.gguf --name n --output o", "none"},
      {"export --backbone start --router other/router.gguf --tokenizer start/general.gguf --name n --output "
       "o",
       "other/router.gguf has 300 tokens"},
      {"export --backbone start --router start/router.gguf --tokenizer other/general.gguf --name n --output "
       "o",
       "other/general.gguf has 300 tokens"},
      {"export --backbone start --router start/router.gguf --tokenizer start/general.gguf --name ../n "
       "--output o",
       "../n"},
      {"perplexity --model none --data data", "none"},
      {"perplexity --model start --data nowhere", "nowhere"},
      {"perplexity --model start --data data --router other/router.gguf", "other/router.gguf"},
      {"perplexity --model start --text none.txt", "none.txt"},
      {"inspect none", "none"},
      {"inspect data/manifest.json", "data/manifest.json"},
      {"inspect data --text a", "data"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
    gem_test_train_assert_fails(folder, lines[i][0], 1, lines[i][1]);
  }
}

static void
test_help(void)
{
  const char *const commands[] = {"tokenizer", "init",       "pretrain", "router",
                                  "export",    "perplexity", "inspect"};
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(folder, "--version", &run);
  assert_contains(run.out, "gem-train ");
  gem_test_train_assert_done(folder, "--help", &run);
  for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
    assert_contains(run.out, commands[i]);
    g_auto(GemTestTrainRun) own = {0};
    g_autofree char *line = g_strconcat(commands[i], " --help", NULL),
                    *usage = g_strconcat("gem-train ", commands[i], NULL);
    gem_test_train_assert_done(folder, line, &own);
    assert_contains(own.out, usage);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_unsetenv("GEM_DATA");
  folder = gem_test_train_folder_new();
  g_test_add_func("/gem-train/help", test_help);
  g_test_add_func("/gem-train/usage", test_usage);
  g_test_add_func("/gem-train/files", test_files);
  g_test_add_func("/gem-train/pipeline", test_pipeline);
  g_test_add_func("/gem-train/llama", test_llama);
  g_test_add_func("/gem-train/init-llama", test_init_llama);
  g_test_add_func("/gem-train/init-loud", test_init_loud);
  int status = g_test_run();
  gem_test_folder_remove(folder);
  g_free(folder);
  return status;
}
