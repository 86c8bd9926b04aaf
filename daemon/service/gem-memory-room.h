/*
 * How much of a limited unit the engine may take, so that the kernel has no reason to slow the service down:
 * memory.high holds back whoever goes over it, and what is given back afterwards comes late.
 */
#pragma once

#include <glib.h>

/* Looks over which what the rest of the process holds is judged: the engine's bytes and those of the control
 * group are never read at one moment. */
#define GEM_MEMORY_LOOKS 5u

typedef struct {
  guint64 others[GEM_MEMORY_LOOKS]; /* bytes that are not the engine's, of the last looks */
  guint looks;                      /* so far */
  guint64 limit;                    /* as told last; 0: none */
} GemMemoryRoom;

/* After a look: the unit holds `held` bytes of `limit` (0: it has none), the engine `resident` of them, of
 * which `least` is what it needs to answer at all. Returns what MemoryLimit should be for it, 0 for none:
 * seven tenths of the limit, which is below the first step of memory pressure, without what others in the
 * unit hold, and at least `least`. It changes by a sixteenth of the limit or more, or not at all. */
guint64
gem_memory_room_take(GemMemoryRoom *self, guint64 held, guint64 limit, guint64 resident, guint64 least);
