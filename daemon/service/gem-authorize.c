#include "daemon/service/gem-authorize.h"

#include <unistd.h>

#include "daemon/base/gem-log.h"
#include "daemon/service/gem-service.h"

#define POLKIT_NAME      "org.freedesktop.PolicyKit1"
#define POLKIT_PATH      "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define ALLOW_USER_INTERACTION 1u
#define SECONDS                10  /* polkit's own answer */
#define INTERACTIVE_SECONDS    120 /* a person types a password */

typedef struct {
  GemCall *call;
  GemCallRun run;
  gboolean interactive;
  char *id; /* by which polkit is told that nobody waits for the answer any more */
  GCancellable *given_up;
  GCancellable *bye, *stop; /* its caller leaves, the service stops */
  gulong bye_handler, stop_handler;
} Question;

static void
on_given_up(GCancellable *cancellable, gpointer given_up)
{
  g_cancellable_cancel(given_up);
}

/* Not from within a handler of either. */
static void
question_disconnect(Question *self)
{
  g_cancellable_disconnect(self->bye, self->bye_handler);
  g_cancellable_disconnect(self->stop, self->stop_handler);
}

static void
question_free(Question *self)
{
  g_clear_object(&self->given_up);
  g_clear_object(&self->bye);
  g_clear_object(&self->stop);
  g_free(self->id);
  g_free(self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Question, question_free)

static void
refuse(GemCall *call, const char *why)
{
  gem_call_fail(call, g_error_new(GEM_ERROR, GEM_ERROR_NOT_AUTHORIZED, "not authorized: %s", why));
}

/* Once until it answers again: anybody may ask for what is not theirs, and fill the journal with it. */
static void
tell_no_polkit(const GError *error)
{
  static gboolean told;

  if (error != NULL && !told) {
    gem_log(LOG_WARNING, GEM_LOG_NO_POLKIT, NULL, "polkit cannot be asked, so it counts as a no: %s",
            error->message);
  }
  told = error != NULL;
}

/* The dialog for a password goes with it. */
static void
withdraw(GDBusConnection *connection, const Question *question)
{
  g_dbus_connection_call(connection, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CancelCheckAuthorization",
                         g_variant_new("(s)", question->id), NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL,
                         NULL, NULL);
}

static void
on_checked(GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr(Question) question = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
  gboolean late = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
  gboolean authorized = FALSE, challenge = FALSE;

  question_disconnect(question);
  if (late || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    withdraw(G_DBUS_CONNECTION(source), question);
  }
  if (!gem_call_check(question->call)) {
    return;
  }
  if (late && question->interactive) {
    refuse(question->call, "nobody answered the question for a password");
    return;
  }
  tell_no_polkit(error);
  if (answer == NULL) {
    refuse(question->call, "polkit cannot be asked");
    return;
  }
  g_variant_get(answer, "((bb@a{ss}))", &authorized, &challenge, NULL);
  if (authorized) {
    question->run(question->call);
  } else {
    refuse(question->call,
           challenge ? "a password is wanted, and the call allows no question for it" : "polkit says no");
  }
}

static GVariant *
make_question(const char *sender, const char *action, const Question *question)
{
  GVariantBuilder subject, details;

  g_variant_builder_init(&subject, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&subject, "{sv}", "name", g_variant_new_string(sender));
  g_variant_builder_init(&details, G_VARIANT_TYPE("a{ss}"));
  return g_variant_new("((sa{sv})sa{ss}us)", "system-bus-name", &subject, action, &details,
                       question->interactive ? ALLOW_USER_INTERACTION : 0, question->id);
}

void
gem_authorize(GemCall *call, const char *action, GemCallRun run)
{
  static guint64 serial;
  const GemCaller *caller = gem_call_get_caller(call);
  gboolean interactive = gem_call_allows_interaction(call);
  Question *question;

  if (caller->user->uid == 0 || caller->user->uid == geteuid()) {
    run(call);
    return;
  }
  question = g_new0(Question, 1);
  question->call = call;
  question->run = run;
  question->interactive = interactive;
  question->id = g_strdup_printf("gemd-%" G_GUINT64_FORMAT, ++serial);
  question->given_up = g_cancellable_new();
  question->bye = g_object_ref(gem_call_get_cancellable(call));
  question->stop = g_object_ref(gem_service_get_stop(gem_call_get_service(call)));
  question->bye_handler =
      g_cancellable_connect(question->bye, G_CALLBACK(on_given_up), question->given_up, NULL);
  question->stop_handler =
      g_cancellable_connect(question->stop, G_CALLBACK(on_given_up), question->given_up, NULL);
  g_dbus_connection_call(gem_service_get_connection(gem_call_get_service(call)), POLKIT_NAME, POLKIT_PATH,
                         POLKIT_INTERFACE, "CheckAuthorization",
                         make_question(caller->sender, action, question), G_VARIANT_TYPE("((bba{ss}))"),
                         G_DBUS_CALL_FLAGS_NONE, (interactive ? INTERACTIVE_SECONDS : SECONDS) * 1000,
                         question->given_up, on_checked, question);
}
