/* The machine that is measured on. */
#pragma once

#include <glib.h>

/* "NAME OF THE PROCESSOR, 2 processors, 25.2 GB, Linux 6.1.0 x86_64": what the system tells of it, without
 * names of hosts or people. Transfer full. */
char *
gem_bench_machine_describe(void);
