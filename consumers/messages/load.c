/* Brings rooms and memberships from PostgreSQL into the state, one query a table, both in one round trip. */
#include "consumers/messages/streams.h"

static const struct pg_statement load_rooms = {
    "messages_load_rooms",
    "SELECT room_id, kind, last_seq FROM messages.rooms WHERE room_id = ANY ($1::uuid[])",
};

static const struct pg_statement load_members = {
    "messages_load_members",
    "SELECT m.room_id, m.user_id"
    "  FROM unnest($1::uuid[], $2::uuid[]) AS k (room_id, user_id)"
    "  JOIN messages.members m ON m.room_id = k.room_id AND m.user_id = k.user_id",
};

/* What is asked for. An entry that is asked for is LOADING, so that it is asked for once. */
struct wanted {
    struct room **rooms;
    struct member **members;
    size_t room_count, member_count;
};

static void want_room(struct wanted *w, struct rooms_state *s, struct uuid id)
{
    struct room *room = rooms_state_claim_room(s, id);
    if (room->presence == PRESENCE_UNKNOWN) {
        room->presence = PRESENCE_LOADING;
        w->rooms[w->room_count++] = room;
    }
}

static void want_member(struct wanted *w, struct rooms_state *s, struct uuid room, struct uuid user)
{
    struct member *member = rooms_state_claim_member(s, room, user);
    if (member->presence == PRESENCE_UNKNOWN) {
        member->presence = PRESENCE_LOADING;
        w->members[w->member_count++] = member;
    }
}

static void want_for_command(struct wanted *w, struct rooms_state *s, const struct rooms_command *c)
{
    switch ((enum rooms_command_type)c->type) {
    case ROOMS_CREATE_ROOM:
        want_room(w, s, c->create_room.room_id);
        break;
    case ROOMS_JOIN_ROOM:
        want_room(w, s, c->join_room.room_id);
        want_member(w, s, c->join_room.room_id, c->join_room.user_id);
        break;
    case ROOMS_POST_MESSAGE:
        want_room(w, s, c->post_message.room_id);
        want_member(w, s, c->post_message.room_id, c->meta.actor);
        break;
    case ROOMS_COMMAND_NONE:
        break;
    }
}

static void want_for_fact(struct wanted *w, struct rooms_state *s, const struct rooms_fact *f)
{
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED:
        want_room(w, s, f->room_created.room_id);
        want_member(w, s, f->room_created.room_id, f->meta.actor);
        break;
    case ROOMS_MEMBER_JOINED:
        want_room(w, s, f->member_joined.room_id);
        want_member(w, s, f->member_joined.room_id, f->member_joined.user_id);
        break;
    case ROOMS_MESSAGE_POSTED:
        want_room(w, s, f->message_posted.room_id);
        break;
    case ROOMS_FACT_NONE:
        break;
    }
}

static err ask(struct pg *pg, struct arena *arena, const struct wanted *w, PGresult *ret[2])
{
    struct pg_array *ids = pg_array(arena, PG_UUID, w->room_count);
    for (size_t i = 0; i < w->room_count; i++)
        pg_array_uuid(ids, w->rooms[i]->id);
    struct pg_args for_rooms = pg_args(arena);
    pg_arg_array(&for_rooms, ids);

    struct pg_array *rooms = pg_array(arena, PG_UUID, w->member_count);
    struct pg_array *users = pg_array(arena, PG_UUID, w->member_count);
    for (size_t i = 0; i < w->member_count; i++) {
        pg_array_uuid(rooms, w->members[i]->key.room);
        pg_array_uuid(users, w->members[i]->key.user);
    }
    struct pg_args for_members = pg_args(arena);
    pg_arg_array(&for_members, rooms);
    pg_arg_array(&for_members, users);

    TRY(pg_batch_begin(pg));
    TRY(pg_batch_add(pg, &load_rooms, &for_rooms));
    TRY(pg_batch_add(pg, &load_members, &for_members));
    return pg_batch_end(pg, ret, 2);
}

err rooms_load(void *state, struct pg *pg, struct arena *arena, const struct any_record *const *records, size_t count,
               bool facts)
{
    struct rooms_state *s = state;
    struct wanted w = { ARENA_ARRAY(arena, struct room *, count), ARENA_ARRAY(arena, struct member *, count), 0, 0 };
    for (size_t i = 0; i < count; i++) {
        if (facts)
            want_for_fact(&w, s, (const struct rooms_fact *)records[i]);
        else
            want_for_command(&w, s, (const struct rooms_command *)records[i]);
    }
    if (w.room_count + w.member_count == 0)
        return OK;

    PGresult *results[2];
    err asked = ask(pg, arena, &w, results);
    const enum presence otherwise = asked == OK ? PRESENCE_ABSENT : PRESENCE_UNKNOWN;
    for (size_t i = 0; i < w.room_count; i++)
        w.rooms[i]->presence = otherwise;
    for (size_t i = 0; i < w.member_count; i++)
        w.members[i]->presence = otherwise;
    if (asked != OK)
        return asked;

    for (int row = 0; row < PQntuples(results[0]); row++) {
        struct room *room = rooms_state_claim_room(s, pg_uuid(results[0], row, 0));
        room->presence = PRESENCE_PRESENT;
        room->kind = room_kind_of_row(pg_int(results[0], row, 1));
        room->last_seq = pg_int(results[0], row, 2);
    }
    for (int row = 0; row < PQntuples(results[1]); row++)
        rooms_state_claim_member(s, pg_uuid(results[1], row, 0), pg_uuid(results[1], row, 1))->presence =
            PRESENCE_PRESENT;
    pg_results_clear(results, 2);
    return OK;
}
