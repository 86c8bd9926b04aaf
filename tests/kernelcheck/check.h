/*
 * What the check of a kernel works with: random numbers, memory whose ends cannot be overrun unseen, and
 * comparisons. A check is a run of cases; the first one that fails ends it.
 *
 * Each check runs twice: once with all buffers ending at a page that may not be touched, once with all of
 * them beginning at one. Plain C and libc, so that it can be built for a machine where nothing else is.
 */
#pragma once

#include "kernels/gem-kernels.h"

typedef struct Check Check;

/* ---- the two sides ---- */

const GemKernels *
check_kernels(const Check *self);
const GemKernels *
check_reference(const Check *self);

/* ---- cases ---- */

/* Verifies and frees the buffers of the case before, and names the next: what a failure is reported with. */
__attribute__((format(printf, 2, 3))) void
check_case(Check *self, const char *format, ...);

/* Reports a failure of the current case and leaves the check. */
__attribute__((noreturn, format(printf, 2, 3))) void
check_fail(Check *self, const char *format, ...);

/* ---- random numbers, the same for every set and both sides ---- */

uint64_t
check_random(Check *self);
/* 0 .. count - 1 */
size_t
check_random_below(Check *self, size_t count);
/* Even within -magnitude .. magnitude. */
float
check_random_float(Check *self, float magnitude);

/* ---- memory ---- */

/* Every byte that nobody wrote: a float and a half of such bytes is not a number. */
enum { CHECK_FILL = 0xff };

/* `bytes` of CHECK_FILL, aligned to `alignment` and no better at its end. What lies between them (rounded up
 * to the alignment) and the pages that may not be touched is verified with the case. Its own until then. */
void *
check_buffer(Check *self, const char *name, size_t bytes, size_t alignment);
float *
check_floats(Check *self, const char *name, size_t count);

/* From here on the case may only read that buffer. */
void
check_seal(Check *self, const void *buffer);

/* ---- comparisons ---- */

/* Equal bits; anything that is not a number equals anything else that is not. */
void
check_same(Check *self, const char *what, const float *expected, const float *actual, size_t count);
void
check_same_bytes(Check *self, const char *what, const void *expected, const void *actual, size_t bytes);

/* |actual - expected| <= absolute + relative |expected|; infinities and what is not a number as above. */
void
check_close(Check *self,
            const char *what,
            const float *expected,
            const float *actual,
            size_t count,
            double absolute,
            double relative);

/* ---- for the program ---- */

typedef void (*CheckFunction)(Check *self);

/* Checks one kernel, whose name is for messages; prints what failed as TAP diagnostics. */
bool
check_run(CheckFunction function, const char *kernel, const GemKernels *kernels, uint64_t seed);
