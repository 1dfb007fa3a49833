/* Rooms and members: the queries, and rooms as JSON. */
#include "consumers/messages/view_rows.h"

enum {
    ROOM_ID,
    ROOM_NAME,
    ROOM_KIND,
    ROOM_MEMBER_COUNT,
    ROOM_LAST_SEQ,
    ROOM_CREATED_AT,
    ROOM_POSITION,
    ROOM_VERSION,
    ROOM_DESCRIPTION,
    ROOM_TOPIC,
    ROOM_SLOW_MODE,
    ROOM_TIME_TO_LIVE,
    ROOM_ARCHIVED_AT,
    ROOM_CREATED_BY,
    ROOM_PEER,
    ROOM_ROLE,
    ROOM_UNREAD,
    ROOM_LAST_MESSAGE,
    ROOM_MARK = ROOM_LAST_MESSAGE + MESSAGE_COLUMN_COUNT,
};

const struct pg_statement sql_find_room = {
    "messages_find_room",
    "SELECT " ROOM_COLUMNS ", u.role"
    "  FROM messages.rooms r LEFT JOIN messages.members u ON u.room_id = r.room_id AND u.user_id = $2"
    " WHERE r.room_id = $1 AND (r.kind = 1 OR u.user_id IS NOT NULL)",
};

/* How far the member u of room r has seen: what they have read (k: the read mark), found on joining, or posted (own:
 * the newest, when it is newer; it is looked for in one block of messages, ROW_BLOCK in row.h, and only if it can be
 * there). */
#define READ "GREATEST(k.seq, u.joined_seq)"
#define WITH_SEEN                                                                                                      \
    "  LEFT JOIN messages.read_marks k ON k.user_id = u.user_id AND k.room_id = r.room_id"                             \
    "  LEFT JOIN LATERAL (SELECT o.seq FROM messages.messages o"                                                       \
    "       WHERE " READ " < LEAST(u.posted_block * 64, r.last_seq) AND o.room_id = r.room_id"                         \
    "         AND o.seq > GREATEST(k.seq, u.joined_seq, (u.posted_block - 1) * 64) AND o.seq <= u.posted_block * 64"   \
    "         AND o.sender_id = u.user_id ORDER BY o.seq DESC LIMIT 1) AS own ON true"                                 \
    " CROSS JOIN LATERAL (SELECT GREATEST(k.seq, u.joined_seq, own.seq) AS seq) AS seen"

/* What is unread are the numbers after that, but for those that were deleted. Of these only the ones in the same block
 * of 256 numbers are counted; blocks of 256, 256² and 256³ have been (messages.deleted_counts), and of each size those
 * up to the end of the next larger block are added: less than 256 rows a size, and none that lies ahead of the room. */
#define DELETED_IN_BLOCK                                                                                               \
    "(SELECT count(*) FROM messages.messages d"                                                                        \
    "  WHERE r.last_seq > seen.seq AND d.room_id = r.room_id AND d.deleted_at IS NOT NULL"                             \
    "    AND d.seq > seen.seq AND d.seq <= ((seen.seq >> 8) + 1) << 8)"
#define DELETED_IN_BLOCKS(level, bits, bits_above)                                                                     \
    "COALESCE((SELECT sum(n.count) FROM messages.deleted_counts n"                                                     \
    "  WHERE r.last_seq > ((seen.seq >> " bits ") + 1) << " bits " AND n.room_id = r.room_id AND n.level = " level     \
    "    AND n.block > seen.seq >> " bits " AND n.block < ((seen.seq >> " bits_above ") + 1) << 8), 0)"
#define DELETED_IN_256   DELETED_IN_BLOCKS("1", "8", "16")
#define DELETED_IN_256_2 DELETED_IN_BLOCKS("2", "16", "24")
#define DELETED_IN_256_3 DELETED_IN_BLOCKS("3", "24", "32")
#define UNREAD                                                                                                         \
    "r.last_seq - seen.seq"                                                                                            \
    " - " DELETED_IN_BLOCK " - " DELETED_IN_256 " - " DELETED_IN_256_2 " - " DELETED_IN_256_3
#define WITH_UNREAD                                                                                                    \
    WITH_SEEN                                                                                                          \
    "  LEFT JOIN messages.messages m ON m.room_id = r.room_id AND m.seq = r.last_seq AND u.user_id IS NOT NULL"

/* $1 room, $2 viewer. */
static const struct pg_statement find_room_unread = {
    "messages_find_room_unread",
    "SELECT " ROOM_COLUMNS ", u.role, " UNREAD ", " MESSAGE_COLUMNS
    "  FROM messages.rooms r LEFT JOIN messages.members u ON u.room_id = r.room_id AND u.user_id = $2" WITH_UNREAD
    " WHERE r.room_id = $1 AND (r.kind = 1 OR u.user_id IS NOT NULL)",
};

/* $1 viewer, $2 ids before this one, $3 limit. Each branch reads at most $3 entries of its index. */
static const struct pg_statement list_rooms[] = {
    [ROOM_SCOPE_VISIBLE] = {
        "messages_list_rooms_visible",
        "SELECT " ROOM_COLUMNS ", u.role"
        "  FROM ((SELECT room_id FROM messages.rooms WHERE kind = 1 AND room_id < $2 ORDER BY room_id DESC LIMIT $3)"
        "        UNION"
        "        (SELECT room_id FROM messages.members WHERE user_id = $1 AND room_id < $2 ORDER BY room_id DESC LIMIT $3)"
        "        ORDER BY room_id DESC LIMIT $3) AS ids"
        "  JOIN messages.rooms r ON r.room_id = ids.room_id"
        "  LEFT JOIN messages.members u ON u.room_id = r.room_id AND u.user_id = $1"
        " ORDER BY r.room_id DESC",
    },
    [ROOM_SCOPE_PUBLIC] = {
        "messages_list_rooms_public",
        "SELECT " ROOM_COLUMNS ", u.role"
        "  FROM (SELECT * FROM messages.rooms WHERE kind = 1 AND room_id < $2 ORDER BY room_id DESC LIMIT $3) AS r"
        "  LEFT JOIN messages.members u ON u.room_id = r.room_id AND u.user_id = $1"
        " ORDER BY r.room_id DESC",
    },
};

/* $1 person, $2 ids before this one, $3 limit. What tells whether a room of one's own looks as it did before. */
static const struct pg_statement list_room_lines = {
    "messages_list_room_lines",
    "SELECT r.room_id, r.position, COALESCE(k.position, -1)"
    "  FROM (SELECT user_id, room_id FROM messages.members WHERE user_id = $1 AND room_id < $2 ORDER BY room_id DESC"
    "         LIMIT $3) AS u"
    "  JOIN messages.rooms r ON r.room_id = u.room_id"
    "  LEFT JOIN messages.read_marks k ON k.user_id = u.user_id AND k.room_id = u.room_id"
    " ORDER BY r.room_id DESC",
};

/* $1 person, $2 rooms. */
static const struct pg_statement list_own_rooms = {
    "messages_list_own_rooms",
    "SELECT " ROOM_COLUMNS ", u.role, " UNREAD ", " MESSAGE_COLUMNS ", COALESCE(k.position, -1)"
    "  FROM messages.members u JOIN messages.rooms r ON r.room_id = u.room_id" WITH_UNREAD
    " WHERE u.user_id = $1 AND u.room_id = ANY ($2::uuid[])"
    " ORDER BY r.room_id DESC",
};

/* $1 room, $2 after this user, $3 limit. */
static const struct pg_statement list_members = {
    "messages_list_members",
    "SELECT user_id, role, joined_at FROM messages.members WHERE room_id = $1 AND user_id > $2 ORDER BY user_id LIMIT "
    "$3",
};

/* $1 room, $2 people. */
static const struct pg_statement find_members = {
    "messages_find_members",
    "SELECT user_id FROM messages.members WHERE room_id = $1 AND user_id = ANY ($2::uuid[])",
};

static const struct pg_statement list_invitations_of_user = {
    "messages_list_invitations_of_user",
    "SELECT room_id, user_id, invited_by, invited_at FROM messages.invitations"
    " WHERE user_id = $1 AND room_id > $2 ORDER BY room_id LIMIT $3",
};

static const struct pg_statement list_invitations_of_room = {
    "messages_list_invitations_of_room",
    "SELECT room_id, user_id, invited_by, invited_at FROM messages.invitations"
    " WHERE room_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
};

static const struct pg_statement list_bans = {
    "messages_list_bans",
    "SELECT user_id, banned_by, banned_at, until, reason FROM messages.bans"
    " WHERE room_id = $1 AND user_id > $2 ORDER BY user_id LIMIT $3",
};

/* $1 room. A mark beyond the last message says no more than that. */
static const struct pg_statement list_read = {
    "messages_list_read",
    "SELECT u.user_id, LEAST(seen.seq, r.last_seq)"
    "  FROM messages.rooms r JOIN messages.members u ON u.room_id = r.room_id"
    "" WITH_SEEN " WHERE r.room_id = $1 ORDER BY u.user_id LIMIT 50",
};

struct room_view room_of(struct arena *arena, const PGresult *r, int row, struct uuid viewer)
{
    struct room_view room = {
        .id = pg_uuid(r, row, ROOM_ID),
        .name = text_of(arena, r, row, ROOM_NAME),
        .description = text_of(arena, r, row, ROOM_DESCRIPTION),
        .topic = text_of(arena, r, row, ROOM_TOPIC),
        .kind = room_kind_of_row(pg_int(r, row, ROOM_KIND)),
        .member_count = pg_int(r, row, ROOM_MEMBER_COUNT),
        .last_seq = pg_int(r, row, ROOM_LAST_SEQ),
        .created_at = pg_time(r, row, ROOM_CREATED_AT),
        .position = pg_int(r, row, ROOM_POSITION),
        .version = pg_int(r, row, ROOM_VERSION),
        .slow_mode_s = pg_int(r, row, ROOM_SLOW_MODE),
        .time_to_live_s = pg_int(r, row, ROOM_TIME_TO_LIVE),
        .archived_at = time_of(r, row, ROOM_ARCHIVED_AT),
        .is_member = !pg_null(r, row, ROOM_ROLE),
        .role = member_role_of_row(pg_int(r, row, ROOM_ROLE)),
    };
    if (room.kind == ROOM_KIND_DIRECT) {
        const struct uuid creator = pg_uuid(r, row, ROOM_CREATED_BY);
        room.peer_id = uuid_equal(creator, viewer) ? pg_uuid(r, row, ROOM_PEER) : creator;
    }
    if (PQnfields(r) > ROOM_UNREAD && room.is_member) {
        room.has_unread = true;
        const int64_t unread = pg_int(r, row, ROOM_UNREAD);
        room.unread = unread > 0 ? unread : 0; /* a mark may lie ahead of what was posted */
        if (!pg_null(r, row, ROOM_LAST_MESSAGE))
            room.last = message_of(arena, r, row, ROOM_LAST_MESSAGE, room.id);
    }
    room.mark = PQnfields(r) > ROOM_MARK ? pg_int(r, row, ROOM_MARK) : -1;
    return room;
}

struct pg_args find_room_args(struct arena *arena, struct uuid room, struct uuid viewer)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    pg_arg_uuid(&args, viewer);
    return args;
}

static err find(struct pg *pg, struct arena *arena, const struct pg_statement *statement, struct uuid room,
                struct uuid viewer, struct room_view *ret, bool *ret_found)
{
    struct pg_args args = find_room_args(arena, room, viewer);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, statement, &args, &r));
    *ret_found = PQntuples(r) == 1;
    if (*ret_found)
        *ret = room_of(arena, r, 0, viewer);
    return OK;
}

err room_find(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer, struct room_view *ret,
              bool *ret_found)
{
    return find(pg, arena, &sql_find_room, room, viewer, ret, ret_found);
}

err room_find_unread(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer, struct room_view *ret,
                     bool *ret_found)
{
    return find(pg, arena, &find_room_unread, room, viewer, ret, ret_found);
}

/* $1 whose, $2 where to go on, $3 limit. */
static struct pg_args list_args(struct arena *arena, struct uuid of, struct uuid from, int limit)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, of);
    pg_arg_uuid(&args, from);
    pg_arg_int8(&args, limit);
    return args;
}

static err list(struct pg *pg, struct arena *arena, const struct pg_statement *statement, struct uuid of,
                struct uuid from, int limit, PGresult **ret, size_t *ret_count)
{
    struct pg_args args = list_args(arena, of, from, limit);
    TRY(pg_query(pg, statement, &args, ret));
    *ret_count = (size_t)PQntuples(*ret);
    return OK;
}

static struct uuid before_or_all(struct uuid before)
{
    if (uuid_is_nil(before))
        memset(&before, 0xff, sizeof before);
    return before;
}

static struct room_view *rooms_of(struct arena *arena, const PGresult *r, struct uuid viewer)
{
    const int count = PQntuples(r);
    struct room_view *rooms = ARENA_ARRAY(arena, struct room_view, count);
    for (int i = 0; i < count; i++)
        rooms[i] = room_of(arena, r, i, viewer);
    return rooms;
}

err room_list(struct pg *pg, struct arena *arena, struct uuid viewer, enum room_scope scope, struct uuid before,
              int limit, struct room_view **ret, size_t *ret_count)
{
    _cleanup_result_ PGresult *r = NULL;
    TRY(list(pg, arena, &list_rooms[scope], viewer, before_or_all(before), limit, &r, ret_count));
    *ret = rooms_of(arena, r, viewer);
    return OK;
}

static void lines_read(struct arena *arena, struct room_lines *list, const PGresult *r)
{
    list->count = (size_t)PQntuples(r);
    list->lines = ARENA_ARRAY(arena, struct room_line, list->count);
    for (size_t i = 0; i < list->count; i++)
        list->lines[i] = (struct room_line){
            .room = pg_uuid(r, (int)i, 0),
            .position = pg_int(r, (int)i, 1),
            .mark = pg_int(r, (int)i, 2),
        };
}

err room_lines(struct pg *pg, struct arena *arena, struct room_lines *lists, size_t count)
{
    PGresult **results = ARENA_ARRAY(arena, PGresult *, count);
    TRY(pg_batch_begin(pg));
    for (size_t i = 0; i < count; i++) {
        struct pg_args args = list_args(arena, lists[i].viewer, before_or_all(lists[i].before), lists[i].limit);
        TRY(pg_batch_add(pg, &list_room_lines, &args));
    }
    TRY(pg_batch_end(pg, results, count));
    for (size_t i = 0; i < count; i++)
        lines_read(arena, &lists[i], results[i]);
    pg_results_clear(results, count);
    return OK;
}

err room_list_own(struct pg *pg, struct arena *arena, struct uuid viewer, const struct uuid *ids, size_t count,
                  struct room_view **ret, size_t *ret_count)
{
    struct pg_array *rooms = pg_array(arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(rooms, ids[i]);
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, viewer);
    pg_arg_array(&args, rooms);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &list_own_rooms, &args, &r));
    *ret_count = (size_t)PQntuples(r);
    *ret = rooms_of(arena, r, viewer);
    return OK;
}

err member_list(struct pg *pg, struct arena *arena, struct uuid room, struct uuid after, int limit,
                struct member_view **ret, size_t *ret_count)
{
    _cleanup_result_ PGresult *r = NULL;
    TRY(list(pg, arena, &list_members, room, after, limit, &r, ret_count));
    *ret = ARENA_ARRAY(arena, struct member_view, *ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct member_view){
            .user_id = pg_uuid(r, (int)i, 0),
            .role = member_role_text(member_role_of_row(pg_int(r, (int)i, 1))),
            .joined_at = pg_time(r, (int)i, 2),
        };
    return OK;
}

err members_among(struct pg *pg, struct arena *arena, struct uuid room, const struct uuid *ids, size_t count,
                  struct uuid *ret, size_t *ret_count)
{
    struct pg_array *people = pg_array(arena, PG_UUID, count);
    for (size_t i = 0; i < count; i++)
        pg_array_uuid(people, ids[i]);
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    pg_arg_array(&args, people);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &find_members, &args, &r));
    *ret_count = (size_t)PQntuples(r);
    for (size_t i = 0; i < *ret_count; i++)
        ret[i] = pg_uuid(r, (int)i, 0);
    return OK;
}

static err invitations(struct pg *pg, struct arena *arena, const struct pg_statement *statement, struct uuid of,
                       struct uuid after, int limit, struct invitation_view **ret, size_t *ret_count)
{
    _cleanup_result_ PGresult *r = NULL;
    TRY(list(pg, arena, statement, of, after, limit, &r, ret_count));
    *ret = ARENA_ARRAY(arena, struct invitation_view, *ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct invitation_view){
            .room_id = pg_uuid(r, (int)i, 0),
            .user_id = pg_uuid(r, (int)i, 1),
            .invited_by = pg_uuid(r, (int)i, 2),
            .invited_at = pg_time(r, (int)i, 3),
        };
    return OK;
}

err invitations_of_user(struct pg *pg, struct arena *arena, struct uuid user, struct uuid after, int limit,
                        struct invitation_view **ret, size_t *ret_count)
{
    return invitations(pg, arena, &list_invitations_of_user, user, after, limit, ret, ret_count);
}

err invitations_of_room(struct pg *pg, struct arena *arena, struct uuid room, struct uuid after, int limit,
                        struct invitation_view **ret, size_t *ret_count)
{
    return invitations(pg, arena, &list_invitations_of_room, room, after, limit, ret, ret_count);
}

err ban_list(struct pg *pg, struct arena *arena, struct uuid room, struct uuid after, int limit, struct ban_view **ret,
             size_t *ret_count)
{
    _cleanup_result_ PGresult *r = NULL;
    TRY(list(pg, arena, &list_bans, room, after, limit, &r, ret_count));
    *ret = ARENA_ARRAY(arena, struct ban_view, *ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct ban_view){
            .user_id = pg_uuid(r, (int)i, 0),
            .banned_by = pg_uuid(r, (int)i, 1),
            .banned_at = pg_time(r, (int)i, 2),
            .until = time_of(r, (int)i, 3),
            .reason = text_of(arena, r, (int)i, 4),
        };
    return OK;
}

err read_list(struct pg *pg, struct arena *arena, struct uuid room, struct read_view **ret, size_t *ret_count)
{
    struct pg_args args = pg_args(arena);
    pg_arg_uuid(&args, room);
    _cleanup_result_ PGresult *r = NULL;
    TRY(pg_query(pg, &list_read, &args, &r));
    *ret_count = (size_t)PQntuples(r);
    *ret = ARENA_ARRAY(arena, struct read_view, *ret_count);
    for (size_t i = 0; i < *ret_count; i++)
        (*ret)[i] = (struct read_view){ .user_id = pg_uuid(r, (int)i, 0), .seq = pg_int(r, (int)i, 1) };
    return OK;
}

/* --- JSON --- */

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

static const char *const role_texts[] = {
    [MEMBER_ROLE_OWNER] = "owner",
    [MEMBER_ROLE_ADMIN] = "admin",
    [MEMBER_ROLE_MEMBER] = "member",
    [MEMBER_ROLE_READ_ONLY] = "readOnly",
};

const char *member_role_text(enum member_role role)
{
    return role_texts[role];
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
    if (room->description.len)
        json_field_str(j, "description", room->description);
    if (room->topic.len)
        json_field_str(j, "topic", room->topic);
    if (room->slow_mode_s)
        json_field_int(j, "slowModeSeconds", room->slow_mode_s);
    if (room->time_to_live_s)
        json_field_int(j, "timeToLiveSeconds", room->time_to_live_s);
    if (room->archived_at)
        json_field_time(j, "archivedAt", room->archived_at);
    if (!uuid_is_nil(room->peer_id))
        json_field_uuid(j, "peerId", room->peer_id);
    if (room->has_unread) {
        json_field_str(j, "role", str_of(member_role_text(room->role)));
        json_field_int(j, "unreadCount", room->unread);
        json_key(j, "lastMessage");
        if (room->last.seq)
            message_json(j, &room->last);
        else
            json_none(j);
    }
    json_close(j, '}');
}
