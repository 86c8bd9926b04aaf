/* What the seed of the fuzzer `learned` belongs to: the tests' model with these changes. */
#pragma once

#define GEM_FUZZ_LEARNED_LAYERS 1u
#define GEM_FUZZ_LEARNED_WIDTH  32u
#define GEM_FUZZ_LEARNED_HASH   "5eed"
