/*
 * What the inner loops are written with: sums that stay in registers, and vectors that the compiler knows
 * nothing of.
 *
 * A chain is a variable of its own, sum0, sum1, ...: arrays end up in memory. The macros take one that makes
 * the statement of chain `j`.
 */
#pragma once

#define GEM_LIMITS_EACH_8(statement)                                                                         \
  statement(0) statement(1) statement(2) statement(3) statement(4) statement(5) statement(6) statement(7)
#define GEM_LIMITS_EACH_12(statement)                                                                        \
  GEM_LIMITS_EACH_8(statement) statement(8) statement(9) statement(10) statement(11)
#define GEM_LIMITS_EACH_16(statement)                                                                        \
  GEM_LIMITS_EACH_12(statement) statement(12) statement(13) statement(14) statement(15)

/* Hides from the compiler what a vector holds. Every factor, and every sum as it begins, goes through it:
 * else products with 1 are left out, and chains that begin alike become one. */
#if defined(__x86_64__)
#define GEM_LIMITS_HIDE(vector) __asm__ volatile("" : "+v"(vector))
#elif defined(__aarch64__)
#define GEM_LIMITS_HIDE(vector) __asm__ volatile("" : "+w"(vector))
#else
#define GEM_LIMITS_HIDE(vector) __asm__ volatile("" : "+m"(vector))
#endif
/* The same of all memory. */
#define GEM_LIMITS_HIDE_MEMORY() __asm__ volatile("" ::: "memory")
