/* listener: one connection that listens to the feed: its socket, what waits to be sent, its rooms.
 *
 * Everything is done by its lane's thread. What waits to be sent is a row of references to frames, and every frame
 * counts, whatever it is (an event, a reply, a pong, what was missed), in bytes against live.max_pending_bytes:
 *   - an event that would go past the bound is dropped with all that waits; when that has been read the listener is
 *     told that it must look for itself ("resync");
 *   - what was missed is told piece by piece, the next piece when the last one has been sent;
 *   - what answers the client (replies, pongs, the commands under way) is bounded by the client: past the bound nothing
 *     is read from its socket until half of it has been sent, and for at most live.stall_s.
 * So a listener owes the bound and one piece more at most (a frame, or the answers to LISTENER_SLICE bytes of input).
 * An idle listener is this struct and one subscription a room; it has no buffers. */
#pragma once

#include "gateway/http/request.h"
#include "gateway/live/audience.h"
#include "gateway/live/event.h"

struct attachment;
struct catch_up;
struct command;
struct lane;
struct websocket;

/* Close codes of our own (RFC 6455, section 7.4.2) beside those of the RFC. */
enum close_code {
    CLOSE_GOING_AWAY = 1001,
    CLOSE_UNSUPPORTED = 1003,
    CLOSE_POLICY = 1008,
    CLOSE_TRY_AGAIN = 1013,
    CLOSE_TOKEN_EXPIRED = 4001,
    CLOSE_SESSION_ENDED = 4002,
    CLOSE_RESUME_EXPECTED = 4003,
};

enum listener_stage {
    LISTENER_HELD,     /* it says first what it has seen */
    LISTENER_CATCHING, /* it is told what it missed, from the projection */
    LISTENER_WAITING,  /* until the feed has come to its snapshot */
    LISTENER_TELLING,  /* it is told what it missed, from the window */
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
    struct uuid network;    /* client_network of who opened it, as 16 bytes */
    bool counted;           /* among those of its person and network (live.h) */
    unsigned references;    /* the lane's, and one a command under way */
    unsigned commands;      /* under way */
    size_t commands_bytes;  /* what they hold */
    struct command *asking; /* commands in order, of which the first asks whether the session lives */
    struct command **last_asking;
    size_t at; /* in the lane's row */

    struct frame **queue;             /* a ring; NULL while it is empty */
    uint32_t room, head, count, sent; /* sent: bytes of the first frame */
    size_t pending;                   /* bytes, with LISTENER_FRAME_COST for each frame */
    bool dirty, blocked, overflowed, warned, pinged;
    bool paused;                             /* nothing is read from it: it owes too much */
    int64_t progress_us, heard_us, since_us; /* of sending; of receiving; of the stage */
    int64_t paused_us;

    bool in_recheck; /* recheck.h */
    struct listener *next_recheck;
    int64_t recheck_us; /* when its session is asked for again */

    struct websocket *input; /* NULL between messages */
    struct catch_up *catch_up;
    struct attachment *telling; /* while it is told from the window */
    int64_t *floor;             /* events before it were told already; NULL: none is */

    struct subscription *rooms;
    size_t room_count, room_room;
    struct listener *next_of_person, **this_of_person;
};

#define LISTENER_FRAME_COST 32   /* bytes of memory that a frame takes besides its own */
#define LISTENER_SLICE      2048 /* bytes of input that are looked at before the bound is */

/* What a listener may have waiting, and for how long its socket may take nothing. */
struct listener_limits {
    size_t max_pending_bytes;
    int64_t stall_us;
};

/* The listener's from now on. Never refused: for what is bounded by its sender (above). */
void listener_send(struct listener *l, struct frame *frame);
/* Bytes that the listener costs: what waits, and the commands under way. */
static inline size_t listener_owes(const struct listener *l)
{
    return l->pending + l->commands_bytes;
}
/* Whether nothing may be read from it now; kept in l->paused. */
bool listener_must_pause(const struct listener *l, const struct listener_limits *limits);
/* An event, as a reference to the frame; dropped when too much waits. */
void listener_offer(struct listener *l, const struct listener_limits *limits, struct frame *frame);
/* Sends what the socket takes. false: the connection is broken. Sets blocked. */
bool listener_flush(struct listener *l);
/* Forgets what waits, but for a frame that is half sent. */
void listener_drop_queue(struct listener *l);
void listener_free(struct listener *l);
