/* Messages: said, reworded, taken back, reacted to, pinned, said later. */
#include <assert.h>

#include "consumers/messages/rules.h"

#define SCHEDULE_MAX_MS (366LL * 24 * 3600 * 1000)
#define ANY_EMOJI       ((struct str){ 0 })

/* Enters the room to say something. */
static int enter_to_write(const struct rooms_state *s, struct uuid room, struct uuid actor, struct scene *ret)
{
    const int refused = scene_enter(s, room, actor, true, ret);
    if (refused)
        return refused;
    return ret->actor->role == MEMBER_ROLE_READ_ONLY ? READ_ONLY_MEMBER : ACCEPTED;
}

/* The message, which is there and not deleted. */
static int find_message(const struct rooms_state *s, struct uuid room, int64_t seq, struct uuid id,
                        const struct message **ret)
{
    const struct message *message = rooms_state_message(s, room, seq);
    assert(message && message->presence >= PRESENCE_ABSENT);
    if (message->presence != PRESENCE_PRESENT || !uuid_equal(message->id, id))
        return MESSAGE_NOT_FOUND;
    if (message->deleted)
        return MESSAGE_DELETED;
    *ret = message;
    return ACCEPTED;
}

/* NULL: there is none of this sender's in this room. */
static const struct scheduled *scheduled_known(const struct rooms_state *s, struct uuid room, struct uuid id,
                                               struct uuid sender)
{
    const struct scheduled *scheduled = rooms_state_scheduled(s, id);
    assert(scheduled && scheduled->presence >= PRESENCE_ABSENT);
    const bool found = scheduled->presence == PRESENCE_PRESENT && uuid_equal(scheduled->room, room) &&
                       uuid_equal(scheduled->sender, sender);
    return found ? scheduled : NULL;
}

/* Who does not moderate a room in slow mode. */
static bool is_slowed(const struct scene *scene)
{
    return scene->room->slow_mode_s > 0 && !moderates(scene->actor);
}

/* A scheduled message whose time has come: it is the sender's, and was not posted or withheld before. */
static int find_due(const struct rooms_state *s, const struct post_message *c)
{
    const struct scheduled *due = scheduled_known(s, c->room_id, c->message_id, c->meta.actor);
    return due && !due->withheld ? ACCEPTED : SCHEDULED_NOT_FOUND;
}

/* A reply to a message that is gone is refused, unless it was scheduled: then it is sent all the same. */
static int find_thread(const struct rooms_state *s, const struct post_message *c, int64_t *ret)
{
    *ret = 0;
    if (c->reply_to == 0)
        return ACCEPTED;
    const struct message *parent = rooms_state_message(s, c->room_id, c->reply_to);
    assert(parent && parent->presence >= PRESENCE_ABSENT);
    if (parent->presence != PRESENCE_PRESENT)
        return MESSAGE_NOT_FOUND;
    if (parent->deleted && !c->scheduled)
        return MESSAGE_DELETED;
    *ret = parent->thread ? parent->thread : parent->key.seq;
    return ACCEPTED;
}

int decide_post_message(const struct rooms_state *s, const struct post_message *c, struct rooms_fact *ret)
{
    struct scene scene;
    int64_t thread;
    int refused = enter_to_write(s, c->room_id, c->meta.actor, &scene);
    if (!refused && c->scheduled)
        refused = find_due(s, c);
    if (!refused && c->scheduled && c->suspended) {
        ret->type = ROOMS_SCHEDULED_MESSAGE_WITHHELD;
        ret->scheduled_message_withheld =
            (struct scheduled_message_withheld){ .room_id = c->room_id, .message_id = c->message_id };
        return ACCEPTED;
    }
    if (!refused)
        refused = find_thread(s, c, &thread);
    if (refused)
        return refused;
    /* One that was scheduled is not refused: it was sent when slow mode allowed it (due.c). */
    const bool slowed = is_slowed(&scene);
    if (slowed && scene.actor->slow_until > c->meta.at && !c->scheduled)
        return SLOW_MODE;
    ret->type = ROOMS_MESSAGE_POSTED;
    ret->message_posted = (struct message_posted){
        .room_id = c->room_id,
        .message_id = c->message_id,
        .seq = scene.room->last_seq + 1,
        .body = c->body,
        .reply_to = c->reply_to,
        .thread = thread,
        .mentions = { c->mentions.items, c->mentions.count },
        .mentions_room = c->mentions_room,
        .forwarded_room = c->forwarded_room,
        .forwarded_message = c->forwarded_message,
        .forwarded_sender = c->forwarded_sender,
        .scheduled = c->scheduled,
        .expires_at = scene.room->time_to_live_s ? c->meta.at + 1000 * scene.room->time_to_live_s : 0,
        .slow_until = slowed ? c->meta.at + 1000LL * scene.room->slow_mode_s : 0,
    };
    return ACCEPTED;
}

int decide_edit_message(const struct rooms_state *s, const struct edit_message *c, struct rooms_fact *ret)
{
    struct scene scene;
    const struct message *message;
    int refused = enter_to_write(s, c->room_id, c->meta.actor, &scene);
    if (!refused)
        refused = find_message(s, c->room_id, c->seq, c->message_id, &message);
    if (refused)
        return refused;
    if (!uuid_equal(message->sender, c->meta.actor))
        return NOT_THE_SENDER;
    if (c->expected_version != -1 && c->expected_version != message->version)
        return VERSION_CONFLICT;
    ret->type = ROOMS_MESSAGE_EDITED;
    ret->message_edited = (struct message_edited){
        .room_id = c->room_id,
        .message_id = c->message_id,
        .seq = c->seq,
        .version = message->version + 1,
        .body = c->body,
        .mentions = { c->mentions.items, c->mentions.count },
        .mentions_room = c->mentions_room,
    };
    return ACCEPTED;
}

/* What has expired goes even where its sender has left or the room is archived. */
int decide_delete_message(const struct rooms_state *s, const struct delete_message *c, struct rooms_fact *ret)
{
    struct scene scene = { .room = room_known(s, c->room_id) };
    const struct message *message;
    int refused = scene.room ? ACCEPTED : ROOM_NOT_FOUND;
    if (!refused && !c->expired)
        refused = scene_enter(s, c->room_id, c->meta.actor, true, &scene);
    if (!refused)
        refused = find_message(s, c->room_id, c->seq, c->message_id, &message);
    if (refused)
        return refused;
    if (!uuid_equal(message->sender, c->meta.actor) && (c->expired || !moderates(scene.actor)))
        return NOT_THE_SENDER;
    ret->type = ROOMS_MESSAGE_DELETED;
    ret->message_deleted = (struct message_deleted){
        .room_id = c->room_id,
        .message_id = c->message_id,
        .seq = c->seq,
        .expired = c->expired,
        .thread = message->thread,
    };
    return ACCEPTED;
}

/* user nil: everybody. */
static int64_t reactions(const struct rooms_state *s, struct uuid room, int64_t seq, struct uuid user, struct str emoji)
{
    const struct reaction_key key = reaction_key(room, seq, user, emoji);
    const struct reaction *reaction = rooms_state_reaction(s, &key);
    assert(reaction && reaction->presence >= PRESENCE_ABSENT);
    return reaction->count;
}

/* Who joins in with an emoji that is there adds none to the message. */
static int may_react(const struct rooms_state *s, const struct add_reaction *c)
{
    if (reactions(s, c->room_id, c->seq, c->meta.actor, c->emoji) > 0)
        return ALREADY_REACTED;
    if (reactions(s, c->room_id, c->seq, c->meta.actor, ANY_EMOJI) >= c->most_by_person)
        return TOO_MANY_REACTIONS;
    if (reactions(s, c->room_id, c->seq, uuid_nil, c->emoji) == 0 &&
        reactions(s, c->room_id, c->seq, uuid_nil, ANY_EMOJI) >= c->most_on_message)
        return TOO_MANY_EMOJIS;
    return ACCEPTED;
}

int decide_add_reaction(const struct rooms_state *s, const struct add_reaction *c, struct rooms_fact *ret)
{
    struct scene scene;
    const struct message *message;
    if (!emoji_is_sound(c->emoji))
        return COMMAND_INVALID;
    int refused = enter_to_write(s, c->room_id, c->meta.actor, &scene);
    if (!refused)
        refused = find_message(s, c->room_id, c->seq, c->message_id, &message);
    if (!refused)
        refused = may_react(s, c);
    if (refused)
        return refused;
    ret->type = ROOMS_REACTION_ADDED;
    ret->reaction_added =
        (struct reaction_added){ .room_id = c->room_id, .message_id = c->message_id, .seq = c->seq, .emoji = c->emoji };
    return ACCEPTED;
}

int decide_remove_reaction(const struct rooms_state *s, const struct remove_reaction *c, struct rooms_fact *ret)
{
    struct scene scene;
    const struct message *message;
    if (!emoji_is_sound(c->emoji))
        return COMMAND_INVALID;
    int refused = scene_enter(s, c->room_id, c->meta.actor, true, &scene);
    if (!refused)
        refused = find_message(s, c->room_id, c->seq, c->message_id, &message);
    if (refused)
        return refused;
    if (reactions(s, c->room_id, c->seq, c->meta.actor, c->emoji) == 0)
        return REACTION_NOT_FOUND;
    ret->type = ROOMS_REACTION_REMOVED;
    ret->reaction_removed = (struct reaction_removed){
        .room_id = c->room_id, .message_id = c->message_id, .seq = c->seq, .emoji = c->emoji
    };
    return ACCEPTED;
}

/* Admins pin; in a direct room both people. */
static int enter_to_pin(const struct rooms_state *s, struct uuid room, struct uuid actor, int64_t seq, struct uuid id,
                        const struct message **ret)
{
    struct scene scene;
    const int refused = scene_enter(s, room, actor, true, &scene);
    if (refused)
        return refused;
    if (scene.room->kind != ROOM_KIND_DIRECT && !moderates(scene.actor))
        return ROOM_ROLE_REQUIRED;
    return find_message(s, room, seq, id, ret);
}

int decide_pin_message(const struct rooms_state *s, const struct pin_message *c, struct rooms_fact *ret)
{
    const struct message *message;
    const int refused = enter_to_pin(s, c->room_id, c->meta.actor, c->seq, c->message_id, &message);
    if (refused)
        return refused;
    if (message->pinned)
        return ALREADY_PINNED;
    ret->type = ROOMS_MESSAGE_PINNED;
    ret->message_pinned = (struct message_pinned){ .room_id = c->room_id, .message_id = c->message_id, .seq = c->seq };
    return ACCEPTED;
}

int decide_unpin_message(const struct rooms_state *s, const struct unpin_message *c, struct rooms_fact *ret)
{
    const struct message *message;
    const int refused = enter_to_pin(s, c->room_id, c->meta.actor, c->seq, c->message_id, &message);
    if (refused)
        return refused;
    if (!message->pinned)
        return NOT_PINNED;
    ret->type = ROOMS_MESSAGE_UNPINNED;
    ret->message_unpinned =
        (struct message_unpinned){ .room_id = c->room_id, .message_id = c->message_id, .seq = c->seq };
    return ACCEPTED;
}

/* In slow mode what somebody will say is as far apart as if they said it by hand. */
static bool is_too_close(const struct scene *scene, const struct agenda *agenda, int64_t send_at)
{
    if (!is_slowed(scene))
        return false;
    const int64_t apart_ms = 1000LL * scene->room->slow_mode_s;
    bool close = send_at < scene->actor->slow_until;
    for (size_t i = 0; i < agenda->count; i++) {
        const int64_t between_ms = send_at - agenda->planned[i].send_at;
        close |= between_ms < apart_ms && between_ms > -apart_ms;
    }
    return close;
}

int decide_schedule_message(const struct rooms_state *s, const struct schedule_message *c, struct rooms_fact *ret)
{
    struct scene scene;
    const int refused = enter_to_write(s, c->room_id, c->meta.actor, &scene);
    if (refused)
        return refused;
    if (c->send_at <= c->meta.at || c->send_at > c->meta.at + SCHEDULE_MAX_MS)
        return COMMAND_INVALID;
    if (c->reply_to < 0 || c->reply_to > scene.room->last_seq)
        return MESSAGE_NOT_FOUND;
    const struct scheduled *same = rooms_state_scheduled(s, c->message_id);
    assert(same && same->presence >= PRESENCE_ABSENT);
    if (same->presence == PRESENCE_PRESENT)
        return COMMAND_INVALID;
    const struct agenda *agenda = rooms_state_agenda(s, c->room_id, c->meta.actor);
    assert(agenda && agenda->presence >= PRESENCE_ABSENT);
    if ((int64_t)agenda->count + c->elsewhere >= c->most_of_person)
        return TOO_MANY_SCHEDULED;
    if (scene.room->scheduled >= c->most_of_room)
        return ROOM_SCHEDULE_FULL;
    if (is_too_close(&scene, agenda, c->send_at))
        return SLOW_MODE;
    ret->type = ROOMS_MESSAGE_SCHEDULED;
    ret->message_scheduled = (struct message_scheduled){
        .room_id = c->room_id,
        .message_id = c->message_id,
        .body = c->body,
        .reply_to = c->reply_to,
        .mentions = { c->mentions.items, c->mentions.count },
        .mentions_room = c->mentions_room,
        .send_at = c->send_at,
    };
    return ACCEPTED;
}

int decide_cancel_scheduled_message(const struct rooms_state *s, const struct cancel_scheduled_message *c,
                                    struct rooms_fact *ret)
{
    if (!scheduled_known(s, c->room_id, c->message_id, c->meta.actor))
        return SCHEDULED_NOT_FOUND;
    ret->type = ROOMS_SCHEDULED_MESSAGE_CANCELED;
    ret->scheduled_message_canceled =
        (struct scheduled_message_canceled){ .room_id = c->room_id, .message_id = c->message_id };
    return ACCEPTED;
}
