/* What the ask template puts before and after a text, as tokens. */
#pragma once

#include "format/gem-tokenizer.h"
#include "training/arithmetic/gem-random.h"

typedef struct {
  GArray *head, *tail; /* guint32 */
} GemAskFrame;

/* Errors: those of gem_tokenizer_encode_template. */
gboolean
gem_ask_frame_init(GemAskFrame *self, GemTokenizer *tokenizer, const char *ask_template, GError **error);
void
gem_ask_frame_clear(GemAskFrame *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemAskFrame, gem_ask_frame_clear)

/* Appends `n` tokens in the template. */
void
gem_ask_frame_append(const GemAskFrame *self, const guint32 *tokens, guint n, GArray *to);

/* Leaves each token of the framed text out with probability `share`. `line` (guint32) is head, text, tail and
 * an answer, whose first token is line[answer]; head, tail and answer stay. Returns how many are gone. */
guint
gem_ask_frame_drop(const GemAskFrame *self, GArray *line, guint answer, double share, GemRandom *random);
