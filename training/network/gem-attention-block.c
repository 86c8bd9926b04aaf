#include "training/network/gem-attention-block.h"

#include <math.h>
#include <string.h>

#include "training/arithmetic/gem-matmul.h"
#include "training/arithmetic/gem-vector.h"

/* The offsets of one head of one sequence in its rows. */
typedef struct {
  gsize stride; /* floats between rows of qkv */
  gsize q, k, v;
} HeadLayout;

static HeadLayout
head_layout(const GemAttentionView *view, gsize head)
{
  gsize kv_head = head * view->kv_heads / view->heads;
  return (HeadLayout){
      .stride = (view->heads + 2 * view->kv_heads) * view->head_dim,
      .q = head * view->head_dim,
      .k = (view->heads + kv_head) * view->head_dim,
      .v = (view->heads + view->kv_heads + kv_head) * view->head_dim,
  };
}

gsize
gem_attention_block_probabilities(const GemBatch *batch, gsize heads)
{
  gsize total = 0;
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    gsize length = start[s + 1] - start[s];
    total += heads * length * length;
  }
  return total;
}

/* One past the last position that token i may see. */
static gsize
visible_end(const GemAttentionView *view, gsize i, gsize length, gsize prefix)
{
  if (!view->bidirectional || i >= prefix) {
    return i + 1;
  }
  return MIN(MIN(length, prefix), i + view->window);
}

static void
fill_visible(const GemAttentionView *view, const guint8 *clusters, gsize i, gsize end, guint8 *visible)
{
  if (view->bidirectional) {
    for (gsize j = 0; j < end; j++) {
      visible[j] = j + view->window > i;
    }
    return;
  }
  if (clusters == NULL) {
    memset(visible, 1, end);
    return;
  }
  guint8 own = clusters[i];
  gsize local = i + 1 > view->window ? i + 1 - view->window : 0;
  for (gsize j = 0; j < local; j++) {
    visible[j] = clusters[view->successors && j > 0 ? j - 1 : j] == own;
  }
  memset(visible + local, 1, end - local);
  visible[0] = 1;
}

void
gem_attention_block_forward(const GemAttentionView *view,
                            const GemBatch *batch,
                            const float *qkv,
                            float *probabilities,
                            guint8 *scratch,
                            float *out)
{
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  gsize out_stride = view->heads * view->head_dim;
  float scale = 1.0f / sqrtf((float)view->head_dim);
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    gsize first = start[s], length = start[s + 1] - first, square = length * length;
    for (gsize h = 0; h < view->heads; h++) {
      HeadLayout at = head_layout(view, h);
      const float *rows = qkv + first * at.stride;
      gem_matmul(FALSE, TRUE, length, length, view->head_dim, rows + at.q, at.stride, rows + at.k, at.stride,
                 FALSE, probabilities + h * square, length);
    }
    for (gsize i = 0; i < length; i++) {
      gsize end = visible_end(view, i, length, batch->prefix[s]);
      fill_visible(view, view->clusters ? view->clusters + first : NULL, i, end, scratch);
      for (gsize h = 0; h < view->heads; h++) {
        gem_masked_softmax_row(probabilities + h * square + i * length, scratch, end, length, scale);
      }
    }
    for (gsize h = 0; h < view->heads; h++) {
      HeadLayout at = head_layout(view, h);
      gem_matmul(FALSE, FALSE, length, view->head_dim, length, probabilities + h * square, length,
                 qkv + first * at.stride + at.v, at.stride, FALSE,
                 out + first * out_stride + h * view->head_dim, out_stride);
    }
    probabilities += view->heads * square;
  }
}

void
gem_attention_block_backward(const GemAttentionView *view,
                             const GemBatch *batch,
                             const float *qkv,
                             const float *probabilities,
                             const float *dout,
                             float *square,
                             float *dqkv)
{
  const guint32 *start = (const guint32 *)(gpointer)batch->start->data;
  gsize out_stride = view->heads * view->head_dim, dim = view->head_dim;
  gsize group = view->heads / view->kv_heads;
  float scale = 1.0f / sqrtf((float)dim);
  for (gsize s = 0; s < gem_batch_n_sequences(batch); s++) {
    gsize first = start[s], length = start[s + 1] - first;
    for (gsize h = 0; h < view->heads; h++, probabilities += length * length) {
      HeadLayout at = head_layout(view, h);
      const float *rows = qkv + first * at.stride, *d_head = dout + first * out_stride + h * dim;
      float *d_rows = dqkv + first * at.stride;
      gboolean add = h % group != 0; /* heads of a group share keys and values */
      gem_matmul(TRUE, FALSE, length, dim, length, probabilities, length, d_head, out_stride, add,
                 d_rows + at.v, at.stride);
      gem_matmul(FALSE, TRUE, length, length, dim, d_head, out_stride, rows + at.v, at.stride, FALSE, square,
                 length);
      for (gsize i = 0; i < length; i++) {
        gsize end = visible_end(view, i, length, batch->prefix[s]);
        gem_softmax_backward_row(probabilities + i * length, square + i * length, end, length, scale);
      }
      gem_matmul(FALSE, FALSE, length, dim, length, square, length, rows + at.k, at.stride, FALSE,
                 d_rows + at.q, at.stride);
      gem_matmul(TRUE, FALSE, length, dim, length, square, length, rows + at.q, at.stride, add, d_rows + at.k,
                 at.stride);
    }
  }
}
