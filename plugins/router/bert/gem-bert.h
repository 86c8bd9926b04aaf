/*
 * The paper's Dynamic Token Router: a small BERT-like encoder over the sequence's own tokens, and a
 * classifier over domains for each token. Pre-norm, RoPE, GELU, attention inside a window.
 *
 * Private to the module: what its files share.
 */
#pragma once

#include "plugins/gem-plugin.h"

/* Rows that go through the arithmetic at a time. */
#define GEM_BERT_BLOCK 128

/* Weights of one layer. D is the width, F the width of the feed-forward. */
typedef struct {
  float *attention_norm;    /* [D] */
  GemMatrix *query;         /* [D][D] */
  GemMatrix *key;           /* [D][D] */
  GemMatrix *value;         /* [D][D] */
  GemMatrix *output;        /* [D][D] */
  float *feed_forward_norm; /* [D] */
  GemMatrix *up;            /* [F][D] */
  GemMatrix *down;          /* [D][F] */
} GemBertLayer;

/* What of a turn lies in a block: n tokens from `token` on, rows `row` .. of the block. */
typedef struct {
  const GemRouterTurn *turn;
  const GemRouterClasses *classes; /* of the turn; NULL: the model's */
  size_t token;
  size_t row;
  size_t n;
} GemBertPiece;

/* Room for the arithmetic of one block, one allocation. */
typedef struct {
  float *normed;       /* [GEM_BERT_BLOCK][D]: u, and the projections that are added to x */
  float *attended;     /* [GEM_BERT_BLOCK][D]; values before */
  float *keys;         /* [GEM_BERT_BLOCK][D] */
  float *turn;         /* [2][GEM_BERT_BLOCK][D]: x and queries of turns that are no longer */
  float *hidden;       /* [GEM_BERT_BLOCK][max(F, E, domains)]: the feed-forward's, the embedding's, logits */
  uint32_t *positions; /* [GEM_BERT_BLOCK] */
  uint8_t *targets[GEM_BERT_BLOCK]; /* where keys and values go */
  uint8_t places[GEM_BERT_BLOCK];
  uint32_t from[GEM_BERT_BLOCK]; /* positions that a row sees: from .. to - 1 */
  uint32_t to[GEM_BERT_BLOCK];
  GemBertPiece pieces[GEM_BERT_BLOCK];
  GemKeyValuePart parts[GEM_BERT_BLOCK]; /* of each piece */
  GemKeyValueGroup groups[GEM_BERT_BLOCK];
} GemBertScratch;

struct GemRouter {
  GemBackend backend;
  uint32_t vocabulary; /* V, tokens */
  uint32_t embedding;  /* E */
  uint32_t width;      /* D */
  uint32_t heads;
  uint32_t head_dim;
  uint32_t hidden; /* F */
  uint32_t window; /* tokens */
  uint32_t domains;
  float rms_epsilon;
  float rope_base;
  GemMatrix *embeddings; /* [V][E] */
  GemMatrix *projection; /* [D][E]; NULL when E == D */
  float *output_norm;    /* [D] */
  GemMatrix *classifier; /* [domains][D]: W_r */
  uint32_t n_layers;
  GemBertLayer *layers;
  GemKeyValueForm form; /* of the states */
  GemBertScratch scratch;
  bool (*go_on)(void *data); /* NULL: always */
  void *go_on_data;
};

/* Rotated keys, and values, of the last tokens of one sequence, in every layer, in tiles of the backend; at
 * least the last window - 1 of them where the sequence has as many. Room for a few more, so that single
 * tokens are appended without moving the others each time. */
struct GemRouterState {
  uint32_t n_layers;
  uint32_t window;
  size_t tile_bytes;
  uint32_t next;         /* position of the next token in the sequence */
  uint32_t first_tile;   /* tile t of a layer's holds positions 16 t ..; those before this one are gone */
  uint32_t capacity;     /* tiles a layer */
  uint8_t *memory;       /* of the tiles */
  const uint8_t **tiles; /* [n_layers][capacity] from first_tile on */
};

/* ---- gem-bert-load.c ---- */
GemRouter *
gem_bert_open(const GemTensorSource *source,
              const GemShape *shape,
              const GemBackend *backend,
              GemPluginError *error);
void
gem_bert_close(GemRouter *self);
size_t
gem_bert_resident_bytes(const GemRouter *self);

/* ---- gem-bert-state.c ---- */
GemRouterState *
gem_bert_state_new(GemRouter *self);
GemRouterState *
gem_bert_state_copy(GemRouter *self, const GemRouterState *state);
void
gem_bert_state_free(GemRouter *self, GemRouterState *state);
size_t
gem_bert_state_bytes(const GemRouter *self);
/* Room for n more tokens, dropping tiles that fell out of the window. False, and nothing changed: out of
 * memory. */
bool
gem_bert_state_reserve(GemRouterState *state, size_t n);
/* Gives back what a long turn needed beyond the usual room. */
void
gem_bert_state_trim(GemRouterState *state);
/* The tile of a position, for which there must be room. */
uint8_t *
gem_bert_state_tile(const GemRouterState *state, uint32_t layer, uint32_t position);

/* ---- gem-bert-route.c ---- */
void
gem_bert_set_go_on(GemRouter *self, bool (*go_on)(void *data), void *data);
int
gem_bert_route(GemRouter *self, const GemRouterTurn *turns, size_t count);
int
gem_bert_route_classes(GemRouter *self,
                       const GemRouterTurn *turns,
                       const GemRouterClasses *const *classes,
                       size_t count);

/* ---- gem-bert-classes.c ---- */
uint32_t
gem_bert_row_width(const GemRouter *self);
/* Probabilities of the piece's tokens, into those of its turn: softmax over the classes that the turn has.
 * logits [n][domains] are of the model's classes, e [n][D] is what the encoder gave. */
void
gem_bert_classify(const GemRouter *self, const GemBertPiece *piece, const float *logits, const float *e);
