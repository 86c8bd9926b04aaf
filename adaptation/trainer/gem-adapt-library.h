/* The library that learns (training/adapt), beside the channel: both have a GemAdaptProgress, and the
 * library's is GemAdaptationProgress here. */
#pragma once

#define GemAdaptProgress GemAdaptationProgress
#include "training/adapt/gem-adaptation.h"
#undef GemAdaptProgress
