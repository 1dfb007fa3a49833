/* members: what is done to the members of a room, and by them: roles, kick, ban, transfer. */
#include "consumers/messages/view.h"
#include "gateway/gateway.h"
#include "gateway/list.h"
#include "gateway/resources.h"

static const struct body_field role_fields[] = {
    { "role", FIELD_CHOICE, .required = true, .choices = "admin|member|readOnly", .enumeration = "GrantedRoomRole",
      .doc = "What they may do." },
    { 0 },
};
const struct body member_role_body = { "MemberRole", role_fields };

static const struct body_field transfer_fields[] = {
    { "userId", FIELD_UUID, .required = true, .doc = "The member who owns the room from now on." },
    { 0 },
};
const struct body transfer_room_body = { "TransferRoom", transfer_fields };

#define REASON "reason", FIELD_TEXT, .max = 500, .pattern = "prose", .doc = "Why."

static const struct body_field kick_fields[] = { { REASON }, { 0 } };
const struct body kick_member_body = { "KickMember", kick_fields };

static const struct body_field ban_fields[] = {
    { REASON },
    { "until", FIELD_TIME, .future = true, .doc = "When it ends; left out: it does not." },
    { 0 },
};
const struct body ban_member_body = { "BanMember", ban_fields };

static const struct shape_field ban_shape_fields[] = {
    { "userId", SHAPE_UUID, "Who is kept out." },
    { "bannedBy", SHAPE_UUID, "By whom." },
    { "bannedAt", SHAPE_TIME, "Since when." },
    { "until", SHAPE_TIME, "Until when; null: for good.", .nullable = true },
    { "reason", SHAPE_TEXT, "Why; empty when none was given, or erased.", .example = "\"Advertising\"" },
    { 0 },
};
const struct shape ban_shape = { "Ban", ban_shape_fields };

/* --- GET /rooms/{room}/bans --- */

static err bans_load(struct request *r, struct pool_thread *thread)
{
    const struct list *l = r->state;
    struct room_view room;
    struct ban_view *bans;
    size_t count;
    bool member;
    TRY(room_as_member(r, thread, &room, &member));
    if (!member)
        return OK;
    if (room.role > MEMBER_ROLE_ADMIN) {
        problem(r, 403, "room_role_required", NULL, "Your role in this room does not allow this.");
        return OK;
    }
    TRY(ban_list(thread->pg, &thread->arena, room.id, list_after_id(l), l->limit + 1, &bans, &count));
    const size_t shown = count < (size_t)l->limit ? count : (size_t)l->limit;
    struct json j = list_open(r);
    for (size_t i = 0; i < shown; i++) {
        json_open(&j, '{');
        json_field_uuid(&j, "userId", bans[i].user_id);
        json_field_uuid(&j, "bannedBy", bans[i].banned_by);
        json_field_time(&j, "bannedAt", bans[i].banned_at);
        json_key(&j, "until");
        if (bans[i].until)
            json_time(&j, bans[i].until);
        else
            json_none(&j);
        json_field_str(&j, "reason", bans[i].reason);
        json_close(&j, '}');
    }
    list_close_id(r, &j, l, count > shown, shown > 0 ? bans[shown - 1].user_id : uuid_nil);
    return OK;
}

enum request_step rooms_bans(struct request *r)
{
    return list_of(r, "bans", r->ids[0], bans_load);
}
