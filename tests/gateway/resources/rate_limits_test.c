/* Limits without a Redis, under threads: together they let through what one may, and no more. */
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/gateway.h"
#include "gateway/http/route.h"
#include "gateway/limits/rate_limits.h"
#include "tests/settings.h"

#define THREADS   8
#define ADDRESSES 16
#define QUOTA     200

static const struct setting own_settings[] = {
    { "redis.url", SETTING_TEXT, .def = "redis://127.0.0.1:1/0", .doc = "Nobody listens there." },
    { "gateway.redis_timeout_ms", SETTING_INT, .def = "250", .min = 10, .max = 5000, .doc = "Of Redis." },
    { 0 },
};
static const struct setting *const tables[] = { rate_limits_settings, own_settings, NULL };
static const struct route login = { POST, "/api/v1/auth/login", "login", AUTH_NONE };
static const struct route refresh = { POST, "/api/v1/auth/refresh", "refresh", AUTH_NONE };
static const struct route profile = { GET, "/api/v1/auth/profile", "profile", AUTH_USER };
static const struct route health = { GET, "/api/v1/health/ready", "health", AUTH_NONE };
static const struct route rooms = { GET, "/api/v1/rooms", "rooms", AUTH_USER };

static struct config *config;
static struct metrics *metrics;
static struct gateway gateway;
static atomic_int allowed[ADDRESSES];

static void set_up(void)
{
    config = settings_of(tables, (const char *[]){ "limits.auth_requests=200", "limits.auth_window_s=86400",
                                                   "limits.user_requests=3", "limits.address_requests=0", NULL });
    metrics = metrics_create(gateway_metrics, GATEWAY_METRICS);
    ck_assert_int_eq(rate_limits_create(config, metrics, &gateway.limits), OK);
}

static void tear_down(void)
{
    rate_limits_destroy(gateway.limits);
    metrics_destroy(metrics);
    config_destroy(config);
}

static struct request *request_make(struct request *r, const struct route *route, int address)
{
    *r = (struct request){ .gateway = &gateway, .route = route };
    memcpy(r->client.address.bytes, (const uint8_t[]){ 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, (uint8_t)address }, 8);
    r->client.address.bytes[15] = (uint8_t)rand(); /* somewhere in the /64 */
    arena_init(&r->arena, 0);
    return r;
}

static void request_end(struct request *r)
{
    arena_finish(&r->arena);
    buf_finish(&r->response.body);
}

static void *send_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < QUOTA * ADDRESSES / 2; i++) {
        struct request r;
        int address = i % ADDRESSES;
        if (rate_limits_admit(request_make(&r, &login, address), LIMIT_BY_ADDRESS))
            atomic_fetch_add(&allowed[address], 1);
        request_end(&r);
    }
    return NULL;
}

START_TEST(threads_together_let_through_the_quota_of_each_address)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, send_many, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < ADDRESSES; i++)
        ck_assert_int_eq(atomic_load(&allowed[i]), QUOTA);
    ck_assert_int_eq(metrics_read(metrics, METRIC_LIMITED_AUTH), (THREADS / 2 - 1) * QUOTA * ADDRESSES);
    ck_assert_int_eq(metrics_read(metrics, METRIC_LIMITS_SHARED), 0);
}
END_TEST

START_TEST(what_is_refused_says_when_to_come_back)
{
    struct request r;
    for (int i = 0; i < 3; i++) {
        request_make(&r, &rooms, 1);
        r.claims.user_id.bytes[0] = 7;
        ck_assert(rate_limits_admit(&r, LIMIT_BY_ADDRESS)); /* 0: no limit, nothing to tell */
        ck_assert(rate_limits_admit(&r, LIMIT_BY_USER));
        ck_assert_uint_eq(r.rate_count, 1);
        ck_assert_str_eq(r.rates[0].name, "user");
        ck_assert_int_eq(r.rates[0].remaining, 2 - i);
        request_end(&r);
    }
    request_make(&r, &rooms, 2);
    r.claims.user_id.bytes[0] = 7;
    ck_assert(!rate_limits_admit(&r, LIMIT_BY_USER));
    ck_assert_int_eq(r.response.status, 429);
    ck_assert_str_eq(r.response.headers[0].name, "Retry-After");
    ck_assert_str_eq(r.response.headers[0].value, "20");
    request_end(&r);
}
END_TEST

START_TEST(health_is_free)
{
    for (int i = 0; i < 1000; i++) {
        struct request r;
        ck_assert(rate_limits_admit(request_make(&r, &health, 1), LIMIT_BY_ADDRESS));
        ck_assert_uint_eq(r.rate_count, 0);
        request_end(&r);
    }
}
END_TEST

/* People of one office come from one address, each with a token. */
START_TEST(only_what_strangers_may_ask_counts_against_their_quota)
{
    static const struct route *const known[] = { &refresh, &profile };
    struct request r;
    for (int i = 0; i < 2 * QUOTA; i++)
        for (size_t k = 0; k < 2; k++) {
            ck_assert(rate_limits_admit(request_make(&r, known[k], 1), LIMIT_BY_ADDRESS));
            request_end(&r);
        }
    ck_assert(rate_limits_admit(request_make(&r, &login, 1), LIMIT_BY_ADDRESS));
    ck_assert_str_eq(r.rates[0].name, "auth");
    ck_assert_int_eq(r.rates[0].remaining, QUOTA - 1);
    request_end(&r);
    for (int i = 0; i < 4; i++) { /* that person has three, whichever of the two it is */
        request_make(&r, known[i % 2], 1);
        r.claims.user_id.bytes[0] = 9;
        ck_assert(rate_limits_admit(&r, LIMIT_BY_USER) == (i < 3));
        request_end(&r);
    }
}
END_TEST

/* Otherwise who sends from many addresses would have his own first ones forgotten. */
START_TEST(more_addresses_than_there_is_room_for_do_not_displace_who_has_used_much)
{
    struct request r;
    for (int i = 0; i < QUOTA; i++) {
        ck_assert(rate_limits_admit(request_make(&r, &login, 1), LIMIT_BY_ADDRESS));
        request_end(&r);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        request_make(&r, &login, 2);
        memcpy(r.client.address.bytes + 2, &i, sizeof i);
        rate_limits_admit(&r, LIMIT_BY_ADDRESS);
        request_end(&r);
    }
    ck_assert(!rate_limits_admit(request_make(&r, &login, 1), LIMIT_BY_ADDRESS));
    request_end(&r);
}
END_TEST

static void add(TCase *tests)
{
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, threads_together_let_through_the_quota_of_each_address);
    tcase_add_test(tests, what_is_refused_says_when_to_come_back);
    tcase_add_test(tests, health_is_free);
    tcase_add_test(tests, only_what_strangers_may_ask_counts_against_their_quota);
    tcase_add_test(tests, more_addresses_than_there_is_room_for_do_not_displace_who_has_used_much);
}

int main(void)
{
    return suite_run_together("rate_limits", add);
}
