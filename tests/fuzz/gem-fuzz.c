#include "tests/fuzz/gem-fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

const char *
gem_fuzz_make_file(const uint8_t *data, size_t size)
{
  static char path[64];
  static int file = -1;

  if (file < 0) {
    file = memfd_create("fuzz", MFD_CLOEXEC);
    g_assert_cmpint(file, >=, 0);
    g_snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  }
  g_assert_cmpint(ftruncate(file, 0), ==, 0);
  g_assert_cmpint(pwrite(file, data, size, 0), ==, (gssize)size);
  return path;
}

void
gem_fuzz_check_outcome(gboolean success, GError *error)
{
  g_assert_true(success == (error == NULL));
  if (error != NULL) {
    g_assert_true(error->message[0] != '\0' && g_utf8_validate(error->message, -1, NULL));
    g_error_free(error);
  }
}
