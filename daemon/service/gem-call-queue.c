#include "daemon/service/gem-call-queue.h"

struct _GemCallQueue {
  GemQueueKind kind;
  GQueue waiting; /* of GemCallTicket, oldest first */
  guint running;  /* heavy ones */
  guint batch;    /* of these, the batch ones */
  guint passed;   /* calls since a batch one that waits was next */
  guint parallel;
  guint seconds;
  guint source; /* 0: nothing can run now */
};

GemCallQueue *
gem_call_queue_new(GemQueueKind kind, guint parallel, guint seconds)
{
  GemCallQueue *self = g_new0(GemCallQueue, 1);

  self->kind = kind;
  g_queue_init(&self->waiting);
  self->parallel = parallel;
  self->seconds = seconds;
  return self;
}

void
gem_call_queue_free(GemCallQueue *self)
{
  g_assert(g_queue_is_empty(&self->waiting));
  g_clear_handle_id(&self->source, g_source_remove);
  g_free(self);
}

/* What a batch call needs: a place, and one more for others where there are several. */
static gboolean
has_place(const GemCallQueue *self, const GemCallTicket *ticket)
{
  return !ticket->heavy ||
         (self->running < self->parallel && (!ticket->batch || self->batch < MAX(self->parallel - 1, 1)));
}

static gboolean
comes_before(const GemCallQueue *self, const GemCallTicket *a, const GemCallTicket *b)
{
  guint of_user[] = {a->heavy ? a->caller->user->running[self->kind] : 0,
                     b->heavy ? b->caller->user->running[self->kind] : 0};

  if (a->batch != b->batch) {
    return a->batch == (self->passed >= GEM_CALL_BATCH_AFTER);
  }
  if (of_user[0] != of_user[1]) {
    return of_user[0] < of_user[1];
  }
  return (a->heavy ? a->caller->running[self->kind] : 0) < (b->heavy ? b->caller->running[self->kind] : 0);
}

/* NULL: nothing can run now. */
static GList *
find_next(GemCallQueue *self)
{
  GList *next = NULL;

  for (GList *link = self->waiting.head; link != NULL; link = link->next) {
    const GemCallTicket *ticket = link->data;

    if (has_place(self, ticket) && (next == NULL || comes_before(self, ticket, next->data))) {
      next = link;
    }
  }
  return next;
}

static gboolean
has_batch(const GemCallQueue *self)
{
  for (const GList *link = self->waiting.head; link != NULL; link = link->next) {
    if (((const GemCallTicket *)link->data)->batch) {
      return TRUE;
    }
  }
  return FALSE;
}

/* Takes it from the queue and runs it. */
static void
run_link(GemCallQueue *self, GList *link)
{
  GemCallTicket *ticket = link->data;

  g_queue_delete_link(&self->waiting, link);
  g_clear_handle_id(&ticket->deadline, g_source_remove);
  ticket->running = TRUE;
  self->passed = !ticket->batch && has_batch(self) ? self->passed + 1 : 0;
  if (ticket->heavy) {
    self->running++;
    self->batch += ticket->batch ? 1 : 0;
    ticket->caller->running[self->kind]++;
    ticket->caller->user->running[self->kind]++;
  }
  ticket->run(ticket->data);
}

static gboolean
on_turn(gpointer data)
{
  GemCallQueue *self = data;
  GList *next = find_next(self);

  if (next == NULL) {
    self->source = 0;
    return G_SOURCE_REMOVE;
  }
  run_link(self, next);
  return G_SOURCE_CONTINUE;
}

/* At the priority of messages: once in each turn of the main loop, however many messages come. */
static void
arm(GemCallQueue *self)
{
  if (self->source == 0 && !g_queue_is_empty(&self->waiting)) {
    self->source = g_idle_add_full(G_PRIORITY_DEFAULT, on_turn, self, NULL);
  }
}

static gboolean
on_deadline(gpointer data)
{
  GemCallTicket *ticket = data;
  GemCallQueue *self = ticket->queue;

  ticket->deadline = 0;
  g_queue_remove(&self->waiting, ticket);
  ticket->queue = NULL;
  ticket->late(ticket->data, self->seconds);
  return G_SOURCE_REMOVE;
}

guint
gem_call_queue_milliseconds_left(const GemCallTicket *ticket)
{
  gint64 waited = ticket->since > 0 ? (g_get_monotonic_time() - ticket->since) / 1000 : 0;

  return (guint)MAX((gint64)ticket->queue->seconds * 1000 - waited, 1);
}

guint
gem_call_queue_count_running(const GemCallQueue *self)
{
  return self->running;
}

void
gem_call_queue_join(GemCallQueue *self, GemCallTicket *ticket)
{
  ticket->queue = self;
  if (ticket->heavy) {
    ticket->deadline = g_timeout_add(gem_call_queue_milliseconds_left(ticket), on_deadline, ticket);
  }
  g_queue_push_tail(&self->waiting, ticket);
  arm(self);
}

void
gem_call_queue_leave(GemCallTicket *ticket)
{
  GemCallQueue *self = g_steal_pointer(&ticket->queue);

  if (self == NULL) {
    return;
  }
  g_assert(ticket->running);
  if (ticket->heavy) {
    self->running--;
    self->batch -= ticket->batch ? 1 : 0;
    ticket->caller->running[self->kind]--;
    ticket->caller->user->running[self->kind]--;
  }
  arm(self);
}

void
gem_call_queue_run_all(GemCallQueue *self)
{
  while (!g_queue_is_empty(&self->waiting)) {
    run_link(self, self->waiting.head);
  }
}
