#include "gateway/probes.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/outcome/owner.h"
#include "gateway/commands/dispatch.h"
#include "gateway/gateway.h"
#include "ops/runtime/clock.h"

#define TIMEOUT_MS 1000

struct probes {
    struct pg *pg, *owners_pg;
    struct redis *redis;
    const struct producer *producer;
    const struct dispatch *dispatch;
    _Atomic bool redis_is_up;
};

static bool ask_postgres(void *context, struct health_answer *ret)
{
    static const struct pg_statement ping = { "probe", "SELECT 1" };
    struct probes *p = context;
    int64_t start = clock_mono_us();
    if (pg_query(p->pg, &ping, NULL, NULL) != OK)
        return false;
    ret->latency_us = clock_mono_us() - start;
    return true;
}

static bool ask_redis(void *context, struct health_answer *ret)
{
    struct probes *p = context;
    int64_t start = clock_mono_us();
    const bool up =
        redis_add(p->redis, 1, (struct str[]){ STR("PING") }) == OK && redis_flush(p->redis, NULL, NULL) == OK;
    atomic_store(&p->redis_is_up, up);
    if (!up)
        return false;
    ret->latency_us = clock_mono_us() - start;
    return true;
}

/* The producer asks by itself; this is only its newest answer. */
static bool ask_kafka(void *context, struct health_answer *ret)
{
    struct probes *p = context;
    int64_t start = clock_mono_us();
    if (!producer_is_up(p->producer))
        return false;
    ret->latency_us = clock_mono_us() - start;
    return true;
}

/* The outcomes of commands come over Redis, or slower from PostgreSQL while it is away. */
static bool ask_replies(void *context, struct health_answer *ret)
{
    struct probes *p = context;
    if (dispatch_replies_up(p->dispatch) || !atomic_load(&p->redis_is_up))
        return true;
    snprintf(ret->reason, sizeof ret->reason, "the channel of replies is not open yet");
    return false;
}

static bool ask_workers(void *context, struct health_answer *ret)
{
    struct probes *p = context;
    int64_t start = clock_mono_us();
    if (owner_missing(p->owners_pg, ret->reason, sizeof ret->reason) != OK) {
        snprintf(ret->reason, sizeof ret->reason, "PostgreSQL does not tell who decides");
        return false;
    }
    ret->latency_us = clock_mono_us() - start;
    return !*ret->reason;
}

struct probes *probes_create(struct gateway *g, struct health_probe ret[PROBES_COUNT])
{
    struct probes *p = mem_alloc(sizeof *p);
    p->pg = pg_create(config_text(g->config, "postgres.dsn"), "aether-gateway-health");
    pg_set_timeout(p->pg, TIMEOUT_MS);
    p->owners_pg = pg_create(config_text(g->config, "postgres.dsn"), "aether-gateway-health");
    pg_set_timeout(p->owners_pg, TIMEOUT_MS);
    p->redis = redis_create(config_text(g->config, "redis.url"), TIMEOUT_MS);
    p->producer = g->producer;
    p->dispatch = g->dispatch;
    atomic_store(&p->redis_is_up, true); /* until it is known better, replies are waited for */
    ret[0] = (struct health_probe){ "kafka", HEALTH_REQUIRED, ask_kafka, p };
    ret[1] = (struct health_probe){ "postgres", HEALTH_REQUIRED, ask_postgres, p };
    ret[2] = (struct health_probe){ "redis", HEALTH_OPTIONAL, ask_redis, p }; /* slower without it, never wrong */
    ret[3] = (struct health_probe){ "replies", HEALTH_TO_BEGIN, ask_replies, p };
    ret[4] = (struct health_probe){ "workers", HEALTH_TO_BEGIN, ask_workers, p };
    return p;
}

void probes_destroy(struct probes *p)
{
    if (!p)
        return;
    pg_destroy(p->pg);
    pg_destroy(p->owners_pg);
    redis_destroy(p->redis);
    free(p);
}
