/* The list of `gem-train pretrain --tasks`, as it is read; what it does to draws is in test-corpus.c. */
#include "training/text/gem-task-choice.h"

static void
test_parse(void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemTaskChoice) plain = gem_task_choice_parse("legal/c*,stem/units", &error);
  g_assert_no_error(error);
  g_assert_false(plain->by_times);
  g_assert_true(gem_task_choice_has(plain, "legal/clauses"));
  g_assert_false(gem_task_choice_has(plain, "stem/clauses"));
  const char *const refused[] = {
      "", "legal/a,,stem/b", "=3", "legal/a=", "legal/a=0", "legal/a=1001", "legal/a=nan", "legal/a=2x"};
  for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
    g_assert_null(gem_task_choice_parse(refused[i], &error));
    g_assert_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE);
    g_clear_error(&error);
  }
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/task-choice/parse", test_parse);
  return g_test_run();
}
