/* condition: pthread conditions whose waits end at a time of clock_mono_us, which no change of the time of day moves. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void condition_init(pthread_cond_t *condition); /* the caller's (pthread_cond_destroy) */

/* Waits for a signal, with the lock held as in pthread_cond_wait; false: `until_us` has passed. As there, it may wake for
 * nothing: wait in a loop that looks at what is waited for. */
bool condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_us);
