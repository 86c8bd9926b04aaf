/*
 * Tiny models with random weights, written where a test wants them: whole folders, and lone
 * Llama-architecture files. The same shape, type and seed give the same bytes. Whatever fails aborts the
 * test.
 */
#pragma once

#include "format/gem-model-shape.h"
#include "tests/gem-test-folder.h"

/* Of the routers that are written from now on; 1 at first. With more, what is remembered of a token depends
 * on those around it. */
extern guint gem_test_model_router_layers;

/* The BOS of vocabularies that are written from now on, GEM_TEST_BOS at first, which texts begin with;
 * another one they do not. And whether those have pieces for spaces, as they do at first. */
extern guint gem_test_model_bos;
extern gboolean gem_test_model_has_spaces;

/* What the tests' vocabulary starts with; 256 byte tokens and a few dozen pieces of letters follow. */
enum {
  GEM_TEST_UNKNOWN = 0, /* <unk> */
  GEM_TEST_BOS = 1,     /* <s> */
  GEM_TEST_EOS = 2,     /* </s> */
  GEM_TEST_USER = 3,    /* <|user|> */
  GEM_TEST_MODEL = 4,   /* <|model|> */
  GEM_TEST_BYTES = 5,   /* <0x00>, the first byte token */
};

/* D = 64, 2 layers of 4 heads of 16, general feed-forward 96, domain feed-forward 32, SCAR sets of 8 and 4
 * clusters with a window of 4, domains legal, finance and stem, the template "<s><|user|>{text}<|model|>",
 * tied. Change what the test is about, then write it; all lengths stay multiples of 32. */
void
gem_test_model_shape(GemModelShape *ret_shape);

/* Writes general.gguf, router.gguf, every pathway and the manifest into the folder `dir`, its matrices as
 * `type`. */
void
gem_test_model_write(const char *dir, const GemModelShape *shape, GemType type, guint32 seed);

/* Writes the manifest anew after a test has changed or removed files. A pathway that is not there is not
 * listed. */
void
gem_test_model_write_manifest(const char *dir, const GemModelShape *shape);

/* Writes a lone file of architecture "llama": domains, clusters and template of the shape are left out. */
void
gem_test_model_write_llama(const char *path, const GemModelShape *shape, GemType type, guint32 seed);
