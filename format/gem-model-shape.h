/*
 * The hyper-parameters of a GEM, and where they stand in GGUF metadata.
 *
 * general.gguf has architecture "gem" (keys "gem.*"); a file of architecture "llama" (keys "llama.*") is a
 * GEM without domains and with dense attention. Keys below `<arch>.`, as the ecosystem names them:
 *
 *   vocab_size (or the length of tokenizer.ggml.tokens), context_length, embedding_length, block_count,
 * feed_forward_length, attention.head_count, attention.head_count_kv (default head_count),
 * attention.key_length (default embedding_length / head_count), attention.layer_norm_rms_epsilon,
 * rope.dimension_count (default key_length), rope.freq_base (default 10000) gem only: scar.clusters (u32
 * array, e.g. 16, 8), scar.window, scar.successors (0, the default, or 1), domains (string array),
 * domain_feed_forward_length, router.threshold, template.ask
 *
 * Tensors of general.gguf (rows x cols): token_embd.weight (V x D), output_norm.weight (D), output.weight (V
 * x D; absent: tied), blk.N.attn_norm.weight (D), blk.N.attn_q.weight (H*hd x D), attn_k, attn_v (KV*hd x D),
 * attn_output (D x H*hd), blk.N.ffn_norm.weight (D), ffn_gate, ffn_up (F x D), ffn_down (D x F), gem only:
 * blk.N.scar_centroids_K.weight (K x D, F32, unit rows). router.gguf, architecture "gemrouter": keys
 * context_length, embedding_length, block_count, feed_forward_length, attention.head_count,
 *   attention.layer_norm_rms_epsilon, attention.window, rope.freq_base, domains; tensors token_embd.weight (V
 * x E), embedding_projection.weight (D x E; absent when E == D),
 * blk.N.attn_norm/attn_q/attn_k/attn_v/attn_output/ffn_norm/ffn_up (F x D)/ffn_down, output_norm.weight,
 * classifier.weight (domains x D). pathway-<domain>.gguf, architecture "gempathway": keys domain,
 * embedding_length, block_count, feed_forward_length; tensors blk.N.ffn_gate, ffn_up (F x D), ffn_down (D x
 * F).
 *
 * A reader that does not know scar.successors runs such a file by the other rule, and says nothing: the key
 * is newer than the first readers.
 *
 * RoPE rotates adjacent pairs (2i, 2i + 1), as Llama-architecture GGUF files are written for.
 */
#pragma once

#include "format/gem-gguf.h"

#define GEM_MAX_DOMAINS      16
#define GEM_MAX_CLUSTER_SETS 4
#define GEM_MAX_DOMAIN_NAME  32 /* bytes */

/* A domain's name is part of a file's name and of a bus path: of 1 to GEM_MAX_DOMAIN_NAME letters a-z, digits
 * and hyphens, a letter first; "general" is none. */
gboolean
gem_domain_name_is_plain(const char *name);

typedef struct {
  guint vocab;      /* V */
  guint width;      /* D */
  guint layers;     /* L */
  guint heads;      /* H */
  guint kv_heads;   /* divides heads */
  guint head_dim;   /* values a head, even */
  guint rope_dim;   /* rotated values of a head, even, <= head_dim */
  guint ffn;        /* width of the general feed-forward */
  guint domain_ffn; /* width of a domain's residual; 0 without domains */
  guint context;    /* tokens it was made for */
  float rms_epsilon;
  float rope_base;
  guint n_cluster_sets;                 /* 0: dense attention */
  guint clusters[GEM_MAX_CLUSTER_SETS]; /* descending, e.g. 16, 8 */
  guint window;                         /* SCAR's local window w, tokens */
  guint successors; /* 0, 1: a token sees what followed its cluster's tokens in place of these */
  guint n_domains;
  char *domains[GEM_MAX_DOMAINS + 1]; /* owned; NULL-terminated; the index is the router's class */
  float router_threshold;             /* tau */
  gboolean tied;                      /* no output.weight */
  char *ask_template;                 /* owned; NULL: the text alone. See GemTokenizer's templates */
} GemModelShape;

/* Reads and checks (ranges, divisibility, products that overflow) the shape of a "gem" or "llama" file. */
gboolean
gem_model_shape_read(GemGguf *file, GemModelShape *ret_shape, GError **error);
/* Writes the keys above, architecture "gem", to a writer. */
void
gem_model_shape_write(const GemModelShape *shape, GemGgufWriter *writer);
/* The same as architecture "llama", which other programs read: domains, clusters and template are left out.
 */
void
gem_model_shape_write_llama(const GemModelShape *shape, GemGgufWriter *writer);
void
gem_model_shape_clear(GemModelShape *shape);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemModelShape, gem_model_shape_clear)
/* Every tensor of general.gguf is there in its shape, the centroids have unit rows, and no tensor is there
 * that has no place in the architecture (biases, scaled positions ...): UNSUPPORTED rather than wrong text.
 */
gboolean
gem_model_shape_check_tensors(const GemModelShape *shape, GemGguf *file, GError **error);

typedef struct {
  guint vocab, embedding, width, layers, heads, ffn, window, context, n_domains;
  float rms_epsilon, rope_base;
} GemRouterShape;

/* Reads and checks a "gemrouter" file; vocab and embedding are those of its token_embd.weight. */
gboolean
gem_router_shape_read(GemGguf *file, GemRouterShape *ret_shape, GError **error);
/* The same of a file that keeps the embedding, which states vocabulary and width, under another name. */
gboolean
gem_router_shape_read_with(GemGguf *file,
                           const char *embedding_name,
                           GemRouterShape *ret_shape,
                           GError **error);
void
gem_router_shape_write(const GemRouterShape *shape, const char *const *domains, GemGgufWriter *writer);
/* Every tensor of router.gguf is there in its shape. */
gboolean
gem_router_shape_check_tensors(const GemRouterShape *shape, GemGguf *file, GError **error);

/* The file is the pathway of `domain` for a model of this shape: keys and tensors. MISMATCH names what
 * differs. */
gboolean
gem_pathway_check(const GemModelShape *shape, const char *domain, GemGguf *file, GError **error);
/* The same of a learned domain's file, which has its row of the router beside the pathway: F32 tensors
 * GEM_LEARNED_ROW [router_width] and GEM_LEARNED_BIAS [1]. See gem-learned-file.h. */
#define GEM_LEARNED_ROW  "router.row.weight"
#define GEM_LEARNED_BIAS "router.row.bias"
gboolean
gem_pathway_check_learned(
    const GemModelShape *shape, const char *domain, guint router_width, GemGguf *file, GError **error);
/* Writes the keys of a pathway file. */
void
gem_pathway_write(const GemModelShape *shape, const char *domain, GemGgufWriter *writer);
