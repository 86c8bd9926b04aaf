/* Texts that nothing was learned from, scored through the service more than once. */
#pragma once

#include "clients/gem-client/gem-client-remote.h"

#define GEM_BENCH_HELD_OUT_MOST  10000u /* documents of a text that are scored */
#define GEM_BENCH_HELD_OUT_TIMES 2u

/* Documents of one source. */
typedef struct {
  char *name;
  GPtrArray *all;                           /* of char *: the whole source */
  GPtrArray *documents;                     /* of char *, in `all`: those held out */
  double nats[GEM_BENCH_HELD_OUT_TIMES];    /* the sum of -log p of their tokens, each time */
  guint64 tokens[GEM_BENCH_HELD_OUT_TIMES]; /* of what was scored */
  guint skipped;                            /* documents that the service does not take */
} GemBenchHeldOutText;

typedef struct _GemBenchHeldOut GemBenchHeldOut;

GemBenchHeldOut *
gem_bench_held_out_new(void);
void
gem_bench_held_out_free(GemBenchHeldOut *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemBenchHeldOut, gem_bench_held_out_free)

/* Adds the documents of a file, of which at most `most` are scored. Borrowed; NULL with an error of the file,
 * or when it has no document. */
const GemBenchHeldOutText *
gem_bench_held_out_add(GemBenchHeldOut *self, const char *name, const char *path, guint most, GError **error);

/* Scores all of them, for the `time`th time from 0 on. */
gboolean
gem_bench_held_out_score(GemBenchHeldOut *self, GemRemote *remote, guint time, GError **error);

/* Of GemBenchHeldOutText, as they were added. Borrowed. */
GPtrArray *
gem_bench_held_out_get(const GemBenchHeldOut *self);
/* NAN when nothing was scored. */
double
gem_bench_held_out_perplexity(const GemBenchHeldOutText *text, guint time);
