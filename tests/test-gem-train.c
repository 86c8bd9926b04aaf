/* gem-train as a process: models by chance and of others, what every command says of a wrong command line,
 * and of files. */
#include <string.h>

#include "tests/gem-test-model.h"
#include "tests/gem-test-train-program.h"
#include "tests/gem-test-training.h"

static char *folder; /* for all tests: data/, a first model start/ with the tokenizer */

/* ---- models ---- */

static void
test_init_llama(void)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(
      folder, "init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE " --type Q4_0 --llama --output lone.gguf", &run);
  gem_test_train_assert_done(folder, "inspect lone.gguf", &run);
  gem_test_train_assert_contains(run.out, "llama.block_count");
  gem_test_train_assert_contains(run.out, "blk.0.ffn_down.weight");
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
    g_autofree char *path = g_build_filename(folder, "llama.gguf", NULL);
    gem_test_model_shape(&shape);
    shape.kv_heads = 2;
    shape.tied = tied;
    gem_test_model_write_llama(path, &shape, GEM_TYPE_Q8_0, 4);
    gem_test_train_assert_done(folder, "inspect llama.gguf", &run);
    gem_test_train_assert_contains(run.out, "llama.attention.head_count_kv");
    g_assert_true((strstr(run.out, "  output.weight") == NULL) == tied);
    gem_test_train_assert_done(folder, "inspect llama.gguf --text 'the end' --top 2 --greedy 3 --no-bos",
                               &run);
    gem_test_train_assert_contains(run.out, "top 2: ");
    gem_test_train_assert_contains(run.out, "greedy: ");
    g_assert_null(strstr(run.out, "tokens: 1 "));
    gem_test_train_assert_done(folder, "perplexity --model llama.gguf --data data --documents 2", &run);
    g_assert_null(strstr(run.out, "own pathway"));
    gem_test_train_assert_contains(run.out, "legal");
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
    {"init --llama --output start/general.gguf", "general.gguf: that is a file of the model in start, which"},
    {"export --backbone start --tokenizer start/general.gguf --name n --llama --output ./start/router.gguf",
     "--output=./start/router.gguf: that is a file of the model in ./start, which"},
    {"average start start --output start/manifest", "start/manifest: that is a file of the model in start"},
    {"tokenizer --data data --output start/general.gguf", "that is a file of the model in start"},
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

/* What is not there is told of before minutes of text are read. */
static void
test_missing_early(void)
{
  static const char *const commands[] = {GEM_TEST_PRETRAIN "--steps 1 --checkpoint none.gguf --resume",
                                         GEM_TEST_ROUTER "--steps 1 --checkpoint none.gguf --resume",
                                         GEM_TEST_PRETRAIN "--steps 1 --checkpoint x --from none.gguf"};
  for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
    g_auto(GemTestTrainRun) run = {0};
    gem_test_train_run(folder, commands[i], &run);
    g_assert_cmpint(run.status, ==, 1);
    gem_test_train_assert_contains(run.err, ": cannot open none.gguf: ");
    g_assert_null(strstr(run.err, "tokens of text"));
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
  gem_test_train_assert_contains(run.out, "gem-train ");
  gem_test_train_assert_done(folder, "--help", &run);
  for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
    gem_test_train_assert_contains(run.out, commands[i]);
    g_auto(GemTestTrainRun) own = {0};
    g_autofree char *line = g_strconcat(commands[i], " --help", NULL),
                    *usage = g_strconcat("gem-train ", commands[i], NULL);
    gem_test_train_assert_done(folder, line, &own);
    gem_test_train_assert_contains(own.out, usage);
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
  g_test_add_func("/gem-train/missing-early", test_missing_early);
  g_test_add_func("/gem-train/llama", test_llama);
  g_test_add_func("/gem-train/init-llama", test_init_llama);
  g_test_add_func("/gem-train/init-loud", test_init_loud);
  int status = g_test_run();
  gem_test_folder_remove(folder);
  g_free(folder);
  return status;
}
