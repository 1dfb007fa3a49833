#include "consumers/messages/view_feed.h"

#include <stdlib.h>

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
    "SELECT m.user_id, m.room_id, r.last_seq"
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
            p->rooms[k - first] = (struct feed_room){ pg_uuid(r, k, 1), pg_int(r, k, 2) };
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
