/*
 * What is as large as a file or a caller wants it may not be there: every large allocation fails once, and
 * what asked for it says so, gives back what it had, and works the next time.
 *
 * The program has malloc of its own, which GLib and the modules call, too. It refuses the nth allocation of
 * at least so many bytes. Smaller ones are never refused: GLib ends the process then, by its design, and
 * nothing that comes from outside decides how large they are.
 */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/engine/gem-kv-cache.h"
#include "format/gem-gguf.h"
#include "tests/gem-test-backend.h"
#include "tests/gem-test-engine.h"
#include "tests/gem-test-folder.h"

/* A sanitizer has malloc of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_REFUSE 0
#else
#define CAN_REFUSE 1
#endif

static atomic_size_t least; /* bytes; 0: nothing is refused */
static atomic_uint seen;    /* such allocations since then */
static atomic_uint refused; /* the one that is, 1 on */
static atomic_bool was_refused;

/* Seen by the libraries. */
#define EXPORTED __attribute__((visibility("default")))

#if CAN_REFUSE
/* As the C library has them. */
void *
__libc_malloc(size_t size);
void *
__libc_calloc(size_t n, size_t size);
void *
__libc_realloc(void *memory, size_t size);

static bool
refuses(size_t size)
{
  size_t from = atomic_load(&least);

  if (from == 0 || size < from || atomic_fetch_add(&seen, 1) + 1 != atomic_load(&refused)) {
    return false;
  }
  atomic_store(&was_refused, true);
  errno = ENOMEM;
  return true;
}

EXPORTED void *
malloc(size_t size)
{
  return refuses(size) ? NULL : __libc_malloc(size);
}

EXPORTED void *
calloc(size_t n, size_t size)
{
  return size > 0 && refuses(n * size) ? NULL : __libc_calloc(n, size);
}

EXPORTED void *
realloc(void *memory, size_t size)
{
  return refuses(size) ? NULL : __libc_realloc(memory, size);
}
#endif

static void
arm(guint nth, gsize bytes)
{
  atomic_store(&seen, 0);
  atomic_store(&refused, nth);
  atomic_store(&was_refused, false);
  atomic_store(&least, bytes);
}

static gboolean
disarm(void)
{
  atomic_store(&least, 0);
  return atomic_load(&was_refused);
}

/* Bytes that are allocated now. */
static gsize
bytes_in_use(void)
{
  struct mallinfo2 info = mallinfo2();

  return info.uordblks + info.hblkhd;
}

typedef gboolean (*Work)(gpointer data, GError **error);

/* Runs `work` with each of its allocations of so many bytes refused, one a time, until it has none more. The
 * number of them. */
static guint
refuse_each(Work work, gpointer data, gsize bytes)
{
  for (guint nth = 1;; nth++) {
    g_autoptr(GError) error = NULL;
    gboolean success;

    arm(nth, bytes);
    success = work(data, &error);
    if (!disarm()) {
      g_assert_no_error(error);
      g_assert_true(success);
      return nth - 1;
    }
    g_assert_false(success);
    g_assert_nonnull(error);
    g_test_message("%u: %s", nth, error->message);
    g_assert_nonnull(strstr(error->message, "no memory"));
  }
}

/* The same twice: what the first round left for good (names of errors, and so on) is there in the second. */
static guint
refuse_each_without_leak(Work work, gpointer data, gsize bytes)
{
  guint n = refuse_each(work, data, bytes);
  gsize before = bytes_in_use();

  g_assert_cmpuint(refuse_each(work, data, bytes), ==, n);
  /* Not one of the large ones; small ones that are free wait for the next of their size, and count as in use.
   */
  g_assert_cmpuint(bytes_in_use(), <, before + bytes);
  return n;
}

static gboolean
can_refuse(void)
{
  if (!CAN_REFUSE) {
    g_test_skip("a sanitizer has malloc of its own");
  }
  return CAN_REFUSE;
}

/* ---- files ---- */

#define FILE_PART  (20u << 20) /* bytes of its string and of its tensor */
#define FILE_LEAST (16u << 20)

typedef struct {
  char *folder, *path;
} File;

static void
file_clear(File *file)
{
  if (file->folder != NULL) {
    gem_test_folder_remove(file->folder);
  }
  g_free(file->folder);
  g_free(file->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(File, file_clear)

static void
file_write(File *file)
{
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autofree char *text = g_strnfill(FILE_PART, 'x');
  const char *const texts[] = {"short", text, NULL};
  g_autofree float *numbers = g_new0(float, FILE_PART / sizeof(float));
  g_autoptr(GError) error = NULL;

  file->folder = gem_test_folder_new();
  file->path = g_build_filename(file->folder, "large.gguf", NULL);
  gem_gguf_writer_set_string(writer, "a.string", text);
  gem_gguf_writer_set_string_array(writer, "a.list", texts);
  gem_gguf_writer_add_tensor(writer, "a.tensor", GEM_TYPE_F32, 1, FILE_PART / sizeof(float), numbers, &error);
  g_assert_no_error(error);
  gem_gguf_writer_write(writer, file->path, &error);
  g_assert_no_error(error);
}

/* All that such a file can be asked for. */
static gboolean
read_file(gpointer data, GError **error)
{
  const File *file = data;
  g_autoptr(GemFileReader) reader = gem_file_reader_open(file->path, error);
  g_autoptr(GemGguf) gguf = reader == NULL ? NULL : gem_gguf_new_from_reader(reader, file->path, error);
  g_autofree char *text = gguf == NULL ? NULL : gem_gguf_get_string(gguf, "a.string", error);
  g_autoptr(GPtrArray) bytes = text == NULL ? NULL : gem_gguf_get_bytes_array(gguf, "a.list", error);
  g_auto(GStrv) texts = bytes == NULL ? NULL : gem_gguf_get_string_array(gguf, "a.list", error);
  const GemTensor *tensor = texts == NULL ? NULL : gem_gguf_find_tensor(gguf, "a.tensor");

  return tensor != NULL && gem_gguf_read_tensor(gguf, tensor, error) != NULL;
}

static void
test_gguf(void)
{
  g_auto(File) file = {0};

  if (!can_refuse()) {
    return;
  }
  file_write(&file);
  /* The string; the list's long one as bytes and as text; the tensor. */
  g_assert_cmpuint(refuse_each_without_leak(read_file, &file, FILE_LEAST), ==, 4);
}

/* ---- caches ---- */

#define CACHE_ROWS  4096u
#define CACHE_LEAST 4000u

/* A new cache with room for all its rows; when that fails, it works at the next try. */
static gboolean
reserve_cache(gpointer data, GError **error)
{
  const GemKvCacheShape *shape = data;
  GemKvCache *cache = gem_kv_cache_new(shape);
  gboolean success = gem_kv_cache_reserve(cache, 0, CACHE_ROWS, error);

  if (!success) {
    disarm();
    atomic_store(&was_refused, true);
    g_assert_true(gem_kv_cache_reserve(cache, 0, CACHE_ROWS, NULL));
  }
  gem_kv_cache_free(cache);
  return success;
}

static void
test_cache(void)
{
  GemTestBackend *backend;
  GemKvCacheShape shape = {
      .layers = 2, .form = {.kv_heads = 2, .head_dim = 32}, .limit = CACHE_ROWS, .clusters = 4};

  if (!can_refuse()) {
    return;
  }
  backend = gem_test_backend_open();
  shape.backend = &backend->backend;
  shape.tile_bytes = shape.backend->functions->kv_tile_bytes(shape.backend->state, &shape.form);
  /* Of each layer tiles and clusters; the memory and its list. */
  g_assert_cmpuint(refuse_each_without_leak(reserve_cache, &shape, CACHE_LEAST), >=, 2 * 2 + 2);
  gem_test_backend_close(backend);
}

/* ---- sessions ---- */

#define SESSION_LEAST (16u << 10)
#define LONG_TIME     ((gint64)3600 * G_USEC_PER_SEC)

/* A turn in a new session. NULL, or what it ended with. */
static GError *
run_turn(GemEngine *engine)
{
  GemGenerateOptions options = {.max_tokens = 4};
  g_autoptr(GError) error = NULL;
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(engine, &options.run, &error);
  g_autoptr(GemTestAnswer) answer = NULL;

  g_assert_no_error(error);
  answer = gem_test_generate(sequence, "the rain in the north and the rest of the rain", &options);
  gem_test_answer_wait(answer);
  if (answer->error == NULL) {
    return NULL;
  }
  g_assert_cmpint(answer->reason, ==, GEM_FINISH_FAILED);
  return g_error_copy(answer->error);
}

/* Whatever the engine thread cannot get: the turn ends by itself, with an error or, when it was a pathway's
 * memory, without that; and the engine is what it was. */
static void
test_session(void)
{
  g_autoptr(GemTestEngine) test = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  guint failed = 0;

  if (!can_refuse()) {
    return;
  }
  test = gem_test_engine_new();
  gem_test_engine_start(test);
  before = gem_test_greedy(test->engine, "the rain", 8, "general");
  for (guint nth = 1;; nth++) {
    g_autoptr(GError) error = NULL;

    arm(nth, SESSION_LEAST);
    error = run_turn(test->engine);
    if (!disarm()) {
      g_assert_no_error(error);
      break;
    }
    g_test_message("%u: %s", nth, error == NULL ? "went on without a pathway" : error->message);
    if (error != NULL) {
      g_assert_nonnull(strstr(error->message, "no memory"));
      failed++;
    }
  }
  g_assert_cmpuint(failed, >, 0);
  after = gem_test_greedy(test->engine, "the rain", 8, "general");
  g_assert_cmpstr(after, ==, before);
}

#define TOGETHER        3u  /* sessions */
#define TOGETHER_TOKENS 32u /* of each: it writes while the next one's text is read */

/* Several at once: when the cache of one cannot grow in a step of all, it ends alone. */
static void
test_sessions_together(void)
{
  const GemGenerateOptions options = {.max_tokens = TOGETHER_TOKENS, .run = {.domain = (char *)"general"}};
  g_autoptr(GemTestEngine) test = NULL;
  g_autofree char *alone = NULL;
  guint failed = 0;

  if (!can_refuse()) {
    return;
  }
  test = gem_test_engine_new();
  gem_test_engine_start(test);
  alone = gem_test_greedy(test->engine, "the rain", TOGETHER_TOKENS, "general");
  for (guint nth = 1;; nth++) {
    GemTestHold *hold = gem_test_engine_hold(test->engine);
    GemSequence *sequences[TOGETHER];
    GemTestAnswer *answers[TOGETHER];
    guint without_cache = 0;

    for (guint i = 0; i < TOGETHER; i++) {
      sequences[i] = gem_engine_new_sequence(test->engine, &options.run, NULL);
      answers[i] = gem_test_generate(sequences[i], "the rain", &options);
    }
    arm(nth, SESSION_LEAST);
    gem_test_engine_let_go(hold);
    for (guint i = 0; i < TOGETHER; i++) {
      gem_test_answer_wait(answers[i]);
      if (answers[i]->error == NULL) {
        g_assert_cmpstr(answers[i]->text->str, ==, alone);
      } else if (strstr(answers[i]->error->message, "key-value cache") != NULL) {
        without_cache++;
      }
      gem_test_answer_free(answers[i]);
      g_object_unref(sequences[i]);
    }
    g_assert_cmpuint(without_cache, <=, 1);
    failed += without_cache;
    if (!disarm()) {
      break;
    }
  }
  g_assert_cmpuint(failed, >=, TOGETHER);
}

/* ---- pathways ---- */

/* It is tried again when the reason may be over, which lack of memory is some day. */
static void
test_pathway(void)
{
  g_autoptr(GemTestEngine) test = NULL;
  GemModelFiles *files = NULL;
  GemRuntime *runtime;
  guint legal, failed = 0;

  if (!can_refuse()) {
    return;
  }
  test = gem_test_engine_new();
  runtime = gem_test_engine_open_runtime(test, &files);
  g_assert_true(gem_pager_find(runtime->pager, "legal", &legal));
  for (guint nth = 1;; nth++) {
    gboolean came;

    g_assert_true(gem_pager_may_come(runtime->pager, legal));
    arm(nth, SESSION_LEAST);
    came = gem_pager_need(runtime->pager, legal, NULL);
    disarm();
    if (came) {
      break;
    }
    failed++;
    gem_pager_look_again(runtime->pager, g_get_monotonic_time() + LONG_TIME);
  }
  g_assert_cmpuint(failed, >, 0);
  gem_runtime_close(runtime);
  gem_model_files_free(files);
}

/* ---- matrices ---- */

static bool
read_zeros(const GemTensorView *self, size_t offset, size_t bytes, void *to)
{
  memset(to, 0, bytes);
  return true;
}

/* Sixteen of its rows are read at a time by way of memory that must be asked for, on whichever thread packs
 * them. */
static void
test_wide_matrix(void)
{
  enum { ROWS = 64, COLS = 4096, PANELS = 4, PANEL_BYTES = 2 * COLS * ROWS / PANELS };
  const GemTensorView view = {
      .type = GEM_TYPE_F16, .rows = ROWS, .cols = COLS, .bytes = 2 * ROWS * COLS, .read = read_zeros};
  g_autoptr(GemTestBackend) backend = NULL;
  GemMatrix *matrix;
  guint nth = 1;

  if (!can_refuse()) {
    return;
  }
  backend = gem_test_backend_open();
  for (;; nth++) {
    GemPluginError error = {""};
    int number;

    arm(nth, PANEL_BYTES);
    errno = 0;
    matrix = backend->functions.matrix_new(backend->backend.state, &view, &error);
    number = errno;
    if (!disarm()) {
      g_assert_nonnull(matrix);
      break;
    }
    g_assert_null(matrix);
    g_assert_cmpint(number, ==, ENOMEM);
    g_assert_nonnull(strstr(error.message, "out of memory"));
  }
  g_assert_cmpuint(nth, ==, PANELS + 1);
  backend->functions.matrix_free(backend->backend.state, matrix);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/allocation/gguf", test_gguf);
  g_test_add_func("/allocation/cache", test_cache);
  g_test_add_func("/allocation/session", test_session);
  g_test_add_func("/allocation/sessions-together", test_sessions_together);
  g_test_add_func("/allocation/pathway", test_pathway);
  g_test_add_func("/allocation/wide-matrix", test_wide_matrix);
  return g_test_run();
}
