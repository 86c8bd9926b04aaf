/* The order in which calls run. */
#include "daemon/service/gem-call-queue.h"

#include <string.h>

#define MOST_CALLS 8u

/* What ran, by the calls' letters. */
static GString *ran;
static guint late;

typedef struct {
  GemCallTicket ticket;
  char letter;
} Call;

static void
on_run(gpointer data)
{
  g_string_append_c(ran, ((Call *)data)->letter);
}

static void
on_late(gpointer data, guint seconds)
{
  g_assert_cmpuint(seconds, ==, 1);
  late++;
}

typedef struct {
  GemUser users[2];
  GemCaller callers[3]; /* the first two are of the first user */
  Call calls[MOST_CALLS];
  guint n;
  GemCallQueue *queue;
} Fixture;

static void
setup(Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS(self->callers); i++) {
    self->callers[i].user = &self->users[i / 2];
  }
  self->queue = gem_call_queue_new(GEM_QUEUE_CALLS, 2, 1);
  ran = g_string_new(NULL);
  late = 0;
}

static void
teardown(Fixture *self, gconstpointer data)
{
  gem_call_queue_free(self->queue);
  g_string_free(ran, TRUE);
}

/* The next call is called "a", "b" and so on. */
static void
join_call(Fixture *self, guint caller, gboolean heavy, gboolean batch)
{
  Call *call = &self->calls[self->n];

  *call = (Call){{.caller = &self->callers[caller],
                  .heavy = heavy,
                  .batch = batch,
                  .run = on_run,
                  .late = on_late,
                  .data = call},
                 (char)('a' + self->n)};
  self->n++;
  gem_call_queue_join(self->queue, &call->ticket);
}

static void
join(Fixture *self, guint caller, gboolean heavy)
{
  join_call(self, caller, heavy, FALSE);
}

static void
leave(Fixture *self, char letter)
{
  gem_call_queue_leave(&self->calls[letter - 'a'].ticket);
}

static void
turn(const char *expected)
{
  g_main_context_iteration(NULL, FALSE);
  g_assert_cmpstr(ran->str, ==, expected);
}

/* However many wait, a turn of the main loop runs one of them, and none before the first turn. */
static void
test_one_a_turn(Fixture *self, gconstpointer data)
{
  join(self, 0, FALSE);
  join(self, 0, FALSE);
  join(self, 2, FALSE);
  g_assert_cmpstr(ran->str, ==, "");
  turn("a");
  turn("ab");
  turn("abc");
  turn("abc");
}

/* Two heavy calls at a time; others pass them. */
static void
test_parallel(Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < 3; i++) {
    join(self, 0, TRUE);
  }
  join(self, 0, FALSE);
  turn("a");
  turn("ad");
  turn("adb");
  turn("adb");
  leave(self, 'd');
  turn("adb");
  leave(self, 'b');
  turn("adbc");
  leave(self, 'a');
  leave(self, 'c');
  g_assert_cmpuint(self->users[0].running[GEM_QUEUE_CALLS], ==, 0);
  g_assert_cmpuint(self->callers[0].running[GEM_QUEUE_CALLS], ==, 0);
}

/* The user with the fewest at work is next, then the connection, then the oldest. */
static void
test_fair(Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < 4; i++) {
    join(self, 0, TRUE);
  }
  turn("a");
  turn("ab");
  join(self, 1, TRUE);
  join(self, 2, TRUE);
  leave(self, 'a');
  turn("abf"); /* of the other user */
  leave(self, 'f');
  turn("abfe"); /* of the other connection */
  leave(self, 'b');
  turn("abfec");
  gem_call_queue_run_all(self->queue);
  turn("abfecd");
}

/* Batch calls come after others, of whichever user, and leave one of the two places to them. */
static void
test_batch(Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < 3; i++) {
    join_call(self, 0, TRUE, TRUE);
  }
  turn("a");
  turn("a"); /* the other place is not for batch */
  join(self, 2, TRUE);
  join(self, 2, TRUE);
  turn("ad");
  leave(self, 'a');
  turn("ade");
  leave(self, 'd');
  turn("adeb");
  leave(self, 'e');
  turn("adeb");
  leave(self, 'b');
  turn("adebc");
  leave(self, 'c');
}

/* A batch call is next after so many others. */
static void
test_batch_is_not_forgotten(Fixture *self, gconstpointer data)
{
  guint passed = 0;

  join(self, 2, TRUE);
  turn("a");
  join_call(self, 0, TRUE, TRUE);
  for (guint i = 0; strchr(ran->str, 'b') == NULL; i++) {
    g_assert_cmpuint(i, <=, GEM_CALL_BATCH_AFTER);
    self->n = 2; /* their letters are all c */
    join(self, 2, TRUE);
    g_main_context_iteration(NULL, FALSE);
    if (ran->str[ran->len - 1] == 'c') {
      passed++;
      leave(self, 'c');
    }
  }
  g_assert_cmpuint(passed, ==, GEM_CALL_BATCH_AFTER);
  leave(self, 'a');
  g_main_context_iteration(NULL, FALSE);
  leave(self, 'c');
  leave(self, 'b');
}

/* A heavy call that does not come to run is told so, and takes nobody's place afterwards. */
static void
test_late(Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < 3; i++) {
    join(self, 0, TRUE);
  }
  turn("a");
  turn("ab");
  while (late == 0) {
    g_main_context_iteration(NULL, TRUE);
  }
  leave(self, 'a');
  leave(self, 'c');
  turn("ab");
  g_assert_cmpuint(late, ==, 1);
  leave(self, 'b');
}

/* Seconds. Short, since a machine may be up for no longer; the test takes milliseconds of them. */
#define LONG_WAIT 20u

static void
on_very_late(gpointer data, guint seconds)
{
  g_assert_cmpuint(seconds, ==, LONG_WAIT);
  g_string_append_c(ran, ((Call *)data)->letter);
}

/* What has waited elsewhere counts: of two that find no place the second is late at once, the first is not.
 */
static void
test_waited_before(Fixture *self, gconstpointer data)
{
  g_autoptr(GemCallQueue) queue = gem_call_queue_new(GEM_QUEUE_CALLS, 1, LONG_WAIT);
  gint64 before = MAX(1, g_get_monotonic_time() - LONG_WAIT * G_USEC_PER_SEC);
  Call calls[3];

  for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
    calls[i] = (Call){{.caller = &self->callers[0],
                       .heavy = TRUE,
                       .run = on_run,
                       .late = on_very_late,
                       .data = &calls[i],
                       .since = i == 2 ? before : 0},
                      (char)('x' + i)};
    gem_call_queue_join(queue, &calls[i].ticket);
  }
  while (ran->len < 2) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_cmpstr(ran->str, ==, "xz");
  gem_call_queue_leave(&calls[0].ticket);
  while (ran->len < 3) {
    g_main_context_iteration(NULL, TRUE);
  }
  g_assert_cmpstr(ran->str, ==, "xzy");
  gem_call_queue_leave(&calls[1].ticket);
}

/* What a user has at work in one queue is no reason to wait in another. */
static void
test_kinds(Fixture *self, gconstpointer data)
{
  g_autoptr(GemCallQueue) asks = gem_call_queue_new(GEM_QUEUE_ASKS, 1, 1000);
  Call calls[2];

  join(self, 0, TRUE);
  turn("a");
  for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
    calls[i] = (Call){
        {.caller = &self->callers[2 * i], .heavy = TRUE, .run = on_run, .late = on_late, .data = &calls[i]},
        (char)('x' + i)};
    gem_call_queue_join(asks, &calls[i].ticket);
  }
  turn("ax");
  g_assert_cmpuint(gem_call_queue_count_running(asks), ==, 1);
  g_assert_cmpuint(self->users[0].running[GEM_QUEUE_CALLS], ==, 1);
  g_assert_cmpuint(self->users[0].running[GEM_QUEUE_ASKS], ==, 1);
  gem_call_queue_leave(&calls[0].ticket);
  turn("axy");
  gem_call_queue_leave(&calls[1].ticket);
  leave(self, 'a');
  g_assert_cmpuint(gem_call_queue_count_running(asks), ==, 0);
}

int
main(int argc, char **argv)
{
  static const struct {
    const char *name;
    void (*run)(Fixture *, gconstpointer);
  } tests[] = {
      {"/call-queue/one-a-turn", test_one_a_turn},
      {"/call-queue/parallel", test_parallel},
      {"/call-queue/fair", test_fair},
      {"/call-queue/batch", test_batch},
      {"/call-queue/batch-is-not-forgotten", test_batch_is_not_forgotten},
      {"/call-queue/late", test_late},
      {"/call-queue/waited-before", test_waited_before},
      {"/call-queue/kinds", test_kinds},
  };

  g_test_init(&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].name, Fixture, NULL, setup, tests[i].run, teardown);
  }
  return g_test_run();
}
