/*
 * Memory that is given back: when it is short, step by step (daemon/pressure), and before the machine sleeps.
 * The engine does it between two steps of the model, on its own thread; here is who asks it, one thing at a
 * time, who counts, and who writes it into the journal. What is asked of the model that is served is asked of
 * one, too, whose place it took and that still answers.
 */
#pragma once

#include <gio/gio.h>

typedef struct _GemService GemService;
typedef struct _GemMemory GemMemory;

/* Begins to watch, unless the configuration or the service manager (MEMORY_PRESSURE_WATCH) says not to; and
 * listens to logind on the service's connection. */
GemMemory *
gem_memory_new(GemService *service);
/* Answers of the engine that come later are not heard. */
void
gem_memory_free(GemMemory *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemMemory, gem_memory_free)

/* Tells the engines MemoryLimit, each for itself: that of the configuration, or what the limits of the unit
 * leave it (see gem-memory-room.h), whichever is less. */
void
gem_memory_apply_limit(GemMemory *self);

/* Another model is about to be loaded beside those that are there: under a limit these give up what no
 * running text needs and nobody keeps. */
void
gem_memory_make_room(GemMemory *self);

/* Keeps the code in memory that gives memory back, modules included: once they are loaded. */
void
gem_memory_lock_code(GemMemory *self);

/* Another model is served: the step that stands is taken on that one, too. */
void
gem_memory_take_model(GemMemory *self);
/* What memory asks for now, see GemRelief: 0 when it is not short. */
guint
gem_memory_get_step(GemMemory *self);
