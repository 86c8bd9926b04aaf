#include "training/network/gem-presets.h"

#include <stddef.h>
#include <string.h>

const char *const gem_preset_domains[] = {"healthcare",     "legal",        "finance",  "stem", "commonsense",
                                          "conversational", "multilingual", "adaptive", NULL};

typedef struct {
  const char *name;
  guint vocab, width, layers, heads, ffn, domain_ffn, context;
  guint router_embedding, router_width, router_layers, router_heads, router_ffn;
} Size;

static const Size sizes[] = {
    {"gem-mini", 8192, 256, 6, 4, 512, 224, 2048, 256, 256, 3, 4, 512},
    {"gem-80m", 16384, 512, 8, 8, 1024, 416, 2048, 160, 256, 6, 8, 1024},
    {"gem-tiny", 512, 256, 2, 4, 256, 64, 256, 256, 256, 1, 4, 256},
};

void
gem_preset_clear(GemPreset *preset)
{
  gem_model_shape_clear(&preset->general);
}

static void
set_domains(GemModelShape *shape, guint n)
{
  for (guint d = 0; d < GEM_MAX_DOMAINS; d++) {
    g_clear_pointer(&shape->domains[d], g_free);
    shape->domains[d] = d < n ? g_strdup(gem_preset_domains[d]) : NULL;
  }
  shape->n_domains = n;
}

static GemModelShape
general_shape(const Size *size)
{
  return (GemModelShape){.vocab = size->vocab,
                         .width = size->width,
                         .layers = size->layers,
                         .heads = size->heads,
                         .kv_heads = size->heads,
                         .head_dim = size->width / size->heads,
                         .rope_dim = size->width / size->heads,
                         .ffn = size->ffn,
                         .domain_ffn = size->domain_ffn,
                         .context = size->context,
                         .rms_epsilon = 1e-5f,
                         .rope_base = 10000.0f,
                         .n_cluster_sets = 2,
                         .clusters = {16, 8},
                         .window = 32,
                         .router_threshold = 0.7f,
                         .tied = TRUE,
                         .ask_template = g_strdup(GEM_PRESET_ASK_TEMPLATE)};
}

static GemRouterShape
router_shape(const Size *size)
{
  return (GemRouterShape){.vocab = size->vocab,
                          .embedding = size->router_embedding,
                          .width = size->router_width,
                          .layers = size->router_layers,
                          .heads = size->router_heads,
                          .ffn = size->router_ffn,
                          .window = 128,
                          .context = size->context,
                          .rms_epsilon = 1e-5f,
                          .rope_base = 10000.0f};
}

gboolean
gem_preset_get(const char *name, GemPreset *ret_preset, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
    if (strcmp(sizes[i].name, name) == 0) {
      GemPreset preset = {.general = general_shape(&sizes[i]), .router = router_shape(&sizes[i])};
      preset.router.n_domains = g_strv_length((char **)gem_preset_domains);
      set_domains(&preset.general, preset.router.n_domains);
      *ret_preset = preset;
      return TRUE;
    }
  }
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
              "--preset=%s: there are gem-mini, gem-80m and gem-tiny", name);
  return FALSE;
}

typedef struct {
  const char *key;
  gsize offset; /* of a guint in GemPreset */
  guint least, most;
} Key;

static const Key keys[] = {
    {"vocab", offsetof(GemPreset, general.vocab), 262, 1u << 20},
    {"width", offsetof(GemPreset, general.width), 32, 8192},
    {"layers", offsetof(GemPreset, general.layers), 1, 128},
    {"heads", offsetof(GemPreset, general.heads), 1, 256},
    {"kv-heads", offsetof(GemPreset, general.kv_heads), 1, 256},
    {"ffn", offsetof(GemPreset, general.ffn), 32, 65536},
    {"domain-ffn", offsetof(GemPreset, general.domain_ffn), 32, 65536},
    {"context", offsetof(GemPreset, general.context), 16, 1u << 20},
    {"window", offsetof(GemPreset, general.window), 0, 65536},
    {"successors", offsetof(GemPreset, general.successors), 0, 1},
    {"domains", offsetof(GemPreset, general.n_domains), 0, 8},
    {"router-embedding", offsetof(GemPreset, router.embedding), 32, 8192},
    {"router-width", offsetof(GemPreset, router.width), 32, 8192},
    {"router-layers", offsetof(GemPreset, router.layers), 1, 64},
    {"router-heads", offsetof(GemPreset, router.heads), 1, 64},
    {"router-ffn", offsetof(GemPreset, router.ffn), 32, 65536},
};

/* A number of --shape; the error names its key. */
static gboolean
parse_number(const char *key, const char *text, guint least, guint most, guint *ret_number, GError **error)
{
  guint64 number = 0;
  if (!g_ascii_string_to_unsigned(text, 10, least, most, &number, NULL)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--shape: %s=%s: %u to %u is allowed", key,
                text, least, most);
    return FALSE;
  }
  *ret_number = (guint)number;
  return TRUE;
}

/* "16+8": the sets, largest first; "0": none. */
static gboolean
parse_clusters(GemModelShape *shape, const char *value, GError **error)
{
  shape->n_cluster_sets = 0;
  if (strcmp(value, "0") == 0) {
    return TRUE;
  }
  g_auto(GStrv) parts = g_strsplit(value, "+", -1);
  for (guint i = 0; parts[i] != NULL; i++) {
    guint most = i == 0 ? 256 : shape->clusters[i - 1] - 1;
    if (i >= GEM_MAX_CLUSTER_SETS) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--shape: clusters=%s: at most %d sets",
                  value, GEM_MAX_CLUSTER_SETS);
      return FALSE;
    }
    if (!parse_number("clusters", parts[i], 2, most, &shape->clusters[i], error)) {
      return FALSE;
    }
    shape->n_cluster_sets = i + 1;
  }
  return TRUE;
}

static gboolean
set_key(GemPreset *preset, const char *key, const char *value, GError **error)
{
  if (strcmp(key, "clusters") == 0) {
    return parse_clusters(&preset->general, value, error);
  }
  for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
    if (strcmp(keys[i].key, key) == 0) {
      guint *field = (guint *)(gpointer)((char *)preset + keys[i].offset);
      return parse_number(key, value, keys[i].least, keys[i].most, field, error);
    }
  }
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--shape: unknown key '%s'", key);
  return FALSE;
}

static gboolean
check_fit(const GemPreset *preset, GError **error)
{
  const GemModelShape *general = &preset->general;
  const char *wrong = NULL;
  if (general->width % general->heads != 0 || general->head_dim % 32 != 0) {
    wrong = "width / heads must be a multiple of 32";
  } else if (general->heads % general->kv_heads != 0) {
    wrong = "heads must be a multiple of kv-heads";
  } else if (preset->router.width % preset->router.heads != 0 ||
             preset->router.width / preset->router.heads % 2 != 0) {
    wrong = "router-width / router-heads must be even";
  }
  if (wrong != NULL) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--shape: %s", wrong);
    return FALSE;
  }
  return TRUE;
}

gboolean
gem_preset_apply_shape(GemPreset *preset, const char *text, GError **error)
{
  g_auto(GStrv) pairs = g_strsplit(text, ",", -1);
  for (guint i = 0; pairs[i] != NULL; i++) {
    char *equals = strchr(pairs[i], '=');
    if (equals == NULL) {
      g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--shape: '%s' is not key=value",
                  pairs[i]);
      return FALSE;
    }
    *equals = '\0';
    if (!set_key(preset, pairs[i], equals + 1, error)) {
      return FALSE;
    }
    if (strcmp(pairs[i], "heads") == 0) {
      preset->general.kv_heads = preset->general.heads;
    }
  }
  GemModelShape *general = &preset->general;
  general->head_dim = general->rope_dim = general->width / MAX(general->heads, 1);
  set_domains(general, general->n_domains);
  general->domain_ffn = general->n_domains > 0 ? general->domain_ffn : 0;
  preset->router.vocab = general->vocab;
  preset->router.context = general->context;
  preset->router.n_domains = general->n_domains;
  return check_fit(preset, error);
}

gboolean
gem_preset_get_shaped(const char *name, const char *shape, GemPreset *ret_preset, GError **error)
{
  g_auto(GemPreset) preset = {0};
  if (!gem_preset_get(name != NULL ? name : GEM_PRESET_DEFAULT, &preset, error) ||
      (shape != NULL && !gem_preset_apply_shape(&preset, shape, error))) {
    return FALSE;
  }
  *ret_preset = preset;
  preset = (GemPreset){0}; /* the strings have moved */
  return TRUE;
}
