/*
 * What a GLib that was built without ThreadSanitizer does not tell it: which of its functions hand memory
 * from one thread to another. Preloaded, it stands before the functions that the project uses for that and
 * says "release" before the real one gives something away and "acquire" after it took something. GMutex and
 * GCond are futexes inside GLib, so without this everything that they guard would look like a race; with it,
 * no access of the project's own code has to be suppressed.
 *
 * It is itself built without ThreadSanitizer, and does nothing in programs that are.
 */
#include <dlfcn.h>
#include <gio/gio.h>

#undef g_atomic_rc_box_acquire
#undef g_object_unref

/* Of libtsan, where the program has it. */
extern void
__tsan_acquire(void *address) __attribute__((weak));
extern void
__tsan_release(void *address) __attribute__((weak));

/* The function that would have been called. */
#define REAL(name)                                                                                           \
  static __typeof__(name) *real;                                                                             \
  if (real == NULL) {                                                                                        \
    real = (__typeof__(real))dlsym(RTLD_NEXT, #name);                                                        \
  }

static void
acquire(gconstpointer address)
{
  if (__tsan_acquire != NULL) {
    __tsan_acquire((gpointer)address);
  }
}

static void
release(gconstpointer address)
{
  if (__tsan_release != NULL) {
    __tsan_release((gpointer)address);
  }
}

/* ---- locks ---- */

void
g_mutex_lock(GMutex *mutex)
{
  REAL(g_mutex_lock)
  real(mutex);
  acquire(mutex);
}

gboolean
g_mutex_trylock(GMutex *mutex)
{
  REAL(g_mutex_trylock)
  gboolean locked = real(mutex);

  if (locked) {
    acquire(mutex);
  }
  return locked;
}

void
g_mutex_unlock(GMutex *mutex)
{
  REAL(g_mutex_unlock)
  release(mutex);
  real(mutex);
}

void
g_cond_wait(GCond *cond, GMutex *mutex)
{
  REAL(g_cond_wait)
  release(mutex);
  real(cond, mutex);
  acquire(mutex);
}

gboolean
g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end)
{
  REAL(g_cond_wait_until)
  gboolean signalled;

  release(mutex);
  signalled = real(cond, mutex, end);
  acquire(mutex);
  return signalled;
}

/* ---- queues ---- */

void
g_async_queue_push(GAsyncQueue *queue, gpointer data)
{
  REAL(g_async_queue_push)
  release(queue);
  real(queue, data);
}

gpointer
g_async_queue_try_pop(GAsyncQueue *queue)
{
  REAL(g_async_queue_try_pop)
  gpointer data = real(queue);

  acquire(queue);
  return data;
}

gpointer
g_async_queue_timeout_pop(GAsyncQueue *queue, guint64 microseconds)
{
  REAL(g_async_queue_timeout_pop)
  gpointer data = real(queue, microseconds);

  acquire(queue);
  return data;
}

gpointer
g_async_queue_pop(GAsyncQueue *queue)
{
  REAL(g_async_queue_pop)
  gpointer data = real(queue);

  acquire(queue);
  return data;
}

/* ---- thread pools: what was done before a piece of work was pushed is seen by who does it ---- */

typedef struct {
  GFunc function;
  gpointer data;
} Pool;

static void
run_pushed(gpointer pushed, gpointer data)
{
  const Pool *pool = data;

  acquire(pushed);
  pool->function(pushed, pool->data);
}

/* What it allocates stays as long as the program: it has a pool or two. */
GThreadPool *
g_thread_pool_new(GFunc function, gpointer data, gint max_threads, gboolean exclusive, GError **error)
{
  REAL(g_thread_pool_new)
  Pool *pool = g_new(Pool, 1);

  *pool = (Pool){function, data};
  return real(run_pushed, pool, max_threads, exclusive, error);
}

gboolean
g_thread_pool_push(GThreadPool *pool, gpointer data, GError **error)
{
  REAL(g_thread_pool_push)
  release(data);
  return real(pool, data, error);
}

/* ---- main contexts: what was done before a source was attached is seen by its callback ---- */

typedef struct {
  GSource *source;
  GSourceFunc function;
  gpointer data;
  GDestroyNotify notify;
} Callback;

static gboolean
run_callback(gpointer data)
{
  Callback *callback = data;

  acquire(callback->source);
  return callback->function(callback->data);
}

static void
free_callback(gpointer data)
{
  Callback *callback = data;

  if (callback->notify != NULL) {
    callback->notify(callback->data);
  }
  g_free(callback);
}

void
g_source_set_callback(GSource *source, GSourceFunc function, gpointer data, GDestroyNotify notify)
{
  REAL(g_source_set_callback)
  Callback *callback;

  /* Of other sources the callback has another form. */
  if (source->source_funcs != &g_idle_funcs && source->source_funcs != &g_timeout_funcs) {
    real(source, function, data, notify);
    return;
  }
  callback = g_new(Callback, 1);
  *callback = (Callback){source, function, data, notify};
  real(source, run_callback, callback, free_callback);
}

guint
g_source_attach(GSource *source, GMainContext *context)
{
  REAL(g_source_attach)
  release(source);
  return real(source, context);
}

/* ---- GTask: to the thread that works on it, and back with the result ---- */

static GQuark
task_quark(void)
{
  return g_quark_from_static_string("gem-tsan-task");
}

static void
run_task(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  GTaskThreadFunc function = (GTaskThreadFunc)g_object_get_qdata(G_OBJECT(task), task_quark());

  acquire(task);
  function(task, source, data, cancellable);
}

void
g_task_run_in_thread(GTask *task, GTaskThreadFunc function)
{
  REAL(g_task_run_in_thread)
  g_object_set_qdata(G_OBJECT(task), task_quark(), (gpointer)function);
  release(task);
  real(task, run_task);
}

void
g_task_return_pointer(GTask *task, gpointer result, GDestroyNotify destroy)
{
  REAL(g_task_return_pointer)
  release(task);
  real(task, result, destroy);
}

void
g_task_return_boolean(GTask *task, gboolean result)
{
  REAL(g_task_return_boolean)
  release(task);
  real(task, result);
}

void
g_task_return_int(GTask *task, gssize result)
{
  REAL(g_task_return_int)
  release(task);
  real(task, result);
}

void
g_task_return_error(GTask *task, GError *error)
{
  REAL(g_task_return_error)
  release(task);
  real(task, error);
}

gpointer
g_task_propagate_pointer(GTask *task, GError **error)
{
  REAL(g_task_propagate_pointer)
  acquire(task);
  return real(task, error);
}

gboolean
g_task_propagate_boolean(GTask *task, GError **error)
{
  REAL(g_task_propagate_boolean)
  acquire(task);
  return real(task, error);
}

gssize
g_task_propagate_int(GTask *task, GError **error)
{
  REAL(g_task_propagate_int)
  acquire(task);
  return real(task, error);
}

/* ---- the last reference: who drops it sees what the others did before ---- */

void
g_object_unref(gpointer object)
{
  REAL(g_object_unref)
  release(object);
  acquire(object);
  real(object);
}

void
g_atomic_rc_box_release(gpointer box)
{
  REAL(g_atomic_rc_box_release)
  release(box);
  acquire(box);
  real(box);
}

void
g_atomic_rc_box_release_full(gpointer box, GDestroyNotify clear)
{
  REAL(g_atomic_rc_box_release_full)
  release(box);
  acquire(box);
  real(box, clear);
}
