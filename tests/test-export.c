/* From a checkpoint to a model folder: every tensor in its part's block type and within that type's error of
 * the checkpoint, and everything opens again. */
#include <math.h>
#include <string.h>

#include "format/gem-model-files.h"
#include "tests/gem-test-model.h"
#include "tests/gem-test-training.h"
#include "training/arithmetic/gem-random.h"
#include "training/network/gem-checkpoint.h"
#include "training/network/gem-model-export.h"
#include "training/network/gem-presets.h"

#define SHAPE                                                                                                \
  "width=256,heads=4,layers=2,ffn=256,domain-ffn=64,domains=2,router-width=256,router-embedding=96,"         \
  "router-layers=1,router-heads=4,router-ffn=256"

typedef struct {
  GemBackbone *backbone;
  GemCentroids *centroids;
  GemRouterNetwork *router;
  float *values, *router_values;
  char *dir;
} Fixture;

static float *
random_values(const GemParameters *parameters, guint64 stream)
{
  g_autofree float *noise = gem_test_normal_new(parameters->size, stream);
  float *values = gem_parameters_alloc(parameters);
  gem_parameters_init(parameters, 3, values);
  for (gsize i = 0; i < parameters->size; i++) {
    values[i] += 0.05f * noise[i];
  }
  return values;
}

static void
set_up(Fixture *self, gconstpointer data)
{
  g_auto(GemPreset) preset = {0};
  g_autoptr(GError) error = NULL;
  gem_preset_get("gem-tiny", &preset, &error);
  g_assert_no_error(error);
  gem_preset_apply_shape(&preset, SHAPE, &error);
  g_assert_no_error(error);
  self->router = gem_router_network_new(&preset.router, (const char *const *)preset.general.domains, 16);
  self->backbone = gem_backbone_new(&preset.general, 16);
  self->centroids = gem_centroids_new(self->backbone, 2);
  self->values = random_values(self->backbone->parameters, 31);
  self->router_values = random_values(self->router->parameters, 32);
  self->dir = gem_test_folder_new();
}

static void
tear_down(Fixture *self, gconstpointer data)
{
  gem_router_network_free(self->router);
  gem_centroids_free(self->centroids);
  gem_backbone_free(self->backbone);
  g_aligned_free(self->values);
  g_aligned_free(self->router_values);
  gem_test_folder_remove(self->dir);
  g_free(self->dir);
}

static void
export_as(const Fixture *self, const GemExportTypes *types)
{
  g_autoptr(GError) error = NULL;
  const GemExport export = {.backbone = self->backbone,
                            .values = self->values,
                            .centroids = self->centroids,
                            .router = self->router,
                            .router_values = self->router_values,
                            .name = "exported"};
  gem_model_export(&export, types, self->dir, &error);
  g_assert_no_error(error);
}

/* The root mean square error that a block type makes of normally distributed weights, as a share of their
 * deviation; twice what is measured. */
static double
tolerance_of(GemType type)
{
  switch (type) {
  case GEM_TYPE_F32:
    return 0.0;
  case GEM_TYPE_F16:
    return 4e-4;
  case GEM_TYPE_Q8_0:
    return 0.01;
  case GEM_TYPE_Q6_K:
    return 0.04;
  default:
    return 0.16;
  }
}

static double
relative_error(GemGguf *file, const GemTensor *tensor, const float *values)
{
  g_autofree float *row = g_new(float, tensor->cols);
  gsize row_bytes = gem_type_row_bytes(tensor->type, tensor->cols);
  const guint8 *data = gem_gguf_read_tensor(file, tensor, NULL);
  double error = 0.0, square = 0.0;
  for (gsize i = 0; i < tensor->rows; i++, values += tensor->cols) {
    gem_dequantize_row(tensor->type, data + i * row_bytes, row, tensor->cols);
    for (gsize j = 0; j < tensor->cols; j++) {
      error += pow((double)row[j] - (double)values[j], 2.0);
      square += pow((double)values[j], 2.0);
    }
  }
  return sqrt(error / square);
}

/* Every tensor of `part` is in the file, as `type` if its rows allow that. */
static void
check_part(
    const GemParameters *parameters, const char *part, const float *values, GemGguf *file, GemType type)
{
  guint found = 0;
  for (guint i = 0; i < parameters->items->len; i++) {
    const GemParameter *parameter = parameters->items->pdata[i];
    if (strcmp(parameter->part, part) != 0) {
      continue;
    }
    g_autoptr(GError) error = NULL;
    const GemTensor *tensor =
        gem_gguf_require_tensor(file, parameter->name, parameter->rows, parameter->cols, &error);
    g_assert_no_error(error);
    gboolean fits = gem_type_row_bytes(type, parameter->cols) > 0;
    GemType expected = parameter->rows == 1 ? GEM_TYPE_F32 : (fits ? type : GEM_TYPE_Q8_0);
    if (strcmp(part, "general") != 0 || strstr(parameter->name, ".attn_") == NULL || parameter->rows == 1) {
      g_assert_cmpstr(gem_type_name(tensor->type), ==, gem_type_name(expected));
    }
    double error_share = relative_error(file, tensor, values + parameter->offset);
    g_assert_cmpfloat(error_share, <=, tolerance_of(tensor->type));
    g_assert_true(error_share > 0.0 || tensor->type == GEM_TYPE_F32);
    found++;
  }
  g_assert_cmpuint(found, >, 0);
}

static void
check_folder(const Fixture *self, const GemExportTypes *types)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GemModelFiles) files = gem_model_files_open(self->dir, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(files->name, ==, "exported");
  check_part(self->backbone->parameters, "general", self->values, files->general, types->general);
  const GemTensor *query = gem_gguf_find_tensor(files->general, "blk.1.attn_q.weight");
  g_assert_cmpstr(gem_type_name(query->type), ==, gem_type_name(types->attention));
  check_part(self->router->parameters, "router", self->router_values, files->router, types->router);
  for (guint d = 0; d < files->shape.n_domains; d++) {
    g_autofree char *part = g_strdup_printf("pathway-%s", files->shape.domains[d]);
    g_autoptr(GemGguf) pathway = gem_model_files_open_pathway(files, files->shape.domains[d], &error);
    g_assert_no_error(error);
    check_part(self->backbone->parameters, part, self->values, pathway, types->domain);
  }
}

/* 8, 6, 6 and 4 bits; the router's embedding of 96 has no whole blocks of 256 and is 8-bit. */
static void
test_default_types(Fixture *self, gconstpointer data)
{
  export_as(self, &gem_export_types_default);
  check_folder(self, &gem_export_types_default);
  g_autofree char *path = g_build_filename(self->dir, "router.gguf", NULL);
  g_autoptr(GemGguf) router = gem_gguf_open(path, NULL);
  g_assert_cmpint(gem_gguf_find_tensor(router, "token_embd.weight")->type, ==, GEM_TYPE_Q8_0);
  g_assert_cmpint(gem_gguf_find_tensor(router, "blk.0.ffn_up.weight")->type, ==, GEM_TYPE_Q6_K);
}

static void
test_each_type(Fixture *self, gconstpointer data)
{
  const GemType types[] = {GEM_TYPE_F32, GEM_TYPE_F16, GEM_TYPE_Q8_0, GEM_TYPE_Q6_K, GEM_TYPE_Q4_0};
  for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
    const GemExportTypes all = {types[i], types[i], types[i], types[i]};
    export_as(self, &all);
    check_folder(self, &all);
  }
}

/* A folder in single precision is the checkpoint again, bit for bit, for training and for measuring. */
static void
test_round_trip(Fixture *self, gconstpointer data)
{
  const GemExportTypes exact = {GEM_TYPE_F32, GEM_TYPE_F32, GEM_TYPE_F32, GEM_TYPE_F32};
  g_autoptr(GError) error = NULL;
  export_as(self, &exact);
  g_autoptr(GemBackboneCheckpoint) model = gem_backbone_checkpoint_load(self->dir, 16, &error);
  g_assert_no_error(error);
  gem_test_assert_same_bytes(self->values, model->values, self->backbone->parameters->size * sizeof(float),
                             "values");
  gem_test_assert_same_bytes(self->centroids->values, model->centroids->values,
                             gem_backbone_n_centroids(self->backbone) * 256 * sizeof(float), "centroids");
  g_autofree char *path = g_build_filename(self->dir, "router.gguf", NULL);
  g_autoptr(GemRouterCheckpoint) router = gem_router_checkpoint_load(path, 16, &error);
  g_assert_no_error(error);
  gem_test_assert_same_bytes(self->router_values, router->values,
                             self->router->parameters->size * sizeof(float), "router's values");
  g_assert_cmpstr(router->network->domains[1], ==, "legal");
}

/* The general part alone opens as another program would see it: no domains, dense, the same weights. */
static void
test_llama(Fixture *self, gconstpointer data)
{
  const GemExportTypes half = {GEM_TYPE_F16, GEM_TYPE_F16, GEM_TYPE_F16, GEM_TYPE_F16};
  g_autofree char *path = g_build_filename(self->dir, "alone.gguf", NULL);
  const GemExport export = {
      .backbone = self->backbone, .values = self->values, .centroids = self->centroids, .name = "alone"};
  g_autoptr(GError) error = NULL;
  gem_model_export_llama(&export, &half, path, &error);
  g_assert_no_error(error);
  g_autoptr(GemModelFiles) files = gem_model_files_open(path, &error);
  g_assert_no_error(error);
  g_autofree char *architecture = gem_gguf_get_string(files->general, "general.architecture", &error);
  g_assert_cmpstr(architecture, ==, "llama");
  const GemModelShape *whole = &self->backbone->shape, *alone = &files->shape;
  g_assert_cmpuint(alone->n_domains, ==, 0);
  g_assert_cmpuint(alone->n_cluster_sets, ==, 0);
  g_assert_null(gem_gguf_find_tensor(files->general, "blk.0.scar_centroids_16.weight"));
  g_assert_cmpuint(alone->vocab, ==, whole->vocab);
  g_assert_cmpuint(alone->context, ==, whole->context);
  g_assert_cmpuint(alone->heads, ==, whole->heads);
  g_assert_cmpuint(alone->rope_dim, ==, whole->rope_dim);
  g_assert_cmpfloat(alone->rope_base, ==, whole->rope_base);
  g_assert_cmpfloat(alone->rms_epsilon, ==, whole->rms_epsilon);
  check_part(self->backbone->parameters, "general", self->values, files->general, GEM_TYPE_F16);
}

/* The tokenizer of a model without one: a text comes back as it was. */
static void
test_byte_tokenizer(Fixture *self, gconstpointer data)
{
  const char *text = "Two  spaces, a\ttab,\nna\xc3\xafve \xe2\x82\xac";
  g_autoptr(GemTokenizer) tokenizer = gem_test_byte_tokenizer_new();
  g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_assert_true(gem_tokenizer_encode(tokenizer, text, -1, tokens, NULL, NULL));
  g_assert_cmpuint(tokens->len, ==, strlen(text));
  g_autofree char *again =
      gem_tokenizer_decode(tokenizer, (const guint32 *)(gpointer)tokens->data, tokens->len);
  g_assert_cmpstr(again, ==, text);
  g_assert_cmpuint(gem_tokenizer_find_control(tokenizer, "<|user|>"), ==, GEM_TEST_USER);
}

/* A value that is no number names its tensor; a folder that cannot be made names itself. */
static void
test_errors(Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  GemExport export = {.backbone = self->backbone,
                      .values = self->values,
                      .centroids = self->centroids,
                      .router = self->router,
                      .router_values = self->router_values,
                      .name = "exported"};
  g_assert_false(gem_model_export(&export, &gem_export_types_default, "/dev/null/model", &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_assert_nonnull(strstr(error->message, "/dev/null/model"));
  g_clear_error(&error);
  g_assert_false(gem_model_export_llama(&export, &gem_export_types_default, "/dev/null/alone.gguf", &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_IO);
  g_assert_nonnull(strstr(error->message, "/dev/null/alone.gguf"));
  g_clear_error(&error);
  self->values[self->backbone->layers[1].down + 5] = NAN;
  g_assert_false(gem_model_export(&export, &gem_export_types_default, self->dir, &error));
  g_assert_nonnull(strstr(error->message, "blk.1.ffn_down.weight"));
}

/* A folder that cannot be written to its end is as it was: what is written last cannot be, and all before it
 * is another model's. */
static void
test_old_model_stays(Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  const GPtrArray *items = self->backbone->parameters->items;
  const GemParameter *last = NULL;
  for (guint i = 0; i < items->len; i++) {
    const GemParameter *item = items->pdata[i];
    last = strcmp(item->part, "pathway-legal") == 0 ? item : last;
  }
  const GemExport export = {.backbone = self->backbone,
                            .values = self->values,
                            .centroids = self->centroids,
                            .router = self->router,
                            .router_values = self->router_values,
                            .name = "other"};
  export_as(self, &gem_export_types_default);
  float kept = self->values[last->offset];
  self->values[0] += 1.0f;
  self->values[last->offset] = NAN;
  g_assert_false(gem_model_export(&export, &gem_export_types_default, self->dir, &error));
  g_assert_nonnull(strstr(error->message, last->name));
  self->values[0] -= 1.0f;
  self->values[last->offset] = kept;
  check_folder(self, &gem_export_types_default);
}

/* A checkpoint that states a shape of which it has no tensor: an error, where all memory would be asked for.
 */
static void
test_shape_alone(Fixture *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename(self->dir, "alone.gguf", NULL);
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autoptr(GError) error = NULL;
  GemModelShape huge = self->backbone->shape;
  huge.layers = 512;
  huge.ffn = huge.domain_ffn = 1 << 20;
  huge.width = 1 << 16;
  gem_model_shape_write(&huge, writer);
  gem_gguf_writer_set_uint(writer, "train.step", 1);
  gem_gguf_writer_write(writer, path, &error);
  g_assert_no_error(error);
  g_assert_null(gem_backbone_checkpoint_load(path, 16, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_assert_nonnull(strstr(error->message, "alone.gguf: tensor value:general/token_embd.weight is missing"));
}

/* The most memory that this process ever had, in kB. */
static guint64
most_memory(void)
{
  g_autofree char *status = NULL;
  g_assert_true(g_file_get_contents("/proc/self/status", &status, NULL, NULL));
  const char *line = strstr(status, "VmHWM:");
  g_assert_nonnull(line);
  return g_ascii_strtoull(line + strlen("VmHWM:"), NULL, 10);
}

/* In a process that has written nothing: 33 MB of centroids would show. */
static void
test_clusters_process(void)
{
  g_autoptr(GError) error = NULL;
  guint64 before = most_memory();
  g_assert_null(gem_backbone_checkpoint_load(g_getenv("GEM_TEST_CHECKPOINT"), 16, &error));
  g_assert_error(error, GEM_FORMAT_ERROR, GEM_FORMAT_ERROR_MISSING);
  g_assert_nonnull(strstr(error->message, "scar:blk.0.scar_centroids_256.weight is missing"));
  g_assert_cmpuint(most_memory() - before, <, 16 * 1024);
}

/* A checkpoint that states clusters, many for its few weights, and has no centroids. */
static void
test_clusters_alone(Fixture *self, gconstpointer data)
{
  g_auto(GemPreset) preset = {0};
  g_autofree char *path = g_build_filename(self->dir, "alone.gguf", NULL);
  g_autoptr(GemGgufWriter) writer = gem_gguf_writer_new();
  g_autoptr(GError) error = NULL;
  gem_preset_get("gem-tiny", &preset, &error);
  gem_preset_apply_shape(&preset, "layers=1,domains=0,clusters=256+255+254+253", &error);
  g_assert_no_error(error);
  GemModelShape *shape = &preset.general;
  shape->vocab = 32;
  shape->width = 8192;
  shape->heads = shape->kv_heads = 1;
  shape->head_dim = shape->rope_dim = shape->ffn = 2;
  gem_model_shape_write(shape, writer);
  gem_gguf_writer_set_uint(writer, "train.step", 1);
  g_autoptr(GemBackbone) backbone = gem_backbone_new(shape, 16);
  float *values = gem_parameters_alloc(backbone->parameters);
  gem_parameters_write(backbone->parameters, "value:", values, writer, &error);
  g_aligned_free(values);
  g_assert_no_error(error);
  gem_gguf_writer_write(writer, path, &error);
  g_assert_no_error(error);
  g_assert_true(g_setenv("GEM_TEST_CHECKPOINT", path, TRUE));
  g_test_trap_subprocess("/export/clusters-alone/subprocess", 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed();
}

int
main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/export/default-types", Fixture, NULL, set_up, test_default_types, tear_down);
  g_test_add("/export/each-type", Fixture, NULL, set_up, test_each_type, tear_down);
  g_test_add("/export/round-trip", Fixture, NULL, set_up, test_round_trip, tear_down);
  g_test_add("/export/llama", Fixture, NULL, set_up, test_llama, tear_down);
  g_test_add("/export/byte-tokenizer", Fixture, NULL, set_up, test_byte_tokenizer, tear_down);
  g_test_add("/export/shape-alone", Fixture, NULL, set_up, test_shape_alone, tear_down);
  g_test_add("/export/clusters-alone", Fixture, NULL, set_up, test_clusters_alone, tear_down);
  g_test_add_func("/export/clusters-alone/subprocess", test_clusters_process);
  g_test_add("/export/old-model-stays", Fixture, NULL, set_up, test_old_model_stays, tear_down);
  g_test_add("/export/errors", Fixture, NULL, set_up, test_errors, tear_down);
  return g_test_run();
}
