/* aether-gateway: HTTP in front of the log. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/accounts/password.h"
#include "gateway/docs/docs.h"
#include "gateway/gateway.h"
#include "gateway/http/json_arena.h"
#include "gateway/http/server.h"
#include "gateway/limits/delay.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/limits/throttle.h"
#include "gateway/live/live.h"
#include "gateway/probes.h"
#include "gateway/tokens/access.h"
#include "gateway/tokens/keys.h"
#include "gateway/tokens/token.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "ops/runtime/processors.h"
#include "ops/runtime/program.h"
#include "ops/runtime/stop.h"
#include "topics/topics.h"

#define GRACE_US 1500000 /* for outcomes that are on their way when we are asked to stop */

static const struct setting *const tables[] = {
    docs_settings,     http_settings,     gateway_settings, token_settings,   keys_settings,       rate_limits_settings,
    password_settings, throttle_settings, delay_settings,   access_settings,  live_settings,       vault_settings,
    producer_settings, codec_settings,    topics_settings,  runtime_settings, processors_settings, NULL,
};

struct program {
    struct config *config;
    struct http_metrics *metrics;
    struct gateway *gateway;
    struct probes *probes;
    struct health *health;
    struct server *server;
};

static err program_start(struct program *p)
{
    p->metrics = http_metrics_create(routes, gateway_metrics, GATEWAY_METRICS);
    TRY(gateway_create(p->config, http_metrics_registry(p->metrics), &p->gateway));
    struct health_probe probes[PROBES_COUNT];
    p->probes = probes_create(p->gateway, probes);
    TRY(health_create(probes, PROBES_COUNT, &p->health));
    const struct server_options options = {
        .config = p->config,
        .routes = routes,
        .aliases = route_aliases,
        .metrics = p->metrics,
        .health = p->health,
        .gateway = p->gateway,
        .authenticate = token_authenticate,
        .admit = access_admit,
        .limit = rate_limits_admit,
        .hash_key = p->gateway->hash_key,
        .deadline_ms = config_int(p->config, "gateway.deadline_ms"),
        .kept_sockets = live_max_connections(p->config),
    };
    return server_create(&options, &p->server);
}

static void wait_for_stop(void)
{
    struct pollfd p = { .fd = stop_fd(), .events = POLLIN };
    while (!stop_requested())
        (void)poll(&p, 1, -1);
}

/* From the outside in: no new connections; outcomes that come soon are waited for, the others are answered 202; then
 * the server ends, and behind it the threads that might still hold one of its requests. */
static void program_stop(struct program *p)
{
    if (p->server) {
        server_quiesce(p->server);
        int64_t until_us = clock_mono_us() + GRACE_US;
        while (dispatch_waiting(p->gateway->dispatch) > 0 && clock_mono_us() < until_us)
            (void)poll(NULL, 0, 10);
        dispatch_hurry(p->gateway->dispatch);
        server_stop(p->server);
    }
    health_destroy(p->health); /* its probes look at the producer */
    probes_destroy(p->probes);
    if (p->gateway)
        gateway_drain(p->gateway);
    server_destroy(p->server);
    gateway_destroy(p->gateway);
    http_metrics_destroy(p->metrics);
    config_destroy(p->config);
}

int main(int argc, char **argv)
{
    struct program p = { 0 };
    if (!program_begin("aether-gateway",
                       "Answers Aether's REST API: commands go to the log, reads come from the projections.", tables,
                       argc, argv, &p.config))
        return PROGRAM_USAGE;
    json_arena_init(); /* before any thread parses a schema */
    int status = EXIT_SUCCESS;
    if (program_start(&p) == OK) {
        LOG(INFO, "gateway listens", F_STR("address", config_text(p.config, "gateway.address")),
            F_INT("port", server_port(p.server)), F_UUID("gateway", p.gateway->id));
        wait_for_stop();
        LOG(INFO, "gateway stops");
    } else {
        LOG(ERROR, "gateway cannot start", F_ERR);
        status = EXIT_FAILURE;
    }
    program_stop(&p);
    return status;
}
