#include "gateway/live/live.h"

#include <microhttpd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "consumers/messages/view_feed.h"
#include "gateway/gateway.h"
#include "gateway/http/http_check.h"
#include "gateway/http/tally.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/live/intake.h"
#include "gateway/live/lane.h"
#include "gateway/live/opening.h"
#include "gateway/live/position.h"
#include "gateway/live/tail.h"
#include "gateway/live/ticket.h"
#include "gateway/live/typing.h"
#include "gateway/resources.h"
#include "gateway/tokens/access.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "topics/topics.h"

#define LANES_MAX 64
#define WAKE_US   5000000

const struct setting live_settings[] = {
    { "live.threads", SETTING_INT, .def = "0", .min = 0, .max = LANES_MAX, .unit = "threads",
      .doc = "Threads that serve listeners; 0: one for two processors." },
    { "live.max_connections", SETTING_INT, .def = "10000", .min = 1, .max = 1000000, .unit = "connections",
      .doc = "Listeners at once; more are answered 503." },
    { "live.max_connections_person", SETTING_INT, .def = "16", .min = 0, .max = 1000000, .unit = "connections",
      .doc = "Listeners of one person at once, on one gateway; more are answered 429. 0: no limit." },
    { "live.max_connections_address", SETTING_INT, .def = "2000", .min = 0, .max = 1000000, .unit = "connections",
      .doc = "Listeners from one address (IPv6: one /64; behind configured proxies: of one client) at once; more are "
             "answered 429. A company shares one address, so this is far more than a person needs. 0: no limit." },
    { "live.max_pending_bytes", SETTING_INT, .def = "262144", .min = 4096, .max = 67108864, .unit = "bytes",
      .doc =
          "What may wait for a listener, whatever it is (events, replies, pongs, what it missed). With more events it "
          "is told to look for itself; with more that it asked for, nothing is read from it until half has been "
          "sent." },
    { "live.stall_s", SETTING_INT, .def = "30", .min = 1, .max = 3600, .unit = "s",
      .doc = "How long a listener may take to read anything, or may owe more than live.max_pending_bytes, before its "
             "connection is ended." },
    { "live.window_events", SETTING_INT, .def = "32768", .min = 64, .max = 10000000, .unit = "events",
      .doc = "The newest events, kept in memory for those who come back after a moment." },
    { "live.window_bytes", SETTING_INT, .def = "8388608", .min = 65536, .max = 17179869184, .unit = "bytes",
      .doc = "Memory for them." },
    { "live.catch_up_events", SETTING_INT, .def = "10000", .min = 1, .max = 10000000, .unit = "events",
      .doc = "What who was away for longer is told at most; with more missed it is told to look for itself." },
    { "live.ping_s", SETTING_INT, .def = "30", .min = 1, .max = 3600, .unit = "s",
      .doc = "A listener that has been silent this long is asked whether it lives; after twice as long it is gone." },
    { "live.hold_s", SETTING_INT, .def = "10", .min = 1, .max = 3600, .unit = "s",
      .doc = "How long a listener that came with ?hold=true may take to say what it has seen." },
    { "live.recheck_s", SETTING_INT, .def = "60", .min = 1, .max = 3600, .unit = "s",
      .doc = "How often a listener's session is asked for again, beside being heard to end. An end that was not heard "
             "(the log was away) counts after so long." },
    { "live.expiry_warning_s", SETTING_INT, .def = "60", .min = 1, .max = 3600, .unit = "s",
      .doc = "How long before its token expires a listener is told." },
    { "live.linger_s", SETTING_INT, .def = "60", .min = 1, .max = 86400, .unit = "s",
      .doc = "How long the log is still followed after the last listener has gone; then posting pays nothing for the "
             "feed." },
    { "live.admissions_per_s", SETTING_INT, .def = "3000", .min = 1, .max = 1000000, .unit = "connections/s",
      .doc = "The most listeners that a gateway lets in; the others of a storm of reconnects wait, addresses by turns. "
             "Fewer are let in where reading what they begin with takes the time: it takes half of it at most, so that "
             "people in hundreds of rooms do not slow posting down." },
    { "live.admission_queue", SETTING_INT, .def = "8192", .min = 1, .max = 1000000, .unit = "requests",
      .doc = "Listeners that may wait to be let in; more are answered 503." },
    { 0 },
};

struct live {
    struct gateway *gateway;
    int partitions, lane_count, max_connections, max_of_person, max_of_address;
    struct tally *persons, *addresses; /* listeners of each */
    struct intake intake;              /* the admission thread's */
    atomic_int connections;
    atomic_uint turn;
    struct typing_memory *typing;
    struct tail *tail;
    struct pool *admission, *catching; /* of a thread each: who catches up does not keep others out */
    struct lane *lanes[LANES_MAX];
};

/* --- for the lanes --- */

struct gateway *live_gateway(const struct live *live)
{
    return live->gateway;
}

enum request_step live_read(struct request *r, pool_job *job)
{
    return pool_run(r->gateway->live->catching, r, job);
}

size_t live_max_message_bytes(const struct live *live)
{
    return (size_t)config_int(live->gateway->config, "gateway.max_body_bytes") + 1024;
}

void live_closed(struct live *live, const struct listener *l)
{
    atomic_fetch_sub(&live->connections, 1);
    if (!l->counted)
        return;
    tally_give(live->persons, l->claims.user_id.bytes);
    tally_give(live->addresses, l->network.bytes);
}

bool live_opened(struct live *live, struct uuid person, struct uuid network)
{
    atomic_fetch_add(&live->connections, 1);
    if (!tally_take(live->persons, person.bytes, live->max_of_person))
        return false;
    if (tally_take(live->addresses, network.bytes, live->max_of_address))
        return true;
    tally_give(live->persons, person.bytes);
    return false;
}

void live_delivered(struct live *live, size_t count)
{
    metrics_add(live->gateway->metrics, METRIC_LIVE_DELIVERIES, (int64_t)count);
}

void live_resync(struct listener *l, const char *why, const int64_t *next)
{
    struct live *live = lane_live(l->lane);
    char id[POSITION_TEXT_SIZE(POSITION_MAX_PARTITIONS)];
    struct buf text = { 0 };
    struct json j = json_writer(&text);
    json_open(&j, '{');
    json_field_str(&j, "type", STR("resync"));
    json_field_str(&j, "reason", str_of(why));
    json_field_str(&j, "id", (struct str){ id, position_format(next, live->partitions, id) });
    lane_tell(l, buf_view(&text));
    buf_finish(&text);
    metrics_add(live->gateway->metrics, METRIC_LIVE_RESYNCS, 1);
}

void live_warn_of_expiry(struct listener *l)
{
    struct buf text = { 0 };
    struct json j = json_writer(&text);
    json_open(&j, '{');
    json_field_str(&j, "type", STR("token.expiring"));
    json_field_time(&j, "expiresAt", l->claims.expires_at);
    lane_tell(l, buf_view(&text));
    buf_finish(&text);
}

/* --- admission --- */

static struct frame *ready_frame(const struct live *live, const struct opening *o, const struct feed_person *person,
                                 const int64_t *at)
{
    char id[POSITION_TEXT_SIZE(POSITION_MAX_PARTITIONS)];
    struct str known = { 0 };
    struct buf text = { 0 };
    struct json j = json_writer(&text);
    json_open(&j, '{');
    json_field_str(&j, "type", STR("ready"));
    json_field_uuid(&j, "userId", person->user);
    json_key(&j, "rooms");
    json_open(&j, '[');
    for (size_t i = 0; i < person->count; i++) {
        json_open(&j, '{');
        json_field_uuid(&j, "roomId", person->rooms[i].id);
        json_field_int(&j, "number", person->rooms[i].last_seq);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    if (!o->seen && !o->held) /* else what comes before it is still to be told */
        known = (struct str){ id, position_format(at, live->partitions, id) };
    struct frame *frame = frame_event(o->framing, buf_view(&text), known);
    buf_finish(&text);
    return frame;
}

static void *copy(const void *from, size_t size)
{
    return from ? memcpy(mem_alloc(size + 1), from, size) : NULL;
}

static struct uuid network_of(const struct request *r)
{
    struct uuid network;
    struct address address = client_network(r->client.address);
    memcpy(network.bytes, address.bytes, sizeof network.bytes);
    return network;
}

/* On the connection's thread, when the answer would be sent. Counted here, where it begins: one of several that were
 * let in at the same moment may be too many after all. */
static void take_over(struct request *r, int fd)
{
    struct live *live = r->gateway->live;
    struct opening *o = r->state;
    struct uuid network = network_of(r);
    struct arrival *a = mem_alloc(sizeof *a);
    *a = (struct arrival){
        .fd = fd,
        .framing = o->framing,
        .claims = r->claims,
        .network = network,
        .counted = live_opened(live, r->claims.user_id, network),
        .head = frame_raw(o->head),
        .ready = ready_frame(live, o, &o->person, o->at),
        .at = copy(o->at, sizeof *o->at * (size_t)live->partitions),
        .rooms = mem_alloc(sizeof *a->rooms * (o->person.count + 1)),
        .room_count = o->person.count,
        .seen = copy(o->seen, sizeof *o->seen * (size_t)live->partitions),
        .held = o->held,
    };
    for (size_t i = 0; i < a->room_count; i++)
        a->rooms[i] = o->person.rooms[i];
    tail_want(live->tail); /* should it have been let in a minute ago */
    metrics_add(live->gateway->metrics, METRIC_LIVE_ACCEPTED, 1);
    lane_arrive(live->lanes[atomic_fetch_add(&live->turn, 1) % (unsigned)live->lane_count], a);
}

/* Fills the refusal of one that is too many; false: it is not. */
static bool is_too_many(const struct live *live, struct request *r)
{
    int of_person = live->max_of_person, of_address = live->max_of_address;
    struct uuid network = network_of(r);
    if (of_person > 0 && tally_of(live->persons, r->claims.user_id.bytes) >= of_person)
        problem(r, 429, "too_many_connections", NULL, "This account has %d listeners connected; close one.", of_person);
    else if (of_address > 0 && tally_of(live->addresses, network.bytes) >= of_address)
        problem(r, 429, "too_many_connections", NULL, "%d listeners are connected from this address.", of_address);
    else if (atomic_load(&live->connections) >= live->max_connections)
        problem(r, 503, "overloaded", NULL, "Too many listeners are connected; try another gateway, or again later.");
    else
        return false;
    response_header(r, "Retry-After", "%u", 1 + randombytes_uniform(4));
    return true;
}

static err snapshot(struct request **requests, size_t count, struct pool_thread *thread)
{
    struct live *live = requests[0]->gateway->live;
    struct feed_person *persons = ARENA_ARRAY(&thread->arena, struct feed_person, count);
    for (size_t i = 0; i < count; i++)
        persons[i].user = requests[i]->claims.user_id;
    int64_t *at = ARENA_ARRAY(&thread->arena, int64_t, live->partitions);
    TRY(feed_snapshot(thread->pg, &thread->arena, persons, count, at, live->partitions));
    for (size_t i = 0; i < count; i++) {
        /* The thread's arena ends with this batch; the request goes on. */
        struct request *r = requests[i];
        struct opening *o = r->state;
        size_t size = sizeof *at * (size_t)live->partitions;
        o->at = memcpy(arena_alloc_raw(&r->arena, size), at, size);
        o->person = persons[i];
        o->person.rooms = ARENA_ARRAY(&r->arena, struct feed_room, persons[i].count);
        memcpy(o->person.rooms, persons[i].rooms, sizeof *o->person.rooms * persons[i].count);
        r->response.status = o->framing == FRAMING_WEBSOCKET ? 101 : 200;
        r->take_over = take_over;
    }
    return OK;
}

/* Those whose tickets, sessions and numbers are in order; the others are answered. */
static size_t check(struct request **requests, size_t count, struct pool_thread *thread, struct request **ret)
{
    struct live *live = requests[0]->gateway->live;
    struct access *items = ARENA_ARRAY(&thread->arena, struct access, count);
    size_t n = 0, admitted = 0;
    for (size_t i = 0; i < count; i++) {
        struct request *r = requests[i];
        const struct opening *o = r->state;
        if (o->ticket.len > 0 && (!ticket_redeem(r, thread, o->ticket) || !rate_limits_admit(r, LIMIT_BY_USER)))
            continue;
        items[n] = (struct access){ .user = r->claims.user_id, .session = r->claims.session_id };
        ret[n++] = r;
    }
    /* In this order: a session that ends after it was asked for is heard to end. */
    err e = n > 0 ? tail_wake(live->tail, WAKE_US) : OK;
    if (e == OK && n > 0)
        e = access_ask(live->gateway, thread, items, n, NULL);
    for (size_t i = 0; i < n; i++) {
        struct request *r = ret[i];
        if (e != OK)
            problem_err(r, e);
        else if (items[i].suspended)
            access_refuse_suspended(r, items[i].suspended_until);
        else if (!items[i].live)
            problem(r, 401, "session_ended", NULL, "The session of the access token has ended.");
        else if (!is_too_many(live, r))
            ret[admitted++] = r;
    }
    return admitted;
}

static void admit(struct request **requests, size_t count, struct pool_thread *thread)
{
    intake_admit(&requests[0]->gateway->live->intake, requests, count, thread);
}

enum request_step live_open(struct request *r)
{
    struct opening *o = opening_read(r, r->gateway->live->partitions);
    if (!o)
        return REQUEST_DONE;
    if (r->head && o->ticket.len > 0)
        problem(r, 401, "invalid_ticket", "ticket", "A ticket is redeemed by GET alone.");
    else if (r->head)
        r->response.status = 200, r->response.content_type = "text/event-stream";
    if (r->head)
        return REQUEST_DONE;
    r->state = o;
    return pool_run_batched(r->gateway->live->admission, r, admit);
}

/* --- life --- */

static void publish(void *context, struct batch *b)
{
    struct live *live = context;
    metrics_add(live->gateway->metrics, METRIC_LIVE_EVENTS, (int64_t)b->count);
    for (int i = 0; i < live->lane_count; i++)
        lane_publish(live->lanes[i], b);
}

static bool anybody(void *context)
{
    struct live *live = context;
    return atomic_load_explicit(&live->connections, memory_order_relaxed) > 0;
}

int live_max_connections(const struct config *config)
{
    return (int)config_int(config, "live.max_connections");
}

static err live_fill(struct live *live)
{
    const struct config *config = live->gateway->config;
    int threads = (int)config_int(config, "live.threads");
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads == 0)
        threads = processors / 2 < 1 ? 1 : processors / 2 > LANES_MAX ? LANES_MAX : (int)(processors / 2);
    if (live->partitions > POSITION_MAX_PARTITIONS)
        return err_set(FATAL, "rooms.events has %d partitions, the live feed follows at most %d", live->partitions,
                       POSITION_MAX_PARTITIONS);
    const struct lane_options options = {
        .live = live,
        .partitions = live->partitions,
        .window_events = (size_t)config_int(config, "live.window_events"),
        .window_bytes = (size_t)config_int(config, "live.window_bytes"),
        .limits = { (size_t)config_int(config, "live.max_pending_bytes"),
                    config_int(config, "live.stall_s") * 1000000 },
        .ping_us = config_int(config, "live.ping_s") * 1000000,
        .hold_us = config_int(config, "live.hold_s") * 1000000,
        .recheck_us = config_int(config, "live.recheck_s") * 1000000,
        .expiry_warning_ms = config_int(config, "live.expiry_warning_s") * 1000,
    };
    for (; live->lane_count < threads; live->lane_count++)
        TRY(lane_start(&options, &live->lanes[live->lane_count]));
    TRY(pool_create(&(struct pool_options){ .name = "live",
                                            .threads = 1,
                                            .queue = (int)config_int(config, "live.admission_queue"),
                                            .config = config,
                                            .fair = true },
                    &live->admission));
    TRY(pool_create(
        &(struct pool_options){ .name = "catch-up", .threads = 1, .queue = live->max_connections, .config = config },
        &live->catching));
    return tail_start(
        &(struct tail_options){
            .gateway = live->gateway,
            .partitions = live->partitions,
            .linger_us = config_int(config, "live.linger_s") * 1000000,
            .context = live,
            .publish = publish,
            .anybody = anybody,
        },
        &live->tail);
}

err live_create(struct gateway *g, struct live **ret)
{
    struct live *live = mem_alloc(sizeof *live);
    live->gateway = g;
    live->typing = typing_memory_create();
    live->partitions = topic_partitions(g->config, "rooms.events");
    live->max_connections = live_max_connections(g->config);
    live->max_of_person = (int)config_int(g->config, "live.max_connections_person");
    live->max_of_address = (int)config_int(g->config, "live.max_connections_address");
    live->persons = tally_create((size_t)live->max_connections);
    live->addresses = tally_create((size_t)live->max_connections);
    live->intake = (struct intake){
        .each_us = 1000000 / config_int(g->config, "live.admissions_per_s"),
        .check = check,
        .snapshot = snapshot,
    };
    err e = live_fill(live);
    if (e != OK) {
        live_destroy(live);
        return e;
    }
    *ret = live;
    return OK;
}

struct typing_memory *live_typing_memory(struct live *live)
{
    return live->typing;
}

void live_measure(struct live *live)
{
    metrics_set(live->gateway->metrics, METRIC_LIVE_CONNECTIONS, atomic_load(&live->connections));
    size_t pending = 0;
    for (int i = 0; i < live->lane_count; i++)
        pending += lane_owes(live->lanes[i]);
    metrics_set(live->gateway->metrics, METRIC_LIVE_PENDING, (int64_t)pending);
    metrics_set(live->gateway->metrics, METRIC_LIVE_FOLLOWING, live->tail && tail_is_awake(live->tail));
}

void live_stop(struct live *live)
{
    tail_give_up(live->tail); /* the admission may wait for it */
    if (live->admission)
        pool_stop(live->admission);
    if (live->catching)
        pool_stop(live->catching);
    tail_stop(live->tail);
    live->tail = NULL;
    for (int i = 0; i < live->lane_count; i++)
        lane_stop(live->lanes[i]);
    live->lane_count = 0;
}

void live_destroy(struct live *live)
{
    if (!live)
        return;
    live_stop(live);
    pool_destroy(live->admission);
    pool_destroy(live->catching);
    typing_memory_destroy(live->typing);
    tally_destroy(live->persons);
    tally_destroy(live->addresses);
    free(live);
}
