/* redis_fixture: what the tests on a real Redis share. AETHER_TEST_REDIS_URL is a server to talk to; the tests that
 * stop, pause or restart one start a redis-server of their own. */
#pragma once

#include "ops/runtime/redis.h"
#include "tests/suite.h"

#define TIMEOUT_MS 1000

extern const char *url; /* of the shared server; set by main */
extern struct redis *r;

/* A server of our own. */
extern struct own_server {
    pid_t pid;
    int port;
    char url[64];
} server;

void server_start(void); /* also again, on the same port */
void server_stop(void);  /* kill -9 */

void redis_setup(void);     /* r is a connection to the shared server, */
void redis_setup_own(void); /* or to our own, which is started */
void redis_teardown(void);

#define REPLIES_MAX 64

/* The replies that a flush brought. */
struct seen {
    size_t count;
    int types[REPLIES_MAX];
    long long integers[REPLIES_MAX];
    char texts[REPLIES_MAX][64];
};

redis_each see;

MUST_CHECK err add(const char *first, ...);
#define ADD(...) add(__VA_ARGS__, (const char *)NULL)

/* One command; its reply. */
#define ASK(into, ...)                                                                                                 \
    do {                                                                                                               \
        memset((into), 0, sizeof *(into));                                                                             \
        ck_ok(ADD(__VA_ARGS__));                                                                                       \
        ck_ok(redis_flush(r, see, (into)));                                                                            \
    } while (0)

/* The script that adds to runtime_test:n. */
MUST_CHECK err add_increment(const char *by);
