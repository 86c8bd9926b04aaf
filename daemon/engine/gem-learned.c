#include "daemon/engine/gem-learned.h"

/* ---- views ---- */

GemLearnedView *
gem_learned_view_ref(GemLearnedView *self)
{
  g_atomic_ref_count_inc(&self->references);
  return self;
}

void
gem_learned_view_unref(GemLearnedView *self)
{
  if (!g_atomic_ref_count_dec(&self->references)) {
    return;
  }
  for (guint i = 0; i < self->n; i++) {
    g_free(self->learned[i]);
  }
  g_free(self);
}

gboolean
gem_learned_view_find(const GemLearnedView *self, const char *name, guint8 *ret_route)
{
  for (guint i = 0; i < self->n; i++) {
    if (g_str_equal(self->learned[i], name)) {
      *ret_route = self->routes[i];
      return TRUE;
    }
  }
  return FALSE;
}

const char *
gem_learned_view_get_name(const GemLearnedView *self, guint8 route)
{
  for (guint i = 0; i < self->n; i++) {
    if (self->routes[i] == route) {
      return self->learned[i];
    }
  }
  return NULL;
}

/* The router's column of a domain of the model, or of what replaces it. */
static guint
column_of(const GemLearnedView *self, const GemModelShape *shape, guint domain)
{
  for (guint i = 0; i < self->n; i++) {
    if (g_str_equal(self->learned[i], shape->domains[domain])) {
      return shape->n_domains + i;
    }
  }
  return domain;
}

static void
add_name(GemLearnedView *self, const char *name, guint column)
{
  self->names[self->n_names] = name;
  self->columns[self->n_names++] = (guint8)column;
}

static void
name_classes(GemLearnedView *self, const GemModelShape *shape)
{
  for (guint domain = 0; domain < shape->n_domains; domain++) {
    guint column = column_of(self, shape, domain);

    self->classes.without |= column != domain ? (guint64)1 << domain : 0;
    add_name(self, shape->domains[domain], column);
  }
  for (guint i = 0; i < self->n; i++) {
    if (!g_strv_contains((const char *const *)shape->domains, self->learned[i])) {
      add_name(self, self->learned[i], shape->n_domains + i);
    }
  }
}

static void
add_to_view(GemLearnedView *self, const GemLearned *learned)
{
  guint i = self->n++;

  self->routes[i] = (guint8)learned->index;
  self->rows[i] = learned->row;
  self->learned[i] = g_strdup(learned->name);
  self->set |= gem_pathway_set_of(learned->index);
}

/* ---- the list ---- */

static void
learned_free(gpointer data)
{
  GemLearned *learned = data;

  g_free(learned->name);
  g_free(learned->replaces);
  g_free(learned);
}

void
gem_learned_list_init(GemLearnedList *self)
{
  self->domains = g_ptr_array_new_with_free_func(learned_free);
}

void
gem_learned_list_clear(GemLearnedList *self)
{
  g_ptr_array_unref(self->domains);
}

gboolean
gem_learned_list_take_index(GemLearnedList *self, guint *ret_index, GError **error)
{
  for (guint index = GEM_FIRST_LEARNED; index < GEM_MAX_PATHWAYS; index++) {
    if ((self->used & gem_pathway_set_of(index)) == 0) {
      self->used |= gem_pathway_set_of(index);
      *ret_index = index;
      return TRUE;
    }
  }
  g_set_error(error, GEM_ERROR, GEM_ERROR_LIMIT_EXCEEDED,
              "learned domains: there are %u of all users together, which is as many as there may be",
              GEM_MAX_LEARNED);
  return FALSE;
}

GemLearned *
gem_learned_list_find(const GemLearnedList *self, guint owner, const char *name)
{
  for (guint i = 0; i < self->domains->len; i++) {
    GemLearned *learned = self->domains->pdata[i];

    if (learned->owner == owner && g_str_equal(learned->name, name)) {
      return learned;
    }
  }
  return NULL;
}

gboolean
gem_learned_list_check_share(const GemLearnedList *self, guint owner, const char *name, GError **error)
{
  for (guint i = 0; i < self->domains->len; i++) {
    const GemLearned *learned = self->domains->pdata[i];

    if (learned->shared && learned->owner != owner && g_str_equal(learned->name, name)) {
      gem_error_set_argument(
          error, "shared",
          "another user's domain %s, which could not be told from this one, is shared already", name);
      return FALSE;
    }
  }
  return TRUE;
}

guint
gem_learned_list_add(GemLearnedList *self, const GemLearned *learned)
{
  GemLearned *before = gem_learned_list_find(self, learned->owner, learned->name);
  guint index = before != NULL ? gem_learned_list_remove(self, before) : 0;

  g_ptr_array_add(self->domains, g_memdup2(learned, sizeof *learned));
  return index;
}

guint
gem_learned_list_remove(GemLearnedList *self, GemLearned *learned)
{
  guint index = learned->index;

  g_ptr_array_remove(self->domains, learned);
  return index;
}

static gboolean
is_seen_by(const GemLearnedList *self, const GemLearned *learned, guint owner)
{
  return learned->owner == owner ||
         (learned->shared && gem_learned_list_find(self, owner, learned->name) == NULL);
}

GemLearnedView *
gem_learned_list_view(const GemLearnedList *self, const GemModelShape *shape, guint owner)
{
  GemLearnedView *view = NULL;

  for (guint i = 0; i < self->domains->len && owner != GEM_OWNER_SERVICE; i++) {
    const GemLearned *learned = self->domains->pdata[i];

    if (learned->owner != owner && !learned->shared) {
      continue;
    }
    if (view == NULL) {
      view = g_new0(GemLearnedView, 1);
      g_atomic_ref_count_init(&view->references);
    }
    view->allowed |= gem_pathway_set_of(learned->index);
    if (is_seen_by(self, learned, owner)) {
      add_to_view(view, learned);
    }
  }
  if (view != NULL) {
    view->classes.rows = view->rows;
    view->classes.n_rows = view->n;
    name_classes(view, shape);
  }
  return view;
}
