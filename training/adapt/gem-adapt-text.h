/* The text that an adaptation learns from or replays, as its caller holds it. */
#pragma once

#include "training/text/gem-batch.h"

typedef struct {
  const guint32 *tokens; /* borrowed */
  guint n;
  guint answer; /* index of the first token of the answer of a task's line; 0: plain text */
  gint8 domain; /* of replayed text, for the router; GEM_ROUTE_GENERAL: none */
  guint group;  /* from 0: a task, a domain; how often each is drawn is the options' power */
} GemAdaptText;

typedef struct {
  const GemAdaptText *texts; /* what is learned */
  gsize n_texts;
  const GemAdaptText *replay; /* what is to stay as it is */
  gsize n_replay;
  guint32 bos; /* put before a window that begins inside a text; G_MAXUINT32: nothing is */
} GemAdaptData;
