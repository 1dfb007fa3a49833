/* Brings receipts into read_marks: of each person and room the newest counts, by its offset. */
#include "schemas/receipts.gen.h"

#include "consumers/messages/streams.h"
#include "ops/runtime/log.h"

static const struct pg_statement upsert_marks = {
    "messages_upsert_marks",
    "INSERT INTO messages.read_marks AS m (user_id, room_id, seq, read_at, position)"
    " SELECT DISTINCT ON (c.user_id, c.room_id) c.user_id, c.room_id, c.seq, c.read_at, c.position"
    "   FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::bigint[])"
    "        AS c (user_id, room_id, seq, read_at, position)"
    "  ORDER BY c.user_id, c.room_id, c.position DESC"
    " ON CONFLICT (user_id, room_id) DO UPDATE"
    "    SET seq = excluded.seq, read_at = excluded.read_at, position = excluded.position"
    "  WHERE m.position < excluded.position",
};

static err receipts_fold(struct pg *pg, struct codec *codec, struct arena *arena, const struct placed_signal *signals,
                         size_t count)
{
    struct pg_array *users = pg_array(arena, PG_UUID, count), *rooms = pg_array(arena, PG_UUID, count);
    struct pg_array *seqs = pg_array(arena, PG_INT8, count), *times = pg_array(arena, PG_TIMESTAMPTZ, count);
    struct pg_array *at = pg_array(arena, PG_INT8, count);
    for (size_t i = 0; i < count; i++) {
        struct read_up_to read;
        if (read_up_to_decode(codec, signals[i].payload, arena, &read) != OK) {
            LOG(WARN, "a receipt is passed over", F_ERR);
            continue;
        }
        pg_array_uuid(users, read.user_id);
        pg_array_uuid(rooms, read.room_id);
        pg_array_int8(seqs, read.seq);
        pg_array_time(times, read.meta.at);
        pg_array_int8(at, signals[i].offset);
    }
    struct pg_args args = pg_args(arena);
    struct pg_array *columns[] = { users, rooms, seqs, times, at };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        pg_arg_array(&args, columns[i]);
    return pg_batch_add(pg, &upsert_marks, &args);
}

const struct signal_worker receipts_signals = { .topic = "receipts.signals", .fold = receipts_fold };
