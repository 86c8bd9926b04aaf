#include "plugins/backends/cpu/gem-cpu-thread.h"

#include <signal.h>

bool
gem_cpu_thread_start(pthread_t *ret_thread, void *(*function)(void *data), void *data)
{
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(ret_thread, NULL, function, data);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed == 0;
}
