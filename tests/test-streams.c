/* What a program finds in the place of standard streams that are closed. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/gem-streams.h"

/* What a child found to be wrong, as its status. */
enum {
  ALL_GOOD,
  NOT_NULL,
  TOOK_ONE,
  READ,
  WRITTEN,
  COMPLAINT_LOST,
};

static gboolean
is_null(int descriptor)
{
  struct stat null, found;

  return stat("/dev/null", &null) == 0 && fstat(descriptor, &found) == 0 && S_ISCHR(found.st_mode) &&
         found.st_rdev == null.st_rdev;
}

/* In the child, where nothing may be said. `closed`: bits. */
static int
check_child(int closed)
{
  char byte;
  int descriptor, next;

  for (descriptor = 0; descriptor <= 2; descriptor++) {
    if (closed & 1 << descriptor) {
      close(descriptor);
    }
  }
  gem_streams_begin();
  for (descriptor = 0; descriptor <= 2; descriptor++) {
    if (closed & 1 << descriptor && !is_null(descriptor)) {
      return NOT_NULL;
    }
  }
  next = open("/", O_RDONLY | O_CLOEXEC);
  if (next <= 2) {
    return TOOK_ONE;
  }
  close(next);
  if (closed & 1 && (read(0, &byte, 1) != -1 || errno != EBADF)) {
    return READ;
  }
  if (closed & 2 && (write(1, "x", 1) != -1 || errno != EBADF)) {
    return WRITTEN;
  }
  return closed & 4 && write(2, "x", 1) != 1 ? COMPLAINT_LOST : ALL_GOOD;
}

static void
test_closed(void)
{
  int closed;

  for (closed = 0; closed < 8; closed++) {
    pid_t child = fork();
    int status;

    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
      _exit(check_child(closed));
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, ALL_GOOD);
  }
}

/* What is open stays what it is. */
static void
test_open(void)
{
  pid_t child = fork();
  int status;

  g_assert_cmpint(child, >=, 0);
  if (child == 0) {
    int ends[2];

    if (pipe(ends) != 0 || dup2(ends[0], 0) != 0 || dup2(ends[1], 1) != 1) {
      _exit(NOT_NULL);
    }
    close(2);
    gem_streams_begin();
    _exit(is_null(0) || is_null(1) || !is_null(2));
  }
  g_assert_cmpint(waitpid(child, &status, 0), ==, child);
  g_assert_true(WIFEXITED(status));
  g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/streams/closed", test_closed);
  g_test_add_func("/streams/open", test_open);
  return g_test_run();
}
