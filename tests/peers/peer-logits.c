#include "tests/peers/peer-logits.h"

#include <math.h>
#include <stdio.h>

GemPeerLogits
gem_peer_logits_read(const float *logits, unsigned n)
{
  GemPeerLogits self = {.best = -1, .top = -INFINITY, .second = -INFINITY};
  double sum = 0, squares = 0;
  unsigned i;

  for (i = 0; i < n; i++) {
    sum += logits[i];
    squares += (double)logits[i] * logits[i];
    if (logits[i] > self.top) {
      self.second = self.top;
      self.top = logits[i];
      self.best = (int32_t)i;
    } else if (logits[i] > self.second) {
      self.second = logits[i];
    }
  }
  self.deviation = sqrt(fmax(squares / n - (sum / n) * (sum / n), 0));
  return self;
}

void
gem_peer_logits_print_prompt(const int32_t *tokens, unsigned n)
{
  unsigned i;

  fputs("prompt", stdout);
  for (i = 0; i < n; i++) {
    printf(" %d", (int)tokens[i]);
  }
  putchar('\n');
}

void
gem_peer_logits_print(const GemPeerLogits *self)
{
  printf("token %d %.9g %.9g %.9g\n", (int)self->best, (double)self->top, (double)self->second,
         self->deviation);
}
