/* The budget: who goes, in which order, and that nobody goes in vain. */
#include "daemon/pager/gem-budget.h"
#include "dbus/gem-error.h"

/* Three pathways and two caches of 10 bytes each beside 100 that stay; `log` tells who went. */
typedef struct {
  GemBudget budget;
  gboolean pathways[3], caches[2];
  GString *log;
} Scene;

static gsize
used(gpointer data)
{
  const Scene *self = data;
  gsize sum = 100;

  for (guint i = 0; i < G_N_ELEMENTS(self->pathways); i++) {
    sum += self->pathways[i] ? 10 : 0;
  }
  for (guint i = 0; i < G_N_ELEMENTS(self->caches); i++) {
    sum += self->caches[i] ? 10 : 0;
  }
  return sum;
}

static gsize
spare(gpointer data, GemPathwaySet kept)
{
  const Scene *self = data;
  gsize sum = used(data) - 100;

  for (guint i = 0; i < G_N_ELEMENTS(self->pathways); i++) {
    sum -= self->pathways[i] && (kept & 1u << i) != 0 ? 10 : 0;
  }
  return sum;
}

static gboolean
drop_pathway(gpointer data, GemPathwaySet kept)
{
  Scene *self = data;

  for (guint i = 0; i < G_N_ELEMENTS(self->pathways); i++) {
    if (self->pathways[i] && (kept & 1u << i) == 0) {
      self->pathways[i] = FALSE;
      g_string_append_printf(self->log, "p%u", i);
      return TRUE;
    }
  }
  return FALSE;
}

static gboolean
drop_cache(gpointer data)
{
  Scene *self = data;

  for (guint i = 0; i < G_N_ELEMENTS(self->caches); i++) {
    if (self->caches[i]) {
      self->caches[i] = FALSE;
      g_string_append_printf(self->log, "c%u", i);
      return TRUE;
    }
  }
  return FALSE;
}

static void
scene_init(Scene *self, guint64 limit)
{
  static const GemBudgetFunctions functions = {used, spare, drop_pathway, drop_cache};

  *self = (Scene){
      .budget = {.functions = &functions, .data = self, .limit = limit, .fixed = 100},
      .pathways = {TRUE, TRUE, TRUE},
      .caches = {TRUE, TRUE},
      .log = g_string_new(NULL),
  };
}

static void
scene_clear(Scene *self)
{
  g_string_free(self->log, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scene, scene_clear)

/* One case: under `limit`, room for `bytes` with `kept`; who goes, and whether there is room then. */
typedef struct {
  guint64 limit;
  gsize bytes;
  GemPathwaySet kept;
  gboolean fits;
  const char *gone;
} Case;

static void
test_make_room(void)
{
  static const Case cases[] = {
      {0, G_MAXSIZE, 0, TRUE, ""},           /* no limit */
      {150, 0, 0, TRUE, ""},                 /* 150 are used */
      {150, 1, 0, TRUE, "p0"},               /* pathways go first, no more than needed */
      {160, 10, 0, TRUE, ""},                /* to the last byte */
      {160, 11, 0, TRUE, "p0"},              /* and not beyond it */
      {150, 25, 1u << 1, TRUE, "p0p2c0"},    /* the kept one stays, a cache goes */
      {150, 50, 0, TRUE, "p0p1p2c0c1"},      /* all */
      {150, 51, 0, FALSE, ""},               /* one byte too much: nobody goes in vain */
      {150, 41, 1u << 2, FALSE, ""},         /* nor when it is kept that is too much */
      {150, G_MAXSIZE, 0, FALSE, ""},        /* the sum does not overflow */
      {100, 0, 0, TRUE, "p0p1p2c0c1"},       /* what stays just fits */
      {99, 0, 0, TRUE, "p0p1p2c0c1"},        /* it does not: all that may go goes */
      {99, 1000, 1u << 0, TRUE, "p1p2c0c1"}, /* and what is new is taken */
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(Scene) scene = {0};

    scene_init(&scene, cases[i].limit);
    g_assert_cmpint(gem_budget_fits(&scene.budget, cases[i].bytes, cases[i].kept), ==, cases[i].fits);
    g_assert_cmpstr(scene.log->str, ==, "");
    g_assert_cmpint(gem_budget_make_room(&scene.budget, cases[i].bytes, cases[i].kept), ==, cases[i].fits);
    g_assert_cmpstr(scene.log->str, ==, cases[i].gone);
  }
}

/* The message has the name of the key and the numbers. */
static void
test_refuse(void)
{
  g_auto(Scene) scene = {0};
  g_autoptr(GError) error = NULL;

  scene_init(&scene, 133);
  gem_budget_refuse(&scene.budget, "a cache", 77, &error);
  g_assert_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED);
  g_assert_cmpstr(error->message, ==,
                  "MemoryLimit: a cache needs 77 bytes, but of 133 there are 100 in use that cannot go now");
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/budget/make-room", test_make_room);
  g_test_add_func("/budget/refuse", test_refuse);
  return g_test_run();
}
