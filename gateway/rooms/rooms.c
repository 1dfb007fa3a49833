/* rooms: create, show; their members. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>

#include "consumers/messages/view.h"
#include "consumers/users/view.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "gateway/resources.h"
#include "ops/runtime/clock.h"

static const struct body_field create_room_fields[] = {
    { "name", FIELD_TEXT, .required = true, .min = 1, .max = 100, .pattern = "name",
      .doc = "What people call the room." },
    { "kind", FIELD_CHOICE, .choices = "public|private", .enumeration = "NewRoomKind",
      .doc = "Who may find and join it; public when left out." },
    { 0 },
};
const struct body create_room_body = { "CreateRoom", create_room_fields };

/* room_json */
static const struct shape_field room_fields[] = {
    { "id", SHAPE_UUID, "Of the room." },
    { "name", SHAPE_TEXT, "What people call it; empty when who named it has been erased.", .example = "\"Engines\"" },
    { "kind", SHAPE_CHOICE, "Who may find and join it.", .choices = "public|private|direct",
      .enumeration = "RoomKind" },
    { "memberCount", SHAPE_INT, "People in it." },
    { "lastSeq", SHAPE_INT, "Number of its newest message; 0: none yet." },
    { "createdAt", SHAPE_TIME, "When it was opened." },
    { "description", SHAPE_TEXT, "What it is for.", .optional = true },
    { "topic", SHAPE_TEXT, "What is talked about now.", .optional = true },
    { "slowModeSeconds", SHAPE_INT, "Between two posts of a plain member.", .optional = true },
    { "timeToLiveSeconds", SHAPE_INT, "After which new messages are deleted.", .optional = true },
    { "archivedAt", SHAPE_TIME, "When it was archived.", .optional = true },
    { "peerId", SHAPE_UUID, "In a direct conversation: the other person.", .optional = true },
    { "role", SHAPE_CHOICE, "One's own, where one is a member (one room, scope=mine).",
      .choices = "owner|admin|member|readOnly", .enumeration = "RoomRole", .optional = true },
    { "unreadCount", SHAPE_INT, "Messages that one has not read; likewise.", .optional = true },
    { "lastMessage", SHAPE_OBJECT, "The newest; null: there is none; likewise.", .of = &message_shape, .nullable = true,
      .optional = true },
    { 0 },
};
const struct shape room_shape = { "Room", room_fields, .param = "room" };

static const struct shape_field member_fields[] = {
    { "userId", SHAPE_UUID, "Who it is." },
    { "username", SHAPE_TEXT, "Empty when erased.", .example = "\"ada\"" },
    { "role", SHAPE_CHOICE, "In this room.", .choices = "owner|admin|member|readOnly", .enumeration = "RoomRole" },
    { "joinedAt", SHAPE_TIME, "Since when." },
    { 0 },
};
const struct shape member_shape = { "Member", member_fields };

void room_refuse(struct request *r, bool exists)
{
    if (exists)
        problem(r, 403, "not_a_member", NULL, "You are not a member of this room.");
    else
        problem(r, 404, "room_not_found", NULL, "There is no such room.");
}

err room_as_member(struct request *r, struct pool_thread *thread, struct room_view *ret, bool *ret_member)
{
    bool found;
    TRY(room_find(thread->pg, &thread->arena, r->ids[0], r->claims.user_id, ret, &found));
    *ret_member = found && ret->is_member;
    if (!*ret_member)
        room_refuse(r, found);
    return OK;
}

/* --- POST /rooms --- */

/* A repeated request draws another id, yet must meet the same worker as the first, since that one knows the command. So
 * with an Idempotency-Key the id is drawn until it falls into the partition that the command id names. */
static struct uuid room_id_draw(struct request *r)
{
    struct uuid id;
    int partitions = r->gateway->rooms_partitions;
    int wanted = (r->command_id.bytes[14] << 8 | r->command_id.bytes[15]) % partitions;
    char text[UUID_TEXT_LEN + 1];
    do {
        id = uuid_v7(r->received_at);
        uuid_format(id, text);
    } while (r->has_idempotency_key &&
             rd_kafka_msg_partitioner_murmur2(NULL, text, UUID_TEXT_LEN, partitions, NULL, NULL) != wanted);
    return id;
}

static enum request_step room_created(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    const struct room_created *created = &((const struct rooms_fact *)fact)->room_created;
    struct room_view room = {
        .id = created->room_id,
        .name = body_str(r, "name"),
        .kind = created->kind,
        .member_count = 1,
        .created_at = created->meta.at,
    };
    char id[UUID_TEXT_LEN + 1];
    uuid_format(room.id, id);
    struct json j = response_json(r, 201);
    room_json(&j, &room);
    response_header(r, "Location", "/api/v1/rooms/%s", id);
    return REQUEST_DONE;
}

static enum request_step room_create(struct request *r, struct pool_thread *thread)
{
    struct uuid id = room_id_draw(r);
    err e = vault_ensure(r->gateway->vault, thread->pg, &id, 1);
    r->fresh_subject = id;
    if (e != OK) {
        problem_err(r, e);
        return REQUEST_DONE;
    }
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = ROOMS_CREATE_ROOM;
    c->create_room = (struct create_room){
        .room_id = id,
        .name = { .clear = body_str(r, "name") },
        .kind = str_equal(body_str(r, "kind"), STR("private")) ? ROOM_KIND_PRIVATE : ROOM_KIND_PUBLIC,
    };
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, room_created);
}

enum request_step rooms_create(struct request *r)
{
    return pool_run(r->gateway->reads, r, room_create);
}

/* --- GET /rooms/{room} --- */

/* `done`: a command has been carried out, so the answer cannot be that there is no such room. */
static enum request_step show(struct request *r, struct pool_thread *thread, bool done)
{
    struct room_view room;
    bool found;
    const err e = room_find_unread(thread->pg, &thread->arena, r->ids[0], r->claims.user_id, &room, &found);
    if (e != OK) {
        problem_err(r, e);
    } else if (!found && done) {
        r->response.status = 204;
    } else if (!found) {
        room_refuse(r, false);
    } else {
        struct json j = response_json(r, 200);
        room_json(&j, &room);
        response_header(r, "ETag", "\"%lld\"", (long long)room.version);
    }
    return REQUEST_DONE;
}

enum request_step room_show(struct request *r, struct pool_thread *thread)
{
    return show(r, thread, false);
}

enum request_step rooms_get(struct request *r)
{
    return pool_run(r->gateway->reads, r, room_show);
}

static enum request_step show_changed(struct request *r, struct pool_thread *thread)
{
    return show(r, thread, true);
}

enum request_step room_changed(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    return pool_run(r->gateway->reads, r, show_changed);
}

/* --- GET /rooms/{room}/members --- */

static void members_render(struct request *r, const struct list *l, const struct member_view *members, size_t count,
                           const struct str *usernames)
{
    size_t shown = count < (size_t)l->limit ? count : (size_t)l->limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++) {
        json_open(&j, '{');
        json_field_uuid(&j, "userId", members[i].user_id);
        json_field_str(&j, "username", usernames[i]);
        json_field_str(&j, "role", str_of(members[i].role));
        json_field_time(&j, "joinedAt", members[i].joined_at);
        json_close(&j, '}');
    }
    list_close_id(r, &j, l, count > shown, shown > 0 ? members[shown - 1].user_id : uuid_nil);
}

static err members_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct arena *arena = &thread->arena;
    struct room_view room;
    bool member;
    TRY(room_as_member(r, thread, &room, &member));
    if (!member)
        return OK;
    struct member_view *members;
    size_t count;
    TRY(member_list(thread->pg, arena, r->ids[0], list_after_id(l), l->limit + 1, &members, &count));
    struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count + 1);
    struct str *usernames = ARENA_ARRAY(arena, struct str, count + 1);
    for (size_t i = 0; i < count; i++)
        ids[i] = members[i].user_id;
    TRY(account_usernames(thread->pg, arena, ids, count, usernames));
    members_render(r, l, members, count, usernames);
    return OK;
}

enum request_step rooms_members(struct request *r)
{
    return list_of(r, "members", r->ids[0], members_load);
}
