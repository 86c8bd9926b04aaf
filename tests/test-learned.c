/*
 * Domains that were learned on the device: whose texts are routed to them, what those texts then are, and
 * that nobody else's change by a bit.
 */
#include <math.h>
#include <string.h>

#include "daemon/engine/gem-append.h"
#include "tests/gem-test-learned.h"

#define ALICE 1000u
#define BOB   1001u
#define CAROL 1002u
#define TEXT  "what the user has said about it in all of the letters"

/* A learned class takes a token or leaves it as it was. */
static void
test_choose(void)
{
  const float shared[] = {0.1F, 0.5F, 0.0F, 0.4F}; /* without the last: 0.17, 0.83, 0 */
  const float taken[] = {0.1F, 0.15F, 0.0F, 0.75F};
  const float unsure[] = {0.2F, 0.25F, 0.0F, 0.55F}; /* neither side is sure */
  const float one[] = {0.0F, 0.0F, 0.0F, 1.0F};

  g_assert_cmpuint(gem_route_choose(shared, 3, 4, 0.7F), ==, 1);
  g_assert_cmpuint(gem_route_choose(shared, 4, 4, 0.7F), ==, GEM_ROUTE_GENERAL); /* all are the model's */
  g_assert_cmpuint(gem_route_choose(taken, 3, 4, 0.7F), ==, 3);
  g_assert_cmpuint(gem_route_choose(unsure, 3, 4, 0.7F), ==, GEM_ROUTE_GENERAL);
  g_assert_cmpuint(gem_route_choose(unsure, 3, 4, 0.5F), ==, 3);
  g_assert_cmpuint(gem_route_choose(one, 3, 4, 1.0F), ==, GEM_ROUTE_GENERAL);
  g_assert_cmpuint(gem_route_choose(one, 0, 0, 0.7F), ==, GEM_ROUTE_GENERAL);
}

static void
set_up(GemTestEngine **test, gconstpointer data)
{
  *test = gem_test_engine_new();
  gem_test_engine_start(*test);
}

static void
tear_down(GemTestEngine **test, gconstpointer data)
{
  gem_test_engine_free(*test);
}

static GPtrArray *
route(GemEngine *engine, guint owner)
{
  const GemRunOptions options = {.owner = owner};
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  GPtrArray *tokens;

  gem_engine_route_async(engine, TEXT, &options, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  tokens = gem_engine_route_finish(engine, result, &error);
  g_assert_no_error(error);
  return tokens;
}

/* Every token is the owner's domain's, with the name and the probability of it among those of the model's. */
static void
assert_routed_to(GemEngine *engine, guint owner, const char *name, guint classes)
{
  g_autoptr(GPtrArray) tokens = route(engine, owner);

  for (guint i = 0; i < tokens->len; i++) {
    const GemRoutedToken *token = tokens->pdata[i];
    double sum = 0;

    g_assert_cmpstr(token->pathway, ==, name);
    g_assert_cmpuint(g_strv_length((GStrv)token->classes), ==, classes);
    for (guint j = 0; j < classes; j++) {
      sum += token->probabilities[j];
      g_assert_true(token->probabilities[j] < 0.5 || g_str_equal(token->classes[j], name));
    }
    g_assert_cmpfloat_with_epsilon(sum, 1, 1e-5);
  }
}

/* The same tokens, names and probabilities, bit for bit. */
static void
assert_same_routes(GPtrArray *a, GPtrArray *b)
{
  g_assert_cmpuint(a->len, ==, b->len);
  for (guint i = 0; i < a->len; i++) {
    const GemRoutedToken *first = a->pdata[i], *second = b->pdata[i];
    guint classes = g_strv_length((GStrv)first->classes);

    g_assert_cmpstr(first->pathway, ==, second->pathway);
    g_assert_cmpstrv(first->classes, second->classes);
    g_assert_cmpmem(first->probabilities, classes * sizeof(double), second->probabilities,
                    classes * sizeof(double));
  }
}

/* The residual is that of finance, so that its owner's text must be what finance makes of it; nobody else's
 * text knows of it. */
static void
test_own(GemTestEngine **fixture, gconstpointer data)
{
  GemTestEngine *test = *fixture;
  double finance = gem_test_score(test->engine, TEXT, ALICE, "finance");
  double before = gem_test_score(test->engine, TEXT, ALICE, NULL);
  g_autoptr(GPtrArray) routes = route(test->engine, BOB);
  g_autoptr(GPtrArray) routes_after = NULL;

  g_assert_cmpfloat(finance, !=, before);
  gem_test_learned_add(test, ALICE, "letters", "finance", FALSE);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, ALICE, NULL), ==, finance);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, BOB, NULL), ==, before);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, GEM_OWNER_SERVICE, NULL), ==, before);
  assert_routed_to(test->engine, ALICE, "letters", 4);
  routes_after = route(test->engine, BOB);
  assert_same_routes(routes, routes_after);
}

/* One that no token goes to leaves the owner's text as it is: the softmax has one more class, no more. */
static void
test_never(GemTestEngine **fixture, gconstpointer data)
{
  GemTestEngine *test = *fixture;
  double before = gem_test_score(test->engine, TEXT, ALICE, NULL);
  g_autofree char *path = gem_test_learned_write(test, "letters", "finance", GEM_TEST_LEARNED_NEVER);
  g_autoptr(GError) error = gem_test_learned_try(test->engine, ALICE, "letters", FALSE, path);

  g_assert_no_error(error);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, ALICE, NULL), ==, before);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, ALICE, "letters"), ==,
                    gem_test_score(test->engine, TEXT, ALICE, "finance"));
}

/* Rows of both users in the same steps: Bob's are what they are without Alice's domain, and hers what they
 * are alone. */
static void
test_same_steps(GemTestEngine **fixture, gconstpointer data)
{
  GemTestEngine *test = *fixture;
  g_autoptr(GemTestAnswer) alone = gem_test_turn(test->engine, TEXT, BOB, NULL);
  g_autoptr(GemTestAnswer) finance = gem_test_turn(test->engine, TEXT, ALICE, "finance");
  double bob = gem_test_score(test->engine, TEXT, BOB, NULL);
  double alice = gem_test_score(test->engine, TEXT, ALICE, "finance");
  GAsyncResult *scores[2];
  GemTestHold *hold;

  gem_test_answer_wait(alone);
  gem_test_answer_wait(finance);
  gem_test_learned_add(test, ALICE, "letters", "finance", FALSE);
  hold = gem_test_engine_hold(test->engine);
  g_autoptr(GemTestAnswer) hers = gem_test_turn(test->engine, TEXT, ALICE, NULL);
  g_autoptr(GemTestAnswer) his = gem_test_turn(test->engine, TEXT, BOB, NULL);
  gem_test_score_start(test->engine, TEXT, ALICE, NULL, &scores[0]);
  gem_test_score_start(test->engine, TEXT, BOB, NULL, &scores[1]);
  gem_test_engine_let_go(hold);
  g_assert_cmpfloat(gem_test_score_end(test->engine, &scores[0]), ==, alice);
  g_assert_cmpfloat(gem_test_score_end(test->engine, &scores[1]), ==, bob);
  gem_test_answer_wait(hers);
  gem_test_answer_wait(his);
  g_assert_cmpstr(his->text->str, ==, alone->text->str);
  g_assert_cmpstr(hers->text->str, ==, finance->text->str);
  g_assert_null(g_hash_table_lookup(his->tokens_by_pathway, "letters"));
}

/* The owner's stats have the name; what others may see has not. */
static void
test_names(GemTestEngine **fixture, gconstpointer data)
{
  GemTestEngine *test = *fixture;
  g_autoptr(GemTestAnswer) answer = NULL;
  g_auto(GStrv) hers = NULL;
  g_auto(GStrv) his = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(GemRunOptions) run = {.owner = BOB, .domain = g_strdup("letters")};
  guint rows;

  gem_test_learned_add(test, ALICE, "letters", "finance", FALSE);
  answer = gem_test_turn(test->engine, TEXT, ALICE, NULL);
  gem_test_answer_wait(answer);
  rows = gem_test_rows_of(answer->tokens_by_pathway, "letters");
  g_assert_cmpuint(rows, ==, answer->prompt_tokens + answer->generated_tokens - 1);
  g_assert_cmpuint(gem_test_rows_of(answer->public_tokens_by_pathway, "learned"), ==, rows);
  g_assert_cmpuint(g_hash_table_size(answer->public_tokens_by_pathway), ==, 1);
  for (guint i = 0; i < answer->routed->len; i++) {
    g_assert_cmpstr(((GemRoutedToken *)answer->routed->pdata[i])->pathway, ==, "letters");
  }
  hers = gem_engine_list_domains_of(test->engine, ALICE);
  his = gem_engine_list_domains_of(test->engine, BOB);
  g_assert_true(g_strv_contains((const char *const *)hers, "letters"));
  g_assert_cmpstrv(his, gem_engine_get_domains(test->engine));
  g_assert_null(gem_engine_new_sequence(test->engine, &run, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN);
  g_assert_null(gem_engine_get_pathway(test->engine, "letters"));
  g_assert_null(gem_engine_get_pathway(test->engine, "learned"));
}

static void
test_shared(GemTestEngine **fixture, gconstpointer data)
{
  GemTestEngine *test = *fixture;
  double finance = gem_test_score(test->engine, TEXT, BOB, "finance");
  double legal = gem_test_score(test->engine, TEXT, BOB, "legal");
  double before = gem_test_score(test->engine, TEXT, BOB, NULL);
  g_autoptr(GError) error = NULL;

  gem_test_learned_add(test, ALICE, "letters", "finance", FALSE);
  g_assert_true(gem_engine_share_learned(test->engine, ALICE, "letters", TRUE, NULL));
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, BOB, NULL), ==, finance);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, GEM_OWNER_SERVICE, NULL), ==, before);
  assert_routed_to(test->engine, BOB, "letters", 4);

  /* His own hides it from him, and cannot be shared beside it. */
  gem_test_learned_add(test, BOB, "letters", "legal", FALSE);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, BOB, NULL), ==, legal);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, ALICE, NULL), ==, finance);
  g_assert_false(gem_engine_share_learned(test->engine, BOB, "letters", TRUE, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_INVALID_OPTION);
  g_clear_error(&error);
  error = gem_test_learned_remove(test->engine, BOB, "letters");
  g_assert_no_error(error);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, BOB, NULL), ==, finance);

  /* One that comes in as shared is his alone, too. */
  gem_test_learned_add(test, BOB, "letters", "legal", TRUE);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, BOB, NULL), ==, legal);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, CAROL, NULL), ==, finance);
  error = gem_test_learned_remove(test->engine, BOB, "letters");
  g_assert_no_error(error);

  g_assert_true(gem_engine_share_learned(test->engine, ALICE, "letters", FALSE, NULL));
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, BOB, NULL), ==, before);
  g_assert_false(gem_engine_share_learned(test->engine, BOB, "letters", TRUE, &error));
  g_assert_error(error, GEM_ERROR, GEM_ERROR_UNKNOWN_DOMAIN);
}

/* In the place of a domain of the model, under its name: for its owner the model's is not there. */
static void
test_replaces(GemTestEngine **fixture, gconstpointer data)
{
  GemTestEngine *test = *fixture;
  double finance = gem_test_score(test->engine, TEXT, ALICE, "finance");
  double stem = gem_test_score(test->engine, TEXT, ALICE, "stem");
  g_autoptr(GPtrArray) list = NULL;
  const GemLearnedInfo *info;

  gem_test_learned_add(test, ALICE, "stem", "finance", FALSE);
  assert_routed_to(test->engine, ALICE, "stem", 3);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, ALICE, NULL), ==, finance);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, ALICE, "stem"), ==, finance);
  g_assert_cmpfloat(gem_test_score(test->engine, TEXT, BOB, "stem"), ==, stem);
  list = gem_engine_list_learned(test->engine);
  g_assert_cmpuint(list->len, ==, 1);
  info = list->pdata[0];
  g_assert_cmpstr(info->name, ==, "stem");
  g_assert_cmpstr(info->replaces, ==, "stem");
  g_assert_cmpuint(info->owner, ==, ALICE);
  g_assert_cmpint(info->state, ==, GEM_PATHWAY_RESIDENT);
  g_assert_cmpuint(info->resident_bytes, >, 0);
}

/* Never routed to, it stands in the way of the model's own all the same: no token goes there any more. */
static void
test_replaced_is_out(GemTestEngine **fixture, gconstpointer data)
{
  GemTestEngine *test = *fixture;
  g_autofree char *path = gem_test_learned_write(test, "stem", "finance", GEM_TEST_LEARNED_NEVER);
  g_autoptr(GError) error = gem_test_learned_try(test->engine, ALICE, "stem", FALSE, path);
  g_autoptr(GPtrArray) hers = NULL;
  g_autoptr(GPtrArray) his = route(test->engine, BOB);

  g_assert_no_error(error);
  hers = route(test->engine, ALICE);
  for (guint i = 0; i < hers->len; i++) {
    const GemRoutedToken *token = hers->pdata[i], *other = his->pdata[i];

    g_assert_cmpstr(token->classes[2], ==, "stem");
    g_assert_cmpfloat(token->probabilities[2], <, 1e-6);
    g_assert_cmpfloat(other->probabilities[2], >, 1e-6);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, GemTestEngine *, NULL, set_up, function, tear_down)
  g_test_add_func("/learned/choose", test_choose);
  ADD("/learned/own", test_own);
  ADD("/learned/never", test_never);
  ADD("/learned/same-steps", test_same_steps);
  ADD("/learned/names", test_names);
  ADD("/learned/shared", test_shared);
  ADD("/learned/replaces", test_replaces);
  ADD("/learned/replaced-is-out", test_replaced_is_out);
#undef ADD
  return g_test_run();
}
