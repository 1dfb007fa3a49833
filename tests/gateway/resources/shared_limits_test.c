/* One limit of two gateways, at a Redis that may fall silent: together they let through the quota and what each may
 * without a grant, never more. Two of them live in this process, behind a relay that holds Redis's answers back. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gateway/gateway.h"
#include "gateway/http/route.h"
#include "gateway/limits/rate_limits.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/redis.h"
#include "ops/runtime/uuid.h"
#include "tests/settings.h"

#define QUOTA    40
#define CREDIT   5
#define GATEWAYS 2
#define CLIENTS  4 /* connections of the relay: one a gateway, and some to spare */

static const struct setting own_settings[] = {
    { "redis.url", SETTING_TEXT, .def = "redis://127.0.0.1:1/0", .doc = "The relay." },
    { "gateway.redis_timeout_ms", SETTING_INT, .def = "30000", .min = 10, .max = 60000, .doc = "Longer than a test." },
    { 0 },
};
static const struct setting *const tables[] = { rate_limits_settings, own_settings, NULL };
static const struct route login = { POST, "/api/v1/auth/login", "login", AUTH_NONE };

/* --- the relay --- */

static struct {
    pthread_t thread;
    int listener;
    struct sockaddr_in server;
    int sides[CLIENTS][2]; /* gateway, Redis */
    nfds_t count;
    atomic_bool held, stopping;
} relay;

/* Check's assertions are the main thread's. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static void relay_accept(void)
{
    int *sides = relay.sides[relay.count];
    sides[0] = accept(relay.listener, NULL, NULL);
    sides[1] = socket(AF_INET, SOCK_STREAM, 0);
    must(relay.count < CLIENTS && sides[0] >= 0 && sides[1] >= 0);
    must(connect(sides[1], (struct sockaddr *)&relay.server, sizeof relay.server) == 0);
    relay.count++;
}

static void *relay_run(void *unused)
{
    (void)unused;
    while (!atomic_load(&relay.stopping)) {
        struct pollfd fds[1 + 2 * CLIENTS] = { { relay.listener, POLLIN, 0 } };
        const nfds_t clients = relay.count;
        for (nfds_t i = 0; i < clients; i++)
            for (nfds_t k = 0; k < 2; k++)
                fds[1 + 2 * i + k] = (struct pollfd){ relay.sides[i][k], POLLIN, 0 };
        if (poll(fds, 1 + 2 * clients, 1) <= 0)
            continue;
        for (nfds_t i = 0; i < 2 * clients; i++) {
            char bytes[4096];
            const bool answer = i % 2 == 1;
            if (!fds[1 + i].revents || (answer && atomic_load(&relay.held)))
                continue;
            const ssize_t n = read(fds[1 + i].fd, bytes, sizeof bytes);
            if (n > 0)
                must(write(relay.sides[i / 2][!answer], bytes, (size_t)n) == n);
        }
        if (fds[0].revents)
            relay_accept();
    }
    return NULL;
}

/* Returns the port. */
static int relay_start(void)
{
    int port;
    ck_assert_int_eq(sscanf(suite_server("AETHER_TEST_REDIS_URL"), "redis://127.0.0.1:%d", &port), 1);
    relay.server = (struct sockaddr_in){ .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof any;
    relay.listener = socket(AF_INET, SOCK_STREAM, 0);
    relay.count = 0;
    atomic_store(&relay.held, false);
    atomic_store(&relay.stopping, false);
    ck_assert_int_eq(bind(relay.listener, (struct sockaddr *)&any, size), 0);
    ck_assert_int_eq(listen(relay.listener, CLIENTS), 0);
    ck_assert_int_eq(getsockname(relay.listener, (struct sockaddr *)&any, &size), 0);
    ck_assert_int_eq(pthread_create(&relay.thread, NULL, relay_run, NULL), 0);
    return ntohs(any.sin_port);
}

static void relay_stop(void)
{
    atomic_store(&relay.stopping, true);
    pthread_join(relay.thread, NULL);
    for (nfds_t i = 0; i < relay.count; i++) {
        close(relay.sides[i][0]);
        close(relay.sides[i][1]);
    }
    close(relay.listener);
}

/* --- two gateways --- */

static struct config *config;
static struct gateway gateways[GATEWAYS];
static struct redis *redis;
static struct address client; /* nobody has used it before */

static void set_up(void)
{
    char url[64];
    snprintf(url, sizeof url, "redis.url=redis://127.0.0.1:%d/0", relay_start());
    config =
        settings_of(tables, (const char *[]){ url, "limits.auth_requests=40", "limits.auth_window_s=86400", NULL });
    for (int i = 0; i < GATEWAYS; i++) {
        gateways[i].metrics = metrics_create(gateway_metrics, GATEWAY_METRICS);
        ck_assert_int_eq(rate_limits_create(config, gateways[i].metrics, &gateways[i].limits), OK);
        ck_assert_int_eq(metrics_read(gateways[i].metrics, METRIC_LIMITS_SHARED), 1);
    }
    redis = redis_create(suite_server("AETHER_TEST_REDIS_URL"), 5000);
    const struct uuid random = uuid_v7(clock_wall_ms());
    memcpy(client.bytes, random.bytes + 8, 8);
    client.bytes[0] = 0x20;
}

static void tear_down(void)
{
    atomic_store(&relay.held, false);
    for (int i = 0; i < GATEWAYS; i++) {
        rate_limits_destroy(gateways[i].limits);
        metrics_destroy(gateways[i].metrics);
    }
    relay_stop();
    redis_destroy(redis);
    config_destroy(config);
}

enum answer { REFUSED, NOT_GRANTED, ALLOWED };

static enum answer ask(int at)
{
    struct request r = { .gateway = &gateways[at], .route = &login, .client.address = client };
    arena_init(&r.arena, 0);
    const bool allowed = rate_limits_admit(&r, LIMIT_BY_ADDRESS);
    const enum answer answer = allowed ? ALLOWED : r.rates[0].remaining > 0 ? NOT_GRANTED : REFUSED;
    if (answer == NOT_GRANTED)
        must(strcmp(r.response.headers[0].value, "1") == 0); /* Retry-After */
    arena_finish(&r.arena);
    buf_finish(&r.response.body);
    return answer;
}

/* How many of so many at once come through. */
static int burst(int at, int count)
{
    int allowed = 0;
    for (int i = 0; i < count; i++)
        allowed += ask(at) == ALLOWED;
    return allowed;
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

/* Asks until the quota is used up as that gateway sees it; how many came through. Any thread. */
static int use_up(int at)
{
    int allowed = 0;
    const int64_t until_us = clock_mono_us() + 20000000;
    for (enum answer answer; (answer = ask(at)) != REFUSED;) {
        allowed += answer == ALLOWED;
        must(clock_mono_us() < until_us); /* a grant comes */
        if (answer == NOT_GRANTED)
            pause_ms(1);
    }
    return allowed;
}

START_TEST(while_redis_is_silent_each_lets_through_what_needs_no_grant)
{
    atomic_store(&relay.held, true);
    ck_assert_int_eq(burst(0, 100), CREDIT);
    ck_assert_int_eq(burst(1, 100), CREDIT);
    pause_ms(20); /* being told and not answered is no excuse for more */
    ck_assert_int_eq(burst(0, 100) + burst(1, 100), 0);
    atomic_store(&relay.held, false);
    const int after = use_up(0) + use_up(1);
    ck_assert_int_le(after, QUOTA - 2 * CREDIT + GATEWAYS * CREDIT);
    ck_assert_int_ge(after, QUOTA - 2 * CREDIT - QUOTA / 4);
}
END_TEST

/* The last answer that each has says that much is left: what then comes through at once is the most that can. */
START_TEST(whenever_redis_falls_silent_they_let_through_no_more_than_the_bound)
{
    for (int silent_after = 1; silent_after <= QUOTA; silent_after += 3) {
        set_up();
        int allowed = 0;
        for (int i = 0; allowed < silent_after && i < 1000; i++) {
            const enum answer answer = ask(i % GATEWAYS);
            allowed += answer == ALLOWED;
            if (answer != ALLOWED)
                pause_ms(1);
        }
        atomic_store(&relay.held, true);
        allowed += burst(0, 100) + burst(1, 100);
        atomic_store(&relay.held, false);
        for (int round = 0; round < 5; round++)
            allowed += burst(0, 10) + burst(1, 10);
        allowed += use_up(0) + use_up(1);
        ck_assert_int_le(allowed, QUOTA + GATEWAYS * CREDIT);
        tear_down();
    }
}
END_TEST

START_TEST(one_gateway_alone_lets_through_the_quota)
{
    ck_assert_int_eq(use_up(0), QUOTA);
    ck_assert_int_le(use_up(1), CREDIT);
}
END_TEST

static _Atomic int let_through;

static void *use_up_at(void *at)
{
    atomic_fetch_add(&let_through, use_up((int)(intptr_t)at));
    return NULL;
}

START_TEST(threads_at_both_let_through_the_quota_and_at_most_the_bound)
{
    pthread_t threads[4 * GATEWAYS];
    atomic_store(&let_through, 0);
    for (intptr_t i = 0; i < 4 * GATEWAYS; i++)
        pthread_create(&threads[i], NULL, use_up_at, (void *)(i % GATEWAYS));
    for (int i = 0; i < 4 * GATEWAYS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_le(atomic_load(&let_through), QUOTA + GATEWAYS * CREDIT);
    const int64_t until_us = clock_mono_us() + 20000000;
    while (atomic_load(&let_through) < QUOTA) { /* what one holds and does not use comes back */
        ck_assert_msg(clock_mono_us() < until_us, "a lease is not given back; %d so far", atomic_load(&let_through));
        atomic_fetch_add(&let_through, (ask(0) == ALLOWED) + (ask(1) == ALLOWED));
        pause_ms(50);
    }
    ck_assert_int_le(atomic_load(&let_through), QUOTA + GATEWAYS * CREDIT);
}
END_TEST

START_TEST(what_one_was_granted_and_does_not_use_is_the_others)
{
    for (int i = 0; i < 3; i++) /* the second one asks for a lease */
        while (ask(0) != ALLOWED)
            pause_ms(1);
    int allowed = 3;
    const int64_t until_us = clock_mono_us() + 20000000;
    for (; allowed < QUOTA; pause_ms(5)) {
        allowed += ask(1) == ALLOWED;
        ck_assert_msg(clock_mono_us() < until_us, "the other one still holds %d", QUOTA - allowed);
    }
    ck_assert_int_le(allowed + use_up(1), QUOTA + CREDIT);
}
END_TEST

/* The key of the test's address; -1: it is not there. */
static void read_integer(void *context, size_t index, const redisReply *reply)
{
    (void)index;
    *(int64_t *)context = reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : -1;
}

static const char *key(char ret[128])
{
    const struct address network = client_network(client);
    int len = snprintf(ret, 128, "aether:limit:auth:%d:86400:", QUOTA);
    for (size_t i = 0; i < sizeof network.bytes; i++)
        len += snprintf(ret + len, 128 - (size_t)len, "%02x", network.bytes[i]);
    return ret;
}

/* A Redis that lost its data, or another gateway's clock. */
START_TEST(what_redis_says_lowers_no_limit)
{
    char text[128];
    int allowed = 0;
    while (allowed < QUOTA / 2)
        allowed += ask(0) == ALLOWED;
    ck_ok(redis_add(redis, 2, (struct str[]){ STR("DEL"), str_of(key(text)) }));
    ck_ok(redis_flush(redis, NULL, NULL));
    allowed += use_up(0);
    ck_assert_int_eq(allowed, QUOTA);
    int64_t tat = -1;
    ck_ok(redis_add(redis, 2, (struct str[]){ STR("GET"), str_of(key(text)) }));
    ck_ok(redis_flush(redis, read_integer, &tat));
    ck_assert_msg(tat > 0, "it was told again");
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, while_redis_is_silent_each_lets_through_what_needs_no_grant);
    tcase_add_test(tests, one_gateway_alone_lets_through_the_quota);
    tcase_add_test(tests, threads_at_both_let_through_the_quota_and_at_most_the_bound);
    tcase_add_test(tests, what_one_was_granted_and_does_not_use_is_the_others);
    tcase_add_test(tests, what_redis_says_lowers_no_limit);
}

int main(void)
{
    (void)suite_server("AETHER_TEST_REDIS_URL");
    Suite *suite = suite_create("shared limits");
    TCase *tests = suite_case("shared limits"), *many = suite_case("many gateways");
    add(tests);
    tcase_add_test(many, whenever_redis_falls_silent_they_let_through_no_more_than_the_bound);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, many);
    return suite_run_as(suite, CK_NOFORK);
}
