/* Answers as D-Bus values: rows of routes, and the figures of a turn. */
#pragma once

#include "daemon/engine/gem-engine.h"

/* A row of a(sttsa{sd}). */
GVariant *
gem_answer_route(const GemRoutedToken *token);

/* "end", "stop", ... as the XML names them. */
const char *
gem_answer_reason(GemFinishReason reason);

/* What Ask and Finished have in common, into a builder of a{sv}: prompt_tokens, generated_tokens,
 * prefill_seconds, decode_seconds, tokens_per_second, pathways, degraded_tokens. */
void
gem_answer_add_stats(GVariantBuilder *builder, const GemGenerateStats *stats);
