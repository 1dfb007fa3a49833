/* loop: a libmicrohttpd daemon and the thread that drives it.
 *
 * The thread is ours because libmicrohttpd 0.9.75's own hangs: its epoll loop takes 128 events at a time and, when it
 * got exactly as many, asks again before it serves them, with the same time-out; 128 clients that all wait for their
 * answer then wait for ever. Driven from outside (MHD_run) it always asks with time-out 0.
 *
 * Driven from outside, MHD_resume_connection may in turn be missed when another thread calls it between the library's
 * look at resumed connections and its epoll_wait, which swallows the wake-up. So other threads hand the connection to
 * the loop, which resumes it itself; many that come together cost one wake-up. */
#pragma once

#include "ops/runtime/err.h"

struct loop;
struct MHD_Connection;
struct MHD_Daemon;

/* A connection on its way back; the caller's memory, left alone once the connection has been resumed. */
struct resumption {
    struct MHD_Connection *connection;
    struct resumption *next;
};

/* `daemon`: started with MHD_USE_EPOLL, without a thread of its own. On OK it is the loop's, which stops it. `most`
 * connections can wait to be taken in. */
MUST_CHECK err loop_create(struct MHD_Daemon *daemon, int most, struct loop **ret);
/* Ends the thread, then the daemon. No connection may be suspended (libmicrohttpd aborts). NULL is fine. */
void loop_destroy(struct loop *l);

/* Any thread. The loop takes the connected socket over. */
void loop_take_in(struct loop *l, int fd);
void loop_resume(struct loop *l, struct resumption *resumption);
