/* The whole service on a tiny random model. What the answers are means nothing here; that they agree with
 * each other does. */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-calls.h"
#include "tests/gem-test-gemd.h"

#define NONE gem_test_options("{}")
#define TEXT "the rain in the north and the rest"

static guint64
count_tokens(GDBusConnection *client, const char *text)
{
  g_autoptr(GVariant) reply = gem_test_manager(client, "CountTokens", g_variant_new("(s)", text));
  guint64 tokens = 0;

  g_variant_get(reply, "(t)", &tokens);
  return tokens;
}

static char *
ask(GDBusConnection *client, const char *options)
{
  g_autoptr(GVariant) reply =
      gem_test_manager(client, "Ask", g_variant_new("(s@a{sv})", TEXT, gem_test_options(options)));
  char *answer = NULL;

  g_variant_get_child(reply, 0, "s", &answer);
  return answer;
}

/* ---- one call after the other ---- */

static void
check_routes(GDBusConnection *client)
{
  g_autoptr(GVariant) reply = gem_test_manager(client, "Route", g_variant_new("(s@a{sv})", TEXT, NONE));
  g_autoptr(GVariant) rows = g_variant_get_child_value(reply, 0);
  guint64 end = 0;

  g_assert_cmpuint(g_variant_n_children(rows), ==, count_tokens(client, TEXT));
  for (gsize i = 0; i < g_variant_n_children(rows); i++) {
    g_autoptr(GVariant) row = g_variant_get_child_value(rows, i);
    g_autoptr(GVariant) probabilities = NULL;
    const char *piece = NULL;
    const char *pathway = NULL;
    guint64 offset = 0;
    guint64 length = 0;
    double sum = 0;

    g_variant_get(row, "(&stt&s@a{sd})", &piece, &offset, &length, &pathway, &probabilities);
    g_assert_cmpuint(offset, ==, end);
    g_assert_true(strncmp(piece, TEXT + offset, length) == 0);
    end = offset + length;
    for (gsize d = 0; d < g_variant_n_children(probabilities); d++) {
      g_autoptr(GVariant) entry = g_variant_get_child_value(probabilities, d);
      double probability = 0;

      g_variant_get_child(entry, 1, "d", &probability);
      sum += probability;
    }
    g_assert_cmpfloat_with_epsilon(sum, 1, 1e-4);
  }
  g_assert_cmpuint(end, ==, strlen(TEXT));
}

static void
check_numbers(GDBusConnection *client)
{
  static const char *const labels[] = {"north", "south", "rest", NULL};
  g_autoptr(GVariant) classified =
      gem_test_manager(client, "Classify", g_variant_new("(s^as@a{sv})", TEXT, labels, NONE));
  g_autoptr(GVariant) scores = g_variant_get_child_value(classified, 0);
  g_autoptr(GVariant) embedded = gem_test_manager(client, "Embed", g_variant_new("(s@a{sv})", TEXT, NONE));
  g_autoptr(GVariant) vector = g_variant_get_child_value(embedded, 0);
  g_autoptr(GVariant) scored = gem_test_manager(client, "Score", g_variant_new("(s@a{sv})", TEXT, NONE));
  gsize width = 0;
  const double *values = g_variant_get_fixed_array(vector, &width, sizeof(double));
  double log_likelihood = 0;
  double sum = 0;
  double square = 0;
  guint64 tokens = 0;

  g_assert_cmpuint(g_variant_n_children(scores), ==, 3);
  for (gsize i = 0; i < 3; i++) {
    const char *label = NULL;
    double score = 0;

    g_variant_get_child(scores, i, "(&sd)", &label, &score);
    g_assert_cmpstr(label, ==, labels[i]);
    g_assert_cmpfloat(score, >, 0);
    sum += score;
  }
  g_assert_cmpfloat_with_epsilon(sum, 1, 1e-9);
  g_assert_cmpuint(width, ==, 64);
  for (gsize i = 0; i < width; i++) {
    square += values[i] * values[i];
  }
  g_assert_cmpfloat_with_epsilon(square, 1, 1e-4);
  g_variant_get(scored, "(dt)", &log_likelihood, &tokens);
  g_assert_cmpuint(tokens, ==, count_tokens(client, TEXT));
  g_assert_cmpfloat(log_likelihood, <, 0);
}

static void
test_calls(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autofree char *once = NULL;
  g_autofree char *again = NULL;
  g_autofree char *sampled = NULL;
  g_autofree char *resampled = NULL;
  const char *seeded = "{'temperature': <1.0>, 'seed': <uint64 5>, 'max_tokens': <uint32 16>}";
  g_autofree char *long_text = g_strnfill(1000, 'q');

  gem_test_gemd_start(gemd, "ready");
  check_routes(gemd->client);
  check_numbers(gemd->client);
  once = ask(gemd->client, "{'max_tokens': <uint32 16>}");
  again = ask(gemd->client, "{'max_tokens': <uint32 16>}");
  g_assert_cmpstr(once, ==, again);
  sampled = ask(gemd->client, seeded);
  resampled = ask(gemd->client, seeded);
  g_assert_cmpstr(sampled, ==, resampled);
  gem_test_manager_fails(gemd->client, "Ask", g_variant_new("(s@a{sv})", long_text, NONE),
                         GEM_ERROR_CONTEXT_EXCEEDED, "*256*");
  gem_test_manager_fails(gemd->client, "Ask",
                         g_variant_new("(s@a{sv})", "x", gem_test_options("{'clusters': <uint32 7>}")),
                         GEM_ERROR_INVALID_OPTION, "*clusters*7*");
  g_free(again);
  again = ask(gemd->client, "{'max_tokens': <uint32 16>, 'clusters': <uint32 4>}");
  g_assert_nonnull(again);
}

/* An answer's default gives way to a context that has no room for it; what a caller names does not. */
static void
test_small_context(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autofree char *answer = NULL;

  g_free(gemd->bus->config_text);
  gemd->bus->config_text = g_strdup("[gemd]\nContextTokens=100\nPrefillBlock=8\n");
  gem_test_gemd_start(gemd, "ready");
  answer = ask(gemd->client, "{}");
  g_assert_cmpstr(answer, !=, "");
  gem_test_manager_fails(gemd->client, "Ask",
                         g_variant_new("(s@a{sv})", TEXT, gem_test_options("{'max_tokens': <uint32 128>}")),
                         GEM_ERROR_INVALID_OPTION, "option \"max_tokens\": 128 is not within 1..100");
}

/* Ask is one turn of a session. */
static void
test_session_agrees_with_ask(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autoptr(GemTestEar) ear = NULL;
  g_autofree char *session = NULL;
  g_autofree char *asked = NULL;
  g_autofree char *streamed = NULL;
  guint64 prompt = 0;

  gem_test_gemd_start(gemd, "ready");
  ear = gem_test_ear_new(gemd->client);
  asked = ask(gemd->client, "{'max_tokens': <uint32 20>}");
  session = gem_test_create_session(gemd->client);
  streamed = gem_test_read_all(
      gem_test_generate(gemd->client, session, TEXT, "{'max_tokens': <uint32 20>, 'routes': <true>}", NULL));
  gem_test_ear_wait(ear, 1);
  g_assert_cmpstr(streamed, ==, asked);
  g_assert_true(g_utf8_validate(streamed, -1, NULL));
  /* The prompt's tokens in the template, and those of the answer. */
  prompt = count_tokens(gemd->client, TEXT);
  g_assert_cmpuint(ear->routes->len, >, prompt);
}

static void
test_two_streams(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autoptr(GDBusConnection) other = NULL;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *one = NULL;
  g_autofree char *two = NULL;
  const char *options = "{'max_tokens': <uint32 100>, 'temperature': <1.0>, 'seed': <uint64 9>}";
  int fds[2];

  gem_test_gemd_start(gemd, "ready");
  other = gem_test_bus_connect(gemd->bus);
  first = gem_test_create_session(gemd->client);
  second = gem_test_create_session(other);
  fds[0] = gem_test_generate(gemd->client, first, TEXT, options, NULL);
  fds[1] = gem_test_generate(other, second, TEXT, options, NULL);
  two = gem_test_read_all(fds[1]);
  one = gem_test_read_all(fds[0]);
  g_assert_cmpstr(one, ==, two);
  g_assert_cmpuint(strlen(one), >, 0);
}

/* A whole turn of one token: its stream is read to the end, since closing it would cancel. */
static void
run_turn(GemTestGemd *gemd, const char *session, const char *options, GemTestEar *ear, guint turn)
{
  g_free(gem_test_read_all(gem_test_generate(gemd->client, session, TEXT, options, NULL)));
  gem_test_ear_wait(ear, turn);
}

/* A full context is an error with the counts, or slides when that is asked for. */
static void
test_full_context(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autoptr(GemTestEar) ear = NULL;
  g_autofree char *session = NULL;
  g_autoptr(GVariant) held = NULL;
  const char *options = "{'max_tokens': <uint32 1>, 'raw': <true>}";
  guint64 needed;
  guint turns = 0;
  guint slides = 0;

  gem_test_gemd_start(gemd, "ready");
  ear = gem_test_ear_new(gemd->client);
  session = gem_test_create_session(gemd->client);
  needed = count_tokens(gemd->client, TEXT);
  do {
    run_turn(gemd, session, options, ear, ++turns);
    g_clear_pointer(&held, g_variant_unref);
    held = gem_test_get(gemd->client, session, GEM_SESSION_INTERFACE, "Tokens");
    g_assert_cmpuint(g_variant_get_uint32(held), <=, 256);
  } while (g_variant_get_uint32(held) + needed + 1 <= 256);
  gem_test_generate_fails(gemd->client, session, TEXT, options, GEM_ERROR_CONTEXT_EXCEEDED, "*256*");
  run_turn(gemd, session, "{'max_tokens': <uint32 1>, 'raw': <true>, 'slide': <true>}", ear, ++turns);
  g_assert_true(g_variant_lookup(ear->stats, "slides", "u", &slides));
  g_assert_cmpuint(slides, >=, 1);
}

/* ---- the model's files ---- */

static void
check_property(
    GemTestGemd *gemd, const char *path, const char *interface, const char *name, const char *pattern)
{
  g_autoptr(GVariant) value = gem_test_get(gemd->client, path, interface, name);

  if (!g_pattern_match_simple(pattern, g_variant_get_string(value, NULL))) {
    g_test_message("%s %s: \"%s\" is not like \"%s\"", path, name, g_variant_get_string(value, NULL),
                   pattern);
    g_test_fail();
  }
}

static void
page(GemTestGemd *gemd, const char *domain, const char *method, int code, const char *pattern)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(gemd->client, path, GEM_PATHWAY_INTERFACE, method,
                                            g_variant_new("(@a{sv})", NONE), &error);

  if (code < 0) {
    g_assert_no_error(error);
  } else {
    gem_test_error_is(error, (GemError)code, pattern);
  }
}

static void
remove_file(GemTestGemd *gemd, const char *name)
{
  g_autofree char *path = g_build_filename(gemd->folder, name, NULL);

  g_assert_cmpint(g_unlink(path), ==, 0);
}

/* One byte in the middle is another. */
static void
alter_file(GemTestGemd *gemd, const char *name)
{
  g_autofree char *path = g_build_filename(gemd->folder, name, NULL);
  g_autofree char *bytes = NULL;
  gsize length = 0;

  g_assert_true(g_file_get_contents(path, &bytes, &length, NULL));
  bytes[length / 2] ^= 1;
  g_assert_true(g_file_set_contents(path, bytes, (gssize)length, NULL));
}

static void
cut_file(GemTestGemd *gemd, const char *name)
{
  g_autofree char *path = g_build_filename(gemd->folder, name, NULL);

  g_assert_cmpint(truncate(path, 1000), ==, 0);
}

/* Without a domain's file, or with an altered one, the service runs the others and says which and why. */
static void
test_broken_domains(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autofree char *answer = NULL;

  remove_file(gemd, "pathway-legal.gguf");
  alter_file(gemd, "pathway-finance.gguf");
  gem_test_gemd_start(gemd, "ready");
  check_property(gemd, GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "State", "absent");
  check_property(gemd, GEM_PATHWAY_PATH "/legal", GEM_PATHWAY_INTERFACE, "Reason", "*pathway-legal.gguf*");
  check_property(gemd, GEM_PATHWAY_PATH "/finance", GEM_PATHWAY_INTERFACE, "State", "absent");
  check_property(gemd, GEM_PATHWAY_PATH "/finance", GEM_PATHWAY_INTERFACE, "Reason",
                 "*pathway-finance.gguf*");
  check_property(gemd, GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "Reason", "");
  page(gemd, "stem", "PageIn", -1, NULL);
  page(gemd, "legal", "PageIn", GEM_ERROR_PATHWAY, "*pathway-legal.gguf*");
  answer = ask(gemd->client, "{'max_tokens': <uint32 4>}");
  g_assert_nonnull(answer);
}

static void
check_failure(void (*damage)(GemTestGemd *gemd, const char *name), const char *name)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autofree char *pattern = g_strdup_printf("*%s*", name);

  damage(gemd, name);
  gem_test_gemd_start(gemd, "failed");
  check_property(gemd, GEM_OBJECT_PATH, GEM_MANAGER_INTERFACE, "ModelReason", pattern);
  gem_test_manager_fails(gemd->client, "CountTokens", g_variant_new("(s)", "x"), GEM_ERROR_NOT_READY,
                         pattern);
}

static void
test_broken_model(void)
{
  check_failure(remove_file, "general.gguf");
  check_failure(cut_file, "general.gguf");
  check_failure(alter_file, "general.gguf");
  check_failure(remove_file, "router.gguf");
  check_failure(cut_file, "router.gguf");
  check_failure(alter_file, "router.gguf");
  check_failure(remove_file, "manifest");
}

/* A pathway leaves the memory and comes back, and the answers with it. */
static void
test_paging(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autofree char *with = NULL;
  g_autofree char *again = NULL;
  g_autoptr(GVariant) bytes = NULL;
  const char *forced = "{'max_tokens': <uint32 12>, 'domain': <'stem'>}";

  gem_test_gemd_start(gemd, "ready");
  with = ask(gemd->client, forced);
  page(gemd, "stem", "PageOut", -1, NULL);
  check_property(gemd, GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "State", "absent");
  bytes = gem_test_get(gemd->client, GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "ResidentBytes");
  g_assert_cmpuint(g_variant_get_uint64(bytes), ==, 0);
  page(gemd, "stem", "PageIn", -1, NULL);
  check_property(gemd, GEM_PATHWAY_PATH "/stem", GEM_PATHWAY_INTERFACE, "State", "resident");
  again = ask(gemd->client, forced);
  g_assert_cmpstr(with, ==, again);
  page(gemd, "general", "PageOut", GEM_ERROR_PATHWAY, "*general*");
}

static void
pin(GemTestGemd *gemd, const char *domain, int code, const char *pattern)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) reply = gem_test_call(
      gemd->client, path, "org.freedesktop.DBus.Properties", "Set",
      g_variant_new("(ssv)", GEM_PATHWAY_INTERFACE, "Pinned", g_variant_new_boolean(TRUE)), &error);

  if (code < 0) {
    g_assert_no_error(error);
  } else {
    gem_test_error_is(error, (GemError)code, pattern);
  }
}

static gboolean
is_pinned(GemTestGemd *gemd, const char *domain)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GVariant) pinned = gem_test_get(gemd->client, path, GEM_PATHWAY_INTERFACE, "Pinned");

  return g_variant_get_boolean(pinned);
}

/* A pin is the word that the weights are there; one that cannot be given takes nothing from an earlier one.
 */
static void
test_pin_of_broken_file(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();

  gem_test_gemd_start(gemd, "ready");
  pin(gemd, "stem", -1, NULL);
  page(gemd, "stem", "PageOut", -1, NULL);
  remove_file(gemd, "pathway-stem.gguf");
  pin(gemd, "stem", GEM_ERROR_PATHWAY, "*pathway-stem.gguf*");
  g_assert_true(is_pinned(gemd, "stem"));
  page(gemd, "legal", "PageOut", -1, NULL);
  remove_file(gemd, "pathway-legal.gguf");
  pin(gemd, "legal", GEM_ERROR_PATHWAY, "*pathway-legal.gguf*");
  g_assert_false(is_pinned(gemd, "legal"));
}

/* ---- the end ---- */

/* In the middle of work: every call is answered, and the process ends well. */
static void
test_terminate(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_auto(GemTestAnswers) answers = {0};

  gem_test_gemd_start(gemd, "ready");
  gem_test_call_many(gemd->client, 60, "Ask", TEXT, "{'max_tokens': <uint32 200>, 'temperature': <1.0>}",
                     &answers);
  while (answers.answered < 2) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_subprocess_send_signal(gemd->bus->daemon, SIGTERM);
  gem_test_answers_wait(&answers, 60);
  g_assert_cmpuint(answers.codes[GEM_ERROR_SHUTTING_DOWN], >, 0);
  g_assert_cmpuint(answers.codes[GEM_ERROR_SHUTTING_DOWN] + answers.succeeded, ==, 60);
  g_assert_cmpint(gem_test_bus_wait_exit(gemd->bus), ==, 0);
}

/* What callers say stands in no log, of the engine and its modules neither. */
static void
test_canary(void)
{
  g_autoptr(GemTestGemd) gemd = gem_test_gemd_new();
  g_autofree char *session = NULL;
  g_autofree char *text = NULL;
  g_autofree char *streamed = NULL;
  g_autoptr(GVariant) reply = NULL;

  gemd->bus->pipe_log = TRUE;
  gemd->bus->daemon_environment = g_strsplit("G_MESSAGES_DEBUG=all", "\n", -1);
  gem_test_gemd_start(gemd, "ready");
  session = gem_test_create_session(gemd->client);
  streamed = gem_test_read_all(
      gem_test_generate(gemd->client, session, "canary", "{'max_tokens': <uint32 8>}", NULL));
  g_assert_nonnull(streamed);
  reply = gem_test_manager(gemd->client, "Route", g_variant_new("(s@a{sv})", "canary", NONE));
  g_assert_nonnull(reply);
  gem_test_manager_fails(gemd->client, "Embed",
                         g_variant_new("(s@a{sv})", "canary", gem_test_options("{'domain': <'canary'>}")),
                         GEM_ERROR_UNKNOWN_DOMAIN, "*canary*");
  text = gem_test_bus_end_log(gemd->bus);
  g_assert_nonnull(strstr(text, "is loaded"));
  g_assert_null(strstr(text, "canary"));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/bus/gemd/calls", test_calls);
  g_test_add_func("/bus/gemd/small-context", test_small_context);
  g_test_add_func("/bus/gemd/session-agrees-with-ask", test_session_agrees_with_ask);
  g_test_add_func("/bus/gemd/two-streams", test_two_streams);
  g_test_add_func("/bus/gemd/full-context", test_full_context);
  g_test_add_func("/bus/gemd/broken-domains", test_broken_domains);
  g_test_add_func("/bus/gemd/broken-model", test_broken_model);
  g_test_add_func("/bus/gemd/paging", test_paging);
  g_test_add_func("/bus/gemd/pin-of-broken-file", test_pin_of_broken_file);
  g_test_add_func("/bus/gemd/terminate", test_terminate);
  g_test_add_func("/bus/gemd/canary", test_canary);
  return g_test_run();
}
