#include "daemon/engine/gem-sampler.h"

#include <math.h>

typedef struct {
  double weight; /* exp((logit - largest) / temperature), 0..1 */
  guint32 token;
} Candidate;

struct GemSampler {
  double temperature;
  guint top_k;
  double top_p;
  guint64 state[4];
  Candidate *candidates; /* scratch of `capacity` */
  guint capacity;
};

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
  g_free(self->candidates);
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

/* The first of the largest finite logits; FALSE: there is none. */
static gboolean
find_largest(const float *logits, guint n, guint32 *ret_token)
{
  gboolean found = FALSE;

  for (guint32 i = 0; i < n; i++) {
    if (isfinite(logits[i]) && (!found || logits[i] > logits[*ret_token])) {
      *ret_token = i;
      found = TRUE;
    }
  }
  return found;
}

static gboolean
comes_before(const Candidate *a, const Candidate *b)
{
  return a->weight > b->weight || (a->weight == b->weight && a->token < b->token);
}

/* Restores the heap below `root`: no child comes before its parent. */
static void
sift_down(Candidate *heap, guint n, guint root)
{
  for (;;) {
    guint first = root;
    Candidate swap;

    for (guint child = 2 * root + 1; child <= 2 * root + 2 && child < n; child++) {
      if (comes_before(&heap[child], &heap[first])) {
        first = child;
      }
    }
    if (first == root) {
      return;
    }
    swap = heap[root];
    heap[root] = heap[first];
    heap[first] = swap;
    root = first;
  }
}

/* Moves the likeliest candidates, in order, to the end of the array (the likeliest last): `limit` of them, or
 * fewer when they reach `mass` before. A heap, so that only what is kept gets sorted. Returns how many. */
static guint
select_likeliest(Candidate *candidates, guint n, guint limit, double mass, double *ret_mass)
{
  guint kept = 0;
  double sum = 0;

  for (guint root = n / 2; root-- > 0;) {
    sift_down(candidates, n, root);
  }
  while (kept < limit && sum < mass) {
    Candidate top = candidates[0];

    candidates[0] = candidates[n - 1 - kept];
    candidates[n - 1 - kept] = top;
    kept++;
    sum += top.weight;
    sift_down(candidates, n - kept, 0);
  }
  *ret_mass = sum;
  return kept;
}

/* Of `kept` candidates ending at `end` (likeliest last), the number that holds `top_p` of their mass. */
static guint
cut_nucleus(const Candidate *end, guint kept, double top_p, double *mass)
{
  double wanted = top_p * *mass;
  double sum = 0;
  guint n = 0;

  while (n < kept && sum < wanted) {
    n++;
    sum += end[-(gssize)n].weight;
  }
  *mass = sum;
  return n;
}

/* Walks back from `end` over `n` candidates until `target` of their mass is passed. */
static guint32
walk_to(const Candidate *end, guint n, double target)
{
  for (guint i = 1; i < n; i++) {
    target -= end[-(gssize)i].weight;
    if (target < 0) {
      return end[-(gssize)i].token;
    }
  }
  return end[-(gssize)n].token;
}

/* Fills the scratch with the finite logits as weights; returns how many, and their sum. */
static guint
fill_candidates(GemSampler *self, const float *logits, guint n, float largest, double *ret_mass)
{
  guint count = 0;
  double mass = 0;

  if (self->capacity < n) {
    g_free(self->candidates);
    self->candidates = g_new(Candidate, n);
    self->capacity = n;
  }
  /* From the last id to the first: the walk goes from the end back. */
  for (guint32 i = n; i-- > 0;) {
    if (isfinite(logits[i])) {
      Candidate *candidate = &self->candidates[count++];

      candidate->token = i;
      candidate->weight = exp(((double)logits[i] - (double)largest) / self->temperature);
      mass += candidate->weight;
    }
  }
  *ret_mass = mass;
  return count;
}

gboolean
gem_sampler_pick(GemSampler *self, const float *logits, guint n, guint32 *ret_token)
{
  guint32 largest = 0;
  guint count, kept;
  double mass;

  if (!find_largest(logits, n, &largest)) {
    return FALSE;
  }
  if (self->temperature <= 0 || self->top_k == 1) {
    *ret_token = largest;
    return TRUE;
  }
  count = fill_candidates(self, logits, n, logits[largest], &mass);
  kept = count;
  if (self->top_k > 0 && self->top_k < count) {
    kept = select_likeliest(self->candidates, count, self->top_k, INFINITY, &mass);
    if (self->top_p < 1) {
      kept = cut_nucleus(self->candidates + count, kept, self->top_p, &mass);
    }
  } else if (self->top_p < 1) {
    kept = select_likeliest(self->candidates, count, count, self->top_p * mass, &mass);
  }
  g_assert(kept > 0);
  *ret_token = walk_to(self->candidates + count, kept, gem_sampler_next_uniform(self) * mass);
  return TRUE;
}
