/* Brings a batch of facts of the stream rooms into the projection: at most four statements, whatever the batch's size.
 *
 * What a room became within the batch is added up first (struct room_change), so that a row of rooms is written once a
 * batch: a room that was created in it is inserted with its final numbers, any other is updated. The checkpoint keeps a
 * fact from being folded twice; a row that is there already is an error and must surface. */
#include "consumers/messages/streams.h"
#include "consumers/text.h"

/* The table that adds up lives in the batch's arena: no malloc a batch. */
#undef uthash_malloc
#undef uthash_free
#define uthash_malloc(size)        arena_alloc_raw(arena, (size))
#define uthash_free(pointer, size) ((void)(pointer))

static const struct pg_statement insert_rooms = {
    "messages_insert_rooms",
    "INSERT INTO messages.rooms (room_id, name, kind, member_count, last_seq, created_at, created_by, position)"
    " SELECT unnest($1::uuid[]), unnest($2::text[]), unnest($3::smallint[]), unnest($4::int[]), unnest($5::bigint[]),"
    "        unnest($6::timestamptz[]), unnest($7::uuid[]), unnest($8::bigint[])",
};

static const struct pg_statement update_rooms = {
    "messages_update_rooms",
    "UPDATE messages.rooms r"
    "   SET member_count = r.member_count + c.joined, last_seq = COALESCE(c.last_seq, r.last_seq), position = "
    "c.position"
    "  FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::bigint[]) AS c (room_id, joined, last_seq, position)"
    " WHERE r.room_id = c.room_id",
};

static const struct pg_statement insert_members = {
    "messages_insert_members",
    "INSERT INTO messages.members (room_id, user_id, role, joined_at)"
    " SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::smallint[]), unnest($4::timestamptz[])",
};

static const struct pg_statement insert_messages = {
    "messages_insert_messages",
    "INSERT INTO messages.messages (room_id, seq, message_id, sender_id, posted_at, body)"
    " SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::uuid[]), unnest($4::uuid[]), "
    "unnest($5::timestamptz[]),"
    "        unnest($6::text[])",
};

struct room_change {
    struct uuid id;
    const struct rooms_fact *created; /* NULL: the room was there before the batch */
    int32_t joined;
    int64_t last_seq; /* 0: nobody posted */
    int64_t position;
    struct room_change *next; /* in the order of first mention */
    UT_hash_handle hh;
};

struct changes {
    struct room_change *by_id, *first, **end;
    size_t created, updated, members, messages;
};

static struct room_change *changes_of(struct changes *c, struct arena *arena, struct uuid id)
{
    struct room_change *change;
    HASH_FIND(hh, c->by_id, &id, sizeof id, change);
    if (change)
        return change;
    change = ARENA_NEW(arena, struct room_change);
    change->id = id;
    HASH_ADD(hh, c->by_id, id, sizeof change->id, change);
    *c->end = change;
    c->end = &change->next;
    c->updated++;
    return change;
}

static void changes_add(struct changes *c, struct arena *arena, const struct placed_fact *placed)
{
    const struct rooms_fact *f = (const struct rooms_fact *)placed->fact;
    struct room_change *change = NULL;
    switch ((enum rooms_fact_type)f->type) {
    case ROOMS_ROOM_CREATED:
        change = changes_of(c, arena, f->room_created.room_id);
        if (!change->created) {
            change->created = f;
            c->created++;
            c->updated--;
        }
        change->joined++;
        c->members++;
        break;
    case ROOMS_MEMBER_JOINED:
        change = changes_of(c, arena, f->member_joined.room_id);
        change->joined++;
        c->members++;
        break;
    case ROOMS_MESSAGE_POSTED:
        change = changes_of(c, arena, f->message_posted.room_id);
        change->last_seq = f->message_posted.seq;
        c->messages++;
        break;
    case ROOMS_FACT_NONE:
        return;
    }
    change->position = placed->offset;
}

static err fold_created(struct pg *pg, struct arena *arena, const struct changes *c)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, c->created), *names = pg_array(arena, PG_TEXT, c->created);
    struct pg_array *kinds = pg_array(arena, PG_INT2, c->created), *counts = pg_array(arena, PG_INT4, c->created);
    struct pg_array *seqs = pg_array(arena, PG_INT8, c->created), *times = pg_array(arena, PG_TIMESTAMPTZ, c->created);
    struct pg_array *creators = pg_array(arena, PG_UUID, c->created), *at = pg_array(arena, PG_INT8, c->created);
    for (const struct room_change *change = c->first; change; change = change->next) {
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
        pg_array_int8(at, change->position);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { ids, names, kinds, counts, seqs, times, creators, at };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &insert_rooms, &args);
}

static err fold_updated(struct pg *pg, struct arena *arena, const struct changes *c)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, c->updated), *joined = pg_array(arena, PG_INT4, c->updated);
    struct pg_array *seqs = pg_array(arena, PG_INT8, c->updated), *at = pg_array(arena, PG_INT8, c->updated);
    for (const struct room_change *change = c->first; change; change = change->next) {
        if (change->created)
            continue;
        pg_array_uuid(ids, change->id);
        pg_array_int4(joined, change->joined);
        if (change->last_seq)
            pg_array_int8(seqs, change->last_seq);
        else
            pg_array_null(seqs);
        pg_array_int8(at, change->position);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { ids, joined, seqs, at };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &update_rooms, &args);
}

static err fold_members(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count,
                        size_t members)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, members), *users = pg_array(arena, PG_UUID, members);
    struct pg_array *roles = pg_array(arena, PG_INT2, members), *times = pg_array(arena, PG_TIMESTAMPTZ, members);
    for (size_t i = 0; i < count; i++) {
        const struct rooms_fact *f = (const struct rooms_fact *)facts[i].fact;
        if (f->type == ROOMS_ROOM_CREATED) {
            pg_array_uuid(rooms, f->room_created.room_id);
            pg_array_uuid(users, f->meta.actor);
            pg_array_int2(roles, ROW_MEMBER_OWNER);
        } else if (f->type == ROOMS_MEMBER_JOINED) {
            pg_array_uuid(rooms, f->member_joined.room_id);
            pg_array_uuid(users, f->member_joined.user_id);
            pg_array_int2(roles, ROW_MEMBER_PLAIN);
        } else {
            continue;
        }
        pg_array_time(times, f->meta.at);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { rooms, users, roles, times };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &insert_members, &args);
}

static err fold_messages(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count,
                         size_t messages)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, messages), *seqs = pg_array(arena, PG_INT8, messages);
    struct pg_array *ids = pg_array(arena, PG_UUID, messages), *senders = pg_array(arena, PG_UUID, messages);
    struct pg_array *times = pg_array(arena, PG_TIMESTAMPTZ, messages), *bodies = pg_array(arena, PG_TEXT, messages);
    for (size_t i = 0; i < count; i++) {
        const struct rooms_fact *f = (const struct rooms_fact *)facts[i].fact;
        if (f->type != ROOMS_MESSAGE_POSTED)
            continue;
        pg_array_uuid(rooms, f->message_posted.room_id);
        pg_array_int8(seqs, f->message_posted.seq);
        pg_array_uuid(ids, f->message_posted.message_id);
        pg_array_uuid(senders, f->meta.actor);
        pg_array_time(times, f->meta.at);
        text_sealed(bodies, arena, &f->message_posted.body);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { rooms, seqs, ids, senders, times, bodies };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &insert_messages, &args);
}

err rooms_fold(struct pg *pg, struct arena *arena, const struct placed_fact *facts, size_t count)
{
    struct changes changes = { .end = &changes.first };
    for (size_t i = 0; i < count; i++)
        changes_add(&changes, arena, &facts[i]);
    if (changes.created)
        TRY(fold_created(pg, arena, &changes));
    if (changes.updated)
        TRY(fold_updated(pg, arena, &changes));
    if (changes.members)
        TRY(fold_members(pg, arena, facts, count, changes.members));
    if (changes.messages)
        TRY(fold_messages(pg, arena, facts, count, changes.messages));
    return OK;
}
