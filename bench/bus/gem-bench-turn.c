#include "bench/bus/gem-bench-turn.h"

#include "dbus/gem-names.h"

gboolean
gem_bench_turn_open(GemBenchTurn *self, GemRemote *remote, GVariant *options, GError **error)
{
  g_autoptr(GVariant) reply =
      gem_remote_call_manager(remote, "CreateSession", g_variant_new("(@a{sv})", options), "(o)", error);

  if (reply == NULL) {
    return FALSE;
  }
  self->remote = remote;
  g_variant_get(reply, "(o)", &self->session);
  return TRUE;
}

static gboolean
note_arrival(const char *bytes, gsize length, gpointer data)
{
  GemBenchTurn *self = data;

  if (self->first == 0) {
    self->first = g_get_monotonic_time();
  }
  return TRUE;
}

static void
note_end(gpointer data)
{
  GemBenchTurn *self = data;

  self->ended = g_get_monotonic_time();
  if (self->over != NULL) {
    self->over(self->data);
  }
}

gboolean
gem_bench_turn_start(GemBenchTurn *self, const char *prompt, guint tokens, GError **error)
{
  g_auto(GVariantDict) options = G_VARIANT_DICT_INIT(NULL);

  g_variant_dict_insert(&options, "raw", "b", TRUE);
  g_variant_dict_insert(&options, "max_tokens", "u", tokens);
  self->called = g_get_monotonic_time();
  self->turn = gem_turn_begin(self->remote, self->session, prompt, g_variant_dict_end(&options), note_arrival,
                              note_end, self, error);
  return self->turn != NULL;
}

void
gem_bench_turn_clear(GemBenchTurn *self)
{
  g_clear_pointer(&self->turn, gem_turn_free);
  if (self->session != NULL) {
    /* One that cannot be closed is closed when this connection ends. */
    g_autoptr(GVariant) closed =
        gem_remote_call(self->remote, self->session, GEM_SESSION_INTERFACE, "Close", NULL, "()", NULL);

    g_clear_pointer(&self->session, g_free);
  }
}
