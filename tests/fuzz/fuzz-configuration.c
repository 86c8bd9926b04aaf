/* Any bytes as gemd.conf. */
#include "daemon/base/gem-config.h"
#include "tests/fuzz/gem-fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  g_autoptr(GemConfig) config = gem_config_new();
  GError *error = NULL;
  gboolean loaded = gem_config_load(config, gem_fuzz_make_file(data, size), &error);

  gem_fuzz_check_outcome(loaded, error);
  return 0;
}
