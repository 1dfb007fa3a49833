/* members: what is done to the members of a room, and by them: leave, roles, kick, ban, transfer. */
#include "consumers/messages/view.h"
#include "gateway/gateway.h"
#include "gateway/if_match.h"
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
    { "until", FIELD_TIME, .doc = "When it ends; left out: it does not." },
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

static enum request_step done(struct request *r, const struct outcome *outcome, const struct any_record *fact)
{
    (void)outcome;
    (void)fact;
    r->response.status = 204;
    return REQUEST_DONE;
}

static struct rooms_command *new_command(struct request *r, int type)
{
    struct rooms_command *c = ARENA_NEW(&r->arena, struct rooms_command);
    c->type = type;
    return c;
}

static enum request_step send(struct request *r, struct rooms_command *c)
{
    return dispatch_command(r, &rooms_stream, (struct any_record *)c, r->claims.user_id, done);
}

enum request_step rooms_leave(struct request *r)
{
    struct rooms_command *c = new_command(r, ROOMS_LEAVE_ROOM);
    c->leave_room = (struct leave_room){ .room_id = r->ids[0], .user_id = r->claims.user_id };
    return send(r, c);
}

/* Without PostgreSQL: the version that the client names is the one that is expected. */
static bool read_version(struct request *r, int64_t *ret)
{
    struct if_match match = { 0 };
    if (!if_match_read(r, &match))
        return false;
    *ret = if_match_expects(&match, match.count > 0 ? match.versions[0] : 0);
    return true;
}

enum request_step members_role(struct request *r)
{
    struct rooms_command *c = new_command(r, ROOMS_CHANGE_ROLE);
    c->change_role = (struct change_role){ .room_id = r->ids[0], .user_id = r->ids[1] };
    if (!member_role_read(body_str(r, "role"), &c->change_role.role) ||
        !read_version(r, &c->change_role.expected_version))
        return REQUEST_DONE;
    return send(r, c);
}

enum request_step rooms_transfer(struct request *r)
{
    struct rooms_command *c = new_command(r, ROOMS_TRANSFER_ROOM);
    c->transfer_room = (struct transfer_room){ .room_id = r->ids[0] };
    body_uuid(r, "userId", &c->transfer_room.user_id);
    if (!read_version(r, &c->transfer_room.expected_version))
        return REQUEST_DONE;
    return send(r, c);
}

enum request_step members_kick(struct request *r)
{
    struct rooms_command *c = new_command(r, ROOMS_REMOVE_MEMBER);
    c->remove_member = (struct remove_member){ .room_id = r->ids[0],
                                               .user_id = r->ids[1],
                                               .reason = { .clear = body_str(r, "reason") } };
    return send(r, c);
}

enum request_step members_ban(struct request *r)
{
    struct rooms_command *c = new_command(r, ROOMS_BAN_MEMBER);
    c->ban_member =
        (struct ban_member){ .room_id = r->ids[0], .user_id = r->ids[1], .reason = { .clear = body_str(r, "reason") } };
    if (body_time(r, "until", &c->ban_member.until) && c->ban_member.until <= r->received_at) {
        problem(r, 400, "invalid_body", "until", "must be in the future.");
        return dispatch_refused(r, NULL, &rooms_stream, r->claims.user_id, done);
    }
    return send(r, c);
}

enum request_step members_unban(struct request *r)
{
    struct rooms_command *c = new_command(r, ROOMS_UNBAN_MEMBER);
    c->unban_member = (struct unban_member){ .room_id = r->ids[0], .user_id = r->ids[1] };
    return send(r, c);
}

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
