/* What is due: messages that were scheduled, messages whose time to live is over. */
#include "consumers/messages/streams.h"

#define AT_ONCE 500

/* A room with a parked fact is held up: its commands would be refused, and keep others from their turn. */
#define ROOM_IS_FREE " AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.key = s.room_id AND p.blocks)"

static const struct pg_statement find_scheduled = {
    "messages_find_due",
    "SELECT message_id, room_id, sender_id, reply_to, mentions_room, mentions, body FROM messages.scheduled s"
    " WHERE partition = ANY ($1::int[]) AND send_at <= $2" ROOM_IS_FREE " ORDER BY send_at LIMIT $3",
};

static const struct pg_statement find_expired = {
    "messages_find_expired",
    "SELECT message_id, room_id, sender_id, seq FROM messages.expiring s"
    " WHERE partition = ANY ($1::int[]) AND expires_at <= $2" ROOM_IS_FREE " ORDER BY expires_at LIMIT $3",
};

/* What met a room that was held up is decided again when it is sent again. */
static const struct pg_statement find_decided = {
    "messages_find_decided",
    "SELECT command_id FROM operations WHERE command_id = ANY ($1::uuid[]) AND rejection <> 3", /* AGGREGATE_PARKED */
};

_Static_assert(AGGREGATE_PARKED == 3, "find_decided knows the number");

static struct meta meta_of(struct uuid message, const char *what, struct uuid sender, int64_t now_ms)
{
    const struct uuid id = uuid_v5(message, str_of(what));
    return (struct meta){ .id = id, .at = now_ms, .actor = sender, .command_id = id, .command_offset = -1 };
}

static void fill_post(struct rooms_command *c, struct arena *arena, const PGresult *r, int row, int64_t now_ms)
{
    const struct uuid id = pg_uuid(r, row, 0), sender = pg_uuid(r, row, 2);
    const struct str mentions = arena_str(arena, pg_str(r, row, 5));
    c->type = ROOMS_POST_MESSAGE;
    c->post_message = (struct post_message){
        .meta = meta_of(id, "send", sender, now_ms),
        .message_id = id,
        .room_id = pg_uuid(r, row, 1),
        .reply_to = pg_int(r, row, 3),
        .mentions_room = pg_bool(r, row, 4),
        .mentions = { (const struct uuid *)mentions.ptr, mentions.len / sizeof(struct uuid) },
        .body = { .clear = arena_str(arena, pg_str(r, row, 6)) },
        .scheduled = true,
    };
}

/* One that was refused when its time came (its sender is no member any more, say) is taken from the list. */
static void fill_cancel(struct rooms_command *c, const PGresult *r, int row, int64_t now_ms)
{
    const struct uuid id = pg_uuid(r, row, 0);
    c->type = ROOMS_CANCEL_SCHEDULED_MESSAGE;
    c->cancel_scheduled_message = (struct cancel_scheduled_message){
        .meta = meta_of(id, "cancel", pg_uuid(r, row, 2), now_ms), .message_id = id, .room_id = pg_uuid(r, row, 1)
    };
}

static void fill_delete(struct rooms_command *c, const PGresult *r, int row, int64_t now_ms)
{
    const struct uuid id = pg_uuid(r, row, 0);
    c->type = ROOMS_DELETE_MESSAGE;
    c->delete_message = (struct delete_message){
        .meta = meta_of(id, "expire", pg_uuid(r, row, 2), now_ms),
        .message_id = id,
        .room_id = pg_uuid(r, row, 1),
        .seq = pg_int(r, row, 3),
        .expired = true,
    };
}

static err decided(struct pg *pg, struct arena *arena, const PGresult *scheduled, bool *ret)
{
    const int count = PQntuples(scheduled);
    struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count);
    struct pg_array *asked = pg_array(arena, PG_UUID, (size_t)count);
    for (int i = 0; i < count; i++) {
        ids[i] = uuid_v5(pg_uuid(scheduled, i, 0), STR("send"));
        pg_array_uuid(asked, ids[i]);
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, asked);
    PGresult *r;
    TRY(pg_query(pg, &find_decided, &args, &r));
    for (int row = 0; row < PQntuples(r); row++)
        for (int i = 0; i < count; i++)
            ret[i] |= uuid_equal(ids[i], pg_uuid(r, row, 0));
    PQclear(r);
    return OK;
}

err rooms_due(struct pg *pg, struct arena *arena, const int32_t *partitions, size_t count, int64_t now_ms,
              struct any_record ***ret, size_t *ret_count)
{
    struct pg_array *owned = pg_array(arena, PG_INT4, count);
    for (size_t i = 0; i < count; i++)
        pg_array_int4(owned, partitions[i]);
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, owned);
    pg_arg_time(&args, now_ms);
    pg_arg_int8(&args, AT_ONCE);
    PGresult *r[2];
    TRY(pg_batch_begin(pg));
    TRY(pg_batch_add(pg, &find_scheduled, &args));
    TRY(pg_batch_add(pg, &find_expired, &args));
    TRY(pg_batch_end(pg, r, 2));
    const int scheduled = PQntuples(r[0]), expired = PQntuples(r[1]);
    bool *refused = ARENA_ARRAY(arena, bool, scheduled + 1);
    const err e = scheduled > 0 ? decided(pg, arena, r[0], refused) : OK;
    struct any_record **commands = ARENA_ARRAY(arena, struct any_record *, scheduled + expired + 1);
    for (int i = 0; i < scheduled + expired; i++) {
        struct rooms_command *c = ARENA_NEW(arena, struct rooms_command);
        if (i >= scheduled)
            fill_delete(c, r[1], i - scheduled, now_ms);
        else if (refused[i])
            fill_cancel(c, r[0], i, now_ms);
        else
            fill_post(c, arena, r[0], i, now_ms);
        commands[i] = (struct any_record *)c;
    }
    pg_results_clear(r, 2);
    *ret = commands;
    *ret_count = e == OK ? (size_t)(scheduled + expired) : 0;
    return e;
}
