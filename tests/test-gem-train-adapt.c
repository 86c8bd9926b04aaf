/* gem-train adapt and gem-train experiment as processes, on a tiny model with random weights. */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include "tests/gem-test-train-program.h"
#include "tests/gem-test-training.h"

#define ADAPT                                                                                                \
  "adapt --model start --data data --sequence 32 --batch-tokens 64 --replay-tokens 64 --lanes 2 --matmul "   \
  "fp32 "
#define EXPERIMENT                                                                                           \
  "experiment forgetting --model start --data data --domains legal,stem --seeds 2 --sequence 32 "            \
  "--batch-tokens 64 --replay-tokens 64 --steps 4 --items 5 --lanes 2 --matmul fp32 "

static char *folder;

/* What it wrote to its output. Transfer full. */
static char *
assert_done(const char *command)
{
  g_auto(GemTestTrainRun) run = {0};
  gem_test_train_assert_done(folder, command, &run);
  return g_steal_pointer(&run.out);
}

static void
assert_fails(const char *command, int status, const char *message)
{
  gem_test_train_assert_fails(folder, command, status, message);
}

static gboolean
same_file(const char *a, const char *b, const char *file)
{
  g_autofree char *path_a = g_build_filename(folder, a, file, NULL),
                  *path_b = g_build_filename(folder, b, file, NULL);
  g_autofree char *left = NULL, *right = NULL;
  gsize left_size = 0, right_size = 0;
  g_assert_true(g_file_get_contents(path_a, &left, &left_size, NULL));
  g_assert_true(g_file_get_contents(path_b, &right, &right_size, NULL));
  return left_size == right_size && memcmp(left, right, left_size) == 0;
}

static void
make_folder(void)
{
  g_autoptr(GError) error = NULL;
  folder = gem_test_folder_new();
  g_autofree char *data = gem_test_data_folder_new(), *link = g_build_filename(folder, "data", NULL);
  const char *const tasks[] = {"tasks/legal/clauses", "tasks/stem/units"};
  g_autoptr(GString) lines = g_string_new(NULL);
  for (guint i = 0; i < 12; i++) {
    g_string_append_printf(lines, "{\"input\": \"q%u\", \"target\": \"%s\", \"choices\": [\"a\", \"b\"]}\n",
                           i, i % 3 == 0 ? "b" : "a");
  }
  for (gsize i = 0; i < G_N_ELEMENTS(tasks); i++) {
    g_autofree char *train = g_strconcat(tasks[i], "/train.jsonl", NULL),
                    *dev = g_strconcat(tasks[i], "/dev.jsonl", NULL),
                    *test = g_strconcat(tasks[i], "/test.jsonl", NULL);
    gem_test_write_text(data, train, lines->str);
    gem_test_write_text(data, dev, lines->str);
    gem_test_write_text(data, test, "this is never read\n");
  }
  gem_test_write_text(data, "manifest.json",
                      "{\"tasks\": [{\"domain\": \"legal\", \"name\": \"clauses\", \"permissive\": true},"
                      "{\"domain\": \"stem\", \"name\": \"units\", \"permissive\": true}]}\n");
  g_assert_cmpint(g_rename(data, link), ==, 0);
  g_autofree char *init =
      assert_done("init --preset gem-tiny " GEM_TEST_TRAIN_SHAPE " --output start --seed 3");
}

/* What is frozen is the same file; what learns is not, and can be read. */
static void
test_akp(void)
{
  g_autofree char *out = assert_done(ADAPT "--domain legal --steps 6 --output akp --name taught");
  g_assert_true(same_file("start", "akp", "general.gguf"));
  g_assert_true(same_file("start", "akp", "router.gguf"));
  g_assert_true(same_file("start", "akp", "pathway-stem.gguf"));
  g_assert_false(same_file("start", "akp", "pathway-legal.gguf"));
  g_autofree char *inspected = assert_done("inspect akp");
  g_assert_nonnull(strstr(inspected, "pathway-legal.gguf: "));
}

static void
test_router_row(void)
{
  g_autofree char *out =
      assert_done(ADAPT "--domain stem --kind task+tapt+dapt --steps 2 --router --output routed");
  g_assert_true(same_file("start", "routed", "general.gguf"));
  g_assert_false(same_file("start", "routed", "router.gguf"));
  g_autofree char *inspected = assert_done("inspect routed --text abc");
}

static void
test_dense(void)
{
  g_autofree char *plain = assert_done(ADAPT "--domain legal --mode plain --steps 3 --output plain");
  g_autofree char *dense = assert_done(ADAPT "--domain legal --mode akp-dense --steps 3 --output dense");
  g_assert_false(same_file("start", "plain", "general.gguf"));
  g_assert_false(same_file("plain", "dense", "general.gguf"));
  g_assert_true(same_file("start", "plain", "pathway-legal.gguf"));
}

/* The number before `after` in what a run wrote where errors go. */
static guint64
number_before(const char *err, const char *after)
{
  const char *at = strstr(err, after);
  g_assert_nonnull(at);
  while (at > err && g_ascii_isdigit(at[-1])) {
    at--;
  }
  return g_ascii_strtoull(at, NULL, 10);
}

/* Stopped in the middle, it goes on there: only what was left is learned, and the result is the same. */
static void
test_resume(void)
{
#define LONG ADAPT "--domain legal --steps 60 --checkpoint-minutes 0 "
  g_auto(GemTestTrainRun) whole = {0}, resumed = {0};
  g_autofree char *stopped = NULL;
  gem_test_train_assert_done(folder, LONG "--output whole", &whole);
  int status = gem_test_train_stop(folder, LONG "--checkpoint state.gguf --output resumed", "state.gguf",
                                   SIGINT, &stopped);
  g_assert_true(WIFEXITED(status));
  g_assert_cmpint(WEXITSTATUS(status), ==, 1);
  guint64 step = number_before(stopped, " of 60; it can be resumed");
  g_autofree char *from = g_strdup_printf("resuming state.gguf at step %" G_GUINT64_FORMAT "\n", step);
  g_assert_cmpuint(step, >=, 1);
  g_assert_cmpuint(step, <, 60);
  const char *const others[][2] = {
      {"--kind task", ": text is "},
      {"--documents 2", ": text is "},
      {"--mode plain", ": learns is residual there and general here, "},
      {"--rate 0.01", ": rate is 0.001 there and 0.01 here; resume with the same options and text"},
      {"--distill 0.25", ": distill is 0.5 there and 0.25 here;"},
      {"--sequence 16", ": sequence is 32 there and 16 here;"},
      {"--batch-tokens 128", ": batch-tokens is 64 there and 128 here;"},
  };
  for (gsize i = 0; i < G_N_ELEMENTS(others); i++) {
    g_autofree char *command =
        g_strdup_printf(LONG "%s --checkpoint state.gguf --resume --output other", others[i][0]);
    g_autofree char *message =
        g_strconcat("state.gguf is the checkpoint of another adaptation", others[i][1], NULL);
    assert_fails(command, 1, message);
  }
  assert_fails(LONG "--checkpoint state.gguf --output other", 2,
               "--checkpoint=state.gguf: is there already;");
  assert_fails("adapt --model whole --data data --domain legal --steps 60 --checkpoint state.gguf --resume "
               "--output other",
               1, "state.gguf is the checkpoint of another model than whole is now;");
  gem_test_train_assert_done(folder, LONG "--checkpoint state.gguf --resume --output resumed", &resumed);
  g_assert_nonnull(strstr(resumed.err, from));
  g_assert_cmpuint(number_before(resumed.err, " tokens in "), <, number_before(whole.err, " tokens in "));
  g_assert_true(same_file("whole", "resumed", "pathway-legal.gguf"));
}

/* What helps is an option here. */
static void
test_not_finite(void)
{
#define PLAIN LONG "--mode plain --output other "
  g_autofree char *stopped = NULL;
  gem_test_train_stop(folder, PLAIN "--checkpoint sound.gguf", "sound.gguf", SIGINT, &stopped);
  gem_test_train_spoil(folder, "sound.gguf", "value:general/blk.0.ffn_up.weight", "spoiled.gguf");
  assert_fails(PLAIN "--checkpoint spoiled.gguf --resume", 1,
               ": the loss is not finite; lower --rate and go on from the checkpoint with --resume\n");
}

static void
test_usage(void)
{
  assert_fails("adapt --data data --domain legal --output x", 2, "--model is needed");
  assert_fails("adapt --model start --data data --output x", 2, "--domain is needed");
  assert_fails(ADAPT "--domain moon --output x", 2, "--domain=moon");
  assert_fails(ADAPT "--domain legal --output x --mode fly", 2, "--mode=fly");
  assert_fails(ADAPT "--domain legal --output x --kind dapt+fly", 2, "--kind: 'fly'");
  assert_fails(ADAPT "--domain legal --output x --kind ''", 2, "--kind: ''");
  assert_fails(ADAPT "--domain legal --output x --quantization-term fly", 2, "--quantization-term=fly");
  assert_fails(ADAPT "--domain legal --output x --clusters 5", 2, "--clusters=5");
  assert_fails(ADAPT "--domain legal --output x --resume", 2, "--checkpoint is needed");
  assert_fails("experiment", 2, "an experiment is needed");
  assert_fails("experiment flying --model start --data data --work x", 2, "'flying': there are forgetting");
  assert_fails(EXPERIMENT "--work x --variations fly", 2, "--variations: 'fly'");
  assert_fails(EXPERIMENT "--work x --variations ''", 2, "--variations: none is named");
  assert_fails("experiment forgetting --model start --data data --work x --domains legal", 2, "--domains: ");
  assert_fails(
      "experiment forgetting --model start --data data --work none --domains finance,healthcare --kind dapt "
      "--steps 1 --lanes 1",
      1, ", stage 1, ");
}

/* A task that is named is one that is learned from. */
static void
test_tasks(void)
{
#define TASKS ADAPT "--domain legal --steps 2 --output tasks "
  const char *const none = "data: --tasks: legal: there is no task ";
  g_autofree char *typo = g_strconcat(none, "'typo' to read", NULL),
                  *other = g_strconcat(none, "'units' to read", NULL),
                  *empty = g_strconcat(none, "'' to read", NULL);
  assert_fails(TASKS "--kind task --tasks clauses,typo", 2, typo);
  assert_fails(TASKS "--kind tapt --tasks typo", 2, typo);
  assert_fails(TASKS "--kind dapt+task --tasks units", 2, other); /* of stem */
  assert_fails(TASKS "--kind task --tasks ''", 2, empty);
  assert_fails(TASKS "--tasks clauses", 2, "--tasks: --kind=dapt reads no tasks");
  g_autofree char *done = assert_done(TASKS "--kind dapt+task --tasks clauses");
}

static gboolean
is_there(const char *name)
{
  g_autofree char *path = g_build_filename(folder, name, NULL);
  return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* What cannot be written is said before anything is learned, and nothing of it is left. */
static void
test_output(void)
{
#define TO ADAPT "--domain legal --steps 2 --output "
  g_autofree char *link = g_build_filename(folder, "link", NULL), *name = g_strnfill(300, 'n'),
                  *longer = g_strconcat(TO "made/", name, NULL);
  assert_fails(TO "made/here --name 'two words'", 2, "--name=two words: ");
  assert_fails(TO "made/here --name .dot", 2, "--name=.dot: ");
  assert_fails(TO "data/manifest.json", 2, "--output=data/manifest.json: cannot make the folder: ");
  assert_fails(TO "data/manifest.json/x", 2, "--output=data/manifest.json/x: cannot make the folder: ");
  assert_fails(longer, 2, ": cannot make the folder: ");
  assert_fails(TO "/proc", 2, "--output=/proc: cannot write to the folder: ");
  g_assert_cmpint(symlink("start", link), ==, 0);
  assert_fails(TO "./start/", 2, "--output=./start/: that is the folder of --model");
  assert_fails(TO "link", 2, "--output=link: that is the folder of --model");
  assert_fails(TO "made/here --kind task --tasks other", 2, "there is no task 'other' to read");
  g_assert_false(is_there("made"));
  g_autofree char *out = assert_done(TO "made/here");
  g_assert_true(is_there("made/here/manifest"));
}

static int
count_of(const char *text, const char *part)
{
  int n = 0;
  for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
    n++;
  }
  return n;
}

/* The result has each measure of forgetting, by seed too, and what is compared for all but the first. */
static void
assert_measures(void)
{
  const char *const measures[] = {"forgetting", "forgetting_crossed", "forgetting_pooled", "forgetting_own"};
  g_autofree char *path = g_build_filename(folder, "work/result.json", NULL);
  g_autoptr(JsonParser) parser = json_parser_new();
  g_assert_true(json_parser_load_from_file(parser, path, NULL));
  JsonObject *all =
      json_object_get_object_member(json_node_get_object(json_parser_get_root(parser)), "variations");
  for (gsize i = 0; i < G_N_ELEMENTS(measures); i++) {
    JsonObject *first =
                   json_object_get_object_member(json_object_get_object_member(all, "plain"), measures[i]),
               *last = json_object_get_object_member(json_object_get_object_member(all, "akp"), measures[i]);
    g_assert_true(json_object_has_member(first, "mean") && !json_object_has_member(first, "difference"));
    g_assert_true(json_object_has_member(last, "difference") && json_object_has_member(last, "reduction"));
    g_assert_true(json_object_has_member(last, "shared") && json_object_has_member(last, "shared_against"));
    g_assert_true(json_object_has_member(last, "difference_tasks") &&
                  json_object_has_member(last, "reduction_tasks"));
    g_assert_cmpuint(json_array_get_length(json_object_get_array_member(last, "seeds")), ==, 2);
  }
}

/* What the router's row took of other domains' text is kept where a row learns, and there alone. */
static void
assert_row_shares(void)
{
  const char *const variations[] = {"plain", "akp"};
  for (gsize i = 0; i < G_N_ELEMENTS(variations); i++) {
    g_autofree char *name = g_strdup_printf("work/%s-2-2.json", variations[i]),
                    *path = g_build_filename(folder, name, NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_assert_true(json_parser_load_from_file(parser, path, NULL));
    JsonObject *stage = json_node_get_object(json_parser_get_root(parser));
    double lost = json_object_get_double_member_with_default(stage, "row_lost_share", -1.0);
    g_assert_true(i == 0 ? lost == -1.0 : lost >= 0.0 && lost <= 1.0);
  }
}

/* The text of a stage's file without the last answer to legal/clauses. */
static char *
cut_answers(const char *text)
{
  const char *answers = strstr(text, "\"legal/clauses\" : \"");
  g_assert_nonnull(answers);
  gsize head = (gsize)(answers - text) + strlen("\"legal/clauses\" : \"");
  return g_strdup_printf("%.*s%s", (int)head, text, text + head + 1);
}

/* Other answers to the same number of lines are another experiment. */
static void
assert_changed_text(void)
{
  const char *const splits[] = {"data/tasks/legal/clauses/dev.jsonl", "data/tasks/legal/clauses/train.jsonl"};
  for (gsize i = 0; i < G_N_ELEMENTS(splits); i++) {
    g_autofree char *path = g_build_filename(folder, splits[i], NULL), *lines = NULL;
    g_assert_true(g_file_get_contents(path, &lines, NULL, NULL));
    g_autofree char *other = g_strdup(lines);
    char *target = strstr(other, "\"q2\", \"target\": \"a\"");
    g_assert_nonnull(target);
    target[strlen("\"q2\", \"target\": \"")] = 'b';
    gem_test_write_text(folder, splits[i], other);
    assert_fails(EXPERIMENT "--work work --report", 1, "work has results of other options");
    gem_test_write_text(folder, splits[i], lines);
  }
}

/* What the paper's Table 5 leaves out, of the network that can forget: held against that, in the same folder,
 * where the stages that are there are taken as they are. */
static void
test_dense_ablation(void)
{
  g_autofree char *alone = assert_done(EXPERIMENT "--work dense --variations plain,akp-dense --seeds 1");
  g_autofree char *path = g_build_filename(folder, "dense/akp-dense-1-2.json", NULL), *before = NULL,
                  *after = NULL;
  g_assert_true(g_file_get_contents(path, &before, NULL, NULL));
  g_autofree char *out =
      assert_done(EXPERIMENT "--work dense --seeds 1 --variations plain,akp-dense,dense-no-preservation");
  g_assert_true(g_file_get_contents(path, &after, NULL, NULL));
  g_assert_cmpstr(before, ==, after);
  g_assert_cmpint(count_of(out, "  akp-dense   "), ==, 4);
  g_assert_cmpint(count_of(out, "  plain       "), ==, 4);
}

/* A figure of a variation at the end; NAN: null. */
static double
end_figure(JsonObject *scores, const char *variation, const char *name)
{
  JsonNode *node = json_object_get_member(json_object_get_object_member(scores, variation), name);
  g_assert_nonnull(node);
  if (JSON_NODE_HOLDS_ARRAY(node)) {
    node = json_array_get_element(json_node_get_array(node), 0);
  }
  return JSON_NODE_HOLDS_NULL(node) ? NAN : json_node_get_double(node);
}

/* What each costs, and what its pathways are worth on all tasks, where it has any. */
static void
test_table(void)
{
#define TABLE                                                                                                \
  "experiment ablations --model start --data data --domains legal,stem --seeds 1 --sequence 32 "             \
  "--batch-tokens 64 --replay-tokens 64 --steps 2 --items 5 --transfer-items 4 --lanes 2 --matmul fp32 "     \
  "--variations akp,no-scar,no-quantization,akp-dense,dense-no-quantization --work table "
  g_autofree char *out = assert_done(TABLE), *path = g_build_filename(folder, "table/result.json", NULL);
  g_autoptr(JsonParser) parser = json_parser_new();
  g_assert_true(json_parser_load_from_file(parser, path, NULL));
  JsonObject *all =
      json_object_get_object_member(json_node_get_object(json_parser_get_root(parser)), "scores");
  g_assert_true(isfinite(end_figure(all, "akp", "gap_end")));
  g_assert_true(isfinite(end_figure(all, "akp", "gg_forced_end")));
  g_assert_true(isnan(end_figure(all, "akp-dense", "gap_end")));
  g_assert_cmpfloat(end_figure(all, "no-scar", "flop"), <, end_figure(all, "akp", "flop"));
  g_assert_cmpfloat(end_figure(all, "no-quantization", "bytes"), >, end_figure(all, "akp", "bytes"));
  g_assert_cmpfloat(end_figure(all, "akp-dense", "bytes"), <, end_figure(all, "akp", "bytes"));
  g_assert_cmpfloat(end_figure(all, "dense-no-quantization", "bytes"), >,
                    3.0 * end_figure(all, "akp-dense", "bytes"));
  g_assert_cmpfloat(end_figure(all, "akp-dense", "active_bytes"), ==, end_figure(all, "akp-dense", "bytes"));
  /* other numbers of lines through the pathways are another experiment */
  assert_fails(TABLE "--transfer-items 3", 1, "table has results of other options");
  g_autofree char *report = assert_done(TABLE "--report");
  g_assert_cmpstr(report, ==, out);
}

/* A stage that is there is not run again; a table is there in the end. */
static void
test_experiment(void)
{
  g_autofree char *out = assert_done(EXPERIMENT "--work work");
  const char *const variations[] = {"plain", "akp-dense", "akp"};
  for (gsize i = 0; i < G_N_ELEMENTS(variations); i++) {
    g_autofree char *name = g_strdup_printf("work/%s-2-2.json", variations[i]),
                    *path = g_build_filename(folder, name, NULL),
                    *state = g_strdup_printf("%s/work/%s-2.state.gguf", folder, variations[i]);
    g_assert_nonnull(strstr(out, variations[i]));
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(state, G_FILE_TEST_EXISTS));
  }
  g_assert_nonnull(strstr(out, "GG at the end"));
  assert_measures();
  assert_row_shares();
  /* from a stage in the middle on: the same, without the learned state there is nothing to go on with */
  g_autofree char *last = g_build_filename(folder, "work/akp-2-2.json", NULL), *before = NULL, *after = NULL;
  g_assert_true(g_file_get_contents(last, &before, NULL, NULL));
  g_autofree char *report = assert_done(EXPERIMENT "--work work --report");
  g_assert_cmpstr(report, ==, out);
  g_autofree char *cut = cut_answers(before);
  gem_test_write_text(folder, "work/akp-2-2.json", cut);
  assert_fails(EXPERIMENT "--work work --report", 1,
               "work/akp-2-2.json: no answers to the 5 items of legal/clauses");
  g_assert_cmpint(g_unlink(last), ==, 0);
  assert_fails(EXPERIMENT "--work work", 1, "the state of akp, seed 2, is not that of its last stage");
  assert_fails(EXPERIMENT "--work work --report", 1, "akp-2-2.json");
  assert_fails(EXPERIMENT "--work work --rate 0.5", 1, "work has results of other options");
  assert_changed_text();
}

/* What has learned from tasks of any licence is refused unless it is asked for, and so is all that comes of
 * it. */
static void
test_licences(void)
{
#define PRETRAIN                                                                                             \
  "pretrain --preset gem-tiny " GEM_TEST_TRAIN_SHAPE                                                         \
  " --tokenizer start/general.gguf --data data --batch-tokens 64 "                                           \
  "--sequence 64 --steps 2 --warm-up 1 --matmul fp32 "
#define EXPORT  "export --router start/router.gguf --tokenizer start/general.gguf --name report --output "
#define SMALL   " --sequence 32 --batch-tokens 64 --replay-tokens 64 --lanes 2 --matmul fp32 --steps 2"
#define REFUSED "has learned from tasks that are not permissive"
  g_autofree char *all = assert_done(PRETRAIN "--checkpoint all.gguf --all-licences");
  g_autofree char *some = assert_done(PRETRAIN "--checkpoint some.gguf");
  assert_fails(EXPORT "refused --backbone all.gguf", 2, "all.gguf " REFUSED);
  assert_fails(PRETRAIN "--checkpoint new.gguf --from all.gguf", 2, "all.gguf " REFUSED);
  assert_fails(PRETRAIN "--checkpoint all.gguf --resume", 2, "all.gguf " REFUSED);
  assert_fails("average some.gguf all.gguf --output mean.gguf", 2, "all.gguf " REFUSED);
  assert_fails("average all.gguf some.gguf --output mean.gguf", 2, "all.gguf " REFUSED);
  g_free(assert_done("average some.gguf all.gguf --all-licences --output mean.gguf"));
  assert_fails(EXPORT "refused --backbone mean.gguf", 2, "mean.gguf " REFUSED);
  g_free(assert_done(EXPORT "marked --backbone all.gguf --all-licences"));
  g_free(assert_done(EXPORT "bare --backbone some.gguf --all-licences"));
  g_autofree char *marked_files = assert_done("inspect marked"), *bare_files = assert_done("inspect bare");
  g_assert_nonnull(strstr(marked_files, "train.all_licences"));
  g_assert_null(strstr(bare_files, "train.all_licences"));
  assert_fails("adapt --model marked --data data --domain legal --output x", 2, "marked " REFUSED);
  /* a router's row is enough */
  g_free(assert_done("adapt --model bare --data data --domain legal --kind task --router --all-licences "
                     "--checkpoint row.gguf" SMALL " --output rows"));
  assert_fails(EXPORT "refused --backbone some.gguf --router rows/router.gguf", 2,
               "rows/router.gguf " REFUSED);
  assert_fails(
      "adapt --model bare --data data --domain legal --kind task --checkpoint row.gguf --resume" SMALL
      " --output x",
      2, "row.gguf " REFUSED);
  /* one pathway is enough */
  g_autofree char *taught = assert_done(
      "adapt --model bare --data data --domain stem --kind task --all-licences" SMALL " --output taught");
  g_assert_true(same_file("bare", "taught", "general.gguf"));
  assert_fails(PRETRAIN "--checkpoint new.gguf --from taught", 2, "taught " REFUSED);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  make_folder();
  g_test_add_func("/gem-train-adapt/akp", test_akp);
  g_test_add_func("/gem-train-adapt/router-row", test_router_row);
  g_test_add_func("/gem-train-adapt/dense", test_dense);
  g_test_add_func("/gem-train-adapt/resume", test_resume);
  g_test_add_func("/gem-train-adapt/not-finite", test_not_finite);
  g_test_add_func("/gem-train-adapt/usage", test_usage);
  g_test_add_func("/gem-train-adapt/tasks", test_tasks);
  g_test_add_func("/gem-train-adapt/output", test_output);
  g_test_add_func("/gem-train-adapt/experiment", test_experiment);
  g_test_add_func("/gem-train-adapt/dense-ablation", test_dense_ablation);
  g_test_add_func("/gem-train-adapt/table", test_table);
  g_test_add_func("/gem-train-adapt/licences", test_licences);
  int status = g_test_run();
  gem_test_folder_remove(folder);
  g_free(folder);
  return status;
}
