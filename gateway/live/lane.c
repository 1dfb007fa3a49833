#include "gateway/live/lane.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/gateway.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/live/attachment.h"
#include "gateway/live/catch_up.h"
#include "gateway/live/command.h"
#include "gateway/live/live.h"
#include "gateway/live/mailbox.h"
#include "gateway/live/recheck.h"
#include "gateway/live/websocket.h"
#include "gateway/live/window.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define EVENTS_AT_ONCE 256
#define TICK_US        1000000
#define SLICES_AT_ONCE 32 /* of input, before others get their turn */
#define SOCKET_BUFFER  (64 * 1024)
#define TRIM_BYTES     (16 * 1024 * 1024) /* so much owed less than there was: the rest of a burst is given back */
#define RECHECK_SOON   2000000            /* a session that ended a moment before is known to have ended by then */
#define ENDING_US      5000000            /* for the peer to answer the close */

struct lane {
    struct lane_options options;
    pthread_t thread;
    int epoll;
    struct mailbox mailbox;
    atomic_bool stopping;

    /* the thread's own */
    struct audience audience;
    struct window *window;
    struct attachment *waiting;
    struct recheck *recheck;
    struct listener **listeners, **dirty;
    size_t count, room, dirty_count, dirty_room;
    size_t owed_at_most; /* bytes, since memory was given back last */
    atomic_size_t owed;
    int64_t now_us, tick_at_us;
    struct buf answers;    /* of wslay to a slice of input */
    struct request frames; /* counts frames that are no commands against the person's limit; no request of anybody */
    char input[LISTENER_SLICE];
};

struct batch_parcel {
    struct parcel parcel;
    struct batch *batch;
};

void lane_put(struct lane *lane, struct parcel *parcel)
{
    mailbox_put(&lane->mailbox, parcel);
}

/* --- listeners --- */

struct live *lane_live(const struct lane *lane)
{
    return lane->options.live;
}

int lane_partitions(const struct lane *lane)
{
    return lane->options.partitions;
}

const struct listener_limits *lane_limits(const struct lane *lane)
{
    return &lane->options.limits;
}

static void mark_dirty(struct listener *l)
{
    struct lane *lane = l->lane;
    if (l->dirty)
        return;
    if (lane->dirty_count == lane->dirty_room) {
        lane->dirty_room = lane->dirty_room ? lane->dirty_room * 2 : 64;
        lane->dirty = mem_resize(lane->dirty, sizeof *lane->dirty * lane->dirty_room);
    }
    l->dirty = true;
    l->references++; /* until it has been flushed */
    lane->dirty[lane->dirty_count++] = l;
}

void lane_send(struct listener *l, struct frame *frame)
{
    if (l->stage >= LISTENER_ENDING) { /* nothing follows a close frame (RFC 6455, section 5.5.1) */
        frame_release(frame);
        return;
    }
    listener_send(l, frame);
    mark_dirty(l);
}

void lane_tell(struct listener *l, struct str open_json)
{
    lane_send(l, frame_event(l->framing, open_json, (struct str){ 0 }));
}

void lane_hold(struct listener *l)
{
    l->references++;
}

void lane_release(struct listener *l)
{
    if (--l->references == 0)
        listener_free(l);
}

static void bury(struct listener *l)
{
    struct lane *lane = l->lane;
    if (l->stage == LISTENER_GONE)
        return;
    l->stage = LISTENER_GONE;
    close(l->fd); /* and with it its place in epoll */
    audience_remove(&lane->audience, l);
    attachment_abandon(l);
    catch_up_abandon(l);
    lane->listeners[l->at] = lane->listeners[--lane->count];
    lane->listeners[l->at]->at = l->at;
    live_closed(lane->options.live, l);
    lane_release(l);
}

/* Who listens by server-sent events has said everything: what else it sends stays in its kernel. */
static void watch(struct listener *l, int operation)
{
    struct epoll_event event = { .events = EPOLLRDHUP, .data.ptr = l };
    if (l->framing == FRAMING_WEBSOCKET && !l->paused)
        event.events |= EPOLLIN;
    if (l->blocked)
        event.events |= EPOLLOUT;
    epoll_ctl(l->lane->epoll, operation, l->fd, &event);
}

/* Reads from it, or not, as what it owes says. */
static void pause_or_go_on(struct listener *l)
{
    bool pause = listener_must_pause(l, &l->lane->options.limits);
    if (l->stage == LISTENER_GONE || pause == l->paused)
        return;
    l->paused = pause;
    l->paused_us = l->lane->now_us;
    watch(l, EPOLL_CTL_MOD);
}

void lane_begin_stage(struct listener *l, enum listener_stage stage)
{
    l->stage = stage;
    l->since_us = l->lane->now_us;
}

/* It hears no more, not even what its socket has not taken of what was before. */
static void silence(struct listener *l)
{
    if (!l->blocked)
        (void)listener_flush(l); /* the head of the answer may still wait; a broken socket is seen at the next one */
    if (l->blocked)
        watch(l, EPOLL_CTL_MOD);
    listener_drop_queue(l);
}

void lane_close(struct listener *l, enum close_code code, const char *reason)
{
    if (l->stage >= LISTENER_ENDING)
        return;
    audience_remove(&l->lane->audience, l);
    attachment_abandon(l);
    if (code == CLOSE_SESSION_ENDED)
        silence(l);
    if (l->framing == FRAMING_WEBSOCKET) {
        char payload[125] = { (char)(code >> 8), (char)code };
        size_t len = strlen(reason) < sizeof payload - 2 ? strlen(reason) : sizeof payload - 2;
        memcpy(payload + 2, reason, len);
        lane_send(l, frame_websocket(WEBSOCKET_CLOSE, (struct str){ payload, len + 2 }));
    } else {
        struct buf text = { 0 };
        struct json j = json_writer(&text);
        json_open(&j, '{');
        json_field_str(&j, "type", STR("closing"));
        json_field_int(&j, "code", code);
        json_field_str(&j, "reason", str_of(reason));
        lane_tell(l, buf_view(&text));
        buf_finish(&text);
    }
    lane_begin_stage(l, LISTENER_ENDING);
}

/* The close is on its way; a peer that speaks WebSocket answers it and closes. */
static void end_sending(struct listener *l)
{
    if (l->framing == FRAMING_SSE)
        bury(l);
    else
        shutdown(l->fd, SHUT_WR);
}

static void flush(struct listener *l)
{
    bool was_blocked = l->blocked;
    if (l->stage == LISTENER_GONE)
        return;
    if (!listener_flush(l)) {
        bury(l);
        return;
    }
    if (l->overflowed && l->count == 0 && l->stage == LISTENER_LIVE) {
        l->overflowed = false;
        live_resync(l, "slow_reader", window_next(l->lane->window));
        if (!listener_flush(l)) {
            bury(l);
            return;
        }
    }
    if (l->blocked != was_blocked)
        watch(l, EPOLL_CTL_MOD);
    pause_or_go_on(l);
    if (l->stage == LISTENER_CATCHING && l->count == 0)
        catch_up_next(l);
    if (l->stage == LISTENER_TELLING && l->count == 0)
        attachment_tell(l, l->lane->window, &l->lane->audience);
    if (l->stage == LISTENER_ENDING && l->count == 0)
        end_sending(l);
}

/* Those that are dirty by now. Who is told more and more of what was missed comes again in the next turn: others, and
 * what is published meanwhile, must not wait until the last of it has been sent. */
static void flush_dirty(struct lane *lane)
{
    const size_t count = lane->dirty_count;
    for (size_t i = 0; i < count; i++) {
        struct listener *l = lane->dirty[i];
        l->dirty = false;
        if (!l->blocked)
            flush(l);
        else
            pause_or_go_on(l);
        lane_release(l);
    }
    lane->dirty_count -= count;
    if (lane->dirty_count > 0)
        memmove(lane->dirty, lane->dirty + count, sizeof *lane->dirty * lane->dirty_count);
}

/* --- telling --- */

static void offer(struct listener *l, struct event *e)
{
    if (l->floor && e->partition >= 0 && e->offset < l->floor[e->partition])
        return; /* told already */
    listener_offer(l, &l->lane->options.limits, event_frame(e, l->framing));
    mark_dirty(l);
}

static void change_membership(struct lane *lane, const struct event *e, enum membership_effect effect)
{
    if (e->effect != effect)
        return;
    for (int i = 0; i < 2; i++) {
        if (uuid_is_nil(e->persons[i]))
            continue;
        for (struct listener *l = audience_person(&lane->audience, e->persons[i]); l; l = l->next_of_person) {
            if (l->stage != LISTENER_LIVE)
                continue; /* it comes to this event by itself */
            if (effect == MEMBERSHIP_BEGINS)
                audience_join(&lane->audience, l, e->room);
            else
                audience_leave(&lane->audience, l, e->room);
        }
    }
}

/* In whatever stage they are. */
static void end_sessions(struct lane *lane, const struct event *e)
{
    struct listener *next;
    for (struct listener *l = audience_person(&lane->audience, e->persons[0]); l; l = next) {
        next = l->next_of_person;
        if (uuid_is_nil(e->session) || uuid_equal(e->session, l->claims.session_id))
            lane_close(l, CLOSE_SESSION_ENDED, "the session has ended");
    }
}

/* Who joins hears of it, and so does who leaves, as the last there is. */
static void deliver(struct lane *lane, struct event *e)
{
    if (e->ends_sessions) {
        end_sessions(lane, e);
        return;
    }
    change_membership(lane, e, MEMBERSHIP_BEGINS);
    struct room_audience *room = audience_room(&lane->audience, e->room);
    if (room) {
        live_delivered(lane->options.live, room->count);
        for (size_t i = 0; i < room->count; i++)
            offer(room->members[i].listener, e);
    }
    if (e->tells_person)
        for (struct listener *l = audience_person(&lane->audience, e->persons[0]); l; l = l->next_of_person)
            if (l->stage == LISTENER_LIVE && !audience_is_in(l, e->room))
                offer(l, e);
    change_membership(lane, e, MEMBERSHIP_ENDS);
}

/* --- attaching --- */

static void attach_waiting(struct lane *lane)
{
    for (struct attachment **link = &lane->waiting; *link;) {
        struct attachment *a = *link, *next = a->next;
        if (!attachment_try(a, lane->window, &lane->audience)) {
            link = &a->next;
            continue;
        }
        *link = next;
    }
}

void lane_attach(struct listener *l, int64_t *at, struct feed_room *rooms, size_t room_count, int64_t *seen)
{
    struct attachment *a = attachment_create(l, at, rooms, room_count, seen);
    lane_begin_stage(l, LISTENER_WAITING);
    if (attachment_try(a, l->lane->window, &l->lane->audience))
        return;
    a->next = l->lane->waiting;
    l->lane->waiting = a;
}

/* --- what comes in --- */

static void take_batch(struct lane *lane, struct parcel *parcel)
{
    struct batch *b = ((struct batch_parcel *)parcel)->batch;
    for (size_t i = 0; i < b->count; i++) {
        deliver(lane, b->events[i]);
        if (b->events[i]->partition >= 0)
            window_push(lane->window, b->events[i]);
    }
    if (b->rests)
        window_clear(lane->window);
    else
        window_reached(lane->window, b->next);
    if (lane->waiting)
        attach_waiting(lane);
    batch_release(b);
    free(parcel);
}

void lane_publish(struct lane *lane, struct batch *batch)
{
    struct batch_parcel *parcel = mem_alloc(sizeof *parcel);
    parcel->parcel.take = take_batch;
    parcel->batch = batch;
    atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
    lane_put(lane, &parcel->parcel);
}

static void add_listener(struct lane *lane, struct listener *l)
{
    if (lane->count == lane->room) {
        lane->room = lane->room ? lane->room * 2 : 64;
        lane->listeners = mem_resize(lane->listeners, sizeof *lane->listeners * lane->room);
    }
    /* What the kernel keeps for it is bounded, too. */
    setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &(int){ SOCKET_BUFFER }, sizeof(int));
    setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &(int){ SOCKET_BUFFER }, sizeof(int));
    l->at = lane->count;
    lane->listeners[lane->count++] = l;
    watch(l, EPOLL_CTL_ADD);
}

/* From here on it is heard when the session ends; whether it had ended before is asked. */
static void listen_to_session(struct lane *lane, struct listener *l)
{
    audience_add_person(&lane->audience, l);
    lane_recheck(l);
}

void lane_recheck(struct listener *l)
{
    recheck_add(l->lane->recheck, l);
    l->recheck_us = l->lane->now_us + RECHECK_SOON;
}

static void take_arrival(struct lane *lane, struct parcel *parcel)
{
    struct arrival *a = (struct arrival *)parcel;
    struct listener *l = mem_alloc(sizeof *l);
    *l = (struct listener){ .lane = lane,
                            .fd = a->fd,
                            .framing = a->framing,
                            .claims = a->claims,
                            .network = a->network,
                            .counted = a->counted,
                            .references = 1,
                            .heard_us = lane->now_us,
                            .since_us = lane->now_us };
    l->last_asking = &l->asking;
    add_listener(lane, l);
    lane_send(l, a->head);
    lane_send(l, a->ready);
    listen_to_session(lane, l);
    if (!l->counted)
        lane_close(l, CLOSE_TRY_AGAIN, "too many listen, of this person, from this address or in all");
    if (l->stage >= LISTENER_ENDING) {
        free(a->at);
        free(a->rooms);
        free(a->seen);
    } else if (a->held) {
        free(a->seen);
        l->catch_up = catch_up_create(l, a->at, a->rooms, a->room_count);
    } else {
        lane_attach(l, a->at, a->rooms, a->room_count, a->seen);
    }
    free(a);
}

void lane_arrive(struct lane *lane, struct arrival *arrival)
{
    arrival->parcel.take = take_arrival;
    lane_put(lane, &arrival->parcel);
}

static void on_text(void *context, struct str message)
{
    struct listener *l = context;
    if (l->stage < LISTENER_ENDING)
        command_take(l, message);
}

static void on_binary(void *context)
{
    lane_close(context, CLOSE_UNSUPPORTED, "messages are JSON text");
}

/* A command counts as a request (command.c), any other frame here. */
static void on_frame(void *context, bool begins_text)
{
    struct listener *l = context;
    struct request *r = &l->lane->frames;
    if (begins_text || l->stage >= LISTENER_ENDING)
        return;
    r->gateway = live_gateway(l->lane->options.live);
    r->claims = l->claims;
    r->rate_count = 0;
    if (!rate_limits_admit(r, LIMIT_BY_USER))
        lane_close(l, CLOSE_POLICY, "this account sends too many frames");
}

/* Pongs and the answer to a close: one frame of ours for all that a slice of input asked for. */
static void on_answer(void *context, struct str bytes)
{
    struct listener *l = context;
    buf_str(&l->lane->answers, bytes);
}

static void take_input(struct lane *lane, struct listener *l, struct str bytes)
{
    static const struct websocket_handlers handlers = { on_frame, on_text, on_binary, on_answer };
    if (l->stage >= LISTENER_ENDING)
        return; /* there is nothing more to say */
    l->heard_us = lane->now_us;
    l->pinged = false;
    bool closed =
        websocket_take(&l->input, &handlers, l, live_max_message_bytes(lane->options.live), bytes) == WEBSOCKET_CLOSED;
    if (lane->answers.len > 0)
        lane_send(l, frame_raw(buf_view(&lane->answers)));
    buf_clear(&lane->answers);
    if (closed && l->stage < LISTENER_ENDING) {
        audience_remove(&lane->audience, l);
        lane_begin_stage(l, LISTENER_ENDING);
        mark_dirty(l);
    }
}

/* Slice by slice, since a few bytes of input can ask for a hundred times as many of output. */
static void receive(struct lane *lane, struct listener *l)
{
    ssize_t n = sizeof lane->input;
    for (int i = 0; i < SLICES_AT_ONCE && n == sizeof lane->input && !l->paused; i++) {
        n = recv(l->fd, lane->input, sizeof lane->input, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            bury(l);
            return;
        }
        if (n > 0)
            take_input(lane, l, (struct str){ lane->input, (size_t)n });
        pause_or_go_on(l);
    }
}

/* --- time --- */

static void tick_listener(struct lane *lane, struct listener *l, int64_t now_ms)
{
    const struct lane_options *o = &lane->options;
    int64_t now_us = lane->now_us;
    if ((l->count > 0 && now_us - l->progress_us > o->limits.stall_us) ||
        (l->paused && now_us - l->paused_us > o->limits.stall_us)) {
        bury(l); /* its socket takes nothing, or far too little, not even a farewell */
        return;
    }
    if (l->stage == LISTENER_ENDING) {
        if (now_us - l->since_us > ENDING_US)
            bury(l);
        return;
    }
    if (l->claims.expires_at <= now_ms) {
        lane_close(l, CLOSE_TOKEN_EXPIRED, "the token has expired");
        return;
    }
    if (!l->warned && l->claims.expires_at - now_ms <= o->expiry_warning_ms) {
        l->warned = true;
        live_warn_of_expiry(l);
    }
    if (l->stage == LISTENER_HELD && now_us - l->since_us > o->hold_us) {
        lane_close(l, CLOSE_RESUME_EXPECTED, "say what you have seen first: {\"do\":\"resume\",\"since\":{…}}");
        return;
    }
    if (now_us >= l->recheck_us) {
        recheck_add(lane->recheck, l);
        l->recheck_us = now_us + o->recheck_us;
    }
    if (now_us - l->heard_us < o->ping_us)
        return;
    if (l->framing == FRAMING_SSE) {
        l->heard_us = now_us;
        lane_send(l, frame_raw(STR(":\n\n"))); /* a comment; proxies see that it lives */
    } else if (!l->pinged) {
        l->pinged = true;
        lane_send(l, frame_websocket(WEBSOCKET_PING, (struct str){ 0 }));
    } else if (now_us - l->heard_us > 2 * o->ping_us) {
        bury(l);
    }
}

static void drop_floors(struct lane *lane, struct listener *l)
{
    if (l->floor && window_has_reached(lane->window, l->floor)) {
        free(l->floor);
        l->floor = NULL;
    }
}

/* What a burst took lies in the allocator's lists, between what is still in use; it keeps that until it is told. */
static void give_back(struct lane *lane, size_t owed)
{
    if (owed > lane->owed_at_most)
        lane->owed_at_most = owed;
    if (lane->owed_at_most - owed < TRIM_BYTES)
        return;
    malloc_trim(0);
    lane->owed_at_most = owed;
}

static void tick(struct lane *lane)
{
    int64_t now_ms = clock_wall_ms();
    size_t owed = 0;
    for (size_t i = lane->count; i > 0; i--) { /* who goes is replaced by the last one */
        struct listener *l = lane->listeners[i - 1];
        owed += listener_owes(l);
        drop_floors(lane, l);
        tick_listener(lane, l, now_ms);
    }
    atomic_store_explicit(&lane->owed, owed, memory_order_relaxed);
    give_back(lane, owed);
}

size_t lane_owes(const struct lane *lane)
{
    return atomic_load_explicit(&lane->owed, memory_order_relaxed);
}

/* --- the thread --- */

static void take_event(struct lane *lane, const struct epoll_event *event)
{
    struct listener *l = event->data.ptr;
    if (l->stage == LISTENER_GONE)
        return;
    if (event->events & EPOLLIN)
        receive(lane, l);
    else if (event->events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
        bury(l);
    if ((event->events & EPOLLOUT) && l->stage != LISTENER_GONE)
        flush(l);
}

static void take_events(struct lane *lane, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        if (!events[i].data.ptr)
            continue;
        take_event(lane, &events[i]);
        lane_release(events[i].data.ptr);
    }
}

static bool run_once(struct lane *lane)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int64_t left_us = lane->dirty_count > 0 ? 0 : lane->tick_at_us - clock_mono_us();
    int count = epoll_wait(lane->epoll, events, EVENTS_AT_ONCE, left_us > 0 ? (int)(left_us / 1000 + 1) : 0);
    bool stopping = atomic_load(&lane->stopping);
    lane->now_us = clock_mono_us();
    /* One that goes while another is dealt with must not be freed before its own event was passed over. */
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr)
            lane_hold(events[i].data.ptr);
    for (struct parcel *p = mailbox_take(&lane->mailbox), *next; p; p = next) {
        next = p->next;
        p->take(lane, p);
    }
    take_events(lane, events, count > 0 ? count : 0);
    if (lane->now_us >= lane->tick_at_us) {
        tick(lane);
        lane->tick_at_us = lane->now_us + TICK_US;
    }
    if (!stopping)
        recheck_run(lane->recheck);
    flush_dirty(lane);
    return !stopping;
}

static void *serve(void *argument)
{
    struct lane *lane = argument;
    lane->tick_at_us = clock_mono_us() + TICK_US;
    while (run_once(lane)) {
    }
    for (size_t i = lane->count; i > 0; i--)
        lane_close(lane->listeners[i - 1], CLOSE_GOING_AWAY, "this gateway stops; another one answers");
    flush_dirty(lane);
    while (lane->count > 0)
        bury(lane->listeners[lane->count - 1]);
    return NULL;
}

/* --- life --- */

err lane_start(const struct lane_options *options, struct lane **ret)
{
    struct lane *lane = mem_alloc(sizeof *lane);
    lane->options = *options;
    lane->recheck = recheck_create(lane, live_gateway(options->live));
    bool has_mailbox = mailbox_init(&lane->mailbox);
    lane->window = window_create(options->partitions, options->window_events, options->window_bytes);
    lane->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    if (!has_mailbox || lane->epoll < 0 || epoll_ctl(lane->epoll, EPOLL_CTL_ADD, lane->mailbox.fd, &event) != 0 ||
        pthread_create(&lane->thread, NULL, serve, lane) != 0) {
        lane_stop(lane);
        return err_set(FATAL, "a thread of the live feed could not be started: %m; raise the limits of threads and of "
                              "file descriptors");
    }
    pthread_setname_np(lane->thread, "live");
    *ret = lane;
    return OK;
}

void lane_stop(struct lane *lane)
{
    if (!lane)
        return;
    atomic_store(&lane->stopping, true);
    mailbox_wake(&lane->mailbox);
    if (lane->thread)
        pthread_join(lane->thread, NULL);
    for (struct parcel *p = mailbox_take(&lane->mailbox), *next; p; p = next) {
        next = p->next;
        p->take(lane, p);
    }
    while (lane->count > 0)
        bury(lane->listeners[lane->count - 1]);
    for (size_t i = 0; i < lane->dirty_count; i++)
        lane_release(lane->dirty[i]);
    while (lane->waiting) {
        struct attachment *a = lane->waiting;
        lane->waiting = a->next;
        attachment_destroy(a);
    }
    recheck_destroy(lane->recheck);
    buf_finish(&lane->answers);
    buf_finish(&lane->frames.response.body);
    window_destroy(lane->window);
    if (lane->epoll >= 0)
        close(lane->epoll);
    mailbox_finish(&lane->mailbox);
    free(lane->listeners);
    free(lane->dirty);
    free(lane);
}
