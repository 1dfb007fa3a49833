#include "gateway/limits/throttle.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define KNOWN_MS        2592000000 /* 30 days */
#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number
#define KNOWN_MS_TEXT   TEXT(KNOWN_MS)

struct throttle {
    uint8_t key[32];
    struct attempts *attempts;
    char name_free[24], address_free[24], delay[24], delay_max[24], forget[24];
};

const struct setting throttle_settings[] = {
    { "login.name_failures", SETTING_INT, .def = "5", .min = 1, .max = 1000000000,
      .doc = "Wrong passwords for one name before the next attempt is delayed." },
    { "login.address_failures", SETTING_INT, .def = "50", .min = 1, .max = 1000000000,
      .doc = "Wrong passwords from one address before the next attempt is delayed." },
    { "login.delay_ms", SETTING_INT, .def = "1000", .min = 1, .max = 3600000, .unit = "ms",
      .doc = "The first delay; each failure doubles it." },
    { "login.delay_max_ms", SETTING_INT, .def = "60000", .min = 1, .max = 3600000, .unit = "ms",
      .doc = "The longest delay." },
    { "login.forget_s", SETTING_INT, .def = "900", .min = 1, .max = 86400, .unit = "s",
      .doc = "Failures are forgotten after so long without another." },
    { 0 },
};

/* Hashes of n (failures and attempts under way) and t (when the last one began, ms of Redis' clock); that of a name and
 * an address together has k once it is known. KEYS: name, pair, address. ARGV: free for a name, free for an address,
 * delay, longest delay, forget ms. Gives the ms to wait, or 0 (counted for the name), or -1 (for the pair). */
static const struct redis_script script_begin = {
    "local at = redis.call('TIME')\n"
    "local now = at[1] * 1000 + math.floor(at[2] / 1000)\n"
    "local function failures(key)\n"
    "  local was = redis.call('HMGET', key, 'n', 't')\n"
    "  local n, t = tonumber(was[1]) or 0, tonumber(was[2]) or 0\n"
    "  if now - t >= tonumber(ARGV[5]) then n = 0 end\n"
    "  return n, t\n"
    "end\n"
    "local function wait(n, t, free)\n"
    "  if n < free then return 0 end\n"
    "  return t + math.min(tonumber(ARGV[4]), ARGV[3] * 2 ^ (n - free)) - now\n"
    "end\n"
    "local known = redis.call('HEXISTS', KEYS[2], 'k') == 1\n"
    "local key = known and KEYS[2] or KEYS[1]\n"
    "local n, t = failures(key)\n"
    "local of_address, t_of_address = failures(KEYS[3])\n"
    "local ms = math.max(wait(n, t, tonumber(ARGV[1])), wait(of_address, t_of_address, tonumber(ARGV[2])))\n"
    "if ms > 0 then return math.ceil(ms) end\n"
    "redis.call('HSET', key, 'n', n + 1, 't', now)\n"
    "if not known then redis.call('PEXPIRE', key, ARGV[5]) end\n"
    "redis.call('HSET', KEYS[3], 'n', of_address + 1, 't', now)\n"
    "redis.call('PEXPIRE', KEYS[3], ARGV[5])\n"
    "return known and -1 or 0",
};

/* KEYS: what was counted (name or pair), address, and after a success the pair. */
static const struct redis_script script_take_back = {
    "for i = 1, 2 do\n"
    "  local n = tonumber(redis.call('HGET', KEYS[i], 'n'))\n"
    "  if n and n > 0 then redis.call('HINCRBY', KEYS[i], 'n', -1) end\n"
    "end\n"
    "if KEYS[3] then\n"
    "  redis.call('HSET', KEYS[3], 'k', 1, 'n', 0)\n"
    "  redis.call('PEXPIRE', KEYS[3], " KNOWN_MS_TEXT ")\n"
    "end\n"
    "return 1",
};

struct throttle *throttle_create(const struct config *config, const uint8_t key[32])
{
    struct throttle *t = mem_alloc(sizeof *t);
    memcpy(t->key, key, sizeof t->key);
    const struct {
        const char *name;
        char *text;
        int factor;
    } numbers[] = {
        { "login.name_failures", t->name_free, 1 }, { "login.address_failures", t->address_free, 1 },
        { "login.delay_ms", t->delay, 1 },          { "login.delay_max_ms", t->delay_max, 1 },
        { "login.forget_s", t->forget, 1000 },
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        snprintf(numbers[i].text, sizeof t->delay, "%lld",
                 (long long)config_int(config, numbers[i].name) * numbers[i].factor);
    t->attempts = attempts_create(&(struct attempt_rules){
        .name_free = config_int(config, "login.name_failures"),
        .address_free = config_int(config, "login.address_failures"),
        .delay_ms = config_int(config, "login.delay_ms"),
        .delay_max_ms = config_int(config, "login.delay_max_ms"),
        .forget_ms = config_int(config, "login.forget_s") * 1000,
        .known_ms = KNOWN_MS,
    });
    return t;
}

void throttle_destroy(struct throttle *t)
{
    if (!t)
        return;
    attempts_destroy(t->attempts);
    sodium_memzero(t, sizeof *t);
    free(t);
}

/* --- keys --- */

static void hash_of(const struct throttle *t, struct str kind, struct str a, struct str b, uint8_t ret[16])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, t->key, sizeof t->key, 16);
    crypto_generichash_update(&state, (const uint8_t *)kind.ptr, kind.len);
    crypto_generichash_update(&state, (const uint8_t *)&a.len, sizeof a.len); /* where a ends and b begins */
    crypto_generichash_update(&state, (const uint8_t *)a.ptr, a.len);
    crypto_generichash_update(&state, (const uint8_t *)b.ptr, b.len);
    crypto_generichash_final(&state, ret, 16);
}

static struct str redis_key(struct arena *arena, const uint8_t hash[16])
{
    static const char prefix[] = "aether:login:";
    char *key = arena_alloc_raw(arena, sizeof prefix - 1 + 16);
    memcpy(key, prefix, sizeof prefix - 1);
    memcpy(key + sizeof prefix - 1, hash, 16);
    return (struct str){ key, sizeof prefix - 1 + 16 };
}

/* --- counting --- */

static void take_integer(void *context, size_t index, const redisReply *reply)
{
    (void)index;
    if (reply->type == REDIS_REPLY_INTEGER)
        *(int64_t *)context = reply->integer;
}

/* false: Redis is away. */
static bool ran(struct pool_thread *thread, struct redis *redis, err queued, int64_t *ret)
{
    err e = queued == OK ? redis_flush(redis, take_integer, ret) : queued;
    if (e == OK)
        return true;
    LOG(WARN, "failed log-ins are counted by each gateway for itself while Redis is away", F_ERR);
    if (e == RETRY)
        pool_redis_failed(thread);
    return false;
}

static int64_t now_ms(void)
{
    return clock_mono_us() / 1000;
}

/* What the gateways count together. > 0: milliseconds to wait. */
static int64_t begin_shared(const struct throttle *t, struct pool_thread *thread, struct attempt *attempt)
{
    struct redis *redis = pool_redis(thread);
    if (!redis)
        return 0;
    struct arena *arena = &thread->arena;
    const struct attempt_keys *keys = &attempt->keys;
    const struct str argv[] = {
        redis_key(arena, keys->name),
        redis_key(arena, keys->pair),
        redis_key(arena, keys->address),
        str_of(t->name_free),
        str_of(t->address_free),
        str_of(t->delay),
        str_of(t->delay_max),
        str_of(t->forget),
    };
    int64_t answer = 0;
    if (!ran(thread, redis, redis_add_script(redis, &script_begin, 3, sizeof argv / sizeof *argv, argv), &answer))
        return 0;
    attempt->counted_shared = answer <= 0;
    attempt->known_shared = answer < 0;
    return answer;
}

static void take_back_shared(struct pool_thread *thread, const struct attempt *attempt, bool succeeded)
{
    struct redis *redis = pool_redis(thread);
    if (!attempt->counted_shared || !redis)
        return;
    struct arena *arena = &thread->arena;
    struct str pair = redis_key(arena, attempt->keys.pair);
    const struct str argv[] = {
        attempt->known_shared ? pair : redis_key(arena, attempt->keys.name),
        redis_key(arena, attempt->keys.address),
        pair,
    };
    const size_t keys = succeeded ? 3 : 2;
    int64_t unused;
    (void)ran(thread, redis, redis_add_script(redis, &script_take_back, keys, keys, argv), &unused);
}

int64_t throttle_begin(const struct throttle *t, struct pool_thread *thread, struct str name, struct address address,
                       struct attempt *ret)
{
    struct address network = client_network(address);
    struct str from = { (const char *)&network, sizeof network };
    *ret = (struct attempt){ 0 };
    hash_of(t, STR("name"), name, (struct str){ 0 }, ret->keys.name);
    hash_of(t, STR("pair"), name, from, ret->keys.pair);
    hash_of(t, STR("address"), from, (struct str){ 0 }, ret->keys.address);
    int64_t wait_ms = begin_shared(t, thread, ret);
    if (wait_ms > 0)
        return wait_ms;
    ret->known = ret->known_shared;
    wait_ms = attempts_begin(t->attempts, &ret->keys, now_ms(), &ret->known);
    ret->counted = wait_ms == 0;
    if (!ret->counted) /* Redis lost what it had counted */
        take_back_shared(thread, ret, false);
    return wait_ms;
}

static void take_back(const struct throttle *t, struct pool_thread *thread, const struct attempt *attempt,
                      bool succeeded)
{
    if (!attempt->counted)
        return;
    attempts_take_back(t->attempts, &attempt->keys, now_ms(), attempt->known, succeeded);
    take_back_shared(thread, attempt, succeeded);
}

void throttle_succeeded(const struct throttle *t, struct pool_thread *thread, const struct attempt *attempt)
{
    take_back(t, thread, attempt, true);
}

void throttle_withdrawn(const struct throttle *t, struct pool_thread *thread, const struct attempt *attempt)
{
    take_back(t, thread, attempt, false);
}

void throttle_refuse(struct request *r, int64_t wait_ms)
{
    int64_t seconds = (wait_ms + 999) / 1000;
    problem(r, 429, "too_many_attempts", NULL,
            "Too many wrong passwords; the next attempt is looked at in %lld seconds.", (long long)seconds);
    response_header(r, "Retry-After", "%lld", (long long)seconds);
}
