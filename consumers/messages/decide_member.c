/* Members: who comes, who goes, who may do what. */
#include "consumers/messages/rules.h"

/* Public rooms can be joined by oneself, others by who is invited. */
int decide_join_room(const struct rooms_state *s, const struct join_room *c, struct rooms_fact *ret)
{
    if (!uuid_equal(c->user_id, c->meta.actor))
        return FORBIDDEN_ACTOR;
    const struct room *room = room_known(s, c->room_id);
    if (!room)
        return ROOM_NOT_FOUND;
    const struct member *user = member_known(s, c->room_id, c->user_id);
    if (is_member(user))
        return ALREADY_A_MEMBER;
    if (room->kind != ROOM_KIND_PUBLIC && uuid_is_nil(user->invited_by))
        return ROOM_NOT_FOUND;
    if (is_banned(user, c->meta.at))
        return BANNED;
    if (room->archived)
        return ROOM_ARCHIVED;
    ret->type = ROOMS_MEMBER_JOINED;
    ret->member_joined =
        (struct member_joined){ .room_id = c->room_id, .user_id = c->user_id, .after_seq = room->last_seq };
    return ACCEPTED;
}

/* An owner leaves last, or hands the room on first. */
int decide_leave_room(const struct rooms_state *s, const struct leave_room *c, struct rooms_fact *ret)
{
    if (!uuid_equal(c->user_id, c->meta.actor))
        return FORBIDDEN_ACTOR;
    struct scene scene;
    const int refused = scene_enter(s, c->room_id, c->meta.actor, false, &scene);
    if (refused)
        return refused;
    if (scene.room->kind == ROOM_KIND_DIRECT)
        return DIRECT_ROOM;
    if (scene.actor->role == MEMBER_ROLE_OWNER && scene.room->member_count > 1)
        return OWNER_MUST_TRANSFER;
    ret->type = ROOMS_MEMBER_LEFT;
    ret->member_left = (struct member_left){ .room_id = c->room_id, .user_id = c->user_id };
    return ACCEPTED;
}

/* The actor stands above the member. */
static int oversee(const struct rooms_state *s, struct uuid room, struct uuid actor, struct uuid user,
                   struct scene *ret)
{
    const int refused = scene_enter(s, room, actor, false, ret);
    if (refused)
        return refused;
    if (ret->room->kind == ROOM_KIND_DIRECT)
        return DIRECT_ROOM;
    if (!moderates(ret->actor))
        return ROOM_ROLE_REQUIRED;
    const struct member *member = member_known(s, room, user);
    if (!is_member(member))
        return MEMBER_NOT_FOUND;
    return outranks(ret->actor, member) ? ACCEPTED : ROOM_ROLE_REQUIRED;
}

/* Nobody gives a role that is not below their own. */
int decide_change_role(const struct rooms_state *s, const struct change_role *c, struct rooms_fact *ret)
{
    struct scene scene;
    const int refused = oversee(s, c->room_id, c->meta.actor, c->user_id, &scene);
    if (refused)
        return refused;
    if (c->role <= scene.actor->role)
        return ROOM_ROLE_REQUIRED;
    if (c->expected_version != -1 && c->expected_version != scene.room->version)
        return VERSION_CONFLICT;
    ret->type = ROOMS_ROLE_CHANGED;
    ret->role_changed = (struct role_changed){
        .room_id = c->room_id,
        .version = scene.room->version + 1,
        .user_id = c->user_id,
        .role = c->role,
    };
    return ACCEPTED;
}

int decide_invite_member(const struct rooms_state *s, const struct invite_member *c, struct rooms_fact *ret)
{
    struct scene scene;
    const int refused = scene_enter(s, c->room_id, c->meta.actor, true, &scene);
    if (refused)
        return refused;
    if (scene.room->kind == ROOM_KIND_DIRECT)
        return DIRECT_ROOM;
    if (scene.actor->role == MEMBER_ROLE_READ_ONLY)
        return READ_ONLY_MEMBER;
    const struct member *user = member_known(s, c->room_id, c->user_id);
    if (is_member(user))
        return ALREADY_A_MEMBER;
    if (is_banned(user, c->meta.at))
        return BANNED;
    if (!uuid_is_nil(user->invited_by))
        return ALREADY_INVITED;
    ret->type = ROOMS_MEMBER_INVITED;
    ret->member_invited = (struct member_invited){ .room_id = c->room_id, .user_id = c->user_id };
    return ACCEPTED;
}

/* By who was invited, who invited, or an admin. */
int decide_withdraw_invitation(const struct rooms_state *s, const struct withdraw_invitation *c, struct rooms_fact *ret)
{
    const struct room *room = room_known(s, c->room_id);
    if (!room)
        return ROOM_NOT_FOUND;
    const struct member *user = member_known(s, c->room_id, c->user_id);
    const bool invited = !uuid_is_nil(user->invited_by);
    if (!uuid_equal(c->user_id, c->meta.actor) || !invited) {
        struct scene scene;
        const int refused = scene_enter(s, c->room_id, c->meta.actor, false, &scene);
        if (refused)
            return refused;
        if (!invited)
            return INVITATION_NOT_FOUND;
        if (!moderates(scene.actor) && !uuid_equal(user->invited_by, c->meta.actor))
            return ROOM_ROLE_REQUIRED;
    }
    ret->type = ROOMS_INVITATION_WITHDRAWN;
    ret->invitation_withdrawn = (struct invitation_withdrawn){ .room_id = c->room_id, .user_id = c->user_id };
    return ACCEPTED;
}

int decide_remove_member(const struct rooms_state *s, const struct remove_member *c, struct rooms_fact *ret)
{
    struct scene scene;
    const int refused = oversee(s, c->room_id, c->meta.actor, c->user_id, &scene);
    if (refused)
        return refused;
    ret->type = ROOMS_MEMBER_REMOVED;
    ret->member_removed = (struct member_removed){ .room_id = c->room_id, .user_id = c->user_id, .reason = c->reason };
    return ACCEPTED;
}

/* Also who is no member (yet) can be kept out; a second ban replaces the first. */
int decide_ban_member(const struct rooms_state *s, const struct ban_member *c, struct rooms_fact *ret)
{
    struct scene scene;
    int refused = oversee(s, c->room_id, c->meta.actor, c->user_id, &scene);
    const bool was_member = refused != MEMBER_NOT_FOUND;
    if (refused && was_member)
        return refused;
    if (c->until != 0 && c->until <= c->meta.at)
        return COMMAND_INVALID;
    ret->type = ROOMS_MEMBER_BANNED;
    ret->member_banned = (struct member_banned){
        .room_id = c->room_id,
        .user_id = c->user_id,
        .reason = c->reason,
        .until = c->until,
        .was_member = was_member,
    };
    return ACCEPTED;
}

int decide_unban_member(const struct rooms_state *s, const struct unban_member *c, struct rooms_fact *ret)
{
    struct scene scene;
    const int refused = scene_enter(s, c->room_id, c->meta.actor, false, &scene);
    if (refused)
        return refused;
    if (!moderates(scene.actor))
        return ROOM_ROLE_REQUIRED;
    if (member_known(s, c->room_id, c->user_id)->banned_until == 0)
        return NOT_BANNED;
    ret->type = ROOMS_MEMBER_UNBANNED;
    ret->member_unbanned = (struct member_unbanned){ .room_id = c->room_id, .user_id = c->user_id };
    return ACCEPTED;
}
