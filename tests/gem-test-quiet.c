#include "tests/gem-test-quiet.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF          0
#define PR_SYS_DISPATCH_ON           1
#endif

/* Sanitizers have a malloc of their own, which has to be the only one. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define SELECTOR_ALLOW 0
#define SELECTOR_BLOCK 1

static atomic_bool watching;
static atomic_uint allocations;
static _Thread_local gboolean is_watcher;
static guint locks;
static glong system_call_seen;
static volatile char selector = SELECTOR_ALLOW;

/* ---- functions in the place of those of the C library and of GLib ---- */

#ifndef SANITIZED

#define REPLACE __attribute__((visibility("default")))

void *
__libc_malloc(size_t bytes);
void *
__libc_calloc(size_t count, size_t bytes);
void *
__libc_realloc(void *memory, size_t bytes);
void *
__libc_memalign(size_t alignment, size_t bytes);

static void
note_allocation(void)
{
  if (atomic_load_explicit(&watching, memory_order_relaxed)) {
    atomic_fetch_add(&allocations, 1);
  }
}

REPLACE void *
malloc(size_t bytes)
{
  note_allocation();
  return __libc_malloc(bytes);
}

REPLACE void *
calloc(size_t count, size_t bytes)
{
  note_allocation();
  return __libc_calloc(count, bytes);
}

REPLACE void *
realloc(void *memory, size_t bytes)
{
  note_allocation();
  return __libc_realloc(memory, bytes);
}

REPLACE void *
aligned_alloc(size_t alignment, size_t bytes)
{
  note_allocation();
  return __libc_memalign(alignment, bytes);
}

static void
note_lock(void)
{
  if (is_watcher) {
    locks++;
  }
}

REPLACE int
pthread_mutex_lock(pthread_mutex_t *mutex)
{
  static int (*next)(pthread_mutex_t *);

  if (next == NULL) {
    next = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
  }
  note_lock();
  return next(mutex);
}

REPLACE void
g_mutex_lock(GMutex *mutex)
{
  static void (*next)(GMutex *);

  if (next == NULL) {
    next = (void (*)(GMutex *))dlsym(RTLD_NEXT, "g_mutex_lock");
  }
  note_lock();
  next(mutex);
}
#endif

/* ---- system calls ---- */

/* The kernel hands every system call of this thread here while the selector says so. The first is noted and
 * made from here, so that the caller goes on as if nobody had watched. */
static void
on_system_call(int signal, siginfo_t *info, void *context)
{
  selector = SELECTOR_ALLOW;
  system_call_seen = info->si_syscall;
#ifdef __x86_64__
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  int before = errno;
  long result = syscall(info->si_syscall, registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                        registers[REG_R10], registers[REG_R8], registers[REG_R9]);
  registers[REG_RAX] = result == -1 ? -errno : result;
  errno = before;
#endif
}

static gboolean
dispatch(gulong mode)
{
  return prctl(PR_SET_SYSCALL_USER_DISPATCH, mode, 0UL, 0UL,
               mode == PR_SYS_DISPATCH_ON ? (gulong)(gsize)&selector : 0UL) == 0;
}

gboolean
gem_test_quiet_can_watch(void)
{
  struct sigaction action = {.sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO};

#ifdef SANITIZED
  return FALSE;
#endif
  return sigaction(SIGSYS, &action, NULL) == 0 && dispatch(PR_SYS_DISPATCH_ON) &&
         dispatch(PR_SYS_DISPATCH_OFF);
}

void
gem_test_quiet_begin(void)
{
  locks = 0;
  system_call_seen = -1;
  atomic_store(&allocations, 0);
  g_assert_true(dispatch(PR_SYS_DISPATCH_ON));
  is_watcher = TRUE;
  atomic_store(&watching, TRUE);
  selector = SELECTOR_BLOCK;
}

GemTestQuiet
gem_test_quiet_end(void)
{
  selector = SELECTOR_ALLOW;
  atomic_store(&watching, FALSE);
  is_watcher = FALSE;
  g_assert_true(dispatch(PR_SYS_DISPATCH_OFF));
  return (GemTestQuiet){
      .allocations = atomic_load(&allocations),
      .locks = locks,
      .system_calls = system_call_seen >= 0 ? 1 : 0,
      .system_call = system_call_seen,
  };
}
