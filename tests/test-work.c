/* Work on its way: each piece is a reason to stay, and the end of the last one is told. */
#include <string.h>

#include "daemon/bus/gem-work.h"

/* In the place of gem-idle.c, which needs a bus. */
struct _GemIdle {
  gint counts[GEM_IDLE_N_KINDS];
};

void
gem_idle_inhibit(GemIdle *self, GemIdleKind kind)
{
  self->counts[kind]++;
}

void
gem_idle_release(GemIdle *self, GemIdleKind kind)
{
  self->counts[kind]--;
}

typedef struct {
  GemIdle idle;
  GemWork *work;
  guint told; /* that there is none */
  guint left; /* pieces that go on from there, one after the other */
} Fixture;

static void
assert_idle(const Fixture *self, gint calls, gint jobs)
{
  GemIdle wanted = {0};

  wanted.counts[GEM_IDLE_CALLS] = calls;
  wanted.counts[GEM_IDLE_JOBS] = jobs;
  g_assert_cmpint(memcmp(&self->idle, &wanted, sizeof wanted), ==, 0);
}

static void
on_none(gpointer data)
{
  Fixture *self = data;

  /* Whoever is told finds it so. */
  g_assert_true(gem_work_is_none(self->work));
  assert_idle(self, 0, 0);
  self->told++;
  if (self->left > 0) {
    self->left--;
    gem_work_begin(self->work, GEM_IDLE_CALLS);
    gem_work_end(self->work, GEM_IDLE_CALLS);
  }
}

static void
setup(Fixture *self, gconstpointer data)
{
  self->work = gem_work_new(&self->idle, on_none, self);
}

static void
teardown(Fixture *self, gconstpointer data)
{
  assert_idle(self, 0, 0);
  gem_work_free(self->work);
}

static void
test_pieces(Fixture *self, gconstpointer data)
{
  g_assert_true(gem_work_is_none(self->work));
  gem_work_begin(self->work, GEM_IDLE_CALLS);
  gem_work_begin(self->work, GEM_IDLE_JOBS);
  gem_work_begin(self->work, GEM_IDLE_CALLS);
  assert_idle(self, 2, 1);
  gem_work_end(self->work, GEM_IDLE_CALLS);
  gem_work_end(self->work, GEM_IDLE_CALLS);
  assert_idle(self, 0, 1);
  g_assert_false(gem_work_is_none(self->work));
  g_assert_cmpuint(self->told, ==, 0);
  gem_work_end(self->work, GEM_IDLE_JOBS);
  g_assert_cmpuint(self->told, ==, 1);
}

/* Each time, not the first time alone. */
static void
test_again(Fixture *self, gconstpointer data)
{
  for (guint i = 1; i <= 3; i++) {
    gem_work_begin(self->work, GEM_IDLE_JOBS);
    g_assert_cmpuint(self->told, ==, i - 1);
    gem_work_end(self->work, GEM_IDLE_JOBS);
    g_assert_cmpuint(self->told, ==, i);
  }
}

/* Who is told may begin more. */
static void
test_from_within(Fixture *self, gconstpointer data)
{
  self->left = 2;
  gem_work_begin(self->work, GEM_IDLE_CALLS);
  gem_work_end(self->work, GEM_IDLE_CALLS);
  g_assert_cmpuint(self->told, ==, 3);
  g_assert_true(gem_work_is_none(self->work));
}

/* Work may be left when the service's end takes too long: nobody is told. */
static void
test_left_over(Fixture *self, gconstpointer data)
{
  gem_work_begin(self->work, GEM_IDLE_CALLS);
  gem_work_free(self->work);
  g_assert_cmpuint(self->told, ==, 0);
  gem_idle_release(&self->idle, GEM_IDLE_CALLS);
  self->work = gem_work_new(&self->idle, on_none, self);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(name, test) g_test_add("/work/" name, Fixture, NULL, setup, test, teardown)
  ADD("pieces", test_pieces);
  ADD("again", test_again);
  ADD("from-within", test_from_within);
  ADD("left-over", test_left_over);
  return g_test_run();
}
