/* gem-client teaches, shows, undoes, forgets and shares, against the service itself: what it prints and exits
 * with. */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "clients/gem-client/gem-client-exit.h"
#include "tests/gem-test-adapt.h"
#include "tests/gem-test-learned-file.h"
#include "tests/gem-test-program.h"

typedef struct {
  int status;
  char *out, *err;
} Run;

static void
run_clear(Run *run)
{
  g_free(run->out);
  g_free(run->err);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static GSubprocess *
start(GemTestAdapt *self, const char *const *arguments)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
      G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr(GPtrArray) words = gem_test_program_words("clients/gem-client", "gem-client");
  g_autoptr(GError) error = NULL;
  GSubprocess *process;

  for (; *arguments != NULL; arguments++) {
    g_ptr_array_add(words, g_strdup(*arguments));
  }
  g_ptr_array_add(words, NULL);
  g_subprocess_launcher_setenv(launcher, "DBUS_SYSTEM_BUS_ADDRESS", self->gemd->bus->address, TRUE);
  process = g_subprocess_launcher_spawnv(launcher, (const char *const *)words->pdata, &error);
  g_assert_no_error(error);
  return process;
}

static void
finish(GSubprocess *process, const char *input, Run *ret_run)
{
  g_autoptr(GError) error = NULL;

  g_assert_true(g_subprocess_communicate_utf8(process, input, NULL, &ret_run->out, &ret_run->err, &error));
  g_assert_no_error(error);
  ret_run->status = g_subprocess_get_if_exited(process) ? g_subprocess_get_exit_status(process) : -1;
}

#define CLIENT(self, input, run, ...) client(self, (const char *const[]){__VA_ARGS__, NULL}, input, run)

static void
client(GemTestAdapt *self, const char *const *arguments, const char *input, Run *ret_run)
{
  g_autoptr(GSubprocess) process = start(self, arguments);

  finish(process, input, ret_run);
}

/* What the trainer is told, as a text of that many bytes. Transfer full. */
static char *
make_input(GemTestAdapt *self, const char *order, gsize bytes)
{
  g_autofree char *learned = gem_test_learned_file_write(self->gemd->folder, "mywork", 0);
  GString *text = g_string_new(NULL);

  g_string_append_printf(text, "%s %s\n", order, learned);
  while (text->len < bytes) {
    g_string_append(text, "The party shall pay. ");
  }
  return g_string_free(text, FALSE);
}

static void
test_standard_input(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *input = make_input(self, "learn", GEM_TEST_ADAPT_BYTES);
  g_auto(Run) learned = {0}, shown = {0}, forgotten = {0}, none = {0}, again = {0};

  CLIENT(self, input, &learned, "adapt", "mywork");
  g_assert_cmpstr(learned.err, ==, "");
  g_assert_cmpint(learned.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(learned.out, "held-out perplexity 100.00 -> 50.00 (-50.0 %)"));
  CLIENT(self, NULL, &shown, "learned");
  g_assert_cmpint(shown.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(shown.out, "mywork"));
  CLIENT(self, NULL, &forgotten, "forget", "mywork");
  g_assert_cmpint(forgotten.status, ==, GEM_EXIT_OK);
  CLIENT(self, NULL, &none, "learned");
  g_assert_cmpstr(none.out, ==, "");
  CLIENT(self, NULL, &again, "undo", "mywork");
  g_assert_cmpint(again.status, ==, GEM_EXIT_INVALID_INPUT);
}

/* Files become one text, with a blank line between. */
static void
test_files(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *one = g_build_filename(self->gemd->folder, "one", NULL);
  g_autofree char *other = g_build_filename(self->gemd->folder, "other", NULL);
  g_autofree char *text = make_input(self, "learn", GEM_TEST_ADAPT_BYTES / 2);
  g_auto(Run) learned = {0}, missing = {0};

  g_assert_true(g_file_set_contents(one, text, -1, NULL));
  g_assert_true(g_file_set_contents(other, text, -1, NULL));
  CLIENT(self, NULL, &learned, "adapt", "--json", "mywork", one, other);
  g_assert_cmpint(learned.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(learned.out, "{\"result\":\"done\""));
  CLIENT(self, NULL, &missing, "adapt", "mywork", one, "/nowhere");
  g_assert_cmpint(missing.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(missing.err, "/nowhere: "));
}

/* Of several files the one is named that is no text. */
static void
test_no_text(GemTestAdapt *self, gconstpointer data)
{
  static const struct {
    const char *text;
    gssize length;
    const char *message;
  } cases[] = {
      {"good\xff", -1, ": byte 5 is not of UTF-8, or a NUL\n"},
      {"a\0b", 3, ": byte 2 is not of UTF-8, or a NUL\n"},
      {"a\xe2\x82", -1, ": byte 2 is the beginning of a character that is cut off\n"},
      {"\xc3\xa4\x1b[1m", -1, ": byte 3 is a control character, and no tab or line end\n"},
      {"a\rb", -1, ": byte 2 is a control character, and no tab or line end\n"},
  };
  g_autofree char *good = g_build_filename(self->gemd->folder, "good", NULL);
  g_autofree char *bad = g_build_filename(self->gemd->folder, "bad", NULL);
  g_autofree char *text = make_input(self, "learn", GEM_TEST_ADAPT_BYTES);
  g_autoptr(GString) split = g_string_new("\xe2\x82\xac\r\n\f\t");
  g_auto(Run) learned = {0}, typed = {0};

  g_assert_true(g_file_set_contents(good, text, -1, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *said = g_strdup_printf("gem-client: %s%s", bad, cases[i].message);
    g_auto(Run) run = {0};

    g_assert_true(g_file_set_contents(bad, cases[i].text, cases[i].length, NULL));
    CLIENT(self, NULL, &run, "adapt", "mywork", good, bad, good);
    g_assert_cmpstr(run.err, ==, said);
    g_assert_cmpint(run.status, ==, GEM_EXIT_INVALID_INPUT);
  }
  CLIENT(self, "\xff", &typed, "adapt", "mywork", good, "-");
  g_assert_cmpstr(typed.err, ==, "gem-client: standard input: byte 1 is not of UTF-8, or a NUL\n");
  /* characters that blocks cut in two */
  while (split->len < 300000) {
    g_string_append(split, "x\xe2\x82\xac\xf0\x9f\x98\x80");
  }
  g_assert_true(g_file_set_contents(bad, split->str, -1, NULL));
  CLIENT(self, NULL, &learned, "adapt", "mywork", good, bad);
  g_assert_cmpstr(learned.err, ==, "");
  g_assert_cmpint(learned.status, ==, GEM_EXIT_OK);
}

/* A file that ends between carriage return and line end, before another one and as the last. */
static void
test_cut_line_end(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *text = make_input(self, "learn", GEM_TEST_ADAPT_BYTES);
  g_autofree char *cut = g_build_filename(self->gemd->folder, "cut", NULL);
  g_autofree char *cut_text = g_strconcat(text, "\r\nthe end\r", NULL);
  g_auto(Run) followed = {0}, last = {0};

  g_assert_true(g_file_set_contents(cut, cut_text, -1, NULL));
  CLIENT(self, "\nmore\n", &followed, "adapt", "mywork", cut, "-");
  g_assert_cmpstr(followed.err, ==, "");
  g_assert_cmpint(followed.status, ==, GEM_EXIT_OK);
  CLIENT(self, NULL, &last, "adapt", "mywork", cut);
  g_assert_cmpstr(last.err, ==, "");
  g_assert_cmpint(last.status, ==, GEM_EXIT_OK);
}

static void
test_refused(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *input = make_input(self, "refuse", GEM_TEST_ADAPT_BYTES);
  g_auto(Run) refused = {0}, shown = {0}, named = {0}, short_text = {0};

  CLIENT(self, input, &refused, "adapt", "mywork");
  g_assert_cmpint(refused.status, ==, GEM_EXIT_FAILED);
  g_assert_nonnull(strstr(refused.err, "refused, and nothing has changed: it is no better"));
  CLIENT(self, NULL, &shown, "learned");
  g_assert_true(g_pattern_match_simple("*mywork * refused * no * it is no better\n", shown.out));
  g_assert_null(strstr(shown.out, "last learning"));
  CLIENT(self, input, &named, "adapt", "Mywork");
  g_assert_cmpint(named.status, ==, GEM_EXIT_INVALID_INPUT);
  CLIENT(self, "x", &short_text, "adapt", "mywork");
  g_assert_cmpint(short_text.status, ==, GEM_EXIT_INVALID_INPUT);
}

/* What was refused shows beside the version that serves on. */
static void
test_refused_anew(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *good = make_input(self, "learn", GEM_TEST_ADAPT_BYTES);
  g_autofree char *bad = make_input(self, "refuse", GEM_TEST_ADAPT_BYTES);
  g_auto(Run) learned = {0}, before = {0}, refused = {0}, after = {0}, again = {0}, healed = {0};

  CLIENT(self, good, &learned, "adapt", "mywork");
  CLIENT(self, NULL, &before, "learned");
  g_assert_null(strstr(before.out, "refused"));
  CLIENT(self, bad, &refused, "adapt", "mywork");
  g_assert_cmpint(refused.status, ==, GEM_EXIT_FAILED);
  CLIENT(self, NULL, &after, "learned");
  g_assert_true(g_pattern_match_simple(
      "*mywork * ready * yes * 100.00 -> 50.00 * last learning refused: it is no better\n", after.out));
  CLIENT(self, good, &again, "adapt", "mywork");
  g_assert_cmpint(again.status, ==, GEM_EXIT_OK);
  CLIENT(self, NULL, &healed, "learned");
  g_assert_null(strstr(healed.out, "refused"));
}

/* Numbers go to the service as they are given: none means the default. */
static void
test_bounds(GemTestAdapt *self, gconstpointer data)
{
  static const struct {
    const char *option, *value, *message;
    GemExit status;
  } cases[] = {
      {"--seconds", "0", "--seconds: 0 is out of range", GEM_EXIT_INVALID_INPUT},
      {"--seconds", "-5", "--seconds: \"-5\" is no number for it", GEM_EXIT_USAGE},
      {"--worst-other", "-1", "--worst-other: -1.0 is out of range", GEM_EXIT_INVALID_INPUT},
      {"--least-gain", "-1", "--least-gain: -1.0 is out of range", GEM_EXIT_INVALID_INPUT},
      {"--least-gain", "2x", "--least-gain: \"2x\" is no number for it", GEM_EXIT_USAGE},
  };
  g_autofree char *input = make_input(self, "learn", GEM_TEST_ADAPT_BYTES);
  g_autofree char *path = g_build_filename(self->gemd->folder, "text", NULL);

  g_assert_true(g_file_set_contents(path, input, -1, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(Run) run = {0};

    CLIENT(self, NULL, &run, "adapt", cases[i].option, cases[i].value, "mywork", path);
    g_assert_cmpint(run.status, ==, cases[i].status);
    g_assert_nonnull(strstr(run.err, cases[i].message));
  }
}

/* The service knows options by their keys: who typed them is told of what was typed. */
static void
test_typed(GemTestAdapt *self, gconstpointer data)
{
  static const char *const cases[][4] = {
      {"ask", "--max-tokens", "0", "--max-tokens: 0 is out of range"},
      {"ask", "--top-k", "2000000", "--top-k: 2000000 is out of range"},
      {"ask", "--temperature", "5", "--temperature: 5.0 is out of range"},
      {"ask", "--stop", "", "--stop: string 1 has 0 bytes"},
      {"ask", "--clusters", "0", "--clusters: 0 is out of range"},
      {"embed", "--clusters", "77", "--clusters: 77"},
      {"score", "--priority", "first", "--priority: \"first\""},
      {"score", "--domain", "cooking", "--domain: no domain \"cooking\""},
      {"classify", "--label=a", "--label=a", "--label: label 2 stands there twice"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *begin = g_strdup_printf("gem-client: %s", cases[i][3]);
    g_auto(Run) run = {0};

    CLIENT(self, NULL, &run, cases[i][0], cases[i][1], cases[i][2], "text");
    g_assert_cmpint(run.status, ==, GEM_EXIT_INVALID_INPUT);
    g_test_message("%s", run.err);
    g_assert_true(g_str_has_prefix(run.err, begin));
  }
}

/* A client whose learning is held until the test lets it go on. */
static GSubprocess *
start_held(GemTestAdapt *self)
{
  g_autofree char *held = g_strdup_printf("hold %s\nlearn", self->held);
  g_autofree char *input = make_input(self, held, GEM_TEST_ADAPT_BYTES);
  g_autofree char *path = g_build_filename(self->gemd->folder, "text", NULL);
  GSubprocess *process;

  g_assert_true(g_file_set_contents(path, input, -1, NULL));
  gem_test_adapt_hold(self);
  process = start(self, (const char *const[]){"adapt", "mywork", path, NULL});
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  return process;
}

static void
test_interrupt(GemTestAdapt *self, gconstpointer data)
{
  g_autoptr(GSubprocess) process = start_held(self);
  g_auto(Run) run = {0};

  g_subprocess_send_signal(process, SIGINT);
  finish(process, NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_INTERRUPTED);
  g_assert_null(gem_test_adapt_find(self->gemd->client, "mywork"));
}

/* Until it has ended, for 2 s: two signals may have come as one; but a third, once it is ending, kills it. */
static void
wait_a_moment(GSubprocess *process)
{
  for (guint i = 0; i < 200 && g_subprocess_get_identifier(process) != NULL; i++) {
    g_usleep(10000);
  }
}

/* A service that does not answer is not waited for, and where its user can look is said. */
static void
test_interrupt_twice(GemTestAdapt *self, gconstpointer data)
{
  g_autoptr(GSubprocess) process = start_held(self);
  g_auto(Run) run = {0};

  g_subprocess_send_signal(self->gemd->bus->daemon, SIGSTOP);
  while (g_subprocess_get_identifier(process) != NULL) {
    g_subprocess_send_signal(process, SIGINT);
    wait_a_moment(process);
  }
  g_subprocess_send_signal(self->gemd->bus->daemon, SIGCONT);
  finish(process, NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_INTERRUPTED);
  g_assert_nonnull(strstr(run.err, "has not said what became of it; see gem-client learned"));
}

/* The learning outlives the service: its user is told so, and it is so. */
static void
test_service_dies(GemTestAdapt *self, gconstpointer data)
{
  g_autoptr(GSubprocess) process = start_held(self);
  g_auto(Run) run = {0}, shown = {0};

  g_subprocess_send_signal(self->gemd->bus->daemon, SIGKILL);
  finish(process, NULL, &run);
  g_assert_cmpint(run.status, ==, GEM_EXIT_UNREACHABLE);
  g_assert_nonnull(strstr(
      run.err, "the service left the bus; it goes on learning when it is back: see gem-client learned\n"));
  gem_test_bus_wait_exit(self->gemd->bus);
  gem_test_gemd_start(self->gemd, "ready");
  gem_test_adapt_wait_state(self, "mywork", "learning", "learning");
  CLIENT(self, NULL, &shown, "learned");
  g_assert_nonnull(strstr(shown.out, "learning, "));
}

static void
test_share(GemTestAdapt *self, gconstpointer data)
{
  g_autofree char *input = make_input(self, "learn", GEM_TEST_ADAPT_BYTES);
  g_autofree char *user = g_strdup_printf("%u", geteuid());
  g_auto(Run) learned = {0}, shared = {0}, shown = {0}, anew = {0}, stopped = {0}, unknown = {0};

  CLIENT(self, input, &learned, "adapt", "mywork");
  CLIENT(self, NULL, &shared, "share", user, "mywork");
  g_assert_cmpint(shared.status, ==, GEM_EXIT_OK);
  CLIENT(self, NULL, &shown, "learned");
  g_assert_nonnull(strstr(shown.out, "you, shared"));
  CLIENT(self, input, &anew, "adapt", "mywork");
  g_assert_cmpint(anew.status, ==, GEM_EXIT_OK);
  g_assert_nonnull(strstr(anew.out, "it is no longer shared"));
  CLIENT(self, NULL, &stopped, "share", "--stop", user, "mywork");
  g_assert_cmpint(stopped.status, ==, GEM_EXIT_OK);
  CLIENT(self, NULL, &unknown, "share", user, "nothing");
  g_assert_cmpint(unknown.status, ==, GEM_EXIT_INVALID_INPUT);
}

int
main(int argc, char **argv)
{
  static const GemTestAdaptCase plain = {0};

  g_test_init(&argc, &argv, NULL);
  g_test_add("/client/adapt/standard-input", GemTestAdapt, &plain, gem_test_adapt_set_up, test_standard_input,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/files", GemTestAdapt, &plain, gem_test_adapt_set_up, test_files,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/no-text", GemTestAdapt, &plain, gem_test_adapt_set_up, test_no_text,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/cut-line-end", GemTestAdapt, &plain, gem_test_adapt_set_up, test_cut_line_end,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/refused", GemTestAdapt, &plain, gem_test_adapt_set_up, test_refused,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/refused-anew", GemTestAdapt, &plain, gem_test_adapt_set_up, test_refused_anew,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/bounds", GemTestAdapt, &plain, gem_test_adapt_set_up, test_bounds,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/options-as-typed", GemTestAdapt, &plain, gem_test_adapt_set_up, test_typed,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/interrupt", GemTestAdapt, &plain, gem_test_adapt_set_up, test_interrupt,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/interrupt-twice", GemTestAdapt, &plain, gem_test_adapt_set_up,
             test_interrupt_twice, gem_test_adapt_tear_down);
  g_test_add("/client/adapt/service-dies", GemTestAdapt, &plain, gem_test_adapt_set_up, test_service_dies,
             gem_test_adapt_tear_down);
  g_test_add("/client/adapt/share", GemTestAdapt, &plain, gem_test_adapt_set_up, test_share,
             gem_test_adapt_tear_down);
  return g_test_run();
}
