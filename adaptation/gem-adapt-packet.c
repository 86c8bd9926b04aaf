#include "adaptation/gem-adapt-packet.h"

#include <math.h>

#include "adaptation/gem-adapt-fields.h"

static const char *const kind_names[] = {"start",   "cancel",   "progress", "done",
                                         "refused", "bad-text", "error",    NULL};
static const char *const phase_names[] = {"reading", "measuring", "learning", "checking", "writing", NULL};
static const char *const mode_names[] = {"dapt", "tapt", NULL};

const char *
gem_adapt_phase_name(GemAdaptPhase phase)
{
  return phase_names[phase];
}

/* ---- the structures ---- */

static void
clear_pathway(gpointer data)
{
  GemAdaptPathway *pathway = data;
  g_free(pathway->domain);
  gem_adapt_close(&pathway->fd);
}

static void
clear_other(gpointer data)
{
  GemAdaptOther *other = data;
  g_free(other->domain);
}

GemAdaptPacket *
gem_adapt_packet_new(GemAdaptKind kind)
{
  GemAdaptPacket *self = g_new0(GemAdaptPacket, 1);
  self->kind = kind;
  if (kind == GEM_ADAPT_START) {
    self->start.pathways = g_array_new(FALSE, FALSE, sizeof(GemAdaptPathway));
    g_array_set_clear_func(self->start.pathways, clear_pathway);
    for (guint i = 0; i < GEM_ADAPT_N_FILES; i++) {
      self->start.files[i] = -1;
    }
  } else if (kind == GEM_ADAPT_PROGRESS) {
    self->progress.loss = -1.0;
  } else if (kind == GEM_ADAPT_DONE || kind == GEM_ADAPT_REFUSED) {
    self->result.others = g_array_new(FALSE, FALSE, sizeof(GemAdaptOther));
    g_array_set_clear_func(self->result.others, clear_other);
  }
  return self;
}

void
gem_adapt_start_add_pathway(GemAdaptStart *self, const char *domain, int fd)
{
  GemAdaptPathway pathway = {g_strdup(domain), fd};
  g_array_append_val(self->pathways, pathway);
}

static void
clear_start(GemAdaptStart *start)
{
  g_free(start->name);
  g_free(start->replaces);
  g_free(start->general_sha256);
  g_free(start->router_sha256);
  g_array_unref(start->pathways);
  for (guint i = 0; i < GEM_ADAPT_N_FILES; i++) {
    gem_adapt_close(&start->files[i]);
  }
}

void
gem_adapt_packet_free(GemAdaptPacket *self)
{
  if (self == NULL) {
    return;
  }
  switch (self->kind) {
  case GEM_ADAPT_START:
    clear_start(&self->start);
    break;
  case GEM_ADAPT_DONE:
  case GEM_ADAPT_REFUSED:
    g_array_unref(self->result.others);
    g_free(self->result.reason);
    break;
  case GEM_ADAPT_BAD_TEXT:
  case GEM_ADAPT_ERROR:
    g_free(self->message);
    break;
  case GEM_ADAPT_CANCEL:
  case GEM_ADAPT_PROGRESS:
    break;
  }
  g_free(self);
}

void
gem_adapt_result_add_other(GemAdaptResult *self, const char *domain, double percent)
{
  GemAdaptOther other = {g_strdup(domain), percent};
  g_array_append_val(self->others, other);
}

/* More is as good as no limit. */
#define MOST_PERCENT 1e6
#define MOST_NATS    1e6

/* ---- writing ---- */

static void
put(GVariantBuilder *fields, const char *name, GVariant *value)
{
  g_variant_builder_add(fields, "{sv}", name, value);
}

static const char *
or_empty(const char *text)
{
  return text != NULL ? text : "";
}

static void
write_start(const GemAdaptStart *start, GVariantBuilder *fields, GArray *files)
{
  GVariantBuilder names;
  put(fields, "name", g_variant_new_string(or_empty(start->name)));
  put(fields, "replaces", g_variant_new_string(or_empty(start->replaces)));
  put(fields, "general_sha256", g_variant_new_string(or_empty(start->general_sha256)));
  put(fields, "router_sha256", g_variant_new_string(or_empty(start->router_sha256)));
  put(fields, "memory_bytes", g_variant_new_uint64(start->memory_bytes));
  put(fields, "seconds", g_variant_new_uint32(start->seconds));
  put(fields, "threads", g_variant_new_uint32(start->threads));
  put(fields, "seed", g_variant_new_uint64(start->seed));
  put(fields, "mode", g_variant_new_string(mode_names[start->mode]));
  put(fields, "worst_other_percent", g_variant_new_double(start->worst_other_percent));
  put(fields, "least_gain_percent", g_variant_new_double(start->least_gain_percent));
  g_variant_builder_init(&names, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < GEM_ADAPT_N_FILES; i++) {
    if (start->files[i] >= 0) {
      g_variant_builder_add(&names, "s", gem_adapt_file_names[i]);
      g_array_append_val(files, start->files[i]);
    }
  }
  for (guint i = 0; i < start->pathways->len; i++) {
    const GemAdaptPathway *pathway = &g_array_index(start->pathways, GemAdaptPathway, i);
    g_autofree char *name = g_strconcat(GEM_ADAPT_PATHWAY_PREFIX, pathway->domain, NULL);
    g_variant_builder_add(&names, "s", name);
    g_array_append_val(files, pathway->fd);
  }
  put(fields, "fds", g_variant_builder_end(&names));
}

/* A number that the other side takes, whatever was measured: what is none is as bad as it gets. */
static GVariant *
bounded(double value, double least, double most)
{
  return g_variant_new_double(isnan(value) ? most : CLAMP(value, least, most));
}

static void
write_result(const GemAdaptResult *result, gboolean refused, GVariantBuilder *fields)
{
  GVariantBuilder others;
  g_variant_builder_init(&others, G_VARIANT_TYPE("a{sd}"));
  for (guint i = 0; i < result->others->len; i++) {
    const GemAdaptOther *other = &g_array_index(result->others, GemAdaptOther, i);
    g_variant_builder_add(&others, "{s@d}", other->domain,
                          bounded(other->percent, -MOST_PERCENT, MOST_PERCENT));
  }
  put(fields, "held_out_before", bounded(result->held_out_before, 1.0, G_MAXDOUBLE));
  put(fields, "held_out_after", bounded(result->held_out_after, 1.0, G_MAXDOUBLE));
  put(fields, "others", g_variant_builder_end(&others));
  put(fields, "worst_other_percent", bounded(result->worst_other_percent, -MOST_PERCENT, MOST_PERCENT));
  put(fields, "routed_share", g_variant_new_double(result->routed_share));
  put(fields, "tokens", g_variant_new_uint64(result->tokens));
  put(fields, "steps", g_variant_new_uint64(result->steps));
  put(fields, "seconds", g_variant_new_double(result->seconds));
  if (refused) {
    put(fields, "reason", g_variant_new_string(or_empty(result->reason)));
  }
}

static void
write_fields(const GemAdaptPacket *self, GVariantBuilder *fields, GArray *files)
{
  switch (self->kind) {
  case GEM_ADAPT_START:
    write_start(&self->start, fields, files);
    break;
  case GEM_ADAPT_PROGRESS:
    put(fields, "share", g_variant_new_double(self->progress.share));
    put(fields, "phase", g_variant_new_string(phase_names[self->progress.phase]));
    if (self->progress.loss >= 0.0) {
      put(fields, "loss", bounded(self->progress.loss, 0.0, MOST_NATS));
    }
    break;
  case GEM_ADAPT_DONE:
  case GEM_ADAPT_REFUSED:
    write_result(&self->result, self->kind == GEM_ADAPT_REFUSED, fields);
    break;
  case GEM_ADAPT_BAD_TEXT:
  case GEM_ADAPT_ERROR:
    put(fields, "message", g_variant_new_string(or_empty(self->message)));
    break;
  case GEM_ADAPT_CANCEL:
    break;
  }
}

GBytes *
gem_adapt_packet_write(const GemAdaptPacket *self, GArray *ret_files)
{
  GVariantBuilder fields;
  g_variant_builder_init(&fields, G_VARIANT_TYPE_VARDICT);
  write_fields(self, &fields, ret_files);
  g_autoptr(GVariant) packet = g_variant_ref_sink(g_variant_new("(sa{sv})", kind_names[self->kind], &fields));
  return g_variant_get_data_as_bytes(packet);
}

/* ---- reading ---- */

static gboolean
read_start(GemAdaptFields *fields, GemAdaptStart *start, GArray *files, GError **error)
{
  guint mode = 0;
  gboolean read =
      gem_adapt_fields_get_name(fields, "name", FALSE, &start->name, error) &&
      gem_adapt_fields_get_name(fields, "replaces", TRUE, &start->replaces, error) &&
      gem_adapt_fields_get_hash(fields, "general_sha256", &start->general_sha256, error) &&
      gem_adapt_fields_get_hash(fields, "router_sha256", &start->router_sha256, error) &&
      gem_adapt_fields_get_uint64(fields, "memory_bytes", GEM_ADAPT_LEAST_MEMORY, GEM_ADAPT_MOST_MEMORY,
                                  &start->memory_bytes, error) &&
      gem_adapt_fields_get_uint(fields, "seconds", 1, GEM_ADAPT_MAX_SECONDS, &start->seconds, error) &&
      gem_adapt_fields_get_uint(fields, "threads", 1, GEM_ADAPT_MAX_THREADS, &start->threads, error) &&
      gem_adapt_fields_get_uint64(fields, "seed", 0, G_MAXUINT64, &start->seed, error) &&
      gem_adapt_fields_get_choice(fields, "mode", mode_names, &mode, error) &&
      gem_adapt_fields_get_double(fields, "worst_other_percent", 0.0, MOST_PERCENT,
                                  &start->worst_other_percent, error) &&
      gem_adapt_fields_get_double(fields, "least_gain_percent", -MOST_PERCENT, 100.0,
                                  &start->least_gain_percent, error);
  start->mode = (GemAdaptMode)mode;
  return read && gem_adapt_fields_get_files(fields, files, start, error);
}

static gboolean
read_progress(GemAdaptFields *fields, GemAdaptProgress *progress, GError **error)
{
  guint phase = 0;
  gboolean read = gem_adapt_fields_get_double(fields, "share", 0.0, 1.0, &progress->share, error) &&
                  gem_adapt_fields_get_choice(fields, "phase", phase_names, &phase, error) &&
                  (!gem_adapt_fields_has(fields, "loss") ||
                   gem_adapt_fields_get_double(fields, "loss", 0.0, MOST_NATS, &progress->loss, error));
  progress->phase = (GemAdaptPhase)phase;
  return read;
}

static gboolean
read_others(GemAdaptFields *fields, GemAdaptResult *result, GError **error)
{
  g_autoptr(GVariant) others = gem_adapt_fields_get(fields, "others", G_VARIANT_TYPE("a{sd}"), error);
  if (others == NULL) {
    return FALSE;
  }
  gsize n = g_variant_n_children(others);
  if (n > GEM_ADAPT_MAX_OTHERS) {
    return gem_adapt_fields_fail(error, "others", "more than %u domains", GEM_ADAPT_MAX_OTHERS);
  }
  for (gsize i = 0; i < n; i++) {
    const char *domain;
    double percent;
    g_variant_get_child(others, i, "{&sd}", &domain, &percent);
    if (!gem_adapt_domain_is_known_form(domain) || !(percent >= -MOST_PERCENT && percent <= MOST_PERCENT)) {
      return gem_adapt_fields_fail(error, "others", "entry %" G_GSIZE_FORMAT " is no domain and percentage",
                                   i);
    }
    gem_adapt_result_add_other(result, domain, percent);
  }
  return TRUE;
}

static gboolean
read_result(GemAdaptFields *fields, gboolean refused, GemAdaptResult *result, GError **error)
{
  const double most = G_MAXDOUBLE;
  return gem_adapt_fields_get_double(fields, "held_out_before", 1.0, most, &result->held_out_before, error) &&
         gem_adapt_fields_get_double(fields, "held_out_after", 1.0, most, &result->held_out_after, error) &&
         read_others(fields, result, error) &&
         gem_adapt_fields_get_double(fields, "worst_other_percent", -MOST_PERCENT, MOST_PERCENT,
                                     &result->worst_other_percent, error) &&
         gem_adapt_fields_get_double(fields, "routed_share", 0.0, 1.0, &result->routed_share, error) &&
         gem_adapt_fields_get_uint64(fields, "tokens", 0, G_MAXUINT64, &result->tokens, error) &&
         gem_adapt_fields_get_uint64(fields, "steps", 0, G_MAXUINT64, &result->steps, error) &&
         gem_adapt_fields_get_double(fields, "seconds", 0.0, most, &result->seconds, error) &&
         (!refused || gem_adapt_fields_get_message(fields, "reason", &result->reason, error));
}

static gboolean
read_fields(GemAdaptPacket *self, GemAdaptFields *fields, GArray *files, GError **error)
{
  switch (self->kind) {
  case GEM_ADAPT_START:
    return read_start(fields, &self->start, files, error);
  case GEM_ADAPT_PROGRESS:
    return read_progress(fields, &self->progress, error);
  case GEM_ADAPT_DONE:
  case GEM_ADAPT_REFUSED:
    return read_result(fields, self->kind == GEM_ADAPT_REFUSED, &self->result, error);
  case GEM_ADAPT_BAD_TEXT:
  case GEM_ADAPT_ERROR:
    return gem_adapt_fields_get_message(fields, "message", &self->message, error);
  case GEM_ADAPT_CANCEL:
    break;
  }
  return TRUE;
}

static gboolean
find_kind(const char *name, GemAdaptWay way, GemAdaptKind *ret_kind)
{
  for (guint kind = 0; kind_names[kind] != NULL; kind++) {
    gboolean to_trainer = kind == GEM_ADAPT_START || kind == GEM_ADAPT_CANCEL;
    if (g_str_equal(kind_names[kind], name) && to_trainer == (way == GEM_ADAPT_TO_TRAINER)) {
      *ret_kind = (GemAdaptKind)kind;
      return TRUE;
    }
  }
  return FALSE;
}

GemAdaptPacket *
gem_adapt_packet_read(GBytes *bytes, GArray *files, GemAdaptWay way, GError **error)
{
  g_autoptr(GVariant) packet =
      g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE("(sa{sv})"), bytes, FALSE));
  if (!g_variant_is_normal_form(packet)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "a packet that is none");
    return NULL;
  }
  const char *name;
  g_autoptr(GVariant) dictionary = NULL;
  GemAdaptKind kind;
  g_variant_get(packet, "(&s@a{sv})", &name, &dictionary);
  if (!find_kind(name, way, &kind)) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "a packet of a kind that has no place here");
    return NULL;
  }
  if (kind != GEM_ADAPT_START && files->len > 0) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "packet %s: with files", name);
    return NULL;
  }
  g_autoptr(GemAdaptPacket) self = gem_adapt_packet_new(kind);
  g_auto(GemAdaptFields) fields = {0};
  if (!gem_adapt_fields_init(&fields, dictionary, error) || !read_fields(self, &fields, files, error) ||
      !gem_adapt_fields_finish(&fields, error)) {
    g_prefix_error(error, "packet %s: ", name);
    return NULL;
  }
  return g_steal_pointer(&self);
}
