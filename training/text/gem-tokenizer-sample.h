/*
 * The text that a tokenizer is trained on: lines of a data folder (see gem-corpus.h), balanced over its
 * domains, without what models are measured with: held-out documents, dev.jsonl, test.jsonl, and tasks whose
 * licence is not permissive.
 */
#pragma once

#include <gio/gio.h>

/* Told once for each domain: the bytes taken of those that there are. */
typedef void (*GemTokenizerSampleProgress)(const char *domain, gsize taken, gsize available);

/* Writes lines of `folder`, about `bytes` in all, to `path`. Each domain gets the same share (multilingual,
 * with its many scripts, one and a half), three fifths of it from the corpus and the rest evenly from the
 * tasks; what a source is too small to give goes to the others. The same `seed` takes the same lines. */
gboolean
gem_tokenizer_sample_write(const char *folder,
                           gsize bytes,
                           guint64 seed,
                           const char *path,
                           GemTokenizerSampleProgress progress,
                           GError **error);
