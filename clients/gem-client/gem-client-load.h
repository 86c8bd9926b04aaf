/* What Manager.Stats says of the service's load, for people. The service tells it to administrators alone. */
#pragma once

#include "clients/gem-client/gem-client-remote.h"

/* Stats: a{sv}, transfer full. Nobody is asked for a password unless `interactive`. */
GVariant *
gem_load_get(GemRemote *remote, gboolean interactive, GError **error);

/* A number of Stats; 0 when it is not there. */
guint64
gem_load_number(GVariant *stats, const char *key);
double
gem_load_double(GVariant *stats, const char *key);

/* "512.3 tokens/s; 3 texts run, 2 wait". Transfer full. */
char *
gem_load_describe(GVariant *stats);
/* "Ask 100, Classify 20", the most first, of an a{st}; "none". Transfer full. */
char *
gem_load_describe_table(GVariant *stats, const char *key);
