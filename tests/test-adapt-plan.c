/* How many steps of a learning fit into its time, as figures: no clock runs here. */
#include "adaptation/trainer/gem-adapt-plan.h"

static void
test_first(void)
{
  g_assert_cmpuint(gem_adapt_plan_first(500, 100.0, 0.5), ==, 200);
  g_assert_cmpuint(gem_adapt_plan_first(150, 100.0, 0.5), ==, 150); /* no more than there is to learn */
  g_assert_cmpuint(gem_adapt_plan_first(500, 1.0, 0.5), ==, 24);
  g_assert_cmpuint(gem_adapt_plan_first(500, -10.0, 0.5), ==, 24);
  g_assert_cmpuint(gem_adapt_plan_first(10, -10.0, 0.5), ==, 10);
}

/* As planned, or nearly: nothing changes. */
static void
test_stands(void)
{
  const GemAdaptPace as_planned = {
      .steps = 100, .step = 50, .observed = 50, .round_seconds = 50.0, .left_seconds = 50.0};
  GemAdaptPace slower = as_planned, sudden = as_planned, last = as_planned;
  g_assert_cmpuint(gem_adapt_plan_revise(&as_planned), ==, 0);
  slower.left_seconds = 47.0;
  g_assert_cmpuint(gem_adapt_plan_revise(&slower), ==, 0);
  sudden.observed = 5; /* too few to know */
  g_assert_cmpuint(gem_adapt_plan_revise(&sudden), ==, 0);
  last.step = 99;
  last.left_seconds = -5.0;
  g_assert_cmpuint(gem_adapt_plan_revise(&last), ==, 0);
}

/* Others took the processor: at any place what is left is cut to what fits. */
static void
test_cut(void)
{
  GemAdaptPace pace = {.steps = 100, .step = 20, .observed = 20, .round_seconds = 40.0, .left_seconds = 80.0};
  g_assert_cmpuint(gem_adapt_plan_revise(&pace), ==, 60);
  pace.step = 80;
  pace.left_seconds = 10.0;
  pace.observed = 80;
  pace.round_seconds = 80.0;
  g_assert_cmpuint(gem_adapt_plan_revise(&pace), ==, 90);
}

/* The time is over: one more step, however few are known. */
static void
test_over(void)
{
  const GemAdaptPace late = {
      .steps = 100, .step = 30, .observed = 2, .round_seconds = 2.0, .left_seconds = 1.5};
  const GemAdaptPace too_late = {
      .steps = 100, .step = 30, .observed = 30, .round_seconds = 30.0, .left_seconds = -20.0};
  g_assert_cmpuint(gem_adapt_plan_revise(&late), ==, 31);
  g_assert_cmpuint(gem_adapt_plan_revise(&too_late), ==, 31);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/adapt-plan/first", test_first);
  g_test_add_func("/adapt-plan/stands", test_stands);
  g_test_add_func("/adapt-plan/cut", test_cut);
  g_test_add_func("/adapt-plan/over", test_over);
  return g_test_run();
}
