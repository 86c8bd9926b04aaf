/*
 * kernelcheck: every kernel of every instruction set of this machine against the reference, in the manner of
 * checkasm. Speaks TAP; with --bench it measures instead. The reference is checked as well: for overruns, and
 * for rows that depend on their neighbours.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernelcheck/kernels.h"
#include "tests/kernelcheck/require.h"

typedef struct {
  const char *set;     /* NULL: all */
  const char *kernel;  /* NULL: all */
  const char *require; /* NULL: whatever is there */
  uint64_t seed;
  bool bench;
  BenchLimits limits;
} Options;

static const char help[] =
    "usage: kernelcheck [OPTION...]\n"
    "Checks the kernels of all instruction sets that this machine has against the reference.\n"
    "  --set NAME        only of that set (reference, avx2, ...)\n"
    "  --kernel NAME     only that kernel (linear, softmax, ...)\n"
    "  --require NAME,.. fail unless this machine has these sets and no others; 'machine': unless it has\n"
    "                    those that /proc/cpuinfo tells of\n"
    "  --seed N          other random numbers\n"
    "  --bench           measure instead: time, arithmetic, bytes, share of the machine's limit\n"
    "  --gops N          the limit of int8 arithmetic, billions a second, in place of a probe of the set\n"
    "  --gflops N        the limit of float arithmetic\n"
    "  --bandwidth N     the limit of memory, GB/s, in place of a probe of as many bytes\n";

static bool
set_is_wanted(const Options *options, size_t set)
{
  return options->set == NULL || strcmp(options->set, gem_kernels_nth(set)->name) == 0;
}

static bool
kernel_is_wanted(const Options *options, const Kernel *kernel)
{
  return options->kernel == NULL || strcmp(options->kernel, kernel->name) == 0;
}

static bool
kernel_exists(const char *name)
{
  for (size_t i = 0; i < kernelcheck_count; i++) {
    if (strcmp(kernelcheck_kernels[i].name, name) == 0) {
      return true;
    }
  }
  return false;
}

static double
parse_limit(const char *name, const char *text)
{
  char *end;
  double value = strtod(text, &end);
  if (*end != '\0' || !(value > 0)) {
    fprintf(stderr, "kernelcheck: --%s %s: a number above 0 is wanted\n", name, text);
    exit(2);
  }
  return value;
}

static uint64_t
parse_seed(const char *text)
{
  char *end;
  uint64_t value = strtoull(text, &end, 0);
  if (*end != '\0' || end == text) {
    fprintf(stderr, "kernelcheck: --seed %s: a whole number is wanted\n", text);
    exit(2);
  }
  return value;
}

static Options
parse_options(int argc, char **argv)
{
  static const struct option names[] = {
      {"set", required_argument, NULL, 's'},     {"kernel", required_argument, NULL, 'k'},
      {"require", required_argument, NULL, 'q'}, {"seed", required_argument, NULL, 'r'},
      {"bench", no_argument, NULL, 'b'},         {"gops", required_argument, NULL, 'g'},
      {"gflops", required_argument, NULL, 'f'},  {"bandwidth", required_argument, NULL, 'w'},
      {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
  };
  Options options = {.seed = 1};
  int letter, index;
  while ((letter = getopt_long(argc, argv, "", names, &index)) != -1) {
    switch (letter) {
    case 's':
      options.set = optarg;
      break;
    case 'k':
      options.kernel = optarg;
      break;
    case 'q':
      options.require = optarg;
      break;
    case 'r':
      options.seed = parse_seed(optarg);
      break;
    case 'b':
      options.bench = true;
      break;
    case 'g':
      options.limits.int8_gops = parse_limit("gops", optarg);
      break;
    case 'f':
      options.limits.float_gops = parse_limit("gflops", optarg);
      break;
    case 'w':
      options.limits.bandwidth = parse_limit("bandwidth", optarg);
      break;
    case 'h':
      fputs(help, stdout);
      exit(EXIT_SUCCESS);
    default:
      exit(2);
    }
  }
  if (optind < argc) {
    fprintf(stderr, "kernelcheck: '%s' is not an option\n", argv[optind]);
    exit(2);
  }
  return options;
}

/* Names of what is not there would otherwise check nothing and pass. */
static void
refuse_unknown(const Options *options)
{
  if (options->set != NULL && gem_kernels_by_name(options->set) == NULL) {
    fprintf(stderr, "kernelcheck: this machine has no set '%s'; it has", options->set);
    for (size_t i = 0; i < gem_kernels_count(); i++) {
      fprintf(stderr, " %s", gem_kernels_nth(i)->name);
    }
    fprintf(stderr, "\n");
    exit(2);
  }
  if (options->kernel != NULL && !kernel_exists(options->kernel)) {
    fprintf(stderr, "kernelcheck: there is no kernel '%s'\n", options->kernel);
    exit(2);
  }
}

/* Calls `visit` for each kernel of each set that is wanted and has it; returns how often it was false. */
static size_t
for_each(const Options *options,
         bool (*visit)(const Options *options, const Kernel *kernel, const GemKernels *kernels))
{
  size_t failed = 0;
  for (size_t i = 0; i < kernelcheck_count; i++) {
    const Kernel *kernel = &kernelcheck_kernels[i];
    for (size_t set = 0; set < gem_kernels_count(); set++) {
      if (kernel_is_wanted(options, kernel) && set_is_wanted(options, set) &&
          kernelcheck_is_own(kernel, set) && !visit(options, kernel, gem_kernels_nth(set))) {
        failed++;
      }
    }
  }
  return failed;
}

static bool
bench_kernel(const Options *options, const Kernel *kernel, const GemKernels *kernels)
{
  bench_run(kernel->bench, kernel->name, kernels, &options->limits);
  return true;
}

static size_t checked;

static bool
check_kernel(const Options *options, const Kernel *kernel, const GemKernels *kernels)
{
  bool passed = check_run(kernel->check, kernel->name, kernels, options->seed);
  printf("%s %zu - %s %s\n", passed ? "ok" : "not ok", ++checked, kernels->name, kernel->name);
  fflush(stdout);
  return passed;
}

static void
print_requirement(Require result)
{
  printf("%s %zu - the sets that are required%s\n", result == REQUIRE_MISSED ? "not ok" : "ok", ++checked,
         result == REQUIRE_UNKNOWN ? " # SKIP nothing tells which" : "");
}

int
main(int argc, char **argv)
{
  Options options = parse_options(argc, argv);
  Require required = options.require != NULL ? require_sets(options.require) : REQUIRE_MET;
  refuse_unknown(&options);
  if (options.bench && required == REQUIRE_MISSED) {
    return EXIT_FAILURE;
  }
  if (options.bench) {
    bench_print_head(&options.limits, options.set);
    for_each(&options, bench_kernel);
    return EXIT_SUCCESS;
  }
  printf("# seed %" PRIu64 "\n", options.seed);
  if (options.require != NULL) {
    print_requirement(required);
  }
  size_t failed = for_each(&options, check_kernel) + (required == REQUIRE_MISSED);
  printf("1..%zu\n", checked);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
