/* Prompts to measure with. */
#pragma once

#include "clients/gem-client/gem-client-remote.h"

/* Plain English of at most `tokens` tokens, one word at least, as long as it can be. Transfer full; NULL with
 * an error of the service, which is asked for the count. */
char *
gem_bench_make_prompt(GemRemote *remote, guint tokens, GError **error);
