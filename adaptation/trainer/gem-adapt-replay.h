/* Text that the model wrote of its own domains, by which what is learned is kept from the others: half
 * of it is replayed while learning, every second text of a domain is kept to judge by. That of a domain that
 * is replaced is left out. */
#pragma once

#include "adaptation/trainer/gem-adapt-model.h"
#include "training/adapt/gem-adapt-text.h"

typedef struct {
  guint32 *tokens;
  GArray *learned; /* GemAdaptText; domain and group of each are set */
  GArray *kept;    /* the same; at most GEM_ADAPT_HELD_OUT tokens each */
} GemAdaptReplay;

/* Reads a serialised GVariant a(ss). Errors: it is none, names a domain that the model has not, has a text
 * that is not UTF-8, or none of another domain than the one that is replaced. */
GemAdaptReplay *
gem_adapt_replay_new(int fd, const GemAdaptModel *model, GError **error);
void
gem_adapt_replay_free(GemAdaptReplay *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAdaptReplay, gem_adapt_replay_free)

/* "legal", or "general" for none. Borrowed. */
const char *
gem_adapt_replay_domain_name(const GemAdaptModel *model, gint8 domain);
