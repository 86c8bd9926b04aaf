/* Random numbers that depend on the seed alone: every draw of training is a function of (seed, stream), so
 * that a resumed run is the same run. */
#pragma once

#include <glib.h>
#include <math.h>

typedef struct {
  guint64 state;
} GemRandom;

/* SplitMix64. */
static inline guint64
gem_random_next(GemRandom *self)
{
  guint64 z = (self->state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static inline GemRandom
gem_random_seeded(guint64 seed, guint64 stream)
{
  GemRandom mixed = {.state = seed};
  GemRandom self = {.state = gem_random_next(&mixed) ^ (stream * G_GUINT64_CONSTANT(0xd1342543de82ef95))};
  gem_random_next(&self);
  return self;
}

/* [0, 1) */
static inline double
gem_random_uniform(GemRandom *self)
{
  return (double)(gem_random_next(self) >> 11) * 0x1p-53;
}

/* 0 .. n - 1; the bias of n / 2^64 does not matter here. */
static inline guint64
gem_random_below(GemRandom *self, guint64 n)
{
  return gem_random_next(self) % n;
}

/* Mean 0, deviation 1. */
static inline double
gem_random_normal(GemRandom *self)
{
  double radius = sqrt(-2.0 * log(1.0 - gem_random_uniform(self)));
  return radius * cos(2.0 * G_PI * gem_random_uniform(self));
}
