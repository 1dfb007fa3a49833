/* gcra: the generic cell rate algorithm (ITU-T I.371): so many requests a window, all at once if they must, and then as
 * evenly as the window says. Its whole state is one time, the theoretical arrival time (TAT): when everything that was
 * let through would be over if it had come evenly. Pure; times in nanoseconds of any clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NS_A_SECOND INT64_C(1000000000)

struct quota {
    int64_t requests, window_s;
    int64_t window_ns, interval_ns; /* between two requests that come evenly */
};

/* requests 0: no limit. */
struct quota quota_of(int64_t requests, int64_t window_s);

struct gcra {
    bool allowed;
    int64_t remaining; /* requests that would be let through now, at once */
    int64_t reset_ns;  /* until all of the quota is back */
    int64_t retry_ns;  /* until one is let through */
};

/* One more request; *tat is moved on when it is let through. */
struct gcra gcra_take(const struct quota *q, int64_t now_ns, int64_t *tat_ns);

/* Up to the next whole second. */
int64_t seconds_up(int64_t ns);
