#include <locale.h>

#include "clients/gem-client/gem-client-verb.h"
#include "process/gem-streams.h"

int
main(int argc, char **argv)
{
  (void)argc;
  gem_streams_begin();
  setlocale(LC_ALL, "");
  /* Numbers are written for scripts too. */
  setlocale(LC_NUMERIC, "C");
  return (int)gem_verb_main(argv);
}
