/*
 * A group of matrices and the folder of packed ones (gem-cpu-keep.h): when the first matrix comes, what is
 * kept of its model file is mapped; where nothing is, the group is written to a file when all of it has come,
 * on a thread of its own.
 */
#pragma once

#include "plugins/backends/cpu/gem-cpu-keep.h"
#include "plugins/gem-plugin.h"

typedef struct GemCpuWriting GemCpuWriting;

/* How often a file is begun to be written: what was given up, cannot be written, or had to make room again is
 * not written on and on. */
#define GEM_CPU_KEEPING_TRIES 3u

typedef struct {
  GemCpuKeep *keep; /* NULL: nothing is kept */
  bool (*locate)(const GemTensorView *tensor, const char **ret_digest, uint64_t *ret_offset);
  /* Of the group that has begun. */
  bool has_group;
  char digest[GEM_CPU_DIGEST_BYTES]; /* of its model file; "": no matrix of one has come */
  GemCpuKept *kept;                  /* what is kept of it; NULL: nothing is */
  bool is_missing;                   /* nothing is, and it may be written */
  GemCpuKeptMatrix *draft;           /* [count], with room for `room`: what is to be kept of it */
  size_t count, room;
  GemCpuWriting *writing; /* the file that was begun last; NULL: none */
  struct {
    char digest[GEM_CPU_DIGEST_BYTES];
    unsigned times;
  } tries[GEM_CPU_KEEP_FILES]; /* files that were begun to be written, the first `n_tries` */
  size_t n_tries;
} GemCpuKeeping;

/* What `options` say; all of it may be missing. */
void
gem_cpu_keeping_open(GemCpuKeeping *self, const GemBackendOptions *options);
void
gem_cpu_keeping_close(GemCpuKeeping *self);

void
gem_cpu_keeping_begin(GemCpuKeeping *self);
/* Begins to write what has come, unless it came from there, or another file is still being written: then it
 * is kept when it comes the next time. */
void
gem_cpu_keeping_end(GemCpuKeeping *self);

/* The packed bytes of a tensor of the group, of that form, and a reference on what they are part of; NULL: to
 * be packed. */
const uint8_t *
gem_cpu_keeping_find(GemCpuKeeping *self, const GemTensorView *tensor, GemType type, GemCpuKept **ret_kept);
/* A tensor of the group was packed; a packed one goes, of whatever group: writing that needs it stops. */
void
gem_cpu_keeping_add(GemCpuKeeping *self, const GemTensorView *tensor, const GemPacked *packed);
void
gem_cpu_keeping_remove(GemCpuKeeping *self, const GemPacked *packed);
