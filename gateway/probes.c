#include "gateway/probes.h"

#include <stdlib.h>

#include "gateway/gateway.h"
#include "ops/runtime/clock.h"

#define TIMEOUT_MS 1000

struct probes {
    struct pg *pg;
    struct redis *redis;
    const struct producer *producer;
};

static bool ask_postgres(void *context, int64_t *ret_latency_us)
{
    static const struct pg_statement ping = { "probe", "SELECT 1" };
    struct probes *p = context;
    int64_t start = clock_mono_us();
    if (pg_query(p->pg, &ping, NULL, NULL) != OK)
        return false;
    *ret_latency_us = clock_mono_us() - start;
    return true;
}

static bool ask_redis(void *context, int64_t *ret_latency_us)
{
    struct probes *p = context;
    int64_t start = clock_mono_us();
    if (redis_add(p->redis, 1, (struct str[]){ STR("PING") }) != OK || redis_flush(p->redis, NULL, NULL) != OK)
        return false;
    *ret_latency_us = clock_mono_us() - start;
    return true;
}

/* The producer asks by itself; this is only its newest answer. */
static bool ask_kafka(void *context, int64_t *ret_latency_us)
{
    struct probes *p = context;
    int64_t start = clock_mono_us();
    if (!producer_is_up(p->producer))
        return false;
    *ret_latency_us = clock_mono_us() - start;
    return true;
}

struct probes *probes_create(struct gateway *g, struct health_probe ret[PROBES_COUNT])
{
    struct probes *p = mem_alloc(sizeof *p);
    p->pg = pg_create(config_text(g->config, "postgres.dsn"), "aether-gateway-health");
    pg_set_timeout(p->pg, TIMEOUT_MS);
    p->redis = redis_create(config_text(g->config, "redis.url"), TIMEOUT_MS);
    p->producer = g->producer;
    ret[0] = (struct health_probe){ "kafka", true, ask_kafka, p };
    ret[1] = (struct health_probe){ "postgres", true, ask_postgres, p };
    ret[2] = (struct health_probe){ "redis", false, ask_redis, p }; /* slower without it, never wrong */
    return p;
}

void probes_destroy(struct probes *p)
{
    if (!p)
        return;
    pg_destroy(p->pg);
    redis_destroy(p->redis);
    free(p);
}
