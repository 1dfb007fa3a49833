/* Rooms: made, changed, handed on. */
#include "consumers/messages/rules.h"

#define SLOW_MODE_MAX_S    (6 * 3600)
#define TIME_TO_LIVE_MIN_S 60
#define TIME_TO_LIVE_MAX_S (366LL * 24 * 3600)

/* A direct room has two members from the first, who are different people. */
int decide_create_room(const struct rooms_state *s, const struct create_room *c, struct rooms_fact *ret)
{
    if (room_known(s, c->room_id))
        return ROOM_EXISTS;
    if ((c->kind == ROOM_KIND_DIRECT) == uuid_is_nil(c->peer_id) || uuid_equal(c->peer_id, c->meta.actor))
        return COMMAND_INVALID;
    ret->type = ROOMS_ROOM_CREATED;
    ret->room_created =
        (struct room_created){ .room_id = c->room_id, .name = c->name, .kind = c->kind, .peer_id = c->peer_id };
    return ACCEPTED;
}

static bool is_sound(const struct change_room *c, const struct room *room)
{
    bool unarchives = false;
    for (size_t i = 0; i < c->changed.count; i++)
        unarchives |= c->changed.items[i] == ROOM_FIELD_ARCHIVED && !c->archived;
    if (c->changed.count == 0 || (room->archived && (!unarchives || c->changed.count > 1)))
        return false;
    const bool lives =
        c->time_to_live_s == 0 || (c->time_to_live_s >= TIME_TO_LIVE_MIN_S && c->time_to_live_s <= TIME_TO_LIVE_MAX_S);
    return c->slow_mode_s >= 0 && c->slow_mode_s <= SLOW_MODE_MAX_S && lives;
}

/* Of two admins who have seen the same version, the second one's change is refused. An archived room can only be
 * opened again. */
int decide_change_room(const struct rooms_state *s, const struct change_room *c, struct rooms_fact *ret)
{
    struct scene scene;
    const int refused = scene_enter(s, c->room_id, c->meta.actor, false, &scene);
    if (refused)
        return refused;
    if (scene.room->kind == ROOM_KIND_DIRECT)
        return DIRECT_ROOM;
    if (!moderates(scene.actor))
        return ROOM_ROLE_REQUIRED;
    if (c->expected_version != -1 && c->expected_version != scene.room->version)
        return VERSION_CONFLICT;
    if (!is_sound(c, scene.room))
        return scene.room->archived ? ROOM_ARCHIVED : COMMAND_INVALID;
    ret->type = ROOMS_ROOM_CHANGED;
    ret->room_changed = (struct room_changed){
        .room_id = c->room_id,
        .version = scene.room->version + 1,
        .changed = { c->changed.items, c->changed.count },
        .name = c->name,
        .description = c->description,
        .topic = c->topic,
        .slow_mode_s = c->slow_mode_s,
        .time_to_live_s = c->time_to_live_s,
        .archived = c->archived,
    };
    return ACCEPTED;
}

int decide_transfer_room(const struct rooms_state *s, const struct transfer_room *c, struct rooms_fact *ret)
{
    struct scene scene;
    const int refused = scene_enter(s, c->room_id, c->meta.actor, false, &scene);
    if (refused)
        return refused;
    if (scene.room->kind == ROOM_KIND_DIRECT)
        return DIRECT_ROOM;
    if (scene.actor->role != MEMBER_ROLE_OWNER)
        return ROOM_ROLE_REQUIRED;
    if (!is_member(member_known(s, c->room_id, c->user_id)) || uuid_equal(c->user_id, c->meta.actor))
        return MEMBER_NOT_FOUND;
    if (c->expected_version != -1 && c->expected_version != scene.room->version)
        return VERSION_CONFLICT;
    ret->type = ROOMS_ROOM_TRANSFERRED;
    ret->room_transferred = (struct room_transferred){
        .room_id = c->room_id,
        .version = scene.room->version + 1,
        .user_id = c->user_id,
    };
    return ACCEPTED;
}
