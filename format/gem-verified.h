/*
 * Which files were found right, kept from one start to the next: hashing a model takes longer than loading
 * it.
 *
 * What counts is a file's identity (gem-file.h) with the hash that it had then; a file that was changed,
 * replaced or listed with another hash is hashed again. The record lies in a folder of the service alone
 * (/var/cache/gemd of systemd's CacheDirectory=): who can write there can make it run a file that does not
 * fit its manifest, so that a folder or a record of another user, or one that others may write to, is as good
 * as none.
 */
#pragma once

#include "format/gem-file.h"

typedef struct _GemVerified GemVerified; /* usable from any thread */

/* Reads DIR/verified. Never fails: where there is no record that can be trusted it is empty. */
GemVerified *
gem_verified_open(const char *dir);
void
gem_verified_free(GemVerified *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemVerified, gem_verified_free)

/* Whether the file of that identity was found to have that SHA-256 (lower-case hexadecimal). */
gboolean
gem_verified_has(GemVerified *self, const GemFileIdentity *identity, const char *sha256);
/* It was found to. An identity of zeros, which no file has, is not kept. */
void
gem_verified_add(GemVerified *self, const GemFileIdentity *identity, const char *sha256);

/* Writes what was asked for or added since it was opened, when something was added. IO; what was in the
 * folder stays then. A folder that cannot be trusted is left alone. */
gboolean
gem_verified_save(GemVerified *self, GError **error);
