#include "tests/peers/peer-llama-engine.h"

#include <dlfcn.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The most tokens in one call of llama_decode: its own default. */
#define MOST_BATCH 2048u

struct GemPeerLlama {
  struct llama_model *model;
  struct llama_context *context;
  const struct llama_vocab *vocab;
  ggml_threadpool_t pool; /* NULL with one thread */
};

/* Of the CPU's library, which is loaded at run time and cannot be linked. */
static __typeof__(ggml_threadpool_new) *pool_new;
static __typeof__(ggml_threadpool_free) *pool_free;

static void
log_errors(enum ggml_log_level level, const char *text, void *data)
{
  static bool is_error; /* of the line that goes on */

  is_error = level == GGML_LOG_LEVEL_CONT ? is_error : level == GGML_LOG_LEVEL_ERROR;
  if (is_error) {
    fputs(text, stderr);
  }
}

static bool
fail(const char *what, const char *name)
{
  fprintf(stderr, "peer-llama: %s: %s\n", name, what);
  return false;
}

/* ---- the libraries ---- */

bool
gem_peer_llama_start(void)
{
  ggml_backend_dev_t cpu;

  llama_log_set(log_errors, NULL);
  ggml_backend_load_all_from_path(GEM_PEER_LLAMA_LIBRARIES);
  llama_backend_init();
  cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (cpu == NULL) {
    return fail("no library there runs on this CPU", GEM_PEER_LLAMA_LIBRARIES);
  }
  *(void **)&pool_new =
      ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_threadpool_new");
  *(void **)&pool_free =
      ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), "ggml_threadpool_free");
  return (pool_new != NULL && pool_free != NULL) || fail("it has no thread pools", gem_peer_llama_library());
}

const char *
gem_peer_llama_version(void)
{
  return llama_version();
}

const char *
gem_peer_llama_library(void)
{
  Dl_info info;
  const char *slash;

  if (pool_new == NULL || dladdr(*(void **)&pool_new, &info) == 0) {
    return "unknown";
  }
  slash = strrchr(info.dli_fname, '/');
  return slash == NULL ? info.dli_fname : slash + 1;
}

/* ---- a model ---- */

/* An encoder remembers nothing and gives states in place of logits. */
static bool
is_encoder(const struct llama_model *model)
{
  char architecture[64];

  return llama_model_meta_val_str(model, "general.architecture", architecture, sizeof architecture) > 0 &&
         strcmp(architecture, "bert") == 0;
}

static struct llama_context *
open_context(struct llama_model *model, const GemPeerLlamaWish *wish)
{
  struct llama_context_params params = llama_context_default_params();

  params.n_ctx = wish->context;
  params.n_batch = MOST_BATCH;
  params.n_threads = (int32_t)wish->threads;
  params.n_threads_batch = (int32_t)wish->threads;
  params.no_perf = true;
  if (is_encoder(model)) {
    params.embeddings = true;
    params.pooling_type = LLAMA_POOLING_TYPE_NONE;
  }
  if (wish->cache_is_8_bits) {
    params.type_k = params.type_v = GGML_TYPE_Q8_0;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED; /* the only way to values in 8 bits */
  }
  return llama_init_from_model(model, params);
}

/* Without one of its own llama.cpp starts and ends threads in every step. */
static bool
attach_pool(GemPeerLlama *self, unsigned threads)
{
  struct ggml_threadpool_params params = ggml_threadpool_params_default((int)threads);

  if (threads == 1) {
    return true;
  }
  self->pool = pool_new(&params);
  if (self->pool == NULL) {
    return false;
  }
  llama_attach_threadpool(self->context, self->pool, NULL);
  return true;
}

GemPeerLlama *
gem_peer_llama_open(const GemPeerLlamaWish *wish)
{
  GemPeerLlama *self = calloc(1, sizeof *self);

  if (self == NULL) {
    fail("no memory", wish->model);
    return NULL;
  }
  self->model = llama_model_load_from_file(wish->model, llama_model_default_params());
  self->context = self->model == NULL ? NULL : open_context(self->model, wish);
  if (self->context == NULL || !attach_pool(self, wish->threads)) {
    fail(self->model == NULL ? "cannot be loaded" : "has no context", wish->model);
    gem_peer_llama_close(self);
    return NULL;
  }
  self->vocab = llama_model_get_vocab(self->model);
  return self;
}

void
gem_peer_llama_close(GemPeerLlama *self)
{
  if (self == NULL) {
    return;
  }
  if (self->context != NULL) {
    llama_free(self->context);
  }
  if (self->pool != NULL) {
    pool_free(self->pool);
  }
  if (self->model != NULL) {
    llama_model_free(self->model);
  }
  free(self);
}

unsigned
gem_peer_llama_n_vocab(const GemPeerLlama *self)
{
  return (unsigned)llama_vocab_n_tokens(self->vocab);
}

int
gem_peer_llama_tokenize(const GemPeerLlama *self, const char *text, int32_t *tokens, unsigned most)
{
  return llama_tokenize(self->vocab, text, (int32_t)strlen(text), tokens, (int32_t)most, true, false);
}

/* ---- tokens ---- */

bool
gem_peer_llama_run(GemPeerLlama *self, int32_t *tokens, unsigned n)
{
  while (n > 0) {
    unsigned rows = n < MOST_BATCH ? n : MOST_BATCH;

    if (llama_decode(self->context, llama_batch_get_one(tokens, (int32_t)rows)) != 0) {
      return fail("llama_decode failed", "a step");
    }
    tokens += rows;
    n -= rows;
  }
  llama_synchronize(self->context);
  return true;
}

const float *
gem_peer_llama_get_logits(GemPeerLlama *self)
{
  return llama_get_logits_ith(self->context, -1);
}

bool
gem_peer_llama_truncate(GemPeerLlama *self, unsigned n)
{
  llama_memory_t memory = llama_get_memory(self->context);

  return memory == NULL || llama_memory_seq_rm(memory, 0, (llama_pos)n, -1) ||
         fail("llama_memory_seq_rm failed", "going back");
}
