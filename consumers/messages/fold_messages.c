/* The rows of messages, and what hangs on them: versions, reactions, mentions, what is to be posted and to be deleted.
 * A batch of plain messages takes one statement; each of the others runs only when the batch has something for it. */
#include "consumers/messages/changes.h"
#include "consumers/messages/streams.h"
#include "consumers/projection/text.h"

static const struct pg_statement insert_messages = {
    "messages_insert_messages",
    "INSERT INTO messages.messages (room_id, seq, message_id, sender_id, posted_at, position, body)"
    " SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::uuid[]), unnest($4::uuid[]), "
    "unnest($5::timestamptz[]),"
    "        unnest($6::bigint[]), unnest($7::text[])",
};

static const struct pg_statement extend_messages = {
    "messages_extend_messages",
    "UPDATE messages.messages m"
    "   SET reply_to = c.reply_to, thread = c.thread, mentions = c.mentions, mentions_room = c.mentions_room,"
    "       forwarded_room = c.forwarded_room, forwarded_message = c.forwarded_message,"
    "       forwarded_sender = c.forwarded_sender"
    "  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::boolean[], $7::uuid[],"
    "              $8::uuid[], $9::uuid[])"
    "       AS c (room_id, seq, reply_to, thread, mentions, mentions_room, forwarded_room, forwarded_message,"
    "             forwarded_sender)"
    " WHERE m.room_id = c.room_id AND m.seq = c.seq",
};

static const struct pg_statement insert_mentions = {
    "messages_insert_mentions",
    "INSERT INTO messages.mentions (user_id, room_id, seq)"
    " SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::bigint[]) ON CONFLICT DO NOTHING",
};

/* The first text of messages that are changed for the first time. */
static const struct pg_statement keep_originals = {
    "messages_keep_originals",
    "INSERT INTO messages.message_versions (room_id, seq, version, at, position, body)"
    " SELECT m.room_id, m.seq, 1, m.posted_at, m.position, m.body"
    "   FROM unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
    "   JOIN messages.messages m ON m.room_id = c.room_id AND m.seq = c.seq"
    "  WHERE m.version = 1",
};

/* What has expired has said nothing. */
static const struct pg_statement delete_versions = {
    "messages_delete_versions",
    "DELETE FROM messages.message_versions v USING unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
    " WHERE v.room_id = c.room_id AND v.seq = c.seq",
};

/* Each deleted message counts in one block of each level (tables.sql). */
static const struct pg_statement count_deleted = {
    "messages_count_deleted",
    "INSERT INTO messages.deleted_counts AS d (room_id, level, block, count)"
    " SELECT c.room_id, l.level, (c.seq - 1) >> (8 * l.level), count(*)"
    "   FROM unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq) CROSS JOIN generate_series(1, 3) AS l (level)"
    "  GROUP BY 1, 2, 3"
    "     ON CONFLICT (room_id, level, block) DO UPDATE SET count = d.count + EXCLUDED.count",
};

static const struct pg_statement insert_versions = {
    "messages_insert_versions",
    "INSERT INTO messages.message_versions (room_id, seq, version, at, position, body)"
    " SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::int[]), unnest($4::timestamptz[]),"
    "        unnest($5::bigint[]), unnest($6::text[])",
};

/* version NULL: not edited. pin 0: as it was, 1: pinned, 2: no more. Of a deleted one only number, sender and place in
 * its thread stay. */
static const struct pg_statement change_messages = {
    "messages_change_messages",
    "UPDATE messages.messages m"
    "   SET changed_position = c.position,"
    "       reply_count = m.reply_count + c.replies,"
    "       version = COALESCE(c.version, m.version),"
    "       edited_at = COALESCE(c.edited_at, m.edited_at),"
    "       deleted_at = COALESCE(c.deleted_at, m.deleted_at),"
    "       deleted_position = COALESCE(c.deleted_position, m.deleted_position),"
    "       body = CASE WHEN c.deleted_at IS NOT NULL THEN NULL WHEN c.version IS NOT NULL THEN c.body ELSE m.body END,"
    "       mentions = CASE WHEN c.deleted_at IS NOT NULL THEN NULL WHEN c.version IS NOT NULL THEN c.mentions"
    "                       ELSE m.mentions END,"
    "       mentions_room = CASE WHEN c.deleted_at IS NOT NULL THEN false"
    "                            WHEN c.version IS NOT NULL THEN c.mentions_room ELSE m.mentions_room END,"
    "       pinned_at = CASE WHEN c.deleted_at IS NOT NULL OR c.pin = 2 THEN NULL WHEN c.pin = 1 THEN c.pinned_at"
    "                        ELSE m.pinned_at END,"
    "       reactions = CASE WHEN c.deleted_at IS NULL THEN m.reactions END,"
    "       forwarded_room = CASE WHEN c.deleted_at IS NULL THEN m.forwarded_room END,"
    "       forwarded_message = CASE WHEN c.deleted_at IS NULL THEN m.forwarded_message END,"
    "       forwarded_sender = CASE WHEN c.deleted_at IS NULL THEN m.forwarded_sender END"
    "  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::timestamptz[], $7::timestamptz[],"
    "              $8::text[], $9::bytea[], $10::boolean[], $11::smallint[], $12::timestamptz[], $13::bigint[])"
    "       AS c (room_id, seq, position, replies, version, edited_at, deleted_at, body, mentions, mentions_room, pin,"
    "             pinned_at, deleted_position)"
    " WHERE m.room_id = c.room_id AND m.seq = c.seq",
};

static const struct pg_statement delete_reactions = {
    "messages_delete_reactions",
    "DELETE FROM messages.reactions r"
    " USING unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[]) AS c (room_id, seq, user_id, emoji)"
    " WHERE r.room_id = c.room_id AND r.seq = c.seq AND r.user_id = c.user_id AND r.emoji = c.emoji",
};

static const struct pg_statement insert_reactions = {
    "messages_insert_reactions",
    "INSERT INTO messages.reactions (room_id, seq, user_id, emoji, position)"
    " SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::uuid[]), unnest($4::text[]), unnest($5::bigint[])",
};

static const struct pg_statement delete_all_reactions = {
    "messages_delete_all_reactions",
    "DELETE FROM messages.reactions r USING unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
    " WHERE r.room_id = c.room_id AND r.seq = c.seq",
};

/* As they are shown: each emoji with how many and the first ten who, in the order they came. */
static const struct pg_statement render_reactions = {
    "messages_render_reactions",
    "UPDATE messages.messages m"
    "   SET reactions = (SELECT json_agg(row_to_json(e))::text"
    "                      FROM (SELECT r.emoji, count(*) AS count,"
    "                                   (array_agg(r.user_id ORDER BY r.position))[1:10] AS \"userIds\""
    "                              FROM messages.reactions r WHERE r.room_id = c.room_id AND r.seq = c.seq"
    "                             GROUP BY r.emoji ORDER BY min(r.position)) AS e)"
    "  FROM unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
    " WHERE m.room_id = c.room_id AND m.seq = c.seq AND m.deleted_at IS NULL",
};

static const struct pg_statement insert_scheduled = {
    "messages_insert_scheduled",
    "INSERT INTO messages.scheduled (message_id, room_id, sender_id, partition, send_at, scheduled_at, reply_to,"
    "                                mentions_room, mentions, body)"
    " SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::int[]), unnest($5::timestamptz[]),"
    "        unnest($6::timestamptz[]), unnest($7::bigint[]), unnest($8::boolean[]), unnest($9::bytea[]),"
    "        unnest($10::text[])",
};

static const struct pg_statement withhold_scheduled = {
    "messages_withhold_scheduled",
    "UPDATE messages.scheduled s SET withheld_at = c.at"
    "  FROM unnest($1::uuid[], $2::timestamptz[]) AS c (message_id, at) WHERE s.message_id = c.message_id",
};

static const struct pg_statement delete_scheduled = {
    "messages_delete_scheduled",
    "DELETE FROM messages.scheduled WHERE message_id = ANY ($1::uuid[])",
};

static const struct pg_statement insert_expiring = {
    "messages_insert_expiring",
    "INSERT INTO messages.expiring (room_id, seq, message_id, sender_id, partition, expires_at)"
    " SELECT unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::uuid[]), unnest($4::uuid[]), unnest($5::int[]),"
    "        unnest($6::timestamptz[])",
};

static const struct pg_statement delete_expiring = {
    "messages_delete_expiring",
    "DELETE FROM messages.expiring e USING unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
    " WHERE e.room_id = c.room_id AND e.seq = c.seq",
};

/* The facts of the batch, as each statement walks over them. */
struct batch {
    const struct placed_fact *facts;
    size_t count;
};

static const struct rooms_fact *fact_at(const struct batch *b, size_t i)
{
    return (const struct rooms_fact *)b->facts[i].fact;
}

static struct str bytes_of_ids(const struct uuid *ids, size_t count)
{
    return (struct str){ (const char *)ids, count * sizeof *ids };
}

static void array_uuid_or_null(struct pg_array *a, struct uuid id)
{
    if (uuid_is_nil(id))
        pg_array_null(a);
    else
        pg_array_uuid(a, id);
}

static void array_int8_or_null(struct pg_array *a, int64_t i)
{
    if (i)
        pg_array_int8(a, i);
    else
        pg_array_null(a);
}

/* --- posted --- */

static err fold_posted(struct pg *pg, struct arena *arena, const struct batch *b, size_t n)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *seqs = pg_array(arena, PG_INT8, n);
    struct pg_array *ids = pg_array(arena, PG_UUID, n), *senders = pg_array(arena, PG_UUID, n);
    struct pg_array *times = pg_array(arena, PG_TIMESTAMPTZ, n), *at = pg_array(arena, PG_INT8, n);
    struct pg_array *bodies = pg_array(arena, PG_TEXT, n);
    for (size_t i = 0; i < b->count; i++) {
        const struct rooms_fact *f = fact_at(b, i);
        if (f->type != ROOMS_MESSAGE_POSTED)
            continue;
        pg_array_uuid(rooms, f->message_posted.room_id);
        pg_array_int8(seqs, f->message_posted.seq);
        pg_array_uuid(ids, f->message_posted.message_id);
        pg_array_uuid(senders, f->meta.actor);
        pg_array_time(times, f->meta.at);
        pg_array_int8(at, b->facts[i].offset);
        text_sealed(bodies, arena, &f->message_posted.body);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, seqs, ids, senders, times, at, bodies);
    return pg_batch_add(pg, &insert_messages, &args);
}

static err fold_extended(struct pg *pg, struct arena *arena, const struct batch *b, size_t n)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *seqs = pg_array(arena, PG_INT8, n);
    struct pg_array *replies = pg_array(arena, PG_INT8, n), *threads = pg_array(arena, PG_INT8, n);
    struct pg_array *mentions = pg_array(arena, PG_BYTEA, n), *all = pg_array(arena, PG_BOOL, n);
    struct pg_array *from_room = pg_array(arena, PG_UUID, n), *from_message = pg_array(arena, PG_UUID, n);
    struct pg_array *from_sender = pg_array(arena, PG_UUID, n);
    for (size_t i = 0; i < b->count; i++) {
        const struct message_posted *f = &fact_at(b, i)->message_posted;
        if (fact_at(b, i)->type != ROOMS_MESSAGE_POSTED || !posted_is_extended(f))
            continue;
        pg_array_uuid(rooms, f->room_id);
        pg_array_int8(seqs, f->seq);
        array_int8_or_null(replies, f->reply_to);
        array_int8_or_null(threads, f->thread);
        if (f->mentions.count > 0)
            pg_array_str(mentions, bytes_of_ids(f->mentions.items, f->mentions.count));
        else
            pg_array_null(mentions);
        pg_array_bool(all, f->mentions_room);
        array_uuid_or_null(from_room, f->forwarded_room);
        array_uuid_or_null(from_message, f->forwarded_message);
        array_uuid_or_null(from_sender, f->forwarded_sender);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, seqs, replies, threads, mentions, all, from_room, from_message, from_sender);
    return pg_batch_add(pg, &extend_messages, &args);
}

static err fold_mentioned(struct pg *pg, struct arena *arena, const struct batch *b, size_t n)
{
    struct pg_array *users = pg_array(arena, PG_UUID, n), *rooms = pg_array(arena, PG_UUID, n);
    struct pg_array *seqs = pg_array(arena, PG_INT8, n);
    for (size_t i = 0; i < b->count; i++) {
        const struct rooms_fact *f = fact_at(b, i);
        const bool posted = f->type == ROOMS_MESSAGE_POSTED;
        if (!posted && f->type != ROOMS_MESSAGE_EDITED)
            continue;
        const struct uuid *items = posted ? f->message_posted.mentions.items : f->message_edited.mentions.items;
        const size_t count = posted ? f->message_posted.mentions.count : f->message_edited.mentions.count;
        for (size_t k = 0; k < count; k++) {
            pg_array_uuid(users, items[k]);
            pg_array_uuid(rooms, posted ? f->message_posted.room_id : f->message_edited.room_id);
            pg_array_int8(seqs, posted ? f->message_posted.seq : f->message_edited.seq);
        }
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, users, rooms, seqs);
    return pg_batch_add(pg, &insert_mentions, &args);
}

static err fold_expiring(struct pg *pg, struct arena *arena, const struct batch *b, size_t n)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *seqs = pg_array(arena, PG_INT8, n);
    struct pg_array *ids = pg_array(arena, PG_UUID, n), *senders = pg_array(arena, PG_UUID, n);
    struct pg_array *partitions = pg_array(arena, PG_INT4, n), *times = pg_array(arena, PG_TIMESTAMPTZ, n);
    for (size_t i = 0; i < b->count; i++) {
        const struct rooms_fact *f = fact_at(b, i);
        if (f->type != ROOMS_MESSAGE_POSTED || !f->message_posted.expires_at)
            continue;
        pg_array_uuid(rooms, f->message_posted.room_id);
        pg_array_int8(seqs, f->message_posted.seq);
        pg_array_uuid(ids, f->message_posted.message_id);
        pg_array_uuid(senders, f->meta.actor);
        pg_array_int4(partitions, b->facts[i].partition);
        pg_array_time(times, f->message_posted.expires_at);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, seqs, ids, senders, partitions, times);
    return pg_batch_add(pg, &insert_expiring, &args);
}

/* --- changed --- */

typedef bool change_test(const struct message_change *m);

/* A statement on the keys of those for which the test holds; none, no statement. */
static err fold_keys(struct pg *pg, struct arena *arena, const struct changes *c, const struct pg_statement *statement,
                     change_test *test)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, c->message_count);
    struct pg_array *seqs = pg_array(arena, PG_INT8, c->message_count);
    for (const struct message_change *m = c->first_message; m; m = m->next) {
        if (!test(m))
            continue;
        pg_array_uuid(rooms, m->key.room);
        pg_array_int8(seqs, m->key.seq);
    }
    if (pg_array_count(rooms) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, seqs);
    return pg_batch_add(pg, statement, &args);
}

static bool is_deleted(const struct message_change *m)
{
    return m->deleted != NULL;
}

static bool is_expired(const struct message_change *m)
{
    return m->deleted && m->deleted->expired;
}

static bool text_changes(const struct message_change *m)
{
    return (m->edited || m->deleted) && !is_expired(m);
}

static bool is_reacted(const struct message_change *m)
{
    return m->reacted;
}

static err fold_versions(struct pg *pg, struct arena *arena, const struct batch *b, size_t n)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *seqs = pg_array(arena, PG_INT8, n);
    struct pg_array *versions = pg_array(arena, PG_INT4, n), *times = pg_array(arena, PG_TIMESTAMPTZ, n);
    struct pg_array *at = pg_array(arena, PG_INT8, n), *bodies = pg_array(arena, PG_TEXT, n);
    for (size_t i = 0; i < b->count; i++) {
        const struct rooms_fact *f = fact_at(b, i);
        if (f->type != ROOMS_MESSAGE_EDITED)
            continue;
        pg_array_uuid(rooms, f->message_edited.room_id);
        pg_array_int8(seqs, f->message_edited.seq);
        pg_array_int4(versions, f->message_edited.version);
        pg_array_time(times, f->meta.at);
        pg_array_int8(at, b->facts[i].offset);
        text_sealed(bodies, arena, &f->message_edited.body);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, seqs, versions, times, at, bodies);
    return pg_batch_add(pg, &insert_versions, &args);
}

static void array_edit(const struct message_edited *f, struct arena *arena, struct pg_array *versions,
                       struct pg_array *times, struct pg_array *bodies, struct pg_array *mentions, struct pg_array *all)
{
    pg_array_bool(all, f && f->mentions_room);
    if (f && f->mentions.count > 0)
        pg_array_str(mentions, bytes_of_ids(f->mentions.items, f->mentions.count));
    else
        pg_array_null(mentions);
    if (f) {
        pg_array_int4(versions, f->version);
        pg_array_time(times, f->meta.at);
        text_sealed(bodies, arena, &f->body);
    } else {
        pg_array_null(versions);
        pg_array_null(times);
        pg_array_null(bodies);
    }
}

static err fold_changed(struct pg *pg, struct arena *arena, const struct changes *c)
{
    const size_t n = c->message_count;
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *seqs = pg_array(arena, PG_INT8, n);
    struct pg_array *at = pg_array(arena, PG_INT8, n), *replies = pg_array(arena, PG_INT4, n);
    struct pg_array *versions = pg_array(arena, PG_INT4, n), *edited = pg_array(arena, PG_TIMESTAMPTZ, n);
    struct pg_array *deleted = pg_array(arena, PG_TIMESTAMPTZ, n), *bodies = pg_array(arena, PG_TEXT, n);
    struct pg_array *mentions = pg_array(arena, PG_BYTEA, n), *all = pg_array(arena, PG_BOOL, n);
    struct pg_array *pins = pg_array(arena, PG_INT2, n), *pinned = pg_array(arena, PG_TIMESTAMPTZ, n);
    struct pg_array *deleted_at = pg_array(arena, PG_INT8, n);
    for (const struct message_change *m = c->first_message; m; m = m->next) {
        pg_array_uuid(rooms, m->key.room);
        pg_array_int8(seqs, m->key.seq);
        pg_array_int8(at, m->position);
        pg_array_int4(replies, m->replies);
        array_edit(m->edited, arena, versions, edited, bodies, mentions, all);
        if (m->deleted) {
            pg_array_time(deleted, m->deleted->meta.at);
            pg_array_int8(deleted_at, m->deleted_position);
        } else {
            pg_array_null(deleted);
            pg_array_null(deleted_at);
        }
        pg_array_int2(pins, (int16_t)m->pin);
        pg_array_time(pinned, m->pinned_at);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, seqs, at, replies, versions, edited, deleted, bodies, mentions, all, pins, pinned, deleted_at);
    return pg_batch_add(pg, &change_messages, &args);
}

static err fold_reactions(struct pg *pg, struct arena *arena, const struct changes *c, bool present)
{
    const size_t n = c->reaction_count;
    struct pg_array *rooms = pg_array(arena, PG_UUID, n), *seqs = pg_array(arena, PG_INT8, n);
    struct pg_array *users = pg_array(arena, PG_UUID, n), *emojis = pg_array(arena, PG_TEXT, n);
    struct pg_array *at = pg_array(arena, PG_INT8, n);
    for (const struct reaction_change *r = c->first_reaction; r; r = r->next) {
        if (present && !r->present)
            continue;
        const struct str emoji = { r->key.emoji, strnlen(r->key.emoji, EMOJI_MAX) };
        pg_array_uuid(rooms, r->key.room);
        pg_array_int8(seqs, r->key.seq);
        pg_array_uuid(users, r->key.user);
        pg_array_str(emojis, text_storable(arena, emoji));
        pg_array_int8(at, r->position);
    }
    if (pg_array_count(rooms) == 0)
        return OK;
    struct pg_args args = pg_args(arena);
    ARGS(&args, rooms, seqs, users, emojis);
    if (present)
        pg_arg_array(&args, at);
    return pg_batch_add(pg, present ? &insert_reactions : &delete_reactions, &args);
}

/* --- scheduled --- */

static err fold_scheduled(struct pg *pg, struct arena *arena, const struct batch *b, size_t n)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, n), *rooms = pg_array(arena, PG_UUID, n);
    struct pg_array *senders = pg_array(arena, PG_UUID, n), *partitions = pg_array(arena, PG_INT4, n);
    struct pg_array *send_at = pg_array(arena, PG_TIMESTAMPTZ, n), *times = pg_array(arena, PG_TIMESTAMPTZ, n);
    struct pg_array *replies = pg_array(arena, PG_INT8, n), *all = pg_array(arena, PG_BOOL, n);
    struct pg_array *mentions = pg_array(arena, PG_BYTEA, n), *bodies = pg_array(arena, PG_TEXT, n);
    for (size_t i = 0; i < b->count; i++) {
        const struct message_scheduled *f = &fact_at(b, i)->message_scheduled;
        if (fact_at(b, i)->type != ROOMS_MESSAGE_SCHEDULED)
            continue;
        pg_array_uuid(ids, f->message_id);
        pg_array_uuid(rooms, f->room_id);
        pg_array_uuid(senders, f->meta.actor);
        pg_array_int4(partitions, b->facts[i].partition);
        pg_array_time(send_at, f->send_at);
        pg_array_time(times, f->meta.at);
        pg_array_int8(replies, f->reply_to);
        pg_array_bool(all, f->mentions_room);
        pg_array_str(mentions, bytes_of_ids(f->mentions.items, f->mentions.count));
        text_sealed(bodies, arena, &f->body);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, ids, rooms, senders, partitions, send_at, times, replies, all, mentions, bodies);
    return pg_batch_add(pg, &insert_scheduled, &args);
}

static err fold_withheld(struct pg *pg, struct arena *arena, const struct batch *b, size_t n)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, n), *times = pg_array(arena, PG_TIMESTAMPTZ, n);
    for (size_t i = 0; i < b->count; i++) {
        const struct rooms_fact *f = fact_at(b, i);
        if (f->type != ROOMS_SCHEDULED_MESSAGE_WITHHELD)
            continue;
        pg_array_uuid(ids, f->scheduled_message_withheld.message_id);
        pg_array_time(times, f->meta.at);
    }
    struct pg_args args = pg_args(arena);
    ARGS(&args, ids, times);
    return pg_batch_add(pg, &withhold_scheduled, &args);
}

static err fold_unscheduled(struct pg *pg, struct arena *arena, const struct batch *b, size_t n)
{
    struct pg_array *ids = pg_array(arena, PG_UUID, n);
    for (size_t i = 0; i < b->count; i++) {
        const struct rooms_fact *f = fact_at(b, i);
        if (f->type == ROOMS_MESSAGE_POSTED && f->message_posted.scheduled)
            pg_array_uuid(ids, f->message_posted.message_id);
        else if (f->type == ROOMS_SCHEDULED_MESSAGE_CANCELED)
            pg_array_uuid(ids, f->scheduled_message_canceled.message_id);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, ids);
    return pg_batch_add(pg, &delete_scheduled, &args);
}

err fold_messages(struct pg *pg, struct arena *arena, const struct changes *c, const struct placed_fact *facts,
                  size_t count)
{
    const struct batch b = { facts, count };
    if (c->posted > 0)
        TRY(fold_posted(pg, arena, &b, c->posted));
    if (c->extended > 0)
        TRY(fold_extended(pg, arena, &b, c->extended));
    if (c->mentioned > 0)
        TRY(fold_mentioned(pg, arena, &b, c->mentioned));
    if (c->expiring > 0)
        TRY(fold_expiring(pg, arena, &b, c->expiring));
    if (c->scheduled > 0)
        TRY(fold_scheduled(pg, arena, &b, c->scheduled));
    if (c->withheld > 0)
        TRY(fold_withheld(pg, arena, &b, c->withheld));
    if (c->unscheduled > 0)
        TRY(fold_unscheduled(pg, arena, &b, c->unscheduled));
    if (c->message_count == 0)
        return OK;
    TRY(fold_keys(pg, arena, c, &keep_originals, text_changes));
    if (c->edited > 0)
        TRY(fold_versions(pg, arena, &b, c->edited));
    TRY(fold_changed(pg, arena, c));
    if (c->reaction_count > 0) {
        TRY(fold_reactions(pg, arena, c, false));
        TRY(fold_reactions(pg, arena, c, true));
    }
    TRY(fold_keys(pg, arena, c, &delete_versions, is_expired));
    TRY(fold_keys(pg, arena, c, &count_deleted, is_deleted));
    TRY(fold_keys(pg, arena, c, &delete_all_reactions, is_deleted));
    TRY(fold_keys(pg, arena, c, &render_reactions, is_reacted));
    return fold_keys(pg, arena, c, &delete_expiring, is_deleted);
}
