/* How a fact changes the state. */
#include <assert.h>

#include "consumers/messages/decide.h"
#include "consumers/messages/row.h"

static struct room *room_of(struct rooms_state *s, struct uuid id)
{
    struct room *room = rooms_state_claim_room(s, id);
    assert(room->presence == PRESENCE_PRESENT);
    return room;
}

static void member_begins(struct rooms_state *s, struct uuid room, struct uuid user, enum member_role role)
{
    struct member *member = rooms_state_claim_member(s, room, user);
    member->presence = PRESENCE_PRESENT;
    member->role = role;
    member->posted_block = member->block_since = 0;
    member->invited_by = uuid_nil;
}

static void role_changes(struct rooms_state *s, struct uuid room, struct uuid user, enum member_role role)
{
    struct member *member = rooms_state_claim_member(s, room, user);
    member->role = role;
    member->read_only = role == MEMBER_ROLE_READ_ONLY;
}

/* Who could only read before they left, can only read. */
static void member_joins(struct rooms_state *s, struct uuid room, struct uuid user)
{
    const bool read_only = rooms_state_claim_member(s, room, user)->read_only;
    member_begins(s, room, user, read_only ? MEMBER_ROLE_READ_ONLY : MEMBER_ROLE_MEMBER);
    room_of(s, room)->member_count++;
}

static void member_ends(struct rooms_state *s, struct uuid room, struct uuid user)
{
    rooms_state_claim_member(s, room, user)->presence = PRESENCE_ABSENT;
    room_of(s, room)->member_count--;
}

static void evolve_created(struct rooms_state *s, const struct room_created *f)
{
    const bool direct = f->kind == ROOM_KIND_DIRECT;
    struct room *room = rooms_state_claim_room(s, f->room_id);
    room->presence = PRESENCE_PRESENT;
    room->kind = f->kind;
    room->version = 1;
    room->member_count = direct ? 2 : 1;
    member_begins(s, f->room_id, f->meta.actor, direct ? MEMBER_ROLE_MEMBER : MEMBER_ROLE_OWNER);
    if (direct)
        member_begins(s, f->room_id, f->peer_id, MEMBER_ROLE_MEMBER);
}

static void evolve_changed(struct rooms_state *s, const struct room_changed *f)
{
    struct room *room = room_of(s, f->room_id);
    room->version = f->version;
    for (size_t i = 0; i < f->changed.count; i++) {
        if (f->changed.items[i] == ROOM_FIELD_SLOW_MODE)
            room->slow_mode_s = f->slow_mode_s;
        else if (f->changed.items[i] == ROOM_FIELD_TIME_TO_LIVE)
            room->time_to_live_s = f->time_to_live_s;
        else if (f->changed.items[i] == ROOM_FIELD_ARCHIVED)
            room->archived = f->archived;
    }
}

/* It waits no longer: it was posted, withheld or canceled. */
static void unplan(struct rooms_state *s, struct uuid room, struct uuid sender, struct uuid message)
{
    room_of(s, room)->scheduled--;
    struct agenda *agenda = rooms_state_agenda(s, room, sender);
    if (agenda)
        agenda_strike(agenda, message);
}

static void evolve_posted(struct rooms_state *s, const struct message_posted *f)
{
    room_of(s, f->room_id)->last_seq = f->seq;
    struct member *sender = rooms_state_claim_member(s, f->room_id, f->meta.actor);
    if (f->slow_until)
        sender->slow_until = f->slow_until;
    if (sender->posted_block != row_block(f->seq)) {
        sender->posted_block = row_block(f->seq);
        sender->block_since = f->seq;
    }
    if (f->scheduled) {
        rooms_state_claim_scheduled(s, f->message_id)->presence = PRESENCE_ABSENT;
        unplan(s, f->room_id, f->meta.actor, f->message_id);
    }
    /* Nobody has asked for it: load will find it in PostgreSQL. */
    struct message *message = rooms_state_message(s, f->room_id, f->seq);
    if (!message)
        return;
    message->presence = PRESENCE_PRESENT;
    message->id = f->message_id;
    message->sender = f->meta.actor;
    message->thread = f->thread;
    message->version = 1;
}

static struct reaction *reactions_of(struct rooms_state *s, struct uuid room, int64_t seq, struct uuid user,
                                     struct str emoji)
{
    const struct reaction_key key = reaction_key(room, seq, user, emoji);
    return rooms_state_claim_reaction(s, &key);
}

/* `more` is 1, or -1. An emoji comes with the first person and goes with the last. */
static void evolve_reaction(struct rooms_state *s, struct uuid room, int64_t seq, struct uuid user, struct str emoji,
                            int more)
{
    static const struct str any_emoji;
    struct reaction *people = reactions_of(s, room, seq, uuid_nil, emoji);
    const bool shown = people->count > 0;
    people->count += more;
    reactions_of(s, room, seq, user, emoji)->count += more;
    reactions_of(s, room, seq, user, any_emoji)->count += more;
    reactions_of(s, room, seq, uuid_nil, any_emoji)->count += (people->count > 0) - shown;
}

static void evolve_scheduled(struct rooms_state *s, const struct message_scheduled *f)
{
    struct scheduled *scheduled = rooms_state_claim_scheduled(s, f->message_id);
    scheduled->presence = PRESENCE_PRESENT;
    scheduled->room = f->room_id;
    scheduled->sender = f->meta.actor;
    scheduled->withheld = false;
    room_of(s, f->room_id)->scheduled++;
    /* Nobody has asked for it: load will find it in PostgreSQL. */
    struct agenda *agenda = rooms_state_agenda(s, f->room_id, f->meta.actor);
    if (agenda)
        rooms_state_plan(s, agenda, f->message_id, f->send_at);
}

static void evolve_canceled(struct rooms_state *s, const struct scheduled_message_canceled *f)
{
    struct scheduled *scheduled = rooms_state_claim_scheduled(s, f->message_id);
    if (!scheduled->withheld)
        unplan(s, f->room_id, f->meta.actor, f->message_id);
    scheduled->presence = PRESENCE_ABSENT;
}

void rooms_evolve(void *state, const struct any_record *fact)
{
    struct rooms_state *s = state;
    const struct rooms_fact *f = (const struct rooms_fact *)fact;
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED:
        evolve_created(s, &f->room_created);
        break;
    case ROOMS_ROOM_CHANGED:
        evolve_changed(s, &f->room_changed);
        break;
    case ROOMS_ROOM_TRANSFERRED:
        room_of(s, f->room_transferred.room_id)->version = f->room_transferred.version;
        role_changes(s, f->room_transferred.room_id, f->meta.actor, MEMBER_ROLE_ADMIN);
        role_changes(s, f->room_transferred.room_id, f->room_transferred.user_id, MEMBER_ROLE_OWNER);
        break;
    case ROOMS_ROLE_CHANGED:
        room_of(s, f->role_changed.room_id)->version = f->role_changed.version;
        role_changes(s, f->role_changed.room_id, f->role_changed.user_id, f->role_changed.role);
        break;
    case ROOMS_MEMBER_JOINED:
        member_joins(s, f->member_joined.room_id, f->member_joined.user_id);
        break;
    case ROOMS_MEMBER_LEFT:
        member_ends(s, f->member_left.room_id, f->member_left.user_id);
        break;
    case ROOMS_MEMBER_REMOVED:
        member_ends(s, f->member_removed.room_id, f->member_removed.user_id);
        break;
    case ROOMS_MEMBER_BANNED: {
        struct member *member = rooms_state_claim_member(s, f->member_banned.room_id, f->member_banned.user_id);
        member->banned_until = f->member_banned.until ? f->member_banned.until : BANNED_FOR_EVER;
        member->invited_by = uuid_nil;
        if (f->member_banned.was_member)
            member_ends(s, f->member_banned.room_id, f->member_banned.user_id);
        break;
    }
    case ROOMS_MEMBER_UNBANNED:
        rooms_state_claim_member(s, f->member_unbanned.room_id, f->member_unbanned.user_id)->banned_until = 0;
        break;
    case ROOMS_MEMBER_INVITED:
        rooms_state_claim_member(s, f->member_invited.room_id, f->member_invited.user_id)->invited_by = f->meta.actor;
        break;
    case ROOMS_INVITATION_WITHDRAWN:
        rooms_state_claim_member(s, f->invitation_withdrawn.room_id, f->invitation_withdrawn.user_id)->invited_by =
            uuid_nil;
        break;
    case ROOMS_MESSAGE_POSTED:
        evolve_posted(s, &f->message_posted);
        break;
    case ROOMS_MESSAGE_EDITED:
        rooms_state_claim_message(s, f->message_edited.room_id, f->message_edited.seq)->version =
            f->message_edited.version;
        break;
    case ROOMS_MESSAGE_DELETED:
        rooms_state_claim_message(s, f->message_deleted.room_id, f->message_deleted.seq)->deleted = true;
        break;
    case ROOMS_MESSAGE_PINNED:
        rooms_state_claim_message(s, f->message_pinned.room_id, f->message_pinned.seq)->pinned = true;
        break;
    case ROOMS_MESSAGE_UNPINNED:
        rooms_state_claim_message(s, f->message_unpinned.room_id, f->message_unpinned.seq)->pinned = false;
        break;
    case ROOMS_REACTION_ADDED:
        evolve_reaction(s, f->reaction_added.room_id, f->reaction_added.seq, f->meta.actor, f->reaction_added.emoji, 1);
        break;
    case ROOMS_REACTION_REMOVED:
        evolve_reaction(s, f->reaction_removed.room_id, f->reaction_removed.seq, f->meta.actor,
                        f->reaction_removed.emoji, -1);
        break;
    case ROOMS_MESSAGE_SCHEDULED:
        evolve_scheduled(s, &f->message_scheduled);
        break;
    case ROOMS_SCHEDULED_MESSAGE_WITHHELD:
        rooms_state_claim_scheduled(s, f->scheduled_message_withheld.message_id)->withheld = true;
        unplan(s, f->scheduled_message_withheld.room_id, f->meta.actor, f->scheduled_message_withheld.message_id);
        break;
    case ROOMS_SCHEDULED_MESSAGE_CANCELED:
        evolve_canceled(s, &f->scheduled_message_canceled);
        break;
    case ROOMS_FACT_NONE:
        break;
    }
}
