/* How well a router places held-out documents. */
#pragma once

#include "training/network/gem-checkpoint.h"
#include "training/text/gem-corpus.h"

/* Tokens of a document that are looked at; one turn, both ways. */
#define GEM_ROUTER_EVALUATION_TOKENS 512

/* Prints on stdout, by source and by domain: documents whose most frequent pathway is their domain's (one
 * without any routed token is wrong), and the share of tokens that leave `general`. Task documents are cut
 * before their answer. */
void
gem_router_evaluate(const GemRouterCheckpoint *router, const GemCorpus *corpus, float threshold);
