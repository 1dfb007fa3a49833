#include "consumers/messages/view_feed.h"

#include <stdlib.h>

#include "consumers/messages/view_rows.h"

/* The checkpoints and the rows must be of one moment. */
static const struct pg_statement begin_snapshot = {
    "messages_feed_begin",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
};

static const struct pg_statement checkpoints = {
    "messages_feed_checkpoints",
    "SELECT partition, next_offset FROM messages.checkpoint WHERE stream = 'rooms'",
};

/* $1 persons. */
static const struct pg_statement rooms_of = {
    "messages_feed_rooms",
    "SELECT m.user_id, m.room_id, r.last_seq, m.joined_seq, r.position"
    "  FROM messages.members m JOIN messages.rooms r ON r.room_id = m.room_id"
    " WHERE m.user_id = ANY($1::uuid[])"
    " ORDER BY m.user_id, m.room_id",
};

static int compare_persons(const void *a, const void *b)
{
    const struct feed_person *const *x = a, *const *y = b;
    return memcmp((*x)->user.bytes, (*y)->user.bytes, 16);
}

/* Rows and persons are both in order of the person. */
static void read_rooms(struct arena *arena, const PGresult *r, struct feed_person **sorted, size_t count)
{
    int row = 0, rows = PQntuples(r);
    for (size_t i = 0; i < count; i++) {
        struct feed_person *p = sorted[i];
        if (i > 0 && uuid_equal(p->user, sorted[i - 1]->user)) {
            *p = *sorted[i - 1];
            continue;
        }
        int first = row;
        while (row < rows && uuid_equal(pg_uuid(r, row, 0), p->user))
            row++;
        p->count = (size_t)(row - first);
        p->rooms = ARENA_ARRAY(arena, struct feed_room, p->count);
        for (int k = first; k < row; k++)
            p->rooms[k - first] =
                (struct feed_room){ pg_uuid(r, k, 1), pg_int(r, k, 2), pg_int(r, k, 3), pg_int(r, k, 4) };
    }
}

err feed_snapshot(struct pg *pg, struct arena *arena, struct feed_person *persons, size_t count, int64_t *ret_next,
                  int partitions)
{
    struct feed_person **sorted = ARENA_ARRAY(arena, struct feed_person *, count);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &persons[i];
    qsort(sorted, count, sizeof *sorted, compare_persons);
    struct pg_array *users = pg_array(arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(users, sorted[i]->user);
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, users);
    PGresult *results[4];
    TRY(pg_batch_begin(pg));
    TRY(pg_batch_add(pg, &begin_snapshot, NULL));
    TRY(pg_batch_add(pg, &checkpoints, NULL));
    TRY(pg_batch_add(pg, &rooms_of, &args));
    TRY(pg_batch_add(pg, &pg_sql_commit, NULL));
    TRY(pg_batch_end(pg, results, 4));
    memset(ret_next, 0, sizeof *ret_next * (size_t)partitions);
    for (int i = 0; i < PQntuples(results[1]); i++) {
        int64_t partition = pg_int(results[1], i, 0);
        if (partition < partitions)
            ret_next[partition] = pg_int(results[1], i, 1);
    }
    read_rooms(arena, results[2], sorted, count);
    pg_results_clear(results, 4);
    return OK;
}

/* $1 rooms, $2 numbers, $3 and $4 offsets, $5 partitions, $6 limit. Offsets ascend with numbers, so the last message
 * before an offset is found by walking back from the newest: over what was missed, and no further. */
static const struct pg_statement missed = {
    "messages_feed_missed",
    "SELECT g.place, m.at, m.changed, " MESSAGE_COLUMNS
    "  FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::int[])"
    "       WITH ORDINALITY AS g (room, after, since, until, partition, place)"
    " CROSS JOIN LATERAL ("
    "    (SELECT n.*, n.position AS at, false AS changed FROM messages.messages n"
    "      WHERE n.room_id = g.room AND n.position < g.until AND n.seq > greatest(g.after,"
    "            CASE WHEN g.since > 0 THEN (SELECT b.seq FROM messages.messages b"
    "                                         WHERE b.room_id = g.room AND b.position < g.since"
    "                                         ORDER BY b.seq DESC LIMIT 1) END)"
    "      ORDER BY n.seq LIMIT $6)"
    "    UNION ALL"
    "    (SELECT c.*, c.changed_position, true FROM messages.messages c"
    "      WHERE c.room_id = g.room AND c.changed_position >= g.since AND c.changed_position < g.until"
    "        AND c.position < g.since"
    "      ORDER BY c.changed_position LIMIT $6)) AS m"
    " ORDER BY g.partition, m.at LIMIT $6",
};

err feed_missed(struct pg *pg, struct arena *arena, const struct feed_gap *gaps, size_t count, int limit,
                struct feed_missed **ret, size_t *ret_count)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, count), *after = pg_array(arena, PG_INT8, count);
    struct pg_array *from = pg_array(arena, PG_INT8, count), *until = pg_array(arena, PG_INT8, count);
    struct pg_array *partitions = pg_array(arena, PG_INT4, count);
    for (size_t i = 0; i < count; i++) {
        pg_array_uuid(rooms, gaps[i].room);
        pg_array_int8(after, gaps[i].after);
        pg_array_int8(from, gaps[i].from);
        pg_array_int8(until, gaps[i].until);
        pg_array_int4(partitions, gaps[i].partition);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { rooms, after, from, until, partitions };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    pg_arg_int8(&args, limit);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &missed, &args, &r));
    *ret_count = (size_t)PQntuples(r);
    *ret = ARENA_ARRAY(arena, struct feed_missed, *ret_count);
    for (size_t i = 0; i < *ret_count; i++) {
        const struct feed_gap *gap = &gaps[pg_int(r, (int)i, 0) - 1];
        (*ret)[i] = (struct feed_missed){ gap, pg_int(r, (int)i, 1), pg_bool(r, (int)i, 2),
                                          message_of(arena, r, (int)i, 3, gap->room) };
    }
    return OK;
}
