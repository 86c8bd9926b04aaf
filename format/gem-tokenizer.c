#include "format/gem-tokenizer-private.h"

#include <string.h>

GemTokenizer *
gem_tokenizer_ref(GemTokenizer *self)
{
  g_atomic_ref_count_inc(&self->ref_count);
  return self;
}

void
gem_tokenizer_unref(GemTokenizer *self)
{
  if (!g_atomic_ref_count_dec(&self->ref_count)) {
    return;
  }
  gem_pair_table_clear(&self->characters);
  gem_pair_table_clear(&self->merges);
  gem_pair_table_clear(&self->user_edges);
  g_array_unref(self->user_tokens);
  gem_piece_table_clear(&self->by_piece);
  g_array_unref(self->controls);
  g_array_unref(self->tokens);
  g_string_chunk_free(self->strings);
  g_free(self);
}

guint
gem_tokenizer_n_tokens(GemTokenizer *self)
{
  return self->tokens->len;
}

guint32
gem_tokenizer_bos(GemTokenizer *self)
{
  return self->bos;
}

guint32
gem_tokenizer_eos(GemTokenizer *self)
{
  return self->eos;
}

gboolean
gem_tokenizer_is_control(GemTokenizer *self, guint32 token)
{
  return token < self->tokens->len && gem_tokenizer_token(self, token)->type == GEM_PIECE_CONTROL;
}

guint32
gem_tokenizer_find_control(GemTokenizer *self, const char *piece)
{
  for (guint i = 0; i < self->controls->len; i++) {
    const guint32 id = g_array_index(self->controls, guint32, i);

    if (strcmp(gem_tokenizer_token(self, id)->piece, piece) == 0) {
      return id;
    }
  }
  return GEM_NONE;
}

const char *
gem_tokenizer_token_bytes(GemTokenizer *self, guint32 token, gsize *ret_length)
{
  g_return_val_if_fail(token < self->tokens->len, NULL);

  *ret_length = gem_tokenizer_token(self, token)->n_bytes;
  return gem_tokenizer_token(self, token)->bytes;
}

const char *
gem_tokenizer_token_piece(GemTokenizer *self, guint32 token)
{
  g_return_val_if_fail(token < self->tokens->len, NULL);

  return gem_tokenizer_token(self, token)->piece;
}
