/* messages/view: the queries over the messages worker's projection, and how its resources look as JSON. All strings
 * live in the arena. RETRY: PostgreSQL is away. */
#pragma once

#include "ops/runtime/json.h"
#include "ops/runtime/pg.h"
#include "schemas/rooms.gen.h"

struct room_view {
    struct uuid id;
    struct str name; /* empty when erased */
    enum room_kind kind;
    int64_t member_count, last_seq, created_at;
    int64_t position; /* offset of the newest fact in this row: the version the cache compares */
    bool is_member;   /* the person who asks */
};

struct member_view {
    struct uuid user_id;
    const char *role; /* "owner", "member" */
    int64_t joined_at;
};

struct message_view {
    struct uuid id, room_id, sender_id;
    int64_t seq, posted_at;
    int64_t edited_at, deleted_at; /* 0: never */
    struct str body;               /* empty when erased */
};

/* What `viewer` may see: a private room of others is not found. */
MUST_CHECK err room_find(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer,
                         struct room_view *ret, bool *ret_found);

enum room_scope { ROOM_SCOPE_VISIBLE, ROOM_SCOPE_MINE, ROOM_SCOPE_PUBLIC };
/* Newest first by id (UUIDv7), ids smaller than `before` (nil: from the newest). At most `limit` rows. */
MUST_CHECK err room_list(struct pg *pg, struct arena *arena, struct uuid viewer, enum room_scope scope,
                         struct uuid before, int limit, struct room_view **ret, size_t *ret_count);

/* Members in order of user id, ids greater than `after`. The caller has checked that the viewer may look. */
MUST_CHECK err member_list(struct pg *pg, struct arena *arena, struct uuid room, struct uuid after, int limit,
                           struct member_view **ret, size_t *ret_count);

/* A page of messages by number, ascending. before > 0: the newest `limit` with seq < before; after >= 0: the oldest
 * `limit` with seq > after; before 0 and after -1: the newest `limit`. Also tells, in the same round trip and
 * snapshot, the room as the viewer may see it. */
MUST_CHECK err message_page(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer, int64_t before,
                            int64_t after, int limit, struct room_view *ret_room, bool *ret_found,
                            struct message_view **ret, size_t *ret_count);

/* Many pages in one round trip and one snapshot, for requests that are answered together. */
struct message_page {
    struct uuid room, viewer;   /* in */
    int64_t before, after;      /* in, as for message_page */
    int limit;                  /* in */
    bool found;                 /* out: the viewer may see the room */
    struct room_view view;      /* out when found */
    struct message_view *items; /* out when found: count of them, ascending */
    size_t count;
};
MUST_CHECK err message_pages(struct pg *pg, struct arena *arena, struct message_page *pages, size_t count);

/* {id, name, kind, memberCount, lastSeq, createdAt} */
void room_json(struct json *j, const struct room_view *room);
/* {id, roomId, seq, senderId, body, postedAt, editedAt?, deletedAt?} */
void message_json(struct json *j, const struct message_view *message);
const char *room_kind_text(enum room_kind kind); /* "public", "private", "direct" */
