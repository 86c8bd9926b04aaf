#include <locale.h>

#include "bench/gem-bench-command.h"

int
main(int argc, char **argv)
{
  (void)argc;
  setlocale(LC_ALL, "");
  /* Figures are written for scripts too. */
  setlocale(LC_NUMERIC, "C");
  return (int)gem_bench_main(argv);
}
