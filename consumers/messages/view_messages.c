/* Messages: the queries, and messages as JSON. */
#include "consumers/messages/view_rows.h"

enum {
    MESSAGE_ID,
    MESSAGE_SEQ,
    MESSAGE_SENDER,
    MESSAGE_POSTED_AT,
    MESSAGE_EDITED_AT,
    MESSAGE_DELETED_AT,
    MESSAGE_BODY,
    MESSAGE_VERSION,
    MESSAGE_REPLY_TO,
    MESSAGE_THREAD,
    MESSAGE_REPLY_COUNT,
    MESSAGE_PINNED_AT,
    MESSAGE_MENTIONS,
    MESSAGE_MENTIONS_ROOM,
    MESSAGE_FORWARDED_ROOM,
    MESSAGE_FORWARDED_MESSAGE,
    MESSAGE_FORWARDED_SENDER,
    MESSAGE_REACTIONS,
};

/* $1 room, $2 number, $3 limit. */
static const struct pg_statement messages_before = {
    "messages_page_before",
    "SELECT " MESSAGE_COLUMNS " FROM messages.messages m WHERE room_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3",
};
static const struct pg_statement messages_after = {
    "messages_page_after",
    "SELECT " MESSAGE_COLUMNS " FROM messages.messages m WHERE room_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
};
static const struct pg_statement messages_pinned = {
    "messages_page_pinned",
    "SELECT " MESSAGE_COLUMNS " FROM messages.messages m"
    " WHERE room_id = $1 AND seq < $2 AND pinned_at IS NOT NULL ORDER BY seq DESC LIMIT $3",
};

/* $1 room, $2 thread, $3 after this number, $4 limit. */
static const struct pg_statement messages_of_thread = {
    "messages_page_thread",
    "SELECT " MESSAGE_COLUMNS " FROM messages.messages m"
    " WHERE room_id = $1 AND thread = $2 AND seq > $3 ORDER BY seq LIMIT $4",
};

/* $1 id. */
static const struct pg_statement find_message = {
    "messages_find_message",
    "SELECT " MESSAGE_COLUMNS ", m.room_id FROM messages.messages m WHERE message_id = $1",
};

/* $1 room, $2 position (NULL: by time), $3 time, $4 before this number, $5 limit, $6 viewer, $7 whether they moderate.
 *
 * The numbers of a room are in the order of positions, and of time but for what the clocks of gateways differ: the last
 * message of then is found by bisecting on the number, and so is the version of then on its own number. Who may not
 * read earlier versions is shown the text of now; what was deleted since is shown as it was to who may, if its text was
 * kept (not of what has expired). */
#define NUMBER_BY_THEN  "CASE WHEN $2::bigint IS NULL THEN t.posted_at <= $3::timestamptz ELSE t.position <= $2 END"
#define VERSION_BY_THEN "CASE WHEN $2::bigint IS NULL THEN t.at <= $3::timestamptz ELSE t.position <= $2 END"
#define DELETED_BY_THEN                                                                                                \
    "CASE WHEN $2::bigint IS NULL THEN m.deleted_at <= $3::timestamptz ELSE m.deleted_position <= $2 END"
static const struct pg_statement messages_as_of = {
    "messages_page_as_of",
    "WITH RECURSIVE numbers (low, high) AS ("
    "  SELECT 0::bigint, LEAST($4::bigint, r.last_seq + 1) FROM messages.rooms r WHERE r.room_id = $1"
    "  UNION ALL"
    "  SELECT CASE WHEN p.then THEN p.middle ELSE p.low END, CASE WHEN p.then THEN p.high ELSE p.middle END"
    "    FROM (SELECT n.low, n.high, (n.low + n.high) / 2 AS middle,"
    "                 (SELECT " NUMBER_BY_THEN " FROM messages.messages t"
    "                   WHERE t.room_id = $1 AND t.seq = (n.low + n.high) / 2) AS then"
    "            FROM numbers n WHERE n.high - n.low > 1) AS p),"
    " page AS ("
    "  SELECT m.*, ($7::boolean OR m.sender_id = $6::uuid) AS may FROM messages.messages m"
    "   WHERE m.room_id = $1 AND m.seq <= (SELECT max(low) FROM numbers)"
    "   ORDER BY m.seq DESC LIMIT $5)"
    "SELECT m.message_id, m.seq, m.sender_id, m.posted_at,"
    "       CASE WHEN v.version IS NULL THEN m.edited_at WHEN v.version > 1 THEN v.at END,"
    "       CASE WHEN back.text THEN NULL ELSE m.deleted_at END,"
    "       CASE WHEN m.deleted_at IS NOT NULL AND NOT back.text THEN NULL"
    "            WHEN v.version IS NULL THEN m.body"
    "            ELSE v.body END,"
    "       COALESCE(v.version, m.version), m.reply_to, m.thread, 0, NULL::timestamptz, NULL::bytea, false,"
    "       m.forwarded_room, m.forwarded_message, m.forwarded_sender, NULL::text"
    "  FROM page m"
    "  LEFT JOIN LATERAL ("
    "    WITH RECURSIVE versions (low, high) AS ("
    "      SELECT 1, m.version + 1 WHERE m.may AND (m.version > 1 OR m.deleted_at IS NOT NULL)"
    "      UNION ALL"
    "      SELECT CASE WHEN p.then THEN p.middle ELSE p.low END, CASE WHEN p.then THEN p.high ELSE p.middle END"
    "        FROM (SELECT n.low, n.high, (n.low + n.high) / 2 AS middle,"
    "                     (SELECT " VERSION_BY_THEN " FROM messages.message_versions t"
    "                       WHERE t.room_id = m.room_id AND t.seq = m.seq"
    "                         AND t.version = (n.low + n.high) / 2) AS then"
    "                FROM versions n WHERE n.high - n.low > 1) AS p)"
    "    SELECT t.version, t.at, t.body FROM messages.message_versions t"
    "     WHERE t.room_id = m.room_id AND t.seq = m.seq AND t.version = (SELECT max(low) FROM versions)) AS v ON true"
    "  CROSS JOIN LATERAL (SELECT m.deleted_at IS NOT NULL AND v.version IS NOT NULL"
    "                             AND NOT (" DELETED_BY_THEN ") AS text) AS back"
    " ORDER BY m.seq DESC",
};

/* $1 room, $2 number, $3 after this version, $4 limit. */
static const struct pg_statement list_versions = {
    "messages_list_versions",
    "SELECT version, at, body FROM messages.message_versions"
    " WHERE room_id = $1 AND seq = $2 AND version > $3::bigint ORDER BY version LIMIT $4",
};

#define SCHEDULED_COLUMNS "message_id, room_id, send_at, scheduled_at, reply_to, body, withheld_at"

/* $1 sender, $2 message. */
static const struct pg_statement find_scheduled = {
    "messages_find_scheduled",
    "SELECT " SCHEDULED_COLUMNS " FROM messages.scheduled WHERE sender_id = $1 AND message_id = $2",
};

/* $1 sender, $2 after this message, $3 limit. */
static const struct pg_statement list_scheduled = {
    "messages_list_scheduled",
    "SELECT " SCHEDULED_COLUMNS " FROM messages.scheduled"
    " WHERE sender_id = $1 AND message_id > $2 ORDER BY message_id LIMIT $3",
};

/* $1 sender, $2 but for this room. */
static const struct pg_statement count_scheduled = {
    "messages_count_scheduled",
    "SELECT count(*) FROM messages.scheduled WHERE sender_id = $1 AND room_id <> $2 AND withheld_at IS NULL",
};

/* The statements of a batch would else see one snapshot each: a page could be newer than its room's last_seq, and a
 * cursor made from one would skip a message of the other. */
static const struct pg_statement begin_snapshot = {
    "messages_begin_snapshot",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
};

struct message_view message_of(struct arena *arena, const PGresult *r, int row, int first, struct uuid room)
{
    const struct str mentions = text_of(arena, r, row, first + MESSAGE_MENTIONS);
    return (struct message_view){
        .id = pg_uuid(r, row, first + MESSAGE_ID),
        .room_id = room,
        .sender_id = pg_uuid(r, row, first + MESSAGE_SENDER),
        .seq = pg_int(r, row, first + MESSAGE_SEQ),
        .posted_at = pg_time(r, row, first + MESSAGE_POSTED_AT),
        .edited_at = time_of(r, row, first + MESSAGE_EDITED_AT),
        .deleted_at = time_of(r, row, first + MESSAGE_DELETED_AT),
        .pinned_at = time_of(r, row, first + MESSAGE_PINNED_AT),
        .body = text_of(arena, r, row, first + MESSAGE_BODY),
        .version = (int32_t)pg_int(r, row, first + MESSAGE_VERSION),
        .reply_to = pg_int(r, row, first + MESSAGE_REPLY_TO),
        .thread = pg_int(r, row, first + MESSAGE_THREAD),
        .reply_count = pg_int(r, row, first + MESSAGE_REPLY_COUNT),
        .mentions = (const struct uuid *)mentions.ptr,
        .mention_count = mentions.len / sizeof(struct uuid),
        .mentions_room = pg_bool(r, row, first + MESSAGE_MENTIONS_ROOM),
        .forwarded_room = pg_uuid(r, row, first + MESSAGE_FORWARDED_ROOM),
        .forwarded_message = pg_uuid(r, row, first + MESSAGE_FORWARDED_MESSAGE),
        .forwarded_sender = pg_uuid(r, row, first + MESSAGE_FORWARDED_SENDER),
        .reactions = text_of(arena, r, row, first + MESSAGE_REACTIONS),
    };
}

static struct message_view *messages_of(struct arena *arena, const PGresult *r, struct uuid room, bool descending,
                                        size_t *ret_count)
{
    const size_t count = (size_t)PQntuples(r);
    struct message_view *items = ARENA_ARRAY(arena, struct message_view, count);
    for (size_t i = 0; i < count; i++)
        items[i] = message_of(arena, r, (int)(descending ? count - 1 - i : i), 0, room);
    *ret_count = count;
    return items;
}

/* --- pages --- */

static bool is_descending(const struct message_page *page)
{
    return page->after < 0 || page->before > 0;
}

static void page_read(struct arena *arena, struct message_page *page, const PGresult *room, const PGresult *rows)
{
    page->found = PQntuples(room) == 1;
    page->count = 0;
    page->items = NULL;
    if (!page->found)
        return;
    page->view = room_of(arena, room, 0, page->viewer);
    page->items = messages_of(arena, rows, page->room, is_descending(page), &page->count);
}

static err page_ask(struct pg *pg, struct arena *arena, const struct message_page *page)
{
    struct pg_args args = find_room_args(arena, page->room, page->viewer);
    TRY(pg_batch_add(pg, &sql_find_room, &args));
    args = pg_args(arena);
    pg_arg_uuid(&args, page->room);
    const bool descending = is_descending(page);
    pg_arg_int8(&args, !descending ? page->after : page->before > 0 ? page->before : INT64_MAX);
    pg_arg_int8(&args, page->limit);
    return pg_batch_add(pg, descending ? &messages_before : &messages_after, &args);
}

err message_pages(struct pg *pg, struct arena *arena, struct message_page *pages, size_t count)
{
    if (count == 0)
        return OK;
    const size_t results_count = 2 * count + 2;
    PGresult **results = ARENA_ARRAY(arena, PGresult *, results_count);
    TRY(pg_batch_begin(pg));
    TRY(pg_batch_add(pg, &begin_snapshot, NULL));
    for (size_t i = 0; i < count; i++)
        TRY(page_ask(pg, arena, &pages[i]));
    TRY(pg_batch_add(pg, &pg_sql_commit, NULL));
    TRY(pg_batch_end(pg, results, results_count));
    for (size_t i = 0; i < count; i++)
        page_read(arena, &pages[i], results[1 + 2 * i], results[2 + 2 * i]);
    pg_results_clear(results, results_count);
    return OK;
}

err message_page(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer, int64_t before,
                 int64_t after, int limit, struct room_view *ret_room, bool *ret_found, struct message_view **ret,
                 size_t *ret_count)
{
    struct message_page page = { .room = room, .viewer = viewer, .before = before, .after = after, .limit = limit };
    TRY(message_pages(pg, arena, &page, 1));
    *ret_found = page.found;
    if (page.found)
        *ret_room = page.view;
    *ret = page.items;
    *ret_count = page.count;
    return OK;
}

/* --- others --- */

err message_find(struct pg *pg, struct arena *arena, struct uuid message, struct message_view *ret, bool *ret_found)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, message);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &find_message, &args, &r));
    *ret_found = PQntuples(r) > 0;
    if (*ret_found)
        *ret = message_of(arena, r, 0, 0, pg_uuid(r, 0, MESSAGE_COLUMN_COUNT));
    return OK;
}

err thread_list(struct pg *pg, struct arena *arena, struct uuid room, int64_t thread, int64_t after, int limit,
                struct message_view **ret, size_t *ret_count)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    pg_arg_int8(&args, thread);
    pg_arg_int8(&args, after);
    pg_arg_int8(&args, limit);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &messages_of_thread, &args, &r));
    *ret = messages_of(arena, r, room, false, ret_count);
    return OK;
}

err pin_list(struct pg *pg, struct arena *arena, struct uuid room, int64_t before, int limit, struct message_view **ret,
             size_t *ret_count)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    pg_arg_int8(&args, before > 0 ? before : INT64_MAX);
    pg_arg_int8(&args, limit);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &messages_pinned, &args, &r));
    *ret = messages_of(arena, r, room, false, ret_count);
    return OK;
}

err message_page_as_of(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer, bool moderates,
                       int64_t position, int64_t time, int64_t before, int limit, struct message_view **ret,
                       size_t *ret_count)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    if (position >= 0)
        pg_arg_int8(&args, position);
    else
        pg_arg_null(&args);
    pg_arg_time(&args, time);
    pg_arg_int8(&args, before > 0 ? before : INT64_MAX);
    pg_arg_int8(&args, limit);
    pg_arg_uuid(&args, viewer);
    pg_arg_bool(&args, moderates);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &messages_as_of, &args, &r));
    *ret = messages_of(arena, r, room, true, ret_count);
    return OK;
}

err version_list(struct pg *pg, struct arena *arena, struct uuid room, int64_t seq, int64_t after, int limit,
                 struct version_view **ret, size_t *ret_count)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    pg_arg_int8(&args, seq);
    pg_arg_int8(&args, after);
    pg_arg_int8(&args, limit);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &list_versions, &args, &r));
    *ret_count = (size_t)PQntuples(r);
    *ret = ARENA_ARRAY(arena, struct version_view, *ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct version_view){
            .version = (int32_t)pg_int(r, (int)i, 0),
            .at = pg_time(r, (int)i, 1),
            .body = text_of(arena, r, (int)i, 2),
        };
    return OK;
}

static struct scheduled_view scheduled_of(struct arena *arena, const PGresult *r, int row)
{
    return (struct scheduled_view){
        .message_id = pg_uuid(r, row, 0),
        .room_id = pg_uuid(r, row, 1),
        .send_at = pg_time(r, row, 2),
        .scheduled_at = pg_time(r, row, 3),
        .reply_to = pg_int(r, row, 4),
        .body = text_of(arena, r, row, 5),
        .withheld_at = time_of(r, row, 6),
    };
}

err scheduled_find(struct pg *pg, struct arena *arena, struct uuid sender, struct uuid message,
                   struct scheduled_view *ret, bool *ret_found)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, sender);
    pg_arg_uuid(&args, message);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &find_scheduled, &args, &r));
    *ret_found = PQntuples(r) == 1;
    if (*ret_found)
        *ret = scheduled_of(arena, r, 0);
    return OK;
}

err scheduled_list(struct pg *pg, struct arena *arena, struct uuid sender, struct uuid after, int limit,
                   struct scheduled_view **ret, size_t *ret_count)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, sender);
    pg_arg_uuid(&args, after);
    pg_arg_int8(&args, limit);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &list_scheduled, &args, &r));
    *ret_count = (size_t)PQntuples(r);
    *ret = ARENA_ARRAY(arena, struct scheduled_view, *ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = scheduled_of(arena, r, (int)i);
    return OK;
}

err scheduled_elsewhere(struct pg *pg, struct arena *arena, struct uuid sender, struct uuid room, int64_t *ret)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, sender);
    pg_arg_uuid(&args, room);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &count_scheduled, &args, &r));
    *ret = pg_int(r, 0, 0);
    return OK;
}

/* --- JSON --- */

void message_view_posted(struct message_view *ret, const struct message_posted *posted, struct str body)
{
    *ret = (struct message_view){
        .id = posted->message_id,
        .room_id = posted->room_id,
        .sender_id = posted->meta.actor,
        .seq = posted->seq,
        .posted_at = posted->meta.at,
        .body = body,
        .version = 1,
        .reply_to = posted->reply_to,
        .thread = posted->thread,
        .mentions = posted->mentions.items,
        .mention_count = posted->mentions.count,
        .mentions_room = posted->mentions_room,
        .forwarded_room = posted->forwarded_room,
        .forwarded_message = posted->forwarded_message,
        .forwarded_sender = posted->forwarded_sender,
    };
}

static void mentions_json(struct json *j, const struct message_view *message)
{
    json_key(j, "mentions");
    json_open(j, '[');
    for (size_t i = 0; i < message->mention_count; i++)
        json_uuid(j, message->mentions[i]);
    json_close(j, ']');
}

static void forwarded_json(struct json *j, const struct message_view *message)
{
    json_key(j, "forwarded");
    json_open(j, '{');
    json_field_uuid(j, "roomId", message->forwarded_room);
    json_field_uuid(j, "messageId", message->forwarded_message);
    json_field_uuid(j, "senderId", message->forwarded_sender);
    json_close(j, '}');
}

void message_json(struct json *j, const struct message_view *message)
{
    json_open(j, '{');
    json_field_uuid(j, "id", message->id);
    json_field_uuid(j, "roomId", message->room_id);
    json_field_int(j, "seq", message->seq);
    json_field_uuid(j, "senderId", message->sender_id);
    json_field_str(j, "body", message->body);
    json_field_time(j, "postedAt", message->posted_at);
    if (message->edited_at)
        json_field_time(j, "editedAt", message->edited_at);
    if (message->version > 1)
        json_field_int(j, "version", message->version);
    if (message->deleted_at)
        json_field_time(j, "deletedAt", message->deleted_at);
    if (message->pinned_at)
        json_field_time(j, "pinnedAt", message->pinned_at);
    if (message->reply_to)
        json_field_int(j, "replyTo", message->reply_to);
    if (message->thread)
        json_field_int(j, "thread", message->thread);
    if (message->reply_count)
        json_field_int(j, "replyCount", message->reply_count);
    if (message->mention_count)
        mentions_json(j, message);
    if (message->mentions_room) {
        json_key(j, "mentionsRoom");
        json_bool(j, true);
    }
    if (!uuid_is_nil(message->forwarded_message))
        forwarded_json(j, message);
    if (message->reactions.len) {
        json_key(j, "reactions");
        json_raw(j, message->reactions);
    }
    json_close(j, '}');
}
