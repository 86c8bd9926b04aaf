/*
 * A caller's text is taken in: copied into a file of the service while its bytes are counted and looked at. A
 * descriptor of a caller is not trusted: it may be of anything, grow while it is read, never end, or lie on a
 * server that does not answer. So a thread of its own looks at it and reads it, nothing is mapped, and a pipe
 * that is silent is given up, as is what takes longer than ten minutes.
 */
#pragma once

#include <gio/gio.h>

/* What can be said of `fd` without a wait: whether it is open for reading, and a sealed memfd of a size that
 * is taken. INVALID_OPTION, LIMIT_EXCEEDED with both counts. */
gboolean
gem_learned_text_check(int fd, guint64 most_bytes, GError **error);

/* Copies all of `from` (a file from its beginning) to `to`, syncs it; takes both descriptors. Errors: those
 * above, INVALID_OPTION for what is no memfd, file or pipe; INVALID_TEXT for less than 4 KiB, no UTF-8, a NUL
 * or another control character than tabs, line ends and form feeds; CANCELLED; FAILED, the disk is full among
 * them. `callback` comes when the thread is at its end, however late, after a cancel, too. */
void
gem_learned_text_copy_async(int from,
                            int to,
                            guint64 most_bytes,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer data);
gboolean
gem_learned_text_copy_finish(GAsyncResult *result, guint64 *ret_bytes, GError **error);
