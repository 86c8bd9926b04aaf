/* The crops that the router is trained on. */
#include <string.h>

#include "tests/gem-test-model.h"
#include "tests/gem-test-training.h"
#include "training/network/gem-router-crops.h"
#include "training/network/gem-router-network.h"

#define TEMPLATE "<s><|user|>{text}<|model|>"
#define TEXT     "The first one is here. The second comes now! Is there a third?\nThe last line has no end"
#define CAPACITY 4096u
#define DRAWS    600u

typedef struct {
  GemTokenizer *tokenizer;
  GemRouterCrops *crops;
  GArray *tokens; /* of TEXT, a byte each */
  GemDraw draw;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  self->tokenizer = gem_test_byte_tokenizer_new();
  self->crops = gem_router_crops_new(self->tokenizer, TEMPLATE, &error);
  g_assert_no_error(error);
  self->tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_assert_true(gem_tokenizer_encode(self->tokenizer, TEXT, -1, self->tokens, NULL, NULL));
  self->draw = (GemDraw){.tokens = (const guint32 *)(gpointer)self->tokens->data,
                         .n = self->tokens->len,
                         .answer = self->tokens->len,
                         .at_start = TRUE,
                         .domain = 2};
}

static void
tear_down(Fixture *self, gconstpointer data)
{
  gem_router_crops_free(self->crops);
  gem_tokenizer_unref(self->tokenizer);
  g_array_unref(self->tokens);
}

/* The text of one crop by chance; whether it stands in the template. Transfer full. */
static char *
crop(const Fixture *self, GemRandom *random, gboolean *ret_in_template)
{
  g_autoptr(GemBatch) batch = gem_batch_new(CAPACITY);
  gem_router_crops_append(self->crops, batch, &self->draw, random);
  g_assert_cmpuint(gem_batch_n_sequences(batch), ==, 1);
  g_assert_cmpuint(batch->n, >, 0);
  g_assert_cmpuint(batch->n, <=, GEM_ROUTER_LONGEST_CROP);
  g_assert_cmpuint(batch->prefix[0], <=, batch->n);
  for (gsize i = 0; i < batch->n; i++) {
    g_assert_true(batch->target[i] == self->draw.domain);
    g_assert_cmpfloat(batch->weight[i], ==, 1.0f);
  }
  *ret_in_template = batch->token[0] == GEM_TEST_BOS;
  g_assert_true(!*ret_in_template || batch->token[1] == GEM_TEST_USER);
  return gem_tokenizer_decode(self->tokenizer, batch->token, batch->n);
}

/* Every crop is part of the text; whole sentences come often, without the space before them; so does the
 * template. */
static void
test_crops(Fixture *self, gconstpointer data)
{
  static const char *const sentences[] = {"The first one is here.", "The second comes now!",
                                          "Is there a third?\n", "Is there a third?"};
  GemRandom random = gem_random_seeded(1, 1);
  guint seen[G_N_ELEMENTS(sentences)] = {0}, in_template = 0;
  for (guint i = 0; i < DRAWS; i++) {
    gboolean templated;
    g_autofree char *text = crop(self, &random, &templated);
    g_assert_nonnull(strstr(TEXT, text));
    in_template += templated;
    for (guint s = 0; s < G_N_ELEMENTS(sentences); s++) {
      seen[s] += strcmp(text, sentences[s]) == 0;
    }
  }
  g_assert_cmpuint(seen[0], >, DRAWS / 20);
  g_assert_cmpuint(seen[1], >, DRAWS / 20);
  g_assert_cmpuint(seen[2] + seen[3], >, DRAWS / 20);
  g_assert_cmpfloat_with_epsilon((double)in_template / DRAWS, 0.4, 0.08);
}

/* In the middle of a document the beginning of the window is no beginning of a sentence. */
static void
test_window(Fixture *self, gconstpointer data)
{
  GemRandom random = gem_random_seeded(1, 2);
  guint first = 0;
  self->draw.at_start = FALSE;
  self->draw.tokens += 2; /* "e first one is here. The ..." */
  self->draw.n -= 2;
  for (guint i = 0; i < DRAWS; i++) {
    gboolean templated;
    g_autofree char *text = crop(self, &random, &templated);
    first += strcmp(text, "e first one is here.") == 0;
  }
  g_assert_cmpuint(first, <, DRAWS / 50); /* as another crop, by chance */
}

/* Text of no domain has a class of its own, and is not cut into sentences. */
static void
test_general(Fixture *self, gconstpointer data)
{
  GemRandom random = gem_random_seeded(1, 3);
  guint seconds = 0;
  self->draw.domain = GEM_ROUTE_GENERAL;
  for (guint i = 0; i < DRAWS; i++) {
    g_autoptr(GemBatch) batch = gem_batch_new(CAPACITY);
    gem_router_crops_append(self->crops, batch, &self->draw, &random);
    g_assert_cmpint(batch->target[0], ==, GEM_ROUTER_UNIFORM);
    g_autofree char *text = gem_tokenizer_decode(self->tokenizer, batch->token, batch->n);
    seconds += strcmp(text, "The second comes now!") == 0;
  }
  g_assert_cmpuint(seconds, <, DRAWS / 50); /* as another crop, by chance */
}

/* A batch is filled to its last token, not beyond. */
static void
test_full(Fixture *self, gconstpointer data)
{
  g_autoptr(GemBatch) batch = gem_batch_new(70);
  GemRandom random = gem_random_seeded(1, 4);
  while (gem_batch_room(batch) > 0) {
    gem_router_crops_append(self->crops, batch, &self->draw, &random);
  }
  g_assert_cmpuint(batch->n, ==, 70);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/router-crops/crops", Fixture, NULL, set_up, test_crops, tear_down);
  g_test_add("/router-crops/window", Fixture, NULL, set_up, test_window, tear_down);
  g_test_add("/router-crops/general", Fixture, NULL, set_up, test_general, tear_down);
  g_test_add("/router-crops/full", Fixture, NULL, set_up, test_full, tear_down);
  return g_test_run();
}
