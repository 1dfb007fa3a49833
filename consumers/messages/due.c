/* What is due: messages that were scheduled, messages whose time to live is over.
 *
 * People take turns: the first message of each, then the second of each, and so on. In a room in slow mode a person's
 * next one is due when slow mode lets them post, so that of those that are late one goes at a time. Whether a sender is
 * suspended is another worker's to know (users.accounts); it is asked here, and travels in the command. */
#include "consumers/messages/streams.h"

#define SCHEDULED_AT_ONCE 500
#define EXPIRED_AT_ONCE   2000
#define WINDOW            10000 /* the oldest that are due, among which people take turns */

/* A room with a parked fact is held up: its commands would be refused, and keep others from their turn. */
#define ROOM_IS_FREE " AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.key = s.room_id AND p.blocks)"

/* $1 partitions, $2 now, $3 limit, $4 window. A plain member of a room in slow mode is slowed. */
static const struct pg_statement find_scheduled = {
    "messages_find_due",
    "SELECT message_id, room_id, sender_id, reply_to, mentions_room, mentions, body"
    "  FROM (SELECT d.*,"
    "               row_number() OVER (PARTITION BY sender_id ORDER BY send_at, message_id) AS turn,"
    "               row_number() OVER (PARTITION BY sender_id, room_id ORDER BY send_at, message_id) AS turn_in_room"
    "          FROM (SELECT s.*, COALESCE(r.slow_mode_s > 0 AND m.role IN (2, 4), false) AS slowed"
    "                  FROM messages.scheduled s"
    "                  LEFT JOIN messages.rooms r ON r.room_id = s.room_id"
    "                  LEFT JOIN messages.members m ON m.room_id = s.room_id AND m.user_id = s.sender_id"
    "                  LEFT JOIN messages.restrictions x ON x.room_id = s.room_id AND x.user_id = s.sender_id"
    "                 WHERE s.partition = ANY ($1::int[]) AND s.send_at <= $2 AND s.withheld_at IS NULL"
    "                   AND NOT COALESCE(r.slow_mode_s > 0 AND m.role IN (2, 4) AND x.slow_until > $2, false)"
    "                 " ROOM_IS_FREE " ORDER BY s.send_at LIMIT $4) AS d) AS t"
    " WHERE turn_in_room = 1 OR NOT slowed"
    " ORDER BY turn, send_at, message_id LIMIT $3",
};

_Static_assert(ROW_MEMBER_PLAIN == 2 && ROW_MEMBER_READ_ONLY == 4, "find_scheduled knows the numbers");

static const struct pg_statement find_expired = {
    "messages_find_expired",
    "SELECT message_id, room_id, sender_id, seq FROM messages.expiring s"
    " WHERE partition = ANY ($1::int[]) AND expires_at <= $2" ROOM_IS_FREE " ORDER BY expires_at LIMIT $3",
};

/* The only statement that looks into another worker's tables: $1 people, $2 now. */
static const struct pg_statement find_senders = {
    "messages_find_senders",
    "SELECT user_id, suspended_at IS NOT NULL AND (suspended_until IS NULL OR suspended_until > $2)"
    "  FROM users.accounts WHERE user_id = ANY ($1::uuid[])",
};

/* What was refused. What met a room that was held up is decided again when it is sent again. */
static const struct pg_statement find_decided = {
    "messages_find_decided",
    "SELECT command_id FROM operations WHERE command_id = ANY ($1::uuid[]) AND rejection NOT IN (0, 3)",
};

_Static_assert(ACCEPTED == 0 && AGGREGATE_PARKED == 3, "find_decided knows the numbers");

static struct meta meta_of(struct uuid message, const char *what, struct uuid sender, int64_t now_ms)
{
    const struct uuid id = uuid_v5(message, str_of(what));
    return (struct meta){ .id = id, .at = now_ms, .actor = sender, .command_id = id, .command_offset = -1 };
}

static void fill_post(struct rooms_command *c, struct arena *arena, const PGresult *r, int row, bool suspended,
                      int64_t now_ms)
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
        .suspended = suspended,
    };
}

/* One that was refused when its time came (its sender is no member any more, say) is taken from the list. */
static void fill_cancel(struct rooms_command *c, struct uuid id, struct uuid room, struct uuid sender, int64_t now_ms)
{
    c->type = ROOMS_CANCEL_SCHEDULED_MESSAGE;
    c->cancel_scheduled_message = (struct cancel_scheduled_message){ .meta = meta_of(id, "cancel", sender, now_ms),
                                                                     .message_id = id,
                                                                     .room_id = room };
}

bool rooms_due_of_erased(struct any_record *command)
{
    struct rooms_command *c = (struct rooms_command *)command;
    if (c->type != ROOMS_POST_MESSAGE)
        return false;
    const struct post_message post = c->post_message;
    fill_cancel(c, post.message_id, post.room_id, post.meta.actor, post.meta.at);
    return true;
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

/* What is known of each scheduled message that is due. */
struct fate {
    bool refused;          /* it was sent before, and not taken */
    bool known, suspended; /* its sender */
};

/* Where the accounts are not there (their projection is made anew), no sender is known. */
static err find_fates(struct pg *pg, struct arena *arena, const PGresult *scheduled, int64_t now_ms, struct fate *ret)
{
    const int count = PQntuples(scheduled);
    struct uuid *ids = ARENA_ARRAY(arena, struct uuid, count);
    struct pg_array *asked = pg_array(arena, PG_UUID, (size_t)count);
    struct pg_array *senders = pg_array(arena, PG_UUID, (size_t)count);
    for (int i = 0; i < count; i++) {
        ids[i] = uuid_v5(pg_uuid(scheduled, i, 0), STR("send"));
        pg_array_uuid(asked, ids[i]);
        pg_array_uuid(senders, pg_uuid(scheduled, i, 2));
    }
    struct pg_args args = pg_args(arena);
    pg_arg_array(&args, asked);
    _cleanup_result_ PGresult *decided = NULL, *people = NULL;
    TRY(pg_query(pg, &find_decided, &args, &decided));
    for (int row = 0; row < PQntuples(decided); row++)
        for (int i = 0; i < count; i++)
            ret[i].refused |= uuid_equal(ids[i], pg_uuid(decided, row, 0));

    args = pg_args(arena);
    pg_arg_array(&args, senders);
    pg_arg_time(&args, now_ms);
    const err e = pg_query(pg, &find_senders, &args, &people);
    if (e != OK)
        return e == RETRY ? RETRY : OK;
    for (int row = 0; row < PQntuples(people); row++)
        for (int i = 0; i < count; i++)
            if (uuid_equal(pg_uuid(scheduled, i, 2), pg_uuid(people, row, 0))) {
                ret[i].known = true;
                ret[i].suspended = pg_bool(people, row, 1);
            }
    return OK;
}

static err find(struct pg *pg, struct arena *arena, const int32_t *partitions, size_t count, int64_t now_ms,
                PGresult *ret[2])
{
    struct pg_array *owned = pg_array(arena, PG_INT4, count);
    for (size_t i = 0; i < count; i++)
        pg_array_int4(owned, partitions[i]);
    struct pg_args scheduled = pg_args(arena), expired = pg_args(arena);
    pg_arg_array(&scheduled, owned);
    pg_arg_time(&scheduled, now_ms);
    pg_arg_int8(&scheduled, SCHEDULED_AT_ONCE);
    pg_arg_int8(&scheduled, WINDOW);
    pg_arg_array(&expired, owned);
    pg_arg_time(&expired, now_ms);
    pg_arg_int8(&expired, EXPIRED_AT_ONCE);
    TRY(pg_batch_begin(pg));
    TRY(pg_batch_add(pg, &find_scheduled, &scheduled));
    TRY(pg_batch_add(pg, &find_expired, &expired));
    return pg_batch_end(pg, ret, 2);
}

err rooms_due(struct pg *pg, struct arena *arena, const int32_t *partitions, size_t count, int64_t now_ms,
              struct any_record ***ret, size_t *ret_count)
{
    PGresult *r[2];
    TRY(find(pg, arena, partitions, count, now_ms, r));
    const int scheduled = PQntuples(r[0]), expired = PQntuples(r[1]);
    struct fate *fates = ARENA_ARRAY(arena, struct fate, scheduled + 1);
    const err e = scheduled > 0 ? find_fates(pg, arena, r[0], now_ms, fates) : OK;
    struct any_record **commands = ARENA_ARRAY(arena, struct any_record *, scheduled + expired + 1);
    size_t due = 0;
    for (int i = 0; i < scheduled + expired; i++) {
        if (i < scheduled && !fates[i].refused && !fates[i].known)
            continue;
        struct rooms_command *c = ARENA_NEW(arena, struct rooms_command);
        if (i >= scheduled)
            fill_delete(c, r[1], i - scheduled, now_ms);
        else if (fates[i].refused)
            fill_cancel(c, pg_uuid(r[0], i, 0), pg_uuid(r[0], i, 1), pg_uuid(r[0], i, 2), now_ms);
        else
            fill_post(c, arena, r[0], i, fates[i].suspended, now_ms);
        commands[due++] = (struct any_record *)c;
    }
    pg_results_clear(r, 2);
    *ret = commands;
    *ret_count = e == OK ? due : 0;
    return e;
}
