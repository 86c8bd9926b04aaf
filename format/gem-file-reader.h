/*
 * A regular file that is held open and read in parts, so that no more of it is in memory than is used at a
 * time. Nothing is mapped: a file that is cut short meanwhile is an error, not a signal.
 */
#pragma once

#include "format/gem-file.h"

typedef struct _GemFileReader GemFileReader; /* reference-counted; usable from any thread */

/* MISSING when there is none, IO otherwise; the message names the path. */
GemFileReader *
gem_file_reader_open(const char *path, GError **error);
/* The same of a regular file that somebody else opened for reading, by a descriptor of its own: `fd` stays
 * the caller's. `name` stands in error messages. IO for a descriptor of anything else. */
GemFileReader *
gem_file_reader_new_from_fd(int fd, const char *name, GError **error);
GemFileReader *
gem_file_reader_ref(GemFileReader *self);
void
gem_file_reader_unref(GemFileReader *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemFileReader, gem_file_reader_unref)

/* Bytes of the file when it was opened. */
guint64
gem_file_reader_get_size(GemFileReader *self);
/* Its identity then. */
const GemFileIdentity *
gem_file_reader_get_identity(GemFileReader *self);
/* Whether a change of the bytes would show in that identity: not for one that was changed less than two
 * seconds before it was opened, which is the coarsest clock of a file system. */
gboolean
gem_file_reader_is_settled(GemFileReader *self);

/* Fills `buffer` with the `size` bytes at `offset`; IO, or MISMATCH when the file has become shorter. */
gboolean
gem_file_reader_read(GemFileReader *self, guint64 offset, void *buffer, gsize size, GError **error);
/* SHA-256 of the whole file (lower-case hexadecimal), read in chunks. Transfer full. */
char *
gem_file_reader_hash(GemFileReader *self, GError **error);
/* Asks the system to bring the whole file into its cache, unless it is there; does not wait for it. */
void
gem_file_reader_read_ahead(GemFileReader *self);

/* MISMATCH when the file is not what it was when it was opened: what was read of it since is worth nothing.
 */
gboolean
gem_file_reader_check_unchanged(GemFileReader *self, GError **error);
/* The same of size and contents alone, as the time of their last change says: a file that is renamed, or
 * removed while it is open, is what it was. For files that nobody else may write to, who could set that time.
 */
gboolean
gem_file_reader_check_contents(GemFileReader *self, GError **error);
