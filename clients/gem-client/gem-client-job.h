/* A job of the service (org.gemd.Gem1.Job), followed to its end: its progress on a terminal, and Ctrl-C,
 * which gives it up. */
#pragma once

#include <gio/gunixfdlist.h>

#include "clients/gem-client/gem-client-remote.h"

typedef struct {
  char *result;         /* of Completed: "done" and so on; NULL when it did not come */
  GVariant *details;    /* of Completed; NULL with the result */
  GError *error;        /* of the method, which made no job */
  gboolean interrupted; /* by Ctrl-C */
  gboolean gone;        /* the service left the bus */
} GemJobResult;

void
gem_job_result_clear(GemJobResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GemJobResult, gem_job_result_clear)

/* Calls a method of the Manager that makes a job, and waits until that is over. `doing` says what it does, as
 * in "loading gem-mini". `descriptors` may be NULL. */
void
gem_job_run(GemRemote *remote,
            const char *doing,
            const char *method,
            GVariant *arguments,
            GUnixFDList *descriptors,
            GemJobResult *ret_result);

/* What is said of a job that was not done. */
typedef struct {
  const char *given_up;  /* after Ctrl-C */
  const char *cancelled; /* when somebody else gave it up */
  const char *gone;      /* when the service left the bus meanwhile */
  const char *told_by;   /* the command that tells what became of one that was not waited for */
} GemJobWords;

/* Says why a job was not done, and what to exit with. */
GemExit
gem_job_complain(const GemJobResult *result, const GemJobWords *words);
