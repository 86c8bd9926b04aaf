#include <locale.h>

#include "clients/gem-client/gem-client-output.h"
#include "clients/gem-client/gem-client-verb.h"

int
main(int argc, char **argv)
{
  (void)argc;
  gem_output_watch_exit();
  setlocale(LC_ALL, "");
  /* Numbers are written for scripts too. */
  setlocale(LC_NUMERIC, "C");
  return (int)gem_verb_main(argv);
}
