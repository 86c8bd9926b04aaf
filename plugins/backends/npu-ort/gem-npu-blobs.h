/*
 * What providers have compiled, kept in a folder of the daemon's cache: a file for each model, named by a
 * hash of the model and of everything that the result depends on. A file begins with a hash of its name and
 * of what follows; one that does not hold is removed when it is read. They become code: a folder or a file
 * that others could have written is not used. Their own hash does not help against that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugins/gem-plugin.h"

/* Bytes of all files together, at most; those that were not used for longest go first. */
#define GEM_NPU_BLOBS_MOST ((size_t)512 << 20)

#define GEM_NPU_BLOB_KEY 65 /* hexadecimal, and its end */

/* The folder, made where it is missing, without what was being written when a service ended; what others
 * write now stays. It and the one above it belong to root or to who runs this, and nobody else may write to
 * them. False: there cannot be one that is so; the error names what is in the way. */
bool
gem_npu_blobs_open(const char *dir, GemPluginError *error);

/* `identity`: of provider, driver, options and their versions. */
void
gem_npu_blob_key(const void *model, size_t size, const char *identity, char ret_key[GEM_NPU_BLOB_KEY]);

/* Where a model is to be written before gem_npu_blob_keep takes it; nothing is there, and nobody else is told
 * to write there. */
void
gem_npu_blob_draft(const char *dir, const char *key, char *ret_path, size_t size);
/* Takes what lies there, all at once or not at all; what goes wrong costs another compilation. Then removes
 * files until `most` bytes are left. */
void
gem_npu_blob_keep(const char *dir, const char *key, const char *draft, size_t most);

/* False: there is none that holds, or it could be of somebody else, which standard error tells. The bytes are
 * released by free(). */
bool
gem_npu_blob_load(const char *dir, const char *key, uint8_t **ret_bytes, size_t *ret_size);
void
gem_npu_blob_remove(const char *dir, const char *key);
