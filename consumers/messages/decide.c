#include "consumers/messages/decide.h"

#include <assert.h>

/* A question to the state. What load did not ask PostgreSQL for has no answer: assert, rather than take it for absent.
 */
static const struct room *room_known(const struct rooms_state *s, struct uuid id)
{
    const struct room *room = rooms_state_room(s, id);
    assert(room && room->presence >= PRESENCE_ABSENT);
    return room->presence == PRESENCE_PRESENT ? room : NULL;
}

static bool is_member(const struct rooms_state *s, struct uuid room, struct uuid user)
{
    const struct member *member = rooms_state_member(s, room, user);
    assert(member && member->presence >= PRESENCE_ABSENT);
    return member->presence == PRESENCE_PRESENT;
}

static int decide_create(const struct rooms_state *s, const struct create_room *command, struct rooms_fact *ret)
{
    if (room_known(s, command->room_id))
        return ROOM_EXISTS;
    ret->type = ROOMS_ROOM_CREATED;
    ret->room_created = (struct room_created){
        .room_id = command->room_id,
        .name = command->name,
        .kind = command->kind,
    };
    return ACCEPTED;
}

/* Only public rooms can be joined by oneself. That another room exists is nobody's business but its members'. */
static int decide_join(const struct rooms_state *s, const struct join_room *command, struct rooms_fact *ret)
{
    if (!uuid_equal(command->user_id, command->meta.actor))
        return FORBIDDEN_ACTOR;
    const struct room *room = room_known(s, command->room_id);
    if (!room)
        return ROOM_NOT_FOUND;
    if (is_member(s, command->room_id, command->user_id))
        return ALREADY_A_MEMBER;
    if (room->kind != ROOM_KIND_PUBLIC)
        return ROOM_NOT_FOUND;
    ret->type = ROOMS_MEMBER_JOINED;
    ret->member_joined = (struct member_joined){ .room_id = command->room_id, .user_id = command->user_id };
    return ACCEPTED;
}

static int decide_post(const struct rooms_state *s, const struct post_message *command, struct rooms_fact *ret)
{
    const struct room *room = room_known(s, command->room_id);
    if (!room)
        return ROOM_NOT_FOUND;
    if (!is_member(s, command->room_id, command->meta.actor))
        return room->kind == ROOM_KIND_PUBLIC ? NOT_A_MEMBER : ROOM_NOT_FOUND;
    ret->type = ROOMS_MESSAGE_POSTED;
    ret->message_posted = (struct message_posted){
        .room_id = command->room_id,
        .message_id = command->message_id,
        .seq = room->last_seq + 1,
        .body = command->body,
    };
    return ACCEPTED;
}

int rooms_decide(const void *state, const struct any_record *command, struct any_record *ret_fact)
{
    const struct rooms_command *c = (const struct rooms_command *)command;
    struct rooms_fact *ret = (struct rooms_fact *)ret_fact;
    switch ((enum rooms_command_type)c->type) {
    case ROOMS_CREATE_ROOM:
        return decide_create(state, &c->create_room, ret);
    case ROOMS_JOIN_ROOM:
        return decide_join(state, &c->join_room, ret);
    case ROOMS_POST_MESSAGE:
        return decide_post(state, &c->post_message, ret);
    case ROOMS_COMMAND_NONE:
        break;
    }
    return COMMAND_INVALID;
}

void rooms_evolve(void *state, const struct any_record *fact)
{
    struct rooms_state *s = state;
    const struct rooms_fact *f = (const struct rooms_fact *)fact;
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED: {
        struct room *room = rooms_state_claim_room(s, f->room_created.room_id);
        room->presence = PRESENCE_PRESENT;
        room->kind = f->room_created.kind;
        room->last_seq = 0;
        rooms_state_claim_member(s, room->id, f->meta.actor)->presence = PRESENCE_PRESENT;
        break;
    }
    case ROOMS_MEMBER_JOINED:
        rooms_state_claim_member(s, f->member_joined.room_id, f->member_joined.user_id)->presence = PRESENCE_PRESENT;
        break;
    case ROOMS_MESSAGE_POSTED: {
        struct room *room = rooms_state_claim_room(s, f->message_posted.room_id);
        assert(room->presence == PRESENCE_PRESENT);
        room->last_seq = f->message_posted.seq;
        break;
    }
    case ROOMS_FACT_NONE:
        break;
    }
}
