/*
 * Continuations of several texts as trees: what begins alike after the same text is there once. So the label
 * "card arrival" beside "card linking" costs one token less, and the end of each, which nothing follows, is
 * never run.
 */
#pragma once

#include <glib.h>

#define GEM_CONTINUATION_NONE G_MAXUINT32

/* One token. */
typedef struct {
  guint32 token;
  guint32 text;   /* which text it stands after */
  guint32 depth;  /* tokens between that text and it */
  guint32 before; /* node; GEM_CONTINUATION_NONE: the text's last token */
  guint32 child;  /* the first of the nodes after it, or GEM_CONTINUATION_NONE */
  guint32 next;   /* the next node after the same one */
  guint32 row;    /* of those that something follows, in order; GEM_CONTINUATION_NONE: nothing does */
} GemContinuationNode;

typedef struct {
  GArray *nodes; /* of GemContinuationNode: text by text, each after the one before it */
  GArray *first; /* guint32, [texts]: the first node right after a text */
  GArray *ends;  /* guint32, [continuations]: the last node of each */
} GemContinuations;

GemContinuations *
gem_continuations_new(void);
void
gem_continuations_free(GemContinuations *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemContinuations, gem_continuations_free)

/* The next text; what is added from now on stands after it. */
void
gem_continuations_add_text(GemContinuations *self);
/* One continuation of at least one token. */
void
gem_continuations_add(GemContinuations *self, const guint32 *tokens, gsize n);

/* Numbers the nodes that something follows; returns how many those are. */
gsize
gem_continuations_number_rows(GemContinuations *self);

static inline GemContinuationNode *
gem_continuations_node(const GemContinuations *self, guint32 node)
{
  return &g_array_index(self->nodes, GemContinuationNode, node);
}
