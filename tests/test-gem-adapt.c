/* gem-adapt as gemd starts it, over a tiny random model and invented text: what it learns, what it refuses,
 * that it ends when asked and goes on with the same bytes. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adaptation/trainer/gem-adapt-memory.h"
#include "adaptation/trainer/gem-adapt-slots.h"
#include "format/gem-learned-file.h"
#include "tests/gem-test-model.h"
#include "tests/gem-test-trainer.h"

typedef struct {
  char *dir;
  GString *text;
} Fixture;

/* Documents of a few words that always follow each other: there is something to learn. */
static GString *
invent_text(guint documents)
{
  static const char *const words[] = {"the",  "red",  "loom", "knits", "a",
                                      "warm", "sock", "and",  "then",  "rests"};
  GString *text = g_string_new(NULL);
  g_autoptr(GRand) random = g_rand_new_with_seed(5);
  for (guint d = 0; d < documents; d++) {
    guint at = (guint)g_rand_int_range(random, 0, G_N_ELEMENTS(words));
    for (guint w = 0; w < 24; w++) {
      g_string_append_printf(text, "%s%s", w > 0 ? " " : "", words[(at + w) % G_N_ELEMENTS(words)]);
    }
    g_string_append_printf(text, " %u\n\n", d);
  }
  return text;
}

static GVariant *
invent_replay(void)
{
  static const char *const domains[] = {"general", "legal", "finance", "stem"};
  GVariantBuilder texts;
  g_autoptr(GRand) random = g_rand_new_with_seed(6);
  g_variant_builder_init(&texts, G_VARIANT_TYPE("a(ss)"));
  for (guint i = 0; i < 32; i++) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint c = 0; c < 80; c++) {
      g_string_append_c(text, (char)g_rand_int_range(random, 'A', 'Z' + 1));
    }
    g_variant_builder_add(&texts, "(ss)", domains[i % G_N_ELEMENTS(domains)], text->str);
  }
  return g_variant_builder_end(&texts);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
  g_auto(GemModelShape) shape = {0};
  fixture->dir = gem_test_folder_new();
  gem_test_model_shape(&shape);
  gem_test_model_write(fixture->dir, &shape, GEM_TYPE_Q4_0, 1);
  fixture->text = invent_text(60);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
  gem_test_folder_remove(fixture->dir);
  g_free(fixture->dir);
  g_string_free(fixture->text, TRUE);
}

static GemAdaptPacket *
new_start(const Fixture *fixture, const char *replaces)
{
  return gem_test_adapt_start(fixture->dir, replaces != NULL ? replaces : "knitting", replaces, "legal",
                              fixture->text->str, fixture->text->len, invent_replay());
}

static GemAdaptPacket *
run(const GemAdaptPacket *start)
{
  g_autoptr(GemTestAdapt) trainer = gem_test_adapt_new(start);
  GemAdaptPacket *last = gem_test_adapt_wait_last(trainer);
  g_assert_nonnull(last);
  g_assert_cmpint(gem_test_adapt_wait_exit(trainer), ==, 0);
  return last;
}

static void
assert_kind(const GemAdaptPacket *packet, GemAdaptKind kind)
{
  if (packet->kind != kind) {
    g_error("kind %d, not %d: %s", (int)packet->kind, (int)kind,
            packet->kind == GEM_ADAPT_ERROR || packet->kind == GEM_ADAPT_BAD_TEXT ? packet->message
            : packet->kind == GEM_ADAPT_REFUSED                                   ? packet->result.reason
                                                                                  : "done");
  }
}

static void
assert_ends(const GemAdaptPacket *start, GemAdaptKind kind, const char *what)
{
  g_autoptr(GemAdaptPacket) last = run(start);
  assert_kind(last, kind);
  if (strstr(last->message, what) == NULL) {
    g_error("'%s' is not in '%s'", what, last->message);
  }
}

static void
assert_error(const GemAdaptPacket *start, const char *what)
{
  assert_ends(start, GEM_ADAPT_ERROR, what);
}

/* ---- what it learns ---- */

static void
test_done(Fixture *fixture, gconstpointer data)
{
  const char *replaced = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GemAdaptPacket) start = new_start(fixture, replaced);
  start->start.threads = 2;
  g_autoptr(GemTestAdapt) trainer = gem_test_adapt_new(start);
  g_autoptr(GemAdaptPacket) last = gem_test_adapt_wait_last(trainer);
  g_assert_nonnull(last);
  assert_kind(last, GEM_ADAPT_DONE);
  g_assert_cmpfloat(last->result.held_out_after, <, 0.9 * last->result.held_out_before);
  g_assert_cmpfloat(last->result.routed_share, >, 0.5);
  g_assert_cmpuint(last->result.others->len, ==, replaced != NULL ? 3 : 4);
  g_assert_cmpuint(last->result.steps, >, 0);
  g_assert_cmpuint(last->result.tokens, >, 2000);
  g_assert_cmpuint(trainer->progress[GEM_ADAPT_LEARNING], >, 0);
  g_assert_cmpfloat(trainer->last_share, >, 0.5);

  /* What it wrote is a learned file of this model. */
  GemLearnedBase base;
  g_autoptr(GemModelFiles) model = gem_model_files_open(fixture->dir, &error);
  g_assert_true(gem_learned_base_of_model(model, &base, &error));
  g_autoptr(GBytes) bytes = gem_test_adapt_read(start->start.files[GEM_ADAPT_OUTPUT]);
  g_autoptr(GemGguf) file = gem_gguf_new_from_bytes(bytes, "output", &error);
  g_assert_no_error(error);
  g_autoptr(GemLearnedFile) learned = gem_learned_file_new(file, &base, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(learned->replaces, ==, replaced);
  g_assert_cmpint((int)gem_gguf_find_tensor(file, "blk.0.ffn_down.weight")->type, ==, (int)GEM_TYPE_Q4_0);
}

/* Asked as questions are, from nothing but zeros. */
static void
test_tapt(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) start = new_start(fixture, NULL);
  start->start.mode = GEM_ADAPT_TAPT;
  close(start->start.files[GEM_ADAPT_PATHWAY]);
  start->start.files[GEM_ADAPT_PATHWAY] = -1;
  g_autoptr(GemAdaptPacket) last = run(start);
  assert_kind(last, GEM_ADAPT_DONE);
  g_assert_cmpfloat(last->result.held_out_after, <, last->result.held_out_before);
}

static void
set_file(GemAdaptPacket *start, GemAdaptFile file, gconstpointer data, gsize size)
{
  close(start->start.files[file]);
  start->start.files[file] = gem_test_adapt_file(data, size);
}

static void
assert_refused(const GemAdaptPacket *start, const char *what)
{
  g_autoptr(GemAdaptPacket) last = run(start);
  assert_kind(last, GEM_ADAPT_REFUSED);
  if (strstr(last->result.reason, what) == NULL) {
    g_error("'%s' is not in '%s'", what, last->result.reason);
  }
  g_autoptr(GBytes) output = gem_test_adapt_read(start->start.files[GEM_ADAPT_OUTPUT]);
  g_assert_cmpuint(g_bytes_get_size(output), ==, 0);
}

static void
test_refused(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) no_gain = new_start(fixture, NULL);
  no_gain->start.least_gain_percent = 100.0;
  assert_refused(no_gain, "100.0 % are asked for");

  /* Others' tokens that the random router gave to the replaced domain go elsewhere now: what changes at all
   * is too much for some of them. */
  g_autoptr(GemAdaptPacket) worse = new_start(fixture, "finance");
  worse->start.worst_other_percent = 0.0;
  assert_refused(worse, "would grow by");
}

/* ---- what it does not begin with ---- */

static void
test_bad_text(Fixture *fixture, gconstpointer data)
{
  const char bad[] = "good line\nba\x01"
                     "d line\nworse \xff line\n\nsecret words\n";
  g_autoptr(GemAdaptPacket) start = new_start(fixture, NULL);
  set_file(start, GEM_ADAPT_TEXT, bad, sizeof bad - 1);
  g_autoptr(GemAdaptPacket) last = run(start);
  assert_kind(last, GEM_ADAPT_BAD_TEXT);
  g_assert_nonnull(
      strstr(last->message, "of 5 lines of the text 1 have control characters and 1 are not UTF-8"));
  g_assert_nonnull(strstr(last->message, "the first is line 2"));
  g_assert_null(strstr(last->message, "secret"));

  set_file(start, GEM_ADAPT_TEXT, "short", 5);
  assert_ends(start, GEM_ADAPT_BAD_TEXT, "too little text");
  set_file(start, GEM_ADAPT_TEXT, "", 0);
  assert_ends(start, GEM_ADAPT_BAD_TEXT, "too little text");
}

static GBytes *
output_of(const GemAdaptPacket *start)
{
  g_autoptr(GemAdaptPacket) last = run(start);
  assert_kind(last, GEM_ADAPT_DONE);
  return gem_test_adapt_read(start->start.files[GEM_ADAPT_OUTPUT]);
}

/* Pages, as programs that write PDF as text end them: what is learned is the same as with empty lines. */
static void
test_pages(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) lines = new_start(fixture, NULL);
  g_autoptr(GBytes) expected = output_of(lines);
  for (gsize i = 1; i < fixture->text->len; i++) {
    if (fixture->text->str[i] == '\n' && fixture->text->str[i - 1] == '\n') {
      fixture->text->str[i] = '\f';
    }
  }
  g_assert_nonnull(strchr(fixture->text->str, '\f'));
  g_autoptr(GemAdaptPacket) pages = new_start(fixture, NULL);
  g_autoptr(GBytes) output = output_of(pages);
  g_assert_true(g_bytes_equal(expected, output));
}

static void
test_bad_files(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) other = new_start(fixture, NULL);
  other->start.general_sha256[0] = other->start.general_sha256[0] == '0' ? '1' : '0';
  assert_error(other, "general");

  g_autoptr(GemAdaptPacket) noise = new_start(fixture, NULL);
  set_file(noise, GEM_ADAPT_REPLAY, "noise that is no list", 21);
  assert_error(noise, "replay");

  g_autoptr(GVariant) unknown = g_variant_ref_sink(g_variant_new_parsed("[('cooking', 'some words')]"));
  set_file(noise, GEM_ADAPT_REPLAY, g_variant_get_data(unknown), g_variant_get_size(unknown));
  assert_error(noise, "replay: of a domain that the model does not have");

  g_autoptr(GemAdaptPacket) named = new_start(fixture, NULL);
  g_free(named->start.name);
  named->start.name = g_strdup("finance");
  assert_error(named, "finance");
  g_autoptr(GemAdaptPacket) pathway = new_start(fixture, NULL);
  set_file(pathway, GEM_ADAPT_PATHWAY, "GGUF", 4);
  assert_error(pathway, "pathway");
}

static void
test_memory(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) start = new_start(fixture, NULL);
  start->start.memory_bytes = GEM_ADAPT_LEAST_MEMORY;
  assert_error(start, "16 MiB are allowed");
}

/* What it calls enough is enough. */
static void
test_memory_enough(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) start = new_start(fixture, NULL);
  start->start.memory_bytes = GEM_ADAPT_LEAST_MEMORY;
  g_autoptr(GemAdaptPacket) asked = run(start);
  assert_kind(asked, GEM_ADAPT_ERROR);
  guint64 mib = 0;
  g_assert_cmpint(sscanf(asked->message, "learning this takes about %" G_GUINT64_FORMAT, &mib), ==, 1);
  start->start.memory_bytes = mib << 20;
  g_autoptr(GBytes) one = output_of(start);

  /* With more processors than there is memory for, fewer learn: the same as if no more had been asked for. */
  g_autoptr(GemAdaptPacket) many = new_start(fixture, NULL);
  many->start.threads = GEM_ADAPT_MAX_THREADS;
  many->start.memory_bytes = mib << 20;
  g_autoptr(GBytes) same = output_of(many);
  g_assert_true(g_bytes_equal(one, same));
}

/* As many threads as there is memory for, one after the other as it grows. */
static void
test_lanes(Fixture *fixture, gconstpointer data)
{
  g_autoptr(GemAdaptPacket) start = new_start(fixture, NULL);
  guint before = 0;
  start->start.threads = 6;
  for (guint64 mib = GEM_ADAPT_LEAST_MEMORY >> 20; before < 6; mib++) {
    g_autoptr(GError) error = NULL;
    guint lanes = 0;
    start->start.memory_bytes = mib << 20;
    if (!gem_adapt_memory_choose_lanes(&start->start, fixture->text->len, &lanes, &error)) {
      g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_nonnull(strstr(error->message, "(AdaptMemory)"));
      g_assert_nonnull(strstr(error->message, "(Threads)"));
    }
    g_assert_cmpuint(lanes, >=, before);
    g_assert_cmpuint(lanes, <=, before + 1);
    before = lanes;
    g_assert_cmpuint(mib, <, 4096);
  }
  start->start.threads = 1;
  g_assert_true(gem_adapt_memory_choose_lanes(&start->start, fixture->text->len, &before, NULL));
  g_assert_cmpuint(before, ==, 1);
}

static void
test_hostile(void)
{
  const char *const packets[] = {"('cancel', {})", "('start', {'name': <'x'>})", "('progress', {})"};
  for (gsize i = 0; i < G_N_ELEMENTS(packets); i++) {
    g_autoptr(GemTestAdapt) trainer = gem_test_adapt_new(NULL);
    g_autoptr(GVariant) packet = g_variant_parse(G_VARIANT_TYPE("(sa{sv})"), packets[i], NULL, NULL, NULL);
    g_assert_cmpint(write(gem_adapt_channel_get_fd(trainer->channel), g_variant_get_data(packet),
                          g_variant_get_size(packet)),
                    >, 0);
    g_autoptr(GemAdaptPacket) last = gem_test_adapt_wait_last(trainer);
    g_assert_nonnull(last);
    assert_kind(last, GEM_ADAPT_ERROR);
    g_assert_cmpint(gem_test_adapt_wait_exit(trainer), ==, 1);
  }
}

/* ---- ends and goes on ---- */

/* Enough to learn for as long as it takes to say that it is to end. */
static void
make_long(Fixture *fixture)
{
  g_string_free(fixture->text, TRUE);
  fixture->text = invent_text(600);
}

/* Goes on, as its first word on what it has learned says, beyond that share: from a checkpoint, not afresh.
 */
static GemTestAdapt *
start_beyond(const GemAdaptPacket *start, double share)
{
  GemTestAdapt *trainer = gem_test_adapt_new(start);
  g_assert_true(gem_test_adapt_wait_phase(trainer, GEM_ADAPT_LEARNING));
  g_assert_cmpfloat(trainer->last_share, >, share);
  return trainer;
}

/* Learns until something has been learned, and then stops by a signal or (0) as it is told to. Returns the
 * share from which it can go on: one that is killed keeps no checkpoint in the time that this takes. */
static double
stop_while_learning(const GemAdaptPacket *start, int signal_number, double share)
{
  g_autoptr(GemTestAdapt) trainer = start_beyond(start, share);
  if (signal_number != 0) {
    g_subprocess_send_signal(trainer->process, signal_number);
  } else {
    gem_test_adapt_cancel(trainer);
  }
  g_assert_null(gem_test_adapt_wait_last(trainer));
  g_assert_cmpint(gem_test_adapt_wait_exit(trainer), ==, signal_number == SIGKILL ? -1 : 0);
  return signal_number == SIGKILL ? share : trainer->last_share;
}

/* Learns what is left to learn beyond that share. */
static GBytes *
output_beyond(const GemAdaptPacket *start, double share)
{
  g_autoptr(GemTestAdapt) trainer = start_beyond(start, share);
  g_autoptr(GemAdaptPacket) last = gem_test_adapt_wait_last(trainer);
  g_assert_nonnull(last);
  assert_kind(last, GEM_ADAPT_DONE);
  g_assert_cmpint(gem_test_adapt_wait_exit(trainer), ==, 0);
  return gem_test_adapt_read(start->start.files[GEM_ADAPT_OUTPUT]);
}

static void
test_resumed(Fixture *fixture, gconstpointer data)
{
  make_long(fixture);
  g_autoptr(GemAdaptPacket) whole = new_start(fixture, NULL);
  g_autoptr(GBytes) expected = output_of(whole);

  g_autoptr(GemAdaptPacket) broken = new_start(fixture, NULL);
  double share = stop_while_learning(broken, 0, 0.0);
  g_autoptr(GBytes) checkpoint = gem_test_adapt_read(broken->start.files[GEM_ADAPT_CHECKPOINT]);
  g_assert_cmpuint(g_bytes_get_size(checkpoint), >, 4096);
  share = stop_while_learning(broken, SIGKILL, share);
  share = stop_while_learning(broken, SIGTERM, share);
  g_autoptr(GBytes) resumed = output_beyond(broken, share);
  g_assert_true(g_bytes_equal(expected, resumed));

  /* A checkpoint of other text, or one that is none, is not gone on with. */
  g_autoptr(GemAdaptPacket) other = new_start(fixture, NULL);
  set_file(other, GEM_ADAPT_CHECKPOINT, "noise", 5);
  g_autoptr(GBytes) afresh = output_of(other);
  g_assert_true(g_bytes_equal(expected, afresh));
}

/* What a gem-adapt with other options has begun is begun anew. */
static void
test_other_options(Fixture *fixture, gconstpointer data)
{
  make_long(fixture);
  g_autoptr(GemAdaptPacket) whole = new_start(fixture, NULL), broken = new_start(fixture, NULL);
  g_autoptr(GBytes) expected = output_of(whole);
  g_autoptr(GError) error = NULL;
  guint64 number = 0;
  stop_while_learning(broken, 0, 0.0);
  int fd = broken->start.files[GEM_ADAPT_CHECKPOINT];
  g_autoptr(GBytes) kept = gem_adapt_slots_read(fd, &number);
  g_assert_nonnull(kept);
  gsize size = g_bytes_get_size(kept);
  g_autofree char *bytes = g_memdup2(g_bytes_get_data(kept, NULL), size);
  char *option = memmem(bytes, size, " warm-up=10 ", strlen(" warm-up=10 "));
  g_assert_nonnull(option);
  memcpy(option, " warm-up=11 ", strlen(" warm-up=11 "));
  g_autoptr(GBytes) changed = g_bytes_new(bytes, size);
  g_assert_true(gem_adapt_slots_write(fd, number + 1, changed, &error));
  g_assert_no_error(error);
  g_autoptr(GBytes) afresh = output_of(broken);
  g_assert_true(g_bytes_equal(expected, afresh));
}

/* A daemon that is gone is as good as one that cancels. */
static void
test_closed(Fixture *fixture, gconstpointer data)
{
  make_long(fixture);
  g_autoptr(GemAdaptPacket) start = new_start(fixture, NULL);
  g_autoptr(GemTestAdapt) trainer = gem_test_adapt_new(start);
  g_assert_true(gem_test_adapt_wait_phase(trainer, GEM_ADAPT_LEARNING));
  g_clear_pointer(&trainer->channel, gem_adapt_channel_free);
  g_assert_cmpint(gem_test_adapt_wait_exit(trainer), ==, 0);
  g_autoptr(GBytes) output = gem_test_adapt_read(start->start.files[GEM_ADAPT_OUTPUT]);
  g_assert_cmpuint(g_bytes_get_size(output), ==, 0);
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/gem-adapt/done/new", Fixture, NULL, set_up, test_done, tear_down);
  g_test_add("/gem-adapt/done/replaces", Fixture, "stem", set_up, test_done, tear_down);
  g_test_add("/gem-adapt/tapt", Fixture, NULL, set_up, test_tapt, tear_down);
  g_test_add("/gem-adapt/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add("/gem-adapt/bad-text", Fixture, NULL, set_up, test_bad_text, tear_down);
  g_test_add("/gem-adapt/pages", Fixture, NULL, set_up, test_pages, tear_down);
  g_test_add("/gem-adapt/bad-files", Fixture, NULL, set_up, test_bad_files, tear_down);
  g_test_add("/gem-adapt/memory/too-little", Fixture, NULL, set_up, test_memory, tear_down);
  g_test_add("/gem-adapt/memory/enough", Fixture, NULL, set_up, test_memory_enough, tear_down);
  g_test_add("/gem-adapt/memory/lanes", Fixture, NULL, set_up, test_lanes, tear_down);
  g_test_add_func("/gem-adapt/hostile", test_hostile);
  g_test_add("/gem-adapt/resumed", Fixture, NULL, set_up, test_resumed, tear_down);
  g_test_add("/gem-adapt/other-options", Fixture, NULL, set_up, test_other_options, tear_down);
  g_test_add("/gem-adapt/closed", Fixture, NULL, set_up, test_closed, tear_down);
  return g_test_run();
}
