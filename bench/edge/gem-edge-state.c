#include "bench/edge/gem-edge-state.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "bench/gem-bench-json.h"

/* Another one, too, when the same question is answered by another rule: labels are scored as wholes since 2.
 */
#define FORMAT "2"
/* Of the first line, whatever was cut off after it. */
#define BEGINNING "{\"edge_state\":"

struct _GemEdgeState {
  char *path; /* NULL: nothing is kept */
  int file;   /* open for appending; -1 */
  GArray *samples;
};

void
gem_edge_state_free(GemEdgeState *self)
{
  if (self->file >= 0) {
    close(self->file);
  }
  g_free(self->path);
  g_array_unref(self->samples);
  g_free(self);
}

const GArray *
gem_edge_state_get_samples(const GemEdgeState *self)
{
  return self->samples;
}

/* ---- writing ---- */

static gboolean
fail_writing(const GemEdgeState *self, GError **error)
{
  int code = errno;

  g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(code), "%s: %s", self->path,
              g_strerror(code));
  return FALSE;
}

/* Appends the builder's object as one line: it is there whole or, of a process that is killed, as the last.
 * What a full disk cuts off is taken back, since others may follow it. */
static gboolean
append(GemEdgeState *self, JsonBuilder *builder, GError **error)
{
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  g_autofree char *text = json_to_string(root, FALSE);
  g_autofree char *line = g_strconcat(text, "\n", NULL);
  gsize length = strlen(line), done = 0;
  off_t before = self->file >= 0 ? lseek(self->file, 0, SEEK_END) : 0;

  while (self->file >= 0 && done < length) {
    ssize_t n = write(self->file, line + done, length - done);

    if (n < 0 && errno != EINTR) {
      fail_writing(self, error);
      if (before < 0 || ftruncate(self->file, before) != 0) {
        close(self->file); /* nothing more is kept */
        self->file = -1;
      }
      return FALSE;
    }
    done += n < 0 ? 0 : (gsize)n;
  }
  return TRUE;
}

static gboolean
append_identity(GemEdgeState *self, const char *const *identity, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  gem_bench_json_add_string(builder, "edge_state", FORMAT);
  for (; *identity != NULL; identity += 2) {
    gem_bench_json_add_string(builder, identity[0], identity[1]);
  }
  json_builder_end_object(builder);
  return append(self, builder, error);
}

gboolean
gem_edge_state_add_reply(GemEdgeState *self, guint index, const GemEdgeReply *reply, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  gem_bench_json_add_count(builder, "index", index);
  gem_bench_json_add_count(builder, "fate", reply->fate);
  gem_bench_json_add_count(builder, "choice", reply->choice);
  if (reply->answer != NULL) {
    gem_bench_json_add_string(builder, "answer", reply->answer);
    gem_bench_json_add_count(builder, "truncated", reply->truncated ? 1 : 0);
    gem_bench_json_add_count(builder, "written", reply->written);
    gem_bench_json_add_double(builder, "write_seconds", reply->write_seconds);
  }
  gem_bench_json_add_double(builder, "log_likelihood", reply->log_likelihood);
  gem_bench_json_add_count(builder, "tokens", reply->tokens);
  gem_bench_json_add_count(builder, "routed", reply->routed);
  gem_bench_json_add_double(builder, "seconds", reply->seconds);
  json_builder_end_object(builder);
  return append(self, builder, error);
}

gboolean
gem_edge_state_add_sample(GemEdgeState *self, const GemEdgeSample *sample, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  g_array_append_val(self->samples, *sample);
  json_builder_begin_object(builder);
  gem_bench_json_add_string(builder, "sample", "");
  gem_bench_json_add_double(builder, "seconds", sample->seconds);
  gem_bench_json_add_double(builder, "joules", sample->joules);
  gem_bench_json_add_count(builder, "resident", sample->resident);
  gem_bench_json_add_count(builder, "process", sample->process);
  json_builder_set_member_name(builder, "page_ins");
  json_builder_add_int_value(builder, sample->page_ins);
  json_builder_set_member_name(builder, "page_in_failures");
  json_builder_add_int_value(builder, sample->page_in_failures);
  json_builder_set_member_name(builder, "degraded_tokens");
  json_builder_add_int_value(builder, sample->degraded_tokens);
  json_builder_set_member_name(builder, "tokens");
  json_builder_add_int_value(builder, sample->tokens);
  json_builder_end_object(builder);
  return append(self, builder, error);
}

/* ---- reading ---- */

static double
get_double(JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member(object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_double(node) : NAN;
}

static gint64
get_int(JsonObject *object, const char *name)
{
  return json_object_get_int_member_with_default(object, name, 0);
}

static void
read_sample(GemEdgeState *self, JsonObject *object)
{
  GemEdgeSample sample = {
      .seconds = get_double(object, "seconds"),
      .joules = get_double(object, "joules"),
      .resident = (guint64)get_int(object, "resident"),
      .process = (guint64)get_int(object, "process"),
      .page_ins = get_int(object, "page_ins"),
      .page_in_failures = get_int(object, "page_in_failures"),
      .degraded_tokens = get_int(object, "degraded_tokens"),
      .tokens = json_object_get_int_member_with_default(object, "tokens", -1),
  };

  g_array_append_val(self->samples, sample);
}

static gboolean
read_reply(GemEdgePlan *plan, JsonObject *object, GError **error)
{
  gint64 index = get_int(object, "index"), fate = get_int(object, "fate");
  GemEdgeItem *item;

  if (index < 0 || index >= plan->items->len || fate < 0 || fate >= GEM_BENCH_N_FATES) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no answer of this run");
    return FALSE;
  }
  item = &g_array_index(plan->items, GemEdgeItem, (guint)index);
  gem_edge_reply_clear(&item->reply);
  item->done = TRUE;
  item->reply = (GemEdgeReply){
      .fate = (GemBenchFate)fate,
      .choice = (guint)get_int(object, "choice"),
      .answer = g_strdup(json_object_get_string_member_with_default(object, "answer", NULL)),
      .truncated = get_int(object, "truncated") != 0,
      .written = (guint)get_int(object, "written"),
      .write_seconds = get_double(object, "write_seconds"),
      .log_likelihood = get_double(object, "log_likelihood"),
      .tokens = (guint64)get_int(object, "tokens"),
      .routed = (guint64)get_int(object, "routed"),
      .seconds = get_double(object, "seconds"),
  };
  return TRUE;
}

static gboolean
check_identity(JsonObject *object, const char *const *identity, GError **error)
{
  const char *format = json_object_get_string_member_with_default(object, "edge_state", NULL);

  if (g_strcmp0(format, FORMAT) != 0) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                        "the state of another gem-bench, which found answers by another rule");
    return FALSE;
  }
  for (; *identity != NULL; identity += 2) {
    const char *kept = json_object_get_string_member_with_default(object, identity[0], "");

    if (!g_str_equal(kept, identity[1])) {
      g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                  "the state of another run: its %s is '%s', and this one's '%s'", identity[0], kept,
                  identity[1]);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
read_line(GemEdgeState *self,
          const char *line,
          gboolean first,
          const char *const *identity,
          GemEdgePlan *plan,
          GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new();
  JsonNode *root;

  if (!json_parser_load_from_data(parser, line, -1, error)) {
    return FALSE;
  }
  root = json_parser_get_root(parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "no JSON object");
    return FALSE;
  }
  if (first) {
    return check_identity(json_node_get_object(root), identity, error);
  }
  if (json_object_has_member(json_node_get_object(root), "sample")) {
    read_sample(self, json_node_get_object(root));
    return TRUE;
  }
  return read_reply(plan, json_node_get_object(root), error);
}

/* Reads every line that has its end; `ret_length`: of these, in bytes. */
static gboolean
read_lines(
    GemEdgeState *self, const char *const *identity, GemEdgePlan *plan, gsize *ret_length, GError **error)
{
  g_autofree char *text = NULL;
  char *at, *end;
  guint number = 0;

  if (!g_file_get_contents(self->path, &text, NULL, error)) {
    return FALSE;
  }
  if (text[0] != '\0' && !g_str_has_prefix(text, BEGINNING) && !g_str_has_prefix(BEGINNING, text)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: no state of gem-bench edge", self->path);
    return FALSE;
  }
  for (at = text; (end = strchr(at, '\n')) != NULL; at = end + 1) {
    *end = '\0';
    number++;
    if (!read_line(self, at, number == 1, identity, plan, error)) {
      g_prefix_error(error, "%s: line %u: ", self->path, number);
      return FALSE;
    }
  }
  *ret_length = (gsize)(at - text);
  return TRUE;
}

/* The file for appending, ours alone: two runs would count each other's time and answers. */
static gboolean
open_locked(GemEdgeState *self, GError **error)
{
  self->file = open(self->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (self->file < 0) {
    return fail_writing(self, error);
  }
  if (flock(self->file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY, "%s: another run is at work with it", self->path);
    return FALSE;
  }
  return TRUE;
}

GemEdgeState *
gem_edge_state_open(const char *path, const char *const *identity, GemEdgePlan *plan, GError **error)
{
  g_autoptr(GemEdgeState) self = g_new0(GemEdgeState, 1);
  gsize length = 0;

  self->path = g_strdup(path);
  self->file = -1;
  self->samples = g_array_new(FALSE, FALSE, sizeof(GemEdgeSample));
  if (path == NULL) {
    return g_steal_pointer(&self);
  }
  if (!open_locked(self, error) || !read_lines(self, identity, plan, &length, error)) {
    return NULL;
  }
  if (ftruncate(self->file, (off_t)length) != 0) {
    fail_writing(self, error);
    return NULL;
  }
  if (length == 0 && !append_identity(self, identity, error)) {
    return NULL;
  }
  return g_steal_pointer(&self);
}
