#include "gateway/live/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/http/json_arena.h"
#include "gateway/http/route.h"
#include "gateway/http/trace.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/live/catch_up.h"
#include "gateway/live/lane.h"
#include "gateway/live/live.h"
#include "gateway/tokens/token.h"
#include "ops/runtime/clock.h"

#define UNDER_WAY_MAX 32 /* of one listener */
#define REF_MAX       128

const struct command_verb command_verbs[] = {
    { "post", POST, "/api/v1/rooms/{room}/messages", "Post a message: roomId, body, idempotencyKey." },
    { "read", PUT, "/api/v1/rooms/{room}/read", "Say how far one has read: roomId, body." },
    { "typing", POST, "/api/v1/rooms/{room}/typing", "Say that one is writing: roomId." },
    { "authenticate", .doc = "A new token of the same person: the connection lives as long as it does." },
    { "resume", .doc = "What who came with ?hold=true has seen: since, the number of the last message by room." },
    { 0 },
};

/* A request that came over a socket. */
struct command {
    struct request request; /* first */
    struct parcel parcel;
    struct listener *listener;
    struct str ref; /* the client's name for it */
};

/* --- answers --- */

static void answer(struct listener *l, struct str ref, const struct response *response)
{
    struct buf text = { 0 };
    struct json j = json_writer(&text);
    json_open(&j, '{');
    json_field_str(&j, "type", STR("reply"));
    if (ref.len > 0)
        json_field_str(&j, "ref", ref);
    json_field_int(&j, "status", response->status);
    json_key(&j, "headers");
    json_open(&j, '{');
    for (size_t i = 0; i < response->header_count; i++)
        json_field_str(&j, response->headers[i].name, str_of(response->headers[i].value));
    json_close(&j, '}');
    json_key(&j, "body");
    if (response->body.len > 0)
        json_raw(&j, buf_view(&response->body));
    else
        json_none(&j);
    lane_tell(l, buf_view(&text));
    buf_finish(&text);
}

static void command_free(struct command *c)
{
    struct request *r = &c->request;
    arena_finish(&r->arena);
    buf_finish(&r->body_bytes);
    buf_finish(&r->response.body);
    lane_release(c->listener);
    free(c);
}

/* Back on the lane's thread. */
static void take_answer(struct lane *lane, struct parcel *parcel)
{
    (void)lane;
    struct command *c = (struct command *)((char *)parcel - offsetof(struct command, parcel));
    c->listener->commands--;
    answer(c->listener, c->ref, &c->request.response);
    command_free(c);
}

/* Any thread. */
static void on_resumed(struct request *r)
{
    struct command *c = (struct command *)r;
    c->parcel.take = take_answer;
    lane_put(c->listener->lane, &c->parcel);
}

/* --- what a message says --- */

static struct str text_member(json_t *message, const char *name)
{
    json_t *value = json_object_get(message, name);
    return json_is_string(value) ? (struct str){ json_string_value(value), json_string_length(value) }
                                 : (struct str){ 0 };
}

static void refuse(struct command *c, int status, const char *code, const char *field, const char *detail)
{
    problem(&c->request, status, code, field, "%s", detail);
    answer(c->listener, c->ref, &c->request.response);
    command_free(c);
}

static const struct route *route_of(const struct command_verb *verb)
{
    for (const struct route *route = routes; route->path; route++)
        if (route->method == verb->method && strcmp(route->path, verb->path) == 0)
            return route;
    return NULL;
}

static const struct route *find_route(struct str name)
{
    for (const struct command_verb *verb = command_verbs; verb->name; verb++)
        if (verb->path && str_equal(str_of(verb->name), name))
            return route_of(verb);
    return NULL;
}

/* A new token of the same person: the connection lives as long as it does. */
static void authenticate(struct command *c, json_t *message)
{
    struct listener *l = c->listener;
    struct claims claims;
    if (token_check(c->request.gateway->tokens, text_member(message, "token"), c->request.received_at, &claims) != OK) {
        refuse(c, 401, "invalid_token", "token", err_message());
        return;
    }
    if (!uuid_equal(claims.user_id, l->claims.user_id)) {
        refuse(c, 403, "other_person", "token", "This connection belongs to somebody else.");
        return;
    }
    l->claims = claims;
    l->warned = false;
    c->request.response.status = 204;
    answer(l, c->ref, &c->request.response);
    command_free(c);
}

/* What who came with ?hold=true has seen. */
static void resume(struct command *c, json_t *message)
{
    struct listener *l = c->listener;
    const char *why;
    if (l->stage != LISTENER_HELD) {
        refuse(c, 409, "not_held", NULL, "Only who came with ?hold=true says what was seen, and once.");
    } else if (!catch_up_by_number(l, json_object_get(message, "since"), &why)) {
        refuse(c, 400, "invalid_body", "since", why);
    } else {
        c->request.response.status = 204;
        answer(l, c->ref, &c->request.response);
        command_free(c);
    }
}

/* The body as it would have come over HTTP: what the route's checks read, and what tells a retry from
 * another request. */
static void write_body(struct command *c, json_t *message)
{
    json_t *body = json_object_get(message, "body");
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (text)
        buf_str(&c->request.body_bytes, str_of(text));
    free(text);
}

static void run(struct command *c, const struct route *route, json_t *message)
{
    struct request *r = &c->request;
    struct listener *l = c->listener;
    struct str room = text_member(message, "roomId"), key = text_member(message, "idempotencyKey");
    char path[256];
    r->route = route;
    if (!uuid_parse(room, &r->ids[0])) {
        refuse(c, 400, "bad_path", "roomId", "must be a UUID in the form 8-4-4-4-12.");
        return;
    }
    if (key.len > 255) {
        refuse(c, 400, "invalid_body", "idempotencyKey", "may have at most 255 characters.");
        return;
    }
    write_body(c, message);
    if (r->body_bytes.len > (size_t)config_int(r->gateway->config, "gateway.max_body_bytes")) {
        refuse(c, 413, "too_large", "body", "is larger than a request's body may be.");
        return;
    }
    if (!rate_limits_admit(r, LIMIT_BY_USER) || (route->body && !body_check(r))) {
        answer(l, c->ref, &r->response);
        command_free(c);
        return;
    }
    const char *brace = strchr(route->path, '{');
    snprintf(path, sizeof path, "%.*s%.*s%s", (int)(brace - route->path), route->path, (int)room.len, room.ptr,
             strchr(brace, '}') + 1);
    request_hash(r, str_of(method_name(route->method)), str_of(path), r->gateway->hash_key);
    r->has_idempotency_key = key.len > 0;
    r->command_id = key.len > 0 ? uuid_v5(r->claims.user_id, key) : uuid_v7(r->received_at);
    l->commands++;
    if (route->run(r) == REQUEST_DONE) {
        l->commands--;
        answer(l, c->ref, &r->response);
        command_free(c);
    }
}

static void begin(struct command *c)
{
    struct request *r = &c->request;
    r->gateway = live_gateway(lane_live(c->listener->lane));
    r->resumed = on_resumed;
    r->claims = c->listener->claims;
    r->received_at = clock_wall_ms();
    r->deadline_us = clock_mono_us() + config_int(r->gateway->config, "gateway.deadline_ms") * 1000;
    uuid_format(uuid_v7(r->received_at), r->request_id);
    trace_continue((struct str){ 0 }, r->trace);
}

void command_take(struct listener *l, struct str text)
{
    struct command *c = mem_alloc(sizeof *c);
    c->listener = l;
    lane_hold(l);
    arena_init(&c->request.arena, 4096);
    begin(c);
    json_error_t error;
    json_t *message = json_parse(&c->request.arena, text, &error);
    if (!json_is_object(message)) {
        refuse(c, 400, "malformed_json", NULL,
               "A message is a JSON object: {\"do\":\"post\",\"roomId\":…,\"body\":{…}}.");
        return;
    }
    struct str ref = text_member(message, "ref"), name = text_member(message, "do");
    if (ref.len > REF_MAX) {
        refuse(c, 400, "invalid_body", "ref", "may have at most 128 bytes.");
        return;
    }
    c->ref = ref;
    const struct route *route = find_route(name);
    if (str_equal(name, STR("authenticate")))
        authenticate(c, message);
    else if (str_equal(name, STR("resume")))
        resume(c, message);
    else if (!route)
        refuse(c, 400, "unknown_command", "do", "is one of post, read, typing, authenticate, resume.");
    else if (l->commands >= UNDER_WAY_MAX)
        refuse(c, 503, "overloaded", NULL, "Wait for the replies of those that are under way.");
    else
        run(c, route, message);
}
