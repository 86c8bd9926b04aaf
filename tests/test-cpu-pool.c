/* The threads of backends/cpu: every part runs, once, however calls follow each other. */
#include <glib.h>

#include "plugins/backends/cpu/gem-cpu-pool.h"
#include "tests/gem-test-patience.h"

#define MOST_PARTS 64

typedef struct {
  gint runs[MOST_PARTS];
  gint wrong; /* parts that were told another number of parts */
  gsize parts;
  gulong work; /* microseconds a part */
} Count;

static void
count_part(void *context, size_t part, size_t parts)
{
  Count *count = context;

  if (parts != count->parts) {
    g_atomic_int_inc(&count->wrong);
  }
  g_atomic_int_inc(&count->runs[part]);
  if (count->work > 0) {
    g_usleep(count->work);
  }
}

static void
run_and_check(GemCpuPool *pool, gsize parts, gulong work)
{
  Count count = {.parts = parts, .work = work};

  gem_cpu_pool_run(pool, count_part, &count, parts);
  g_assert_cmpint(count.wrong, ==, 0);
  for (gsize i = 0; i < MOST_PARTS; i++) {
    g_assert_cmpint(count.runs[i], ==, i < parts ? 1 : 0);
  }
}

static void
test_parts(void)
{
  for (gsize threads = 1; threads <= 4; threads++) {
    GemCpuPool *pool = gem_cpu_pool_new(threads);

    g_assert_nonnull(pool);
    g_assert_cmpuint(gem_cpu_pool_threads(pool), ==, threads);
    for (gsize parts = 0; parts <= MOST_PARTS; parts++) {
      run_and_check(pool, parts, 0);
    }
    gem_cpu_pool_free(pool);
  }
}

/* Calls one upon the other: a thread that is late for one must not take part in the next with old eyes. */
static void
test_quick_calls(void)
{
  GemCpuPool *pool = gem_cpu_pool_new(4);

  for (guint i = 0; i < 20000; i++) {
    run_and_check(pool, 2 + i % 7, 0);
  }
  gem_cpu_pool_free(pool);
}

/* Threads sleep between calls that are far apart, and wake up. */
static void
test_sleep(void)
{
  GemCpuPool *pool = gem_cpu_pool_new(2);

  for (guint i = 0; i < 20; i++) {
    g_usleep(i % 2 == 0 ? 2000 : 150);
    run_and_check(pool, 8, 0);
  }
  gem_cpu_pool_free(pool);
}

/* More threads than the machine has, which end while they wait for their first call, spin or sleep. */
static void
test_crowd(void)
{
  static const gulong pauses[] = {0, 100, 20000};
  gsize threads = 2 * g_get_num_processors() + 1;

  for (gsize i = 0; i < 2 * G_N_ELEMENTS(pauses); i++) {
    GemCpuPool *pool = gem_cpu_pool_new(threads);

    g_assert_cmpuint(gem_cpu_pool_threads(pool), ==, threads);
    if (i % 2 == 0) {
      run_and_check(pool, MOST_PARTS, 0);
    }
    g_usleep(pauses[i / 2]);
    gem_cpu_pool_free(pool);
  }
}

/* Parts that last long, more than there are threads: all run, and short ones after them. */
static void
test_long_parts(void)
{
  GemCpuPool *pool = gem_cpu_pool_new(3);

  for (guint i = 0; i < 30; i++) {
    run_and_check(pool, 5, 3000);
  }
  g_usleep(60000);
  run_and_check(pool, 5, 0);
  gem_cpu_pool_free(pool);
}

typedef struct {
  GThread *first;
  gint others;
} Seen;

static void
see_thread(void *context, size_t part, size_t parts)
{
  Seen *seen = context;

  if (g_thread_self() != seen->first) {
    g_atomic_int_inc(&seen->others);
  }
  g_usleep(200);
}

/* More than the caller really works, as soon as the machine lets another thread run. */
static void
test_shares(void)
{
  GemCpuPool *pool = gem_cpu_pool_new(2);
  Seen seen = {.first = g_thread_self()};

  gint64 deadline = gem_test_deadline(20);

  while (g_atomic_int_get(&seen.others) == 0 && g_get_monotonic_time() < deadline) {
    gem_cpu_pool_run(pool, see_thread, &seen, 4);
  }
  g_assert_cmpint(seen.others, >, 0);
  gem_cpu_pool_free(pool);
}

/* Long for the other threads, so that the caller waits for them. */
static void
keep_others(void *context, size_t part, size_t parts)
{
  Seen *seen = context;
  gboolean is_other = g_thread_self() != seen->first;

  g_atomic_int_add(&seen->others, is_other ? 1 : 0);
  g_usleep(is_other ? 5000 : 500);
}

/* Who waits for a disk has not lost its CPU: the other threads take part in the next call. */
static void
test_patience(void)
{
  GemCpuPool *pool = gem_cpu_pool_new(2);
  Seen late = {.first = g_thread_self()}, seen = late;

  for (guint round = 0; round < 200 && seen.others == 0; round++) {
    late.others = 0;
    gem_cpu_pool_run_patiently(pool, keep_others, &late, 4);
    for (guint i = 0; i < 5 && late.others > 0; i++) {
      gem_cpu_pool_run(pool, see_thread, &seen, 4);
    }
    if (late.others > 0 && seen.others == 0) {
      g_test_message("round %u: the other thread was there for the long parts alone", round);
    }
  }
  g_assert_cmpint(seen.others, >, 0);
  gem_cpu_pool_free(pool);
}

/* Two parts, one for each thread; the other's takes as long as it is told. */
typedef struct {
  GThread *caller;
  gulong own_work; /* microseconds */
  gulong other_work;
  gint others; /* parts that the other thread has taken */
} Uneven;

static void
work_unevenly(void *context, size_t part, size_t parts)
{
  Uneven *uneven = context;
  gboolean is_other = g_thread_self() != uneven->caller;

  g_atomic_int_add(&uneven->others, is_other ? 1 : 0);
  g_usleep(is_other ? uneven->other_work : uneven->own_work);
}

/* Parts of some milliseconds, of which the other thread's end 2 ms after the caller's: it is slower, not
 * lost, and stays in use. A caller that took it for lost would be alone in nine calls of ten. */
static void
test_slow_parts(void)
{
  enum { CALLS = 20, LEAST = 15 };
  GemCpuPool *pool = gem_cpu_pool_new(2);
  gint64 deadline = gem_test_deadline(20);
  gint most = 0;

  while (most < LEAST && g_get_monotonic_time() < deadline) {
    Uneven uneven = {.caller = g_thread_self(), .own_work = 2500, .other_work = 4500};
    for (guint i = 0; i < CALLS; i++) {
      gem_cpu_pool_run(pool, work_unevenly, &uneven, 2);
    }
    most = MAX(most, uneven.others);
  }
  g_assert_cmpint(most, >=, LEAST);
  gem_cpu_pool_free(pool);
}

/* Whether the other thread, 25 ms late for a part of the caller's `own_work`, is left out of the next call.
 */
static gboolean
is_left_out(GemCpuPool *pool, gulong own_work)
{
  Uneven lost = {.caller = g_thread_self(), .own_work = own_work, .other_work = 25000};
  Seen seen = {.first = g_thread_self()};

  gem_cpu_pool_run(pool, work_unevenly, &lost, 2);
  gem_cpu_pool_run(pool, see_thread, &seen, 8);
  return lost.others == 1 && seen.others == 0;
}

/* A thread that takes many times what the caller takes has lost its CPU, be the parts short or long: the
 * caller goes on alone, and not for ever. */
static void
test_lost(gconstpointer own_work)
{
  enum { ROUNDS = 5, LEAST = 4 };
  GemCpuPool *pool = gem_cpu_pool_new(2);
  gint64 deadline = gem_test_deadline(20);
  guint most = 0;

  while (most < LEAST && g_get_monotonic_time() < deadline) {
    guint left_out = 0;
    for (guint i = 0; i < ROUNDS; i++) {
      left_out += is_left_out(pool, GPOINTER_TO_UINT(own_work)) ? 1 : 0;
      g_usleep(60000);
    }
    most = MAX(most, left_out);
  }
  g_assert_cmpuint(most, >=, LEAST);
  gem_cpu_pool_free(pool);
}

enum { OWN_PARTS = 9, OWN_OF_CALLER = 5 /* of two threads: the caller's share is the larger one */ };

typedef struct {
  GThread *caller;
  gint taken; /* parts so far */
  gint order[OWN_PARTS];
  gboolean by_caller[OWN_PARTS];
  gboolean first_is_long; /* the caller's first part; else all last as long */
} Own;

static void
note_part(void *context, size_t part, size_t parts)
{
  Own *own = context;
  own->order[part] = g_atomic_int_add(&own->taken, 1);
  own->by_caller[part] = g_thread_self() == own->caller;
  if (!own->first_is_long) {
    g_usleep(2000);
  } else if (part == 0) {
    g_usleep(50000);
  }
}

/* The part that a thread took first; OWN_PARTS: none. */
static guint
first_part(const Own *own, gboolean by_caller)
{
  guint first = OWN_PARTS;
  for (guint part = 0; part < OWN_PARTS; part++) {
    if (own->by_caller[part] == by_caller && (first == OWN_PARTS || own->order[part] < own->order[first])) {
      first = part;
    }
  }
  return first;
}

/* Each thread begins with its own parts, whenever it comes, and takes what the other has left. */
static void
test_own_parts(gconstpointer first_is_long)
{
  GemCpuPool *pool = gem_cpu_pool_new(2);
  gint64 deadline = gem_test_deadline(20);
  gboolean shared = FALSE;
  while (!shared && g_get_monotonic_time() < deadline) {
    Own own = {.caller = g_thread_self(), .first_is_long = GPOINTER_TO_INT(first_is_long)};
    gem_cpu_pool_run_patiently(pool, note_part, &own, OWN_PARTS);
    g_assert_cmpuint(first_part(&own, TRUE), ==, 0);
    g_assert_cmpuint(first_part(&own, FALSE), >=, OWN_OF_CALLER);
    shared = own.first_is_long ? !own.by_caller[1] : first_part(&own, FALSE) == OWN_OF_CALLER;
  }
  g_assert_true(shared);
  gem_cpu_pool_free(pool);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cpu-pool/parts", test_parts);
  g_test_add_func("/cpu-pool/quick-calls", test_quick_calls);
  g_test_add_func("/cpu-pool/sleep", test_sleep);
  g_test_add_func("/cpu-pool/crowd", test_crowd);
  g_test_add_func("/cpu-pool/long-parts", test_long_parts);
  g_test_add_func("/cpu-pool/shares", test_shares);
  g_test_add_func("/cpu-pool/patience", test_patience);
  g_test_add_func("/cpu-pool/slow-parts", test_slow_parts);
  g_test_add_data_func("/cpu-pool/lost/short-parts", GUINT_TO_POINTER(200), test_lost);
  g_test_add_data_func("/cpu-pool/lost/long-parts", GUINT_TO_POINTER(3000), test_lost);
  g_test_add_data_func("/cpu-pool/own-parts/first", GINT_TO_POINTER(FALSE), test_own_parts);
  g_test_add_data_func("/cpu-pool/own-parts/left", GINT_TO_POINTER(TRUE), test_own_parts);
  return g_test_run();
}
