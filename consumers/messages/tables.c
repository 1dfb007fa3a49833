/* The tables of tables.def, with what no column says of them. */
#include "consumers/messages/tables.h"

#include "consumers/messages/evolve_rows.h"
#include "consumers/messages/row.h"
#include "consumers/projection/table.h"

/* What no column says of a message. $1 rooms, $2 numbers. */
static const struct hook message_hooks[] = {
    [KEEP_ORIGINAL] = { { "messages_keep_originals_of_rows",
                          "INSERT INTO messages.message_versions (room_id, seq, version, at, position, body)"
                          " SELECT m.room_id, m.seq, 1, m.posted_at, m.position, m.body"
                          "   FROM unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
                          "   JOIN messages.messages m ON m.room_id = c.room_id AND m.seq = c.seq"
                          "  WHERE m.version = 1" },
                        HOOK_BEFORE },
    /* Each deleted message counts in one block of each level (tables.sql). */
    [COUNT_DELETED] = { { "messages_count_deleted_rows",
                          "INSERT INTO messages.deleted_counts AS d (room_id, level, block, count)"
                          " SELECT c.room_id, l.level, (c.seq - 1) >> (8 * l.level), count(*)"
                          "   FROM unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
                          "  CROSS JOIN generate_series(1, 3) AS l (level)"
                          "  GROUP BY 1, 2, 3"
                          "     ON CONFLICT (room_id, level, block) DO UPDATE SET count = d.count + EXCLUDED.count" },
                        HOOK_AFTER },
    /* What has expired has said nothing. */
    [DROP_VERSIONS] = { { "messages_drop_versions_of_rows",
                          "DELETE FROM messages.message_versions v"
                          " USING unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
                          " WHERE v.room_id = c.room_id AND v.seq = c.seq" },
                        HOOK_AFTER },
    [DROP_REACTIONS] = { { "messages_drop_reactions_of_rows",
                           "DELETE FROM messages.reactions r"
                           " USING unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
                           " WHERE r.room_id = c.room_id AND r.seq = c.seq" },
                         HOOK_AFTER },
    /* As they are shown: each emoji with how many and the first ten who, in the order they came. */
    [RENDER_REACTIONS] = { { "messages_render_reactions_of_rows",
                             "UPDATE messages.messages m"
                             "   SET reactions ="
                             "       (SELECT json_agg(row_to_json(e))::text"
                             "          FROM (SELECT r.emoji, count(*) AS count,"
                             "                       (array_agg(r.user_id ORDER BY r.position))[1:10] AS \"userIds\""
                             "                  FROM messages.reactions r"
                             "                 WHERE r.room_id = c.room_id AND r.seq = c.seq"
                             "                 GROUP BY r.emoji ORDER BY min(r.position)) AS e)"
                             "  FROM unnest($1::uuid[], $2::bigint[]) AS c (room_id, seq)"
                             " WHERE m.room_id = c.room_id AND m.seq = c.seq AND m.deleted_at IS NULL" },
                           HOOK_AFTER },
};

#define TABLES      "consumers/messages/tables.def"
#define TABLES_LIST rooms_tables
#include "consumers/projection/table_list.h"

const size_t rooms_table_count = sizeof rooms_tables / sizeof *rooms_tables;
