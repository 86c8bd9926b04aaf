#include "tests/gem-test-memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW   (1u << 20)
#define DISGUISE 0x5a
/* What is larger is a sanitizer's own. */
#define LARGEST ((guint64)1 << 30)

void
gem_test_secret_set(GemTestSecret *self, gconstpointer data, gsize length)
{
  g_assert_cmpuint(length, >, GEM_TEST_SECRET_HEAD);
  self->length = length - GEM_TEST_SECRET_HEAD;
  self->disguised = g_malloc(self->length);
  for (gsize i = 0; i < self->length; i++) {
    self->disguised[i] = ((const guint8 *)data)[GEM_TEST_SECRET_HEAD + i] ^ DISGUISE;
  }
}

void
gem_test_secret_clear(GemTestSecret *self)
{
  g_clear_pointer(&self->disguised, g_free);
}

static gboolean
stands_at(const GemTestSecret *self, const guint8 *place)
{
  for (gsize i = 0; i < self->length; i++) {
    if ((place[i] ^ DISGUISE) != self->disguised[i]) {
      return FALSE;
    }
  }
  return TRUE;
}

static guint
count_in(const GemTestSecret *self, const guint8 *bytes, gsize length)
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
count_in_range(const GemTestSecret *self, int memory, guint64 start, guint64 end, guint8 *window)
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

/* The list of mappings, NUL-terminated, in `room` of WINDOW bytes. */
static void
read_maps(char *room)
{
  int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  gsize length = 0;
  gssize got;

  g_assert_cmpint(maps, >=, 0);
  while ((got = read(maps, room + length, WINDOW - 1 - length)) > 0) {
    length += (gsize)got;
  }
  g_assert_cmpuint(length, <, WINDOW - 1);
  room[length] = '\0';
  close(maps);
}

/* Takes no memory of malloc's, which would write over what is looked for. */
guint
gem_test_secret_count(const GemTestSecret *self)
{
  /* A mapping of its own, which is left out: the window, and the list of mappings. */
  guint8 *window = mmap(NULL, 2 * WINDOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const guint64 own = (guint64)(guintptr)window;
  int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  const char *line = (const char *)window + WINDOW;
  guint count = 0;

  g_assert_true(window != MAP_FAILED);
  g_assert_cmpint(memory, >=, 0);
  read_maps((char *)window + WINDOW);
  while (*line != '\0') {
    char *rest = NULL;
    guint64 start = g_ascii_strtoull(line, &rest, 16);
    guint64 end = g_ascii_strtoull(rest + 1, &rest, 16);
    const gboolean writable = strncmp(rest, " rw", 3) == 0;

    line = strchr(rest, '\n') + 1;
    if (!writable || end - start > LARGEST) {
      continue;
    }
    /* The kernel may have joined it with its neighbours. */
    if (own >= start && own < end) {
      count += count_in_range(self, memory, start, own, window);
      start = own + 2 * WINDOW;
    }
    count += count_in_range(self, memory, start, end, window);
  }
  close(memory);
  munmap(window, 2 * WINDOW);
  return count;
}

gboolean
gem_test_can_read_memory(void)
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

char *
gem_test_draw_text(guint seed, gsize length)
{
  char *text = g_malloc(length + 1);

  for (gsize i = 0; i < length; i++) {
    seed = seed * 1103515245u + 12345u;
    text[i] = (char)('a' + (seed >> 16) % 26);
  }
  text[length] = '\0';
  return text;
}
