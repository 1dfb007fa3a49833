/* health: whether the parts that the gateway depends on answer. Each part is asked once a second by a thread of its
 * own, since one that hangs must neither hold up a request nor hide the others. */
#pragma once

#include "gateway/http/request.h"

#define HEALTH_MAX_PROBES 8
#define HEALTH_REASON_MAX 512

enum health_need {
    HEALTH_OPTIONAL, /* without it the gateway is slower */
    HEALTH_REQUIRED, /* without it the gateway is not ready */
    /* Without it a gateway does not become ready. One that was ready stays so: it lacks in every gateway alike, and to
     * turn all of them away would take the reads as well (ops/adr/0019-ready.md). */
    HEALTH_TO_BEGIN,
};

struct health_answer {
    int64_t latency_us;             /* how long the part took to answer; unused when it is down */
    char reason[HEALTH_REASON_MAX]; /* why it is down, for operators; "": it does not answer */
};

struct health_probe {
    const char *name; /* "kafka"; constant */
    enum health_need need;
    /* Runs on the probe's thread; may block. False: it is down. *ret is zeroed before. */
    bool (*probe)(void *context, struct health_answer *ret);
    void *context;
};

struct health;

/* Starts asking; a part that is down is asked more often. Until the first answer a part counts as down; so does one
 * whose last answer is older than 5 s. The probes are copied, their contexts must outlive the health. */
MUST_CHECK err health_create(const struct health_probe *probes, size_t count, struct health **ret);
/* Waits for the probes that run now. NULL is fine. */
void health_destroy(struct health *h);

/* Every required part answers, and every one that is needed to begin does now or did so together with them before. Any
 * thread. */
bool health_is_ready(struct health *h);

/* Handlers of the routes: */
extern const struct shape liveness_shape, readiness_shape, health_shape;
enum request_step health_live(struct request *r);  /* /api/v1/health: 200 {status, ready} */
enum request_step health_ready(struct request *r); /* /api/v1/health/ready: 200 or 503 {status, missing} */
enum request_step
health_detailed(struct request *r); /* {status, dependencies: [{name, required, status, latencyMs, reason}]} */
enum request_step metrics_show(struct request *r); /* /metrics: Prometheus text */
