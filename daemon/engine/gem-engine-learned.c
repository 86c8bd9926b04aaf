/*
 * Learned domains come and go. The main loop decides who has them (gem-learned.h), the engine thread has
 * their pathways: a domain is in the list only while its pathway is there, and a pathway goes when it is not
 * in the list and no job began with it.
 */
#include <stdatomic.h>

#include "daemon/engine/gem-engine-private.h"

void
gem_learned_info_free(GemLearnedInfo *info)
{
  g_free(info->name);
  g_free(info->replaces);
  g_free(info->reason);
  g_free(info);
}

/* ---- on the engine thread ---- */

static void
forget_pathway(GemEngine *self, guint index)
{
  GemRuntime *runtime = self->runtime;

  for (guint i = 0; i < runtime->conversations->len; i++) {
    gem_sequence_state_forget_pathways(runtime->conversations->pdata[i], gem_pathway_set_of(index));
  }
  runtime->wanted &= ~gem_pathway_set_of(index);
  gem_pager_remove_learned(runtime->pager, index);
}

void
gem_engine_forget_learned(GemEngine *self)
{
  GemPathwaySet gone = self->leaving & ~gem_scheduler_find_learned(self->scheduler);
  GemPathwaySet left = gone;

  if (gone == 0) {
    return;
  }
  self->leaving &= ~gone;
  while (left != 0) {
    forget_pathway(self, gem_pathway_set_take(&left));
  }
  atomic_fetch_or(&self->freed, gone);
}

/* A domain that is not in the list any more. */
typedef struct {
  GTask *task; /* NULL: nobody waits */
  guint index;
} Leave;

static void
run_leave(GemEngine *self, gpointer data)
{
  g_autofree Leave *leave = data;

  self->leaving |= gem_pathway_set_of(leave->index);
  gem_engine_forget_learned(self);
  gem_engine_publish(self);
  if (leave->task != NULL) {
    gem_engine_return(self, leave->task, GINT_TO_POINTER(TRUE), NULL, NULL);
  }
}

/* Takes `task`. */
static void
push_leave(GemEngine *self, guint index, GTask *task)
{
  Leave *leave = g_new(Leave, 1);

  *leave = (Leave){.task = task, .index = index};
  gem_engine_push(self, run_leave, leave);
}

/* ---- adding ---- */

/* One on its way in: task data of the caller's task. */
typedef struct {
  GemLearned domain; /* its row when it is installed */
  char *file;        /* in messages */
  GemFileReader *reader;
  GemLearnedFile *learned; /* NULL until it was checked */
  GError *error;           /* why the engine thread could not take it */
} Addition;

static void
addition_free(gpointer data)
{
  Addition *addition = data;

  g_free(addition->domain.name);
  g_free(addition->domain.replaces);
  g_free(addition->file);
  g_clear_pointer(&addition->reader, gem_file_reader_unref);
  gem_learned_file_free(addition->learned);
  g_free(addition);
}

/* Takes `cause`, which may be of the format library. */
static void
fail_addition(GTask *task, GError *cause)
{
  GemEngine *self = g_task_get_source_object(task);
  const Addition *addition = g_task_get_task_data(task);

  self->learned.used &= ~gem_pathway_set_of(addition->domain.index);
  if (cause->domain != GEM_ERROR) {
    GError *error = g_error_new_literal(GEM_ERROR, GEM_ERROR_PATHWAY, cause->message);

    g_error_free(cause);
    cause = error;
  }
  g_task_return_error(task, cause);
  g_object_unref(task);
}

/* On the main loop; `data` is the caller's task, taken. */
static gboolean
refuse_installed(gpointer data)
{
  GTask *task = data;
  Addition *addition = g_task_get_task_data(task);

  fail_addition(task, g_steal_pointer(&addition->error));
  return G_SOURCE_REMOVE;
}

/* Last, on the main loop: turns that begin from now on have it. `data` is the caller's task, taken. */
static gboolean
enter_list(gpointer data)
{
  g_autoptr(GTask) task = data;
  GemEngine *self = g_task_get_source_object(task);
  Addition *addition = g_task_get_task_data(task);
  guint before;

  /* Beside another user's of that name that is shared it is its owner's alone. */
  addition->domain.shared =
      addition->domain.shared &&
      gem_learned_list_check_share(&self->learned, addition->domain.owner, addition->domain.name, NULL);
  before = gem_learned_list_add(&self->learned, &addition->domain);
  addition->domain.name = NULL;
  addition->domain.replaces = NULL;
  if (before != 0 && gem_engine_check_running(self, NULL)) {
    push_leave(self, before, NULL);
  }
  g_task_return_boolean(task, TRUE);
  return G_SOURCE_REMOVE;
}

/* On the engine thread. */
static void
run_install(GemEngine *self, gpointer data)
{
  GTask *task = data;
  Addition *addition = g_task_get_task_data(task);
  GemLearned *domain = &addition->domain;
  GemPager *pager = self->runtime->pager;

  if (!gem_pager_add_learned(pager, domain->index, addition->reader, addition->file, addition->learned,
                             &addition->error)) {
    gem_engine_post(self, refuse_installed, task);
    return;
  }
  domain->row =
      (GemRouterRow){.weight = gem_pager_get_row(pager, domain->index), .bias = addition->learned->bias};
  gem_engine_publish(self);
  gem_engine_post(self, enter_list, task);
}

/* On a thread of its own: the whole file is read. */
static void
check_file(GTask *check, gpointer source, gpointer data, GCancellable *cancellable)
{
  const GemEngine *self = source;
  Addition *addition = data;
  GError *error = NULL;
  g_autoptr(GemGguf) file = gem_gguf_new_from_reader(addition->reader, addition->file, &error);

  if (file != NULL) {
    addition->learned = gem_learned_file_new(file, &self->learned_base, &error);
  }
  if (addition->learned == NULL) {
    g_task_return_error(check, error);
    return;
  }
  if (!g_str_equal(addition->learned->name, addition->domain.name)) {
    g_task_return_new_error(check, GEM_ERROR, GEM_ERROR_PATHWAY, "%s: key gem.learned.name is %s, not %s",
                            addition->file, addition->learned->name, addition->domain.name);
    return;
  }
  g_task_return_boolean(check, TRUE);
}

/* `data` is the caller's task, taken. */
static void
file_checked(GObject *source, GAsyncResult *result, gpointer data)
{
  GemEngine *self = GEM_ENGINE(source);
  GTask *task = data;
  Addition *addition = g_task_get_task_data(task);
  GCancellable *cancellable = g_task_get_cancellable(task);
  GError *error = NULL;

  if (!g_task_propagate_boolean(G_TASK(result), &error)) {
    fail_addition(task, error);
  } else if (g_cancellable_is_cancelled(cancellable)) {
    fail_addition(task, g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "cancelled"));
  } else if (!gem_engine_check_running(self, &error)) {
    fail_addition(task, error);
  } else {
    addition->domain.replaces = g_strdup(addition->learned->replaces);
    gem_engine_push(self, run_install, task);
  }
}

/* Whether the model can have learned domains at all. */
static gboolean
check_router(GemEngine *self, GError **error)
{
  if (self->runtime->router == NULL) {
    g_set_error(error, GEM_ERROR, GEM_ERROR_PATHWAY, "model %s has no router, which learned domains need",
                gem_engine_get_model_name(self));
    return FALSE;
  }
  if (self->learned_base.router_width == 0) {
    const GemPlugin *plugin = gem_plugin_module_get(self->runtime->router_module);

    g_set_error(error, GEM_ERROR, GEM_ERROR_PATHWAY,
                "router %s was built for plugin ABI %u.%u: learned domains need one of %u.2", plugin->name,
                plugin->abi_major, plugin->abi_minor, GEM_PLUGIN_ABI_MAJOR);
    return FALSE;
  }
  return TRUE;
}

/* Transfer full. */
static Addition *
begin_addition(GemEngine *self, const GemLearnedDomain *domain, GError **error)
{
  g_autoptr(GemFileReader) reader = NULL;
  g_autoptr(GError) cause = NULL;
  Addition *addition;
  guint index;

  if (!gem_engine_check_running(self, error) || !check_router(self, error)) {
    return NULL;
  }
  reader = domain->fd >= 0 ? gem_file_reader_new_from_fd(domain->fd, domain->file, &cause)
                           : gem_file_reader_open(domain->file, &cause);
  if (reader == NULL) {
    g_set_error_literal(error, GEM_ERROR, GEM_ERROR_PATHWAY, cause->message);
    return NULL;
  }
  self->learned.used &= ~atomic_exchange(&self->freed, 0);
  if (!gem_learned_list_take_index(&self->learned, &index, error)) {
    return NULL;
  }
  addition = g_new0(Addition, 1);
  addition->domain = (GemLearned){
      .name = g_strdup(domain->name), .owner = domain->owner, .shared = domain->shared, .index = index};
  addition->file = g_strdup(domain->file);
  addition->reader = g_steal_pointer(&reader);
  return addition;
}

void
gem_engine_add_learned_async(GemEngine *self,
                             const GemLearnedDomain *domain,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);
  g_autoptr(GTask) check = NULL;
  GError *error = NULL;
  Addition *addition = begin_addition(self, domain, &error);

  g_task_set_source_tag(task, gem_engine_add_learned_async);
  g_task_set_check_cancellable(task, FALSE);
  if (addition == NULL) {
    g_task_return_error(task, error);
    return;
  }
  g_task_set_task_data(task, addition, addition_free);
  check = g_task_new(self, NULL, file_checked, g_steal_pointer(&task));
  g_task_set_task_data(check, addition, NULL);
  g_task_run_in_thread(check, check_file);
}

gboolean
gem_engine_add_learned_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail(g_task_is_valid(result, self), FALSE);
  return g_task_propagate_boolean(G_TASK(result), error);
}

/* ---- the rest, on the main loop ---- */

static GemLearned *
find_own(GemEngine *self, guint owner, const char *name, GError **error)
{
  GemLearned *learned = NULL;

  if (!gem_engine_check_running(self, error)) {
    return NULL;
  }
  learned = gem_learned_list_find(&self->learned, owner, name);
  if (learned == NULL) {
    gem_set_unknown_domain(error, name);
  }
  return learned;
}

void
gem_engine_remove_learned_async(GemEngine *self,
                                guint owner,
                                const char *name,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer data)
{
  GTask *task = g_task_new(self, cancellable, callback, data);
  GError *error = NULL;
  GemLearned *learned = find_own(self, owner, name, &error);

  g_task_set_source_tag(task, gem_engine_remove_learned_async);
  g_task_set_check_cancellable(task, FALSE);
  if (learned == NULL) {
    g_task_return_error(task, error);
    g_object_unref(task);
    return;
  }
  push_leave(self, gem_learned_list_remove(&self->learned, learned), task);
}

gboolean
gem_engine_remove_learned_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail(g_task_is_valid(result, self), FALSE);
  return g_task_propagate_pointer(G_TASK(result), error) != NULL;
}

gboolean
gem_engine_share_learned(GemEngine *self, guint owner, const char *name, gboolean shared, GError **error)
{
  GemLearned *learned = find_own(self, owner, name, error);

  if (learned == NULL || (shared && !gem_learned_list_check_share(&self->learned, owner, name, error))) {
    return FALSE;
  }
  learned->shared = shared;
  return TRUE;
}

static GemLearnedInfo *
describe(GemEngine *self, const GemLearned *learned)
{
  GemPathwayInfo *pathway = gem_pager_get_info(self->runtime->pager, learned->index);
  GemLearnedInfo *info = g_new0(GemLearnedInfo, 1);

  *info = (GemLearnedInfo){
      .name = g_strdup(learned->name),
      .owner = learned->owner,
      .shared = learned->shared,
      .replaces = g_strdup(learned->replaces),
      .state = pathway->state,
      .reason = g_steal_pointer(&pathway->reason),
      .file_bytes = pathway->file_bytes,
      .resident_bytes = pathway->resident_bytes,
  };
  gem_pathway_info_free(pathway);
  return info;
}

GPtrArray *
gem_engine_list_learned(GemEngine *self)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)gem_learned_info_free);

  for (guint i = 0; i < self->learned.domains->len && gem_engine_check_running(self, NULL); i++) {
    g_ptr_array_add(list, describe(self, self->learned.domains->pdata[i]));
  }
  return list;
}

GStrv
gem_engine_list_domains_of(GemEngine *self, guint owner)
{
  g_autoptr(GemLearnedView) view = gem_learned_list_view(&self->learned, &self->files->shape, owner);

  return g_strdupv(view != NULL ? (GStrv)view->names : self->files->shape.domains);
}
