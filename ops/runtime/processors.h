/* processors: which of them a thread runs on (sched_setaffinity(2)).
 *
 * A thread that another one wakes on another processor finds its data in none of the caches there. Where Kafka has
 * processors of its own, our threads are faster side by side on the others (ADR 16). */
#pragma once

#include <sched.h>

#include "ops/runtime/config.h"
#include "ops/runtime/err.h"

extern const struct setting processors_settings[]; /* runtime.processors */

/* The calling thread, and each that it makes from now on, keeps to the first runtime.processors of those that it may
 * use; 0, or as many as there are: it goes on as before. `ret_before`, unless NULL: what it might use until now.
 * FATAL: the kernel refuses. Any thread. */
MUST_CHECK err processors_narrow(const struct config *config, cpu_set_t *ret_before);
/* The same with those behind the first runtime.processors, if there are any. */
MUST_CHECK err processors_leave(const struct config *config, cpu_set_t *ret_before);
/* The calling thread, and each that it makes from now on, may use these. Any thread. */
void processors_widen(const cpu_set_t *before);
