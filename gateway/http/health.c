#include "gateway/http/health.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/http/http_metrics.h"
#include "gateway/http/server.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "ops/runtime/log.h"

#define PROBE_EVERY_MS 1000
#define PROBE_DOWN_MS  200 /* while it is down */
#define STALE_US       5000000
#define STACK_BYTES    (256 * 1024)

struct asked {
    struct health *health;
    struct health_probe probe;
    pthread_t thread;
    bool started;
    _Atomic bool up;
    _Atomic int64_t latency_us, answered_at_us; /* clock_mono_us; 0: never */
    char reason[HEALTH_REASON_MAX];             /* under the lock of health */
};

struct health {
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping;
    _Atomic bool has_begun; /* it was ready once */
    size_t count;
    struct asked asked[HEALTH_MAX_PROBES];
};

static bool is_up(const struct asked *a)
{
    int64_t at = atomic_load_explicit(&a->answered_at_us, memory_order_acquire);
    return at > 0 && atomic_load_explicit(&a->up, memory_order_relaxed) && clock_mono_us() - at < STALE_US;
}

/* false: stop. */
static bool wait_for_ms(struct health *h, int ms)
{
    const int64_t until_us = clock_mono_us() + 1000 * (int64_t)ms;
    pthread_mutex_lock(&h->lock);
    while (!h->stopping && condition_wait_until(&h->stop, &h->lock, until_us))
        ;
    bool go_on = !h->stopping;
    pthread_mutex_unlock(&h->lock);
    return go_on;
}

static void *ask(void *argument)
{
    struct asked *a = argument;
    bool known = false, up;
    do {
        struct health_answer answer = { 0 };
        up = a->probe.probe(a->probe.context, &answer);
        if (!known || up != atomic_load_explicit(&a->up, memory_order_relaxed)) {
            if (up)
                LOG(INFO, "dependency is up", F_STR("dependency", a->probe.name));
            else
                LOG(WARN, "dependency is down", F_STR("dependency", a->probe.name), F_STR("reason", answer.reason));
        }
        known = true;
        pthread_mutex_lock(&a->health->lock);
        memcpy(a->reason, answer.reason, sizeof a->reason);
        pthread_mutex_unlock(&a->health->lock);
        atomic_store_explicit(&a->latency_us, answer.latency_us, memory_order_relaxed);
        atomic_store_explicit(&a->up, up, memory_order_relaxed);
        atomic_store_explicit(&a->answered_at_us, clock_mono_us(), memory_order_release);
        (void)health_is_ready(a->health); /* notes that it was, whoever asks */
    } while (wait_for_ms(a->health, up ? PROBE_EVERY_MS : PROBE_DOWN_MS));
    return NULL;
}

err health_create(const struct health_probe *probes, size_t count, struct health **ret)
{
    if (count > HEALTH_MAX_PROBES)
        return err_set(FATAL, "%zu health probes; at most %d are possible", count, HEALTH_MAX_PROBES);
    struct health *h = mem_alloc(sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    condition_init(&h->stop);
    h->count = count;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    err e = OK;
    for (size_t i = 0; i < count; i++) /* before the first thread, which looks at all of them */
        h->asked[i] = (struct asked){ .health = h, .probe = probes[i] };
    for (size_t i = 0; i < count && e == OK; i++) {
        struct asked *a = &h->asked[i];
        if (pthread_create(&a->thread, &attributes, ask, a) != 0)
            e = err_set(FATAL, "a health thread could not be started; raise the limit of threads");
        else
            a->started = true;
    }
    pthread_attr_destroy(&attributes);
    if (e != OK) {
        health_destroy(h);
        return e;
    }
    *ret = h;
    return OK;
}

void health_destroy(struct health *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_cond_broadcast(&h->stop);
    pthread_mutex_unlock(&h->lock);
    for (size_t i = 0; i < h->count; i++)
        if (h->asked[i].started)
            pthread_join(h->asked[i].thread, NULL);
    pthread_cond_destroy(&h->stop);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

bool health_is_ready(struct health *h)
{
    if (!h)
        return true;
    const bool has_begun = atomic_load(&h->has_begun);
    for (size_t i = 0; i < h->count; i++) {
        const enum health_need need = h->asked[i].probe.need;
        if ((need == HEALTH_REQUIRED || (need == HEALTH_TO_BEGIN && !has_begun)) && !is_up(&h->asked[i]))
            return false;
    }
    if (!has_begun)
        atomic_store(&h->has_begun, true);
    return true;
}

/* Why it is down, in the arena of nobody: `ret` is the caller's. */
static struct str reason_of(struct health *h, const struct asked *a, char ret[HEALTH_REASON_MAX])
{
    pthread_mutex_lock(&h->lock);
    memcpy(ret, a->reason, HEALTH_REASON_MAX);
    pthread_mutex_unlock(&h->lock);
    return *ret ? str_of(ret) : STR("it does not answer");
}

static bool is_serving(const struct request *r)
{
    return !server_is_draining(r->server) && health_is_ready(server_health(r->server));
}

static const struct shape_field liveness_fields[] = {
    { "status", SHAPE_CHOICE, "It answers, so it lives.", .choices = "ok", .enumeration = "LiveStatus" },
    { "ready", SHAPE_BOOL, "Whether it can serve." },
    { 0 },
};
const struct shape liveness_shape = { "Liveness", liveness_fields };

#define READINESS                                                                                                      \
    {                                                                                                                  \
        "status", SHAPE_CHOICE, "Whether it can serve.", .choices = "ready|not ready|stopping",                        \
                                                         .enumeration = "ReadyStatus"                                  \
    }
static const struct shape_field missing_fields[] = {
    { "name", SHAPE_TEXT, "What it is.", .example = "\"workers\"" },
    { "reason", SHAPE_TEXT, "Why it is missing.", .example = "\"rooms: 3 of 6 partitions have no messages worker\"" },
    { 0 },
};
static const struct shape missing_shape = { "MissingPart", missing_fields };
static const struct shape_field readiness_fields[] = {
    READINESS,
    { "missing", SHAPE_OBJECT,
      "What it lacks. Commands wait for workers that are missing; a gateway that was ready goes on serving reads.",
      .of = &missing_shape, .list = true },
    { 0 },
};
const struct shape readiness_shape = { "Readiness", readiness_fields };

static const struct shape_field dependency_fields[] = {
    { "name", SHAPE_TEXT, "What it is.", .example = "\"postgres\"" },
    { "required", SHAPE_BOOL, "Whether nothing can be served without it." },
    { "status", SHAPE_CHOICE, "Whether it answers.", .choices = "up|down", .enumeration = "DependencyStatus" },
    { "latencyMs", SHAPE_NUMBER, "How long it took to answer; null when down.", .nullable = true, .example = "0.4" },
    { "reason", SHAPE_TEXT, "Why it is down; null when up.", .nullable = true, .example = "null" },
    { 0 },
};
static const struct shape dependency_shape = { "Dependency", dependency_fields };
static const struct shape_field health_fields[] = {
    READINESS,
    { "dependencies", SHAPE_OBJECT, "What it depends on.", .of = &dependency_shape, .list = true },
    { 0 },
};
const struct shape health_shape = { "Health", health_fields };

enum request_step health_live(struct request *r)
{
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_field_str(&j, "status", STR("ok"));
    json_key(&j, "ready");
    json_bool(&j, is_serving(r));
    json_close(&j, '}');
    return REQUEST_DONE;
}

/* A 503 is a state here and no problem, so that a probe sees the same shape each time. */
static struct json answer_state(struct request *r, int status_when_not)
{
    bool serving = is_serving(r);
    struct json j = response_json(r, serving ? 200 : status_when_not);
    r->response.content_type = "application/json";
    json_open(&j, '{');
    json_field_str(&j, "status", str_of(serving ? "ready" : server_is_draining(r->server) ? "stopping" : "not ready"));
    return j;
}

enum request_step health_ready(struct request *r)
{
    struct health *h = server_health(r->server);
    struct json j = answer_state(r, 503);
    char reason[HEALTH_REASON_MAX];
    json_key(&j, "missing");
    json_open(&j, '[');
    for (size_t i = 0; h && i < h->count; i++) {
        const struct asked *a = &h->asked[i];
        if (a->probe.need == HEALTH_OPTIONAL || is_up(a))
            continue;
        json_open(&j, '{');
        json_field_str(&j, "name", str_of(a->probe.name));
        json_field_str(&j, "reason", reason_of(h, a, reason));
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    return REQUEST_DONE;
}

enum request_step health_detailed(struct request *r)
{
    struct health *h = server_health(r->server);
    struct json j = answer_state(r, 200);
    char reason[HEALTH_REASON_MAX];
    json_key(&j, "dependencies");
    json_open(&j, '[');
    for (size_t i = 0; h && i < h->count; i++) {
        const struct asked *a = &h->asked[i];
        bool up = is_up(a);
        json_open(&j, '{');
        json_field_str(&j, "name", str_of(a->probe.name));
        json_key(&j, "required");
        json_bool(&j, a->probe.need == HEALTH_REQUIRED);
        json_field_str(&j, "status", up ? STR("up") : STR("down"));
        json_key(&j, "latencyMs");
        if (up)
            json_number(&j, (double)atomic_load_explicit(&a->latency_us, memory_order_relaxed) / 1000.0);
        else
            json_none(&j);
        json_key(&j, "reason");
        if (up)
            json_none(&j);
        else
            json_str(&j, reason_of(h, a, reason));
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
    return REQUEST_DONE;
}

enum request_step metrics_show(struct request *r)
{
    struct response *response = &r->response;
    response->status = 200;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    buf_clear(&response->body);
    metrics_render(http_metrics_registry(server_metrics(r->server)), &response->body);
    return REQUEST_DONE;
}
