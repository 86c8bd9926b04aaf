/* The fields of a packet: each is asked for once, with its type and range, and none is left over. Not for
 * others than gem-adapt-packet.c. */
#pragma once

#include "adaptation/gem-adapt-packet.h"

#define GEM_ADAPT_PATHWAY_PREFIX "pathway-"      /* of a domain's residual in `fds` */
extern const char *const gem_adapt_file_names[]; /* [GEM_ADAPT_N_FILES] */

typedef struct {
  GHashTable *values; /* name -> GVariant, those that nobody has asked for yet */
} GemAdaptFields;

gboolean
gem_adapt_fields_init(GemAdaptFields *self, GVariant *dictionary, GError **error);
void
gem_adapt_fields_clear(GemAdaptFields *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemAdaptFields, gem_adapt_fields_clear)
/* All of them were asked for. */
gboolean
gem_adapt_fields_finish(GemAdaptFields *self, GError **error);

/* "NAME: MESSAGE" as G_IO_ERROR_INVALID_DATA; always FALSE. */
gboolean
gem_adapt_fields_fail(GError **error, const char *name, const char *format, ...) G_GNUC_PRINTF(3, 4);

gboolean
gem_adapt_fields_has(const GemAdaptFields *self, const char *name);
/* Transfer full; NULL when there is none of that type. */
GVariant *
gem_adapt_fields_get(GemAdaptFields *self, const char *name, const GVariantType *type, GError **error);
gboolean
gem_adapt_fields_get_uint(
    GemAdaptFields *self, const char *name, guint least, guint most, guint *ret_value, GError **error);
gboolean
gem_adapt_fields_get_uint64(
    GemAdaptFields *self, const char *name, guint64 least, guint64 most, guint64 *ret_value, GError **error);
/* In least .. most, and so finite. */
gboolean
gem_adapt_fields_get_double(
    GemAdaptFields *self, const char *name, double least, double most, double *ret_value, GError **error);
/* One of the NULL-terminated names; its index. */
gboolean
gem_adapt_fields_get_choice(
    GemAdaptFields *self, const char *name, const char *const *names, guint *ret_index, GError **error);
/* A domain's plain name; an empty one, where it may be, is NULL. */
gboolean
gem_adapt_fields_get_name(
    GemAdaptFields *self, const char *name, gboolean may_be_empty, char **ret_name, GError **error);
gboolean
gem_adapt_fields_get_hash(GemAdaptFields *self, const char *name, char **ret_hash, GError **error);
/* 1 to GEM_ADAPT_MAX_MESSAGE bytes without control characters. */
gboolean
gem_adapt_fields_get_message(GemAdaptFields *self, const char *name, char **ret_message, GError **error);
/* The field `fds`: as many distinct known names as there are files, each a regular file open as it has to be.
 * Sets the start's files and pathways and takes them from `files`; on failure it takes none. */
gboolean
gem_adapt_fields_get_files(GemAdaptFields *self, GArray *files, GemAdaptStart *start, GError **error);

/* A plain domain name or "general". */
gboolean
gem_adapt_domain_is_known_form(const char *name);
/* Closes and forgets a descriptor, unless it is -1. */
void
gem_adapt_close(int *fd);
