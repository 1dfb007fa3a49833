/* operations: what became of a command whose request was answered 202. */
#include <stdio.h>

#include "consumers/outcome/deciders.h"
#include "consumers/outcome/operation.h"
#include "consumers/outcome/rejection.h"
#include "gateway/commands/accepted.h"
#include "gateway/gateway.h"
#include "gateway/pool.h"
#include "gateway/resources.h"
#include "ops/runtime/clock.h"
#include "schemas/accounts.gen.h"
#include "schemas/rooms.gen.h"

/* An id of this age may be of a command that waits in the log for a worker that is away. */
#define YOUNG_MS (10 * 60 * 1000)

static const struct shape_field operation_fields[] = {
    { "id", SHAPE_UUID, "Of the operation, which is that of its command." },
    { "status", SHAPE_CHOICE, "What is known by now.", .choices = "pending|succeeded|failed",
      .enumeration = "OperationStatus" },
    { "createdAt", SHAPE_TIME, "Of the request." },
    { "position", SHAPE_TEXT, "Succeeded: stream/partition@offset of the fact.", .optional = true, .nullable = true,
      .example = "\"rooms/1@3\"" },
    { "code", SHAPE_TEXT, "Failed: as a problem would say it.", .optional = true },
    { "detail", SHAPE_TEXT, "Failed: the same for people.", .optional = true },
    { "location", SHAPE_TEXT, "Succeeded: where what came of it is found.", .optional = true },
    { "resource", SHAPE_ANY, "Succeeded: what came of it, as it is there now.", .optional = true },
    { 0 },
};
const struct shape operation_shape = { "Operation", operation_fields, .param = "operation" };

/* --- what came of it --- */

/* Where it is found, and who answers there: the resource of an operation is what that URL gives to whoever asks. */
struct result {
    const char *location; /* NULL: nothing came of it that has a place of its own */
    pool_job *show;       /* of r->ids[0]; NULL: it is not shown */
    struct uuid id;
};

static struct result room_result(struct arena *arena, struct uuid room)
{
    char id[UUID_TEXT_LEN + 1];
    uuid_format(room, id);
    return (struct result){ arena_printf(arena, "/api/v1/rooms/%s", id), room_show, room };
}

static struct result message_result(struct arena *arena, struct uuid room, struct uuid message)
{
    char ids[2][UUID_TEXT_LEN + 1];
    uuid_format(room, ids[0]);
    uuid_format(message, ids[1]);
    return (struct result){ arena_printf(arena, "/api/v1/rooms/%s/messages/%s", ids[0], ids[1]), message_show,
                            message };
}

/* An account, where whoever registered or changed it sees it. */
static struct result account_result(struct arena *arena, const struct request *r, const struct any_record *fact)
{
    const struct uuid account = accounts_stream.fact.key(fact);
    if (uuid_equal(account, fact->meta.actor))
        return (struct result){ "/api/v1/users/me", own_account, account };
    char id[UUID_TEXT_LEN + 1];
    uuid_format(account, id);
    return (struct result){ arena_printf(arena, "/api/v1/admin/users/%s", id),
                            r->claims.roles & ROLE_ADMIN ? account_show : NULL, account };
}

static struct result rooms_result(struct arena *arena, const struct rooms_fact *f)
{
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED:
    case ROOMS_ROOM_CHANGED:
    case ROOMS_ROOM_TRANSFERRED:
    case ROOMS_ROLE_CHANGED:
    case ROOMS_MEMBER_JOINED:
        return room_result(arena, rooms_stream.fact.key((const struct any_record *)f));
    case ROOMS_MESSAGE_POSTED:
        return message_result(arena, f->message_posted.room_id, f->message_posted.message_id);
    case ROOMS_MESSAGE_EDITED:
        return message_result(arena, f->message_edited.room_id, f->message_edited.message_id);
    case ROOMS_MESSAGE_DELETED:
        return message_result(arena, f->message_deleted.room_id, f->message_deleted.message_id);
    case ROOMS_MESSAGE_PINNED:
        return message_result(arena, f->message_pinned.room_id, f->message_pinned.message_id);
    case ROOMS_MESSAGE_UNPINNED:
        return message_result(arena, f->message_unpinned.room_id, f->message_unpinned.message_id);
    case ROOMS_REACTION_ADDED:
        return message_result(arena, f->reaction_added.room_id, f->reaction_added.message_id);
    case ROOMS_REACTION_REMOVED:
        return message_result(arena, f->reaction_removed.room_id, f->reaction_removed.message_id);
    case ROOMS_MESSAGE_SCHEDULED:
        return (struct result){ "/api/v1/scheduled", scheduled_show, f->message_scheduled.message_id };
    case ROOMS_MEMBER_LEFT:
    case ROOMS_MEMBER_REMOVED:
    case ROOMS_MEMBER_BANNED:
    case ROOMS_MEMBER_UNBANNED:
    case ROOMS_MEMBER_INVITED:
    case ROOMS_INVITATION_WITHDRAWN:
    case ROOMS_SCHEDULED_MESSAGE_CANCELED:
    case ROOMS_SCHEDULED_MESSAGE_WITHHELD:
    case ROOMS_FACT_NONE:
        break; /* answered 204 */
    }
    return (struct result){ 0 };
}

/* The resource as its own URL gives it, in the thread's arena; empty where it gives none (any more). */
static struct str resource_of(struct request *r, struct pool_thread *thread, const struct result *result)
{
    struct str resource = { 0 };
    if (!result->show)
        return resource;
    const struct uuid operation = r->ids[0];
    r->ids[0] = result->id;
    (void)result->show(r, thread); /* none of them suspends */
    r->ids[0] = operation;
    if (r->response.status == 200)
        resource = arena_str(&thread->arena, buf_view(&r->response.body));
    r->response.header_count = 0;
    r->response.content_type = NULL;
    return resource;
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
    struct result result = { 0 };
    const struct stream *stream = decider_stream(o->stream);
    if (o->rejection == ACCEPTED && o->fact.len > 0 && stream) {
        struct any_record *fact = arena_alloc(&thread->arena, stream->fact.size);
        TRY(stream->fact.decode(thread->codec, o->fact, &thread->arena, fact));
        if (stream == &accounts_stream)
            result = account_result(&thread->arena, r, fact);
        else if (stream == &rooms_stream)
            result = rooms_result(&thread->arena, (const struct rooms_fact *)fact);
    }
    const struct str resource = resource_of(r, thread, &result);
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
    if (result.location)
        json_field_str(&j, "location", str_of(result.location));
    if (resource.len > 0) {
        json_key(&j, "resource");
        json_raw(&j, resource);
    }
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
