#include "tests/gem-test-patience.h"

static double
patience_factor(void)
{
  static gsize known;
  static double factor = 1;

  if (g_once_init_enter(&known)) {
    const char *text = g_getenv("GEM_TEST_PATIENCE");

    if (text != NULL) {
      factor = g_ascii_strtod(text, NULL);
      g_assert_cmpfloat(factor, >=, 1);
    }
    g_once_init_leave(&known, 1);
  }
  return factor;
}

gint64
gem_test_patience(guint seconds)
{
  return (gint64)(seconds * patience_factor() * (double)G_USEC_PER_SEC);
}

gint64
gem_test_deadline(guint seconds)
{
  return g_get_monotonic_time() + gem_test_patience(seconds);
}
