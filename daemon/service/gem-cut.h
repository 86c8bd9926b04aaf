/*
 * Where a caller's text becomes tokens, for every call and turn: a short one at once, a long one on a thread,
 * since it takes some milliseconds, the longest tens of them, that others would wait for.
 */
#pragma once

#include "daemon/engine/gem-engine.h"

/* `prompt` is borrowed; NULL: `error`, taken, says why. */
typedef void (*GemCutDone)(GemPrompt *prompt, GError *error, gpointer data);

/* Calls `done` once, on the main loop: before this returns when the text is short. Text and labels of the
 * spec have to stay until then. It cannot be taken back: who has lost interest says so in `done`. */
void
gem_cut(GemEngine *engine, const char *text, const GemPromptSpec *spec, GemCutDone done, gpointer data);
