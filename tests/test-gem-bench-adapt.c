/* gem-bench adapt against the service itself, with a process that learns as it is told (fake-trainer.c): what
 * it prints and writes, what it leaves behind, and what it does not touch. */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bus/gem-bench-held-out.h"
#include "clients/gem-client/gem-client-exit.h"
#include "tests/gem-test-adapt.h"
#include "tests/gem-test-client.h"
#include "tests/gem-test-folder.h"
#include "tests/gem-test-learned-file.h"

#define HELD_OUT 2u /* documents of each corpus */

typedef struct {
  GemTestAdapt adapt;
  char *data, *json;
} Scene;

/* The second document is of orders for the process that learns; those that are held out, which training
 * leaves out, too (tests/test-corpus.c), are the first and the fifty-first, and have words of their own. */
static void
write_corpus(const Scene *self, const char *name, const char *orders)
{
  g_autofree char *file = g_strdup_printf("corpus/%s.txt", name);
  g_autoptr(GString) text = g_string_new("This is for the proof.\n\n");

  g_string_append(text, orders);
  for (guint i = 2; i < 100; i++) {
    g_string_append(text, i == 50 ? "\n\nThis is for the proof."
                                  : "\n\nThe party shall pay what it owes, in good time and in full.");
  }
  gem_test_write_text(self->data, file, text->str);
}

/* What is learned there takes all tokens. */
static void
order(const Scene *self, const char *format)
{
  g_autofree char *learned = gem_test_learned_file_write(self->adapt.gemd->folder, "bench", 100);
  g_autofree char *orders = g_strdup_printf("%s %s", format, learned);

  write_corpus(self, "adaptive", orders);
}

static void
scene_set_up(Scene *self, gconstpointer data)
{
  gem_test_adapt_set_up(&self->adapt, data);
  self->data = gem_test_folder_new();
  self->json = g_build_filename(self->data, "out.json", NULL);
  write_corpus(self, "legal", "First.");
  write_corpus(self, "general", "First.");
}

static void
scene_tear_down(Scene *self, gconstpointer data)
{
  gem_test_folder_remove(self->data);
  g_free(self->data);
  g_free(self->json);
  gem_test_adapt_tear_down(&self->adapt, data);
}

/* gem-bench adapt with what the scene has, and `more`. */
static GSubprocess *
start(const Scene *self, const char *const *more)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new();
  const char *const fixed[] = {
      "adapt", "--data", self->data, "--json", self->json, "--address", self->adapt.gemd->bus->address};

  for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++) {
    g_ptr_array_add(words, (gpointer)fixed[i]);
  }
  for (; *more != NULL; more++) {
    g_ptr_array_add(words, (gpointer)*more);
  }
  g_ptr_array_add(words, NULL);
  return gem_test_program_start(NULL, "bench", "gem-bench", (const char *const *)words->pdata, FALSE);
}

static void
bench(const Scene *self, const char *const *more, GemTestRun *ret_run)
{
  g_autoptr(GSubprocess) program = start(self, more);

  gem_test_client_finish(program, NULL, ret_run);
}

#define MORE(...) ((const char *const[]){__VA_ARGS__, NULL})

static JsonObject *
read_json(const Scene *self, JsonNode **ret_node)
{
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;

  g_file_get_contents(self->json, &text, NULL, &error);
  g_assert_no_error(error);
  *ret_node = gem_test_parse_json(text);
  return json_node_get_object(*ret_node);
}

/* All three texts were scored, each of its held-out documents; their perplexity changed or it did not. */
static void
check_texts(JsonObject *result, gboolean changed)
{
  static const char *const names[] = {"(what is learned)", "general", "legal"};
  JsonArray *texts = json_object_get_array_member(result, "texts");

  g_assert_cmpuint(json_array_get_length(texts), ==, G_N_ELEMENTS(names));
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    JsonObject *text = json_array_get_object_element(texts, i);
    double before = json_object_get_double_member(text, "perplexity_before"),
           after = json_object_get_double_member(text, "perplexity_after");

    g_assert_cmpstr(json_object_get_string_member(text, "text"), ==, names[i]);
    g_assert_cmpint(json_object_get_int_member(text, "documents"), ==, HELD_OUT);
    g_assert_cmpint(json_object_get_int_member(text, "tokens"), >, HELD_OUT);
    g_assert_cmpfloat(before, >, 1);
    g_assert_true((before != after) == changed);
    g_assert_cmpfloat_with_epsilon(json_object_get_double_member(text, "change_percent"),
                                   100 * (after / before - 1), 1e-9);
  }
}

static void
test_learned(Scene *self, gconstpointer data)
{
  g_autoptr(JsonNode) node = NULL;
  g_auto(GemTestRun) run = {0};
  JsonObject *result;

  order(self, "learn");
  bench(self, MORE("--documents", "2"), &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(run.out, ": done, of "));
  g_assert_nonnull(strstr(run.out, "perplexity of held-out text 100.00 -> 50.00"));
  result = read_json(self, &node);
  g_assert_cmpstr(json_object_get_string_member(result, "command"), ==, "adapt");
  g_assert_cmpstr(json_object_get_string_member(result, "result"), ==, "done");
  g_assert_cmpfloat(
      json_object_get_double_member(json_object_get_object_member(result, "figures"), "routed_share"), ==,
      0.5);
  check_texts(result, TRUE);
  g_assert_null(gem_test_adapt_find(self->adapt.gemd->client, "bench"));
}

static void
test_refused(Scene *self, gconstpointer data)
{
  g_autoptr(JsonNode) node = NULL;
  g_auto(GemTestRun) run = {0};

  order(self, "refuse");
  bench(self, MORE("--domain", "adaptive"), &run);
  g_assert_cmpstr(run.err, ==, "");
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(run.out, "it is no better"));
  check_texts(read_json(self, &node), FALSE);
  g_assert_null(gem_test_adapt_find(self->adapt.gemd->client, "bench"));
}

/* What is held out is not learned, and no more is than was asked for. */
static void
test_lesson(Scene *self, gconstpointer data)
{
  g_autofree char *held = g_strdup_printf("hold %s\nlearn", self->adapt.held);
  g_autofree char *user = g_strdup_printf("%u", geteuid());
  g_autofree char *path = g_build_filename(self->adapt.state, "learned", user, "bench", "text", NULL);
  g_autoptr(GSubprocess) program = NULL;
  g_autofree char *lesson = NULL;
  g_auto(GemTestRun) run = {0};
  gsize length = 0;

  order(self, held);
  gem_test_adapt_hold(&self->adapt);
  program = start(self, MORE("--kib", "5"));
  gem_test_adapt_wait_state(&self->adapt, "bench", "learning", "learning");
  g_assert_true(g_file_get_contents(path, &lesson, &length, NULL));
  g_assert_cmpuint(length, >=, 5 * 1024);
  g_assert_cmpuint(length, <, 5 * 1024 + 64);
  g_assert_nonnull(strstr(lesson, "The party shall pay"));
  g_assert_null(strstr(lesson, "proof"));
  g_unlink(self->adapt.held);
  gem_test_client_finish(program, NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_OK);
}

/* What the user has learned is not learned over. */
static void
test_taken_name(Scene *self, gconstpointer data)
{
  g_auto(GemTestRun) first = {0};
  g_auto(GemTestRun) second = {0};

  order(self, "learn");
  bench(self, MORE("--keep"), &first);
  g_assert_cmpint(first.status, ==, GEM_EXIT_OK);
  gem_test_adapt_check_state(&self->adapt, "bench", "ready");
  bench(self, MORE("--seconds", "20"), &second);
  g_assert_cmpint(second.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(second.err, "there is a learned domain \"bench\""));
  gem_test_adapt_check_state(&self->adapt, "bench", "ready");
}

static void
test_wrong_usage(Scene *self, gconstpointer data)
{
  g_autofree char *few = g_build_filename(self->data, "few.txt", NULL);
  const struct {
    const char *option, *value;
    GemExit status;
    const char *part;
  } cases[] = {
      {"--text", few, GEM_EXIT_FAILED, "few.txt: there is no document to score"},
      {"--domain", "none", GEM_EXIT_FAILED, "none.txt"},
      {"--kib", "3", GEM_EXIT_USAGE, "--kib"},
      {"--documents", "0", GEM_EXIT_USAGE, "--documents"},
      {"--seconds", "9", GEM_EXIT_INVALID_INPUT, "gem-bench: --seconds: 9 is out of range"},
      {"--name", "Bench", GEM_EXIT_INVALID_INPUT, "gem-bench: --name: 5 bytes"},
  };
  g_auto(GemTestRun) both = {0};

  order(self, "learn");
  gem_test_write_text(self->data, "few.txt", "\n\n");
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GemTestRun) run = {0};

    bench(self, MORE(cases[i].option, cases[i].value), &run);
    g_assert_cmpint(run.status, ==, cases[i].status);
    g_assert_nonnull(strstr(run.err, cases[i].part));
  }
  bench(self, MORE("--text", few, "--domain", "legal"), &both);
  g_assert_cmpint(both.status, ==, GEM_EXIT_USAGE);
}

int
main(int argc, char **argv)
{
  static const GemTestAdaptCase plain = {0};

  g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                                  \
  g_test_add("/gem-bench/adapt/" name, Scene, &plain, scene_set_up, function, scene_tear_down)
  ADD("learned", test_learned);
  ADD("refused", test_refused);
  ADD("lesson", test_lesson);
  ADD("taken-name", test_taken_name);
  ADD("wrong-usage", test_wrong_usage);
#undef ADD
  return g_test_run();
}
