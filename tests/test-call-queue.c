/* The order in which calls run. */
#include "daemon/bus/gem-call-queue.h"

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
  self->queue = gem_call_queue_new(2, 1);
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
join(Fixture *self, guint caller, gboolean heavy)
{
  Call *call = &self->calls[self->n];

  *call = (Call){{&self->callers[caller], heavy, on_run, on_late, call}, (char)('a' + self->n)};
  self->n++;
  gem_call_queue_join(self->queue, &call->ticket);
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
  g_assert_cmpuint(self->users[0].running, ==, 0);
  g_assert_cmpuint(self->callers[0].running, ==, 0);
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
      {"/call-queue/late", test_late},
  };

  g_test_init(&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_test_add(tests[i].name, Fixture, NULL, setup, tests[i].run, teardown);
  }
  return g_test_run();
}
