#include "gateway/limits/rate_limits.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/http/route.h"
#include "gateway/limits/gcra.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/condition.h"
#include "ops/runtime/log.h"

#define SETS    4096
#define WAYS    8
#define ENTRIES (SETS * WAYS)
#define LOCKS   256
#define BATCH   256
#define TELL_US 1000000 /* what was used is told after so long at the latest; a lease is given back */

/* What a gateway may let through of a key that Redis has not granted: an eighth of the quota, at least five. */
#define CREDIT_PART 8
#define CREDIT_MIN  5
#define ID_LEN      16
#define KEY_MAX     96

enum policy { POLICY_AUTH, POLICY_ADDRESS, POLICY_USER, POLICIES, POLICY_NONE = POLICIES };

static const struct {
    const char *name, *requests, *window; /* settings */
    const char *detail;
    enum gateway_metric refused;
} policies[POLICIES] = {
    [POLICY_AUTH] = { "auth", "limits.auth_requests", "limits.auth_window_s",
                      "Too many requests about logging in come from this address.", METRIC_LIMITED_AUTH },
    [POLICY_ADDRESS] = { "address", "limits.address_requests", "limits.address_window_s",
                         "Too many requests come from this address.", METRIC_LIMITED_ADDRESS },
    [POLICY_USER] = { "user", "limits.user_requests", "limits.user_window_s", "This account sends too many requests.",
                      METRIC_LIMITED_USER },
};

const struct setting rate_limits_settings[] = {
    { "limits.auth_requests", SETTING_INT, .def = "100", .min = 0, .max = 1000000000, .unit = "requests",
      .doc = "Requests to register or log in that one address (IPv6: one /64) may send in limits.auth_window_s; more "
             "are answered 429. 0: no limit." },
    { "limits.auth_window_s", SETTING_INT, .def = "900", .min = 1, .max = 86400, .unit = "s",
      .doc = "The time that limits.auth_requests are for." },
    { "limits.address_requests", SETTING_INT, .def = "60000", .min = 0, .max = 1000000000, .unit = "requests",
      .doc = "All other requests that one address (IPv6: one /64) may send in limits.address_window_s. 0: no limit." },
    { "limits.address_window_s", SETTING_INT, .def = "60", .min = 1, .max = 86400, .unit = "s",
      .doc = "The time that limits.address_requests are for." },
    { "limits.user_requests", SETTING_INT, .def = "6000", .min = 0, .max = 1000000000, .unit = "requests",
      .doc = "Requests that one person may send in limits.user_window_s, from wherever. 0: no limit." },
    { "limits.user_window_s", SETTING_INT, .def = "60", .min = 1, .max = 86400, .unit = "s",
      .doc = "The time that limits.user_requests are for." },
    { 0 },
};

/* What counts against what; the first row that fits. */
static const struct {
    const char *prefix;
    bool strangers; /* only where nobody shows who they are */
    enum policy by_address, by_user;
} paths[] = {
    { "/api/v1/auth/refresh", false, POLICY_ADDRESS, POLICY_USER }, /* its token names the person */
    { "/api/v1/auth/", true, POLICY_AUTH, POLICY_NONE },
    { "/api/v1/health", false, POLICY_NONE, POLICY_NONE },
    { "/metrics", false, POLICY_NONE, POLICY_NONE },
    { "", false, POLICY_ADDRESS, POLICY_USER },
};

/* KEYS[1]: "aether:limit:<policy>:<requests>:<window>:<id>" (so another quota counts anew), its TAT in microseconds of
 * Redis's clock. ARGV: how far the requests that were let through without a grant move it on (back: a lease that was not
 * used), the microseconds of one request and of the window, and the least to grant while there is as much; 0: no grant.
 * Returns how far it is ahead of now, and the requests granted, which are in that. */
static const struct redis_script tell_script = {
    "local time = redis.call('TIME') "
    "local now = time[1] * 1000000 + time[2] "
    "local tat = math.max(math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1], now) "
    "local grant = 0 "
    "if tonumber(ARGV[4]) > 0 then "
    "  local left = math.floor((ARGV[3] - (tat - now) + 1) / ARGV[2]) "
    "  grant = math.max(0, math.min(left, math.max(tonumber(ARGV[4]), math.floor(left / 4)))) "
    "end "
    "tat = tat + grant * ARGV[2] "
    "redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1) "
    "return { math.ceil(tat - now), grant }"
};

struct entry {
    uint8_t id[ID_LEN];
    uint8_t policy;      /* + 1; 0: nobody's */
    bool waits, hurries; /* its index is in rate_limits.waiting and .hurrying */
    uint32_t lease;      /* requests that Redis has granted and that have not come */
    uint32_t granted;    /* the last time */
    uint32_t untold;     /* requests that were let through without a grant and that Redis has not been told of */
    uint32_t under_way;  /* and those that it is being told of */
    int64_t own_ns;      /* TAT of what this gateway let through */
    int64_t shared_ns;   /* TAT of what all did, as far as this one knows */
    int64_t used_ns;     /* when it was asked for last */
    int64_t told_ns;     /* when Redis was told last; 0: never */
};

/* Indices of entries, each at most once. */
struct indices {
    uint32_t *items;
    size_t count;
};

/* What is being told to Redis. */
struct told {
    uint32_t index, untold;
    uint8_t policy;
    uint8_t id[ID_LEN];
    char key[KEY_MAX];
    char moved_us[24], interval_us[24], window_us[24], least[12];
    struct str argv[5]; /* of tell_script: the texts above */
};

struct rate_limits {
    struct quota quotas[POLICIES];
    uint32_t credits[POLICIES];
    struct metrics *metrics;
    uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* so that nobody chooses who shares a set with whom */
    pthread_mutex_t locks[LOCKS];                /* each of every LOCKSth set */
    struct entry *entries;

    pthread_mutex_t lock; /* of what follows; taken inside of one of `locks` */
    pthread_cond_t wake;
    struct indices waiting, hurrying;
    bool stopping;

    struct indices waited; /* the thread's: `waiting` of the second that has passed */

    struct redis *redis; /* the thread's */
    atomic_bool up;      /* Redis answered last: what is granted counts */
    pthread_t thread;
    bool started;
    struct told batch[BATCH];
};

static int64_t now_ns(void)
{
    return clock_mono_us() * 1000;
}

/* --- the table --- */

static pthread_mutex_t *lock_of(struct rate_limits *l, size_t index)
{
    return &l->locks[index / WAYS % LOCKS];
}

static size_t set_of(const struct rate_limits *l, enum policy policy, const uint8_t id[ID_LEN])
{
    uint8_t input[ID_LEN + 1], hash[crypto_shorthash_BYTES];
    uint64_t number;
    memcpy(input, id, ID_LEN);
    input[ID_LEN] = (uint8_t)policy;
    crypto_shorthash(hash, input, sizeof input, l->hash_key);
    memcpy(&number, hash, sizeof number);
    return (size_t)(number % SETS) * WAYS;
}

static bool is_of(const struct entry *e, uint8_t policy, const uint8_t id[ID_LEN])
{
    return e->policy == policy + 1 && memcmp(e->id, id, ID_LEN) == 0;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t tat_of(const struct entry *e)
{
    return later(e->own_ns, e->shared_ns);
}

static struct entry *claim(struct rate_limits *l, size_t set, enum policy policy, const uint8_t id[ID_LEN])
{
    struct entry *least = &l->entries[set];
    for (struct entry *e = least; e < &l->entries[set + WAYS]; e++) {
        if (is_of(e, (uint8_t)policy, id))
            return e;
        if (tat_of(e) < tat_of(least))
            least = e;
    }
    /* Whether it waits or hurries is the place's business and stays. */
    *least = (struct entry){ .policy = (uint8_t)(policy + 1), .waits = least->waits, .hurries = least->hurries };
    memcpy(least->id, id, ID_LEN);
    return least;
}

static void add(struct indices *list, bool *is_in, size_t index)
{
    if (!*is_in)
        list->items[list->count++] = (uint32_t)index;
    *is_in = true;
}

static bool is_old(const struct entry *e, int64_t now)
{
    return now - e->told_ns >= TELL_US * 1000;
}

/* One request has been let through, or refused, perhaps for what others did not use in the end. */
static void note(struct rate_limits *l, struct entry *e, int64_t now)
{
    size_t index = (size_t)(e - l->entries);
    e->used_ns = now;
    bool wants = e->untold > 0 || 2 * e->lease < e->granted;
    bool hurry = is_old(e, now) || (wants && atomic_load(&l->up));
    if (hurry ? e->hurries : e->waits)
        return;
    pthread_mutex_lock(&l->lock);
    if (hurry)
        add(&l->hurrying, &e->hurries, index);
    else
        add(&l->waiting, &e->waits, index);
    pthread_mutex_unlock(&l->lock);
    if (hurry)
        pthread_cond_signal(&l->wake);
}

/* The request is one of those that Redis has granted, or one of the few that need no grant. Redis away: this gateway's
 * own count is all there is. */
static bool is_granted(struct rate_limits *l, struct entry *e, enum policy policy)
{
    if (e->lease > 0) {
        e->lease--;
        return true;
    }
    if (atomic_load(&l->up) && e->untold + e->under_way >= l->credits[policy])
        return false;
    e->untold++;
    return true;
}

static struct gcra take(struct rate_limits *l, enum policy policy, const uint8_t id[ID_LEN])
{
    const struct quota *q = &l->quotas[policy];
    int64_t now = now_ns();
    size_t set = set_of(l, policy, id);
    pthread_mutex_lock(lock_of(l, set));
    struct entry *e = claim(l, set, policy, id);
    int64_t tat = tat_of(e);
    struct gcra g = gcra_take(q, now, &tat);
    if (g.allowed) {
        if (is_granted(l, e, policy)) {
            e->own_ns = later(e->own_ns, now) + q->interval_ns;
            e->shared_ns = later(e->shared_ns, now) + q->interval_ns;
        } else {
            g.allowed = false;
            g.remaining++; /* it was not taken */
            g.reset_ns = later(tat_of(e) - now, 0);
            g.retry_ns = NS_A_SECOND;
        }
    }
    note(l, e, now);
    pthread_mutex_unlock(lock_of(l, set));
    return g;
}

/* --- Redis --- */

static void write_us(char *to, size_t size, int64_t ns)
{
    snprintf(to, size, "%.3f", (double)ns / 1000.0);
}

/* false: there is nothing to tell. */
static bool take_untold(struct rate_limits *l, uint32_t index, struct told *ret)
{
    struct entry *e = &l->entries[index];
    const int64_t now = now_ns();
    pthread_mutex_lock(lock_of(l, index));
    const int policy = e->policy - 1;
    const bool idle = now - e->used_ns >= TELL_US * 1000;
    const uint32_t given_back = idle ? e->lease : 0;
    ret->untold = e->untold;
    /* Who comes once needs no lease: the second request within a second asks for one. */
    const bool asks = !idle && 2 * e->lease <= e->granted && (e->untold > 1 || !is_old(e, now));
    const bool tells = e->untold > 0 || given_back > 0 || asks || (!idle && is_old(e, now));
    if (tells) {
        e->lease -= given_back;
        e->under_way += e->untold;
        e->untold = 0;
        e->told_ns = now; /* or tried to: a Redis that is away is not asked at every request */
    }
    if (idle)
        e->granted = 0;
    memcpy(ret->id, e->id, ID_LEN);
    if (e->lease > 0 || tells) { /* looked at once more, a second from now */
        pthread_mutex_lock(&l->lock);
        add(&l->waiting, &e->waits, index);
        pthread_mutex_unlock(&l->lock);
    }
    pthread_mutex_unlock(lock_of(l, index));
    if (!tells)
        return false;
    char id[2 * ID_LEN + 1];
    sodium_bin2hex(id, sizeof id, ret->id, ID_LEN);
    ret->index = index;
    ret->policy = (uint8_t)policy;
    const struct quota *q = &l->quotas[policy];
    snprintf(ret->key, sizeof ret->key, "aether:limit:%s:%lld:%lld:%s", policies[policy].name, (long long)q->requests,
             (long long)q->window_s, id);
    write_us(ret->moved_us, sizeof ret->moved_us, ((int64_t)ret->untold - (int64_t)given_back) * q->interval_ns);
    write_us(ret->interval_us, sizeof ret->interval_us, q->interval_ns);
    write_us(ret->window_us, sizeof ret->window_us, q->window_ns);
    snprintf(ret->least, sizeof ret->least, "%u", asks ? (unsigned)l->credits[policy] : 0);
    const char *const texts[] = { ret->key, ret->moved_us, ret->interval_us, ret->window_us, ret->least };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ret->argv[i] = str_of(texts[i]);
    return true;
}

/* The TAT there contains what we have been granted and have not used, which is still to come. */
static void learn(void *context, size_t i, const redisReply *reply)
{
    struct rate_limits *l = context;
    const struct told *t = &l->batch[i];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return;
    struct entry *e = &l->entries[t->index];
    pthread_mutex_lock(lock_of(l, t->index));
    if (is_of(e, t->policy, t->id)) { /* not displaced meanwhile */
        const int64_t interval_ns = l->quotas[t->policy].interval_ns;
        const uint32_t granted = (uint32_t)reply->element[1]->integer;
        e->lease += granted;
        e->granted = granted;
        e->shared_ns = now_ns() + reply->element[0]->integer * 1000 + ((int64_t)e->untold - e->lease) * interval_ns;
    }
    pthread_mutex_unlock(lock_of(l, t->index));
}

/* Nothing of it is under way any more; when it was not sent, it is still to be told. */
static void settle(struct rate_limits *l, size_t count, bool sent)
{
    for (size_t i = 0; i < count; i++) {
        const struct told *t = &l->batch[i];
        struct entry *e = &l->entries[t->index];
        pthread_mutex_lock(lock_of(l, t->index));
        if (is_of(e, t->policy, t->id)) {
            e->under_way -= t->untold < e->under_way ? t->untold : e->under_way; /* displaced, and back again */
            e->untold += sent ? 0 : t->untold;
        }
        pthread_mutex_unlock(lock_of(l, t->index));
    }
}

/* What is lost between here and there (it is not known what of it arrived) is not told again: rather too little. */
static err tell(struct rate_limits *l, size_t count)
{
    err e = OK;
    for (size_t i = 0; i < count && e == OK; i++)
        e = redis_add_script(l->redis, &tell_script, 1, 5, l->batch[i].argv);
    const bool sent = e == OK;
    if (sent)
        e = redis_flush(l->redis, learn, l);
    settle(l, count, sent);
    return e;
}

static void say(struct rate_limits *l, bool up)
{
    bool was = atomic_exchange(&l->up, up);
    if (up != was && up)
        LOG(INFO, "limits are shared through Redis");
    else if (up != was)
        LOG(WARN, "limits are each gateway's own while Redis is away", F_ERR);
    metrics_set(l->metrics, METRIC_LIMITS_SHARED, up);
}

static void tell_and_say(struct rate_limits *l, size_t count)
{
    if (count > 0)
        say(l, tell(l, count) == OK);
}

/* Whether there is a Redis is known before the first request comes. */
static err first_contact(struct rate_limits *l)
{
    TRY(redis_add(l->redis, 1, (struct str[]){ STR("PING") }));
    return redis_flush(l->redis, NULL, NULL);
}

/* All of a list, whose entries may be put in again from now on: into another one, or this does not end. */
static void tell_all(struct rate_limits *l, struct indices *list, size_t flag)
{
    uint32_t part[BATCH];
    for (size_t taken = 1; taken > 0;) {
        taken = 0;
        pthread_mutex_lock(&l->lock);
        while (taken < BATCH && list->count > 0)
            part[taken++] = list->items[--list->count];
        pthread_mutex_unlock(&l->lock);
        size_t count = 0;
        for (size_t i = 0; i < taken; i++) {
            pthread_mutex_lock(lock_of(l, part[i]));
            *(bool *)((char *)&l->entries[part[i]] + flag) = false;
            pthread_mutex_unlock(lock_of(l, part[i]));
            count += take_untold(l, part[i], &l->batch[count]);
        }
        tell_and_say(l, count);
    }
}

/* Until somebody hurries, or until_us; false: stop. */
static bool wait_for_work(struct rate_limits *l, int64_t until_us)
{
    pthread_mutex_lock(&l->lock);
    while (!l->stopping && l->hurrying.count == 0 && condition_wait_until(&l->wake, &l->lock, until_us))
        ;
    bool go_on = !l->stopping;
    pthread_mutex_unlock(&l->lock);
    return go_on;
}

static void *run(void *argument)
{
    struct rate_limits *l = argument;
    int64_t all_at_us = clock_mono_us() + TELL_US;
    while (wait_for_work(l, all_at_us)) {
        tell_all(l, &l->hurrying, offsetof(struct entry, hurries));
        if (clock_mono_us() < all_at_us)
            continue;
        pthread_mutex_lock(&l->lock);
        const struct indices empty = l->waited;
        l->waited = l->waiting;
        l->waiting = empty;
        pthread_mutex_unlock(&l->lock);
        tell_all(l, &l->waited, offsetof(struct entry, waits));
        all_at_us = clock_mono_us() + TELL_US;
    }
    return NULL;
}

/* --- life --- */

static uint32_t credit_of(const struct quota *q)
{
    int64_t credit = later(q->requests / CREDIT_PART, CREDIT_MIN);
    return (uint32_t)(credit < q->requests ? credit : q->requests);
}

err rate_limits_create(const struct config *config, struct metrics *metrics, struct rate_limits **ret)
{
    struct rate_limits *l = mem_alloc(sizeof *l);
    l->metrics = metrics;
    for (size_t i = 0; i < POLICIES; i++) {
        l->quotas[i] = quota_of(config_int(config, policies[i].requests), config_int(config, policies[i].window));
        l->credits[i] = credit_of(&l->quotas[i]);
    }
    crypto_shorthash_keygen(l->hash_key);
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&l->locks[i], NULL);
    l->entries = mem_alloc(sizeof *l->entries * ENTRIES);
    l->waiting.items = mem_alloc(sizeof *l->waiting.items * ENTRIES);
    l->waited.items = mem_alloc(sizeof *l->waited.items * ENTRIES);
    l->hurrying.items = mem_alloc(sizeof *l->hurrying.items * ENTRIES);
    pthread_mutex_init(&l->lock, NULL);
    condition_init(&l->wake);
    l->redis = redis_create(config_text(config, "redis.url"), (int)config_int(config, "gateway.redis_timeout_ms"));
    say(l, first_contact(l) == OK);
    if (pthread_create(&l->thread, NULL, run, l) != 0) {
        rate_limits_destroy(l);
        return err_set(FATAL, "the thread that shares limits could not be started; raise the limit of threads");
    }
    l->started = true;
    pthread_setname_np(l->thread, "limits");
    *ret = l;
    return OK;
}

void rate_limits_destroy(struct rate_limits *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    if (l->started)
        pthread_join(l->thread, NULL);
    redis_destroy(l->redis);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&l->locks[i]);
    free(l->entries);
    free(l->waiting.items);
    free(l->waited.items);
    free(l->hurrying.items);
    free(l);
}

/* --- for admission --- */

static enum policy policy_of(const struct route *route, enum limit_by by)
{
    const char *path = route ? route->path : "";
    size_t i = 0;
    while (strncmp(path, paths[i].prefix, strlen(paths[i].prefix)) != 0 ||
           (paths[i].strangers && route && route->auth != AUTH_NONE))
        i++;
    return by == LIMIT_BY_ADDRESS ? paths[i].by_address : paths[i].by_user;
}

bool rate_limits_admit(struct request *r, enum limit_by by)
{
    struct rate_limits *l = r->gateway->limits;
    enum policy policy = policy_of(r->route, by);
    if (policy == POLICY_NONE || l->quotas[policy].requests == 0)
        return true;
    struct address network = client_network(r->client.address);
    struct gcra g = take(l, policy, by == LIMIT_BY_ADDRESS ? network.bytes : r->claims.user_id.bytes);
    const struct quota *q = &l->quotas[policy];
    r->rates[r->rate_count++] =
        (struct rate){ policies[policy].name, q->requests, q->window_s, g.remaining, seconds_up(g.reset_ns) };
    if (g.allowed)
        return true;
    metrics_add(l->metrics, policies[policy].refused, 1);
    problem(r, 429, "rate_limited", NULL, "%s", policies[policy].detail);
    response_header(r, "Retry-After", "%lld", (long long)seconds_up(g.retry_ns));
    return false;
}
