/*
 * Memory for packed matrices. Those of one group lie in one piece, of large pages where the system has them:
 * its pages cost a tenth of what single ones do when it is first written, its addresses are found faster when
 * it is read, and it goes back to the system as soon as the last matrix of the group is gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct GemCpuGroup GemCpuGroup;

/* Room for matrices of `bytes` in all, and for what their padding adds; it takes addresses with the first of
 * them. NULL: out of memory, or more than there are addresses. */
GemCpuGroup *
gem_cpu_group_new(size_t bytes);
/* No matrix is added any more: what was too much goes back, and all of it when nothing was added. */
void
gem_cpu_group_end(GemCpuGroup *self);

/* Gives back what it took over of a group that went, if nothing was taken of it so far: it is not needed. */
void
gem_cpu_group_give_back(GemCpuGroup *self);
/* Whether nothing was taken of it so far. */
bool
gem_cpu_group_is_new(const GemCpuGroup *self);
/* `bytes`, a multiple of GEM_PACKED_ALIGNMENT and aligned to it; NULL: the group has no room left, or the
 * system has none for it. */
uint8_t *
gem_cpu_group_take(GemCpuGroup *self, size_t bytes);
/* Brings the pages of a part of them into memory; from any thread, but no large page by two at once. */
void
gem_cpu_group_fetch(const uint8_t *data, size_t bytes);
/* The same of a whole group of which something was taken, in so many pieces, none of which shares a page with
 * another: each from any thread. None where it took over next to all its pages. */
size_t
gem_cpu_group_pieces(const GemCpuGroup *self);
void
gem_cpu_group_fetch_piece(const GemCpuGroup *self, size_t piece);
/* Gives them back; the group is gone with the last when it has ended. Its memory is then the system's, or
 * that of `heir` (may be NULL) if that is new: pages that are there need not be cleared again. */
void
gem_cpu_group_return(GemCpuGroup *self, uint8_t *data, size_t bytes, GemCpuGroup *heir);
