#include "tests/gem-test-program.h"

GPtrArray *
gem_test_program_words(const char *folder, const char *name)
{
  GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
  const char *emulator = g_getenv("MESON_EXE_WRAPPER");

  if (emulator != NULL) {
    g_ptr_array_add(words, g_strdup(emulator));
  }
  g_ptr_array_add(words, g_build_filename(g_getenv("GEM_BUILD_DIR"), folder, name, NULL));
  return words;
}
