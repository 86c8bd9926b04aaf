/* From readings of memory to the step that they ask for. */
#include "daemon/pressure/gem-pressure-step.h"

#define UNKNOWN GEM_PRESSURE_UNKNOWN
#define SECOND  G_USEC_PER_SEC

/* held, its bytes, the limit, stalled, system stalled, available, events, told */
#define CALM                                                                                                 \
  {                                                                                                          \
    0.1, 0, 0, 0, 0, 0.5, 0, FALSE                                                                           \
  }

typedef struct {
  GemPressureReadings readings;
  guint step;
  const char *cause;
} Case;

/* Readings of a machine that was calm before. */
static void
test_thresholds(void)
{
  static const Case cases[] = {
      {CALM, 0, NULL},
      {{UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, FALSE}, 0, NULL},
      {{0.749, 0, 0, 0.019, 0.049, 0.101, 0, FALSE}, 0, NULL},
      {{0.75, 0, 0, 0, 0, 0.5, 0, FALSE}, 1, "held"},
      {{0.85, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, "held"},
      {{0.92, 0, 0, 0, 0, 0.5, 0, FALSE}, 3, "held"},
      {{0.97, 0, 0, 0, 0, 0.5, 0, FALSE}, 4, "held"},
      {{1.5, 0, 0, 0, 0, 0.5, 0, FALSE}, 4, "held"},
      {{0.1, 0, 0, 0.02, 0, 0.5, 0, FALSE}, 1, "stalled"},
      {{0.1, 0, 0, 0.10, 0, 0.5, 0, FALSE}, 2, "stalled"},
      {{0.1, 0, 0, 0.25, 0, 0.5, 0, FALSE}, 3, "stalled"},
      {{0.1, 0, 0, 0.50, 0, 0.5, 0, FALSE}, 4, "stalled"},
      {{0.1, 0, 0, 0, 0.05, 0.5, 0, FALSE}, 1, "system-stalled"},
      {{0.1, 0, 0, 0, 0.15, 0.5, 0, FALSE}, 2, "system-stalled"},
      {{0.1, 0, 0, 0, 0.35, 0.5, 0, FALSE}, 3, "system-stalled"},
      {{0.1, 0, 0, 0, 0.60, 0.5, 0, FALSE}, 4, "system-stalled"},
      {{0.1, 0, 0, 0, 0, 0.099, 0, FALSE}, 1, "available"},
      {{0.1, 0, 0, 0, 0, 0.069, 0, FALSE}, 2, "available"},
      {{0.1, 0, 0, 0, 0, 0.039, 0, FALSE}, 3, "available"},
      {{0.1, 0, 0, 0, 0, 0.019, 0, FALSE}, 4, "available"},
      {{0.1, 0, 0, 0, 0, 0, 0, FALSE}, 4, "available"},
      {{0.1, 0, 0, 0, 0, 0.5, 1, FALSE}, 1, "limit"},
      {{0.1, 0, 0, 0, 0, 0.5, 4, FALSE}, 4, "limit"},
      {{0.1, 0, 0, 0, 0, 0.5, 0, TRUE}, 2, "told"},
      /* The gravest counts; of equals the first. */
      {{0.80, 0, 0, 0.30, 0.20, 0.09, 0, TRUE}, 3, "stalled"},
      {{0.86, 0, 0, 0.11, 0, 0.5, 0, FALSE}, 2, "held"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    GemPressureLadder ladder = {0};

    g_test_message("case %" G_GSIZE_FORMAT, i);
    g_assert_cmpuint(gem_pressure_ladder_take(&ladder, &cases[i].readings, SECOND), ==, cases[i].step);
    g_assert_cmpint(gem_pressure_ladder_is_pressed(&ladder, SECOND), ==, cases[i].step > 0);
    if (cases[i].cause != NULL) {
      g_assert_cmpstr(gem_pressure_cause_name(ladder.cause), ==, cases[i].cause);
    }
  }
}

/* What happens from second to second. */
typedef struct {
  gint64 second;
  GemPressureReadings readings;
  guint step;
  gboolean pressed;
} Moment;

static void
play(const Moment *moments, gsize n)
{
  GemPressureLadder ladder = {0};

  for (gsize i = 0; i < n; i++) {
    gint64 now = moments[i].second * SECOND;

    g_test_message("second %" G_GINT64_FORMAT, moments[i].second);
    g_assert_cmpuint(gem_pressure_ladder_take(&ladder, &moments[i].readings, now), ==, moments[i].step);
    g_assert_cmpint(gem_pressure_ladder_is_pressed(&ladder, now), ==, moments[i].pressed);
  }
}

/* Up at once; down after ten calm seconds, to what is read then. */
static void
test_up_and_down(void)
{
  static const Moment moments[] = {
      {1, {0.86, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, TRUE},
      {2, {0.98, 0, 0, 0, 0, 0.5, 0, FALSE}, 4, TRUE},
      {3, {0.30, 0, 0, 0, 0, 0.5, 0, FALSE}, 4, FALSE},
      {11, {0.80, 0, 0, 0, 0, 0.5, 0, FALSE}, 4, FALSE},
      {12, {0.80, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, TRUE},
      {13, CALM, 2, FALSE},
      {21, CALM, 2, FALSE},
      {22, CALM, 0, FALSE},
      {23, CALM, 0, FALSE},
  };

  play(moments, G_N_ELEMENTS(moments));
}

/* A reading that swings about a threshold does not make the step swing. */
static void
test_swinging(void)
{
  static const Moment moments[] = {
      {1, {0.86, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, TRUE},
      {5, {0.84, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, TRUE},
      {10, {0.77, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, TRUE},
      {15, {0.76, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, FALSE},
      {19, {0.77, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, TRUE},
      {28, {0.76, 0, 0, 0, 0, 0.5, 0, FALSE}, 2, FALSE},
      {29, {0.76, 0, 0, 0, 0, 0.5, 0, FALSE}, 1, TRUE},
      {38, {0.5, 0, 0, 0.011, 0, 0.5, 0, FALSE}, 1, TRUE},
      {40, {0.5, 0, 0, 0, 0.026, 0.5, 0, FALSE}, 1, TRUE},
      {41, {0.5, 0, 0, 0, 0, 0.124, 0, FALSE}, 1, TRUE},
      {50, {0.5, 0, 0, 0.009, 0.024, 0.126, 0, FALSE}, 1, FALSE},
      {51, {0.5, 0, 0, 0, 0, 0.126, 0, FALSE}, 0, FALSE},
  };

  play(moments, G_N_ELEMENTS(moments));
}

/* The service manager knows one degree: said again, it asks for more. */
static void
test_told(void)
{
  static const Moment moments[] = {
      {1, {UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, TRUE}, 2, TRUE},
      {2, {UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, FALSE}, 2, FALSE},
      {4, {UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, TRUE}, 3, TRUE},
      {6, {UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, TRUE}, 4, TRUE},
      {8, {UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, TRUE}, 4, TRUE},
      {17, {UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, FALSE}, 4, FALSE},
      {18, {UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, FALSE}, 0, FALSE},
      {20, {UNKNOWN, 0, 0, UNKNOWN, UNKNOWN, UNKNOWN, 0, TRUE}, 2, TRUE},
  };

  play(moments, G_N_ELEMENTS(moments));
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pressure-step/thresholds", test_thresholds);
  g_test_add_func("/pressure-step/up-and-down", test_up_and_down);
  g_test_add_func("/pressure-step/swinging", test_swinging);
  g_test_add_func("/pressure-step/told", test_told);
  return g_test_run();
}
