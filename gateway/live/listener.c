#include "gateway/live/listener.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/live/websocket.h"
#include "ops/runtime/clock.h"

#define FRAMES_AT_ONCE 64
#define QUEUE_FIRST    8

static struct frame **place(const struct listener *l, uint32_t i)
{
    return &l->queue[(l->head + i) % l->room];
}

static size_t cost(const struct frame *frame)
{
    return frame->len + LISTENER_FRAME_COST;
}

void listener_send(struct listener *l, struct frame *frame)
{
    if (l->count == l->room) {
        uint32_t room = l->room ? l->room * 2 : QUEUE_FIRST;
        struct frame **queue = mem_alloc(sizeof *queue * room);
        for (uint32_t i = 0; i < l->count; i++)
            queue[i] = *place(l, i);
        free(l->queue);
        l->queue = queue;
        l->head = 0;
        l->room = room;
    }
    if (l->count == 0)
        l->progress_us = clock_mono_us();
    l->count++;
    *place(l, l->count - 1) = frame;
    l->pending += cost(frame);
}

bool listener_must_pause(const struct listener *l, const struct listener_limits *limits)
{
    size_t most = l->paused ? limits->max_pending_bytes / 2 : limits->max_pending_bytes;
    return listener_owes(l) > most;
}

void listener_offer(struct listener *l, const struct listener_limits *limits, struct frame *frame)
{
    if (l->overflowed)
        return;
    if (l->pending + cost(frame) > limits->max_pending_bytes && l->count > 0) {
        listener_drop_queue(l);
        l->overflowed = true;
        return;
    }
    listener_send(l, frame_share(frame));
}

static void pop(struct listener *l)
{
    struct frame *first = *place(l, 0);
    l->pending -= cost(first);
    l->head = (l->head + 1) % l->room;
    l->count--;
    l->sent = 0;
    frame_release(first);
}

void listener_drop_queue(struct listener *l)
{
    uint32_t kept = l->sent > 0 ? 1 : 0;
    while (l->count > kept) {
        struct frame *last = *place(l, --l->count);
        l->pending -= cost(last);
        frame_release(last);
    }
}

static void sent(struct listener *l, size_t bytes)
{
    while (bytes > 0) {
        size_t left = (*place(l, 0))->len - l->sent;
        if (bytes < left) {
            l->sent += (uint32_t)bytes;
            return;
        }
        bytes -= left;
        pop(l);
    }
}

bool listener_flush(struct listener *l)
{
    l->blocked = false;
    while (l->count > 0) {
        struct iovec pieces[FRAMES_AT_ONCE];
        uint32_t n = l->count < FRAMES_AT_ONCE ? l->count : FRAMES_AT_ONCE;
        size_t total = 0;
        for (uint32_t i = 0; i < n; i++) {
            struct frame *f = *place(l, i);
            size_t skip = i == 0 ? l->sent : 0;
            pieces[i] = (struct iovec){ f->bytes + skip, f->len - skip };
            total += f->len - skip;
        }
        struct msghdr message = { .msg_iov = pieces, .msg_iovlen = n };
        ssize_t taken = sendmsg(l->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken < 0 && errno == EINTR)
            continue;
        if (taken < 0 && errno != EAGAIN)
            return false;
        if (taken > 0) {
            l->progress_us = clock_mono_us();
            sent(l, (size_t)taken);
        }
        if (taken < (ssize_t)total) {
            l->blocked = true;
            return true;
        }
    }
    if (l->room > 0) { /* an idle listener has no queue */
        free(l->queue);
        l->queue = NULL;
        l->room = l->head = 0;
    }
    return true;
}

void listener_free(struct listener *l)
{
    l->sent = 0;
    if (l->queue)
        listener_drop_queue(l);
    free(l->queue);
    free(l->floor);
    websocket_destroy(l->input);
    assert(l->room_count == 0);
    free(l);
}
