/* Backends and pathways, as the main loop sees them. */
#include "daemon/engine/gem-engine-private.h"
#include "daemon/engine/gem-room.h"

GPtrArray *
gem_engine_list_backends(GemEngine *self)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)gem_backend_info_free);

  for (guint i = 0; i < self->backends->len; i++) {
    g_ptr_array_add(list, gem_backend_info_copy(self->backends->pdata[i]));
  }
  return list;
}

GemPathwayInfo *
gem_engine_get_pathway(GemEngine *self, const char *domain)
{
  guint index;

  if (!gem_engine_check_running(self, NULL) || !gem_pager_find(self->runtime->pager, domain, &index)) {
    return NULL;
  }
  return gem_pager_get_info(self->runtime->pager, index);
}

/* A call to page a pathway in or out, on its way to the engine thread. */
typedef struct {
  GTask *task;
  guint index;
  gboolean in;
} Paging;

static void
run_paging(GemEngine *self, gpointer data)
{
  g_autofree Paging *paging = data;
  GCancellable *cancellable = g_task_get_cancellable(paging->task);
  GError *error = NULL;

  if (cancellable != NULL && g_cancellable_is_cancelled(cancellable)) {
    error = g_error_new_literal(GEM_ERROR, GEM_ERROR_CANCELLED, "cancelled");
  } else if (paging->in) {
    gem_room_page_in(self->runtime, paging->index, &error);
  } else {
    gem_pager_page_out(self->runtime->pager, paging->index, GEM_PAGE_OUT_ASKED, &error);
  }
  gem_engine_publish(self);
  gem_engine_return(self, paging->task, GINT_TO_POINTER(TRUE), NULL, error);
}

static void
page_async(GemEngine *self,
           const char *domain,
           gboolean in,
           GCancellable *cancellable,
           GAsyncReadyCallback callback,
           gpointer data)
{
  g_autoptr(GTask) task = g_task_new(self, cancellable, callback, data);
  GError *error = NULL;
  Paging *paging;
  guint index;

  g_task_set_source_tag(task, page_async);
  g_task_set_check_cancellable(task, FALSE);
  if (!gem_engine_check_running(self, &error)) {
    g_task_return_error(task, error);
    return;
  }
  if (!gem_pager_find(self->runtime->pager, domain, &index)) {
    gem_set_unknown_domain(&error, domain);
    g_task_return_error(task, error);
    return;
  }
  paging = g_new(Paging, 1);
  *paging = (Paging){.task = g_steal_pointer(&task), .index = index, .in = in};
  gem_engine_push(self, run_paging, paging);
}

void
gem_engine_page_in_async(GemEngine *self,
                         const char *domain,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer data)
{
  page_async(self, domain, TRUE, cancellable, callback, data);
}

void
gem_engine_page_out_async(GemEngine *self,
                          const char *domain,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer data)
{
  page_async(self, domain, FALSE, cancellable, callback, data);
}

/* FALSE: stopped, or no such domain. */
static gboolean
find_pathway(GemEngine *self, const char *domain, guint *ret_index)
{
  return gem_engine_check_running(self, NULL) && gem_pager_find(self->runtime->pager, domain, ret_index);
}

void
gem_engine_hold_pathway(GemEngine *self, const char *domain)
{
  guint index;

  if (find_pathway(self, domain, &index)) {
    gem_pager_hold(self->runtime->pager, index);
  }
}

void
gem_engine_release_pathway(GemEngine *self, const char *domain)
{
  guint index;

  if (find_pathway(self, domain, &index)) {
    gem_pager_release(self->runtime->pager, index);
  }
}

void
gem_engine_set_pinned(GemEngine *self, const char *domain, gboolean pinned)
{
  guint index;

  if (find_pathway(self, domain, &index)) {
    gem_pager_set_pinned(self->runtime->pager, index, pinned);
  }
}

gboolean
gem_engine_page_finish(GemEngine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail(g_task_is_valid(result, self), FALSE);
  return g_task_propagate_pointer(G_TASK(result), error) != NULL;
}
