#include "bench/questions/gem-edge-ask.h"

void
gem_edge_reply_clear(GemEdgeReply *reply)
{
  g_clear_pointer(&reply->answer, g_free);
}

void
gem_edge_asker_free(GemEdgeAsker *self)
{
  g_free(self->model);
  g_free(self->version);
  g_free(self->identity);
  g_free(self->sight_absent);
  g_strfreev(self->domains);
  self->free(self);
}
