/*
 * What AdaptDomain takes for a text, of one that is read part by part: UTF-8 without NUL, and of the control
 * characters tabs, line ends, form feeds, and carriage returns before a line end alone. The service refuses
 * what is none; who hands a text over can tell before in which of its files that is.
 */
#pragma once

#include <glib.h>

#define GEM_TEXT_SCAN_PART 65536u /* bytes of a part at most */

typedef struct {
  const char *name; /* of the text, for messages; the caller's */
  guint64 bytes;    /* looked at so far */
  /* Of this file alone: */
  gsize kept;        /* bytes of a character that goes on in the next part, at the beginning of the block */
  gboolean returned; /* the last character was a carriage return */
  char block[4 + GEM_TEXT_SCAN_PART];
} GemTextScan;

/* Where the next part is to be read to. */
char *
gem_text_scan_room(GemTextScan *self);
/* Looks at the `n` bytes that were read there. INVALID_TEXT with the name, and the number of the first byte
 * that is not of a text, from 1. */
gboolean
gem_text_scan_part(GemTextScan *self, gsize n, GError **error);
/* There are no more: INVALID_TEXT for a last character that is cut off, or a carriage return. */
gboolean
gem_text_scan_end(const GemTextScan *self, GError **error);
