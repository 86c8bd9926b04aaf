/*
 * What is known of one learned domain, and how that is written down: a key file, so that an administrator can
 * read it. It is replaced as a whole, and names the files of the versions: whatever it does not name is
 * nothing.
 */
#pragma once

#include <glib.h>

/* The one domain of a model that users may teach: it has no subject of its own. */
#define GEM_LEARNED_REPLACEABLE "adaptive"

/* One learned file that is kept. */
typedef struct {
  guint number;      /* of its file; 0: there is no such version */
  gint64 learned_at; /* seconds since 1970 */
  guint64 bytes;     /* of its file, where that was looked at; not written down */
  char *model;       /* that it was learned on: SHA-256 of its general part and its router, ':' between */
  GVariant *figures; /* a{sv}, as Job.Completed has them */
} GemLearnedVersion;

/* What was asked for, as long as the learning is not over. */
typedef struct {
  gint64 arrived; /* us since 1970: whoever came first is first after a restart, too */
  char *model;    /* that is to learn it, as in a version */
  char *mode;     /* "dapt" or "tapt" */
  guint seconds;
  guint64 seed;
  double worst_other_percent, least_gain_percent;
  guint starts; /* how often a process was started for it and did not come to an end */
} GemLearnedOrder;
GemLearnedOrder *
gem_learned_order_copy(const GemLearnedOrder *order);
void
gem_learned_order_free(GemLearnedOrder *order); /* NULL: nothing */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedOrder, gem_learned_order_free)

/* How the last learning ended, where that was not well. */
typedef struct {
  gboolean refused; /* else it failed */
  char *reason;
  GVariant *figures; /* may be NULL */
} GemLearnedOutcome;

typedef struct {
  guint uid;
  char *name;     /* see gem_learned_name_check */
  char *replaces; /* "adaptive", or "" for a domain that the model does not have */
  gboolean shared;
  GemLearnedVersion version, previous;
  GemLearnedOrder *order;     /* NULL: nothing is being learned */
  GemLearnedOutcome *outcome; /* NULL: there is nothing to tell */
} GemLearnedRecord;

/* 1 to 32 of a-z, 0-9 and -, a letter first; neither "general" nor "learned", which mean something
 * else. INVALID_OPTION. */
gboolean
gem_learned_name_check(const char *name, GError **error);

GemLearnedRecord *
gem_learned_record_new(guint uid, const char *name);
void
gem_learned_record_free(GemLearnedRecord *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemLearnedRecord, gem_learned_record_free)

/* Empties the parts. */
void
gem_learned_version_clear(GemLearnedVersion *version);
void
gem_learned_record_set_order(GemLearnedRecord *self, const GemLearnedOrder *order);
/* Takes a reference on `figures` (NULL: none). A NULL `reason` takes the outcome away. */
void
gem_learned_record_set_outcome(GemLearnedRecord *self,
                               gboolean refused,
                               const char *reason,
                               GVariant *figures);

/* The text of the key file. Transfer full. */
char *
gem_learned_record_to_text(const GemLearnedRecord *self);
/* Of a user and a name that the caller knows; MALFORMED is GEM_ERROR_FAILED, naming group and key. */
GemLearnedRecord *
gem_learned_record_from_text(guint uid, const char *name, const char *text, gsize length, GError **error);
