/*
 * An engine without a model, for the tests of the bus: its answers follow from the prompt, its errors and its
 * slowness are asked for in it. A token is a byte. It runs on the main loop alone, and stands behind
 * daemon/engine/gem-engine.h in the place of the real one; this header is what its parts share.
 *
 * Models, by the last element of their path: ok; slow loads for half a second; other has other domains; mute
 * fails at its first turn; any other name fails. Each loads for as long as there is a file "hold" in its
 * folder. Prompts of a generation: "flood" writes 4 KiB a token; "fail" fails after one token; "silent"
 * writes nothing until it is cancelled; "stubborn" neither, and takes 300 ms to notice; "slow" takes 20 ms a
 * token; "starve" waits for memory, as it does in other calls, until its deadline; anything else is echoed,
 * token by token, again and again. A long one "hold PATH TEXT" is cut into tokens for as long as there is a
 * file of that path.
 */
#pragma once

#include "daemon/engine/gem-engine.h"

#define GEM_FAKE_CONTEXT     4096u
#define GEM_FAKE_CACHE_BYTES 1024u /* of keys and values, a token */

struct _GemEngine {
  GObject parent_instance;
  char *name;
  gboolean stopped;
  guint sequences, max_sequences;
  gboolean paged_in[5]; /* by pathway, as the next two */
  guint holds[5];       /* each shows as one byte more of the pathway */
  gboolean pinned[5];
  GPtrArray *running; /* of GemGeneration, borrowed */
  GemEngineCounters counters;
  guint64 memory_limit;
  GemPageIn page_in;
  gboolean learns;      /* domains: it has the hashes of a model */
  GPtrArray *additions; /* of GTask: domains on their way in, which wait for the test */
  gsize learned_bytes;  /* of the file of the last that came in, as long as it is there; 0: none is */
};

/* The route of the byte at `offset`: `legal` for an l, else general. */
GemRoutedToken *
gem_fake_route_new(const char *text, gsize offset);

/* What a text gets that waited for memory until its deadline. */
GError *
gem_fake_starved_new(void);

/* Ends one of `additions`; takes `error`, NULL: the domain is there. */
void
gem_fake_end_addition(GemEngine *self, guint which, GError *error);

/* Ends a generation, if it still runs, from the main loop. */
void
gem_fake_generation_shut_down(GemGeneration *generation);
