/* What Manager.LearnedDomains tells. */
#include "daemon/learned/gem-learned-private.h"

static void
add(GVariantBuilder *builder, const char *key, GVariant *value)
{
  g_variant_builder_add(builder, "{sv}", key, value);
}

static void
describe_state(const GemLearnedEntry *entry, GVariantBuilder *builder)
{
  const GemLearnedOutcome *outcome = entry->record->outcome;
  const char *state = "ready";
  const char *reason = NULL;

  if (entry->phase != NULL) {
    state = "learning";
  } else if (entry->record->version.number == 0 && outcome != NULL) {
    state = outcome->refused ? "refused" : "failed";
    reason = outcome->reason;
  } else if (entry->unusable != NULL) {
    state = "unusable";
    reason = entry->unusable;
  }
  add(builder, "state", g_variant_new_string(state));
  if (reason != NULL) {
    add(builder, "reason", g_variant_new_string(reason));
  }
  if (entry->phase != NULL) {
    add(builder, "phase", g_variant_new_string(entry->phase));
    add(builder, "progress", g_variant_new_double(entry->progress));
  }
}

/* What its owner alone is told: it tells of the text. */
static void
describe_results(const GemLearnedRecord *record, GVariantBuilder *builder)
{
  if (record->version.figures != NULL) {
    add(builder, "figures", record->version.figures);
  }
  if (record->outcome != NULL) {
    add(builder, "last_result", g_variant_new_string(record->outcome->refused ? "refused" : "failed"));
    add(builder, "last_reason", g_variant_new_string(record->outcome->reason));
    if (record->outcome->figures != NULL) {
      add(builder, "last_figures", record->outcome->figures);
    }
  }
}

static GVariant *
describe(const GemLearnedEntry *entry, gboolean mine)
{
  const GemLearnedRecord *record = entry->record;
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  add(&builder, "name", g_variant_new_string(record->name));
  add(&builder, "mine", g_variant_new_boolean(mine));
  add(&builder, "shared", g_variant_new_boolean(record->shared));
  add(&builder, "serving", g_variant_new_boolean(entry->serving));
  if (mine) {
    describe_state(entry, &builder);
  } else {
    add(&builder, "state", g_variant_new_string("ready"));
  }
  if (record->version.number > 0) {
    add(&builder, "learned_at", g_variant_new_uint64((guint64)record->version.learned_at));
    add(&builder, "bytes", g_variant_new_uint64(record->version.bytes));
    add(&builder, "can_undo", g_variant_new_boolean(mine && record->previous.number > 0));
  }
  if (mine) {
    describe_results(record, &builder);
  }
  return g_variant_builder_end(&builder);
}

static int
compare(gconstpointer a, gconstpointer b)
{
  const GemLearnedEntry *const *one = a, *const *other = b;

  return g_strcmp0((*one)->record->name, (*other)->record->name);
}

GVariant *
gem_learned_describe(GemLearned *self, guint uid)
{
  g_autoptr(GPtrArray) entries = gem_learned_list(self);
  GVariantBuilder builder;

  g_ptr_array_sort(entries, compare);
  g_variant_builder_init(&builder, G_VARIANT_TYPE("aa{sv}"));
  for (guint i = 0; i < entries->len; i++) {
    const GemLearnedEntry *entry = g_ptr_array_index(entries, i);
    gboolean mine = entry->record->uid == uid;

    /* Of others' there is what serves, and no more. */
    if (mine || (entry->record->shared && entry->serving)) {
      g_variant_builder_add_value(&builder, describe(entry, mine));
    }
  }
  return g_variant_builder_end(&builder);
}
