#include "consumers/users/cache.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/accounts.gen.h"
#include "schemas/sessions.gen.h"

static const struct epoch_cache accounts_cache = { "aether:accounts:epoch", "aether:accounts:tail" };
static const struct epoch_cache sessions_cache = { "aether:sessions:epoch", "aether:sessions:tail" };

static struct str account_key(struct arena *arena, struct uuid user)
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(user, id);
    return str_of(arena_printf(arena, "aether:account:%s", id));
}

static struct str session_key(struct arena *arena, struct uuid user, struct uuid session)
{
    char of[UUID_TEXT_LEN + 1], id[UUID_TEXT_LEN + 1];
    uuid_format(user, of);
    uuid_format(session, id);
    return str_of(arena_printf(arena, "aether:session:%s:%s", of, id));
}

/* --- the worker's side --- */

err accounts_cache_write(struct redis *redis, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    if (count == 0)
        return epoch_cache_renew(redis, &accounts_cache);
    TRY(epoch_cache_advance(redis, &accounts_cache, arena, facts, count));
    for (size_t i = 0; i < count; i++) {
        const struct str key = account_key(arena, accounts_stream.fact.key(facts[i].fact));
        const int64_t last = epoch_cache_last(facts, count, facts[i].partition);
        TRY(epoch_cache_write(redis, &accounts_cache, arena, key, &facts[i], last, NULL, 0));
    }
    return redis_flush(redis, NULL, NULL);
}

#define ENDED STR("x")

err sessions_cache_write(struct redis *redis, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    if (count == 0)
        return epoch_cache_renew(redis, &sessions_cache);
    TRY(epoch_cache_advance(redis, &sessions_cache, arena, facts, count));
    for (size_t i = 0; i < count; i++) {
        const struct sessions_fact *f = (const struct sessions_fact *)facts[i].fact;
        struct str fields[] = { STR("s"), ENDED };
        struct uuid session;
        switch ((enum sessions_fact_type)f->type) {
        case SESSIONS_SESSION_STARTED:
            session = f->session_started.session_id;
            fields[1] = str_of(arena_printf(arena, "%lld", (long long)f->session_started.account_epoch));
            break;
        case SESSIONS_SESSION_ENDED:
            session = f->session_ended.session_id;
            break;
        case SESSIONS_REFRESH_TOKEN_REPLAYED:
            session = f->refresh_token_replayed.session_id;
            break;
        case SESSIONS_SESSION_REFRESHED: /* changes nothing of who may come in */
        case SESSIONS_FACT_NONE:
            continue;
        }
        const struct str key = session_key(arena, sessions_stream.fact.key(facts[i].fact), session);
        const int64_t last = epoch_cache_last(facts, count, facts[i].partition);
        TRY(epoch_cache_write(redis, &sessions_cache, arena, key, &facts[i], last, fields, 2));
    }
    return redis_flush(redis, NULL, NULL);
}

/* A field of a hash that was asked for behind its epoch; NULL: it is not there, or the hash is of another epoch. */
static const redisReply *field_of_epoch(const redisReply *reply, size_t field, const char *epoch)
{
    const bool good = reply->type == REDIS_REPLY_ARRAY && reply->elements > field && epoch[0] &&
                      reply->element[0]->type == REDIS_REPLY_STRING && strcmp(reply->element[0]->str, epoch) == 0 &&
                      reply->element[field]->type == REDIS_REPLY_STRING;
    return good ? reply->element[field] : NULL;
}

/* --- the gateway's side: what GET /users/me shows --- */

struct account_answers {
    struct account_cache_entry *entries;
    struct arena *arena;
    char epoch[EPOCH_LEN];
};

static void account_read(struct account_cache_entry *entry, struct arena *arena, const redisReply *reply, size_t field,
                         const char epoch[EPOCH_LEN])
{
    memcpy(entry->epoch, epoch, sizeof entry->epoch);
    entry->known = false;
    const redisReply *value = field_of_epoch(reply, field, epoch);
    if (!value)
        return;
    char *colon;
    entry->version = strtoll(value->str, &colon, 10);
    if (*colon != ':')
        return;
    const char *json = colon + 1;
    entry->json = arena_str(arena, (struct str){ json, value->len - (size_t)(json - value->str) });
    entry->known = true;
}

static void account_answer(void *context, size_t index, const redisReply *reply)
{
    struct account_answers *answers = context;
    if (index == 0)
        epoch_cache_answer(reply, answers->epoch);
    else
        account_read(&answers->entries[index - 1], answers->arena, reply, 1, answers->epoch);
}

err account_cache_find(struct redis *redis, struct arena *arena, struct account_cache_entry *entries, size_t count)
{
    struct account_answers answers = { entries, arena, { 0 } };
    TRY(epoch_cache_ask(redis, &accounts_cache));
    for (size_t i = 0; i < count; i++) {
        const struct str argv[] = { STR("HMGET"), account_key(arena, entries[i].user), STR("e"), STR("j") };
        TRY(redis_add(redis, 4, argv));
    }
    return redis_flush(redis, account_answer, &answers);
}

err account_cache_refill(struct redis *redis, struct arena *arena, const struct account_cache_entry *entry,
                         const struct account_view *account, struct str own_json)
{
    if (account->erased)
        return OK;
    char *value = arena_printf(arena, "%lld:%.*s", (long long)account->version, (int)own_json.len, own_json.ptr);
    const struct str fields[] = { STR("j"), str_of(value) };
    return epoch_cache_refill(redis, &accounts_cache, arena, account_key(arena, entry->user), entry->epoch,
                              account->position, fields, 2);
}

/* --- the gateway's side: who may come in --- */

static struct str access_value(struct arena *arena, const struct access *a)
{
    char kept[UUID_TEXT_LEN + 1];
    uuid_format(a->kept_session, kept);
    return str_of(arena_printf(arena, "%lld %s %u %d %lld", (long long)a->session_epoch, kept, (unsigned)a->roles,
                               a->account_suspended, (long long)a->suspended_until));
}

static bool access_read_account(const char *value, struct access *a)
{
    long long epoch, until;
    char kept[UUID_TEXT_LEN + 1];
    unsigned roles;
    int suspended;
    /* NOLINTNEXTLINE(cert-err34-c): access_value has written it */
    if (sscanf(value, "%lld %36s %u %d %lld", &epoch, kept, &roles, &suspended, &until) != 5 ||
        !uuid_parse(str_of(kept), &a->kept_session))
        return false;
    a->account_found = true;
    a->session_epoch = epoch;
    a->roles = roles;
    a->account_suspended = suspended != 0;
    a->suspended_until = until;
    return true;
}

static bool access_read_session(const char *value, struct access *a)
{
    a->session_found = true;
    a->session_ended = strcmp(value, "x") == 0;
    if (a->session_ended)
        return true;
    char *end;
    a->account_epoch = strtoll(value, &end, 10);
    return end != value && *end == '\0';
}

struct access_answers {
    struct access *items;
    struct account_cache_entry *accounts; /* NULL: not asked for */
    struct arena *arena;
    bool *known;
    char accounts_epoch[EPOCH_LEN], sessions_epoch[EPOCH_LEN];
};

/* Two epochs, then an account and a session for each item. */
static void access_answer(void *context, size_t index, const redisReply *reply)
{
    struct access_answers *answers = context;
    if (index < 2) {
        epoch_cache_answer(reply, index == 0 ? answers->accounts_epoch : answers->sessions_epoch);
        return;
    }
    const size_t i = index / 2 - 1;
    const bool of_account = index % 2 == 0;
    const redisReply *value = field_of_epoch(reply, 1, of_account ? answers->accounts_epoch : answers->sessions_epoch);
    if (!of_account) {
        answers->known[i] = answers->known[i] && value && access_read_session(value->str, &answers->items[i]);
        return;
    }
    answers->known[i] = value && access_read_account(value->str, &answers->items[i]);
    if (answers->accounts)
        account_read(&answers->accounts[i], answers->arena, reply, 2, answers->accounts_epoch);
}

static err access_ask(struct redis *redis, struct arena *arena, const struct access *items, size_t count,
                      struct access_answers *answers)
{
    TRY(epoch_cache_ask(redis, &accounts_cache));
    TRY(epoch_cache_ask(redis, &sessions_cache));
    for (size_t i = 0; i < count; i++) {
        const struct str account[] = { STR("HMGET"), account_key(arena, items[i].user), STR("e"), STR("a"), STR("j") };
        const struct str session[] = { STR("HMGET"), session_key(arena, items[i].user, items[i].session), STR("e"),
                                       STR("s") };
        TRY(redis_add(redis, answers->accounts ? 5 : 4, account));
        TRY(redis_add(redis, 4, session));
    }
    return redis_flush(redis, access_answer, answers);
}

static err access_refill(struct redis *redis, struct arena *arena, const struct access *items, size_t count,
                         const struct access_answers *answers)
{
    for (size_t i = 0; i < count; i++) {
        const struct access *a = &items[i];
        if (a->account_found) {
            const struct str fields[] = { STR("a"), access_value(arena, a) };
            TRY(epoch_cache_refill(redis, &accounts_cache, arena, account_key(arena, a->user), answers->accounts_epoch,
                                   a->account_position, fields, 2));
        }
        if (a->session_found) {
            const struct str fields[] = {
                STR("s"), a->session_ended ? ENDED : str_of(arena_printf(arena, "%lld", (long long)a->account_epoch))
            };
            TRY(epoch_cache_refill(redis, &sessions_cache, arena, session_key(arena, a->user, a->session),
                                   answers->sessions_epoch, a->session_position, fields, 2));
        }
    }
    return redis_flush(redis, NULL, NULL);
}

err access_check(struct redis *redis, struct pg *pg, struct arena *arena, struct access *items, size_t count,
                 int64_t now_ms, struct account_cache_entry *accounts, bool *ret_redis_failed)
{
    struct access_answers answers = {
        .items = items, .accounts = accounts, .arena = arena, .known = ARENA_ARRAY(arena, bool, count)
    };
    *ret_redis_failed = false;
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct access){ .user = items[i].user, .session = items[i].session };
        if (accounts)
            accounts[i] = (struct account_cache_entry){ .user = items[i].user };
    }
    if (redis && access_ask(redis, arena, items, count, &answers) != OK) {
        *ret_redis_failed = true;
        memset(answers.known, 0, count * sizeof *answers.known);
    }
    struct access *missing = ARENA_ARRAY(arena, struct access, count);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (answers.known[i])
            access_settle(&items[i], now_ms);
        else
            missing[n++] = items[i];
    }
    if (n == 0)
        return OK;
    TRY(access_find(pg, arena, missing, n, now_ms));
    for (size_t i = 0, k = 0; i < count; i++)
        if (!answers.known[i])
            items[i] = missing[k++];
    if (redis && !*ret_redis_failed)
        *ret_redis_failed = access_refill(redis, arena, missing, n, &answers) == RETRY;
    return OK;
}
