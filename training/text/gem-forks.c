#include "training/text/gem-forks.h"

#include <string.h>

GemForks *
gem_forks_new(void)
{
  GemForks *self = g_new(GemForks, 1);
  self->places = g_array_new(FALSE, FALSE, sizeof(GemFork));
  self->others = g_array_new(FALSE, FALSE, sizeof(guint32));
  return self;
}

void
gem_forks_clear(GemForks *self)
{
  /* They may be of a user's text. */
  if (self->others->len > 0) {
    explicit_bzero(self->others->data, self->others->len * sizeof(guint32));
  }
  g_array_set_size(self->places, 0);
  g_array_set_size(self->others, 0);
}

void
gem_forks_free(GemForks *self)
{
  gem_forks_clear(self);
  g_array_unref(self->places);
  g_array_unref(self->others);
  g_free(self);
}

void
gem_forks_add(GemForks *self, guint32 at, const guint32 *others, guint32 n)
{
  const GemFork place = {.at = at, .first = self->others->len, .n = n};
  g_array_append_vals(self->others, others, n);
  g_array_append_val(self->places, place);
}

static gboolean
holds(const GArray *tokens, guint32 first, guint32 token)
{
  for (guint i = first; i < tokens->len; i++) {
    if (g_array_index(tokens, guint32, i) == token) {
      return TRUE;
    }
  }
  return FALSE;
}

void
gem_forks_add_choices(GemForks *self, const GPtrArray *choices, const guint32 *right, guint32 n, guint32 at)
{
  for (guint32 depth = 0; depth < n; depth++) {
    GemFork place = {.at = at + depth, .first = self->others->len};
    for (guint c = 0; c < choices->len; c++) {
      const GArray *choice = choices->pdata[c];
      const guint32 *tokens = (const guint32 *)(gconstpointer)choice->data;
      if (choice->len > depth && memcmp(tokens, right, depth * sizeof *right) == 0 &&
          tokens[depth] != right[depth] && !holds(self->others, place.first, tokens[depth])) {
        g_array_append_val(self->others, tokens[depth]);
      }
    }
    place.n = self->others->len - place.first;
    if (place.n > 0) {
      g_array_append_val(self->places, place);
    }
  }
}
