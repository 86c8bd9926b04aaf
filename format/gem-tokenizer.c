#include "format/gem-tokenizer-private.h"

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
  g_hash_table_unref(self->by_piece);
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
  gpointer value;

  if (!g_hash_table_lookup_extended(self->by_piece, piece, NULL, &value)) {
    return GEM_NONE;
  }
  return gem_tokenizer_is_control(self, GPOINTER_TO_UINT(value)) ? GPOINTER_TO_UINT(value) : GEM_NONE;
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
