#include <locale.h>

#include "bench/gem-bench-command.h"
#include "process/gem-streams.h"

int
main(int argc, char **argv)
{
  (void)argc;
  gem_streams_begin();
  setlocale(LC_ALL, "");
  /* Nothing leaves the machine: see daemon/main.c. */
  g_setenv("ORT_DISABLE_TELEMETRY", "1", TRUE);
  /* Figures are written for scripts too. */
  setlocale(LC_NUMERIC, "C");
  return (int)gem_bench_main(argv);
}
