#include "tests/gem-test-edge.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/gem-test-folder.h"

const char *const gem_test_edge_domains[] = {"stem", "legal", NULL};
const char *const gem_test_edge_identity[] = {"model", "stand", "seed", "1", NULL};
const GemEdgeRunOptions gem_test_edge_in_pairs = {.in_flight = 2, .max_tokens = 8};

/* ---- the stand-in ---- */

typedef struct {
  GemEdgeReply reply;
  GError *error;
  GemEdgeReplied replied;
  gpointer data;
} Answer;

static gboolean
give_answer(gpointer data)
{
  g_autofree Answer *answer = data;

  answer->replied(answer->error == NULL ? &answer->reply : NULL, answer->error, answer->data);
  gem_edge_reply_clear(&answer->reply);
  g_clear_error(&answer->error);
  return G_SOURCE_REMOVE;
}

static void
stand_ask(GemEdgeAsker *asker, const GemEdgeQuestion *question, GemEdgeReplied replied, gpointer data)
{
  GemTestEdgeStand *self = (GemTestEdgeStand *)asker;
  gboolean legal = g_strcmp0(question->domain, "legal") == 0;
  Answer *answer = g_new0(Answer, 1);

  self->asked++;
  answer->replied = replied;
  answer->data = data;
  answer->reply.seconds = self->asked;
  answer->reply.tokens = 10;
  answer->reply.fate = strstr(question->text, "long") != NULL ? GEM_BENCH_SKIPPED_CONTEXT : GEM_BENCH_USED;
  if (question->kind == GEM_EDGE_CHOOSE) {
    answer->reply.choice = question->domain == NULL || legal ? 1 : 0;
  } else if (question->kind == GEM_EDGE_WRITE) {
    answer->reply.answer = g_strdup(question->domain == NULL || legal ? "right one; two" : "wrong");
    answer->reply.written = 4;
    answer->reply.write_seconds = 2;
  } else if (question->kind == GEM_EDGE_SCORE) {
    answer->reply.log_likelihood = question->domain == NULL ? -10 : (legal ? -20 : -30);
  } else {
    answer->reply.routed = 5;
  }
  if (self->asked == self->fail_at) {
    answer->error = g_error_new(G_IO_ERROR, G_IO_ERROR_FAILED, "made to fail");
  }
  if (self->asked == self->interrupt_at) {
    kill(getpid(), SIGINT);
    /* With one question at a time nothing else can be pending. */
    while (!g_main_context_pending(NULL)) {
      g_usleep(1000);
    }
  }
  g_idle_add(give_answer, answer);
}

static gboolean
stand_look(GemEdgeAsker *asker, GemEdgeSight *ret_sight, GError **error)
{
  *ret_sight = (GemEdgeSight){.resident = 1000,
                              .process = 2000,
                              .page_ins = ((GemTestEdgeStand *)asker)->asked,
                              .tokens = 10 * (gint64)((GemTestEdgeStand *)asker)->asked};
  return TRUE;
}

static void
stand_free(GemEdgeAsker *asker)
{
}

void
gem_test_edge_stand_init(GemTestEdgeStand *self)
{
  *self =
      (GemTestEdgeStand){.base = {.way = "bus", .ask = stand_ask, .look = stand_look, .free = stand_free}};
}

/* ---- the scene ---- */

void
gem_test_edge_set_up(GemTestEdge *self, gconstpointer data)
{
  self->folder = gem_test_folder_new();
  self->state = g_build_filename(self->folder, "state", NULL);
  self->energy = gem_edge_energy_new(self->folder);
  gem_test_write_text(
      self->folder, "manifest.json",
      "{\"tasks\": [{\"domain\": \"legal\", \"name\": \"pick\", \"form\": \"multiple choice\"},"
      "{\"domain\": \"stem\", \"name\": \"find\", \"form\": \"extractive QA\"},"
      "{\"domain\": \"stem\", \"name\": \"list\", \"form\": \"extraction (list)\"},"
      "{\"domain\": \"stem\", \"name\": \"tell\", \"form\": \"generation\"},"
      "{\"domain\": \"stem\", \"name\": \"unused\", \"form\": \"generation\"}],"
      "\"suite\": [\"legal/pick\", \"stem/find\", \"stem/list\", \"stem/tell\"]}");
  gem_test_write_text(self->folder, "tasks/legal/pick/labels.json", "[\"no\", \"yes\"]");
  gem_test_write_text(self->folder, "tasks/legal/pick/dev.jsonl",
                      "{\"input\": \"a\", \"target\": \"yes\"}\n{\"input\": \"b\", \"target\": \"yes\"}\n"
                      "{\"input\": \"c\", \"target\": \"no\"}\n{\"input\": \"d\", \"target\": \"maybe\"}\n"
                      "{\"input\": \"too long\", \"target\": \"no\"}\n");
  gem_test_write_text(self->folder, "tasks/stem/find/dev.jsonl",
                      "{\"input\": \"a\", \"target\": \"x\", \"refs\": [\"Right one, two.\"]}\n"
                      "{\"input\": \"b\", \"target\": \"the right\"}\n");
  gem_test_write_text(self->folder, "tasks/stem/list/dev.jsonl",
                      "{\"input\": \"a\", \"target\": \"two; three\"}\n");
  gem_test_write_text(self->folder, "tasks/stem/tell/dev.jsonl",
                      "{\"input\": \"a\", \"target\": \"right\"}\n");
}

void
gem_test_edge_tear_down(GemTestEdge *self, gconstpointer data)
{
  gem_edge_energy_free(self->energy);
  gem_test_folder_remove(self->folder);
  g_free(self->folder);
  g_free(self->state);
}

GemEdgeSuite *
gem_test_edge_read_suite(const GemTestEdge *self, const char *tasks, GError **error)
{
  const GemEdgeWish wish = {.folder = self->folder, .tasks = tasks, .split = "dev", .seed = 1};

  return gem_edge_suite_read(&wish, error);
}
