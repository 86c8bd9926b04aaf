/* Whether kernelcheck finds what it is for: each kernel here is the reference's with one thing wrong. TAP. */
#include <fenv.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kernelcheck/kernels.h"
#include "tests/kernelcheck/require.h"

/* ---- one thing wrong ---- */

/* Does nothing at all: for every kernel of the list. */
#define NOTHING(result, name, parameters)                                                                    \
  static result nothing_##name parameters                                                                    \
  {                                                                                                          \
  }
GEM_KERNEL_LIST(NOTHING)
#undef NOTHING

static void
pack_beyond(GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panels)
{
  gem_kernels_reference()->pack(type, rows, cols, stored, panels);
  panels[gem_packed_bytes(type, rows, cols)] = 1;
}

static void
pack_before(GemType type, size_t rows, size_t cols, const uint8_t *stored, uint8_t *panels)
{
  gem_kernels_reference()->pack(type, rows, cols, stored, panels);
  panels[-1] = 1;
}

/* Stays within the page, where no guard is. */
static void
quantize_padding(const GemInputs *inputs, size_t first, size_t end)
{
  gem_kernels_reference()->quantize(inputs, first, end);
  inputs->levels[inputs->n * inputs->cols] = 0;
}

static void
quantize_all(const GemInputs *inputs, size_t first, size_t end)
{
  gem_kernels_reference()->quantize(inputs, 0, inputs->n);
}

static void
linear_all_panels(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  gem_kernels_reference()->linear(weights, 0, gem_packed_panels(weights->rows), inputs, y);
}

/* One bit of one value. */
static void
linear_rounded(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  gem_kernels_reference()->linear(weights, first, end, inputs, y);
  if (weights->cols > 1000) {
    y[first * GEM_PANEL_ROWS] = nextafterf(y[first * GEM_PANEL_ROWS], INFINITY);
  }
}

static void
linear_reads_ahead(const GemPacked *weights, size_t first, size_t end, const GemInputs *inputs, float *y)
{
  gem_kernels_reference()->linear(weights, first, end, inputs, y);
  volatile uint8_t ahead = weights->data[gem_packed_bytes(weights->type, weights->rows, weights->cols)];
  (void)ahead;
}

static void
rms_norm_of_many(const float *x, const float *weight, size_t n, size_t d, float epsilon, float *y)
{
  gem_kernels_reference()->rms_norm(x, weight, n, d, n > 1 ? nextafterf(epsilon, 1.0f) : epsilon, y);
}

static void
rope_in_single(
    float *x, const uint32_t *positions, size_t n, size_t heads, size_t head_dim, size_t rope_dim, float base)
{
  for (size_t i = 0; i < n * heads * head_dim; i += head_dim) {
    size_t row = i / head_dim / heads;
    for (size_t j = 0; j < rope_dim; j += 2) {
      float angle = (float)positions[row] * powf(base, -(float)j / (float)rope_dim);
      float first = x[i + j], second = x[i + j + 1];
      x[i + j] = first * cosf(angle) - second * sinf(angle);
      x[i + j + 1] = first * sinf(angle) + second * cosf(angle);
    }
  }
}

static void
softmax_reads_ahead(float *x, size_t n)
{
  volatile float ahead = x[n];
  (void)ahead;
  gem_kernels_reference()->softmax(x, n);
}

static void
softmax_keeps_rounding(float *x, size_t n)
{
  gem_kernels_reference()->softmax(x, n);
  fesetround(FE_UPWARD);
}

static void
softmax_traps(float *x, size_t n)
{
  raise(SIGILL);
}

static void
swiglu_not_in_place(const float *gate, const float *up, size_t count, float *out)
{
  memset(out, 0, count * sizeof *out);
  gem_kernels_reference()->swiglu(gate, up, count, out);
}

static void
gelu_by_sigmoid(float *x, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    x[i] /= 1.0f + expf(-1.702f * x[i]);
  }
}

static void
scar_assign_last(const float *u, size_t n, size_t d, const float *centroids, size_t k, uint8_t *cluster)
{
  gem_kernels_reference()->scar_assign(u, n, d, centroids, k, cluster);
  for (size_t i = 0; i < n; i++) {
    for (size_t j = cluster[i] + 1u; j < k; j++) {
      if (memcmp(centroids + j * d, centroids + cluster[i] * d, d * sizeof *centroids) == 0) {
        cluster[i] = (uint8_t)j;
      }
    }
  }
}

static void
kv_store_nearest(const GemKvForm *form,
                 const float *keys,
                 const float *values,
                 size_t n,
                 uint8_t *const *tiles,
                 const uint8_t *places)
{
  gem_kernels_reference()->kv_store(form, keys, values, n, tiles, places);
  uint16_t scale;
  void *at = tiles[0] + gem_kv_key_scales_offset(gem_kv_dim(form)) + places[0] * sizeof scale;
  memcpy(&scale, at, sizeof scale);
  scale -= scale > 0;
  memcpy(at, &scale, sizeof scale);
}

static void
kv_store_half_twice(const GemKvForm *form,
                    const float *keys,
                    const float *values,
                    size_t n,
                    uint8_t *const *tiles,
                    const uint8_t *places)
{
  const uint8_t beside = (uint8_t)(places[n - 1] ^ 1);
  size_t last = (n - 1) * form->kv_heads * form->head_dim;
  gem_kernels_reference()->kv_store_half(form, keys + last, values + last, 1, tiles + n - 1, &beside);
  gem_kernels_reference()->kv_store_half(form, keys, values, n, tiles, places);
}

/* The first row does not see the last member of its last list. */
static void
attend_all_but_one(const GemKvForm *form,
                   const GemKvQueries *queries,
                   const GemKvGroup *group,
                   const GemKvShare *share)
{
  uint32_t to[16];
  GemKvPart parts[4];
  GemKvGroup other = *group;
  memcpy(parts, group->parts, group->n_parts * sizeof *parts);
  memcpy(to, group->parts[group->n_parts - 1].to, group->n * sizeof *to);
  to[0] -= to[0] > 0;
  parts[group->n_parts - 1].to = to;
  other.parts = parts;
  gem_kernels_reference()->attend(form, queries, &other, share);
}

/* Every row of the group, whatever the share. */
static void
attend_half_all_rows(const GemKvForm *form,
                     const GemKvQueries *queries,
                     const GemKvGroup *group,
                     const GemKvShare *share)
{
  GemKvShare more = *share;
  more.first_row = 0;
  more.end_row = group->n > share->end_row + 1 ? share->end_row + 1 : group->n;
  gem_kernels_reference()->attend_half(form, queries, group, &more);
  /* Rows between those of the group are nobody's. */
  queries->out[(group->rows[0] ^ 1) * queries->heads * form->head_dim] = 1.0f;
}

static void
find_largest_last(const float *x, size_t n, size_t *ret_index)
{
  gem_kernels_reference()->find_largest(x, n, ret_index);
  for (size_t i = *ret_index; i < n; i++) {
    *ret_index = x[i] == x[*ret_index] ? i : *ret_index;
  }
}

static void
weigh_infinity(
    const float *x, size_t n, float largest, float sharpness, uint32_t *weights, uint64_t *ret_mass)
{
  gem_kernels_reference()->weigh(x, n, largest, sharpness, weights, ret_mass);
  for (size_t i = 0; i < n; i++) {
    weights[i] = isinf(x[i]) && x[i] > 0 ? 1u << 30 : weights[i];
  }
}

static void
tally_in_32_bits(const uint32_t *weights, size_t n, uint32_t least, size_t *ret_count, uint64_t *ret_mass)
{
  gem_kernels_reference()->tally(weights, n, least, ret_count, ret_mass);
  *ret_mass = (uint32_t)*ret_mass;
}

static void
gather_below_too(
    const uint32_t *weights, size_t n, uint32_t least, uint32_t below, uint32_t *gathered, size_t *ret_count)
{
  gem_kernels_reference()->gather(weights, n, least, below + 1, gathered, ret_count);
}

/* ---- whether it is found ---- */

static size_t tested, missed;

static const Kernel *
kernel_of(const char *name)
{
  for (size_t i = 0; i < kernelcheck_count; i++) {
    if (strcmp(kernelcheck_kernels[i].name, name) == 0) {
      return &kernelcheck_kernels[i];
    }
  }
  abort();
}

static void
expect(bool is_broken, const char *kernel, const char *what, GemKernels kernels)
{
  kernels.name = what;
  bool passed = check_run(kernel_of(kernel)->check, kernel, &kernels, 1);
  bool is_right = passed != is_broken;
  fesetround(FE_TONEAREST);
  printf("%s %zu - %s: %s\n", is_right ? "ok" : "not ok", ++tested, kernel, what);
  missed += !is_right;
}

/* The reference with another function for one kernel. */
#define BROKEN(kernel, function, what)                                                                       \
  do {                                                                                                       \
    GemKernels kernels = *gem_kernels_reference();                                                           \
    kernels.kernel = function;                                                                               \
    expect(true, #kernel, what, kernels);                                                                    \
  } while (0)

/* ---- which sets must be there ---- */

static void
expect_require(Require expected, Require result, const char *what)
{
  bool is_right = result == expected;
  printf("%s %zu - require: %s\n", is_right ? "ok" : "not ok", ++tested, what);
  missed += !is_right;
}

static void
test_require_names(void)
{
  static const char *const offered[] = {"reference", "neon", "neon-dot"};
  expect_require(REQUIRE_MET, require_exactly("reference,neon,neon-dot", offered, 3), "all are there");
  expect_require(REQUIRE_MISSED, require_exactly("reference,neon,neon-dot", offered, 2), "one is missing");
  expect_require(REQUIRE_MISSED, require_exactly("reference,neon", offered, 3), "one is too many");
  expect_require(REQUIRE_MISSED, require_exactly("neon-dot", offered + 1, 1), "a name that begins so");
}

static void
test_require_flags(void)
{
  static const char *const x86[] = {"reference", "avx2", "avx2-amd", "avx512", "avx512-amd"};
  static const char avx2[] = "vendor_id : x\nflags\t\t: fpu f16c fma avx2\nvmx flags : avx_vnni\n";
  static const char avx512[] = "flags : f16c fma avx2 avx512f avx512bw avx512dq avx512vl avx512_vnni\n";
  expect_require(REQUIRE_MET, require_by_flags(avx2, "flags", x86, 3), "AVX2 and no more");
  expect_require(REQUIRE_MET, require_by_flags(avx2, "flags", x86, 5), "more than the flags tell");
  expect_require(REQUIRE_MISSED, require_by_flags(avx2, "flags", x86, 2), "without AVX2's tuning");
  expect_require(REQUIRE_MET, require_by_flags(avx512, "flags", x86, 5), "AVX-512");
  expect_require(REQUIRE_MISSED, require_by_flags(avx512, "flags", x86, 3), "without AVX-512");
  expect_require(REQUIRE_UNKNOWN, require_by_flags(avx512, "Features", x86, 1), "another machine's flags");
  static const char *const more[] = {"reference", "avx2", "avx2-amd", "avx1024"};
  expect_require(REQUIRE_MISSED, require_by_flags(avx2, "flags", more, 4),
                 "a set that nobody has written down");

  static const char *const arm[] = {"reference", "neon", "neon-dot", "neon-i8mm"};
  static const char dot[] = "processor\t: 0\nFeatures\t: fp asimd asimddp\n\nprocessor\t: 1\n";
  static const char i8mm[] = "Features\t: fp asimd asimddp i8mm";
  expect_require(REQUIRE_MET, require_by_flags(dot, "Features", arm, 3), "NEON with dot product");
  expect_require(REQUIRE_MISSED, require_by_flags(dot, "Features", arm, 2), "without dot product");
  expect_require(REQUIRE_MISSED, require_by_flags(i8mm, "Features", arm, 3), "without matrix product");
}

int
main(void)
{
#define BROKEN_NOTHING(result, name, parameters) BROKEN(name, nothing_##name, "does nothing");
  GEM_KERNEL_LIST(BROKEN_NOTHING)
#undef BROKEN_NOTHING
  BROKEN(pack, pack_beyond, "writes a byte beyond");
  BROKEN(pack, pack_before, "writes a byte before");
  BROKEN(quantize, quantize_padding, "writes a byte of the padding");
  BROKEN(quantize, quantize_all, "writes inputs that it was not asked for");
  BROKEN(linear, linear_all_panels, "writes panels that it was not asked for");
  BROKEN(linear, linear_rounded, "rounds a value another way");
  BROKEN(linear, linear_reads_ahead, "reads a byte beyond");
  BROKEN(rms_norm, rms_norm_of_many, "treats rows together otherwise than alone");
  BROKEN(rope, rope_in_single, "has angles of single precision");
  BROKEN(softmax, softmax_reads_ahead, "reads a value beyond");
  BROKEN(softmax, softmax_keeps_rounding, "leaves another rounding mode");
  BROKEN(softmax, softmax_traps, "has an instruction that this machine lacks");
  BROKEN(swiglu, swiglu_not_in_place, "destroys its input");
  BROKEN(gelu, gelu_by_sigmoid, "is another curve");
  BROKEN(scar_assign, scar_assign_last, "gives ties to the last");
  BROKEN(kv_store, kv_store_nearest, "has a scale below what it must be");
  BROKEN(kv_store_half, kv_store_half_twice, "writes a place beside");
  BROKEN(attend, attend_all_but_one, "leaves out a member");
  BROKEN(attend_half, attend_half_all_rows, "writes rows that it was not asked for");
  BROKEN(find_largest, find_largest_last, "gives ties to the last");
  BROKEN(weigh, weigh_infinity, "gives weight to infinity");
  BROKEN(tally, tally_in_32_bits, "loses what 32 bits do not hold");
  BROKEN(gather, gather_below_too, "takes the end for one of them");
  expect(false, "linear", "nothing is wrong", *gem_kernels_reference());
  test_require_names();
  test_require_flags();
  printf("1..%zu\n", tested);
  return missed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
