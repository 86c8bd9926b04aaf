/*
 * gemd with its modules on a tiny random model, and learning there: the process that learns is one that does
 * what its text says (fake-trainer.c). Everything fails the test that fails.
 */
#pragma once

#include "tests/gem-test-gemd.h"
#include "tests/gem-test-loads.h"

/* Of a text that is taken. */
#define GEM_TEST_ADAPT_BYTES 5000

typedef struct {
  GemTestGemd *gemd;
  char *state; /* folder */
  char *held;  /* while this file is there, a trainer that was told to hold does */
  GemTestJobEar *ear;
} GemTestAdapt;

/* What a test begins with. */
typedef struct {
  const char *config; /* lines of gemd.conf; may be NULL */
  const char *word;
  int number;
} GemTestAdaptCase;

/* Of a fixture; the data is a GemTestAdaptCase. */
void
gem_test_adapt_set_up(GemTestAdapt *self, gconstpointer data);
void
gem_test_adapt_tear_down(GemTestAdapt *self, gconstpointer data);
typedef struct {
  const char *path;
  void (*run)(GemTestAdapt *self, gconstpointer data);
  GemTestAdaptCase one;
} GemTestAdaptTest;
/* Adds the tests, each with the fixture; ended by one without a path. They must live as long as the tests. */
void
gem_test_adapt_add(const GemTestAdaptTest *tests);
/* Of the next daemon: whether there is a program that learns. */
void
gem_test_adapt_set_environment(GemTestAdapt *self, gboolean has_trainer);
/* A memfd with these orders for the trainer, filled up with a text. */
int
gem_test_adapt_text(const char *orders, gsize bytes, guint seals);
/* Orders to learn `name`, sealed. */
int
gem_test_adapt_orders(GemTestAdapt *self, const char *name, const char *order, gboolean held);
/* Trainers that are told to hold do, until that file is gone. */
void
gem_test_adapt_hold(GemTestAdapt *self);
/* Takes `text`. The job's path; NULL with `error`. */
char *
gem_test_adapt_call(GDBusConnection *client, const char *name, int text, const char *options, GError **error);
/* Must fail; takes `text`. */
void
gem_test_adapt_fails(
    GemTestAdapt *self, const char *name, int text, const char *options, GemError code, const char *pattern);
/* The job that learns `name`; transfer full. */
char *
gem_test_adapt_start(GemTestAdapt *self, const char *name, const char *order, gboolean held);
/* What LearnedDomains tells of a domain; NULL: nothing. */
GVariant *
gem_test_adapt_find(GDBusConnection *client, const char *name);
/* LearnedDomains has it in that state; until it does, in that phase (NULL: any). */
void
gem_test_adapt_check_state(GemTestAdapt *self, const char *name, const char *expected);
void
gem_test_adapt_wait_state(GemTestAdapt *self, const char *name, const char *expected, const char *phase);

/* ---- steps ---- */

/* Ends the daemon with that signal, and starts it again until ModelState is `expected`; NULL: not again. */
void
gem_test_adapt_restart(GemTestAdapt *self, int signal_number, const char *expected);
/* Learns `name` after these orders, each with its line end. The job's path; transfer full. */
char *
gem_test_adapt_start_orders(GemTestAdapt *self, const char *name, const char *orders);
/* Learns it as the test's job of that number, from 1, to a good end. */
void
gem_test_adapt_learn(GemTestAdapt *self, const char *name, guint number);
/* ForgetDomain or UndoAdaptation; must succeed. */
void
gem_test_adapt_manager(GemTestAdapt *self, const char *method, const char *name);
/* The arguments of ShareDomain; floating. */
GVariant *
gem_test_adapt_make_share(const char *name, gboolean shared);
/* ShareDomain; must succeed. */
void
gem_test_adapt_share(GemTestAdapt *self, const char *name, gboolean shared);
/* LearnedDomains has that value. */
void
gem_test_adapt_check_boolean(GemTestAdapt *self, const char *name, const char *key, gboolean expected);
/* A file of the store; `user` may be NULL: who runs the test. Transfer full. */
char *
gem_test_adapt_path(GemTestAdapt *self, const char *user, const char *name, const char *file);
/* A lease on the file, which holds up whoever opens it until the descriptor is closed; -1: not here. */
int
gem_test_adapt_hold_open(const char *path);
