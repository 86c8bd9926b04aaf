/*
 * Keys and values, and attention over them, shared out to the threads by heads and blocks of rows.
 */
#include "plugins/backends/cpu/gem-cpu.h"

/* Keys and values times weights that a thread must have to do for its start to pay: about a microsecond of
 * work, most of it waiting for tiles. */
#define LEAST_PRODUCTS 25000

/* The same, of keys that are stored, each with its value. */
#define LEAST_STORED 2048

/* Parts a thread, where there is work for them: rows see more or less. */
#define PARTS_A_THREAD 4

/* Rows of one head that a part takes together, so that they share what is read of the keys. */
#define ROWS_TOGETHER 32

static GemKvForm
kernel_form(const GemKeyValueForm *form)
{
  return (GemKvForm){.kv_heads = form->kv_heads, .head_dim = form->head_dim, .half = form->half};
}

/* ---- tiles ---- */

size_t
gem_cpu_kv_tile_bytes(GemBackendState *self, const GemKeyValueForm *form)
{
  GemKvForm own = kernel_form(form);
  return gem_kv_tile_bytes(&own);
}

typedef struct {
  const GemKernels *kernels;
  GemKvForm form;
  const float *keys; /* [n][kv_heads][head_dim] */
  const float *values;
  size_t n;
  uint8_t *const *tiles;
  const uint8_t *places;
} Storing;

/* A part has some of the heads: positions share bytes that are written together, heads share none. */
static void
store_part(void *context, size_t part, size_t parts)
{
  const Storing *self = context;
  size_t first = self->form.kv_heads * part / parts;
  size_t end = self->form.kv_heads * (part + 1) / parts;
  size_t row = self->form.kv_heads * self->form.head_dim;
  GemKvForm form = self->form;
  form.kv_heads = end - first;
  for (size_t i = 0; i < self->n; i++) {
    size_t at = i * row + first * form.head_dim;
    uint8_t *heads = self->tiles[i] + first * gem_kv_head_bytes(&form);
    (form.half ? self->kernels->kv_store_half : self->kernels->kv_store)(
        &form, self->keys + at, self->values + at, 1, &heads, &self->places[i]);
  }
}

void
gem_cpu_kv_store(GemBackendState *self,
                 const GemKeyValueForm *form,
                 const float *keys,
                 const float *values,
                 size_t n,
                 uint8_t *const *tiles,
                 const uint8_t *places)
{
  Storing storing = {
      .kernels = self->kernels,
      .form = kernel_form(form),
      .keys = keys,
      .values = values,
      .n = n,
      .tiles = tiles,
      .places = places,
  };
  size_t most = n * form->kv_heads * form->head_dim / LEAST_STORED;
  most = most < form->kv_heads ? most : form->kv_heads;
  gem_cpu_pool_run(self->pool, store_part, &storing,
                   gem_cpu_pool_cut(most, gem_cpu_pool_threads(self->pool)));
}

void
gem_cpu_kv_copy(GemBackendState *self,
                const GemKeyValueForm *form,
                const uint8_t *from,
                size_t from_place,
                uint8_t *to,
                size_t to_place)
{
  GemKvForm own = kernel_form(form);
  gem_kv_copy(&own, from, from_place, to, to_place);
}

/* ---- attention ---- */

typedef struct {
  const GemKernels *kernels;
  GemKvForm form;
  GemKvQueries queries;
  const GemKvGroup *groups;
  size_t n_groups;
  size_t tasks; /* of all groups: each is one kv head and a block of rows */
} Attention;

/* The groups as the kernels take them, in scratch. */
static GemKvGroup *
convert_groups(GemBackendState *self, const GemKeyValueGroup *groups, size_t n)
{
  size_t group_bytes = n * sizeof(GemKvGroup);
  GemKvGroup *own =
      gem_cpu_scratch_reserve(&self->attention, group_bytes + n * GEM_KEY_VALUE_PARTS * sizeof(GemKvPart));
  GemKvPart *parts = (GemKvPart *)(own + n);
  for (size_t g = 0; g < n; g++, parts += GEM_KEY_VALUE_PARTS) {
    for (size_t p = 0; p < groups[g].n_parts; p++) {
      const GemKeyValuePart *part = &groups[g].parts[p];
      parts[p] = (GemKvPart){
          .tiles = part->tiles,
          .first_tile = part->first_tile,
          .from = part->from,
          .to = part->to,
      };
    }
    own[g] = (GemKvGroup){
        .rows = groups[g].rows,
        .first_row = groups[g].first_row,
        .n = groups[g].n,
        .n_parts = groups[g].n_parts,
        .parts = parts,
    };
  }
  return own;
}

static size_t
count_blocks(const GemKvGroup *group)
{
  return (group->n + ROWS_TOGETHER - 1) / ROWS_TOGETHER;
}

static size_t
count_seen(const GemKvGroup *group)
{
  size_t seen = 0;
  for (size_t p = 0; p < group->n_parts; p++) {
    const GemKvPart *part = &group->parts[p];
    for (size_t i = 0; i < group->n; i++) {
      seen += part->to[i] > part->from[i] ? part->to[i] - part->from[i] : 0;
    }
  }
  return seen;
}

static void
run_share(const Attention *self, const GemKvGroup *group, const GemKvShare *share)
{
  if (self->form.half) {
    self->kernels->attend_half(&self->form, &self->queries, group, share);
  } else {
    self->kernels->attend(&self->form, &self->queries, group, share);
  }
}

/* Task `task` of a group. */
static void
run_task(const Attention *self, const GemKvGroup *group, size_t task)
{
  size_t blocks = count_blocks(group);
  uint32_t kv_head = (uint32_t)(task / blocks);
  uint32_t first = (uint32_t)(task % blocks) * ROWS_TOGETHER;
  GemKvShare share = {
      .first_row = first,
      .end_row = group->n - first < ROWS_TOGETHER ? group->n : first + ROWS_TOGETHER,
      .first_kv_head = kv_head,
      .end_kv_head = kv_head + 1,
  };
  run_share(self, group, &share);
}

static void
attend_part(void *context, size_t part, size_t parts)
{
  const Attention *self = context;
  size_t first = self->tasks * part / parts;
  size_t end = self->tasks * (part + 1) / parts;
  size_t before = 0; /* tasks of the groups before */
  for (size_t g = 0; g < self->n_groups; g++) {
    const GemKvGroup *group = &self->groups[g];
    size_t tasks = count_blocks(group) * self->form.kv_heads;
    for (size_t task = first > before ? first - before : 0; task < tasks && before + task < end; task++) {
      run_task(self, group, task);
    }
    before += tasks;
  }
}

void
gem_cpu_attend(GemBackendState *self,
               const GemKeyValueForm *form,
               size_t heads,
               const float *q,
               const GemKeyValueGroup *groups,
               size_t n_groups,
               float *out)
{
  GemKvGroup *own = convert_groups(self, groups, n_groups);
  Attention attention = {
      .kernels = self->kernels,
      .form = kernel_form(form),
      .queries = {.heads = heads, .q = q, .out = out},
      .groups = own,
      .n_groups = n_groups,
  };
  size_t seen = 0;
  for (size_t g = 0; g < n_groups; g++) {
    attention.tasks += count_blocks(&own[g]) * attention.form.kv_heads;
    seen += count_seen(&own[g]);
  }
  size_t parts = gem_cpu_pool_threads(self->pool) * PARTS_A_THREAD;
  size_t most = 2 * seen * heads * form->head_dim / LEAST_PRODUCTS;
  most = most < attention.tasks ? most : attention.tasks;
  gem_cpu_pool_run(self->pool, attend_part, &attention, gem_cpu_pool_cut(most, parts));
}
