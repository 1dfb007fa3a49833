#include "consumers/messages/view.h"

#include "consumers/messages/row.h"

/* Every query that shows a room has these columns, and "mine" for the person who asks. */
#define ROOM_COLUMNS "r.room_id, r.name, r.kind, r.member_count, r.last_seq, r.created_at, r.position"
enum { ROOM_ID, ROOM_NAME, ROOM_KIND, ROOM_MEMBER_COUNT, ROOM_LAST_SEQ, ROOM_CREATED_AT, ROOM_POSITION, ROOM_MINE };

/* $1 room, $2 viewer. A room that is not public shows itself to its members only. */
static const struct pg_statement find_room = {
    "messages_find_room",
    "SELECT " ROOM_COLUMNS ", m.user_id IS NOT NULL"
    "  FROM messages.rooms r LEFT JOIN messages.members m ON m.room_id = r.room_id AND m.user_id = $2"
    " WHERE r.room_id = $1 AND (r.kind = 1 OR m.user_id IS NOT NULL)",
};

/* $1 viewer, $2 ids before this one, $3 limit. Each branch reads at most $3 entries of its index. */
static const struct pg_statement list_rooms[] = {
    [ROOM_SCOPE_VISIBLE] = {
        "messages_list_rooms_visible",
        "SELECT " ROOM_COLUMNS ", m.user_id IS NOT NULL"
        "  FROM ((SELECT room_id FROM messages.rooms WHERE kind = 1 AND room_id < $2 ORDER BY room_id DESC LIMIT $3)"
        "        UNION"
        "        (SELECT room_id FROM messages.members WHERE user_id = $1 AND room_id < $2 ORDER BY room_id DESC LIMIT $3)"
        "        ORDER BY room_id DESC LIMIT $3) AS ids"
        "  JOIN messages.rooms r ON r.room_id = ids.room_id"
        "  LEFT JOIN messages.members m ON m.room_id = r.room_id AND m.user_id = $1"
        " ORDER BY r.room_id DESC",
    },
    [ROOM_SCOPE_MINE] = {
        "messages_list_rooms_mine",
        "SELECT " ROOM_COLUMNS ", true"
        "  FROM (SELECT room_id FROM messages.members WHERE user_id = $1 AND room_id < $2 ORDER BY room_id DESC LIMIT $3) AS m"
        "  JOIN messages.rooms r ON r.room_id = m.room_id"
        " ORDER BY r.room_id DESC",
    },
    [ROOM_SCOPE_PUBLIC] = {
        "messages_list_rooms_public",
        "SELECT " ROOM_COLUMNS ", m.user_id IS NOT NULL"
        "  FROM (SELECT * FROM messages.rooms WHERE kind = 1 AND room_id < $2 ORDER BY room_id DESC LIMIT $3) AS r"
        "  LEFT JOIN messages.members m ON m.room_id = r.room_id AND m.user_id = $1"
        " ORDER BY r.room_id DESC",
    },
};

/* $1 room, $2 after this user, $3 limit. */
static const struct pg_statement list_members = {
    "messages_list_members",
    "SELECT user_id, role, joined_at FROM messages.members WHERE room_id = $1 AND user_id > $2 ORDER BY user_id LIMIT "
    "$3",
};

#define MESSAGE_COLUMNS "message_id, seq, sender_id, posted_at, edited_at, deleted_at, body"
enum {
    MESSAGE_ID,
    MESSAGE_SEQ,
    MESSAGE_SENDER,
    MESSAGE_POSTED_AT,
    MESSAGE_EDITED_AT,
    MESSAGE_DELETED_AT,
    MESSAGE_BODY
};

/* $1 room, $2 number, $3 limit. */
static const struct pg_statement messages_before = {
    "messages_page_before",
    "SELECT " MESSAGE_COLUMNS " FROM messages.messages WHERE room_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3",
};
static const struct pg_statement messages_after = {
    "messages_page_after",
    "SELECT " MESSAGE_COLUMNS " FROM messages.messages WHERE room_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
};

/* The statements of a batch would else see one snapshot each: a page could be newer than its room's last_seq, and a
 * cursor made from one would skip a message of the other. */
static const struct pg_statement begin_snapshot = {
    "messages_begin_snapshot",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
};

static struct str text_of(struct arena *arena, const PGresult *r, int row, int column)
{
    return pg_null(r, row, column) ? (struct str){ NULL, 0 } : arena_str(arena, pg_str(r, row, column));
}

static int64_t time_of(const PGresult *r, int row, int column)
{
    return pg_null(r, row, column) ? 0 : pg_time(r, row, column);
}

static struct room_view room_of(struct arena *arena, const PGresult *r, int row)
{
    return (struct room_view){
        .id = pg_uuid(r, row, ROOM_ID),
        .name = text_of(arena, r, row, ROOM_NAME),
        .kind = room_kind_of_row(pg_int(r, row, ROOM_KIND)),
        .member_count = pg_int(r, row, ROOM_MEMBER_COUNT),
        .last_seq = pg_int(r, row, ROOM_LAST_SEQ),
        .created_at = pg_time(r, row, ROOM_CREATED_AT),
        .position = pg_int(r, row, ROOM_POSITION),
        .is_member = pg_bool(r, row, ROOM_MINE),
    };
}

static struct pg_args find_room_args(struct arena *arena, struct uuid room, struct uuid viewer)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    pg_arg_uuid(&args, viewer);
    return args;
}

err room_find(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer, struct room_view *ret,
              bool *ret_found)
{
    struct pg_args args = find_room_args(arena, room, viewer);
    PGresult *r;
    TRY(pg_query(pg, &find_room, &args, &r));
    *ret_found = PQntuples(r) == 1;
    if (*ret_found)
        *ret = room_of(arena, r, 0);
    PQclear(r);
    return OK;
}

err room_list(struct pg *pg, struct arena *arena, struct uuid viewer, enum room_scope scope, struct uuid before,
              int limit, struct room_view **ret, size_t *ret_count)
{
    if (uuid_is_nil(before))
        memset(&before, 0xff, sizeof before);
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, viewer);
    pg_arg_uuid(&args, before);
    pg_arg_int8(&args, limit);
    PGresult *r;
    TRY(pg_query(pg, &list_rooms[scope], &args, &r));
    *ret_count = (size_t)PQntuples(r);
    *ret = ARENA_ARRAY(arena, struct room_view, *ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = room_of(arena, r, (int)i);
    PQclear(r);
    return OK;
}

err member_list(struct pg *pg, struct arena *arena, struct uuid room, struct uuid after, int limit,
                struct member_view **ret, size_t *ret_count)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    pg_arg_uuid(&args, after);
    pg_arg_int8(&args, limit);
    PGresult *r;
    TRY(pg_query(pg, &list_members, &args, &r));
    *ret_count = (size_t)PQntuples(r);
    *ret = ARENA_ARRAY(arena, struct member_view, *ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct member_view){
            .user_id = pg_uuid(r, (int)i, 0),
            .role = pg_int(r, (int)i, 1) == ROW_MEMBER_OWNER ? "owner" : "member",
            .joined_at = pg_time(r, (int)i, 2),
        };
    PQclear(r);
    return OK;
}

static void page_read(struct arena *arena, struct message_page *page, const PGresult *room, const PGresult *rows)
{
    page->found = PQntuples(room) == 1;
    page->count = 0;
    page->items = NULL;
    if (!page->found)
        return;
    page->view = room_of(arena, room, 0);
    page->count = (size_t)PQntuples(rows);
    page->items = ARENA_ARRAY(arena, struct message_view, page->count);
    const bool descending = page->after < 0 || page->before > 0;
    for (size_t i = 0; i < page->count; i++) {
        const int row = (int)(descending ? page->count - 1 - i : i);
        page->items[i] = (struct message_view){
            .id = pg_uuid(rows, row, MESSAGE_ID),
            .room_id = page->room,
            .sender_id = pg_uuid(rows, row, MESSAGE_SENDER),
            .seq = pg_int(rows, row, MESSAGE_SEQ),
            .posted_at = pg_time(rows, row, MESSAGE_POSTED_AT),
            .edited_at = time_of(rows, row, MESSAGE_EDITED_AT),
            .deleted_at = time_of(rows, row, MESSAGE_DELETED_AT),
            .body = text_of(arena, rows, row, MESSAGE_BODY),
        };
    }
}

static err page_ask(struct pg *pg, struct arena *arena, const struct message_page *page)
{
    struct pg_args args = find_room_args(arena, page->room, page->viewer);
    TRY(pg_batch_add(pg, &find_room, &args));
    args = pg_args(arena);
    pg_arg_uuid(&args, page->room);
    const bool descending = page->after < 0 || page->before > 0;
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

const char *room_kind_text(enum room_kind kind)
{
    switch (kind) {
    case ROOM_KIND_PUBLIC:
        return "public";
    case ROOM_KIND_DIRECT:
        return "direct";
    case ROOM_KIND_PRIVATE:
        break;
    }
    return "private";
}

void room_json(struct json *j, const struct room_view *room)
{
    json_open(j, '{');
    json_field_uuid(j, "id", room->id);
    json_field_str(j, "name", room->name);
    json_field_str(j, "kind", str_of(room_kind_text(room->kind)));
    json_field_int(j, "memberCount", room->member_count);
    json_field_int(j, "lastSeq", room->last_seq);
    json_field_time(j, "createdAt", room->created_at);
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
    if (message->deleted_at)
        json_field_time(j, "deletedAt", message->deleted_at);
    json_close(j, '}');
}
