/* How well what is good in one domain does in others: the paper's figures. A performance is a score, 0 to 1,
 * or one on the scale of gem_edge_on_scale. Every figure is NAN where its divisor is not above 0. */
#pragma once

#include <glib.h>

/* GG = (in - out) / in: what is lost outside of the domain; 0: nothing. */
double
gem_edge_generality_gap(double in, double out);

/* CDTR = Perf(D_j) / Perf(D_i): what is left of domain i's performance in domain j. */
double
gem_edge_transfer_ratio(double from, double to);
/* The same of a matrix: each row, of which [n][n] are looked at, divided by its entry on the diagonal:
 * [n][n]. Transfer full. */
double *
gem_edge_transfer_ratios(const double *matrix, guint n);

/* DSI = Perf(D) / mean over D' != D of Perf(D'). `others` [n]. */
double
gem_edge_specialisation(double own, const double *others, gsize n);

/* (score - chance) / (specialist - chance): 0 is guessing, 1 what a specialist of the task reaches. */
double
gem_edge_on_scale(double score, double chance, double specialist);

/* The mean of those that are numbers; NAN when there is none. */
double
gem_edge_mean(const double *values, gsize n);
