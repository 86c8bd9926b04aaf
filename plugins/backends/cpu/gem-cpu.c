/*
 * The backend that every machine has: the kernels of the CPU's best instruction set.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "plugins/backends/cpu/gem-cpu.h"
#include "plugins/support/gem-plugin-support.h"

/* Threads where the caller leaves the number open: beyond these, small matrices gain nothing. */
#define MOST_OWN_THREADS 8

static GemProbeResult
cpu_probe(GemProbeReport *ret_report)
{
  struct utsname system;
  const char *machine = uname(&system) == 0 ? system.machine : "unknown";
  *ret_report = (GemProbeReport){.score = 10};
  snprintf(ret_report->device, sizeof ret_report->device, "%.60s CPU", machine);
  const GemKernels *kernels = gem_kernels_chosen();
  if (kernels == NULL) {
    snprintf(ret_report->reason, sizeof ret_report->reason,
             "GEM_CPU_KERNELS names an instruction set that this machine does not have");
    return GEM_PROBE_UNSUPPORTED;
  }
  snprintf(ret_report->kernels, sizeof ret_report->kernels, "%s", kernels->name);
  return GEM_PROBE_SUPPORTED;
}

/* The CPUs that this process may run on. */
static size_t
count_threads(void)
{
  cpu_set_t set;
  /* A set has no room for the CPUs of the largest machines, which have more than are used here. */
  long count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
  if (count < 1) {
    return 1;
  }
  return (size_t)count < MOST_OWN_THREADS ? (size_t)count : MOST_OWN_THREADS;
}

static GemBackendState *
cpu_open(const GemBackendOptions *options, GemPluginError *error)
{
  size_t threads = options->threads > 0 ? options->threads : count_threads();
  const GemKernels *kernels = gem_kernels_chosen();
  if (kernels == NULL) {
    gem_plugin_set_error(error, "backend cpu: this machine lacks what GEM_CPU_KERNELS names");
    return NULL;
  }
  GemBackendState *self = calloc(1, sizeof *self);
  GemCpuPool *pool = gem_cpu_pool_new(threads);
  if (self == NULL || pool == NULL) {
    free(self);
    if (pool != NULL) {
      gem_cpu_pool_free(pool);
    }
    gem_plugin_set_error(error, "backend cpu: out of memory");
    return NULL;
  }
  self->kernels = kernels;
  gem_cpu_keeping_open(&self->keeping, options);
  self->pool = pool;
  return self;
}

static void
cpu_close(GemBackendState *self)
{
  gem_cpu_group_finish(self);
  gem_cpu_keeping_close(&self->keeping);
  gem_cpu_pool_free(self->pool);
  gem_cpu_scratch_clear(&self->inputs);
  gem_cpu_scratch_clear(&self->feed_forward);
  gem_cpu_scratch_clear(&self->attention);
  free(self);
}

static bool
cpu_expect(GemBackendState *self, const char *digest)
{
  return self->keeping.keep != NULL && gem_cpu_keep_expect(self->keeping.keep, digest);
}

static void
cpu_softmax(GemBackendState *self, float *x, size_t n)
{
  self->kernels->softmax(x, n);
}

static void
cpu_scar_assign(GemBackendState *self,
                const float *u,
                size_t n,
                size_t d,
                const float *centroids,
                size_t k,
                uint8_t *clusters)
{
  self->kernels->scar_assign(u, n, d, centroids, k, clusters);
}

static const GemBackendFunctions functions = {
    .probe = cpu_probe,
    .open = cpu_open,
    .close = cpu_close,
    .group_begin = gem_cpu_group_begin,
    .group_end = gem_cpu_group_finish,
    .matrix_new = gem_cpu_matrix_new,
    .matrix_free = gem_cpu_matrix_free,
    .matrix_bytes = gem_cpu_matrix_bytes,
    .matrix_row = gem_cpu_matrix_row,
    .linear = gem_cpu_linear,
    .feed_forward = gem_cpu_feed_forward,
    .rms_norm = gem_cpu_rms_norm,
    .rope = gem_cpu_rope,
    .gelu = gem_cpu_gelu,
    .softmax = cpu_softmax,
    .scar_assign = cpu_scar_assign,
    .kv_tile_bytes = gem_cpu_kv_tile_bytes,
    .kv_store = gem_cpu_kv_store,
    .kv_copy = gem_cpu_kv_copy,
    .attend = gem_cpu_attend,
    .linear_add = gem_cpu_linear_add,
    .expect = cpu_expect,
};

GEM_PLUGIN_DEFINE(GEM_PLUGIN_BACKEND, "cpu", "1.0", "Apache-2.0", "Vector kernels on the CPU", functions)
