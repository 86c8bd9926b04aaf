#include "tests/kernelcheck/limits.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/gem-kernels.h"

/* kernelcheck's build lists the sets that it has probes of: PROBE(name) for each. */
#define PROBE(name) extern const Probe kernelcheck_probe_##name;
GEM_KERNELCHECK_PROBES
#undef PROBE

#define PROBE(name) &kernelcheck_probe_##name,
static const Probe *const probes[] = {GEM_KERNELCHECK_PROBES NULL};
#undef PROBE

/* Kept from being optimised away. */
static volatile uint64_t kept;

/* A probe serves its set and that set's tunings, which multiply with the same instructions. */
static bool
is_probe_of(const char *probe, const char *set)
{
  size_t length = strlen(probe);
  return strncmp(probe, set, length) == 0 && (set[length] == '\0' || strcmp(set + length, "-amd") == 0);
}

static const Probe *
find_probe(const char *set)
{
  for (size_t i = 0; probes[i] != NULL; i++) {
    if (is_probe_of(probes[i]->set, set)) {
      return probes[i];
    }
  }
  return NULL;
}

static double
now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The best of some rounds of a few milliseconds. */
static double
measure_arithmetic(double (*run)(size_t rounds, uint64_t *keep))
{
  double best = 0;
  for (int i = 0; i < 12; i++) {
    uint64_t keep = 0;
    double start = now();
    double operations = run(200000, &keep);
    double rate = operations / (now() - start) * 1e-9;
    kept = keep;
    best = rate > best ? rate : best;
  }
  return best;
}

double
limits_gops(const char *set, bool is_int8)
{
  enum { MOST_SETS = 16 };
  static double measured[MOST_SETS][2];
  size_t index = 0;
  const Probe *probe = find_probe(set);
  if (probe == NULL) {
    return 0;
  }
  while (probes[index] != probe) {
    index++;
  }
  double *rate = &measured[index % MOST_SETS][is_int8];
  if (*rate == 0) {
    *rate = measure_arithmetic(is_int8 ? probe->int8 : probe->floats);
  }
  return *rate;
}

/* The widest reads that this machine has. */
static double
measure_reads(size_t bytes)
{
  const Probe *probe = find_probe(gem_kernels_best()->name);
  void *memory = probe != NULL ? aligned_alloc(4096, bytes) : NULL;
  double best = 0;
  if (memory == NULL) {
    return 0;
  }
  memset(memory, 1, bytes);
  for (int i = 0; i < 12; i++) {
    uint64_t keep = 0;
    double start = now(), read = 0;
    while (read < 4e6) {
      read += probe->read(memory, bytes, &keep);
    }
    double rate = read / (now() - start) * 1e-9;
    kept = keep;
    best = rate > best ? rate : best;
  }
  free(memory);
  return best;
}

double
limits_bandwidth(double bytes)
{
  enum { LEAST_BITS = 12, MOST_BITS = 28 };
  static double measured[MOST_BITS + 1];
  int bits = LEAST_BITS; /* sizes are rounded up to a power of two, or to one and a quarter above 16 MiB */
  while (bits < MOST_BITS && (double)(UINT64_C(1) << bits) < 0.8 * bytes) {
    bits++;
  }
  if (measured[bits] == 0) {
    size_t rounded = (size_t)1 << bits;
    measured[bits] = measure_reads(bits >= 24 ? rounded + rounded / 4 : rounded);
  }
  return measured[bits];
}
