/*
 * A model is a folder: general.gguf, router.gguf, pathway-<domain>.gguf and `manifest`, a key file with the
 * size and SHA-256 of each:
 *
 *     [model]
 *     format=1
 *     name=gem-mini
 *     files=general.gguf;router.gguf;pathway-legal.gguf;
 *     [general.gguf]
 *     size=4811232
 *     sha256=9f86d081...
 *
 * Names of the model and of its files are plain: letters, digits, '.', '_' and '-', no dot first, at most 64.
 * A folder without a manifest is not a model; a lone Llama-architecture GGUF is opened by its path (see
 * gem-model-files.h).
 */
#pragma once

#include "format/gem-file-reader.h"
#include "format/gem-gguf.h"
#include "format/gem-verified.h"

typedef struct _GemManifest GemManifest; /* usable from any thread; what it says never changes */

/* Reads DIR/manifest. Checks its grammar, not the files: MISSING, IO, MALFORMED or, for another format,
 * UNSUPPORTED. */
GemManifest *
gem_manifest_load(const char *dir, GError **error);
void
gem_manifest_free(GemManifest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemManifest, gem_manifest_free)

/* What was found right before needs no hashing; what is from now on is added. `record` outlives the manifest;
 * NULL: none. */
void
gem_manifest_set_record(GemManifest *self, GemVerified *record);

const char *
gem_manifest_get_name(GemManifest *self);
/* SHA-256 of the manifest itself, lower-case hexadecimal: with those of the files that stand in it, of the
 * whole model. */
const char *
gem_manifest_get_digest(GemManifest *self);
const char *const *
gem_manifest_get_files(GemManifest *self); /* NULL-terminated */
gboolean
gem_manifest_has_file(GemManifest *self, const char *file);
/* SHA-256 as the manifest states it, lower-case hexadecimal; NULL for a file that it does not list. Borrowed.
 */
const char *
gem_manifest_get_sha256(GemManifest *self, const char *file);
/* DIR/file. Transfer full. */
char *
gem_manifest_get_path(GemManifest *self, const char *file);

/* Size and SHA-256 of DIR/file against the manifest: MISSING, or MISMATCH saying what differs. Reads the
 * whole file. */
gboolean
gem_manifest_verify(GemManifest *self, const char *file, GError **error);
/* The file's bytes in memory, verified as they are: what changes on disk later cannot hurt. Errors as above.
 * A file that was read and found right before, or that the record knows, is hashed again only when its
 * identity is another (see gem-file.h). */
GBytes *
gem_manifest_read(GemManifest *self, const char *file, GError **error);
/* The file held open, to be read in parts; hashed like that, too, and as seldom. A file that was changed so
 * lately that a further change might not show is read whole instead. Sets one of the two; both are transfer
 * full. Errors as above. */
gboolean
gem_manifest_open(
    GemManifest *self, const char *file, GemFileReader **ret_reader, GBytes **ret_bytes, GError **error);
/* Times that these two have hashed a file. */
guint
gem_manifest_get_hashed(GemManifest *self);

/* Whether a model may be called so. */
gboolean
gem_manifest_name_is_plain(const char *name);
/* The same; INVALID, naming it. */
gboolean
gem_manifest_check_name(const char *name, GError **error);

/* Hashes `files` in `dir` and writes DIR/manifest, whole or not at all. INVALID for a name that is not plain.
 */
gboolean
gem_manifest_write(const char *dir, const char *name, const char *const *files, GError **error);
