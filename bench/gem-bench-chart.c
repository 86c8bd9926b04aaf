#include "bench/gem-bench-chart.h"

#include <math.h>

#include "bench/gem-bench-statistics.h"
#include "bench/gem-bench-svg.h"

/* Pixels. */
#define WIDTH       760u
#define TOP         72.0 /* below title and legend */
#define RIGHT       90.0 /* right of the plot: room for the figure at a bar's end */
#define BOTTOM      52.0 /* below the plot: ticks and the axis' name */
#define LABEL_ROOM  150.0
#define LINE_LEFT   84.0
#define LINE_HEIGHT 300.0
#define BAR         14.0
#define GROUP_GAP   12.0
#define LETTER      7.5 /* about as wide as one is */
#define MOST_STEPS  6   /* of an axis, so that figures of four digits stand apart on a telephone */

/* Of bars: with a title on them, or narrow and in a page that has it. */
typedef struct {
  guint width;
  double top, right, label_room;
} BarRoom;
static const BarRoom own_room = {WIDTH, TOP, RIGHT, LABEL_ROOM};
static const BarRoom page_room = {400, 34, 60, 112};
static const BarRoom bare_room = {400, 8, 60, 112}; /* without a legend */

typedef struct {
  guint series;
  char *label; /* of a bar */
  double x;    /* of a point */
  double value, low, high;
} Item;

struct _GemBenchChart {
  char *title, *x_label, *unit;
  gboolean bars, logarithmic;
  char *(*describe)(double number); /* NULL: as a plain number */
  GPtrArray *series;                /* char *: names */
  GArray *items;                    /* Item */
};

/* A range of values and the pixels that it takes. */
typedef struct {
  double low, high, from, to;
  gboolean logarithmic;
  double step; /* between ticks, where it is not */
} Axis;

static void
item_clear(gpointer data)
{
  g_free(((Item *)data)->label);
}

static GemBenchChart *
chart_new(const char *title, const char *unit)
{
  GemBenchChart *self = g_new0(GemBenchChart, 1);

  self->title = g_strdup(title);
  self->unit = g_strdup(unit);
  self->series = g_ptr_array_new_with_free_func(g_free);
  self->items = g_array_new(FALSE, FALSE, sizeof(Item));
  g_array_set_clear_func(self->items, item_clear);
  return self;
}

GemBenchChart *
gem_bench_chart_new_bars(const char *title, const char *unit)
{
  GemBenchChart *self = chart_new(title, unit);

  self->bars = TRUE;
  return self;
}

GemBenchChart *
gem_bench_chart_new_lines(const char *title, const char *x_label, const char *unit, gboolean logarithmic)
{
  GemBenchChart *self = chart_new(title, unit);

  self->x_label = g_strdup(x_label);
  self->logarithmic = logarithmic;
  return self;
}

void
gem_bench_chart_set_describe(GemBenchChart *self, char *(*describe)(double number))
{
  self->describe = describe;
}

void
gem_bench_chart_free(GemBenchChart *self)
{
  g_free(self->title);
  g_free(self->x_label);
  g_free(self->unit);
  g_ptr_array_unref(self->series);
  g_array_unref(self->items);
  g_free(self);
}

void
gem_bench_chart_add_series(GemBenchChart *self, const char *name)
{
  g_ptr_array_add(self->series, g_strdup(name));
}

void
gem_bench_chart_add_bar(GemBenchChart *self, const char *label, double value, double low, double high)
{
  Item item = {self->series->len - 1, g_strdup(label), 0, value, low, high};

  g_array_append_val(self->items, item);
}

void
gem_bench_chart_add_spread(GemBenchChart *self, const char *label, const GArray *values)
{
  GemBenchSpread spread = gem_bench_spread(values);

  if (values->len > 0) {
    gem_bench_chart_add_bar(self, label, spread.median, spread.min, spread.max);
  }
}

void
gem_bench_chart_add_point(GemBenchChart *self, double x, double value)
{
  Item item = {self->series->len - 1, NULL, x, value, value, value};

  if (isfinite(value) && x > 0 && (!self->logarithmic || value > 0)) {
    g_array_append_val(self->items, item);
  }
}

/* ---- axes ---- */

static double
place(const Axis *axis, double value)
{
  double share = axis->logarithmic ? log(value / axis->low) / log(axis->high / axis->low)
                                   : (value - axis->low) / (axis->high - axis->low);

  return axis->from + share * (axis->to - axis->from);
}

/* The smallest 1, 2 or 5 times a power of ten that is not below `value`. */
static double
round_up(double value)
{
  double power = pow(10, floor(log10(value)));
  double digit = value / power;

  return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

static char *
format_tick(double value)
{
  return value >= 1e5 || (value > 0 && value < 1e-3) ? g_strdup_printf("%.0e", value)
                                                     : g_strdup_printf("%g", value);
}

/* The axis of values: from 0 in round steps, or whole powers of ten. Without any value: 0 to 1. */
static Axis
value_axis(const GemBenchChart *self, double from, double to)
{
  Axis axis = {.from = from, .to = to};
  double least = INFINITY, most = 0;
  guint i;

  for (i = 0; i < self->items->len; i++) {
    const Item *item = &g_array_index(self->items, Item, i);

    if (isfinite(item->value)) {
      least = MIN(least, item->value);
      most = fmax(most, fmax(item->value, item->high));
    }
  }
  if (self->logarithmic && most > 0) {
    double low = pow(10, floor(log10(least))), high = pow(10, ceil(log10(most)));

    return (Axis){low, high > low ? high : 10 * low, from, to, TRUE, 0};
  }
  axis.step = most > 0 ? round_up(most / MOST_STEPS) : 0.2;
  axis.high = most > 0 ? axis.step * ceil(most / axis.step - 1e-9) : 1;
  return axis;
}

static guint
count_decades(const Axis *axis)
{
  return (guint)lround(log10(axis->high / axis->low));
}

/* Steps in a decade: 1, 2 and 5 where there are few. */
static guint
count_steps(const Axis *axis)
{
  return count_decades(axis) <= 3 ? 3 : 1;
}

static guint
count_ticks(const Axis *axis)
{
  return axis->logarithmic ? count_decades(axis) * count_steps(axis) + 1
                           : (guint)lround(axis->high / axis->step) + 1;
}

static double
tick_at(const Axis *axis, guint i)
{
  static const double digits[] = {1, 2, 5};
  guint steps = count_steps(axis), decade = i / steps;

  return axis->logarithmic ? axis->low * pow(10, decade) * digits[i % steps] : axis->step * i;
}

/* The axis of the numbers that lines go over. */
static Axis
number_axis(const GemBenchChart *self, double from, double to)
{
  Axis axis = {INFINITY, 0, from, to, TRUE, 0};
  guint i;

  for (i = 0; i < self->items->len; i++) {
    axis.low = MIN(axis.low, g_array_index(self->items, Item, i).x);
    axis.high = MAX(axis.high, g_array_index(self->items, Item, i).x);
  }
  if (!(axis.high > axis.low)) {
    axis.low = axis.high > 0 ? axis.high / 2 : 1;
    axis.high = 4 * axis.low;
  }
  return axis;
}

/* ---- drawing ---- */

/* Above what begins at `top`. */
static void
draw_legend(const GemBenchChart *self, GemBenchSvg *svg, double top)
{
  double x = 16;
  guint i;

  for (i = 0; i < self->series->len && self->series->len > 1; i++) {
    const char *name = self->series->pdata[i];

    gem_bench_svg_box(svg, i, x, top - 31, 12, 12);
    gem_bench_svg_text(svg, x + 18, top - 20, GEM_BENCH_SVG_LEFT, name);
    x += 42 + LETTER * (double)g_utf8_strlen(name, -1);
  }
}

/* A bar, a mark for its spread, and its figure. */
static void
draw_bar(const Item *item, GemBenchSvg *svg, const Axis *axis, double y)
{
  double end = place(axis, item->value), high = place(axis, item->high);
  g_autofree char *figure = g_strdup_printf(item->value < 10 ? "%.2f" : "%.0f", item->value);

  gem_bench_svg_box(svg, item->series, axis->from, y, end - axis->from, BAR - 2);
  if (item->high > item->low) {
    gem_bench_svg_mark(svg, place(axis, item->low), y + BAR / 2 - 1, high, y + BAR / 2 - 1);
  }
  gem_bench_svg_text(svg, fmax(end, high) + 6, y + BAR - 3, GEM_BENCH_SVG_LEFT, figure);
}

static guint
count_groups(const GemBenchChart *self)
{
  guint n_series = MAX(1, self->series->len);

  return (self->items->len + n_series - 1) / n_series;
}

static double
group_height(const GemBenchChart *self)
{
  return MAX(1, self->series->len) * BAR + GROUP_GAP;
}

/* Where the bars end. */
static double
bars_bottom(const GemBenchChart *self, const BarRoom *room)
{
  return room->top + count_groups(self) * group_height(self);
}

static void
draw_bars(const GemBenchChart *self, const BarRoom *room, GemBenchSvg *svg)
{
  guint n_series = MAX(1, self->series->len), i;
  double bottom = bars_bottom(self, room);
  Axis axis = value_axis(self, room->label_room, room->width - room->right);
  g_autofree guint *drawn = g_new0(guint, n_series);

  draw_legend(self, svg, room->top);
  for (i = 0; i < count_ticks(&axis); i++) {
    double tick = tick_at(&axis, i);
    g_autofree char *text = format_tick(tick);

    gem_bench_svg_grid(svg, place(&axis, tick), room->top - 6, place(&axis, tick), bottom);
    gem_bench_svg_text(svg, place(&axis, tick), bottom + 18, GEM_BENCH_SVG_MIDDLE, text);
  }
  gem_bench_svg_text(svg, (axis.from + axis.to) / 2, bottom + 40, GEM_BENCH_SVG_MIDDLE, self->unit);
  for (i = 0; i < self->items->len; i++) {
    const Item *item = &g_array_index(self->items, Item, i);
    double y = room->top + drawn[item->series]++ * group_height(self);

    if (item->series == 0) {
      gem_bench_svg_text(svg, room->label_room - 8, y + n_series * BAR / 2 + 4, GEM_BENCH_SVG_RIGHT,
                         item->label);
    }
    if (isfinite(item->value)) {
      draw_bar(item, svg, &axis, y + item->series * BAR);
    }
  }
}

static void
draw_line(const GemBenchChart *self, GemBenchSvg *svg, guint series, const Axis *numbers, const Axis *values)
{
  g_autofree double *x = g_new(double, self->items->len);
  g_autofree double *y = g_new(double, self->items->len);
  guint i, n = 0;

  for (i = 0; i < self->items->len; i++) {
    const Item *item = &g_array_index(self->items, Item, i);

    if (item->series == series) {
      x[n] = place(numbers, item->x);
      y[n] = place(values, item->value);
      gem_bench_svg_dot(svg, series, x[n], y[n]);
      n++;
    }
  }
  gem_bench_svg_line(svg, series, x, y, n);
}

/* Below each point of the first line its number, where there is room beside the one before. */
static void
draw_numbers(const GemBenchChart *self, GemBenchSvg *svg, const Axis *numbers, double bottom)
{
  double free_from = 0;
  guint i;

  for (i = 0; i < self->items->len; i++) {
    const Item *item = &g_array_index(self->items, Item, i);
    g_autofree char *text = self->describe != NULL ? self->describe(item->x) : format_tick(item->x);
    double x = place(numbers, item->x), half = LETTER * (double)g_utf8_strlen(text, -1) / 2;

    if (item->series != 0) {
      continue;
    }
    gem_bench_svg_grid(svg, x, TOP, x, bottom);
    if (x - half >= free_from) {
      gem_bench_svg_text(svg, x, bottom + 18, GEM_BENCH_SVG_MIDDLE, text);
      free_from = x + half + LETTER;
    }
  }
}

static void
draw_lines(const GemBenchChart *self, GemBenchSvg *svg)
{
  double bottom = TOP + LINE_HEIGHT, right = WIDTH - 24.0;
  Axis values = value_axis(self, bottom, TOP), numbers = number_axis(self, LINE_LEFT, right);
  guint i;

  draw_legend(self, svg, TOP);
  for (i = 0; i < count_ticks(&values); i++) {
    double tick = tick_at(&values, i);
    g_autofree char *text = format_tick(tick);

    gem_bench_svg_grid(svg, LINE_LEFT, place(&values, tick), right, place(&values, tick));
    gem_bench_svg_text(svg, LINE_LEFT - 8, place(&values, tick) + 4, GEM_BENCH_SVG_RIGHT, text);
  }
  draw_numbers(self, svg, &numbers, bottom);
  gem_bench_svg_text(svg, (LINE_LEFT + right) / 2, bottom + 40, GEM_BENCH_SVG_MIDDLE, self->x_label);
  gem_bench_svg_upright_text(svg, 24, TOP + LINE_HEIGHT / 2, self->unit);
  for (i = 0; i < self->series->len; i++) {
    draw_line(self, svg, i, &numbers, &values);
  }
}

char *
gem_bench_chart_draw_inline(const GemBenchChart *self)
{
  const BarRoom *room = self->series->len > 1 ? &page_room : &bare_room;
  double bottom = bars_bottom(self, room);
  g_autoptr(GemBenchSvg) svg = gem_bench_svg_new_inline(room->width, (guint)(bottom + BOTTOM), self->title);

  draw_bars(self, room, svg);
  return gem_bench_svg_finish(svg);
}

gboolean
gem_bench_chart_write(const GemBenchChart *self, const char *path, GError **error)
{
  double bottom = self->bars ? bars_bottom(self, &own_room) : TOP + LINE_HEIGHT;
  g_autoptr(GemBenchSvg) svg = gem_bench_svg_new(WIDTH, (guint)(bottom + BOTTOM), self->title);

  if (self->bars) {
    draw_bars(self, &own_room, svg);
  } else {
    draw_lines(self, svg);
  }
  return gem_bench_svg_write(svg, path, error);
}
