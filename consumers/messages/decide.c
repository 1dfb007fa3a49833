#include "consumers/messages/decide.h"

#include <assert.h>

#include "consumers/messages/rules.h"

const struct room *room_known(const struct rooms_state *s, struct uuid id)
{
    const struct room *room = rooms_state_room(s, id);
    assert(room && room->presence >= PRESENCE_ABSENT);
    return room->presence == PRESENCE_PRESENT ? room : NULL;
}

const struct member *member_known(const struct rooms_state *s, struct uuid room, struct uuid user)
{
    const struct member *member = rooms_state_member(s, room, user);
    assert(member && member->presence >= PRESENCE_ABSENT);
    return member;
}

int scene_enter(const struct rooms_state *s, struct uuid room, struct uuid actor, bool open, struct scene *ret)
{
    ret->room = room_known(s, room);
    if (!ret->room)
        return ROOM_NOT_FOUND;
    ret->actor = member_known(s, room, actor);
    if (!is_member(ret->actor))
        return ret->room->kind == ROOM_KIND_PUBLIC ? NOT_A_MEMBER : ROOM_NOT_FOUND;
    return open && ret->room->archived ? ROOM_ARCHIVED : ACCEPTED;
}

int rooms_decide(const void *state, const struct any_record *command, struct any_record *ret_fact)
{
    const struct rooms_command *c = (const struct rooms_command *)command;
    struct rooms_fact *ret = (struct rooms_fact *)ret_fact;
    switch ((enum rooms_command_type)c->type) {
    case ROOMS_CREATE_ROOM:
        return decide_create_room(state, &c->create_room, ret);
    case ROOMS_CHANGE_ROOM:
        return decide_change_room(state, &c->change_room, ret);
    case ROOMS_TRANSFER_ROOM:
        return decide_transfer_room(state, &c->transfer_room, ret);
    case ROOMS_JOIN_ROOM:
        return decide_join_room(state, &c->join_room, ret);
    case ROOMS_LEAVE_ROOM:
        return decide_leave_room(state, &c->leave_room, ret);
    case ROOMS_CHANGE_ROLE:
        return decide_change_role(state, &c->change_role, ret);
    case ROOMS_INVITE_MEMBER:
        return decide_invite_member(state, &c->invite_member, ret);
    case ROOMS_WITHDRAW_INVITATION:
        return decide_withdraw_invitation(state, &c->withdraw_invitation, ret);
    case ROOMS_REMOVE_MEMBER:
        return decide_remove_member(state, &c->remove_member, ret);
    case ROOMS_BAN_MEMBER:
        return decide_ban_member(state, &c->ban_member, ret);
    case ROOMS_UNBAN_MEMBER:
        return decide_unban_member(state, &c->unban_member, ret);
    case ROOMS_POST_MESSAGE:
        return decide_post_message(state, &c->post_message, ret);
    case ROOMS_EDIT_MESSAGE:
        return decide_edit_message(state, &c->edit_message, ret);
    case ROOMS_DELETE_MESSAGE:
        return decide_delete_message(state, &c->delete_message, ret);
    case ROOMS_ADD_REACTION:
        return decide_add_reaction(state, &c->add_reaction, ret);
    case ROOMS_REMOVE_REACTION:
        return decide_remove_reaction(state, &c->remove_reaction, ret);
    case ROOMS_PIN_MESSAGE:
        return decide_pin_message(state, &c->pin_message, ret);
    case ROOMS_UNPIN_MESSAGE:
        return decide_unpin_message(state, &c->unpin_message, ret);
    case ROOMS_SCHEDULE_MESSAGE:
        return decide_schedule_message(state, &c->schedule_message, ret);
    case ROOMS_CANCEL_SCHEDULED_MESSAGE:
        return decide_cancel_scheduled_message(state, &c->cancel_scheduled_message, ret);
    case ROOMS_COMMAND_NONE:
        break;
    }
    return COMMAND_INVALID;
}
