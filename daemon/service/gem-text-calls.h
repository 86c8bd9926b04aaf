/*
 * Route, Classify, Embed, Score and CountTokens of Manager: a text goes in, and what the engine finds in it
 * comes out.
 */
#pragma once

#include "daemon/service/gem-call.h"

void
gem_route_run(GemCall *call);
void
gem_classify_run(GemCall *call);
void
gem_embed_run(GemCall *call);
void
gem_score_run(GemCall *call);
void
gem_count_tokens_run(GemCall *call);
