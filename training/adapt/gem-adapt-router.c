#include "training/adapt/gem-adapt-router.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-lanes.h"
#include "training/arithmetic/gem-random.h"

/* Of the samples; their sums are added in order, whoever made them. */
#define PARTS 16u

const GemAdaptRowOptions gem_adapt_row_options_default = {
    .replaced = -1, .bias = TRUE, .tokens = 16384, .iterations = 300, .rate = 0.02, .seed = 1, .lanes = 1};

/* One token as the row sees it. */
typedef struct {
  double others; /* log sum exp of the other domains' logits */
  double best;   /* the largest of their probabilities among themselves */
  double wanted; /* the row's probability that is aimed at: 1, 0, or an even share */
  double weight; /* in the mean loss */
} Sample;

typedef struct {
  gsize width;
  GArray *samples;  /* of Sample */
  GArray *features; /* float, [samples][width] */
} Samples;

static void
samples_clear(Samples *self)
{
  g_clear_pointer(&self->samples, g_array_unref);
  g_clear_pointer(&self->features, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Samples, samples_clear)

/* What the other rows say of a token. */
static Sample
make_sample(const GemRouterNetwork *network,
            const float *values,
            const GemAdaptRowOptions *options,
            const float *feature,
            double wanted)
{
  gsize width = network->shape.width;
  double logits[GEM_MAX_DOMAINS], top = -INFINITY, sum = 0.0;
  for (guint c = 0; c < network->shape.n_domains; c++) {
    const float *row = values + network->classifier + c * width;
    logits[c] = 0.0;
    for (gsize i = 0; i < width; i++) {
      logits[c] += (double)row[i] * (double)feature[i];
    }
    top = (gint)c != options->replaced ? MAX(top, logits[c]) : top;
  }
  for (guint c = 0; c < network->shape.n_domains; c++) {
    sum += (gint)c != options->replaced ? exp(logits[c] - top) : 0.0;
  }
  return (Sample){.others = top + log(sum), .best = 1.0 / sum, .wanted = wanted};
}

typedef struct {
  const GemRouterNetwork *network;
  const float *values;
  const GemAdaptRowOptions *options;
  GemRouterPass *pass;
  GemBatch *batch;
} Reading;

/* What the row is to say of a text: learned text is its own, other domains' is not, the rest is even. */
static double
wanted_of(const Reading *self, const GemAdaptText *text, gboolean replay)
{
  gboolean replaces = self->options->replaced >= 0;
  double classes = (double)self->network->shape.n_domains + (replaces ? 0.0 : 1.0);
  if (!replay) {
    return 1.0;
  }
  return text->domain == GEM_ROUTE_GENERAL ? 1.0 / classes : 0.0;
}

/* A crop of one text, read both ways up to a point, as turns are, or causally, as what is written is. */
static void
read_crop(Reading *self, const GemAdaptText *text, guint index, gboolean replay, Samples *samples)
{
  GemRandom random = gem_random_seeded(self->options->seed, ((guint64)index << 1) + (replay ? 1 : 0));
  guint first =
      text->n > GEM_ADAPT_ROW_CROP ? (guint)gem_random_below(&random, text->n - GEM_ADAPT_ROW_CROP + 1) : 0;
  guint n = MIN(text->n - first, GEM_ADAPT_ROW_CROP);
  gsize width = self->network->shape.width;
  double wanted = wanted_of(self, text, replay);
  gem_batch_clear(self->batch);
  gem_batch_append(self->batch, text->tokens + first, n, GEM_ROUTE_GENERAL, 0.0f);
  memset(self->batch->target, 0xff, n * sizeof(gint32));
  self->batch->prefix[0] = index % 2 == 0 ? n : (guint32)gem_random_below(&random, n);
  gem_router_network_run(self->network, self->values, self->batch, 0.0f, self->pass, NULL);
  const float *features = gem_router_pass_features(self->pass);
  for (guint i = 0; i < n; i++) {
    Sample sample = make_sample(self->network, self->values, self->options, features + i * width, wanted);
    g_array_append_val(samples->samples, sample);
  }
  g_array_append_vals(samples->features, features, n * (guint)width);
}

/* Crops of the texts in an order by chance, until there are enough tokens; several of a text when they are
 * few. */
static gboolean
read_side(Reading *self,
          const GemAdaptText *texts,
          gsize n_texts,
          gboolean replay,
          Samples *samples,
          GError **error)
{
  g_autoptr(GArray) usable = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint32 i = 0; i < n_texts; i++) {
    gboolean left_out = replay && texts[i].domain >= 0 && texts[i].domain == self->options->replaced;
    if (texts[i].n > 0 && !left_out) {
      g_array_append_val(usable, i);
    }
  }
  if (usable->len == 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "the router's row needs %s",
                replay ? "replayed text of other domains" : "text to learn from");
    return FALSE;
  }
  GemRandom random = gem_random_seeded(self->options->seed, replay ? 3 : 2);
  guint before = samples->samples->len;
  for (guint crop = 0; samples->samples->len - before < self->options->tokens; crop++) {
    guint32 i = g_array_index(usable, guint32, gem_random_below(&random, usable->len));
    read_crop(self, &texts[i], crop, replay, samples);
  }
  double each = 0.5 / (double)(samples->samples->len - before);
  for (guint i = before; i < samples->samples->len; i++) {
    g_array_index(samples->samples, Sample, i).weight = each;
  }
  return TRUE;
}

/* The row's logit over the others' together. */
static double
margin_of(const Samples *samples, guint i, const float *row)
{
  const float *feature = &g_array_index(samples->features, float, i * samples->width);
  double logit = (double)row[samples->width];
#pragma omp simd reduction(+ : logit)
  for (gsize j = 0; j < samples->width; j++) {
    logit += (double)row[j] * (double)feature[j];
  }
  return logit - g_array_index(samples->samples, Sample, i).others;
}

/* log(1 + e^x) without overflow. */
static double
softplus(double x)
{
  return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

typedef struct {
  const Samples *samples;
  const float *row;
  GemLanes *lanes;
  double *gradients; /* [PARTS][width + 1] */
  double losses[PARTS];
} Slope;

/* Of a part of the samples; adds its gradient to gradient[width + 1]. */
static double
loss_of_part(const Samples *samples, guint part, const float *row, double *gradient)
{
  guint64 n = samples->samples->len;
  double loss = 0.0;
  for (guint i = (guint)(part * n / PARTS); i < (part + 1) * n / PARTS; i++) {
    const Sample *sample = &g_array_index(samples->samples, Sample, i);
    const float *feature = &g_array_index(samples->features, float, i * samples->width);
    double margin = margin_of(samples, i, row);
    loss += sample->weight * (softplus(margin) - sample->wanted * margin);
    double slope = sample->weight * (1.0 / (1.0 + exp(-margin)) - sample->wanted);
#pragma omp simd
    for (gsize j = 0; j < samples->width; j++) {
      gradient[j] += slope * (double)feature[j];
    }
    gradient[samples->width] += slope;
  }
  return loss;
}

static void
slope_lane(guint lane, gpointer data)
{
  Slope *self = data;
  gsize n = self->samples->width + 1;
  for (guint part = lane; part < PARTS; part += gem_lanes_count(self->lanes)) {
    memset(self->gradients + part * n, 0, n * sizeof(double));
    self->losses[part] = loss_of_part(self->samples, part, self->row, self->gradients + part * n);
  }
}

/* The mean loss, and its gradient[width + 1]. */
static double
loss_of(Slope *self, double *gradient)
{
  gsize n = self->samples->width + 1;
  double loss = 0.0;
  gem_lanes_run(self->lanes, slope_lane, self);
  memset(gradient, 0, n * sizeof(double));
  for (guint part = 0; part < PARTS; part++) {
    loss += self->losses[part];
    for (gsize i = 0; i < n; i++) {
      gradient[i] += self->gradients[part * n + i];
    }
  }
  return loss;
}

static double
descend(const Samples *samples, const GemAdaptRowOptions *options, float *row)
{
  gsize n = samples->width + 1;
  g_autoptr(GemLanes) lanes = gem_lanes_new(MAX(options->lanes, 1));
  g_autofree double *gradients = g_new(double, PARTS *n);
  Slope slope = {.samples = samples, .row = row, .lanes = lanes, .gradients = gradients};
  g_autofree double *gradient = g_new(double, n), *first = g_new0(double, n), *second = g_new0(double, n);
  const double beta1 = 0.9, beta2 = 0.99;
  double loss = 0.0;
  for (guint step = 1; step <= options->iterations; step++) {
    loss = loss_of(&slope, gradient);
    double falling = 1.0 - (double)(step - 1) / (double)options->iterations;
    for (gsize i = 0; i < (options->bias ? n : n - 1); i++) {
      first[i] = beta1 * first[i] + (1.0 - beta1) * gradient[i];
      second[i] = beta2 * second[i] + (1.0 - beta2) * gradient[i] * gradient[i];
      double m = first[i] / (1.0 - pow(beta1, step)), v = second[i] / (1.0 - pow(beta2, step));
      row[i] -= (float)(options->rate * falling * m / (sqrt(v) + 1e-8));
    }
  }
  return loss;
}

static GemAdaptRowFigures
measure(const Samples *samples, const float *row, double threshold, double loss)
{
  gsize own = 0, own_routed = 0, others = 0, lost = 0;
  for (guint i = 0; i < samples->samples->len; i++) {
    const Sample *sample = &g_array_index(samples->samples, Sample, i);
    double probability = 1.0 / (1.0 + exp(-margin_of(samples, i, row)));
    if (sample->wanted >= 1.0) {
      own++;
      own_routed += probability > threshold;
    } else if (sample->wanted <= 0.0 && sample->best > threshold) {
      others++;
      lost += sample->best * (1.0 - probability) <= threshold;
    }
  }
  return (GemAdaptRowFigures){.loss = loss,
                              .own_share = (double)own_routed / (double)MAX(own, 1),
                              .lost_share = (double)lost / (double)MAX(others, 1)};
}

gboolean
gem_adapt_router_row(const GemRouterNetwork *network,
                     const float *values,
                     const GemAdaptData *data,
                     const GemAdaptRowOptions *options,
                     float threshold,
                     float *row,
                     GemAdaptRowFigures *ret_figures,
                     GError **error)
{
  gsize width = network->shape.width;
  g_autoptr(GemRouterPass) pass = gem_router_pass_new(network);
  g_autoptr(GemBatch) batch = gem_batch_new(GEM_ADAPT_ROW_CROP);
  g_auto(Samples) samples = {.width = width,
                             .samples = g_array_new(FALSE, FALSE, sizeof(Sample)),
                             .features = g_array_new(FALSE, FALSE, sizeof(float))};
  Reading reading = {network, values, options, pass, batch};
  if (!read_side(&reading, data->texts, data->n_texts, FALSE, &samples, error) ||
      !read_side(&reading, data->replay, data->n_replay, TRUE, &samples, error)) {
    return FALSE;
  }
  memset(row, 0, (width + 1) * sizeof(float));
  if (options->replaced >= 0) {
    memcpy(row, values + network->classifier + (gsize)options->replaced * width, width * sizeof(float));
  }
  double loss = descend(&samples, options, row);
  if (ret_figures != NULL) {
    *ret_figures = measure(&samples, row, (double)threshold, loss);
  }
  return TRUE;
}
