#include "gateway/live/ticket.h"

#include <sodium.h>
#include <stdio.h>

#include "gateway/base64url.h"
#include "gateway/gateway.h"
#include "gateway/http/shape.h"
#include "gateway/resources.h"

#define TTL_S      30
#define BYTES      32
#define TICKET_LEN BASE64URL_LEN(BYTES)
#define PREFIX     "aether:ticket:"

static const struct shape_field ticket_fields[] = {
    { "ticket", SHAPE_TEXT, "To be sent as ?ticket=." },
    { "expiresAt", SHAPE_TIME, "Until when it opens the feed." },
    { 0 },
};
const struct shape live_ticket_shape = { "LiveTicket", ticket_fields };

static bool unavailable(struct request *r)
{
    problem(r, 503, "tickets_unavailable", NULL, "Tickets cannot be made or redeemed just now; send the access token.");
    response_header(r, "Retry-After", "2");
    return false;
}

/* Redis sees a hash: who can read it cannot use what is there. */
static struct str key_of(struct request *r, const uint8_t ticket[BYTES])
{
    uint8_t hash[16];
    char hex[2 * sizeof hash + 1];
    crypto_generichash(hash, sizeof hash, ticket, BYTES, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return str_of(arena_printf(&r->arena, PREFIX "%s", hex));
}

static err run(struct pool_thread *thread, size_t argc, const struct str *argv, redis_each *each, void *context)
{
    struct redis *redis = pool_redis(thread);
    if (!redis)
        return err_set(RETRY, "Redis is away");
    err e = redis_add(redis, argc, argv);
    if (e == OK)
        e = redis_flush(redis, each, context);
    if (e == RETRY)
        pool_redis_failed(thread);
    return e;
}

/* --- POST /live/tickets --- */

static enum request_step ticket_make(struct request *r, struct pool_thread *thread)
{
    uint8_t bytes[BYTES];
    char text[TICKET_LEN + 1];
    randombytes_buf(bytes, sizeof bytes);
    base64url_encode(bytes, sizeof bytes, text);
    struct str argv[] = { STR("SET"),
                          key_of(r, bytes),
                          { (const char *)&r->claims, sizeof r->claims },
                          STR("EX"),
                          str_of(arena_printf(&r->arena, "%d", TTL_S)) };
    if (run(thread, sizeof argv / sizeof *argv, argv, NULL, NULL) != OK) {
        unavailable(r);
        return REQUEST_DONE;
    }
    struct json j = response_json(r, 201);
    json_open(&j, '{');
    json_field_str(&j, "ticket", str_of(text));
    json_field_time(&j, "expiresAt", r->received_at + TTL_S * 1000);
    json_close(&j, '}');
    return REQUEST_DONE;
}

enum request_step live_ticket(struct request *r)
{
    return pool_run(r->gateway->reads, r, ticket_make);
}

/* --- redeeming --- */

struct redeemed {
    struct claims claims;
    bool found;
};

static void take_claims(void *context, size_t index, const redisReply *reply)
{
    struct redeemed *found = context;
    if (index == 0 && reply->type == REDIS_REPLY_STRING && reply->len == sizeof found->claims) {
        memcpy(&found->claims, reply->str, sizeof found->claims);
        found->found = true;
    }
}

bool ticket_redeem(struct request *r, struct pool_thread *thread, struct str ticket)
{
    uint8_t bytes[BYTES];
    struct redeemed found = { 0 };
    if (ticket.len == TICKET_LEN && base64url_decode(ticket, bytes, sizeof bytes)) {
        struct str argv[] = { STR("GETDEL"), key_of(r, bytes) };
        if (run(thread, 2, argv, take_claims, &found) != OK)
            return unavailable(r);
    }
    if (found.found && found.claims.expires_at > r->received_at) {
        r->claims = found.claims;
        return true;
    }
    problem(r, 401, "invalid_ticket", "ticket", "A ticket opens the feed once, within %d seconds.", TTL_S);
    return false;
}
