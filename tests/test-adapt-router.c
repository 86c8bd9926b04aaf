/* The router's row for a learned domain: it takes its own text and leaves the others theirs. */
#include <math.h>
#include <string.h>

#include "tests/gem-test-training.h"
#include "training/adapt/gem-adapt-router.h"
#include "training/adapt/gem-adapt-row-data.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"
#include "training/network/gem-presets.h"

enum { DOMAINS = 2, TEXTS = 24, TOKENS = 40, KIND_TOKENS = 20 };

/* Texts of four kinds, each of tokens of its own: domain 0, domain 1, none, and what is learned. */
typedef struct {
  GemRouterNetwork *network;
  float *values;
  guint32 tokens[4][TEXTS][TOKENS];
  GemAdaptText texts[TEXTS], replay[3 * TEXTS];
} Fixture;

/* A router whose classes follow the token's kind: embeddings of a kind share a direction, and the rows of
 * domains 0 and 1 are theirs. */
static void
make_router(Fixture *self)
{
  g_auto(GemPreset) preset = {0};
  g_autoptr(GError) error = NULL;
  gboolean made =
      gem_preset_get("gem-tiny", &preset, &error) &&
      gem_preset_apply_shape(
          &preset, "domains=2,vocab=262,router-width=32,router-embedding=32,router-heads=2,router-ffn=32",
          &error);
  g_assert_no_error(error);
  g_assert_true(made);
  self->network = gem_router_network_new(&preset.router, gem_preset_domains, 128);
  self->values = gem_parameters_alloc(self->network->parameters);
  gem_parameters_init(self->network->parameters, 5, self->values);
  GemRandom random = gem_random_seeded(5, 1);
  for (guint kind = 0; kind < 4; kind++) {
    float direction[32];
    for (gsize i = 0; i < 32; i++) {
      direction[i] = (float)gem_random_normal(&random);
    }
    for (guint t = 0; t < KIND_TOKENS; t++) {
      float *row = self->values + self->network->embedding + (gsize)(kind * KIND_TOKENS + t) * 32;
      for (gsize i = 0; i < 32; i++) {
        row[i] = direction[i] + 0.2f * (float)gem_random_normal(&random);
      }
    }
    if (kind < DOMAINS) {
      memcpy(self->values + self->network->classifier + (gsize)kind * 32, direction, sizeof direction);
    }
  }
}

static void
fixture_init(Fixture *self)
{
  GemRandom random = gem_random_seeded(6, 1);
  make_router(self);
  for (guint kind = 0; kind < 4; kind++) {
    for (guint t = 0; t < TEXTS; t++) {
      for (guint i = 0; i < TOKENS; i++) {
        self->tokens[kind][t][i] = kind * KIND_TOKENS + (guint32)gem_random_below(&random, KIND_TOKENS);
      }
      GemAdaptText text = {.tokens = self->tokens[kind][t],
                           .n = TOKENS,
                           .domain = kind < DOMAINS ? (gint8)kind : GEM_ROUTE_GENERAL};
      if (kind == 3) {
        self->texts[t] = text;
      } else {
        self->replay[kind * TEXTS + t] = text;
      }
    }
  }
}

static void
fixture_clear(Fixture *self)
{
  gem_router_network_free(self->network);
  g_aligned_free(self->values);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

static GemAdaptRowOptions
options_with(gint8 replaced)
{
  GemAdaptRowOptions options = gem_adapt_row_options_default;
  options.replaced = replaced;
  options.tokens = 800;
  return options;
}

/* The mean logit of the row over a text's tokens, and that of a class's. */
static void
logits_of(
    const Fixture *self, const GemAdaptText *text, const float *row, gint class, double *own, double *other)
{
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(self->network);
  g_autoptr(GemBatch) batch = gem_batch_new(128);
  gem_batch_append(batch, text->tokens, text->n, GEM_ROUTE_GENERAL, 0.0f);
  memset(batch->target, 0xff, batch->n * sizeof(gint32));
  gem_router_network_run(self->network, self->values, batch, 0.0f, pass, NULL);
  const float *features = gem_router_pass_features(pass);
  *own = *other = 0.0;
  for (gsize i = 0; i < batch->n * 32; i++) {
    *own += (double)features[i] * (double)row[i % 32] / (double)batch->n;
    *other += (double)features[i] *
              (double)self->values[self->network->classifier + (gsize) class * 32 + i % 32] /
              (double)batch->n;
  }
  *own += (double)row[32];
}

static void
test_new_domain(void)
{
  g_auto(Fixture) self = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&self);
  const GemAdaptData data = {self.texts, TEXTS, self.replay, 3 * TEXTS, 1};
  const GemAdaptRowOptions options = options_with(-1);
  g_autofree float *before = g_memdup2(self.values, self.network->parameters->size * sizeof(float));
  float row[33];
  GemAdaptRowFigures figures;
  gboolean learned =
      gem_adapt_router_row(self.network, self.values, &data, &options, 0.7f, row, &figures, &error);
  g_assert_no_error(error);
  g_assert_true(learned);
  g_assert_cmpfloat(figures.own_share, >, 0.9);
  g_assert_cmpfloat(figures.lost_share, <, 0.05);
  double own, other;
  logits_of(&self, &self.texts[0], row, 0, &own, &other);
  g_assert_cmpfloat(own, >, other + log(0.7 / 0.3));
  logits_of(&self, &self.replay[0], row, 0, &own, &other);
  g_assert_cmpfloat(other, >, own + log(0.7 / 0.3));

  /* However many threads do it. */
  GemAdaptRowOptions side_by_side = options;
  float same[33];
  side_by_side.lanes = 3;
  g_assert_true(
      gem_adapt_router_row(self.network, self.values, &data, &side_by_side, 0.7f, same, NULL, &error));
  g_assert_cmpmem(row, sizeof row, same, sizeof same);
  g_assert_cmpmem(before, self.network->parameters->size * sizeof(float), self.values,
                  self.network->parameters->size * sizeof(float));
}

/* In the place of domain 1: its own text no longer counts, its row is where learning starts, and without a
 * bias it stays a row of the classifier. */
static void
test_replaced(void)
{
  g_auto(Fixture) self = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&self);
  const GemAdaptData data = {self.texts, TEXTS, self.replay, 3 * TEXTS, 1};
  GemAdaptRowOptions options = options_with(1);
  options.bias = FALSE;
  options.iterations = 0;
  float row[33];
  GemAdaptRowFigures figures;
  g_assert_true(
      gem_adapt_router_row(self.network, self.values, &data, &options, 0.7f, row, &figures, &error));
  g_assert_cmpmem(row, 32 * sizeof(float), self.values + self.network->classifier + 32, 32 * sizeof(float));
  options.iterations = 300;
  g_assert_true(
      gem_adapt_router_row(self.network, self.values, &data, &options, 0.7f, row, &figures, &error));
  g_assert_no_error(error);
  g_assert_cmpfloat(row[32], ==, 0.0f);
  g_assert_cmpfloat(figures.own_share, >, 0.9);
  double own, other;
  logits_of(&self, &self.texts[0], row, 0, &own, &other);
  g_assert_cmpfloat(own, >, other + log(0.7 / 0.3));
}

static void
test_nothing_to_learn(void)
{
  g_auto(Fixture) self = {0};
  g_autoptr(GError) error = NULL;
  fixture_init(&self);
  const GemAdaptData data = {self.texts, TEXTS, self.replay, 0, 1};
  const GemAdaptRowOptions options = options_with(-1);
  float row[33];
  g_assert_false(gem_adapt_router_row(self.network, self.values, &data, &options, 0.7f, row, NULL, &error));
  g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
}

enum { DOCUMENT = 400, LINE = 9 };

/* Of four documents the second and the fourth are put into the template, a window of them that a crop holds,
 * without their own <s> and </s>; a line that is in it already stays where it is. */
static void
test_row_data(void)
{
  g_autoptr(GError) error = NULL;
  GemTokenizer *tokenizer = gem_test_byte_tokenizer_new();
  const guint32 bos = gem_tokenizer_bos(tokenizer), eos = gem_tokenizer_eos(tokenizer), user = 3, model = 4;
  guint32 document[DOCUMENT] = {bos}, line[LINE] = {bos, user, 70, 71, model, 72, eos};
  GemAdaptText replay[4];
  for (guint i = 1; i < DOCUMENT; i++) {
    document[i] = i + 1 < DOCUMENT ? 10 + i % 200 : eos;
  }
  for (guint i = 0; i < 4; i++) {
    /* the fourth is short enough to be put there whole */
    replay[i] = (GemAdaptText){
        .tokens = document + (i < 3 ? 0 : DOCUMENT - 6), .n = i < 3 ? DOCUMENT : 6, .domain = (gint8)i};
  }
  const GemAdaptText own[] = {{.tokens = line, .n = 7, .answer = 5}, {.tokens = line, .n = 7, .answer = 5}};
  const GemAdaptData data = {own, 2, replay, 4, bos};
  g_auto(GemAdaptRowData) wrapped = {0};
  g_assert_true(gem_adapt_row_data_init(&wrapped, &data, tokenizer, "<s><|user|>{text}<|model|>", 7, &error));
  g_assert_no_error(error);
  g_assert_cmpuint(wrapped.data.n_texts, ==, 2);
  g_assert_cmpuint(wrapped.data.n_replay, ==, 4);
  for (guint i = 0; i < 2; i++) {
    g_assert_true(wrapped.data.texts[i].tokens == line && wrapped.data.texts[i].answer == 5);
    g_assert_true(wrapped.data.replay[2 * i].tokens == document);
  }
  for (guint i = 1; i < 4; i += 2) {
    const GemAdaptText *text = &wrapped.data.replay[i];
    g_assert_cmpuint(text->n, ==, i == 1 ? GEM_ADAPT_ROW_CROP : 5 + 3);
    g_assert_true(text->domain == (gint8)i);
    g_assert_true(text->tokens[0] == bos && text->tokens[1] == user && text->tokens[text->n - 1] == model);
    for (guint t = 2; t + 1 < text->n; t++) {
      g_assert_true(text->tokens[t] != bos && text->tokens[t] != eos);
    }
  }
  gem_tokenizer_unref(tokenizer);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_autoptr(GError) error = NULL;
  gem_matmul_select("fp32", &error);
  g_assert_no_error(error);
  g_test_add_func("/adapt-router/new-domain", test_new_domain);
  g_test_add_func("/adapt-router/replaced", test_replaced);
  g_test_add_func("/adapt-router/nothing-to-learn", test_nothing_to_learn);
  g_test_add_func("/adapt-router/row-data", test_row_data);
  return g_test_run();
}
