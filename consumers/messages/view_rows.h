/* messages/view_rows: columns of rooms and messages, and how they are read. Private to view*.c. */
#pragma once

#include "consumers/messages/row.h"
#include "consumers/messages/view.h"

/* Every query that shows a room has these columns, and the role of the person who asks (NULL: no member). */
#define ROOM_COLUMNS                                                                                                   \
    "r.room_id, r.name, r.kind, r.member_count, r.last_seq, r.created_at, r.position, r.version, r.description, "      \
    "r.topic, r.slow_mode_s, r.time_to_live_s, r.archived_at, r.created_by, r.peer_id"

/* $1 room, $2 viewer. A room that is not public shows itself to its members only. */
extern const struct pg_statement sql_find_room;
struct pg_args find_room_args(struct arena *arena, struct uuid room, struct uuid viewer);
struct room_view room_of(struct arena *arena, const PGresult *r, int row, struct uuid viewer);

#define MESSAGE_COLUMNS                                                                                                \
    "m.message_id, m.seq, m.sender_id, m.posted_at, m.edited_at, m.deleted_at, m.body, m.version, m.reply_to, "        \
    "m.thread, m.reply_count, m.pinned_at, m.mentions, m.mentions_room, m.forwarded_room, m.forwarded_message, "       \
    "m.forwarded_sender, m.reactions"
enum { MESSAGE_COLUMN_COUNT = 18 };
/* The columns from `first` on. */
struct message_view message_of(struct arena *arena, const PGresult *r, int row, int first, struct uuid room);

static inline struct str text_of(struct arena *arena, const PGresult *r, int row, int column)
{
    return pg_null(r, row, column) ? (struct str){ NULL, 0 } : arena_str(arena, pg_str(r, row, column));
}

static inline int64_t time_of(const PGresult *r, int row, int column)
{
    return pg_null(r, row, column) ? 0 : pg_time(r, row, column);
}
