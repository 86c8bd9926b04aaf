/* What a learned domain costs the others, in the trainer's own parts over a tiny random model: comparisons of
 * measurements, what a bias does to routes, where a residual starts, and which bias the others can pay for.
 */
#include <math.h>
#include <string.h>

#include "adaptation/trainer/gem-adapt-bias.h"
#include "adaptation/trainer/gem-adapt-near.h"
#include "adaptation/trainer/gem-adapt-origin.h"
#include "adaptation/trainer/gem-adapt-routes.h"
#include "tests/gem-test-model.h"
#include "tests/gem-test-trainer.h"
#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-random.h"

#define TEXTS  12u /* of each of three domains, of general and of one's own */
#define TOKENS 40u

typedef struct {
  char *dir;
  GemAdaptPacket *start;
  GemAdaptModel *model;
  GemLanes *lanes;
  guint32 tokens[5 * TEXTS][TOKENS];
  GArray *own, *others;
  float *row;
} Fixture;

static void
no_share(double share, gpointer data)
{
}
static const GemAdaptWatch watch = {NULL, no_share, NULL};

static void
add_text(Fixture *self, guint index, guint group, GemRandom *random)
{
  GemAdaptText text = {
      .tokens = self->tokens[index], .n = TOKENS, .domain = GEM_ROUTE_GENERAL, .group = group};
  for (guint t = 0; t < TOKENS; t++) {
    self->tokens[index][t] = t == 0 ? GEM_TEST_BOS : (guint32)gem_random_below(random, 200) + GEM_TEST_BYTES;
  }
  g_array_append_val(group < 4 ? self->others : self->own, text);
}

static void
set_up(Fixture *self, gconstpointer data)
{
  g_auto(GemModelShape) shape = {0};
  g_autoptr(GError) error = NULL;
  GemRandom random = gem_random_seeded(4, 0);
  self->dir = gem_test_folder_new();
  gem_test_model_shape(&shape);
  gem_test_model_write(self->dir, &shape, GEM_TYPE_F32, 1);
  self->start = gem_test_adapt_start(self->dir, "mine", NULL, "legal", "", 0, g_variant_new("a(ss)", NULL));
  self->model = gem_adapt_model_new(&self->start->start, &error);
  g_assert_no_error(error);
  self->lanes = gem_lanes_new(2);
  self->own = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  self->others = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  for (guint i = 0; i < 5 * TEXTS; i++) {
    add_text(self, i, i / TEXTS, &random);
  }
  self->row = g_new0(float, self->model->base.router_width + 1);
  for (guint i = 0; i < self->model->base.router_width; i++) {
    self->row[i] = 0.4f * (float)gem_random_normal(&random);
  }
}

static void
tear_down(Fixture *self, gconstpointer data)
{
  g_free(self->row);
  g_array_unref(self->own);
  g_array_unref(self->others);
  gem_lanes_free(self->lanes);
  gem_adapt_model_free(self->model);
  gem_adapt_packet_free(self->start);
  gem_test_folder_remove(self->dir);
  g_free(self->dir);
}

/* ---- comparisons ---- */

static void
test_compare(void)
{
  const GemAdaptText texts[] = {{.group = 1}, {.group = 1}, {.group = 0}};
  const GemAdaptSums before[] = {
      {.loss = 20.0, .tokens = 10}, {.loss = 60.0, .tokens = 30}, {.loss = 5.0, .tokens = 5}};
  GemAdaptSums after[] = {before[0], before[1], before[2]};
  g_autoptr(GArray) array = g_array_new(FALSE, FALSE, sizeof(GemAdaptText));
  g_array_append_vals(array, texts, G_N_ELEMENTS(texts));
  after[0].loss += 0.1; /* 0.01 nats a token of every text: nothing is uncertain */
  after[1].loss += 0.3;
  GemAdaptChange change = gem_adapt_sums_compare(array, before, after, 1);
  g_assert_cmpuint(change.tokens, ==, 40);
  g_assert_cmpfloat_with_epsilon(change.percent, 100.0 * (exp(0.01) - 1.0), 1e-9);
  g_assert_cmpfloat_with_epsilon(change.error, 0.0, 1e-9);
  g_assert_cmpfloat(gem_adapt_sums_compare(array, before, after, 0).percent, ==, 0.0);
  g_assert_cmpuint(gem_adapt_sums_compare(array, before, after, 2).tokens, ==, 0);
  after[0].loss = before[0].loss + 0.4; /* the same in one of the two alone: each is 0.3 away */
  after[1].loss = before[1].loss;
  change = gem_adapt_sums_compare(array, before, after, 1);
  g_assert_cmpfloat_with_epsilon(change.percent, 100.0 * (exp(0.01) - 1.0), 1e-9);
  g_assert_cmpfloat_with_epsilon(change.error, 100.0 * exp(0.01) * sqrt(2.0 * 0.18) / 40.0, 1e-9);
}

/* ---- routes ---- */

/* The engine's rule, from the probabilities: the row takes a token when it is likeliest and over the
 * threshold among all, else the model's three classes are weighed among themselves. */
static gint8
route_of(const GemAdaptModel *model, const float *feature, const float *row)
{
  guint width = model->base.router_width, best = 0;
  double p[4], own = 0.0;
  for (guint c = 0; c < 4; c++) {
    const float *weights = c < 3 ? model->router_values + model->router->classifier + c * width : row;
    double logit = c < 3 ? 0.0 : (double)row[width];
    for (guint i = 0; i < width; i++) {
      logit += (double)weights[i] * (double)feature[i];
    }
    p[c] = exp(logit);
    own += c < 3 ? p[c] : 0.0;
    best = c < 3 && p[c] > p[best] ? c : best;
  }
  if (p[3] > p[best] && p[3] > (double)model->shape.router_threshold * (own + p[3])) {
    return 3;
  }
  return p[best] > (double)model->shape.router_threshold * own ? (gint8)best : GEM_ROUTE_GENERAL;
}

/* What a shift says of every token is what the router makes of a row with that bias. */
static void
test_shift(Fixture *self, gconstpointer data)
{
  const GemAdaptModel *model = self->model;
  guint width = model->base.router_width, counts[3] = {0};
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(model->router);
  g_autoptr(GemBatch) batch = gem_batch_new(TOKENS);
  g_autofree float *moved = g_memdup2(self->row, (width + 1) * sizeof(float));
  for (guint i = 0; i < self->others->len; i++) {
    gem_adapt_measure_read(&g_array_index(self->others, GemAdaptText, i), gem_adapt_measure_look(i), batch);
    gem_router_network_run(model->router, model->router_values, batch, 0.0f, pass, NULL);
    for (int halves = -12; halves < 12; halves++) {
      float shift = 0.5f * (float)halves;
      moved[width] = self->row[width] + shift;
      gem_adapt_routes_set(model, pass, moved, batch);
      for (gsize t = 0; t < batch->n; t++) {
        const float *feature = gem_router_pass_features(pass) + t * width;
        GemAdaptShift found = gem_adapt_routes_shift(model, feature, self->row);
        gint8 route = shift > found.taken ? model->learned : found.left;
        g_assert_true(route == route_of(model, feature, moved));
        g_assert_true(route == batch->route[t]);
        counts[route == model->learned ? 0 : route == GEM_ROUTE_GENERAL ? 1 : 2]++;
      }
    }
  }
  for (guint i = 0; i < 3; i++) {
    g_assert_cmpuint(counts[i], >, 100);
  }
}

/* ---- what is replayed ---- */

/* Adds the features of a text's tokens, times `scale`. */
static void
add_features(const Fixture *self, const GemAdaptText *text, float scale, float *sum)
{
  guint width = self->model->base.router_width;
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(self->model->router);
  g_autoptr(GemBatch) batch = gem_batch_new(TOKENS);
  gem_adapt_measure_read(text, GEM_ADAPT_LOOK_BACK, batch);
  gem_router_network_run(self->model->router, self->model->router_values, batch, 0.0f, pass, NULL);
  for (gsize i = 0; i < batch->n * width; i++) {
    sum[i % width] += scale * gem_router_pass_features(pass)[i];
  }
}

/* A row that points to the texts of one group finds all of them first, and they are of one group now. */
static void
test_near(Fixture *self, gconstpointer data)
{
  guint found = 0, group = 2;
  memset(self->row, 0, (self->model->base.router_width + 1) * sizeof(float));
  for (guint i = 0; i < self->others->len; i++) {
    GemAdaptText *text = &g_array_index(self->others, GemAdaptText, i);
    /* that group writes with a few words of its own */
    for (guint t = 1; t < TOKENS && text->group == group; t++) {
      self->tokens[i][t] = 230 + t % 3;
    }
    add_features(self, text, text->group == group ? 0.03f : -0.01f, self->row);
  }
  g_autoptr(GArray) near = gem_adapt_near_pick(self->model, self->others, self->row, self->lanes);
  g_assert_cmpuint(near->len, ==, 16);
  for (guint i = 0; i < near->len; i++) {
    const GemAdaptText *text = &g_array_index(near, GemAdaptText, i);
    gsize index = (gsize)(text->tokens - self->tokens[0]) / TOKENS;
    g_assert_cmpuint(text->group, ==, 0);
    found += index / TEXTS == group;
    g_assert_true(i >= TEXTS || index / TEXTS == group);
  }
  g_assert_cmpuint(found, ==, TEXTS);
}

/* ---- where a residual starts ---- */

static void
test_origin(Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  const GemAdaptDocuments documents = {.learned = self->own};
  GemAdaptSums sums[TEXTS];
  double losses[4];
  for (gint8 domain = 0; domain < 4; domain++) { /* the last is the one that learns */
    g_assert_true(
        gem_adapt_measure_forced(self->model, self->own, domain, self->lanes, &watch, sums, &error));
    losses[domain] = gem_adapt_sums_add(self->own, sums, 4).loss;
  }
  g_assert_cmpfloat(losses[3], ==, losses[0]); /* it was told to start from legal */
  double least = MIN(losses[0], MIN(losses[1], losses[2]));
  gem_adapt_model_start_from(self->model,
                             least == losses[0] ? 1 : 0); /* whatever it is, it is not the best */
  gboolean chosen = gem_adapt_origin_choose(self->model, &documents, self->lanes, &watch, &error);
  g_assert_no_error(error);
  g_assert_true(chosen);
  g_assert_true(gem_adapt_measure_forced(self->model, self->own, 3, self->lanes, &watch, sums, &error));
  g_assert_cmpfloat(gem_adapt_sums_add(self->own, sums, 4).loss, ==, least);
}

/* ---- the bias ---- */

/* The residual is made a bad one for everything, as one is that knows nothing but another kind of text. */
static void
spoil(Fixture *self)
{
  GemRandom random = gem_random_seeded(9, 0);
  g_autofree char *part = gem_adapt_model_part(self->model);
  const GPtrArray *items = self->model->backbone->parameters->items;
  for (guint i = 0; i < items->len; i++) {
    const GemParameter *parameter = items->pdata[i];
    for (gsize j = 0; strcmp(parameter->part, part) == 0 && j < parameter->rows * parameter->cols; j++) {
      self->model->values[parameter->offset + j] += 0.5f * (float)gem_random_normal(&random);
    }
  }
}

/* The share of one's own tokens that are taken, and the worst that happens to the others. */
static double
set_bias(Fixture *self, double most_percent, double *ret_worst)
{
  g_autoptr(GError) error = NULL;
  g_autofree GemAdaptSums *before = g_new0(GemAdaptSums, self->others->len),
                          *after = g_new0(GemAdaptSums, self->others->len),
                          *own = g_new0(GemAdaptSums, self->own->len);
  g_assert_true(gem_adapt_measure(self->model, self->others, GEM_ADAPT_LOOK_MIXED, NULL, self->lanes, &watch,
                                  before, &error));
  const GemAdaptBiasSearch search = {self->model, self->own, self->others, before, most_percent};
  self->row[self->model->base.router_width] = 1.0f;
  gboolean set = gem_adapt_bias_set(&search, self->row, self->lanes, &watch, &error);
  g_assert_no_error(error);
  g_assert_true(set);
  g_assert_true(gem_adapt_measure(self->model, self->others, GEM_ADAPT_LOOK_MIXED, self->row, self->lanes,
                                  &watch, after, &error));
  g_assert_true(gem_adapt_measure(self->model, self->own, GEM_ADAPT_LOOK_BACK, self->row, self->lanes, &watch,
                                  own, &error));
  *ret_worst = -INFINITY;
  for (guint group = 0; group < 4; group++) {
    GemAdaptChange change = gem_adapt_sums_compare(self->others, before, after, group);
    *ret_worst = MAX(*ret_worst, change.percent + change.error);
  }
  GemAdaptSums sum = gem_adapt_sums_add(self->own, own, 4);
  return (double)sum.own / (double)sum.read;
}

static void
test_bias(Fixture *self, gconstpointer data)
{
  double worst, share, last = 0.0;
  spoil(self);
  for (double most = 1.0; most < 1000.0; most *= 4.0) {
    share = set_bias(self, most, &worst);
    g_assert_cmpfloat(worst, <=, most * 1.001);
    g_assert_cmpfloat(share, >=, last); /* who may cost more takes more */
    last = share;
  }
  share = set_bias(self, 1e6, &worst);
  g_assert_cmpfloat(worst, >, 1.0);
  g_assert_cmpfloat(share, >=, 0.97);
  g_assert_cmpfloat(share, <, 1.0); /* and no more than is asked for */
}

typedef struct {
  double top;            /* affordable below it, */
  double valley, bottom; /* but not between these */
  guint asked;
} Costs;

static gboolean
is_affordable_at(double shift, gpointer data)
{
  Costs *self = data;
  self->asked++;
  return shift <= self->top && !(shift < self->valley && shift > self->bottom);
}

static void
test_search(void)
{
  Costs always = {.top = 100.0}, some = {.top = -1.3}, valley = {.top = 1.7, .valley = 0.9, .bottom = -5.0},
        none = {.top = -100.0};
  g_assert_cmpfloat(gem_adapt_bias_search(2.0, is_affordable_at, &always), ==, 2.0);
  g_assert_cmpuint(always.asked, ==, 1);
  g_assert_cmpfloat_with_epsilon(gem_adapt_bias_search(2.0, is_affordable_at, &some), -1.3, 0.1);
  g_assert_cmpfloat(gem_adapt_bias_search(2.0, is_affordable_at, &some), <=, -1.3);
  g_assert_cmpfloat_with_epsilon(gem_adapt_bias_search(2.0, is_affordable_at, &valley), 1.7, 0.1);
  g_assert_cmpfloat(gem_adapt_bias_search(2.0, is_affordable_at, &none), <=, -10.0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  gem_matmul_select("fp32", NULL);
  g_test_add_func("/adapt-bias/compare", test_compare);
  g_test_add_func("/adapt-bias/search", test_search);
  g_test_add("/adapt-bias/shift", Fixture, NULL, set_up, test_shift, tear_down);
  g_test_add("/adapt-bias/near", Fixture, NULL, set_up, test_near, tear_down);
  g_test_add("/adapt-bias/origin", Fixture, NULL, set_up, test_origin, tear_down);
  g_test_add("/adapt-bias/bias", Fixture, NULL, set_up, test_bias, tear_down);
  return g_test_run();
}
