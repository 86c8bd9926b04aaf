/* What the tests of training share: numbers by chance, a byte tokenizer, a small model, a folder of text to
 * train on. */
#pragma once

#include "format/gem-tokenizer.h"
#include "tests/gem-test-folder.h"
#include "training/network/gem-backbone.h"

/* `n` values of the normal distribution; the same stream gives the same values. Transfer full. */
float *
gem_test_normal_new(gsize n, guint64 stream);

/* `size` bytes are the same in both; names the first that differs. */
void
gem_test_assert_same_bytes(gconstpointer a, gconstpointer b, gsize size, const char *what);

/* A tokenizer of 512 pieces: <unk>, <s>, </s>, <|user|>, <|model|>, the 256 bytes, and pieces that no text
 * has. */
GemTokenizer *
gem_test_byte_tokenizer_new(void);

/* A backbone after "gem-tiny" with --shape=`shape`, for sequences of up to `positions` tokens. */
GemBackbone *
gem_test_backbone_new(const char *shape, gsize positions);

/* A new temporary folder to train on: corpora legal, stem and general, a permissive task legal/clauses, and a
 * task finance/closed that is not permissive and whose training lines cannot be parsed. */
char *
gem_test_data_folder_new(void);
