#include "process/gem-streams.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_FAILED 1 /* of every program: GEM_EXIT_FAILED of gem-client */

static bool complained;

/* The lowest free descriptor is the one that open takes: in order, each is that one. */
static void
fill_descriptors(void)
{
  static const int modes[] = {
      [STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_RDWR};
  int descriptor;

  for (descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
    if (fcntl(descriptor, F_GETFD) < 0 && open("/dev/null", modes[descriptor]) != descriptor) {
      perror("/dev/null");
      _exit(STATUS_FAILED);
    }
  }
}

/* Where GLib has written, and kept the reason to itself: whether the reader is gone; 0: who knows. */
static int
find_reason(void)
{
  struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

  return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0 ? EPIPE : 0;
}

static void
on_exit_unwritten(void)
{
  errno = 0;
  if (complained || (fflush(stdout) == 0 && !ferror(stdout))) {
    return;
  }
  gem_streams_complain(errno != 0 ? errno : find_reason());
  _exit(STATUS_FAILED);
}

void
gem_streams_begin(void)
{
  fill_descriptors();
  atexit(on_exit_unwritten);
}

void
gem_streams_complain(int code)
{
  complained = true;
  if (code != EPIPE) {
    fprintf(stderr, "%s: standard output: %s\n", program_invocation_short_name,
            code != 0 ? strerror(code) : "it could not be written");
  }
}
