/* What the readers of files share. Not for others. */
#pragma once

#include "format/gem-file.h"

#include <sys/stat.h>

/* "cannot VERB PATH: strerror" as an error of GEM_FORMAT_ERROR, MISSING or IO; always FALSE. */
gboolean
gem_file_fail(GError **error, int number, const char *verb, const char *path);

/* The descriptor is one of a regular file; its status. The message has `path`. */
gboolean
gem_file_check_regular(int fd, const char *path, struct stat *ret_status, GError **error);

/* An open descriptor of a regular file and its status; -1 on error. Never waits, whatever stands at the path.
 */
int
gem_file_open_regular(const char *path, struct stat *ret_status, GError **error);

GemFileIdentity
gem_file_identity_of(const struct stat *status);
/* Whether a change that comes from now on gives another identity. */
gboolean
gem_file_identity_is_settled(const GemFileIdentity *identity);
