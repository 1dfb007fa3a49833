/* operations: what became of a command whose request was answered 202. */
#include <stdio.h>

#include "consumers/deciders.h"
#include "consumers/messages/view.h"
#include "consumers/operation.h"
#include "consumers/rejection.h"
#include "consumers/users/view.h"
#include "gateway/commands/accepted.h"
#include "gateway/gateway.h"
#include "gateway/resources.h"
#include "ops/runtime/clock.h"
#include "schemas/accounts.gen.h"

/* An id of this age may be of a command that waits in the log for a worker that is away. */
#define YOUNG_MS (10 * 60 * 1000)

static const struct shape_field operation_fields[] = {
    { "id", SHAPE_UUID, "Of the operation, which is that of its command." },
    { "status", SHAPE_CHOICE, "What is known by now.", .choices = "pending|succeeded|failed" },
    { "createdAt", SHAPE_TIME, "Of the request." },
    { "position", SHAPE_TEXT, "Succeeded: stream/partition@offset of the fact.", .optional = true, .nullable = true,
      .example = "\"rooms/1@3\"" },
    { "code", SHAPE_TEXT, "Failed: as a problem would say it.", .optional = true },
    { "detail", SHAPE_TEXT, "Failed: the same for people.", .optional = true },
    { "location", SHAPE_TEXT, "Succeeded: where what came of it is found.", .optional = true },
    { "resource", SHAPE_ANY, "Succeeded: what came of it.", .optional = true },
    { 0 },
};
const struct shape operation_shape = { "Operation", operation_fields, .param = "operation" };

/* --- the resource a fact made, as far as the fact tells --- */

static const char *room_path(struct arena *arena, struct uuid room, const char *rest)
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(room, id);
    return arena_printf(arena, "/api/v1/rooms/%s%s", id, rest);
}

static void account_resource(struct json *j, const struct account_registered *fact)
{
    struct account_view account = {
        .id = fact->user_id,
        .username = fact->username.clear,
        .email = fact->email.clear,
        .first_name = fact->first_name.clear,
        .last_name = fact->last_name.clear,
        .created_at = fact->meta.at,
    };
    (void)role_bits(fact->roles.items, fact->roles.count, &account.roles);
    json_field_str(j, "location", STR("/api/v1/users/me"));
    json_key(j, "resource");
    account_json(j, &account, ACCOUNT_OWN);
}

/* A changed account, where whoever changed it sees it. */
static struct str account_path(struct arena *arena, const struct any_record *fact)
{
    struct uuid account = accounts_stream.fact.key(fact);
    if (uuid_equal(account, fact->meta.actor))
        return STR("/api/v1/users/me");
    char id[UUID_TEXT_LEN + 1];
    uuid_format(account, id);
    return str_of(arena_printf(arena, "/api/v1/admin/users/%s", id));
}

static void room_resource(struct json *j, const struct room_created *fact, struct arena *arena)
{
    struct room_view room = {
        .id = fact->room_id,
        .name = fact->name.clear,
        .kind = fact->kind,
        .member_count = 1,
        .created_at = fact->meta.at,
    };
    json_field_str(j, "location", str_of(room_path(arena, fact->room_id, "")));
    json_key(j, "resource");
    room_json(j, &room);
}

static void message_resource(struct json *j, const struct message_posted *fact, struct arena *arena)
{
    struct message_view message = {
        .id = fact->message_id,
        .room_id = fact->room_id,
        .sender_id = fact->meta.actor,
        .seq = fact->seq,
        .posted_at = fact->meta.at,
        .body = fact->body.clear,
    };
    const char *rest = arena_printf(arena, "/messages?after=%lld&limit=1", (long long)fact->seq - 1);
    json_field_str(j, "location", str_of(room_path(arena, fact->room_id, rest)));
    json_key(j, "resource");
    message_json(j, &message);
}

static void resource_render(struct json *j, const struct stream *stream, const struct any_record *fact,
                            struct arena *arena)
{
    if (stream == &accounts_stream && fact->type == ACCOUNTS_ACCOUNT_REGISTERED) {
        account_resource(j, &((const struct accounts_fact *)fact)->account_registered);
    } else if (stream == &accounts_stream) {
        json_field_str(j, "location", account_path(arena, fact));
    } else if (stream == &rooms_stream) {
        const struct rooms_fact *f = (const struct rooms_fact *)fact;
        if (f->type == ROOMS_ROOM_CREATED)
            room_resource(j, &f->room_created, arena);
        else if (f->type == ROOMS_MEMBER_JOINED)
            json_field_str(j, "location", str_of(room_path(arena, f->member_joined.room_id, "")));
        else if (f->type == ROOMS_MESSAGE_POSTED)
            message_resource(j, &f->message_posted, arena);
    }
}

static err resource_open(struct request *r, struct pool_thread *thread, const struct stream *stream,
                         struct any_record *fact)
{
    struct uuid subjects[8];
    size_t count = stream->fact.subjects(fact, subjects);
    TRY(vault_fetch(r->gateway->vault, thread->pg, subjects, count));
    return stream->fact.open(fact, r->gateway->vault, &thread->arena);
}

/* --- GET /operations/{operation} --- */

static void answer_pending(struct request *r, int64_t created_at)
{
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_field_uuid(&j, "id", r->ids[0]);
    json_field_str(&j, "status", STR("pending"));
    json_field_time(&j, "createdAt", created_at);
    json_close(&j, '}');
    response_header(r, "Retry-After", "1");
}

static err answer_found(struct request *r, struct pool_thread *thread, const struct outcome *o)
{
    struct any_record *fact = NULL;
    const struct stream *stream = decider_stream(o->stream);
    if (o->rejection == ACCEPTED && o->fact.len > 0 && stream) {
        fact = arena_alloc(&thread->arena, stream->fact.size);
        TRY(stream->fact.decode(thread->codec, o->fact, &thread->arena, fact));
        TRY(resource_open(r, thread, stream, fact));
    }
    struct json j = response_json(r, 200);
    json_open(&j, '{');
    json_field_uuid(&j, "id", r->ids[0]);
    json_field_str(&j, "status", o->rejection == ACCEPTED ? STR("succeeded") : STR("failed"));
    json_field_time(&j, "createdAt", o->at);
    if (o->rejection == ACCEPTED) {
        json_field_str(&j, "position",
                       str_of(arena_printf(&thread->arena, "%.*s/%d@%lld", (int)o->stream.len, o->stream.ptr,
                                           o->partition, (long long)o->offset)));
    } else {
        const struct rejection *rejection = rejection_find(o->rejection);
        json_field_str(&j, "code", str_of(rejection ? rejection->code : "rejected"));
        json_field_str(&j, "detail", str_of(rejection ? rejection->title : "The command was not accepted."));
    }
    if (fact)
        resource_render(&j, stream, fact, &thread->arena);
    json_close(&j, '}');
    return OK;
}

static err operation_answer(struct request *r, struct pool_thread *thread)
{
    struct uuid id = r->ids[0], actor = uuid_nil;
    for (const char *const *worker = operation_workers; *worker; worker++) {
        struct outcome *outcome;
        size_t count;
        TRY(operation_find(thread->pg, &thread->arena, *worker, &id, 1, &outcome, &count));
        if (count == 1 && uuid_equal(outcome->actor, r->claims.user_id))
            return answer_found(r, thread, outcome);
        if (count == 1)
            goto not_found; /* somebody else's */
    }
    int64_t at;
    bool accepted = accepted_find(r->gateway->accepted, thread, id, &actor, &at);
    if (accepted && uuid_equal(actor, r->claims.user_id)) {
        answer_pending(r, at);
        return OK;
    }
    int64_t made = uuid_v7_time(id), now = clock_wall_ms();
    if (!accepted && made > now - YOUNG_MS && made <= now + 1000) {
        answer_pending(r, made);
        return OK;
    }
not_found:
    problem(r, 404, "operation_not_found", NULL, "There is no such operation.");
    return OK;
}

static enum request_step operation_job(struct request *r, struct pool_thread *thread)
{
    err e = operation_answer(r, thread);
    if (e != OK)
        problem_err(r, e);
    return REQUEST_DONE;
}

enum request_step operations_get(struct request *r)
{
    return pool_run(r->gateway->reads, r, operation_job);
}
