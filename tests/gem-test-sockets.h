/* Whether this process, or a library in it, tries to speak to anybody. */
#pragma once

#include <glib.h>

/* From now on no thread of this process can make a socket, or a ring that could make one for it: what tries
 * is refused (EPERM) and counted. It cannot be taken back. FALSE: the kernel does not do that here. */
gboolean
gem_test_sockets_forbid(void);
/* Attempts since. */
guint
gem_test_sockets_count(void);
