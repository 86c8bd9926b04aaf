#include "tests/gem-test-sockets.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

static atomic_uint count;

/* The call has not been made: its result is written where the kernel would leave it. */
static void
refuse(int number, siginfo_t *info, void *context)
{
  ucontext_t *user = context;
  (void)number;
  (void)info;
  atomic_fetch_add(&count, 1);
#if defined(__x86_64__)
  user->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
  user->uc_mcontext.regs[0] = (unsigned long long)-EPERM;
#else
  (void)user;
#endif
}

gboolean
gem_test_sockets_forbid(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog program = {.len = G_N_ELEMENTS(filter), .filter = filter};
  struct sigaction action = {.sa_sigaction = refuse, .sa_flags = SA_SIGINFO};
  g_assert_cmpint(sigaction(SIGSYS, &action, NULL), ==, 0);
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
#else
  return FALSE;
#endif
}

guint
gem_test_sockets_count(void)
{
  return atomic_load(&count);
}
