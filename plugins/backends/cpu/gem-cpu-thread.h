/* Threads of the CPU backend. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/* Begins a thread that handles no signals: they are the daemon's. False: there can be none. */
bool
gem_cpu_thread_start(pthread_t *ret_thread, void *(*function)(void *data), void *data);
