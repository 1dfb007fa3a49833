#include "consumers/projection/epoch_cache.h"

#include <assert.h>

/* A hash that nobody writes for a day is dropped: what is never read again does not fill the memory. */
#define EXPIRES "86400"

/* Starts a new epoch: the server's clock in microseconds, so that no epoch comes twice, not even after Redis was
 * emptied. */
#define LUA_NEW_EPOCH                                                                                                  \
    "local function new_epoch(key)\n"                                                                                  \
    "  local t = redis.call('TIME')\n"                                                                                 \
    "  local epoch = string.format('%d%06d', t[1], t[2])\n"                                                            \
    "  redis.call('SET', key, epoch)\n"                                                                                \
    "  return epoch\n"                                                                                                 \
    "end\n"

/* KEYS: epoch. */
static const struct redis_script script_renew = { LUA_NEW_EPOCH "return new_epoch(KEYS[1])" };

/* KEYS: epoch, tail. ARGV: first and last offset of the batch in this partition. */
static const struct redis_script script_advance = {
    LUA_NEW_EPOCH "local now = redis.call('MGET', KEYS[1], KEYS[2])\n"
                  "local tail = tonumber(now[2])\n"
                  "if not now[1] or not tail or tail < tonumber(ARGV[1]) - 1 then new_epoch(KEYS[1]) end\n"
                  "if not tail or tail < tonumber(ARGV[2]) then redis.call('SET', KEYS[2], ARGV[2]) end\n"
                  "return 1",
};

/* KEYS: hash, epoch, tail. ARGV: last offset of the batch in this partition, version, field, value, … A tail that is
 * ahead means that somebody has written later facts than these: a new owner after a fenced one, or the other way round.
 * Then only the version is kept, so that nothing is known until a read from PostgreSQL is at least as new. */
static const struct redis_script script_write = {
    "local now = redis.call('MGET', KEYS[2], KEYS[3])\n"
    "local was = redis.call('HMGET', KEYS[1], 'e', 'v')\n"
    "if not now[1] or was[1] == now[1] and tonumber(was[2]) > tonumber(ARGV[2]) then return 0 end\n"
    "redis.call('DEL', KEYS[1])\n"
    "if now[2] == ARGV[1] then\n"
    "  redis.call('HSET', KEYS[1], 'e', now[1], 'v', ARGV[2], unpack(ARGV, 3))\n"
    "else\n"
    "  redis.call('HSET', KEYS[1], 'e', now[1], 'v', ARGV[2])\n"
    "end\n"
    "redis.call('EXPIRE', KEYS[1], " EXPIRES ")\n"
    "return 1",
};

/* KEYS: hash, epoch. ARGV: epoch before the read, version, field, value, … */
static const struct redis_script script_refill = {
    LUA_NEW_EPOCH "local epoch = redis.call('GET', KEYS[2]) or ''\n"
                  "if epoch ~= ARGV[1] then return 0 end\n"
                  "if epoch == '' then epoch = new_epoch(KEYS[2]) end\n"
                  "local was = redis.call('HMGET', KEYS[1], 'e', 'v')\n"
                  "if was[1] ~= epoch then\n"
                  "  redis.call('DEL', KEYS[1])\n"
                  "elseif tonumber(was[2]) > tonumber(ARGV[2]) then\n"
                  "  return 0\n"
                  "end\n"
                  "redis.call('HSET', KEYS[1], 'e', epoch, 'v', ARGV[2], unpack(ARGV, 3))\n"
                  "redis.call('EXPIRE', KEYS[1], " EXPIRES ")\n"
                  "return 1",
};

static struct str integer(struct arena *arena, int64_t i)
{
    return str_of(arena_printf(arena, "%lld", (long long)i));
}

static struct str tail_key(const struct epoch_cache *cache, struct arena *arena, int32_t partition)
{
    return str_of(arena_printf(arena, "%s:%d", cache->tail_prefix, partition));
}

err epoch_cache_renew(struct redis *redis, const struct epoch_cache *cache)
{
    const struct str key = str_of(cache->epoch_key);
    TRY(redis_add_script(redis, &script_renew, 1, 1, &key));
    return redis_flush(redis, NULL, NULL);
}

err epoch_cache_advance(struct redis *redis, const struct epoch_cache *cache, struct arena *arena,
                        const struct placed_fact *facts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int32_t partition = facts[i].partition;
        bool seen = false;
        for (size_t k = 0; k < i && !seen; k++)
            seen = facts[k].partition == partition;
        if (seen)
            continue;
        const struct str argv[] = { str_of(cache->epoch_key), tail_key(cache, arena, partition),
                                    integer(arena, facts[i].offset),
                                    integer(arena, epoch_cache_last(facts, count, partition)) };
        TRY(redis_add_script(redis, &script_advance, 2, 4, argv));
    }
    return OK;
}

int64_t epoch_cache_last(const struct placed_fact *facts, size_t count, int32_t partition)
{
    while (count && facts[count - 1].partition != partition)
        count--;
    assert(count);
    return facts[count - 1].offset;
}

err epoch_cache_write(struct redis *redis, const struct epoch_cache *cache, struct arena *arena, struct str key,
                      const struct placed_fact *placed, int64_t last, const struct str *fields, size_t count)
{
    struct str argv[5 + EPOCH_REFILL_FIELDS] = { key, str_of(cache->epoch_key),
                                                 tail_key(cache, arena, placed->partition), integer(arena, last),
                                                 integer(arena, placed->offset) };
    assert(count <= EPOCH_REFILL_FIELDS);
    if (count)
        memcpy(argv + 5, fields, count * sizeof *fields);
    return redis_add_script(redis, &script_write, 3, 5 + count, argv);
}

err epoch_cache_ask(struct redis *redis, const struct epoch_cache *cache)
{
    const struct str argv[] = { STR("GET"), str_of(cache->epoch_key) };
    return redis_add(redis, 2, argv);
}

void epoch_cache_answer(const redisReply *reply, char ret_epoch[EPOCH_LEN])
{
    ret_epoch[0] = '\0';
    if (reply->type == REDIS_REPLY_STRING && reply->len < EPOCH_LEN)
        memcpy(ret_epoch, reply->str, reply->len + 1);
}

err epoch_cache_refill(struct redis *redis, const struct epoch_cache *cache, struct arena *arena, struct str key,
                       const char *epoch, int64_t version, const struct str *fields, size_t count)
{
    struct str argv[4 + EPOCH_REFILL_FIELDS] = { key, str_of(cache->epoch_key), str_of(epoch),
                                                 integer(arena, version) };
    assert(count <= EPOCH_REFILL_FIELDS);
    memcpy(argv + 4, fields, count * sizeof *fields);
    return redis_add_script(redis, &script_refill, 2, 4 + count, argv);
}
