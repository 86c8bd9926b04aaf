/*
 * A caller's text is taken in: copied into a file of the service while its bytes are counted and looked at. A
 * descriptor of a caller is not trusted: it may be of anything, grow while it is read, or never end. So a
 * thread of its own reads it, nothing is mapped, and a pipe that is silent is given up.
 */
#pragma once

#include <gio/gio.h>

/* Whether a text can be read from `fd` at all, and, where its size stands fast, is of a size that is taken: a
 * memfd, a file or a pipe that is open for reading. INVALID_OPTION, LIMIT_EXCEEDED with both counts. Does not
 * block. */
gboolean
gem_learned_text_check(int fd, guint64 most_bytes, GError **error);

/* Copies all of `from` (a file from its beginning) to `to`, syncs it; takes both descriptors. Errors: those
 * above, INVALID_TEXT for less than 4 KiB, no UTF-8, or a NUL; CANCELLED; FAILED, the disk is full among
 * them.
 */
void
gem_learned_text_copy_async(int from,
                            int to,
                            guint64 most_bytes,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer data);
gboolean
gem_learned_text_copy_finish(GAsyncResult *result, guint64 *ret_bytes, GError **error);
