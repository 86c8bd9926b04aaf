/*
 * Callers' descriptors. They may come with any message, wanted or not, and stay open as long as the message
 * does; and closing one can take as long as its owner likes, who may have made the file system that it is of.
 * So those that no method takes are closed before the message goes on, and all of them on threads of their
 * own.
 *
 * What is not closed stays open: 64 that hang take up the threads, and then each further one a place of
 * LimitNOFILE. Beyond that the kernel drops what comes, without asking anybody; but the service has no place
 * for an answer's pipe either. It says so in the log before.
 */
#pragma once

#include <gio/gio.h>

/* From now on only calls of a method of the contract that takes a descriptor arrive with one, and with no
 * more; and only with the arguments that it takes, so that each of them reaches the method. Returns the id of
 * the connection's filter. */
guint
gem_descriptors_guard(GDBusConnection *connection);

/* The one descriptor of the message, which it gives up; -1: it has none. */
int
gem_descriptors_take(GDBusMessage *message);

/* Takes `fd`: closed some time, not by the caller's thread. -1 is nothing. */
void
gem_descriptors_close(int fd);
