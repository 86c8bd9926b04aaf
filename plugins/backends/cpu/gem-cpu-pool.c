#include "plugins/backends/cpu/gem-cpu-pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "plugins/backends/cpu/gem-cpu-thread.h"

/* How long a thread without work spins before it sleeps: longer than what lies between two calls of a step,
 * and than what lies between two steps. */
#define SPIN_NANOSECONDS 200000

/* A part takes a microsecond to some hundreds, in a large model some thousands. When the caller has nothing
 * left to take, each other thread is within one part: a caller that waits longer than two such as its own,
 * and longer than this, has lost a thread to another process. For a while it does the work alone rather than
 * wait again. */
#define LATE_NANOSECONDS  1000000
#define LATE_PARTS        2
#define ALONE_NANOSECONDS 50000000

/* How long a caller who waits for others that may be long spins, and then sleeps between two looks: its CPU
 * is of more use to them, or to who keeps them from theirs. */
#define PATIENCE_NANOSECONDS 50000

/* Spins between two looks at the clock. */
#define SPINS_A_LOOK 64

/* What several threads write or look at often: each on cache lines of its own. */
#define OWN_LINES _Alignas(128)

/* The parts that are a thread's own: the same of every call that is like the one before, so that what they
 * read is found in the caches near that thread. Others take of them once their own are done. */
typedef struct {
  OWN_LINES atomic_size_t next; /* the part to be taken next */
  size_t end;
} Share;

typedef struct {
  GemCpuPool *pool;
  size_t share;
  pthread_t thread;
} Worker;

struct GemCpuPool {
  size_t n_workers;
  Worker *workers;     /* [n_workers] */
  Share *shares;       /* [n_workers + 1], the caller's first */
  int64_t alone_until; /* of the monotonic clock; the caller's */
  OWN_LINES GemCpuPoolFunction function;
  void *context;
  size_t parts;
  OWN_LINES atomic_uint call;     /* counts calls; odd while parts of one may be taken */
  OWN_LINES atomic_size_t done;   /* parts that are done */
  OWN_LINES atomic_size_t inside; /* workers that may still look at the call */
  OWN_LINES atomic_size_t asleep;
  atomic_bool ending;
  pthread_mutex_t mutex; /* of those who sleep */
  pthread_cond_t wake;
};

static int64_t
now(void)
{
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static inline void
pause_briefly(void)
{
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* First the own ones, then what the others have left. How many there were. */
static size_t
take_parts(GemCpuPool *self, size_t own)
{
  size_t shares = self->n_workers + 1;
  size_t taken = 0;
  for (size_t i = 0; i < shares; i++) {
    Share *share = &self->shares[(own + i) % shares];
    size_t part = atomic_load_explicit(&share->next, memory_order_relaxed);
    while (part < share->end &&
           (part = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed)) < share->end) {
      self->function(self->context, part, self->parts);
      atomic_fetch_add_explicit(&self->done, 1, memory_order_release);
      taken++;
    }
  }
  return taken;
}

/* Rounded up: the caller is there at once, and the others must notice first. */
static size_t
first_of_share(size_t parts, size_t share, size_t shares)
{
  return (parts * share + shares - 1) / shares;
}

static void
share_out(GemCpuPool *self, size_t parts)
{
  size_t shares = self->n_workers + 1;
  self->parts = parts;
  for (size_t i = 0; i < shares; i++) {
    self->shares[i].end = first_of_share(parts, i + 1, shares);
    atomic_store_explicit(&self->shares[i].next, first_of_share(parts, i, shares), memory_order_relaxed);
  }
}

/* Whether there is something other than the call `seen` to look at. */
static bool
has_news(GemCpuPool *self, unsigned seen)
{
  unsigned call = atomic_load(&self->call);
  return (call != seen && call % 2 != 0) || atomic_load_explicit(&self->ending, memory_order_relaxed);
}

static void
sleep_until_news(GemCpuPool *self, unsigned seen)
{
  pthread_mutex_lock(&self->mutex);
  /* The caller looks at `asleep` after it has published a call: one of the two sees the other, since all four
   * steps are in the one order of what is sequentially consistent. */
  atomic_fetch_add(&self->asleep, 1);
  while (!has_news(self, seen)) {
    pthread_cond_wait(&self->wake, &self->mutex);
  }
  atomic_fetch_sub(&self->asleep, 1);
  pthread_mutex_unlock(&self->mutex);
}

static void
wait_for_news(GemCpuPool *self, unsigned seen)
{
  int64_t started = now();
  while (!has_news(self, seen)) {
    for (int i = 0; i < SPINS_A_LOOK && !has_news(self, seen); i++) {
      pause_briefly();
    }
    if (now() - started > SPIN_NANOSECONDS) {
      sleep_until_news(self, seen);
      return;
    }
  }
}

static void *
work(void *data)
{
  const Worker *worker = data;
  GemCpuPool *self = worker->pool;
  unsigned seen = 0;
  while (true) {
    wait_for_news(self, seen);
    if (atomic_load_explicit(&self->ending, memory_order_relaxed)) {
      return NULL;
    }
    /* Inside first, then a look whether the call is still open: the caller closes it, then waits until nobody
     * is inside, and only then changes what the call is. */
    atomic_fetch_add(&self->inside, 1);
    unsigned call = atomic_load(&self->call);
    if (call % 2 != 0) {
      (void)take_parts(self, worker->share);
      seen = call;
    }
    atomic_fetch_sub_explicit(&self->inside, 1, memory_order_release);
  }
}

static bool
start_worker(GemCpuPool *self)
{
  Worker *worker = &self->workers[self->n_workers];
  *worker = (Worker){.pool = self, .share = self->n_workers + 1};
  bool started = gem_cpu_thread_start(&worker->thread, work, worker);
  if (started) {
    self->n_workers++;
  }
  return started;
}

GemCpuPool *
gem_cpu_pool_new(size_t threads)
{
  GemCpuPool *self = aligned_alloc(_Alignof(GemCpuPool), sizeof *self);
  Worker *workers = calloc(threads, sizeof *workers);
  Share *shares = aligned_alloc(_Alignof(Share), threads * sizeof *shares);
  if (self == NULL || workers == NULL || shares == NULL) {
    free(self);
    free(workers);
    free(shares);
    return NULL;
  }
  *self = (GemCpuPool){.workers = workers, .shares = shares};
  pthread_mutex_init(&self->mutex, NULL);
  pthread_cond_init(&self->wake, NULL);
  while (self->n_workers + 1 < threads && start_worker(self)) {
  }
  return self;
}

static void
wake_sleepers(GemCpuPool *self)
{
  pthread_mutex_lock(&self->mutex);
  pthread_cond_broadcast(&self->wake);
  pthread_mutex_unlock(&self->mutex);
}

void
gem_cpu_pool_free(GemCpuPool *self)
{
  atomic_store(&self->ending, true);
  wake_sleepers(self);
  for (size_t i = 0; i < self->n_workers; i++) {
    pthread_join(self->workers[i].thread, NULL);
  }
  pthread_cond_destroy(&self->wake);
  pthread_mutex_destroy(&self->mutex);
  free(self->workers);
  free(self->shares);
  free(self);
}

size_t
gem_cpu_pool_threads(const GemCpuPool *self)
{
  return self->n_workers + 1;
}

/* How the caller waits: a patient one spins only for a while, then sleeps between two looks. */
typedef struct {
  bool patient;
  int64_t began; /* when the caller took up its parts; 0: it had none in this */
  size_t parts;  /* of the caller */
} Wait;

/* Waiting from then on, the nanoseconds after which a thread cannot have been running. */
static int64_t
late_after(const Wait *wait, int64_t waits_since)
{
  int64_t parts = wait->parts > 0 ? (int64_t)wait->parts : 1;
  int64_t own = wait->began != 0 ? (waits_since - wait->began) / parts * LATE_PARTS : 0;
  return own > LATE_NANOSECONDS ? own : LATE_NANOSECONDS;
}

/* Until `counter` is `wanted`; whether that took so long that a thread cannot have been running. */
static bool
wait_until(atomic_size_t *counter, size_t wanted, const Wait *wait)
{
  const struct timespec nap = {.tv_nsec = PATIENCE_NANOSECONDS};
  int64_t started = 0;
  bool late = false;
  while (true) {
    for (int i = 0; i < SPINS_A_LOOK; i++) {
      if (atomic_load(counter) == wanted) {
        return late;
      }
      pause_briefly();
    }
    int64_t time = now();
    started = started == 0 ? time : started;
    late = time - started > late_after(wait, started);
    if (wait->patient && time - started > PATIENCE_NANOSECONDS) {
      nanosleep(&nap, NULL);
    }
  }
}

static bool
is_alone(GemCpuPool *self)
{
  if (self->n_workers == 0) {
    return true;
  }
  if (self->alone_until != 0 && now() >= self->alone_until) {
    self->alone_until = 0;
  }
  return self->alone_until != 0;
}

/* Whether another thread was so late that it cannot have been running. */
static bool
run_parts(GemCpuPool *self, GemCpuPoolFunction function, void *context, size_t parts, bool patient)
{
  if (parts < 2 || is_alone(self)) {
    for (size_t part = 0; part < parts; part++) {
      function(context, part, parts);
    }
    return false;
  }

  self->function = function;
  self->context = context;
  share_out(self, parts);
  atomic_store_explicit(&self->done, 0, memory_order_relaxed);
  atomic_fetch_add(&self->call, 1);
  if (atomic_load(&self->asleep) > 0) {
    wake_sleepers(self);
  }
  Wait wait = {.patient = patient, .began = now()};
  wait.parts = take_parts(self, 0);
  bool late = wait_until(&self->done, parts, &wait);
  atomic_fetch_add(&self->call, 1);
  return wait_until(&self->inside, 0, &(Wait){.patient = patient}) || late;
}

void
gem_cpu_pool_run(GemCpuPool *self, GemCpuPoolFunction function, void *context, size_t parts)
{
  if (run_parts(self, function, context, parts, false)) {
    self->alone_until = now() + ALONE_NANOSECONDS;
  }
}

void
gem_cpu_pool_run_patiently(GemCpuPool *self, GemCpuPoolFunction function, void *context, size_t parts)
{
  (void)run_parts(self, function, context, parts, true);
}
