/*
 * Whether two programs say the same of the same file: `peer-gem greedy` and `peer-llama greedy` continue the
 * same texts, and what they wrote is read side by side.
 */
#pragma once

#include <gio/gio.h>

/* Sums over the texts of a file. */
typedef struct {
  guint texts;
  guint written;      /* tokens that either wrote */
  guint tokens;       /* that both wrote before they parted, or to the end */
  guint near_ties;    /* texts in which they parted where two tokens were as likely */
  double most_apart;  /* the largest difference of a greatest logit, in standard deviations of the logits */
  double largest_tie; /* the largest gap at which they parted, likewise */
} GemPeersAgreement;

/* In standard deviations of the logits: the greatest gap between the two largest of a near tie, and the most
 * that the largest may differ between the programs. Caches in 8 bits move them by half of that; weights in 6
 * bits, or a RoPE base of 9,000 in place of 10,000, by more. */
#define GEM_PEERS_NEAR_TIE 0.06

/* Reads what both wrote, in the words of peer-logits.h. FAILED names text and token when they do not have the
 * same tokens in a text, part where no near tie is, have logits that are too far apart, or part so
 * early that less than half could be compared. */
gboolean
gem_peers_compare_greedy(const char *gem,
                         const char *llama,
                         GemPeersAgreement *ret_agreement,
                         GError **error);
