#include "gateway/tokens/access.h"

#include <pthread.h>
#include <stdlib.h>

#include "consumers/users/cache.h"
#include "gateway/gateway.h"
#include "gateway/tokens/token.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

/* Sets of four under the session's id, which is random at its end; a lock for each 16th set. */
#define SETS  2048
#define WAYS  4
#define LOCKS 128

struct known {
    struct uuid session;
    int64_t found_us; /* 0: empty */
    int64_t asked_us; /* the newest request that went to ask */
    enum access_state state;
    uint32_t roles;
};

struct access_memory {
    int64_t recheck_us;
    pthread_mutex_t locks[LOCKS];
    struct known sets[SETS][WAYS];
};

const struct setting access_settings[] = {
    { "auth.recheck_ms", SETTING_INT, .def = "450", .min = 1, .max = 60000, .unit = "ms",
      .doc = "How long a session is taken to live before it is asked for again; twice that is the longest that an "
             "ended one goes on." },
    { "auth.refresh_retry_s", SETTING_INT, .def = "30", .min = 0, .max = 3600, .unit = "s",
      .doc =
          "How long a refresh that is repeated under its Idempotency-Key gets the same answer; later it is a replay." },
    { 0 },
};

struct access_memory *access_memory_create(const struct config *config)
{
    struct access_memory *m = mem_alloc(sizeof *m);
    m->recheck_us = config_int(config, "auth.recheck_ms") * 1000;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&m->locks[i], NULL);
    return m;
}

void access_memory_destroy(struct access_memory *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&m->locks[i]);
    free(m);
}

/* --- the memory --- */

static size_t set_of(struct uuid session)
{
    return (session.bytes[14] | (size_t)session.bytes[15] << 8) % SETS;
}

static struct known *known_find(struct known ways[WAYS], struct uuid session)
{
    for (size_t i = 0; i < WAYS; i++)
        if (ways[i].found_us > 0 && uuid_equal(ways[i].session, session))
            return &ways[i];
    return NULL;
}

bool access_recall(struct access_memory *m, struct uuid session, int64_t now_us, enum access_state *ret_state,
                   uint32_t *ret_roles)
{
    size_t set = set_of(session);
    pthread_mutex_lock(&m->locks[set % LOCKS]);
    struct known *k = known_find(m->sets[set], session);
    bool good = false;
    if (k) {
        int64_t age = now_us - k->found_us;
        bool asking = now_us - k->asked_us < m->recheck_us;
        good = age < m->recheck_us || (asking && age < 2 * m->recheck_us);
        if (good) {
            *ret_state = k->state;
            *ret_roles = k->roles;
        } else {
            k->asked_us = now_us;
        }
    }
    pthread_mutex_unlock(&m->locks[set % LOCKS]);
    return good;
}

void access_remember(struct access_memory *m, struct uuid session, int64_t asked_us, enum access_state state,
                     uint32_t roles)
{
    size_t set = set_of(session);
    pthread_mutex_lock(&m->locks[set % LOCKS]);
    struct known *ways = m->sets[set], *k = known_find(ways, session);
    if (!k) { /* the one that was found the longest ago makes room */
        k = &ways[0];
        for (size_t i = 1; i < WAYS; i++)
            if (ways[i].found_us < k->found_us)
                k = &ways[i];
        *k = (struct known){ .session = session };
    }
    /* Two that asked may come back in either order. */
    if (asked_us > k->found_us) {
        k->found_us = k->asked_us = asked_us;
        k->state = state;
        k->roles = roles;
    }
    pthread_mutex_unlock(&m->locks[set % LOCKS]);
}

/* --- asking --- */

err access_ask(struct gateway *g, struct pool_thread *thread, struct access *items, size_t count,
               struct account_cache_entry *accounts)
{
    struct redis *redis = dispatch_doubts_cache(g->dispatch) ? NULL : pool_redis(thread);
    bool redis_failed = false;
    err e = access_check(redis, thread->pg, &thread->arena, items, count, clock_wall_ms(), accounts, &redis_failed);
    if (redis_failed)
        pool_redis_failed(thread);
    const int64_t now = clock_wall_ms();
    for (size_t i = 0; i < count && e == OK; i++)
        if (token_session_end(g->tokens, items[i].session) <= now)
            items[i].live = false;
    return e;
}

void access_refuse_suspended(struct request *r, int64_t until)
{
    char end[RFC3339_LEN + 1] = "";
    if (until > 0)
        clock_rfc3339(until, end);
    problem(r, 403, "account_suspended", NULL, "This account is suspended%s%s.", until > 0 ? " until " : "", end);
}

/* --- the hook --- */

static void admit(struct request *r, enum access_state state, uint32_t roles, int64_t suspended_until)
{
    switch (state) {
    case ACCESS_LIVE:
        r->claims.roles = roles;
        break;
    case ACCESS_SUSPENDED:
        access_refuse_suspended(r, suspended_until);
        break;
    case ACCESS_ENDED:
        problem(r, 401, "session_ended", NULL, "The session of this token has ended; log in again.");
        response_header(
            r, "WWW-Authenticate",
            "Bearer realm=\"aether\", error=\"invalid_token\", error_description=\"The session has ended.\"");
        break;
    }
}

static void access_look(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct gateway *g = requests[0]->gateway;
    struct access *items = ARENA_ARRAY(&thread->arena, struct access, count);
    int64_t asked_us = clock_mono_us();
    for (size_t i = 0; i < count; i++)
        items[i] = (struct access){ .user = requests[i]->claims.user_id, .session = requests[i]->claims.session_id };
    err e = access_ask(g, thread, items, count, NULL);
    for (size_t i = 0; i < count; i++) {
        const struct access *a = &items[i];
        if (e != OK) {
            problem_err(requests[i], e);
            continue;
        }
        enum access_state state = a->suspended ? ACCESS_SUSPENDED : a->live ? ACCESS_LIVE : ACCESS_ENDED;
        access_remember(g->access, a->session, asked_us, state, a->roles);
        admit(requests[i], state, a->roles, a->suspended_until);
    }
}

enum request_step access_admit(struct request *r)
{
    enum access_state state;
    uint32_t roles;
    if (!access_recall(r->gateway->access, r->claims.session_id, clock_mono_us(), &state, &roles) ||
        state == ACCESS_SUSPENDED)
        return pool_run_batched(r->gateway->reads, r, access_look);
    admit(r, state, roles, 0);
    return REQUEST_DONE;
}
