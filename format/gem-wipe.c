#include "format/gem-wipe.h"

#include <string.h>

gpointer
gem_wipe_realloc(gpointer data, gsize bytes, gsize wanted)
{
  gpointer moved = g_malloc(wanted);

  if (data != NULL) {
    memcpy(moved, data, MIN(bytes, wanted));
  }
  gem_wipe_free(data, bytes);
  return moved;
}

void
gem_wipe_free(gpointer data, gsize bytes)
{
  if (data != NULL) {
    explicit_bzero(data, bytes);
    g_free(data);
  }
}

void
gem_wipe_append(GString **string, const char *bytes, gsize length)
{
  GString *before = *string;

  /* Of GString's room one byte is the NUL's. */
  if (length >= before->allocated_len - before->len) {
    *string = g_string_sized_new(MAX(2 * before->allocated_len - 1, before->len + length));
    g_string_append_len(*string, before->str, (gssize)before->len);
    gem_wipe_string(before);
  }
  g_string_append_len(*string, bytes, (gssize)length);
}

void
gem_wipe_string(GString *string)
{
  if (string != NULL) {
    explicit_bzero(string->str, string->allocated_len);
    g_string_free(string, TRUE);
  }
}
