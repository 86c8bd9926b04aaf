/*
 * One file measured by two programs in turns, gemd first, each run a process of its own: what disturbs the
 * machine for longer than a turn disturbs both. A figure of a turn is the median of the rounds in its
 * process; ratios are taken turn by turn.
 */
#pragma once

#include <gio/gio.h>

/* What is asked of both, as of gem-bench speed. */
typedef struct {
  guint threads, prompt, tokens;
  guint depth;  /* tokens of context of the deep runs; 0: there are none */
  guint rounds; /* in a process */
  guint turns;
  const char *router; /* NULL, or a model folder: gemd runs its router, llama.cpp the file, which is a BERT */
} GemPeersWish;

/* The runs of a turn, in their order. */
typedef enum {
  GEM_PEERS_GEMD,
  GEM_PEERS_LLAMA,
  GEM_PEERS_GEMD_DEEP,
  GEM_PEERS_LLAMA_DEEP,    /* keys and values in 8 bits, as gemd has them */
  GEM_PEERS_LLAMA_DEEP_16, /* in 16 bits, its own choice */
  GEM_PEERS_N_RUNS,
} GemPeersRun;

typedef enum {
  GEM_PEERS_PREFILL, /* tokens a second */
  GEM_PEERS_DECODE,  /* tokens a second */
  GEM_PEERS_LOAD,    /* milliseconds */
  GEM_PEERS_PEAK,    /* bytes resident */
  GEM_PEERS_N_KINDS,
} GemPeersKind;

typedef struct {
  char *file;                                           /* its name without .gguf */
  char *descriptions[2];                                /* of gemd and of llama.cpp: version, kernels */
  GArray *figures[GEM_PEERS_N_RUNS][GEM_PEERS_N_KINDS]; /* doubles, one a turn; NAN where there is none */
} GemPeersSpeed;

GemPeersSpeed *
gem_peers_speed_new(const char *path);
void
gem_peers_speed_free(GemPeersSpeed *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GemPeersSpeed, gem_peers_speed_free)

/* Takes the figures of a run from what the program printed: the JSON object of gem-bench speed, or of
 * gem-bench router, whose whole turns count as prefill. INVALID_DATA (of G_IO_ERROR) when it is none. */
gboolean
gem_peers_speed_take(GemPeersSpeed *self, GemPeersRun run, const char *json, GError **error);

/* All turns. Errors: FAILED, with the message of the program that failed. */
gboolean
gem_peers_speed_measure(GemPeersSpeed *self, const char *path, const GemPeersWish *wish, GError **error);

/* gemd's figure / llama.cpp's, turn by turn. Transfer full. */
GArray *
gem_peers_speed_ratios(const GemPeersSpeed *self, GemPeersRun gemd, GemPeersRun llama, GemPeersKind kind);
