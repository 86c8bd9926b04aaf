/* The report of a result of gem-bench edge as one HTML page that needs nothing else: no network, no fonts, no
 * script from elsewhere. Text of the result is escaped. */
#pragma once

#include "bench/report/gem-report-result.h"

/* Transfer full. */
char *
gem_report_page_new(JsonObject *result);
