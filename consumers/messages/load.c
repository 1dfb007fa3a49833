/* Brings what commands ask about from PostgreSQL into the state: one query a table, those that are needed in one round
 * trip. Posting asks for rooms and members only. */
#include "consumers/messages/streams.h"

static const struct pg_statement load_rooms = {
    "messages_load_rooms",
    "SELECT r.room_id, r.kind, r.last_seq, r.member_count, r.version, r.slow_mode_s, r.time_to_live_s,"
    "       r.archived_at IS NOT NULL,"
    "       (SELECT count(*) FROM messages.scheduled s WHERE s.room_id = r.room_id AND s.withheld_at IS NULL)"
    "  FROM messages.rooms r WHERE r.room_id = ANY ($1::uuid[])",
};

/* How each person stands to each room: a member (role), invited, banned, restrained. */
static const struct pg_statement load_members = {
    "messages_load_members",
    "SELECT k.room_id, k.user_id, m.role, x.slow_until, i.invited_by, b.user_id IS NOT NULL, b.until, m.posted_block,"
    "       x.read_only"
    "  FROM unnest($1::uuid[], $2::uuid[]) AS k (room_id, user_id)"
    "  LEFT JOIN messages.members m ON m.room_id = k.room_id AND m.user_id = k.user_id"
    "  LEFT JOIN messages.invitations i ON i.room_id = k.room_id AND i.user_id = k.user_id"
    "  LEFT JOIN messages.bans b ON b.room_id = k.room_id AND b.user_id = k.user_id"
    "  LEFT JOIN messages.restrictions x ON x.room_id = k.room_id AND x.user_id = k.user_id",
};

static const struct pg_statement load_messages = {
    "messages_load_messages",
    "SELECT m.room_id, m.seq, m.message_id, m.sender_id, m.thread, m.version, m.deleted_at IS NOT NULL,"
    "       m.pinned_at IS NOT NULL"
    "  FROM unnest($1::uuid[], $2::bigint[]) AS k (room_id, seq)"
    "  JOIN messages.messages m ON m.room_id = k.room_id AND m.seq = k.seq",
};

/* The counts of struct reaction. */
static const struct pg_statement load_reactions = {
    "messages_load_reactions",
    "SELECT k.room_id, k.seq, k.user_id, k.emoji,"
    "       CASE WHEN k.user_id <> '00000000-0000-0000-0000-000000000000' THEN"
    "            (SELECT count(*) FROM messages.reactions r"
    "              WHERE r.room_id = k.room_id AND r.seq = k.seq AND r.user_id = k.user_id"
    "                AND (k.emoji = '' OR r.emoji = k.emoji))"
    "            WHEN k.emoji <> '' THEN"
    "            (SELECT count(*) FROM messages.reactions r"
    "              WHERE r.room_id = k.room_id AND r.seq = k.seq AND r.emoji = k.emoji)"
    "            ELSE"
    "            (SELECT count(DISTINCT r.emoji) FROM messages.reactions r"
    "              WHERE r.room_id = k.room_id AND r.seq = k.seq) END"
    "  FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[]) AS k (room_id, seq, user_id, emoji)",
};

static const struct pg_statement load_scheduled = {
    "messages_load_scheduled",
    "SELECT message_id, room_id, sender_id, withheld_at IS NOT NULL FROM messages.scheduled WHERE message_id = ANY "
    "($1::uuid[])",
};

static const struct pg_statement load_agendas = {
    "messages_load_agendas",
    "SELECT s.room_id, s.sender_id, s.message_id, s.send_at"
    "  FROM unnest($1::uuid[], $2::uuid[]) AS k (room_id, user_id)"
    "  JOIN messages.scheduled s ON s.room_id = k.room_id AND s.sender_id = k.user_id"
    " WHERE s.withheld_at IS NULL",
};

/* What is asked for. An entry that is asked for is LOADING, so that it is asked for once. */
struct wanted {
    struct rooms_state *state;
    struct room **rooms;
    struct member **members;
    struct message **messages;
    struct reaction **reactions;
    struct scheduled **scheduled;
    struct agenda **agendas;
    size_t room_count, member_count, message_count, reaction_count, scheduled_count, agenda_count;
};

#define WANT(list, count, entry)                                                                                       \
    do {                                                                                                               \
        if ((entry)->presence == PRESENCE_UNKNOWN) {                                                                   \
            (entry)->presence = PRESENCE_LOADING;                                                                      \
            (list)[(count)++] = (entry);                                                                               \
        }                                                                                                              \
    } while (0)

static void want_room(struct wanted *w, struct uuid id)
{
    struct room *room = rooms_state_claim_room(w->state, id);
    WANT(w->rooms, w->room_count, room);
}

static void want_member(struct wanted *w, struct uuid room, struct uuid user)
{
    struct member *member = rooms_state_claim_member(w->state, room, user);
    WANT(w->members, w->member_count, member);
}

static void want_message(struct wanted *w, struct uuid room, int64_t seq)
{
    struct message *message = rooms_state_claim_message(w->state, room, seq);
    WANT(w->messages, w->message_count, message);
}

#define COUNTS 4 /* of a reaction: the person's and everybody's, with this emoji and with any */

static void want_reactions(struct wanted *w, struct uuid room, int64_t seq, struct uuid user, struct str emoji)
{
    if (!emoji_is_sound(emoji))
        return;
    for (int i = 0; i < COUNTS; i++) {
        const struct reaction_key key =
            reaction_key(room, seq, i & 1 ? user : uuid_nil, i & 2 ? emoji : (struct str){ 0 });
        struct reaction *reaction = rooms_state_claim_reaction(w->state, &key);
        WANT(w->reactions, w->reaction_count, reaction);
    }
}

static void want_scheduled(struct wanted *w, struct uuid message)
{
    struct scheduled *scheduled = rooms_state_claim_scheduled(w->state, message);
    WANT(w->scheduled, w->scheduled_count, scheduled);
}

static void want_agenda(struct wanted *w, struct uuid room, struct uuid user)
{
    struct agenda *agenda = rooms_state_claim_agenda(w->state, room, user);
    WANT(w->agendas, w->agenda_count, agenda);
}

/* Every command is about its room, and how the actor stands to it. */
static void want_for_command(struct wanted *w, const struct rooms_command *c)
{
    if (c->type == ROOMS_COMMAND_NONE)
        return;
    const struct uuid room = rooms_stream.command.key((const struct any_record *)c);
    want_room(w, room);
    want_member(w, room, c->meta.actor);
    switch ((enum rooms_command_type)c->type) {
    case ROOMS_CREATE_ROOM:
    case ROOMS_CHANGE_ROOM:
        break;
    case ROOMS_TRANSFER_ROOM:
        want_member(w, room, c->transfer_room.user_id);
        break;
    case ROOMS_JOIN_ROOM:
        want_member(w, room, c->join_room.user_id);
        break;
    case ROOMS_LEAVE_ROOM:
        want_member(w, room, c->leave_room.user_id);
        break;
    case ROOMS_CHANGE_ROLE:
        want_member(w, room, c->change_role.user_id);
        break;
    case ROOMS_INVITE_MEMBER:
        want_member(w, room, c->invite_member.user_id);
        break;
    case ROOMS_WITHDRAW_INVITATION:
        want_member(w, room, c->withdraw_invitation.user_id);
        break;
    case ROOMS_REMOVE_MEMBER:
        want_member(w, room, c->remove_member.user_id);
        break;
    case ROOMS_BAN_MEMBER:
        want_member(w, room, c->ban_member.user_id);
        break;
    case ROOMS_UNBAN_MEMBER:
        want_member(w, room, c->unban_member.user_id);
        break;
    case ROOMS_POST_MESSAGE:
        if (c->post_message.reply_to)
            want_message(w, room, c->post_message.reply_to);
        if (c->post_message.scheduled)
            want_scheduled(w, c->post_message.message_id);
        break;
    case ROOMS_EDIT_MESSAGE:
        want_message(w, room, c->edit_message.seq);
        break;
    case ROOMS_DELETE_MESSAGE:
        want_message(w, room, c->delete_message.seq);
        break;
    case ROOMS_ADD_REACTION:
        want_message(w, room, c->add_reaction.seq);
        want_reactions(w, room, c->add_reaction.seq, c->meta.actor, c->add_reaction.emoji);
        break;
    case ROOMS_REMOVE_REACTION:
        want_message(w, room, c->remove_reaction.seq);
        want_reactions(w, room, c->remove_reaction.seq, c->meta.actor, c->remove_reaction.emoji);
        break;
    case ROOMS_PIN_MESSAGE:
        want_message(w, room, c->pin_message.seq);
        break;
    case ROOMS_UNPIN_MESSAGE:
        want_message(w, room, c->unpin_message.seq);
        break;
    case ROOMS_SCHEDULE_MESSAGE:
        want_scheduled(w, c->schedule_message.message_id);
        want_agenda(w, room, c->meta.actor);
        break;
    case ROOMS_CANCEL_SCHEDULED_MESSAGE:
        want_scheduled(w, c->cancel_scheduled_message.message_id);
        break;
    case ROOMS_COMMAND_NONE:
        break;
    }
}

static void want_for_fact(struct wanted *w, const struct rooms_fact *f)
{
    if (f->type == ROOMS_FACT_NONE)
        return;
    const struct uuid room = rooms_stream.fact.key((const struct any_record *)f);
    want_room(w, room);
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED:
        want_member(w, room, f->meta.actor);
        if (f->room_created.kind == ROOM_KIND_DIRECT)
            want_member(w, room, f->room_created.peer_id);
        break;
    case ROOMS_ROOM_CHANGED:
        break;
    case ROOMS_ROOM_TRANSFERRED:
        want_member(w, room, f->meta.actor);
        want_member(w, room, f->room_transferred.user_id);
        break;
    case ROOMS_ROLE_CHANGED:
        want_member(w, room, f->role_changed.user_id);
        break;
    case ROOMS_MEMBER_JOINED:
        want_member(w, room, f->member_joined.user_id);
        break;
    case ROOMS_MEMBER_LEFT:
        want_member(w, room, f->member_left.user_id);
        break;
    case ROOMS_MEMBER_REMOVED:
        want_member(w, room, f->member_removed.user_id);
        break;
    case ROOMS_MEMBER_BANNED:
        want_member(w, room, f->member_banned.user_id);
        break;
    case ROOMS_MEMBER_UNBANNED:
        want_member(w, room, f->member_unbanned.user_id);
        break;
    case ROOMS_MEMBER_INVITED:
        want_member(w, room, f->member_invited.user_id);
        break;
    case ROOMS_INVITATION_WITHDRAWN:
        want_member(w, room, f->invitation_withdrawn.user_id);
        break;
    case ROOMS_MESSAGE_POSTED:
        if (f->message_posted.slow_until)
            want_member(w, room, f->meta.actor);
        if (f->message_posted.scheduled)
            want_scheduled(w, f->message_posted.message_id);
        break;
    case ROOMS_MESSAGE_EDITED:
        want_message(w, room, f->message_edited.seq);
        break;
    case ROOMS_MESSAGE_DELETED:
        want_message(w, room, f->message_deleted.seq);
        break;
    case ROOMS_MESSAGE_PINNED:
        want_message(w, room, f->message_pinned.seq);
        break;
    case ROOMS_MESSAGE_UNPINNED:
        want_message(w, room, f->message_unpinned.seq);
        break;
    case ROOMS_REACTION_ADDED:
        want_reactions(w, room, f->reaction_added.seq, f->meta.actor, f->reaction_added.emoji);
        break;
    case ROOMS_REACTION_REMOVED:
        want_reactions(w, room, f->reaction_removed.seq, f->meta.actor, f->reaction_removed.emoji);
        break;
    case ROOMS_MESSAGE_SCHEDULED:
        want_scheduled(w, f->message_scheduled.message_id);
        break;
    case ROOMS_SCHEDULED_MESSAGE_WITHHELD:
        want_scheduled(w, f->scheduled_message_withheld.message_id);
        break;
    case ROOMS_SCHEDULED_MESSAGE_CANCELED:
        want_scheduled(w, f->scheduled_message_canceled.message_id);
        break;
    case ROOMS_FACT_NONE:
        break;
    }
}

/* --- asking --- */

enum { ROOMS, MEMBERS, MESSAGES, REACTIONS, SCHEDULED, AGENDAS, TABLES };

static err ask_rooms(struct pg *pg, struct arena *arena, const struct wanted *w)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, w->room_count);
    for (size_t i = 0; i < w->room_count; i++)
        pg_array_uuid(ids, w->rooms[i]->id);
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, ids);
    return pg_batch_add(pg, &load_rooms, &args);
}

static err ask_members(struct pg *pg, struct arena *arena, const struct wanted *w)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, w->member_count);
    struct pg_array *users = pg_array(arena, PG_UUID, w->member_count);
    for (size_t i = 0; i < w->member_count; i++) {
        pg_array_uuid(rooms, w->members[i]->key.room);
        pg_array_uuid(users, w->members[i]->key.user);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, rooms);
    pg_arg_array(&args, users);
    return pg_batch_add(pg, &load_members, &args);
}

static err ask_messages(struct pg *pg, struct arena *arena, const struct wanted *w)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, w->message_count);
    struct pg_array *seqs = pg_array(arena, PG_INT8, w->message_count);
    for (size_t i = 0; i < w->message_count; i++) {
        pg_array_uuid(rooms, w->messages[i]->key.room);
        pg_array_int8(seqs, w->messages[i]->key.seq);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, rooms);
    pg_arg_array(&args, seqs);
    return pg_batch_add(pg, &load_messages, &args);
}

static struct str emoji_of(const struct reaction_key *key)
{
    return (struct str){ key->emoji, strnlen(key->emoji, EMOJI_MAX) };
}

static err ask_reactions(struct pg *pg, struct arena *arena, const struct wanted *w)
{
    const size_t n = w->reaction_count;
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *seqs = pg_array(arena, PG_INT8, n);
    struct pg_array *users = pg_array(arena, PG_UUID, n), *emojis = pg_array(arena, PG_TEXT, n);
    for (size_t i = 0; i < n; i++) {
        const struct reaction_key *key = &w->reactions[i]->key;
        pg_array_uuid(rooms, key->room);
        pg_array_int8(seqs, key->seq);
        pg_array_uuid(users, key->user);
        pg_array_str(emojis, emoji_of(key));
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { rooms, seqs, users, emojis };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &load_reactions, &args);
}

static err ask_scheduled(struct pg *pg, struct arena *arena, const struct wanted *w)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, w->scheduled_count);
    for (size_t i = 0; i < w->scheduled_count; i++)
        pg_array_uuid(ids, w->scheduled[i]->id);
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, ids);
    return pg_batch_add(pg, &load_scheduled, &args);
}

static err ask_agendas(struct pg *pg, struct arena *arena, const struct wanted *w)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, w->agenda_count);
    struct pg_array *users = pg_array(arena, PG_UUID, w->agenda_count);
    for (size_t i = 0; i < w->agenda_count; i++) {
        pg_array_uuid(rooms, w->agendas[i]->key.room);
        pg_array_uuid(users, w->agendas[i]->key.user);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, rooms);
    pg_arg_array(&args, users);
    return pg_batch_add(pg, &load_agendas, &args);
}

/* ret[table] is NULL for a table that was not asked. */
static err ask(struct pg *pg, struct arena *arena, const struct wanted *w, PGresult *ret[TABLES])
{
    err (*const questions[TABLES])(struct pg *, struct arena *, const struct wanted *) = { ask_rooms,     ask_members,
                                                                                           ask_messages,  ask_reactions,
                                                                                           ask_scheduled, ask_agendas };
    const size_t counts[TABLES] = { w->room_count,     w->member_count,    w->message_count,
                                    w->reaction_count, w->scheduled_count, w->agenda_count };
    PGresult *results[TABLES];
    size_t asked = 0;
    TRY(pg_batch_begin(pg));
    for (int table = 0; table < TABLES; table++)
        if (counts[table] > 0) {
            TRY(questions[table](pg, arena, w));
            asked++;
        }
    TRY(pg_batch_end(pg, results, asked));
    asked = 0;
    for (int table = 0; table < TABLES; table++)
        ret[table] = counts[table] > 0 ? results[asked++] : NULL;
    return OK;
}

/* --- answers --- */

static void mark(const struct wanted *w, enum presence presence)
{
    for (size_t i = 0; i < w->room_count; i++)
        w->rooms[i]->presence = presence;
    for (size_t i = 0; i < w->member_count; i++)
        w->members[i]->presence = presence;
    for (size_t i = 0; i < w->message_count; i++)
        w->messages[i]->presence = presence;
    for (size_t i = 0; i < w->reaction_count; i++)
        w->reactions[i]->presence = presence;
    for (size_t i = 0; i < w->scheduled_count; i++)
        w->scheduled[i]->presence = presence;
    for (size_t i = 0; i < w->agenda_count; i++)
        w->agendas[i]->presence = presence;
}

static void read_room(struct rooms_state *s, const PGresult *r, int row)
{
    struct room *room = rooms_state_claim_room(s, pg_uuid(r, row, 0));
    room->presence = PRESENCE_PRESENT;
    room->kind = room_kind_of_row(pg_int(r, row, 1));
    room->last_seq = pg_int(r, row, 2);
    room->member_count = pg_int(r, row, 3);
    room->version = pg_int(r, row, 4);
    room->slow_mode_s = (int32_t)pg_int(r, row, 5);
    room->time_to_live_s = pg_int(r, row, 6);
    room->archived = pg_bool(r, row, 7);
    room->scheduled = pg_int(r, row, 8);
}

static void read_member(struct rooms_state *s, const PGresult *r, int row)
{
    struct member *member = rooms_state_claim_member(s, pg_uuid(r, row, 0), pg_uuid(r, row, 1));
    if (!pg_null(r, row, 2)) {
        member->presence = PRESENCE_PRESENT;
        member->role = member_role_of_row(pg_int(r, row, 2));
        member->posted_block = pg_int(r, row, 7);
    }
    member->read_only = pg_bool(r, row, 8);
    member->slow_until = pg_null(r, row, 3) ? 0 : pg_time(r, row, 3);
    member->invited_by = pg_uuid(r, row, 4);
    if (pg_bool(r, row, 5))
        member->banned_until = pg_null(r, row, 6) ? BANNED_FOR_EVER : pg_time(r, row, 6);
}

static void read_message(struct rooms_state *s, const PGresult *r, int row)
{
    struct message *message = rooms_state_claim_message(s, pg_uuid(r, row, 0), pg_int(r, row, 1));
    message->presence = PRESENCE_PRESENT;
    message->id = pg_uuid(r, row, 2);
    message->sender = pg_uuid(r, row, 3);
    message->thread = pg_int(r, row, 4);
    message->version = (int32_t)pg_int(r, row, 5);
    message->deleted = pg_bool(r, row, 6);
    message->pinned = pg_bool(r, row, 7);
}

static void read_reaction(struct rooms_state *s, const PGresult *r, int row)
{
    const struct reaction_key key =
        reaction_key(pg_uuid(r, row, 0), pg_int(r, row, 1), pg_uuid(r, row, 2), pg_str(r, row, 3));
    struct reaction *reaction = rooms_state_claim_reaction(s, &key);
    reaction->presence = PRESENCE_PRESENT;
    reaction->count = pg_int(r, row, 4);
}

static void read_scheduled(struct rooms_state *s, const PGresult *r, int row)
{
    struct scheduled *scheduled = rooms_state_claim_scheduled(s, pg_uuid(r, row, 0));
    scheduled->presence = PRESENCE_PRESENT;
    scheduled->room = pg_uuid(r, row, 1);
    scheduled->sender = pg_uuid(r, row, 2);
    scheduled->withheld = pg_bool(r, row, 3);
}

static void read_agenda(struct rooms_state *s, const PGresult *r, int row)
{
    struct agenda *agenda = rooms_state_claim_agenda(s, pg_uuid(r, row, 0), pg_uuid(r, row, 1));
    agenda->presence = PRESENCE_PRESENT;
    rooms_state_plan(s, agenda, pg_uuid(r, row, 2), pg_time(r, row, 3));
}

err rooms_load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records, size_t count,
               bool facts)
{
    struct wanted w = {
        .state = state,
        .rooms = ARENA_ARRAY(arena, struct room *, count),
        .members = ARENA_ARRAY(arena, struct member *, 2 * count),
        .messages = ARENA_ARRAY(arena, struct message *, count),
        .reactions = ARENA_ARRAY(arena, struct reaction *, COUNTS * count),
        .scheduled = ARENA_ARRAY(arena, struct scheduled *, count),
        .agendas = ARENA_ARRAY(arena, struct agenda *, count),
    };
    for (size_t i = 0; i < count; i++) {
        if (facts)
            want_for_fact(&w, (const struct rooms_fact *)records[i]);
        else
            want_for_command(&w, (const struct rooms_command *)records[i]);
    }
    if (w.room_count + w.member_count + w.message_count + w.reaction_count + w.scheduled_count + w.agenda_count == 0)
        return OK;

    PGresult *results[TABLES];
    const err asked = ask(pg, arena, &w, results);
    mark(&w, asked == OK ? PRESENCE_ABSENT : PRESENCE_UNKNOWN);
    if (asked != OK)
        return asked;
    void (*const readers[TABLES])(struct rooms_state *, const PGresult *, int) = { read_room,      read_member,
                                                                                   read_message,   read_reaction,
                                                                                   read_scheduled, read_agenda };
    for (int table = 0; table < TABLES; table++)
        for (int row = 0; results[table] && row < PQntuples(results[table]); row++)
            readers[table](state, results[table], row);
    pg_results_clear(results, TABLES);
    return OK;
}
