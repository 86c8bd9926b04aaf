/* Memory and descriptors of processes, as the system tells them. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* The most bytes of memory that this process ever had, code included; 0 when the system does not tell. */
guint64
gem_bench_process_get_peak(void);
/* What a process has now; 0 when it is gone or the system does not tell. */
guint64
gem_bench_process_get_resident(pid_t process);
/* How many descriptors a process has open; 0 when it is gone or the system does not tell. */
guint
gem_bench_process_count_descriptors(pid_t process);
