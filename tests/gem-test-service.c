#include "tests/gem-test-service-private.h"

#include <string.h>
#include <unistd.h>

#include "dbus/gem-error.h"
#include "dbus/gem-names.h"

/* ---- what the parts share ---- */

/* What is wrong with number `n` of its kind. */
GemTestFault
gem_test_service_fault_of(const GemTestService *self, guint n)
{
  return n >= self->fault_after ? self->fault : GEM_TEST_FAULT_NONE;
}

/* Keeps what came, and fails the call when its text says so. */
gboolean
gem_test_service_take_text(GemTestService *self,
                           GDBusMethodInvocation *invocation,
                           const char *text,
                           GVariant *options)
{
  g_autofree char *name = NULL;

  g_free(self->text);
  self->text = g_strdup(text);
  g_clear_pointer(&self->options, g_variant_unref);
  self->options = options == NULL ? NULL : g_variant_ref(options);
  if (!g_str_has_prefix(text, "error ")) {
    return TRUE;
  }
  name = g_strconcat("org.gemd.Gem1.Error.", text + strlen("error "), NULL);
  g_dbus_method_invocation_return_dbus_error(invocation, name, "made to fail");
  return FALSE;
}

GVariant *
gem_test_service_make_tokens(void)
{
  GVariantBuilder tokens;
  GVariant *medical = g_variant_new_parsed("{'healthcare': 0.91, 'legal': 0.09}");
  GVariant *unclear = g_variant_new_parsed("{'healthcare': 0.4, 'legal': 0.6}");

  g_variant_builder_init(&tokens, G_VARIANT_TYPE("a(sttsa{sd})"));
  g_variant_builder_add(&tokens, "(stts@a{sd})", "Patient", (guint64)0, (guint64)7, "healthcare", medical);
  g_variant_builder_add(&tokens, "(stts@a{sd})", " in\x1b\n", (guint64)7, (guint64)5, "general", unclear);
  return g_variant_builder_end(&tokens);
}

GVariant *
gem_test_service_make_stats(guint generated)
{
  GVariantDict stats;

  g_variant_dict_init(&stats, NULL);
  g_variant_dict_insert(&stats, "prompt_tokens", "u", 12u);
  g_variant_dict_insert(&stats, "generated_tokens", "u", generated);
  g_variant_dict_insert(&stats, "prefill_seconds", "d", 0.25);
  g_variant_dict_insert(&stats, "decode_seconds", "d", generated / 40.0);
  g_variant_dict_insert(&stats, "tokens_per_second", "d", 35.25);
  g_variant_dict_insert(&stats, "resident_bytes", "t", (guint64)13700000);
  g_variant_dict_insert(&stats, "seed", "t", G_MAXUINT64);
  g_variant_dict_insert_value(&stats, "pathways",
                              g_variant_new_parsed("{'general': uint32 4, 'healthcare': 9}"));
  g_variant_dict_insert(&stats, "error", "s", "org.gemd.Gem1.Error.Model");
  g_variant_dict_insert(&stats, "message", "s", "weights are gone");
  return g_variant_dict_end(&stats);
}

/* ---- the manager ---- */

static gboolean
on_ask(GemDBusManager *manager,
       GDBusMethodInvocation *invocation,
       const char *text,
       GVariant *options,
       gpointer data)
{
  GemTestService *self = data;
  GemTestFault fault = gem_test_service_fault_of(self, self->n_asks++);

  if (!gem_test_service_take_text(self, invocation, text, options)) {
    return TRUE;
  }
  if (fault == GEM_TEST_FAULT_LIMIT) {
    g_dbus_method_invocation_return_dbus_error(invocation, gem_error_name(GEM_ERROR_LIMIT_EXCEEDED),
                                               "too many");
  } else if (fault == GEM_TEST_FAULT_NO_ANSWER) {
    g_object_unref(invocation);
  } else if (fault == GEM_TEST_FAULT_DEADLINE) {
    gem_dbus_manager_complete_ask(manager, invocation, "pa",
                                  g_variant_new_parsed("{'truncated': <true>, 'reason': <'deadline'>}"));
  } else {
    gem_dbus_manager_complete_ask(manager, invocation, fault == GEM_TEST_FAULT_ANSWER ? "patr" : "part",
                                  gem_test_service_make_stats(5));
  }
  return TRUE;
}

static gboolean
on_route(GemDBusManager *manager,
         GDBusMethodInvocation *invocation,
         const char *text,
         GVariant *options,
         gpointer data)
{
  if (gem_test_service_take_text(data, invocation, text, options)) {
    gem_dbus_manager_complete_route(manager, invocation, gem_test_service_make_tokens());
  }
  return TRUE;
}

static gboolean
on_classify(GemDBusManager *manager,
            GDBusMethodInvocation *invocation,
            const char *text,
            const char *const *labels,
            GVariant *options,
            gpointer data)
{
  GVariantBuilder scores;
  guint i, n = g_strv_length((GStrv)labels);

  if (!gem_test_service_take_text(data, invocation, text, options)) {
    return TRUE;
  }
  /* The last label is the likeliest. */
  g_variant_builder_init(&scores, G_VARIANT_TYPE("a(sd)"));
  for (i = 0; i < n; i++) {
    g_variant_builder_add(&scores, "(sd)", labels[i], i + 1 == n ? 0.75 : 0.25 / (n - 1));
  }
  gem_dbus_manager_complete_classify(manager, invocation, g_variant_builder_end(&scores));
  return TRUE;
}

static gboolean
on_embed(GemDBusManager *manager,
         GDBusMethodInvocation *invocation,
         const char *text,
         GVariant *options,
         gpointer data)
{
  if (gem_test_service_take_text(data, invocation, text, options)) {
    gem_dbus_manager_complete_embed(manager, invocation, g_variant_new_parsed("[0.6, -0.8]"));
  }
  return TRUE;
}

static gboolean
on_score(GemDBusManager *manager,
         GDBusMethodInvocation *invocation,
         const char *text,
         GVariant *options,
         gpointer data)
{
  if (gem_test_service_take_text(data, invocation, text, options)) {
    gem_dbus_manager_complete_score(manager, invocation, -20.794415416798357, 10); /* 10 ln 8 */
  }
  return TRUE;
}

static gboolean
on_count_tokens(GemDBusManager *manager, GDBusMethodInvocation *invocation, const char *text, gpointer data)
{
  if (gem_test_service_take_text(data, invocation, text, NULL)) {
    gem_dbus_manager_complete_count_tokens(manager, invocation, strlen(text));
  }
  return TRUE;
}

static gboolean
on_stats(GemDBusManager *manager, GDBusMethodInvocation *invocation, GVariant *options, gpointer data)
{
  GemTestService *self = data;

  if (self->secretive) {
    g_dbus_method_invocation_return_error_literal(invocation, GEM_ERROR, GEM_ERROR_NOT_AUTHORIZED, "not you");
    return TRUE;
  }
  gem_dbus_manager_complete_stats(
      manager, invocation,
      g_variant_new_parsed("{'uptime_seconds': <3723.5>, 'running': <uint64 1>, 'waiting': <uint64 2>,"
                           " 'tokens_per_second': <512.25>, 'sessions': <uint64 4>,"
                           " 'idle_inhibitors': <{'sessions': uint64 4, 'model': 1}>,"
                           " 'answered': <{'Ask': uint64 3, 'Embed': 5}>,"
                           " 'errors': <{'org.gemd.Gem1.Error.Busy': uint64 2}>,"
                           " 'pathway_tokens': <@a{st} {}>, 'token_seconds': <{'p50': 0.002, 'p95': 0.003,"
                           " 'p99': 0.004}>, 'relief_bytes': <uint64 2000000>}"));
  return TRUE;
}

static gboolean
on_create_session(GemDBusManager *manager,
                  GDBusMethodInvocation *invocation,
                  GVariant *options,
                  gpointer data)
{
  GemTestService *self = data;
  const char *domain = NULL;

  g_variant_lookup(options, "domain", "&s", &domain);
  if (g_strcmp0(domain, "cooking") == 0) {
    g_dbus_method_invocation_return_dbus_error(invocation, gem_error_name(GEM_ERROR_UNKNOWN_DOMAIN),
                                               "no domain 'cooking'");
  } else if (self->most_sessions > 0 && self->sessions >= self->most_sessions) {
    g_autofree char *message = g_strdup_printf("no more than %u sessions", self->most_sessions);

    g_dbus_method_invocation_return_dbus_error(invocation, gem_error_name(GEM_ERROR_LIMIT_EXCEEDED), message);
  } else {
    self->sessions++;
    g_string_append_printf(self->session_domains, "%s ", domain == NULL ? "-" : domain);
    gem_dbus_manager_complete_create_session(manager, invocation, GEM_SESSION_PATH "/test");
  }
  return TRUE;
}

static void
make_manager(GemTestService *self)
{
  static const char *const models[] = {"gem-new", "gem-test", NULL};
  static const char *const domains[] = {"healthcare", "legal", NULL};

  self->manager = gem_dbus_manager_skeleton_new();
  gem_dbus_manager_set_version(self->manager, "9.9");
  gem_dbus_manager_set_model_name(self->manager, "gem-test");
  gem_dbus_manager_set_model_state(self->manager, "ready");
  gem_dbus_manager_set_model_reason(self->manager, "");
  gem_dbus_manager_set_context_tokens(self->manager, 2048);
  gem_dbus_manager_set_domains(self->manager, domains);
  gem_dbus_manager_set_threshold(self->manager, 0.7);
  gem_dbus_manager_set_attention(self->manager, "scar");
  gem_dbus_manager_set_resident_bytes(self->manager, 13700000);
  g_signal_connect(self->manager, "handle-ask", G_CALLBACK(on_ask), self);
  gem_dbus_manager_set_models(self->manager, models);
  g_signal_connect(self->manager, "handle-load-model", G_CALLBACK(gem_test_service_on_load_model), self);
  g_signal_connect(self->manager, "handle-route", G_CALLBACK(on_route), self);
  g_signal_connect(self->manager, "handle-classify", G_CALLBACK(on_classify), self);
  g_signal_connect(self->manager, "handle-embed", G_CALLBACK(on_embed), self);
  g_signal_connect(self->manager, "handle-score", G_CALLBACK(on_score), self);
  g_signal_connect(self->manager, "handle-count-tokens", G_CALLBACK(on_count_tokens), self);
  g_signal_connect(self->manager, "handle-stats", G_CALLBACK(on_stats), self);
  g_signal_connect(self->manager, "handle-create-session", G_CALLBACK(on_create_session), self);
  g_assert_true(g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(self->manager), self->connection,
                                                 GEM_OBJECT_PATH, NULL));
}

/* ---- pathways and backend ---- */

static gboolean
on_page_in(GemDBusPathway *pathway, GDBusMethodInvocation *invocation, GVariant *options, gpointer data)
{
  gem_dbus_pathway_set_state(pathway, "resident");
  gem_dbus_pathway_complete_page_in(pathway, invocation);
  return TRUE;
}

static gboolean
on_page_out(GemDBusPathway *pathway, GDBusMethodInvocation *invocation, GVariant *options, gpointer data)
{
  if (g_str_equal(gem_dbus_pathway_get_domain(pathway), "general")) {
    g_dbus_method_invocation_return_dbus_error(invocation, gem_error_name(GEM_ERROR_PATHWAY),
                                               "general stays");
  } else {
    gem_dbus_pathway_set_state(pathway, "absent");
    gem_dbus_pathway_complete_page_out(pathway, invocation);
  }
  return TRUE;
}

static GemDBusPathway *
make_pathway(GemTestService *self, const char *domain)
{
  g_autofree char *path = g_strconcat(GEM_PATHWAY_PATH "/", domain, NULL);
  g_autoptr(GemDBusObjectSkeleton) object = gem_dbus_object_skeleton_new(path);
  GemDBusPathway *pathway = gem_dbus_pathway_skeleton_new();

  gem_dbus_pathway_set_domain(pathway, domain);
  gem_dbus_pathway_set_state(pathway, "resident");
  gem_dbus_pathway_set_reason(pathway, "");
  gem_dbus_pathway_set_bits(pathway, 4);
  gem_dbus_pathway_set_backend(pathway, "cpu");
  if (g_str_equal(domain, "legal")) { /* as where a device is better at blocks alone */
    gem_dbus_pathway_set_backend(pathway, "npu");
    gem_dbus_pathway_set_placement(
        pathway, g_variant_new_parsed("[(uint32 1, 'cpu', 10.0, 20.0), (64, 'npu', 640.0, 64.0)]"));
  }
  gem_dbus_pathway_set_file_bytes(pathway, 1234567);
  gem_dbus_pathway_set_resident_bytes(pathway, 1300000);
  g_signal_connect(pathway, "handle-page-in", G_CALLBACK(on_page_in), self);
  g_signal_connect(pathway, "handle-page-out", G_CALLBACK(on_page_out), self);
  gem_dbus_object_skeleton_set_pathway(object, pathway);
  g_dbus_object_manager_server_export(self->objects, G_DBUS_OBJECT_SKELETON(object));
  return pathway;
}

static void
make_backend(GemTestService *self)
{
  g_autoptr(GemDBusObjectSkeleton) object = gem_dbus_object_skeleton_new(GEM_BACKEND_PATH "/cpu");
  g_autoptr(GemDBusBackend) backend = gem_dbus_backend_skeleton_new();

  gem_dbus_backend_set_name(backend, "cpu");
  gem_dbus_backend_set_device(backend, "some CPU");
  gem_dbus_backend_set_kernels(backend, "reference");
  gem_dbus_backend_set_in_use(backend, TRUE);
  gem_dbus_object_skeleton_set_backend(object, backend);
  g_dbus_object_manager_server_export(self->objects, G_DBUS_OBJECT_SKELETON(object));
}

/* ---- the service ---- */

static void
on_name(GDBusConnection *connection, const char *name, gpointer data)
{
  gboolean *owned = data;

  *owned = TRUE;
}

GemTestService *
gem_test_service_new(void)
{
  GemTestService *self = g_new0(GemTestService, 1);
  gboolean owned = FALSE;

  self->held = g_array_new(FALSE, FALSE, sizeof(int));
  self->bus = g_test_dbus_new(G_TEST_DBUS_NONE);
  g_test_dbus_up(self->bus);
  self->connection = g_dbus_connection_new_for_address_sync(
      g_test_dbus_get_bus_address(self->bus),
      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL,
      NULL, NULL);
  g_assert_nonnull(self->connection);
  self->objects = g_dbus_object_manager_server_new(GEM_OBJECT_PATH);
  self->session_domains = g_string_new(NULL);
  make_manager(self);
  self->legal = make_pathway(self, "legal");
  g_object_unref(make_pathway(self, "general"));
  make_backend(self);
  g_dbus_object_manager_server_set_connection(self->objects, self->connection);
  self->session = gem_dbus_session_skeleton_new();
  g_signal_connect(self->session, "handle-generate", G_CALLBACK(gem_test_service_on_generate), self);
  g_signal_connect(self->session, "handle-close", G_CALLBACK(gem_test_service_on_close), self);
  g_assert_true(g_dbus_interface_skeleton_export(G_DBUS_INTERFACE_SKELETON(self->session), self->connection,
                                                 GEM_SESSION_PATH "/test", NULL));
  self->name = g_bus_own_name_on_connection(self->connection, GEM_BUS_NAME, G_BUS_NAME_OWNER_FLAGS_NONE,
                                            on_name, NULL, &owned, NULL);
  while (!owned) {
    g_main_context_iteration(NULL, TRUE);
  }
  return self;
}

void
gem_test_service_leave(GemTestService *self)
{
  g_clear_handle_id(&self->name, g_bus_unown_name);
  g_dbus_connection_close_sync(self->connection, NULL, NULL);
}

void
gem_test_service_free(GemTestService *self)
{
  g_clear_handle_id(&self->name, g_bus_unown_name);
  g_dbus_connection_close_sync(self->connection, NULL, NULL);
  while (g_main_context_iteration(NULL, FALSE)) {
  }
  for (guint i = 0; i < self->held->len; i++) {
    close(g_array_index(self->held, int, i));
  }
  g_array_unref(self->held);
  g_object_unref(self->objects);
  g_object_unref(self->legal);
  g_object_unref(self->session);
  g_object_unref(self->manager);
  g_object_unref(self->connection);
  g_test_dbus_down(self->bus);
  g_object_unref(self->bus);
  g_clear_pointer(&self->options, g_variant_unref);
  g_free(self->text);
  g_string_free(self->session_domains, TRUE);
  g_free(self);
}

const char *
gem_test_service_get_text(GemTestService *self)
{
  return self->text;
}

GVariant *
gem_test_service_get_options(GemTestService *self)
{
  return self->options;
}

const char *
gem_test_service_get_session_domains(GemTestService *self)
{
  return self->session_domains->str;
}

guint
gem_test_service_count_cancels(GemTestService *self)
{
  return self->cancels;
}

void
gem_test_service_refuse_stats(GemTestService *self)
{
  self->secretive = TRUE;
}

void
gem_test_service_take_models(GemTestService *self)
{
  gem_dbus_manager_set_models(self->manager, (const char *const[]){NULL});
}

void
gem_test_service_limit_sessions(GemTestService *self, guint most)
{
  self->most_sessions = most;
}

void
gem_test_service_set_fault(GemTestService *self, GemTestFault fault, guint after)
{
  self->fault = fault;
  self->fault_after = after;
}

void
gem_test_service_make_endless(GemTestService *self, guint after)
{
  self->endless = TRUE;
  self->endless_after = after;
}

void
gem_test_service_set_legal_state(GemTestService *self, const char *state)
{
  gem_dbus_pathway_set_state(self->legal, state);
}

void
gem_test_service_set_model_state(GemTestService *self, const char *state)
{
  gem_dbus_manager_set_model_state(self->manager, state);
}

const char *
gem_test_service_get_address(GemTestService *self)
{
  return g_test_dbus_get_bus_address(self->bus);
}
