#include "tests/kernelcheck/require.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "tests/kernelcheck/kernels.h"

enum { MOST_SETS = 8, MOST_CPUINFO = 16384 /* the first processor's, and more */ };

/* How Linux calls what gem-kernels.c asks the processor for. */
#define FLAGS_AVX2   "avx2 fma f16c"
#define FLAGS_AVX512 FLAGS_AVX2 " avx512f avx512bw avx512dq avx512vl avx512_vnni"
static const struct {
  const char *set, *flags;
} needs[] = {
    {"reference", ""},
    {"avx2", FLAGS_AVX2},
    {"avx2-amd", FLAGS_AVX2},
    {"avx2-vnni", FLAGS_AVX2 " avx_vnni"},
    {"avx512", FLAGS_AVX512},
    {"avx512-amd", FLAGS_AVX512},
    {"avx512-amx", FLAGS_AVX512 " amx_tile amx_int8"},
    {"neon", "asimd"},
    {"neon-dot", "asimd asimddp"},
    {"neon-i8mm", "asimd asimddp i8mm"},
};

#ifdef __aarch64__
static const char cpuinfo_key[] = "Features";
#else
static const char cpuinfo_key[] = "flags";
#endif

/* Whether `word` is one of those in `text`, which end at any of `ends`. */
static bool
has_word(const char *text, const char *ends, const char *word, size_t length)
{
  for (const char *at = text + strspn(text, ends); *at != '\0'; at += strspn(at, ends)) {
    size_t here = strcspn(at, ends);
    if (here == length && memcmp(at, word, length) == 0) {
      return true;
    }
    at += here;
  }
  return false;
}

static bool
is_offered(const char *name, size_t length, const char *const *offered, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    if (strlen(offered[i]) == length && memcmp(offered[i], name, length) == 0) {
      return true;
    }
  }
  return false;
}

Require
require_exactly(const char *names, const char *const *offered, size_t n)
{
  Require result = REQUIRE_MET;
  for (const char *at = names; *at != '\0'; at += strspn(at, ",")) {
    size_t length = strcspn(at, ",");
    if (!is_offered(at, length, offered, n)) {
      printf("# set %.*s is not there\n", (int)length, at);
      result = REQUIRE_MISSED;
    }
    at += length;
  }
  for (size_t i = 0; i < n; i++) {
    if (!has_word(names, ",", offered[i], strlen(offered[i]))) {
      printf("# set %s is there, and should not be\n", offered[i]);
      result = REQUIRE_MISSED;
    }
  }
  return result;
}

/* What follows the colon of the first line that begins with `key`, up to its end; NULL: there is none. */
static const char *
find_flags(const char *cpuinfo, const char *key, size_t *ret_length)
{
  for (const char *line = cpuinfo; *line != '\0'; line += strspn(line, "\n")) {
    size_t length = strcspn(line, "\n");
    size_t name = strcspn(line, " \t:\n");
    if (name == strlen(key) && memcmp(line, key, name) == 0) {
      *ret_length = length - strcspn(line, ":\n");
      return line + strcspn(line, ":\n");
    }
    line += length;
  }
  return NULL;
}

static bool
has_row(const char *set)
{
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
    if (strcmp(needs[i].set, set) == 0) {
      return true;
    }
  }
  return false;
}

static bool
has_all(const char *flags, const char *wanted)
{
  for (const char *at = wanted; *at != '\0'; at += strspn(at, " ")) {
    size_t length = strcspn(at, " ");
    if (!has_word(flags, ": \t", at, length)) {
      return false;
    }
    at += length;
  }
  return true;
}

Require
require_by_flags(const char *cpuinfo, const char *key, const char *const *offered, size_t n)
{
  size_t length;
  const char *found = find_flags(cpuinfo, key, &length);
  if (found == NULL) {
    return REQUIRE_UNKNOWN;
  }
  char flags[MOST_CPUINFO];
  Require result = REQUIRE_MET;
  snprintf(flags, sizeof flags, "%.*s", (int)length, found);
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) {
    if (has_all(flags, needs[i].flags) && !is_offered(needs[i].set, strlen(needs[i].set), offered, n)) {
      printf("# the processor could run set %s, which is not there\n", needs[i].set);
      result = REQUIRE_MISSED;
    }
  }
  for (size_t i = 0; i < n; i++) {
    if (!has_row(offered[i])) {
      printf("# set %s is there, and nothing says what it needs\n", offered[i]);
      result = REQUIRE_MISSED;
    }
  }
  return result;
}

static Require
require_machine(const char *const *offered, size_t n)
{
  char text[MOST_CPUINFO] = "";
  FILE *file = fopen("/proc/cpuinfo", "re");
  if (file == NULL) {
    return REQUIRE_UNKNOWN;
  }
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  return require_by_flags(text, cpuinfo_key, offered, n);
}

static bool
has_own_kernel(size_t set)
{
  for (size_t i = 0; i < kernelcheck_count; i++) {
    if (kernelcheck_is_own(&kernelcheck_kernels[i], set)) {
      return true;
    }
  }
  return false;
}

/* A set that has nothing of its own would not be checked, and counts as missing. */
Require
require_sets(const char *names)
{
  const char *offered[MOST_SETS];
  size_t n = 0;
  assert(gem_kernels_count() <= MOST_SETS);
  for (size_t set = 0; set < gem_kernels_count(); set++) {
    if (has_own_kernel(set)) {
      offered[n++] = gem_kernels_nth(set)->name;
    }
  }
  return strcmp(names, "machine") == 0 ? require_machine(offered, n) : require_exactly(names, offered, n);
}
