/*
 * Which sets must be there: a check of all sets that this machine has passes, too, where one that it should
 * have is missing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum {
  REQUIRE_MET,
  REQUIRE_MISSED,
  REQUIRE_UNKNOWN /* nothing tells what should be there */
} Require;

/* Whether the sets offered[n] are those of `names`, divided by commas, and no other. What differs is printed
 * as TAP diagnostics. */
Require
require_exactly(const char *names, const char *const *offered, size_t n);

/* Whether all sets are offered whose instructions the first line of `cpuinfo` that begins with `key` tells
 * of; more may be, but none of which nobody has written down here what it needs: where it should be and is
 * not, that would not be seen. */
Require
require_by_flags(const char *cpuinfo, const char *key, const char *const *offered, size_t n);

/* The sets of gem-kernels.h that have kernels of their own against `names`, or for "machine" against
 * /proc/cpuinfo. */
Require
require_sets(const char *names);
