/* Brings a batch of facts of the stream rooms into the projection, each kind of row with one statement, whatever the
 * batch's size. A batch of nothing but messages takes two: rooms, messages.
 *
 * What the batch comes to is added up first (changes.h), so that a row is written once a batch: a room that was created
 * in it is inserted with its final numbers, any other is updated. Where rows come and go, all that the batch touched
 * are deleted and what is left of them is inserted. The checkpoint keeps a fact from being folded twice; a row that is
 * there already is an error and must surface. */
#include "consumers/messages/changes.h"
#include "consumers/messages/streams.h"
#include "consumers/projection/text.h"

static const struct pg_statement insert_rooms = {
    "messages_insert_rooms",
    "INSERT INTO messages.rooms (room_id, name, kind, member_count, last_seq, created_at, created_by, peer_id, "
    "position)"
    " SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::smallint[]), unnest($4::int[]), unnest($5::bigint[]),"
    "        unnest($6::timestamptz[]), unnest($7::uuid[]), unnest($8::uuid[]), unnest($9::bigint[])",
};

static const struct pg_statement update_rooms = {
    "messages_update_rooms",
    "UPDATE messages.rooms r"
    "   SET member_count = r.member_count + c.joined, last_seq = COALESCE(c.last_seq, r.last_seq), position = "
    "c.position"
    "  FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[]) AS c (room_id, joined, last_seq, position)"
    " WHERE r.room_id = c.room_id",
};

/* What admins have changed. A text that is NULL was erased; has_… tells it from one that stays. */
static const struct pg_statement change_rooms = {
    "messages_change_rooms",
    "UPDATE messages.rooms r"
    "   SET version = c.version,"
    "       name = CASE WHEN c.has_name THEN c.name ELSE r.name END,"
    "       description = CASE WHEN c.has_description THEN c.description ELSE r.description END,"
    "       topic = CASE WHEN c.has_topic THEN c.topic ELSE r.topic END,"
    "       slow_mode_s = COALESCE(c.slow_mode_s, r.slow_mode_s),"
    "       time_to_live_s = COALESCE(c.time_to_live_s, r.time_to_live_s),"
    "       archived_at = CASE WHEN c.has_archived THEN c.archived_at ELSE r.archived_at END"
    "  FROM unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::text[], $5::boolean[], $6::text[], $7::boolean[],"
    "              $8::text[], $9::int[], $10::bigint[], $11::boolean[], $12::timestamptz[])"
    "       AS c (room_id, version, has_name, name, has_description, description, has_topic, topic, slow_mode_s,"
    "             time_to_live_s, has_archived, archived_at)"
    " WHERE r.room_id = c.room_id",
};

static const struct pg_statement delete_members = {
    "messages_delete_members",
    "DELETE FROM messages.members m USING unnest($1::uuid[], $2::uuid[]) AS c (room_id, user_id)"
    " WHERE m.room_id = c.room_id AND m.user_id = c.user_id",
};

static const struct pg_statement insert_members = {
    "messages_insert_members",
    "INSERT INTO messages.members (room_id, user_id, role, joined_at, joined_seq, posted_block)"
    " SELECT c.room_id, c.user_id, COALESCE(c.role, CASE WHEN x.read_only THEN 4 ELSE 2 END), c.joined_at,"
    "        c.joined_seq, c.posted_block"
    "   FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[], $5::bigint[], $6::bigint[])"
    "        AS c (room_id, user_id, role, joined_at, joined_seq, posted_block)"
    "   LEFT JOIN messages.restrictions x ON x.room_id = c.room_id AND x.user_id = c.user_id",
};

_Static_assert(ROW_MEMBER_READ_ONLY == 4 && ROW_MEMBER_PLAIN == 2, "insert_members knows the numbers");

static const struct pg_statement update_members = {
    "messages_update_members",
    "UPDATE messages.members m"
    "   SET role = COALESCE(c.role, m.role), posted_block = GREATEST(c.posted_block, m.posted_block)"
    "  FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[]) AS c (room_id, user_id, role, posted_block)"
    " WHERE m.room_id = c.room_id AND m.user_id = c.user_id AND (c.role IS NOT NULL OR m.posted_block < "
    "c.posted_block)",
};

static const struct pg_statement restrict_members = {
    "messages_restrict_members",
    "INSERT INTO messages.restrictions AS x (room_id, user_id, read_only, slow_until)"
    " SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::boolean[]), unnest($4::timestamptz[])"
    " ON CONFLICT (room_id, user_id) DO UPDATE"
    "   SET read_only = COALESCE(excluded.read_only, x.read_only),"
    "       slow_until = COALESCE(excluded.slow_until, x.slow_until)",
};

static const struct pg_statement delete_invitations = {
    "messages_delete_invitations",
    "DELETE FROM messages.invitations i USING unnest($1::uuid[], $2::uuid[]) AS c (room_id, user_id)"
    " WHERE i.room_id = c.room_id AND i.user_id = c.user_id",
};

static const struct pg_statement insert_invitations = {
    "messages_insert_invitations",
    "INSERT INTO messages.invitations (room_id, user_id, invited_by, invited_at)"
    " SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::timestamptz[])",
};

static const struct pg_statement delete_bans = {
    "messages_delete_bans",
    "DELETE FROM messages.bans b USING unnest($1::uuid[], $2::uuid[]) AS c (room_id, user_id)"
    " WHERE b.room_id = c.room_id AND b.user_id = c.user_id",
};

static const struct pg_statement insert_bans = {
    "messages_insert_bans",
    "INSERT INTO messages.bans (room_id, user_id, banned_by, banned_at, until, reason)"
    " SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::timestamptz[]),"
    "        unnest($5::timestamptz[]), unnest($6::text[])",
};

static void array_time_or_null(struct pg_array *a, int64_t unix_ms)
{
    if (unix_ms)
        pg_array_time(a, unix_ms);
    else
        pg_array_null(a);
}

static void array_int8_or_null(struct pg_array *a, int64_t i)
{
    if (i)
        pg_array_int8(a, i);
    else
        pg_array_null(a);
}

/* --- rooms --- */

static err fold_created(struct pg *pg, struct arena *arena, const struct changes *c)
{
    const size_t n = c->created_count;
    struct pg_array *ids = pg_array(arena, PG_UUID, n), *names = pg_array(arena, PG_TEXT, n);
    struct pg_array *kinds = pg_array(arena, PG_INT2, n), *counts = pg_array(arena, PG_INT4, n);
    struct pg_array *seqs = pg_array(arena, PG_INT8, n), *times = pg_array(arena, PG_TIMESTAMPTZ, n);
    struct pg_array *creators = pg_array(arena, PG_UUID, n), *peers = pg_array(arena, PG_UUID, n);
    struct pg_array *at = pg_array(arena, PG_INT8, n);
    for (const struct room_change *change = c->first_room; change; change = change->next) {
        if (!change->created)
            continue;
        const struct room_created *room = &change->created->room_created;
        pg_array_uuid(ids, change->id);
        text_sealed(names, arena, &room->name);
        pg_array_int2(kinds, row_of_room_kind(room->kind));
        pg_array_int4(counts, change->joined);
        pg_array_int8(seqs, change->last_seq);
        pg_array_time(times, room->meta.at);
        pg_array_uuid(creators, room->meta.actor);
        if (room->kind == ROOM_KIND_DIRECT)
            pg_array_uuid(peers, room->peer_id);
        else
            pg_array_null(peers);
        pg_array_int8(at, change->position);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, ids, names, kinds, counts, seqs, times, creators, peers, at);
    return pg_batch_add(pg, &insert_rooms, &args);
}

static err fold_updated(struct pg *pg, struct arena *arena, const struct changes *c)
{
    const size_t n = c->room_count - c->created_count;
    struct pg_array *ids = pg_array(arena, PG_UUID, n), *joined = pg_array(arena, PG_INT4, n);
    struct pg_array *seqs = pg_array(arena, PG_INT8, n), *at = pg_array(arena, PG_INT8, n);
    for (const struct room_change *change = c->first_room; change; change = change->next) {
        if (change->created)
            continue;
        pg_array_uuid(ids, change->id);
        pg_array_int4(joined, change->joined);
        array_int8_or_null(seqs, change->last_seq);
        pg_array_int8(at, change->position);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, ids, joined, seqs, at);
    return pg_batch_add(pg, &update_rooms, &args);
}

static void array_text_change(struct pg_array *has, struct pg_array *texts, struct arena *arena,
                              const struct sealed *text)
{
    pg_array_bool(has, text != NULL);
    if (text)
        text_sealed(texts, arena, text);
    else
        pg_array_null(texts);
}

static err fold_versioned(struct pg *pg, struct arena *arena, const struct changes *c)
{
    const size_t n = c->versioned_count;
    struct pg_array *ids = pg_array(arena, PG_UUID, n), *versions = pg_array(arena, PG_INT8, n);
    struct pg_array *has_name = pg_array(arena, PG_BOOL, n), *names = pg_array(arena, PG_TEXT, n);
    struct pg_array *has_description = pg_array(arena, PG_BOOL, n), *descriptions = pg_array(arena, PG_TEXT, n);
    struct pg_array *has_topic = pg_array(arena, PG_BOOL, n), *topics = pg_array(arena, PG_TEXT, n);
    struct pg_array *slow = pg_array(arena, PG_INT4, n), *lives = pg_array(arena, PG_INT8, n);
    struct pg_array *has_archived = pg_array(arena, PG_BOOL, n), *archived = pg_array(arena, PG_TIMESTAMPTZ, n);
    for (const struct room_change *room = c->first_room; room; room = room->next) {
        if (room->version == 0)
            continue;
        pg_array_uuid(ids, room->id);
        pg_array_int8(versions, room->version);
        array_text_change(has_name, names, arena, room->name ? &room->name->name : NULL);
        array_text_change(has_description, descriptions, arena,
                          room->description ? &room->description->description : NULL);
        array_text_change(has_topic, topics, arena, room->topic ? &room->topic->topic : NULL);
        if (room->slow_mode)
            pg_array_int4(slow, room->slow_mode->slow_mode_s);
        else
            pg_array_null(slow);
        if (room->time_to_live)
            pg_array_int8(lives, room->time_to_live->time_to_live_s);
        else
            pg_array_null(lives);
        pg_array_bool(has_archived, room->archived != NULL);
        if (room->archived && room->archived->archived)
            pg_array_time(archived, room->archived->meta.at);
        else
            pg_array_null(archived);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, ids, versions, has_name, names, has_description, descriptions, has_topic, topics, slow, lives,
         has_archived, archived);
    return pg_batch_add(pg, &change_rooms, &args);
}

/* --- members --- */

static void array_role_or_null(struct pg_array *roles, const struct member_change *m)
{
    if (m->has_role)
        pg_array_int2(roles, row_of_member_role(m->role));
    else
        pg_array_null(roles);
}

typedef bool member_test(const struct member_change *m);

/* A statement on the keys of those for which the test holds; none, no statement. */
static err fold_keys(struct pg *pg, struct arena *arena, const struct changes *c, const struct pg_statement *statement,
                     member_test *test)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, c->member_count),
                    *users = pg_array(arena, PG_UUID, c->member_count);
    for (const struct member_change *m = c->first_member; m; m = m->next) {
        if (!test(m))
            continue;
        pg_array_uuid(rooms, m->key.room);
        pg_array_uuid(users, m->key.user);
    }
    if (pg_array_count(rooms) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, users);
    return pg_batch_add(pg, statement, &args);
}

static bool member_ended(const struct member_change *m)
{
    return m->ended;
}

static bool invitation_touched(const struct member_change *m)
{
    return m->invitation_touched;
}

static bool ban_touched(const struct member_change *m)
{
    return m->ban_touched;
}

/* What is remembered of people, members or not; before those who begin are given the role that is. */
static err fold_restricted(struct pg *pg, struct arena *arena, const struct changes *c)
{
    const size_t n = c->member_count;
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *users = pg_array(arena, PG_UUID, n);
    struct pg_array *read_only = pg_array(arena, PG_BOOL, n), *slow = pg_array(arena, PG_TIMESTAMPTZ, n);
    for (const struct member_change *m = c->first_member; m; m = m->next) {
        if (!m->role_given && !m->slow_until)
            continue;
        pg_array_uuid(rooms, m->key.room);
        pg_array_uuid(users, m->key.user);
        if (m->role_given)
            pg_array_bool(read_only, m->read_only);
        else
            pg_array_null(read_only);
        array_time_or_null(slow, m->slow_until);
    }
    if (pg_array_count(rooms) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, users, read_only, slow);
    return pg_batch_add(pg, &restrict_members, &args);
}

static err fold_begun(struct pg *pg, struct arena *arena, const struct changes *c)
{
    const size_t n = c->member_count;
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *users = pg_array(arena, PG_UUID, n);
    struct pg_array *roles = pg_array(arena, PG_INT2, n), *times = pg_array(arena, PG_TIMESTAMPTZ, n);
    struct pg_array *joined = pg_array(arena, PG_INT8, n), *posted = pg_array(arena, PG_INT8, n);
    for (const struct member_change *m = c->first_member; m; m = m->next) {
        if (!m->begun)
            continue;
        pg_array_uuid(rooms, m->key.room);
        pg_array_uuid(users, m->key.user);
        array_role_or_null(roles, m);
        pg_array_time(times, m->joined_at);
        pg_array_int8(joined, m->joined_seq);
        pg_array_int8(posted, row_block(m->posted));
    }
    if (pg_array_count(rooms) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, users, roles, times, joined, posted);
    return pg_batch_add(pg, &insert_members, &args);
}

/* Most posts change nothing here: their sender has posted in this block of the room's messages before. */
static bool member_went_on(const struct rooms_state *state, const struct member_change *m)
{
    if (m->begun || m->ended)
        return false;
    if (m->has_role)
        return true;
    if (m->posted == 0)
        return false;
    const struct member *known = state ? rooms_state_member(state, m->key.room, m->key.user) : NULL;
    return !known || known->block_since >= m->first_posted;
}

static err fold_went_on(struct pg *pg, struct arena *arena, const struct rooms_state *state, const struct changes *c)
{
    const size_t n = c->member_count;
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *users = pg_array(arena, PG_UUID, n);
    struct pg_array *roles = pg_array(arena, PG_INT2, n), *posted = pg_array(arena, PG_INT8, n);
    for (const struct member_change *m = c->first_member; m; m = m->next) {
        if (!member_went_on(state, m))
            continue;
        pg_array_uuid(rooms, m->key.room);
        pg_array_uuid(users, m->key.user);
        array_role_or_null(roles, m);
        array_int8_or_null(posted, row_block(m->posted));
    }
    if (pg_array_count(rooms) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, users, roles, posted);
    return pg_batch_add(pg, &update_members, &args);
}

static err fold_invited(struct pg *pg, struct arena *arena, const struct changes *c)
{
    TRY(fold_keys(pg, arena, c, &delete_invitations, invitation_touched));
    struct pg_array *rooms = pg_array(arena, PG_UUID, c->member_count),
                    *users = pg_array(arena, PG_UUID, c->member_count);
    struct pg_array *by = pg_array(arena, PG_UUID, c->member_count),
                    *times = pg_array(arena, PG_TIMESTAMPTZ, c->member_count);
    for (const struct member_change *m = c->first_member; m; m = m->next) {
        if (!m->invited)
            continue;
        pg_array_uuid(rooms, m->key.room);
        pg_array_uuid(users, m->key.user);
        pg_array_uuid(by, m->invited->meta.actor);
        pg_array_time(times, m->invited->meta.at);
    }
    if (pg_array_count(rooms) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, users, by, times);
    return pg_batch_add(pg, &insert_invitations, &args);
}

static err fold_banned(struct pg *pg, struct arena *arena, const struct changes *c)
{
    TRY(fold_keys(pg, arena, c, &delete_bans, ban_touched));
    struct pg_array *rooms = pg_array(arena, PG_UUID, c->member_count),
                    *users = pg_array(arena, PG_UUID, c->member_count);
    struct pg_array *by = pg_array(arena, PG_UUID, c->member_count),
                    *times = pg_array(arena, PG_TIMESTAMPTZ, c->member_count);
    struct pg_array *until = pg_array(arena, PG_TIMESTAMPTZ, c->member_count),
                    *reasons = pg_array(arena, PG_TEXT, c->member_count);
    for (const struct member_change *m = c->first_member; m; m = m->next) {
        if (!m->banned)
            continue;
        pg_array_uuid(rooms, m->key.room);
        pg_array_uuid(users, m->key.user);
        pg_array_uuid(by, m->banned->meta.actor);
        pg_array_time(times, m->banned->meta.at);
        array_time_or_null(until, m->banned->until);
        text_sealed(reasons, arena, &m->banned->reason);
    }
    if (pg_array_count(rooms) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, users, by, times, until, reasons);
    return pg_batch_add(pg, &insert_bans, &args);
}

err rooms_fold(struct pg *pg, struct arena *arena, const void *state, const struct placed_fact *facts, size_t count)
{
    struct changes changes;
    changes_init(&changes);
    for (size_t i = 0; i < count; i++)
        changes_add(&changes, arena, &facts[i]);
    if (changes.created_count > 0)
        TRY(fold_created(pg, arena, &changes));
    if (changes.room_count > changes.created_count)
        TRY(fold_updated(pg, arena, &changes));
    if (changes.versioned_count > 0)
        TRY(fold_versioned(pg, arena, &changes));
    TRY(fold_keys(pg, arena, &changes, &delete_members, member_ended));
    TRY(fold_restricted(pg, arena, &changes));
    TRY(fold_begun(pg, arena, &changes));
    TRY(fold_went_on(pg, arena, state, &changes));
    TRY(fold_invited(pg, arena, &changes));
    TRY(fold_banned(pg, arena, &changes));
    return fold_messages(pg, arena, &changes, facts, count);
}
