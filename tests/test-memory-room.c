/* What the engine of a limited unit may take. */
#include "daemon/service/gem-memory-room.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)

static guint64
take(GemMemoryRoom *room, guint64 held, guint64 limit, guint64 resident)
{
  return gem_memory_room_take(room, held * MIB, limit * MIB, resident * MIB, 10 * MIB) / MIB;
}

static void
test_limit(void)
{
  GemMemoryRoom room = {0};

  g_assert_cmpuint(take(&room, 50, 0, 40), ==, 0);
  /* 70 of 100, of which others hold 10. */
  g_assert_cmpuint(take(&room, 50, 100, 40), ==, 60);
  /* A new limit counts at once, and none too. */
  g_assert_cmpuint(take(&room, 50, 200, 40), ==, 130);
  g_assert_cmpuint(take(&room, 50, 0, 40), ==, 0);
}

/* However little there is, it must be able to answer. */
static void
test_least(void)
{
  GemMemoryRoom room = {0};

  g_assert_cmpuint(take(&room, 25, 30, 0), ==, 10);
  g_assert_cmpuint(take(&room, 500, 30, 0), ==, 10);
}

/* The control group and the engine are read one after the other: one look that is wrong says nothing. */
static void
test_one_look(void)
{
  GemMemoryRoom room = {0};

  for (guint i = 0; i < GEM_MEMORY_LOOKS; i++) {
    g_assert_cmpuint(take(&room, 50, 100, 40), ==, 60);
  }
  g_assert_cmpuint(take(&room, 70, 100, 40), ==, 60);
  g_assert_cmpuint(take(&room, 40, 100, 60), ==, 60); /* more in the engine than in the unit */
  g_assert_cmpuint(take(&room, 70, 100, 40), ==, 60);
  /* Three of five. */
  g_assert_cmpuint(take(&room, 70, 100, 40), ==, 40);
}

/* What changes little is left alone. */
static void
test_small_changes(void)
{
  GemMemoryRoom room = {0};

  g_assert_cmpuint(take(&room, 50, 100, 40), ==, 60);
  for (guint i = 0; i < GEM_MEMORY_LOOKS; i++) {
    g_assert_cmpuint(take(&room, 55, 100, 40), ==, 60);
  }
  for (guint i = 0; i < GEM_MEMORY_LOOKS; i++) {
    take(&room, 57, 100, 40);
  }
  g_assert_cmpuint(take(&room, 57, 100, 40), ==, 53);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/memory-room/limit", test_limit);
  g_test_add_func("/memory-room/least", test_least);
  g_test_add_func("/memory-room/one-look", test_one_look);
  g_test_add_func("/memory-room/small-changes", test_small_changes);
  return g_test_run();
}
