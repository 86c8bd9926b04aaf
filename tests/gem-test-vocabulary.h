/*
 * Vocabularies for tests: built up piece by piece, then turned into GGUF metadata or into a SentencePiece
 * .model.
 */
#pragma once

#include "format/gem-tokenizer.h"

/* As SentencePiece and GGUF number the types of pieces. */
enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

typedef struct {
  char *piece;
  float score;
  gint32 type;
} TestPiece;

typedef struct {
  GArray *pieces; /* TestPiece */
  gboolean add_dummy_prefix;
} TestVocabulary;

/* <unk>, <s>, </s>, <|user|>, <|model|> (ids 0 to 4) and the 256 bytes (5 to 260); no dummy prefix. */
TestVocabulary *
test_vocabulary_new(void);
void
test_vocabulary_free(TestVocabulary *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestVocabulary, test_vocabulary_free)

/* The id that the piece gets. */
guint32
test_vocabulary_add(TestVocabulary *self, const char *piece, float score, gint32 type);
gboolean
test_vocabulary_has(TestVocabulary *self, const char *piece);

/* A writer that holds the vocabulary's keys. */
GemGgufWriter *
test_vocabulary_write_gguf(TestVocabulary *self);
/* The tokenizer that is read from that writer's file. */
GemTokenizer *
test_vocabulary_to_tokenizer(TestVocabulary *self);
/* The protocol buffer. */
GByteArray *
test_vocabulary_to_sentencepiece(TestVocabulary *self);
