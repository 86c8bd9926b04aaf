/*
 * What is left of a text in the process's memory when its sequence has ended: nothing. The whole of it is
 * searched, freed memory included, for the text and for its tokens, of which the test itself keeps disguised
 * copies alone.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/engine/gem-engine-private.h"
#include "tests/gem-test-engine.h"

#define WINDOW   (1u << 20)
#define DISGUISE 0x5a
/* What is larger is a sanitizer's own. */
#define LARGEST ((guint64)1 << 30)

/* A pattern that is not written down anywhere as it is. */
typedef struct {
  guint8 *disguised;
  gsize length;
} Secret;

static void
secret_set(Secret *self, gconstpointer data, gsize length)
{
  self->disguised = g_malloc(length);
  self->length = length;
  for (gsize i = 0; i < length; i++) {
    self->disguised[i] = ((const guint8 *)data)[i] ^ DISGUISE;
  }
}

static gboolean
stands_at(const Secret *self, const guint8 *place)
{
  for (gsize i = 0; i < self->length; i++) {
    if ((place[i] ^ DISGUISE) != self->disguised[i]) {
      return FALSE;
    }
  }
  return TRUE;
}

static guint
count_in(const Secret *self, const guint8 *bytes, gsize length)
{
  guint8 first = self->disguised[0] ^ DISGUISE;
  guint count = 0;

  for (const guint8 *place = bytes; length >= self->length; place++) {
    gsize left = length - (gsize)(place - bytes);

    place = left >= self->length ? memchr(place, first, left - self->length + 1) : NULL;
    if (place == NULL) {
      break;
    }
    count += stands_at(self, place) ? 1 : 0;
  }
  return count;
}

/* Of memory start..end - 1, by windows that overlap. */
static guint
count_in_range(const Secret *self, int memory, guint64 start, guint64 end, guint8 *window)
{
  guint count = 0;

  for (guint64 at = start; at < end; at += WINDOW - self->length + 1) {
    gssize got = pread(memory, window, MIN(WINDOW, end - at), (off_t)at);

    if (got <= 0) {
      break;
    }
    count += count_in(self, window, (gsize)got);
  }
  return count;
}

/* How often it stands in the memory that this process can write. */
static guint
count_in_process(const Secret *self)
{
  /* A mapping of its own, which is left out. */
  guint8 *window = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  g_autofree char *maps = NULL;
  g_auto(GStrv) lines = NULL;
  guint count = 0;

  g_assert_true(window != MAP_FAILED);
  g_assert_cmpint(memory, >=, 0);
  g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
  lines = g_strsplit(maps, "\n", -1);
  for (char **line = lines; *line != NULL && **line != '\0'; line++) {
    char *rest = NULL;
    guint64 start = g_ascii_strtoull(*line, &rest, 16);
    guint64 end = g_ascii_strtoull(rest + 1, &rest, 16);
    guint64 own = (guint64)(guintptr)window;

    if (strncmp(rest, " rw", 3) != 0 || end - start > LARGEST) {
      continue;
    }
    /* The kernel may have joined it with its neighbours. */
    if (own >= start && own < end) {
      count += count_in_range(self, memory, start, own, window);
      start = own + WINDOW;
    }
    count += count_in_range(self, memory, start, end, window);
  }
  close(memory);
  munmap(window, WINDOW);
  return count;
}

/* Not where an emulator stands between. */
static gboolean
can_read_memory(void)
{
  const volatile guint64 written = 0x6765d5ea6c68;
  guint64 read = 0;
  int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  gboolean same = memory >= 0 &&
                  pread(memory, &read, sizeof read, (off_t)(guintptr)&written) == (gssize)sizeof read &&
                  read == written;

  if (memory >= 0) {
    close(memory);
  }
  return same;
}

/* A text that no file holds: letters that a generator draws. */
static char *
draw_text(guint seed, gsize length)
{
  char *text = g_malloc(length + 1);

  for (gsize i = 0; i < length; i++) {
    seed = seed * 1103515245u + 12345u;
    text[i] = (char)('a' + (seed >> 16) % 26);
  }
  text[length] = '\0';
  return text;
}

typedef struct {
  GemTestEngine *test;
  Secret text, tokens;
} Scene;

static void
scene_set_up(Scene *self, gconstpointer data)
{
  self->test = gem_test_engine_new();
  gem_test_engine_start(self->test);
}

static void
scene_tear_down(Scene *self, gconstpointer data)
{
  gem_test_engine_free(self->test);
  g_free(self->text.disguised);
  g_free(self->tokens.disguised);
}

/* Draws a text, keeps it and its tokens disguised, and gives it to `take`. */
static void
with_text(Scene *self, void (*take)(Scene *self, const char *text, gpointer data), gpointer data)
{
  char *text = draw_text(77, 40);
  GArray *tokens = gem_engine_encode_plain(self->test->engine, text, NULL, NULL);

  secret_set(&self->text, text, strlen(text));
  secret_set(&self->tokens, tokens->data, tokens->len * sizeof(guint32));
  gem_wipe_array(tokens);
  take(self, text, data);
  explicit_bzero(text, strlen(text));
  g_free(text);
}

/* What the engine thread was told before is done. */
static void
wait_for_engine(Scene *self)
{
  g_autofree char *other = gem_test_greedy(self->test->engine, "other", 1, NULL);

  g_assert_nonnull(other);
}

static void
generate(Scene *self, const char *text, gpointer data)
{
  GemGenerateOptions options = {.max_tokens = 5, .raw = TRUE};
  g_autoptr(GemTestAnswer) answer = gem_test_generate(data, text, &options);

  gem_test_answer_wait(answer);
  g_assert_no_error(answer->error);
}

static void
test_sequence(Scene *self, gconstpointer data)
{
  g_autoptr(GemSequence) sequence = gem_engine_new_sequence(self->test->engine, NULL, NULL);

  with_text(self, generate, sequence);
  wait_for_engine(self);
  /* The test would find it: a sequence that lives has its tokens. */
  g_assert_cmpuint(count_in_process(&self->tokens), ==, 1);
  g_assert_cmpuint(count_in_process(&self->text), ==, 0);
  g_clear_object(&sequence);
  wait_for_engine(self);
  g_assert_cmpuint(count_in_process(&self->tokens), ==, 0);
}

static void
embed(Scene *self, const char *text, gpointer data)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GArray) vector = NULL;

  gem_engine_embed_async(self->test->engine, text, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  vector = gem_engine_embed_finish(self->test->engine, result, NULL);
  g_assert_nonnull(vector);
}

static void
test_one_shot(Scene *self, gconstpointer data)
{
  with_text(self, embed, NULL);
  wait_for_engine(self);
  g_assert_cmpuint(count_in_process(&self->tokens), ==, 0);
  g_assert_cmpuint(count_in_process(&self->text), ==, 0);
}

static void
route(Scene *self, const char *text, gpointer data)
{
  GAsyncResult *slot = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GPtrArray) tokens = NULL;

  gem_engine_route_async(self->test->engine, text, NULL, NULL, gem_test_keep_result, &slot);
  result = gem_test_wait_result(&slot);
  tokens = gem_engine_route_finish(self->test->engine, result, NULL);
  g_assert_nonnull(tokens);
}

static void
test_route(Scene *self, gconstpointer data)
{
  with_text(self, route, NULL);
  wait_for_engine(self);
  g_assert_cmpuint(count_in_process(&self->tokens), ==, 0);
  g_assert_cmpuint(count_in_process(&self->text), ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  if (!can_read_memory()) {
    g_print("1..0 # SKIP the memory of a process cannot be read here\n");
    return 0;
  }
  g_test_add("/wipe/sequence", Scene, NULL, scene_set_up, test_sequence, scene_tear_down);
  g_test_add("/wipe/one-shot", Scene, NULL, scene_set_up, test_one_shot, scene_tear_down);
  g_test_add("/wipe/route", Scene, NULL, scene_set_up, test_route, scene_tear_down);
  return g_test_run();
}
