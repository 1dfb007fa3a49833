/* A database of the server of AETHER_TEST_REDIS_URL, emptied for a test. */
#pragma once

#include "ops/runtime/redis.h"
#include "tests/suite.h"

/* One command; its reply, when the test wants to see it. */
#define SAY_TO(redis, each, context, ...)                                                                              \
    do {                                                                                                               \
        const struct str argv_[] = { __VA_ARGS__ };                                                                    \
        ck_ok(redis_add((redis), sizeof argv_ / sizeof *argv_, argv_));                                                \
        ck_ok(redis_flush((redis), (each), (context)));                                                                \
    } while (0)

/* The caller's (redis_destroy). */
static inline struct redis *emptied_redis(struct str database)
{
    struct redis *redis = redis_create(suite_server("AETHER_TEST_REDIS_URL"), 1000);
    SAY_TO(redis, NULL, NULL, STR("SELECT"), database);
    SAY_TO(redis, NULL, NULL, STR("FLUSHDB"));
    return redis;
}
