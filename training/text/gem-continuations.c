#include "training/text/gem-continuations.h"

GemContinuations *
gem_continuations_new(void)
{
  GemContinuations *self = g_new0(GemContinuations, 1);
  self->nodes = g_array_new(FALSE, FALSE, sizeof(GemContinuationNode));
  self->first = g_array_new(FALSE, FALSE, sizeof(guint32));
  self->ends = g_array_new(FALSE, FALSE, sizeof(guint32));
  return self;
}

void
gem_continuations_free(GemContinuations *self)
{
  g_array_unref(self->nodes);
  g_array_unref(self->first);
  g_array_unref(self->ends);
  g_free(self);
}

void
gem_continuations_add_text(GemContinuations *self)
{
  guint32 none = GEM_CONTINUATION_NONE;
  g_array_append_val(self->first, none);
}

/* The head of the list of nodes that stand after `before`. */
static guint32 *
list_after(GemContinuations *self, guint32 before)
{
  return before != GEM_CONTINUATION_NONE ? &gem_continuations_node(self, before)->child
                                         : &g_array_index(self->first, guint32, self->first->len - 1);
}

/* The node of `token` after `before`, made where there is none. */
static guint32
step_to(GemContinuations *self, guint32 before, guint32 token)
{
  guint32 node = *list_after(self, before);
  while (node != GEM_CONTINUATION_NONE && gem_continuations_node(self, node)->token != token) {
    node = gem_continuations_node(self, node)->next;
  }
  if (node != GEM_CONTINUATION_NONE) {
    return node;
  }
  const GemContinuationNode made = {
      .token = token,
      .text = self->first->len - 1,
      .depth = before != GEM_CONTINUATION_NONE ? gem_continuations_node(self, before)->depth + 1 : 0,
      .before = before,
      .child = GEM_CONTINUATION_NONE,
      .next = *list_after(self, before),
      .row = GEM_CONTINUATION_NONE};
  g_array_append_val(self->nodes, made);
  *list_after(self, before) = self->nodes->len - 1;
  return self->nodes->len - 1;
}

void
gem_continuations_add(GemContinuations *self, const guint32 *tokens, gsize n)
{
  guint32 node = GEM_CONTINUATION_NONE;
  g_assert(n > 0 && self->first->len > 0);
  for (gsize i = 0; i < n; i++) {
    node = step_to(self, node, tokens[i]);
  }
  g_array_append_val(self->ends, node);
}

gsize
gem_continuations_number_rows(GemContinuations *self)
{
  guint32 rows = 0;
  for (guint32 i = 0; i < self->nodes->len; i++) {
    GemContinuationNode *node = gem_continuations_node(self, i);
    node->row = node->child != GEM_CONTINUATION_NONE ? rows++ : GEM_CONTINUATION_NONE;
  }
  return rows;
}
