/* How a fact changes the rows. Gets come before changes (consumers/projection/row.h). */
#include "consumers/messages/evolve_rows.h"
#include "consumers/messages/row.h"
#include "consumers/messages/tables.h"

/* Where a fact stands. */
struct at {
    struct rows *rows;
    int64_t position;
    int32_t partition;
};

static struct str bytes_of(const struct uuid *ids, size_t count)
{
    return (struct str){ (const char *)ids, count * sizeof *ids };
}

/* Every fact of a room moves its position on. */
static struct room_row *room_at(const struct at *at, struct uuid room_id)
{
    struct room_row *room = room_touch(at->rows, (struct room_key){ room_id });
    room_set_position(room, at->position);
    return room;
}

/* --- rooms --- */

static void room_changed(struct room_row *room, const struct room_changed *f, enum room_field field)
{
    switch (field) {
    case ROOM_FIELD_NAME:
        room_set_name(room, f->name);
        break;
    case ROOM_FIELD_DESCRIPTION:
        room_set_description(room, f->description);
        break;
    case ROOM_FIELD_TOPIC:
        room_set_topic(room, f->topic);
        break;
    case ROOM_FIELD_SLOW_MODE:
        room_set_slow_mode_s(room, f->slow_mode_s);
        break;
    case ROOM_FIELD_TIME_TO_LIVE:
        room_set_time_to_live_s(room, f->time_to_live_s);
        break;
    case ROOM_FIELD_ARCHIVED:
        room_set_archived_at(room, f->archived ? f->meta.at : 0);
        break;
    }
}

static void changed(const struct at *at, const struct room_changed *f)
{
    struct room_row *room = room_at(at, f->room_id);
    room_set_version(room, f->version);
    for (size_t i = 0; i < f->changed.count; i++)
        room_changed(room, f, f->changed.items[i]);
}

/* --- members --- */

static void member_begins(const struct at *at, struct uuid room, struct uuid user, enum member_role role, int64_t since,
                          int64_t seq)
{
    struct member_row *member = member_insert(at->rows, (struct member_key){ room, user });
    member_set_role(member, role);
    member_set_joined_at(member, since);
    member_set_joined_seq(member, seq);
}

static void created(const struct at *at, const struct room_created *f)
{
    const bool direct = f->kind == ROOM_KIND_DIRECT;
    const enum member_role role = direct ? MEMBER_ROLE_MEMBER : MEMBER_ROLE_OWNER;
    struct room_row *room = room_insert(at->rows, (struct room_key){ f->room_id });
    room_set_name(room, f->name);
    room_set_kind(room, f->kind);
    room_set_member_count(room, direct ? 2 : 1);
    room_set_created_at(room, f->meta.at);
    room_set_created_by(room, f->meta.actor);
    room_set_peer_id(room, direct ? f->peer_id : uuid_nil);
    room_set_position(room, at->position);
    member_begins(at, f->room_id, f->meta.actor, role, f->meta.at, 0);
    if (direct)
        member_begins(at, f->room_id, f->peer_id, role, f->meta.at, 0);
}

/* Who could only read before they left, can only read. */
static void joined(const struct at *at, const struct member_joined *f)
{
    struct room_row *room = room_get(at->rows, (struct room_key){ f->room_id });
    const struct restriction_row *restriction =
        restriction_get(at->rows, (struct restriction_key){ f->room_id, f->user_id });
    const bool read_only = row_exists(&restriction->row) && restriction->read_only;
    room_set_member_count(room, room->member_count + 1);
    room_set_position(room, at->position);
    member_begins(at, f->room_id, f->user_id, read_only ? MEMBER_ROLE_READ_ONLY : MEMBER_ROLE_MEMBER, f->meta.at,
                  f->after_seq);
    rows_remove(&invitation_touch(at->rows, (struct invitation_key){ f->room_id, f->user_id })->row);
}

static void member_ends(const struct at *at, struct uuid room_id, struct uuid user)
{
    struct room_row *room = room_get(at->rows, (struct room_key){ room_id });
    room_set_member_count(room, room->member_count - 1);
    room_set_position(room, at->position);
    rows_remove(&member_touch(at->rows, (struct member_key){ room_id, user })->row);
}

/* The gets of role_changes: before any change. */
static struct restriction_row *restriction_of(const struct at *at, struct uuid room, struct uuid user)
{
    return restriction_get(at->rows, (struct restriction_key){ room, user });
}

static void role_changes(const struct at *at, struct uuid room, struct uuid user, enum member_role role,
                         struct restriction_row *restriction)
{
    if (!row_exists(&restriction->row))
        restriction = restriction_insert(at->rows, (struct restriction_key){ room, user });
    restriction_set_read_only(restriction, role == MEMBER_ROLE_READ_ONLY);
    member_set_role(member_touch(at->rows, (struct member_key){ room, user }), role);
}

static void transferred(const struct at *at, const struct room_transferred *f)
{
    struct restriction_row *before = restriction_of(at, f->room_id, f->meta.actor),
                           *after = restriction_of(at, f->room_id, f->user_id);
    room_set_version(room_at(at, f->room_id), f->version);
    role_changes(at, f->room_id, f->meta.actor, MEMBER_ROLE_ADMIN, before);
    role_changes(at, f->room_id, f->user_id, MEMBER_ROLE_OWNER, after);
}

static void role_changed(const struct at *at, const struct role_changed *f)
{
    struct restriction_row *restriction = restriction_of(at, f->room_id, f->user_id);
    room_set_version(room_at(at, f->room_id), f->version);
    role_changes(at, f->room_id, f->user_id, f->role, restriction);
}

static void banned(const struct at *at, const struct member_banned *f)
{
    const struct ban_key key = { f->room_id, f->user_id };
    struct ban_row *ban = ban_get(at->rows, key);
    if (f->was_member)
        member_ends(at, f->room_id, f->user_id);
    else
        room_at(at, f->room_id);
    if (!row_exists(&ban->row))
        ban = ban_insert(at->rows, key);
    ban_set_banned_by(ban, f->meta.actor);
    ban_set_banned_at(ban, f->meta.at);
    ban_set_until(ban, f->until);
    ban_set_reason(ban, f->reason);
    rows_remove(&invitation_touch(at->rows, (struct invitation_key){ f->room_id, f->user_id })->row);
}

static void unbanned(const struct at *at, const struct member_unbanned *f)
{
    rows_remove(&ban_touch(at->rows, (struct ban_key){ f->room_id, f->user_id })->row);
    room_at(at, f->room_id);
}

static void invited(const struct at *at, const struct member_invited *f)
{
    struct invitation_row *invitation = invitation_put(at->rows, (struct invitation_key){ f->room_id, f->user_id });
    invitation_set_invited_by(invitation, f->meta.actor);
    invitation_set_invited_at(invitation, f->meta.at);
    room_at(at, f->room_id);
}

static void withdrawn(const struct at *at, const struct invitation_withdrawn *f)
{
    rows_remove(&invitation_touch(at->rows, (struct invitation_key){ f->room_id, f->user_id })->row);
    room_at(at, f->room_id);
}

/* --- messages --- */

/* A message that something has happened to. */
static struct message_row *message_at(const struct at *at, struct uuid room, int64_t seq)
{
    struct message_row *message = message_touch(at->rows, (struct message_key){ room, seq });
    message_set_changed_position(message, at->position);
    return message;
}

/* An answer more, or fewer, for what began the thread. */
static void answers(const struct at *at, struct message_row *root, int32_t more)
{
    if (!root)
        return;
    message_set_reply_count(root, root->reply_count + more);
    message_set_changed_position(root, at->position);
}

static struct message_row *root_of(const struct at *at, struct uuid room, int64_t thread)
{
    return thread ? message_get(at->rows, (struct message_key){ room, thread }) : NULL;
}

static void mentioned(const struct at *at, struct uuid room, int64_t seq, const struct uuid *users, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mention_append(at->rows, (struct mention_key){ users[i], room, seq });
}

static void posted(const struct at *at, const struct message_posted *f)
{
    struct message_row *root = root_of(at, f->room_id, f->thread);
    struct restriction_row *restriction = f->slow_until ? restriction_of(at, f->room_id, f->meta.actor) : NULL;
    room_set_last_seq(room_at(at, f->room_id), f->seq);
    member_set_posted_block(member_touch(at->rows, (struct member_key){ f->room_id, f->meta.actor }),
                            row_block(f->seq));
    if (restriction && !row_exists(&restriction->row))
        restriction = restriction_insert(at->rows, (struct restriction_key){ f->room_id, f->meta.actor });
    if (restriction)
        restriction_set_slow_until(restriction, f->slow_until);
    answers(at, root, 1);
    struct message_row *m = message_append(at->rows, (struct message_key){ f->room_id, f->seq });
    message_set_message_id(m, f->message_id);
    message_set_sender_id(m, f->meta.actor);
    message_set_posted_at(m, f->meta.at);
    message_set_position(m, at->position);
    message_set_body(m, f->body);
    message_set_reply_to(m, f->reply_to);
    message_set_thread(m, f->thread);
    message_set_mentions(m, bytes_of(f->mentions.items, f->mentions.count));
    message_set_mentions_room(m, f->mentions_room);
    message_set_forwarded_room(m, f->forwarded_room);
    message_set_forwarded_message(m, f->forwarded_message);
    message_set_forwarded_sender(m, f->forwarded_sender);
    mentioned(at, f->room_id, f->seq, f->mentions.items, f->mentions.count);
    if (f->expires_at) {
        struct expiring_row *expiring = expiring_append(at->rows, (struct expiring_key){ f->room_id, f->seq });
        expiring_set_message_id(expiring, f->message_id);
        expiring_set_sender_id(expiring, f->meta.actor);
        expiring_set_partition(expiring, at->partition);
        expiring_set_expires_at(expiring, f->expires_at);
    }
    if (f->scheduled)
        rows_remove(&scheduled_touch(at->rows, (struct scheduled_key){ f->message_id })->row);
}

static void edited(const struct at *at, const struct message_edited *f)
{
    struct message_row *m = message_at(at, f->room_id, f->seq);
    rows_hook(&m->row, KEEP_ORIGINAL);
    message_set_version(m, f->version);
    message_set_edited_at(m, f->meta.at);
    message_set_body(m, f->body);
    message_set_mentions(m, bytes_of(f->mentions.items, f->mentions.count));
    message_set_mentions_room(m, f->mentions_room);
    mentioned(at, f->room_id, f->seq, f->mentions.items, f->mentions.count);
    struct message_version_row *version =
        message_version_append(at->rows, (struct message_version_key){ f->room_id, f->seq, f->version });
    message_version_set_at(version, f->meta.at);
    message_version_set_position(version, at->position);
    message_version_set_body(version, f->body);
    room_at(at, f->room_id);
}

/* Only number, sender and place in its thread stay. */
static void deleted(const struct at *at, const struct message_deleted *f)
{
    struct message_row *root = root_of(at, f->room_id, f->thread);
    struct message_row *m = message_at(at, f->room_id, f->seq);
    answers(at, root, -1);
    rows_hook(&m->row, f->expired ? DROP_VERSIONS : KEEP_ORIGINAL);
    rows_hook(&m->row, COUNT_DELETED);
    rows_hook(&m->row, DROP_REACTIONS);
    message_set_deleted_at(m, f->meta.at);
    message_set_deleted_position(m, at->position);
    message_set_body(m, (struct sealed){ .state = ERASED });
    message_set_mentions(m, (struct str){ 0 });
    message_set_mentions_room(m, false);
    message_set_pinned_at(m, 0);
    message_set_reactions(m, (struct str){ 0 });
    message_set_forwarded_room(m, uuid_nil);
    message_set_forwarded_message(m, uuid_nil);
    message_set_forwarded_sender(m, uuid_nil);
    rows_remove(&expiring_touch(at->rows, (struct expiring_key){ f->room_id, f->seq })->row);
    room_at(at, f->room_id);
}

static void pinned(const struct at *at, struct uuid room, int64_t seq, int64_t pinned_at)
{
    message_set_pinned_at(message_at(at, room, seq), pinned_at);
    room_at(at, room);
}

static void reacted(const struct at *at, struct uuid room, int64_t seq, struct uuid user, struct str emoji, bool added)
{
    const struct reaction_key key = { room, seq, user, symbol_of(emoji) };
    if (added)
        reaction_set_position(reaction_insert(at->rows, key), at->position);
    else
        rows_remove(&reaction_touch(at->rows, key)->row);
    rows_hook(&message_at(at, room, seq)->row, RENDER_REACTIONS);
    room_at(at, room);
}

/* --- messages for later --- */

static void scheduled(const struct at *at, const struct message_scheduled *f)
{
    struct scheduled_row *row = scheduled_append(at->rows, (struct scheduled_key){ f->message_id });
    scheduled_set_room_id(row, f->room_id);
    scheduled_set_sender_id(row, f->meta.actor);
    scheduled_set_partition(row, at->partition);
    scheduled_set_send_at(row, f->send_at);
    scheduled_set_scheduled_at(row, f->meta.at);
    scheduled_set_reply_to(row, f->reply_to);
    scheduled_set_mentions_room(row, f->mentions_room);
    scheduled_set_mentions(row, bytes_of(f->mentions.items, f->mentions.count));
    scheduled_set_body(row, f->body);
    room_at(at, f->room_id);
}

static void canceled(const struct at *at, const struct scheduled_message_canceled *f)
{
    rows_remove(&scheduled_touch(at->rows, (struct scheduled_key){ f->message_id })->row);
    room_at(at, f->room_id);
}

static void withheld(const struct at *at, const struct scheduled_message_withheld *f)
{
    scheduled_set_withheld_at(scheduled_touch(at->rows, (struct scheduled_key){ f->message_id }), f->meta.at);
    room_at(at, f->room_id);
}

void rooms_evolve_rows(struct rows *rows, const struct placed_fact *fact)
{
    const struct rooms_fact *f = (const struct rooms_fact *)fact->fact;
    const struct at at = { rows, fact->offset, fact->partition };
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED:
        created(&at, &f->room_created);
        break;
    case ROOMS_ROOM_CHANGED:
        changed(&at, &f->room_changed);
        break;
    case ROOMS_ROOM_TRANSFERRED:
        transferred(&at, &f->room_transferred);
        break;
    case ROOMS_ROLE_CHANGED:
        role_changed(&at, &f->role_changed);
        break;
    case ROOMS_MEMBER_JOINED:
        joined(&at, &f->member_joined);
        break;
    case ROOMS_MEMBER_LEFT:
        member_ends(&at, f->member_left.room_id, f->member_left.user_id);
        break;
    case ROOMS_MEMBER_REMOVED:
        member_ends(&at, f->member_removed.room_id, f->member_removed.user_id);
        break;
    case ROOMS_MEMBER_BANNED:
        banned(&at, &f->member_banned);
        break;
    case ROOMS_MEMBER_UNBANNED:
        unbanned(&at, &f->member_unbanned);
        break;
    case ROOMS_MEMBER_INVITED:
        invited(&at, &f->member_invited);
        break;
    case ROOMS_INVITATION_WITHDRAWN:
        withdrawn(&at, &f->invitation_withdrawn);
        break;
    case ROOMS_MESSAGE_POSTED:
        posted(&at, &f->message_posted);
        break;
    case ROOMS_MESSAGE_EDITED:
        edited(&at, &f->message_edited);
        break;
    case ROOMS_MESSAGE_DELETED:
        deleted(&at, &f->message_deleted);
        break;
    case ROOMS_MESSAGE_PINNED:
        pinned(&at, f->message_pinned.room_id, f->message_pinned.seq, f->meta.at);
        break;
    case ROOMS_MESSAGE_UNPINNED:
        pinned(&at, f->message_unpinned.room_id, f->message_unpinned.seq, 0);
        break;
    case ROOMS_REACTION_ADDED:
        reacted(&at, f->reaction_added.room_id, f->reaction_added.seq, f->meta.actor, f->reaction_added.emoji, true);
        break;
    case ROOMS_REACTION_REMOVED:
        reacted(&at, f->reaction_removed.room_id, f->reaction_removed.seq, f->meta.actor, f->reaction_removed.emoji,
                false);
        break;
    case ROOMS_MESSAGE_SCHEDULED:
        scheduled(&at, &f->message_scheduled);
        break;
    case ROOMS_SCHEDULED_MESSAGE_CANCELED:
        canceled(&at, &f->scheduled_message_canceled);
        break;
    case ROOMS_SCHEDULED_MESSAGE_WITHHELD:
        withheld(&at, &f->scheduled_message_withheld);
        break;
    case ROOMS_FACT_NONE:
        break;
    }
}
