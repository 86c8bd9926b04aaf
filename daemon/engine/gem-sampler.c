#include "daemon/engine/gem-sampler.h"

#include <math.h>

#include "kernels/gem-kernels.h"

/* The weight of the likeliest token. */
#define HIGHEST_WEIGHT (1U << 30)

/* Where 1 / temperature ends: all but the likeliest have no weight left there. */
#define HIGHEST_SHARPNESS 1e30

/* Weights among which a token is looked for at once. */
#define BLOCK_WEIGHTS 256

/* A search goes on among fewer weights when it has come down to a share of them, and there are that many. */
#define NARROW_SHARE 8
#define NARROW_LEAST 256

struct GemSampler {
  const GemKernels *kernels;
  double temperature;
  guint top_k;
  double top_p;
  guint64 state[4];
  guint32 *weights; /* scratch of `capacity`: of all tokens */
  guint32 *within;  /* and of those among which a search goes on */
  guint capacity;
};

/* The tokens that may be drawn: those of more weight than `least`, and the first `equal` of those that have
 * it. No sum here is rounded. */
typedef struct {
  guint32 least;
  gsize equal;
  gsize count;  /* of at least that weight, whether they may be drawn or not */
  guint64 mass; /* of all that may be drawn */
} Choice;

/* splitmix64 spreads any seed, also 0, over the generator's state. */
static guint64
split_mix(guint64 *state)
{
  guint64 z = (*state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));

  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

GemSampler *
gem_sampler_new(double temperature, guint top_k, double top_p, guint64 seed)
{
  GemSampler *self = g_new0(GemSampler, 1);

  const GemKernels *kernels = gem_kernels_chosen();
  self->kernels = kernels != NULL ? kernels : gem_kernels_best();
  self->temperature = temperature;
  self->top_k = top_k;
  self->top_p = top_p;
  for (guint i = 0; i < G_N_ELEMENTS(self->state); i++) {
    self->state[i] = split_mix(&seed);
  }
  return self;
}

void
gem_sampler_free(GemSampler *self)
{
  if (self == NULL) {
    return;
  }
  g_free(self->weights);
  g_free(self->within);
  g_free(self);
}

static guint64
rotate_left(guint64 value, guint bits)
{
  return (value << bits) | (value >> (64 - bits));
}

double
gem_sampler_next_uniform(GemSampler *self)
{
  guint64 *s = self->state;
  guint64 result = rotate_left(s[1] * 5, 7) * 9;
  guint64 shifted = s[1] << 17;

  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rotate_left(s[3], 45);
  return (double)(result >> 11) * 0x1p-53;
}

static void
reserve(GemSampler *self, guint n)
{
  if (self->capacity < n) {
    g_free(self->weights);
    g_free(self->within);
    self->weights = g_new(guint32, n);
    self->within = g_new(guint32, n);
    self->capacity = n;
  }
}

/* ---- what may be drawn ---- */

/* What has at least a certain weight. */
typedef struct {
  gsize count;
  guint64 mass;
} Tally;

/* Between two weights, `least` < `below`: of `least` on enough is there, of `below` on it is not. */
typedef struct {
  guint32 least;
  guint32 below;
  Tally from_least;
  Tally from_below;
} Bracket;

/* Halfway between two weights of any magnitude, and neither of them. */
static guint32
middle_of(const Bracket *bracket)
{
  double mean = sqrt((double)MAX(bracket->least, 1) * (double)bracket->below);

  return CLAMP((guint32)mean, bracket->least + 1, bracket->below - 1);
}

/* Closes the bracket, in which weights[n] are, around the greatest weight of which on `wanted` is there: no
 * order among the tokens is needed for that, only how many there are on either side. */
static void
close_bracket(GemSampler *self, Bracket *bracket, gsize n, const Tally *wanted)
{
  const guint32 *within = self->weights;
  Tally beyond = bracket->from_below; /* what is counted, but no longer within */

  while (bracket->below - bracket->least > 1) {
    guint32 middle = middle_of(bracket);
    Tally from = {0};

    self->kernels->tally(within, n, middle, &from.count, &from.mass);
    from.count += beyond.count;
    from.mass += beyond.mass;
    if (from.count >= wanted->count && from.mass >= wanted->mass) {
      bracket->least = middle;
      bracket->from_least = from;
    } else {
      bracket->below = middle;
      bracket->from_below = from;
    }
    if (n >= NARROW_LEAST && bracket->from_least.count - bracket->from_below.count <= n / NARROW_SHARE) {
      self->kernels->gather(within, n, bracket->least, bracket->below, self->within, &n);
      within = self->within;
      beyond = bracket->from_below;
    }
  }
}

static Bracket
bracket_of(const Choice *choice)
{
  return (Bracket){
      .least = choice->least,
      .below = HIGHEST_WEIGHT + 1,
      .from_least = {.count = choice->count, .mass = choice->mass},
  };
}

/* `choice` is of all tokens yet. */
static void
keep_likeliest(GemSampler *self, guint n, gsize limit, Choice *choice)
{
  const Tally wanted = {.count = limit};
  Bracket bracket = bracket_of(choice);

  close_bracket(self, &bracket, n, &wanted);
  choice->least = bracket.least;
  choice->count = bracket.from_least.count;
  choice->equal = limit - bracket.from_below.count;
  choice->mass = bracket.from_below.mass + (guint64)bracket.least * choice->equal;
}

/* The fewest that have that share of what `choice` has. */
static void
keep_share(GemSampler *self, guint n, double share, Choice *choice)
{
  const Tally wanted = {.mass = CLAMP((guint64)ceil(share * (double)choice->mass), 1, choice->mass)};
  Bracket bracket = bracket_of(choice);

  close_bracket(self, &bracket, n, &wanted);
  choice->least = bracket.least;
  choice->count = bracket.from_least.count;
  g_assert(bracket.least > 0); /* what weighs nothing adds no mass */
  choice->equal = (wanted.mass - bracket.from_below.mass + bracket.least - 1) / bracket.least;
  choice->mass = bracket.from_below.mass + (guint64)bracket.least * choice->equal;
}

/* ---- the draw ---- */

/* What of weights[n] may be drawn, when `equal` of the least weight still may; and how many of these. */
static guint64
mass_of_block(const GemSampler *self, const guint32 *weights, gsize n, const Choice *choice, gsize *ret_equal)
{
  Tally from = {0}, above = {0};

  self->kernels->tally(weights, n, choice->least, &from.count, &from.mass);
  self->kernels->tally(weights, n, choice->least + 1, &above.count, &above.mass);
  *ret_equal = MIN(from.count - above.count, choice->equal);
  return above.mass + (guint64)choice->least * *ret_equal;
}

/* The token at which `target`, less than the mass of `choice`, is passed when their weights are added one
 * after the other. */
static guint32
walk_to(const GemSampler *self, guint n, Choice choice, guint64 target)
{
  guint first = 0;

  for (; first < n; first += BLOCK_WEIGHTS) {
    gsize equal;
    guint64 mass = mass_of_block(self, self->weights + first, MIN(n - first, BLOCK_WEIGHTS), &choice, &equal);

    if (target < mass) {
      break;
    }
    target -= mass;
    choice.equal -= equal;
  }
  for (guint32 token = first; token < n; token++) {
    guint32 weight = self->weights[token];

    if (weight > choice.least || (weight == choice.least && choice.equal > 0)) {
      if (target < weight) {
        return token;
      }
      target -= weight;
      choice.equal -= weight == choice.least ? 1 : 0;
    }
  }
  g_assert_not_reached();
}

static guint32
draw(GemSampler *self, const float *logits, guint n, gsize largest)
{
  float sharpness = (float)MIN(1 / self->temperature, HIGHEST_SHARPNESS);
  Choice choice = {.count = n};

  reserve(self, n);
  self->kernels->weigh(logits, n, logits[largest], sharpness, self->weights, &choice.mass);
  if (self->top_k > 0 && self->top_k < n) {
    keep_likeliest(self, n, self->top_k, &choice);
  }
  if (self->top_p < 1) {
    keep_share(self, n, self->top_p, &choice);
  }
  guint64 target = (guint64)(gem_sampler_next_uniform(self) * (double)choice.mass);

  return walk_to(self, n, choice, MIN(target, choice.mass - 1));
}

gboolean
gem_sampler_pick(GemSampler *self, const float *logits, guint n, guint32 *ret_token)
{
  gsize largest = n;

  self->kernels->find_largest(logits, n, &largest);
  if (largest == n) {
    return FALSE;
  }
  if (self->temperature <= 0 || self->top_k == 1) {
    *ret_token = (guint32)largest;
  } else {
    *ret_token = draw(self, logits, n, largest);
  }
  return TRUE;
}
