/* Pieces of the page: text, and figures as people read them. */
#pragma once

#include "bench/report/gem-report-result.h"

/* Adds what printf makes of `format`, with the strings among the arguments escaped. */
void
gem_report_add(GString *page, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* "0.431", "1,234,567", "23.5 MB", "12 min"; of what is no number a dash. Transfer full. */
char *
gem_report_format(double value, int digits);
char *
gem_report_format_count(double value);
char *
gem_report_format_bytes(double value);
char *
gem_report_format_seconds(double value);

/* A cell of a table: a figure, with its error below it where there is one. */
void
gem_report_add_cell(GString *page, double value, double error);
