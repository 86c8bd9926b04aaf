#include "tests/kernelcheck/check.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "tests/kernelcheck/guarded.h"

enum { MOST_BUFFERS = 32, CASE_BYTES = 200 };

struct Check {
  const GemKernels *kernels;
  const char *kernel;
  uint64_t random;
  bool at_end; /* the side at which buffers touch a guard */
  char current[CASE_BYTES];
  Guarded buffers[MOST_BUFFERS];
  size_t n_buffers;
  uint32_t float_control;
  bool tiles_in_use; /* before there was anything to check */
  sigjmp_buf leave;
};

static Check *running; /* what a signal belongs to */

/* ---- state of the processor that a function must leave as it was ---- */

/* Rounding mode, traps, treatment of subnormals; not the flags that every operation sets. */
static uint32_t
read_float_control(void)
{
#if defined(__x86_64__)
  return __builtin_ia32_stmxcsr() & ~0x3fu;
#elif defined(__aarch64__)
  uint64_t control;
  __asm__ volatile("mrs %0, fpcr" : "=r"(control));
  return (uint32_t)control;
#else
  return 0;
#endif
}

/* Whether the tile unit (AMX) is in use, as far as the processor tells: the system would save its registers
 * at every switch. `tells` is asked for once: it takes a virtual machine long to answer. */
static bool
tiles_are_in_use(void)
{
#if defined(__x86_64__)
  static int tells = -1;
  uint32_t a, b, c, d;
  if (tells < 0) {
    tells = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE) && __get_cpuid_count(13, 1, &a, &b, &c, &d) &&
            (a & 1u << 2);
  }
  if (tells > 0) {
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    return (a & 3u << 17) != 0;
  }
#endif
  return false;
}

/* ---- cases ---- */

static void
free_buffers(Check *self)
{
  for (size_t i = 0; i < self->n_buffers; i++) {
    guarded_free(&self->buffers[i]);
  }
  self->n_buffers = 0;
}

static void
finish_case(Check *self)
{
  for (size_t i = 0; i < self->n_buffers; i++) {
    ptrdiff_t at;
    if (guarded_find_damage(&self->buffers[i], &at)) {
      check_fail(self, "byte %td of '%s' (%zu bytes) was written", at, self->buffers[i].name,
                 self->buffers[i].size);
    }
  }
  if (read_float_control() != self->float_control) {
    check_fail(self, "the control of floating point was changed to %#x", (unsigned)read_float_control());
  }
  if (tiles_are_in_use() && !self->tiles_in_use) {
    check_fail(self, "the tile unit was left in use");
  }
  free_buffers(self);
}

void
check_case(Check *self, const char *format, ...)
{
  finish_case(self);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(self->current, sizeof self->current, format, arguments);
  va_end(arguments);
}

void
check_fail(Check *self, const char *format, ...)
{
  va_list arguments;
  va_start(arguments, format);
  printf("# %s, set %s: %s; buffers %s\n#   ", self->kernel, self->kernels->name, self->current,
         self->at_end ? "end at a guard" : "begin at a guard");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  siglongjmp(self->leave, 1);
}

const GemKernels *
check_kernels(const Check *self)
{
  return self->kernels;
}

const GemKernels *
check_reference(const Check *self)
{
  return gem_kernels_reference();
}

/* ---- random numbers: splitmix64 ---- */

uint64_t
check_random(Check *self)
{
  uint64_t z = (self->random += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

size_t
check_random_below(Check *self, size_t count)
{
  return (size_t)(check_random(self) % count);
}

float
check_random_float(Check *self, float magnitude)
{
  return (float)((double)(check_random(self) >> 11) * 0x1p-52 - 1.0) * magnitude;
}

/* ---- memory ---- */

void *
check_buffer(Check *self, const char *name, size_t bytes, size_t alignment)
{
  if (self->n_buffers == MOST_BUFFERS) {
    check_fail(self, "the check itself takes more than %d buffers a case", MOST_BUFFERS);
  }
  Guarded *buffer = &self->buffers[self->n_buffers];
  if (!guarded_init(buffer, name, bytes, alignment, self->at_end, CHECK_FILL)) {
    check_fail(self, "no memory for '%s' (%zu bytes)", name, bytes);
  }
  self->n_buffers++;
  return buffer->bytes;
}

float *
check_floats(Check *self, const char *name, size_t count)
{
  return check_buffer(self, name, count * sizeof(float), _Alignof(float));
}

void
check_seal(Check *self, const void *buffer)
{
  for (size_t i = 0; i < self->n_buffers; i++) {
    if (self->buffers[i].bytes == buffer) {
      guarded_seal(&self->buffers[i]);
    }
  }
}

/* ---- comparisons ---- */

static bool
is_same(float a, float b)
{
  uint32_t a_bits, b_bits;
  memcpy(&a_bits, &a, sizeof a_bits);
  memcpy(&b_bits, &b, sizeof b_bits);
  return (isnan(a) && isnan(b)) || a_bits == b_bits;
}

void
check_same(Check *self, const char *what, const float *expected, const float *actual, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    if (!is_same(expected[i], actual[i])) {
      check_fail(self, "%s[%zu] is %a (%.9g), expected the same bits as %a (%.9g)", what, i,
                 (double)actual[i], (double)actual[i], (double)expected[i], (double)expected[i]);
    }
  }
}

void
check_same_bytes(Check *self, const char *what, const void *expected, const void *actual, size_t bytes)
{
  const uint8_t *a = expected;
  const uint8_t *b = actual;
  for (size_t i = 0; i < bytes; i++) {
    if (a[i] != b[i]) {
      check_fail(self, "byte %zu of %s is 0x%02x, expected 0x%02x", i, what, b[i], a[i]);
    }
  }
}

void
check_close(Check *self,
            const char *what,
            const float *expected,
            const float *actual,
            size_t count,
            double absolute,
            double relative)
{
  for (size_t i = 0; i < count; i++) {
    double allowed = absolute + relative * fabs((double)expected[i]);
    bool is_near = isfinite(expected[i]) && fabs((double)actual[i] - (double)expected[i]) <= allowed;
    if (!is_near && !is_same(expected[i], actual[i])) {
      check_fail(self, "%s[%zu] is %.9g, expected %.9g within %.2g", what, i, (double)actual[i],
                 (double)expected[i], allowed);
    }
  }
}

/* ---- running ---- */

/* Only kernels run while `running` is set, and they own nothing: leaving one in its middle loses nothing. */
static void
on_signal(int number, siginfo_t *info, void *context)
{
  Check *self = running;
  ptrdiff_t at;
  if (self == NULL) {
    _Exit(128 + number);
  }
  for (size_t i = 0; number == SIGSEGV && i < self->n_buffers; i++) {
    if (guarded_has(&self->buffers[i], info->si_addr, &at)) {
      check_fail(self, "byte %td of '%s' (%zu bytes%s) was touched", at, self->buffers[i].name,
                 self->buffers[i].size, self->buffers[i].is_sealed ? ", to be read only" : "");
    }
  }
  check_fail(self, "signal %d (%s) at address %p", number, strsignal(number), info->si_addr);
}

static void
catch_signals(void)
{
  static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    sigaction(numbers[i], &action, NULL);
  }
}

static bool
run_side(Check *self, CheckFunction function)
{
  if (sigsetjmp(self->leave, 1) != 0) {
    running = NULL;
    free_buffers(self);
    return false;
  }
  running = self;
  function(self);
  finish_case(self);
  running = NULL;
  return true;
}

bool
check_run(CheckFunction function, const char *kernel, const GemKernels *kernels, uint64_t seed)
{
  static Check self;
  catch_signals();
  for (int side = 0; side < 2; side++) {
    self = (Check){
        .kernels = kernels,
        .kernel = kernel,
        .random = seed,
        .at_end = side == 0,
        .current = "no case",
        .float_control = read_float_control(),
        .tiles_in_use = tiles_are_in_use(),
    };
    if (!run_side(&self, function)) {
      return false;
    }
  }
  return true;
}
