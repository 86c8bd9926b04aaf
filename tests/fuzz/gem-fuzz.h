/*
 * Fuzzers: each is one function over any bytes, which must come back whatever they are. Built with clang's
 * libFuzzer they are driven by coverage (./dev fuzz); built as usual, fuzz-replay.c runs them over the seeds
 * that fuzz-seeds.c writes, cut and flipped in many places.
 */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

/* What libFuzzer calls. Returns 0; aborts where the code under test breaks its word. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A path that gives these bytes, until the next call; borrowed. */
const char *
gem_fuzz_make_file(const uint8_t *data, size_t size);

/* A function that failed has set an error with a message, and one that did not has set none. Frees it. */
void
gem_fuzz_check_outcome(gboolean success, GError *error);
