/* What the CPU backend shares out of rows and values: many of them, and nothing of one token. */
#include <glib.h>

#include "plugins/backends/cpu/gem-cpu.h"

#define THREADS 3
#define WIDTH   64u

#define MOST_VALUES (128u * 127u * WIDTH)

static gint calls; /* of the kernels, by any thread */

static void
count_norm(const float *x, const float *weight, size_t n, size_t d, float epsilon, float *y)
{
  g_atomic_int_inc(&calls);
}

static void
count_rope(
    float *x, const uint32_t *positions, size_t n, size_t heads, size_t head_dim, size_t rope_dim, float base)
{
  g_atomic_int_inc(&calls);
}

static void
count_gelu(float *x, size_t count)
{
  g_atomic_int_inc(&calls);
}

typedef struct {
  GemKernels kernels;
  GemBackendState backend;
  float *values; /* [MOST_VALUES] that nobody reads */
} Scene;

static void
scene_init(Scene *self)
{
  *self = (Scene){.kernels = {.rms_norm = count_norm, .rope = count_rope, .gelu = count_gelu}};
  self->backend.kernels = &self->kernels;
  self->backend.pool = gem_cpu_pool_new(THREADS);
  g_assert_nonnull(self->backend.pool);
  self->values = g_new(float, MOST_VALUES);
}

/* How often each kernel is called for n rows. */
static void
check_calls(Scene *self, size_t n, size_t width, gint norms, gint rotations, gint activations)
{
  static const uint32_t positions[128];
  calls = 0;
  gem_cpu_rms_norm(&self->backend, self->values, self->values, n, width, 1e-5f, self->values);
  g_assert_cmpint(calls, ==, norms);
  calls = 0;
  gem_cpu_rope(&self->backend, self->values, positions, n, width / WIDTH, WIDTH, WIDTH, 10000.0f);
  g_assert_cmpint(calls, ==, rotations);
  calls = 0;
  gem_cpu_gelu(&self->backend, self->values, n * width);
  g_assert_cmpint(calls, ==, activations);
}

static void
test_shared(void)
{
  Scene scene;
  scene_init(&scene);
  check_calls(&scene, 1, 512, 1, 1, 1);                             /* a token */
  check_calls(&scene, 1, 65536, 1, 1, THREADS);                     /* a row is never cut; its values are */
  check_calls(&scene, 8, 512, 1, 1, 1);                             /* eight streams */
  check_calls(&scene, 128, 127 * WIDTH, THREADS, THREADS, THREADS); /* a prompt */
  check_calls(&scene, 2, 8192, 2, 2, THREADS);
  check_calls(&scene, 2, 8192 - WIDTH, 1, 1, THREADS); /* one row has too little for a thread */
  gem_cpu_pool_free(scene.backend.pool);
  g_free(scene.values);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cpu-rows/shared", test_shared);
  return g_test_run();
}
