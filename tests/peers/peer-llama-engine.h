/*
 * llama.cpp behind the few calls that a measurement needs, against the header of the release that is linked.
 * Plain C without GLib, whose memory would count as llama.cpp's. What fails says why on standard error.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  const char *model;    /* a GGUF file, of a model that writes or of a BERT */
  unsigned threads;     /* for prompts and answers */
  unsigned context;     /* tokens that it must hold */
  bool cache_is_8_bits; /* Q8_0 in place of llama.cpp's own choice, F16 */
} GemPeerLlamaWish;

typedef struct GemPeerLlama GemPeerLlama;

/* Loads the libraries of this CPU, once a process and before all else. */
bool
gem_peer_llama_start(void);
/* The release, and the library that was chosen for this CPU, both valid for ever. */
const char *
gem_peer_llama_version(void);
const char *
gem_peer_llama_library(void);

/* NULL when it cannot be opened. */
GemPeerLlama *
gem_peer_llama_open(const GemPeerLlamaWish *wish);
/* NULL is allowed. */
void
gem_peer_llama_close(GemPeerLlama *self);

unsigned
gem_peer_llama_n_vocab(const GemPeerLlama *self);
/* The tokens of a text, one that begins it first when the file asks for it. Returns how many; negative when
 * they do not fit into `most`. Control tokens spelled out in the text are text. */
int
gem_peer_llama_tokenize(const GemPeerLlama *self, const char *text, int32_t *tokens, unsigned most);

/* Appends n >= 1 tokens and runs them. */
bool
gem_peer_llama_run(GemPeerLlama *self, int32_t *tokens, unsigned n);
/* The logits [vocab] after the last token that ran. Borrowed until the next one runs. */
const float *
gem_peer_llama_get_logits(GemPeerLlama *self);
/* Forgets all but the first n tokens; an encoder has nothing to forget. */
bool
gem_peer_llama_truncate(GemPeerLlama *self, unsigned n);
