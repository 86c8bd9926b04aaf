/* Whole files: mapped, read, and replaced so that a reader sees the old one or the new one, never a part. */
#pragma once

#include <gio/gio.h>
#include <time.h>

/* Maps a regular file. MISSING when there is none, IO otherwise; the message names the path. A file cut short
 * while it is mapped kills the reader: for files that others may write, gem_file_read. */
GBytes *
gem_file_map(const char *path, GError **error);

/* Which file it is, in which state: bytes that are changed later give another identity. */
typedef struct {
  guint64 device, inode, size;
  struct timespec modified, changed; /* contents; contents, names or rights */
} GemFileIdentity;

gboolean
gem_file_identity_equal(const GemFileIdentity *a, const GemFileIdentity *b);

/* Which file stands at `path` now; all zeros, which no file has, when there is none. */
void
gem_file_identify(const char *path, GemFileIdentity *ret_identity);

/* Reads a regular file of at most `max` bytes into memory. Errors as above; MALFORMED when it is longer.
 * `ret_identity` (may be NULL) is that of the bytes; all zeros, which no file has, when it is not certain
 * that a later change would show: the file was changed while it was read, or not two seconds before, which is
 * the coarsest clock of a file system. */
GBytes *
gem_file_read(const char *path, gsize max, GemFileIdentity *ret_identity, GError **error);

/* Length and SHA-256 (lower-case hexadecimal; transfer full) of a regular file, read in chunks. Errors as
 * above. */
gboolean
gem_file_hash(const char *path, guint64 *ret_size, char **ret_sha256, GError **error);

/* Makes `bytes` the whole contents of an open regular file, and syncs it. `name` stands in error messages.
 * IO; what is in the file then is nothing to rely on. */
gboolean
gem_file_overwrite(int fd, const char *name, GBytes *bytes, GError **error);

/* Writes the parts (GBytes) one after the other beside `path`, syncs, renames over it. On failure the old
 * file stands and nothing is left beside it; IO, naming the path, also where a device, pipe or socket is. */
gboolean
gem_file_replace(const char *path, GPtrArray *parts, GError **error);

/* `path` and the folders above it that are not there, the lowest first; transfer full, of strings. */
GPtrArray *
gem_file_list_missing(const char *path);

/* Makes the names in a folder themselves last over a power cut. A file system that cannot sync folders is no
 * error. */
void
gem_file_sync_folder(const char *folder);
