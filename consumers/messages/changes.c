#include "consumers/messages/changes.h"

/* The tables live in the batch's arena: no malloc a batch. */
#undef uthash_malloc
#undef uthash_free
#define uthash_malloc(size)        arena_alloc_raw(arena, (size))
#define uthash_free(pointer, size) ((void)(pointer))

void changes_init(struct changes *c)
{
    *c = (struct changes){ 0 };
    c->end_room = &c->first_room;
    c->end_member = &c->first_member;
    c->end_message = &c->first_message;
    c->end_reaction = &c->first_reaction;
}

static struct room_change *room_change(struct changes *c, struct arena *arena, struct uuid id)
{
    struct room_change *change;
    HASH_FIND(hh, c->rooms, &id, sizeof id, change);
    if (change)
        return change;
    change = ARENA_NEW(arena, struct room_change);
    change->id = id;
    HASH_ADD(hh, c->rooms, id, sizeof change->id, change);
    *c->end_room = change;
    c->end_room = &change->next;
    c->room_count++;
    return change;
}

static struct member_change *member_change(struct changes *c, struct arena *arena, struct uuid room, struct uuid user)
{
    const struct member_key key = { room, user };
    struct member_change *change;
    HASH_FIND(hh, c->members, &key, sizeof key, change);
    if (change)
        return change;
    change = ARENA_NEW(arena, struct member_change);
    change->key = key;
    HASH_ADD(hh, c->members, key, sizeof change->key, change);
    *c->end_member = change;
    c->end_member = &change->next;
    c->member_count++;
    return change;
}

static struct message_change *message_change(struct changes *c, struct arena *arena, struct uuid room, int64_t seq,
                                             int64_t position)
{
    const struct message_key key = { room, seq };
    struct message_change *change;
    HASH_FIND(hh, c->messages, &key, sizeof key, change);
    if (!change) {
        change = ARENA_NEW(arena, struct message_change);
        change->key = key;
        HASH_ADD(hh, c->messages, key, sizeof change->key, change);
        *c->end_message = change;
        c->end_message = &change->next;
        c->message_count++;
    }
    change->position = position;
    return change;
}

static void reaction_changes(struct changes *c, struct arena *arena, const struct reaction_key *key, bool present,
                             int64_t position)
{
    struct reaction_change *change;
    HASH_FIND(hh, c->reactions, key, sizeof *key, change);
    if (!change) {
        change = ARENA_NEW(arena, struct reaction_change);
        change->key = *key;
        HASH_ADD(hh, c->reactions, key, sizeof change->key, change);
        *c->end_reaction = change;
        c->end_reaction = &change->next;
        c->reaction_count++;
    }
    change->present = present;
    change->position = position;
    message_change(c, arena, key->room, key->seq, position)->reacted = true;
}

static struct member_change *member_begins(struct changes *c, struct arena *arena, struct uuid room, struct uuid user,
                                           int64_t at, int64_t seq)
{
    struct member_change *member = member_change(c, arena, room, user);
    member->begun = true;
    member->joined_at = at;
    member->joined_seq = seq;
    member->has_role = false;
    member->first_posted = member->posted = 0;
    return member;
}

static void member_ends(struct changes *c, struct arena *arena, struct uuid room, struct uuid user)
{
    struct member_change *member = member_change(c, arena, room, user);
    member->ended = true;
    member->begun = member->has_role = false;
    member->first_posted = member->posted = 0;
    room_change(c, arena, room)->joined--;
}

static void role_changes(struct changes *c, struct arena *arena, struct uuid room, struct uuid user,
                         enum member_role role)
{
    struct member_change *member = member_change(c, arena, room, user);
    member->has_role = member->role_given = true;
    member->role = role;
    member->read_only = role == MEMBER_ROLE_READ_ONLY;
}

static void invitation_changes(struct changes *c, struct arena *arena, struct uuid room, struct uuid user,
                               const struct member_invited *invited)
{
    struct member_change *member = member_change(c, arena, room, user);
    member->invitation_touched = true;
    member->invited = invited;
}

static void ban_changes(struct changes *c, struct arena *arena, struct uuid room, struct uuid user,
                        const struct member_banned *banned)
{
    struct member_change *member = member_change(c, arena, room, user);
    member->ban_touched = true;
    member->banned = banned;
}

/* The first members of a room. */
static void founder_begins(struct changes *c, struct arena *arena, const struct room_created *f, struct uuid user)
{
    struct member_change *member = member_begins(c, arena, f->room_id, user, f->meta.at, 0);
    member->has_role = true;
    member->role = f->kind == ROOM_KIND_DIRECT ? MEMBER_ROLE_MEMBER : MEMBER_ROLE_OWNER;
}

static void add_created(struct changes *c, struct arena *arena, const struct rooms_fact *f)
{
    const struct room_created *created = &f->room_created;
    const bool direct = created->kind == ROOM_KIND_DIRECT;
    struct room_change *room = room_change(c, arena, created->room_id);
    if (!room->created) {
        room->created = f;
        c->created_count++;
    }
    room->joined += direct ? 2 : 1;
    founder_begins(c, arena, created, created->meta.actor);
    if (direct)
        founder_begins(c, arena, created, created->peer_id);
}

static struct room_change *version_changes(struct changes *c, struct arena *arena, struct uuid id, int64_t version)
{
    struct room_change *room = room_change(c, arena, id);
    if (room->version == 0)
        c->versioned_count++;
    room->version = version;
    return room;
}

static void add_changed(struct changes *c, struct arena *arena, const struct room_changed *f)
{
    struct room_change *room = version_changes(c, arena, f->room_id, f->version);
    for (size_t i = 0; i < f->changed.count; i++) {
        switch (f->changed.items[i]) {
        case ROOM_FIELD_NAME:
            room->name = f;
            break;
        case ROOM_FIELD_DESCRIPTION:
            room->description = f;
            break;
        case ROOM_FIELD_TOPIC:
            room->topic = f;
            break;
        case ROOM_FIELD_SLOW_MODE:
            room->slow_mode = f;
            break;
        case ROOM_FIELD_TIME_TO_LIVE:
            room->time_to_live = f;
            break;
        case ROOM_FIELD_ARCHIVED:
            room->archived = f;
            break;
        }
    }
}

bool posted_is_extended(const struct message_posted *f)
{
    return f->reply_to || f->mentions.count || f->mentions_room || !uuid_is_nil(f->forwarded_message);
}

static void add_posted(struct changes *c, struct arena *arena, const struct message_posted *f, int64_t position)
{
    room_change(c, arena, f->room_id)->last_seq = f->seq;
    struct member_change *sender = member_change(c, arena, f->room_id, f->meta.actor);
    sender->posted = f->seq;
    if (sender->first_posted == 0)
        sender->first_posted = f->seq;
    if (f->slow_until)
        sender->slow_until = f->slow_until;
    if (f->thread)
        message_change(c, arena, f->room_id, f->thread, position)->replies++;
    c->posted++;
    c->extended += posted_is_extended(f);
    c->mentioned += f->mentions.count;
    c->expiring += f->expires_at != 0;
    c->unscheduled += f->scheduled;
}

void changes_add(struct changes *c, struct arena *arena, const struct placed_fact *placed)
{
    const struct rooms_fact *f = (const struct rooms_fact *)placed->fact;
    const int64_t at = placed->offset;
    if (f->type == ROOMS_FACT_NONE)
        return;
    room_change(c, arena, rooms_stream.fact.key(placed->fact))->position = at;
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED:
        add_created(c, arena, f);
        break;
    case ROOMS_ROOM_CHANGED:
        add_changed(c, arena, &f->room_changed);
        break;
    case ROOMS_ROOM_TRANSFERRED:
        version_changes(c, arena, f->room_transferred.room_id, f->room_transferred.version);
        role_changes(c, arena, f->room_transferred.room_id, f->meta.actor, MEMBER_ROLE_ADMIN);
        role_changes(c, arena, f->room_transferred.room_id, f->room_transferred.user_id, MEMBER_ROLE_OWNER);
        break;
    case ROOMS_ROLE_CHANGED:
        version_changes(c, arena, f->role_changed.room_id, f->role_changed.version);
        role_changes(c, arena, f->role_changed.room_id, f->role_changed.user_id, f->role_changed.role);
        break;
    case ROOMS_MEMBER_JOINED:
        member_begins(c, arena, f->member_joined.room_id, f->member_joined.user_id, f->meta.at,
                      f->member_joined.after_seq);
        room_change(c, arena, f->member_joined.room_id)->joined++;
        invitation_changes(c, arena, f->member_joined.room_id, f->member_joined.user_id, NULL);
        break;
    case ROOMS_MEMBER_LEFT:
        member_ends(c, arena, f->member_left.room_id, f->member_left.user_id);
        break;
    case ROOMS_MEMBER_REMOVED:
        member_ends(c, arena, f->member_removed.room_id, f->member_removed.user_id);
        break;
    case ROOMS_MEMBER_BANNED:
        if (f->member_banned.was_member)
            member_ends(c, arena, f->member_banned.room_id, f->member_banned.user_id);
        invitation_changes(c, arena, f->member_banned.room_id, f->member_banned.user_id, NULL);
        ban_changes(c, arena, f->member_banned.room_id, f->member_banned.user_id, &f->member_banned);
        break;
    case ROOMS_MEMBER_UNBANNED:
        ban_changes(c, arena, f->member_unbanned.room_id, f->member_unbanned.user_id, NULL);
        break;
    case ROOMS_MEMBER_INVITED:
        invitation_changes(c, arena, f->member_invited.room_id, f->member_invited.user_id, &f->member_invited);
        break;
    case ROOMS_INVITATION_WITHDRAWN:
        invitation_changes(c, arena, f->invitation_withdrawn.room_id, f->invitation_withdrawn.user_id, NULL);
        break;
    case ROOMS_MESSAGE_POSTED:
        add_posted(c, arena, &f->message_posted, at);
        break;
    case ROOMS_MESSAGE_EDITED:
        message_change(c, arena, f->message_edited.room_id, f->message_edited.seq, at)->edited = &f->message_edited;
        c->edited++;
        c->mentioned += f->message_edited.mentions.count;
        break;
    case ROOMS_MESSAGE_DELETED: {
        struct message_change *message =
            message_change(c, arena, f->message_deleted.room_id, f->message_deleted.seq, at);
        message->deleted = &f->message_deleted;
        message->deleted_position = at;
        if (f->message_deleted.thread)
            message_change(c, arena, f->message_deleted.room_id, f->message_deleted.thread, at)->replies--;
        break;
    }
    case ROOMS_MESSAGE_PINNED: {
        struct message_change *message = message_change(c, arena, f->message_pinned.room_id, f->message_pinned.seq, at);
        message->pin = PIN_SET;
        message->pinned_at = f->meta.at;
        break;
    }
    case ROOMS_MESSAGE_UNPINNED:
        message_change(c, arena, f->message_unpinned.room_id, f->message_unpinned.seq, at)->pin = PIN_TAKEN;
        break;
    case ROOMS_REACTION_ADDED: {
        const struct reaction_key key =
            reaction_key(f->reaction_added.room_id, f->reaction_added.seq, f->meta.actor, f->reaction_added.emoji);
        reaction_changes(c, arena, &key, true, at);
        break;
    }
    case ROOMS_REACTION_REMOVED: {
        const struct reaction_key key = reaction_key(f->reaction_removed.room_id, f->reaction_removed.seq,
                                                     f->meta.actor, f->reaction_removed.emoji);
        reaction_changes(c, arena, &key, false, at);
        break;
    }
    case ROOMS_MESSAGE_SCHEDULED:
        c->scheduled++;
        break;
    case ROOMS_SCHEDULED_MESSAGE_WITHHELD:
        c->withheld++;
        break;
    case ROOMS_SCHEDULED_MESSAGE_CANCELED:
        c->unscheduled++;
        break;
    case ROOMS_FACT_NONE:
        break;
    }
}
