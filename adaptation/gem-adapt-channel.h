/*
 * The channel between the daemon and the trainer of a learned domain: a SOCK_SEQPACKET socket of the unix
 * family, a packet (gem-adapt-packet.h) each message, files by SCM_RIGHTS with the packet that names them.
 *
 * Nothing here waits, but for gem_adapt_channel_wait: the daemon watches the descriptor in its main loop.
 */
#pragma once

#include "adaptation/gem-adapt-packet.h"

typedef struct _GemAdaptChannel GemAdaptChannel;

/* One end. Takes over `fd`, and closes it on failure, too: INVALID_ARGUMENT when it is not such a socket.
 * `receives`: which way the packets go that come in here; those of the other way go out. */
GemAdaptChannel *
gem_adapt_channel_new(int fd, GemAdaptWay receives, GError **error);
/* The two ends of a new channel, as descriptors that a process started later does not inherit. */
gboolean
gem_adapt_channel_make_pair(int *ret_daemon, int *ret_trainer, GError **error);
/* Closes it: the other side sees that. */
void
gem_adapt_channel_free(GemAdaptChannel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemAdaptChannel, gem_adapt_channel_free)

/* To be watched for G_IO_IN. */
int
gem_adapt_channel_get_fd(const GemAdaptChannel *self);

/* Sends a packet; its files stay the caller's. WOULD_BLOCK while the other side does not read,
 * CONNECTION_CLOSED when it is gone, INVALID_ARGUMENT for more files than a packet can bring. */
gboolean
gem_adapt_channel_send(GemAdaptChannel *self, const GemAdaptPacket *packet, GError **error);

/* The next packet that has come, with its files (transfer full). WOULD_BLOCK: there is none yet;
 * CONNECTION_CLOSED: there will be none; INVALID_DATA: it broke the rules, and the channel should be closed.
 * Files of a packet that is refused are closed. */
GemAdaptPacket *
gem_adapt_channel_receive(GemAdaptChannel *self, GError **error);

/* Waits until there is something to receive (G_IO_IN) or room to send (G_IO_OUT), at most that long; FALSE:
 * not yet. */
gboolean
gem_adapt_channel_wait(const GemAdaptChannel *self, GIOCondition condition, int milliseconds);
