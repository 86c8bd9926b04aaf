/* The tables of a report. */
#pragma once

#include "bench/report/gem-report-result.h"

/* What was run, of which model, where and when. */
void
gem_report_add_run(GString *page, JsonObject *result);
/* A row for each domain. */
void
gem_report_add_domains(GString *page, JsonObject *result);
/* A row for each task, with a drawing of its score beside chance, majority and linear baseline. */
void
gem_report_add_tasks(GString *page, JsonObject *result);
