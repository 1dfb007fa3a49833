/* health: whether the parts that the gateway depends on answer. Each part is asked once a second by a thread of its
 * own, since one that hangs must neither hold up a request nor hide the others. */
#pragma once

#include "gateway/http/request.h"

#define HEALTH_MAX_PROBES 8

struct health_probe {
    const char *name; /* "kafka"; constant */
    bool required;    /* without it the gateway is not ready */
    /* Runs on the probe's thread; may block. *ret_latency_us: how long the part took to answer; unused on false. */
    bool (*probe)(void *context, int64_t *ret_latency_us);
    void *context;
};

struct health;

/* Starts asking. Until the first answer a part counts as down; so does one whose last answer is older than 5 s. The
 * probes are copied, their contexts must outlive the health. */
MUST_CHECK err health_create(const struct health_probe *probes, size_t count, struct health **ret);
/* Waits for the probes that run now. NULL is fine. */
void health_destroy(struct health *h);

bool health_is_ready(const struct health *h); /* every required part answers; any thread */

/* Handlers of the routes: */
extern const struct shape liveness_shape, readiness_shape, health_shape;
enum request_step health_live(struct request *r);  /* /api/v1/health: 200 {status, ready} */
enum request_step health_ready(struct request *r); /* /api/v1/health/ready: 200 or 503 {status} */
enum request_step
health_detailed(struct request *r);                /* {status, dependencies: [{name, required, status, latencyMs}]} */
enum request_step metrics_show(struct request *r); /* /metrics: Prometheus text */
