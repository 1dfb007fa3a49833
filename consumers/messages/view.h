/* messages/view: the queries over the messages worker's projection, and how its resources look as JSON. All strings
 * live in the arena. RETRY: PostgreSQL is away. */
#pragma once

#include "ops/runtime/json.h"
#include "ops/runtime/pg.h"
#include "schemas/rooms.gen.h"

struct message_view {
    struct uuid id, room_id, sender_id;
    int64_t seq, posted_at;
    int64_t edited_at, deleted_at, pinned_at; /* 0: never */
    struct str body;                          /* empty when erased or deleted */
    int32_t version;                          /* 2 after the first edit */
    int64_t reply_to, thread, reply_count;    /* 0: none */
    const struct uuid *mentions;
    size_t mention_count;
    bool mentions_room;
    struct uuid forwarded_room, forwarded_message, forwarded_sender; /* nil: not forwarded */
    struct str reactions;                                            /* JSON; empty: none */
};

struct room_view {
    struct uuid id;
    struct str name, description, topic; /* empty when there is none, or erased */
    enum room_kind kind;
    int64_t member_count, last_seq, created_at;
    int64_t position; /* offset of the newest fact in this row: the version the cache compares */
    int64_t version;  /* of what admins change: the ETag */
    int64_t slow_mode_s, time_to_live_s, archived_at; /* 0: none, for ever, never */
    struct uuid peer_id;                              /* direct rooms: the other one than who asks; else nil */

    bool is_member; /* the person who asks, and of a member: */
    enum member_role role;
    bool has_unread; /* the query counted: */
    int64_t unread;
    struct message_view last; /* seq 0: there is none */
    int64_t mark;             /* offset of one's read mark, where room_list_own asked for it; -1: none */
};

struct member_view {
    struct uuid user_id;
    const char *role; /* "owner", "admin", "member", "readOnly" */
    int64_t joined_at;
};

/* --- rooms (view.c) --- */

/* What `viewer` may see: a private room of others is not found. */
MUST_CHECK err room_find(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer,
                         struct room_view *ret, bool *ret_found);

/* The same, with the unread count and the last message where the viewer is a member. */
MUST_CHECK err room_find_unread(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer,
                                struct room_view *ret, bool *ret_found);

enum room_scope { ROOM_SCOPE_VISIBLE, ROOM_SCOPE_PUBLIC };
/* Newest first by id (UUIDv7), ids smaller than `before` (nil: from the newest). At most `limit` rows. */
MUST_CHECK err room_list(struct pg *pg, struct arena *arena, struct uuid viewer, enum room_scope scope,
                         struct uuid before, int limit, struct room_view **ret, size_t *ret_count);

/* One's own rooms, in the same order, many lists in one round trip. A line says which room and how it was come by: what
 * a person is shown of a room changes with a fact of the room or with their read mark there, and with nothing else but
 * the erasure of somebody. So a room of the same line looks as it did. */
struct room_line {
    struct uuid room;
    int64_t position, mark; /* as in room_view */
};
struct room_lines {
    struct uuid viewer, before; /* in */
    int limit;                  /* in */
    struct room_line *lines;    /* out: count of them */
    size_t count;
};
MUST_CHECK err room_lines(struct pg *pg, struct arena *arena, struct room_lines *lists, size_t count);

/* Those of these rooms that the viewer is a member of, in the same order, with unread counts, last messages
 * and marks. */
MUST_CHECK err room_list_own(struct pg *pg, struct arena *arena, struct uuid viewer, const struct uuid *ids,
                             size_t count, struct room_view **ret, size_t *ret_count);

/* Members in order of user id, ids greater than `after`. The caller has checked that the viewer may look. */
MUST_CHECK err member_list(struct pg *pg, struct arena *arena, struct uuid room, struct uuid after, int limit,
                           struct member_view **ret, size_t *ret_count);

/* Those of these people who are members, in no order; *ret has room for all. */
MUST_CHECK err members_among(struct pg *pg, struct arena *arena, struct uuid room, const struct uuid *ids, size_t count,
                             struct uuid *ret, size_t *ret_count);

struct invitation_view {
    struct uuid room_id, user_id, invited_by;
    int64_t invited_at;
};
/* Of a person, in order of room ids after `after`; or of a room, in order of user ids. */
MUST_CHECK err invitations_of_user(struct pg *pg, struct arena *arena, struct uuid user, struct uuid after, int limit,
                                   struct invitation_view **ret, size_t *ret_count);
MUST_CHECK err invitations_of_room(struct pg *pg, struct arena *arena, struct uuid room, struct uuid after, int limit,
                                   struct invitation_view **ret, size_t *ret_count);

struct ban_view {
    struct uuid user_id, banned_by;
    int64_t banned_at, until; /* until 0: without end */
    struct str reason;
};
MUST_CHECK err ban_list(struct pg *pg, struct arena *arena, struct uuid room, struct uuid after, int limit,
                        struct ban_view **ret, size_t *ret_count);

/* Who has read how far: of at most 50 members, in order of user id. */
struct read_view {
    struct uuid user_id;
    int64_t seq;
};
MUST_CHECK err read_list(struct pg *pg, struct arena *arena, struct uuid room, struct read_view **ret,
                         size_t *ret_count);

/* --- messages (view_messages.c) --- */

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

/* By its id alone. Whether the viewer may see it, the caller asks of its room. */
MUST_CHECK err message_find(struct pg *pg, struct arena *arena, struct uuid message, struct message_view *ret,
                            bool *ret_found);

/* The answers of a thread by number, after `after`; the pinned messages by number, before `before`. */
MUST_CHECK err thread_list(struct pg *pg, struct arena *arena, struct uuid room, int64_t thread, int64_t after,
                           int limit, struct message_view **ret, size_t *ret_count);
MUST_CHECK err pin_list(struct pg *pg, struct arena *arena, struct uuid room, int64_t before, int limit,
                        struct message_view **ret, size_t *ret_count);

/* As the room was after the fact at `position` (-1: at `time`, Unix ms): messages posted by then, `limit` of them
 * before number `before` (0: the newest). The sender, and who `moderates`, is shown the texts of then, also of what was
 * deleted since; everybody else, and of what has expired everybody, what is there now. No reactions and pins. A few
 * dozen rows are read on the way, however many lie between then and now. */
MUST_CHECK err message_page_as_of(struct pg *pg, struct arena *arena, struct uuid room, struct uuid viewer,
                                  bool moderates, int64_t position, int64_t time, int64_t before, int limit,
                                  struct message_view **ret, size_t *ret_count);

struct version_view {
    int32_t version;
    int64_t at;
    struct str body; /* empty when erased */
};
/* The texts of a message that was edited or deleted, by version, after `after`; none of one that was not, or has
 * expired. */
MUST_CHECK err version_list(struct pg *pg, struct arena *arena, struct uuid room, int64_t seq, int64_t after, int limit,
                            struct version_view **ret, size_t *ret_count);

struct scheduled_view {
    struct uuid message_id, room_id;
    int64_t send_at, scheduled_at, reply_to;
    int64_t withheld_at; /* 0: it waits for its time */
    struct str body;
};
/* Of one sender, in order of message ids after `after`. */
MUST_CHECK err scheduled_list(struct pg *pg, struct arena *arena, struct uuid sender, struct uuid after, int limit,
                              struct scheduled_view **ret, size_t *ret_count);
/* How many of a sender's wait for their time in other rooms than this one. */
MUST_CHECK err scheduled_elsewhere(struct pg *pg, struct arena *arena, struct uuid sender, struct uuid room,
                                   int64_t *ret);

MUST_CHECK err scheduled_find(struct pg *pg, struct arena *arena, struct uuid sender, struct uuid message,
                              struct scheduled_view *ret, bool *ret_found);

/* What a fact that was just decided looks like. */
void message_view_posted(struct message_view *ret, const struct message_posted *posted, struct str body);

/* --- JSON --- */

/* {id, name, kind, memberCount, lastSeq, createdAt} and, where there is one, description, topic, slowModeSeconds,
 * timeToLiveSeconds, archivedAt, peerId; for a member whose unread messages were counted also role, unreadCount and
 * lastMessage. */
void room_json(struct json *j, const struct room_view *room);
/* {id, roomId, seq, senderId, body, postedAt} and, where there is one, editedAt, version, deletedAt, pinnedAt, replyTo,
 * thread, replyCount, mentions, mentionsRoom, forwarded, reactions */
void message_json(struct json *j, const struct message_view *message);
const char *room_kind_text(enum room_kind kind);     /* "public", "private", "direct" */
const char *member_role_text(enum member_role role); /* "owner", "admin", "member", "readOnly" */
