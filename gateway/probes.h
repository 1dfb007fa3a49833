/* probes: asks PostgreSQL, Redis and Kafka whether they answer, and whether a command would be decided at once, for
 * health.h. Each probe is called by one thread only and has its own connection. */
#pragma once

#include "gateway/http/health.h"

struct probes;

#define PROBES_COUNT 5

/* Fills `ret` for health_create. The gateway must outlive the probes. */
struct probes *probes_create(struct gateway *g, struct health_probe ret[PROBES_COUNT]);
void probes_destroy(struct probes *p); /* after health_destroy; NULL is fine */
