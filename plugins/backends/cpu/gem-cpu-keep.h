/*
 * Packed matrices on disk: what was packed once is mapped from then on.
 *
 * A folder of the service's own has a file for each model file, by that file's SHA-256, with its matrices as
 * kernels/gem-packed.h has them. What comes in again is neither copied nor packed, and its pages are those of
 * the system's cache: it is in memory once.
 *
 * Who may write there decides what the model says, so that a folder or a file of another user, or one that
 * others may write to, is as good as none. A file is read against its checksum when a process meets it for
 * the first time; one that does not hold is made anew. While it is mapped, a file that is cut short, or whose
 * disk fails, ends the process: only who may write there could cut it, and nothing here ever does.
 */
#pragma once

#include <stdatomic.h>

#include "kernels/gem-packed.h"

typedef struct GemCpuKeep GemCpuKeep; /* the folder. For one thread at a time, but for gem_cpu_keep_write */
typedef struct GemCpuKept GemCpuKept; /* what is kept of a file, mapped; counts its references */

typedef struct {
  uint64_t offset; /* of its blocks, in the model file */
  GemPacked packed;
} GemCpuKeptMatrix;

/* What a file may take, and all of them: those that were written first make room. */
#define GEM_CPU_KEEP_FILE_BYTES ((uint64_t)256 << 20)
#define GEM_CPU_KEEP_BYTES      ((uint64_t)1 << 30)
#define GEM_CPU_KEEP_FILES      64u

/* Of a SHA-256 as text: its digits, and with their end. */
enum { GEM_CPU_DIGEST_DIGITS = 64, GEM_CPU_DIGEST_BYTES = GEM_CPU_DIGEST_DIGITS + 1 };

/* The folder "cpu" of `cache_dir`, made where there is none. NULL: out of memory, it cannot
 * be made, or one of them could be written to by others. */
GemCpuKeep *
gem_cpu_keep_new(const char *cache_dir);
void
gem_cpu_keep_free(GemCpuKeep *self);

/* What is kept of the model file with that SHA-256 (lower-case hexadecimal), its pages in memory. NULL:
 * nothing that holds, and *ret_missing says so; or it cannot be mapped now. Released by gem_cpu_kept_unref,
 * also after `self` is gone. */
GemCpuKept *
gem_cpu_keep_map(GemCpuKeep *self, const char *digest, bool *ret_missing);
/* Has the system read it, when it is not in its cache, without waiting. False: there is nothing. */
bool
gem_cpu_keep_expect(GemCpuKeep *self, const char *digest);

/* How a thread that writes and one that needs the memory agree. */
typedef struct {
  atomic_bool stop;     /* set from outside: the file is given up */
  atomic_bool released; /* set by who writes, at last at the end: the matrices are not needed any more */
} GemCpuKeepControl;

/* Keeps the matrices of that model file, in place of what was kept of it; on any thread, beside all others.
 * False: it was told to stop, could not be written, another process or thread is writing, or it is too large;
 * what was kept stays then. Returns when it is on the disk. */
bool
gem_cpu_keep_write(const GemCpuKeep *self,
                   const char *digest,
                   const GemCpuKeptMatrix *matrices,
                   size_t count,
                   GemCpuKeepControl *control);

GemCpuKept *
gem_cpu_kept_ref(GemCpuKept *self);
void
gem_cpu_kept_unref(GemCpuKept *self);
/* The packed bytes of the matrix at that offset of the model file; NULL: it is not there, or of another type
 * or shape. They live as long as `self`. */
const uint8_t *
gem_cpu_kept_find(const GemCpuKept *self, uint64_t offset, GemType type, size_t rows, size_t cols);
