/* Learned files for a tiny model (gem-test-model.h). */
#pragma once

#include <glib.h>

/* Writes DIR/learned-NAME.gguf, which fits the model in the folder `dir`: the residual of its first domain,
 * and a row of the router that prefers it by `bias`. Its path; transfer full. */
char *
gem_test_learned_file_write(const char *dir, const char *name, float bias);
