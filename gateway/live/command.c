#include "gateway/live/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/http/http_check.h"
#include "gateway/http/json_arena.h"
#include "gateway/http/route.h"
#include "gateway/http/trace.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/live/catch_up.h"
#include "gateway/live/lane.h"
#include "gateway/live/live.h"
#include "gateway/tokens/access.h"
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
    struct command *next; /* of its listener, when it waits to be asked for */
    struct str ref;       /* the client's name for it */
    json_t *message;      /* in the request's arena */
    const struct route *route;
    void (*act)(struct command *c);
    size_t bytes;
    bool under_way, admitted;
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
    c->listener->commands -= c->under_way;
    c->listener->commands_bytes -= c->bytes;
    arena_finish(&r->arena);
    buf_finish(&r->body_bytes);
    buf_finish(&r->response.body);
    lane_release(c->listener);
    free(c);
}

static void answer_and_free(struct command *c)
{
    answer(c->listener, c->ref, &c->request.response);
    command_free(c);
}

/* Back on the lane's thread, with the answer. */
static void take_answer(struct lane *lane, struct parcel *parcel)
{
    (void)lane;
    answer_and_free((struct command *)((char *)parcel - offsetof(struct command, parcel)));
}

static void take_admission(struct lane *lane, struct parcel *parcel);

/* Any thread. */
static void on_resumed(struct request *r)
{
    struct command *c = (struct command *)r;
    c->parcel.take = c->admitted ? take_answer : take_admission;
    lane_put(c->listener->lane, &c->parcel);
}

/* --- what a message says --- */

static struct str text_member(json_t *message, const char *name)
{
    json_t *value = json_object_get(message, name);
    return json_is_string(value) ? (struct str){ json_string_value(value), json_string_length(value) }
                                 : (struct str){ 0 };
}

/* Null is as good as nothing. */
static bool has_member(json_t *message, const char *name)
{
    json_t *value = json_object_get(message, name);
    return value && !json_is_null(value);
}

static void refuse(struct command *c, int status, const char *code, const char *field, const char *detail)
{
    problem(&c->request, status, code, field, "%s", detail);
    answer_and_free(c);
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

/* A new token of the same person, whose session lives: the connection lives as long as it does. */
static void authenticate(struct command *c)
{
    struct listener *l = c->listener;
    l->claims = c->request.claims;
    l->warned = false;
    lane_recheck(l); /* should it have ended since it was asked for */
    c->request.response.status = 204;
    answer_and_free(c);
}

/* What who came with ?hold=true has seen. */
static void resume(struct command *c)
{
    struct listener *l = c->listener;
    const char *why;
    if (l->stage != LISTENER_HELD) {
        refuse(c, 409, "not_held", NULL, "Only who came with ?hold=true says what was seen, and once.");
    } else if (!catch_up_by_number(l, json_object_get(c->message, "since"), &why)) {
        refuse(c, 400, "invalid_body", "since", why);
    } else {
        c->request.response.status = 204;
        answer_and_free(c);
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

static void run(struct command *c)
{
    struct request *r = &c->request;
    const struct route *route = c->route;
    struct str room = text_member(c->message, "roomId"), key = text_member(c->message, "idempotencyKey");
    char path[256];
    r->route = route;
    if (!uuid_parse(room, &r->ids[0])) {
        refuse(c, 400, "bad_path", "roomId", "must be a UUID in the form 8-4-4-4-12.");
        return;
    }
    if (has_member(c->message, "idempotencyKey") && !http_is_idempotency_key(key)) {
        refuse(c, 400, "invalid_body", "idempotencyKey", "must be 1 to 255 printable ASCII characters without spaces.");
        return;
    }
    write_body(c, c->message);
    if (r->body_bytes.len > (size_t)config_int(r->gateway->config, "gateway.max_body_bytes")) {
        refuse(c, 413, "too_large", "body", "is larger than a request's body may be.");
        return;
    }
    if (route->body && !body_check(r)) {
        answer_and_free(c);
        return;
    }
    const char *brace = strchr(route->path, '{');
    snprintf(path, sizeof path, "%.*s%.*s%s", (int)(brace - route->path), route->path, (int)room.len, room.ptr,
             strchr(brace, '}') + 1);
    request_hash(r, str_of(method_name(route->method)), str_of(path), r->gateway->hash_key);
    r->has_idempotency_key = key.len > 0;
    r->command_id = key.len > 0 ? uuid_v5(r->claims.user_id, key) : uuid_v7(r->received_at);
    if (route->run(r) == REQUEST_DONE)
        answer_and_free(c);
}

/* --- whether the session lives --- */

/* As access.h does for HTTP, but never from memory: a token of a session that has ended must not renew a connection. */
static void ask_for_new_sessions(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct access *items = ARENA_ARRAY(&thread->arena, struct access, count);
    for (size_t i = 0; i < count; i++)
        items[i] = (struct access){ .user = requests[i]->claims.user_id, .session = requests[i]->claims.session_id };
    err e = access_ask(requests[0]->gateway, thread, items, count, NULL);
    for (size_t i = 0; i < count; i++) {
        struct request *r = requests[i];
        if (e != OK)
            problem_err(r, e);
        else if (items[i].suspended)
            access_refuse_suspended(r, items[i].suspended_until);
        else if (!items[i].live)
            problem(r, 401, "session_ended", "token", "The session of this token has ended; log in again.");
        else
            r->claims.roles = items[i].roles;
    }
}

static enum request_step ask_for_token(struct command *c)
{
    struct request *r = &c->request;
    struct listener *l = c->listener;
    if (token_check(r->gateway->tokens, text_member(c->message, "token"), r->received_at, &r->claims) != OK)
        problem(r, 401, "invalid_token", "token", "%s", err_message());
    else if (!uuid_equal(r->claims.user_id, l->claims.user_id))
        problem(r, 403, "other_person", "token", "This connection belongs to somebody else.");
    else
        return pool_run_batched(r->gateway->reads, r, ask_for_new_sessions);
    return REQUEST_DONE;
}

/* DONE: it is known; the response is filled when the answer is no. */
static enum request_step ask(struct command *c)
{
    struct request *r = &c->request;
    if (c->act == authenticate)
        return ask_for_token(c);
    r->claims = c->listener->claims;
    if (r->claims.expires_at > r->received_at)
        return access_admit(r);
    problem(r, 401, "invalid_token", NULL, "The token of this connection has expired.");
    return REQUEST_DONE;
}

/* The first in line has been asked for. */
static void take_turn(struct command *c)
{
    struct listener *l = c->listener;
    int status = c->request.response.status;
    bool ends = c->act != authenticate && (status == 401 || status == 403);
    l->asking = c->next;
    if (!l->asking)
        l->last_asking = &l->asking;
    c->admitted = true;
    if (status == 0) {
        c->act(c);
        return;
    }
    lane_hold(l);
    bool expired = l->claims.expires_at <= c->request.received_at;
    answer_and_free(c);
    if (ends && expired)
        lane_close(l, CLOSE_TOKEN_EXPIRED, "the token has expired");
    else if (ends)
        lane_close(l, CLOSE_SESSION_ENDED, "the session has ended");
    lane_release(l);
}

/* One after the other: what a client says comes in the order in which it said it. */
static void ask_in_turn(struct listener *l)
{
    lane_hold(l);
    for (struct command *c; (c = l->asking) && ask(c) == REQUEST_DONE;)
        take_turn(c);
    lane_release(l);
}

static void take_admission(struct lane *lane, struct parcel *parcel)
{
    (void)lane;
    struct command *c = (struct command *)((char *)parcel - offsetof(struct command, parcel));
    struct listener *l = c->listener;
    lane_hold(l);
    take_turn(c);
    ask_in_turn(l);
    lane_release(l);
}

/* --- what came --- */

static struct command *command_create(struct listener *l, struct str text)
{
    struct command *c = mem_alloc(sizeof *c);
    struct request *r = &c->request;
    c->listener = l;
    lane_hold(l);
    c->bytes = sizeof *c + text.len;
    l->commands_bytes += c->bytes;
    arena_init(&r->arena, 4096);
    r->gateway = live_gateway(lane_live(l->lane));
    r->resumed = on_resumed;
    r->claims = l->claims;
    r->received_at = clock_wall_ms();
    r->deadline_us = clock_mono_us() + config_int(r->gateway->config, "gateway.deadline_ms") * 1000;
    uuid_format(uuid_v7(r->received_at), r->request_id);
    trace_continue((struct str){ 0 }, r->trace);
    return c;
}

void command_take(struct listener *l, struct str text)
{
    struct command *c = command_create(l, text);
    json_error_t error;
    c->message = json_parse(&c->request.arena, text, &error);
    struct str ref = text_member(c->message, "ref"), name = text_member(c->message, "do");
    if (ref.len <= REF_MAX)
        c->ref = ref;
    c->route = find_route(name);
    c->act = str_equal(name, STR("authenticate")) ? authenticate
             : str_equal(name, STR("resume"))     ? resume
             : c->route                           ? run
                                                  : NULL;
    if (!rate_limits_admit(&c->request, LIMIT_BY_USER))
        answer_and_free(c);
    else if (!json_is_object(c->message))
        refuse(c, 400, "malformed_json", NULL,
               "A message is a JSON object: {\"do\":\"post\",\"roomId\":…,\"body\":{…}}.");
    else if (has_member(c->message, "ref") && (!ref.ptr || ref.len > REF_MAX))
        refuse(c, 400, "invalid_body", "ref", "must be a string of at most 128 bytes.");
    else if (!c->act)
        refuse(c, 400, "unknown_command", "do", "is one of post, read, typing, authenticate, resume.");
    else if (l->commands >= UNDER_WAY_MAX)
        refuse(c, 503, "overloaded", NULL, "Wait for the replies of those that are under way.");
    else {
        bool first = !l->asking;
        l->commands++;
        c->under_way = true;
        *l->last_asking = c;
        l->last_asking = &c->next;
        if (first)
            ask_in_turn(l);
    }
}
