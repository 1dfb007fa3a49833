/* listener: one connection that listens to the feed: its socket, what waits to be sent, its rooms.
 *
 * Everything is done by its lane's thread. What waits to be sent is a row of references to shared frames, in bytes at
 * most live.max_pending_bytes: a listener that reads slower than it is told is told no more until it has read what it
 * has, and then that it must look for itself ("resync"). An idle listener is this struct and one subscription a room;
 * it has no buffers. */
#pragma once

#include "gateway/http/request.h"
#include "gateway/live/audience.h"
#include "gateway/live/event.h"

struct catch_up;
struct lane;
struct websocket;

/* Close codes of our own (RFC 6455, section 7.4.2) beside those of the RFC. */
enum close_code {
    CLOSE_GOING_AWAY = 1001,
    CLOSE_UNSUPPORTED = 1003,
    CLOSE_TRY_AGAIN = 1013,
    CLOSE_TOKEN_EXPIRED = 4001,
    CLOSE_SESSION_ENDED = 4002,
    CLOSE_RESUME_EXPECTED = 4003,
    CLOSE_TOO_SLOW = 4004,
};

enum listener_stage {
    LISTENER_HELD,     /* it says first what it has seen */
    LISTENER_CATCHING, /* it is told what it missed */
    LISTENER_WAITING,  /* until the feed has come to its snapshot */
    LISTENER_LIVE,
    LISTENER_ENDING, /* the end is on its way out */
    LISTENER_GONE,
};

struct listener {
    struct lane *lane;
    int fd;
    enum framing framing;
    enum listener_stage stage;
    struct claims claims;
    unsigned references; /* the lane's, and one a command under way */
    unsigned commands;
    size_t at; /* in the lane's row */

    struct frame **queue;             /* a ring; NULL while it is empty */
    uint32_t room, head, count, sent; /* sent: bytes of the first frame */
    size_t pending;                   /* bytes */
    size_t exempt;                    /* of them what it was told of the past, which no event that follows may drop */
    bool dirty, blocked, overflowed, warned, pinged;
    int64_t progress_us, heard_us, since_us; /* of sending; of receiving; of the stage */

    struct websocket *input; /* NULL between messages */
    struct catch_up *catch_up;
    int64_t *floor; /* events before it were told already; NULL: none is */

    struct subscription *rooms;
    size_t room_count, room_room;
    struct listener *next_of_person, **this_of_person;
};

/* What a listener may have waiting, and for how long its socket may take nothing. */
struct listener_limits {
    size_t max_pending_bytes;
    int64_t stall_us;
};

/* The listener's from now on. Never refused: for what is bounded elsewhere (answers, catching up). */
void listener_send(struct listener *l, struct frame *frame);
/* What waits now is no sign of a slow reader. */
void listener_exempt(struct listener *l);
/* An event, as a reference to the frame; dropped when too much waits. */
void listener_offer(struct listener *l, const struct listener_limits *limits, struct frame *frame);
/* Sends what the socket takes. false: the connection is broken. Sets blocked. */
bool listener_flush(struct listener *l);
/* Forgets what waits, but for a frame that is half sent. */
void listener_drop_queue(struct listener *l);
void listener_free(struct listener *l);
