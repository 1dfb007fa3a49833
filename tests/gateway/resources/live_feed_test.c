/* Listeners of the live feed at a lane, over socket pairs, told by a log of the test's own: who hears what, until when,
 * and how much is kept for them. There is no server: what asks PostgreSQL or Redis gets no answer. */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/gateway.h"
#include "gateway/http/json_arena.h"
#include "gateway/http/server.h"
#include "gateway/limits/rate_limits.h"
#include "gateway/live/lane.h"
#include "gateway/live/live.h"
#include "gateway/tokens/access.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"
#include "tests/settings.h"
#include "topics/topics.h"

#define PARTITIONS 2
#define BOUND      16384 /* live.max_pending_bytes */
#define PATIENCE   20000 /* ms */
#define HEAD       "HTTP/1.1 101 Switching Protocols\r\n\r\n"

static const struct setting *const tables[] = { http_settings,    gateway_settings, live_settings,
                                                access_settings,  topics_settings,  rate_limits_settings,
                                                runtime_settings, codec_settings,   NULL };

static struct config *config;
static struct gateway gateway;
static struct lane *lane;

/* --- the log --- */

static uint64_t serial, last[PARTITIONS];
static int64_t next[PARTITIONS];

static struct uuid id_of(uint8_t n)
{
    return (struct uuid){ { [0] = n, [6] = 0x70, [8] = 0x80 } };
}

/* The next one of a partition. It says {"n":"<partition>@<offset>" and `text`. */
static struct event *event_of(int32_t partition, struct uuid room, const char *text)
{
    char json[256];
    int len =
        snprintf(json, sizeof json, "{\"n\":\"%d@%lld\",\"text\":\"%s\"", partition, (long long)next[partition], text);
    struct event *e = mem_alloc(sizeof *e + (size_t)len);
    atomic_init(&e->references, 1);
    e->partition = partition;
    e->offset = next[partition]++;
    e->serial = ++serial;
    e->before = last[partition];
    last[partition] = serial;
    e->room = room;
    e->open_json_len = (size_t)len;
    memcpy(e->text, json, (size_t)len);
    return e;
}

static struct event *membership(int32_t partition, struct uuid room, struct uuid person, bool begins)
{
    struct event *e = event_of(partition, room, begins ? "joined" : "removed");
    e->effect = begins ? MEMBERSHIP_BEGINS : MEMBERSHIP_ENDS;
    e->persons[0] = person;
    return e;
}

static struct event *end_of(struct uuid person, struct uuid session)
{
    struct event *e = mem_alloc(sizeof *e);
    atomic_init(&e->references, 1);
    e->partition = -1;
    e->ends_sessions = true;
    e->persons[0] = person;
    e->session = session;
    return e;
}

static void publish_all(struct event **events, size_t count)
{
    struct batch *b = mem_alloc(sizeof *b + sizeof *b->events * count);
    atomic_init(&b->references, 1);
    b->next = memcpy(mem_alloc(sizeof next), next, sizeof next);
    b->count = count;
    for (size_t i = 0; i < count; i++)
        b->events[i] = events[i];
    lane_publish(lane, b);
    batch_release(b);
}

static void publish(struct event *e)
{
    publish_all(&e, 1);
}

/* Where the feed begins: everything before is unknown. */
static void begin_log(int64_t first, int64_t second)
{
    next[0] = first, next[1] = second;
    publish_all(NULL, 0);
}

/* --- a client --- */

struct caller {
    int fd, theirs;
    struct buf heard;
};

struct way_in {
    struct uuid person, session;
    const int64_t *at, *seen; /* PARTITIONS each; seen may be NULL */
    struct uuid rooms[4];     /* of the snapshot */
    size_t room_count;
    bool held, too_many;
    enum framing framing;
    int64_t lives_ms;
};

static struct caller arrive(struct way_in how)
{
    int pair[2];
    struct caller c = { 0 };
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    c.fd = pair[0], c.theirs = pair[1];
    struct arrival *a = mem_alloc(sizeof *a);
    size_t size = sizeof *a->at * PARTITIONS;
    *a = (struct arrival){
        .fd = pair[1],
        .framing = how.framing,
        .claims = { how.person, how.session, 1, clock_wall_ms() + (how.lives_ms ? how.lives_ms : 3600000) },
        .counted = live_opened(gateway.live, how.person, uuid_nil) && !how.too_many,
        .head = frame_raw(STR(HEAD)),
        .ready = frame_event(how.framing, STR("{\"type\":\"ready\""), (struct str){ 0 }),
        .at = memcpy(mem_alloc(size), how.at, size),
        .rooms = mem_alloc(sizeof *a->rooms * (how.room_count + 1)),
        .room_count = how.room_count,
        .seen = how.seen ? memcpy(mem_alloc(size), how.seen, size) : NULL,
        .held = how.held,
    };
    for (size_t i = 0; i < how.room_count; i++)
        a->rooms[i].id = how.rooms[i];
    lane_arrive(lane, a);
    return c;
}

/* Takes what has come; false: the other side has closed. */
static bool hear(struct caller *c, int wait_ms)
{
    char bytes[65536];
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    if (poll(&p, 1, wait_ms) <= 0)
        return true;
    ssize_t n = read(c->fd, bytes, sizeof bytes);
    if (n > 0)
        buf_append(&c->heard, bytes, (size_t)n);
    return n > 0;
}

static bool has_heard(const struct caller *c, struct str what)
{
    return c->heard.len > 0 && memmem(c->heard.ptr, c->heard.len, what.ptr, what.len);
}

static void wait_for_bytes(struct caller *c, struct str what)
{
    int64_t until_us = clock_mono_us() + PATIENCE * 1000;
    while (!has_heard(c, what)) {
        ck_assert_msg(hear(c, 100) && clock_mono_us() < until_us, "%.*s did not come; heard: %.*s", (int)what.len,
                      what.ptr, (int)c->heard.len, c->heard.ptr ? c->heard.ptr : "");
    }
}

static void wait_for(struct caller *c, const char *what)
{
    wait_for_bytes(c, str_of(what));
}

static void not_heard(const struct caller *c, const char *what)
{
    ck_assert_msg(!has_heard(c, str_of(what)), "%s was told", what);
}

/* Until the other side has closed. */
static void wait_for_end(struct caller *c)
{
    int64_t until_us = clock_mono_us() + PATIENCE * 1000;
    while (hear(c, 100))
        ck_assert_msg(clock_mono_us() < until_us, "the connection stays open");
}

/* That the last that was told is a close frame with this code; nothing follows it. */
static void wait_for_close(struct caller *c, int code)
{
    char frame[4] = { (char)0x88, 0, (char)(code >> 8), (char)code };
    int64_t until_us = clock_mono_us() + PATIENCE * 1000;
    const char *at = NULL;
    while (!at) {
        bool open = hear(c, 100);
        for (size_t i = 0; i + 4 <= c->heard.len; i++)
            if (c->heard.ptr[i] == frame[0] && memcmp(c->heard.ptr + i + 2, frame + 2, 2) == 0)
                at = c->heard.ptr + i;
        ck_assert_msg(at || (open && clock_mono_us() < until_us), "no close %d; heard: %.*s", code, (int)c->heard.len,
                      c->heard.ptr ? c->heard.ptr : "");
    }
    wait_for_end(c); /* what is behind the close has come, too */
    const char *end = at + 2 + (uint8_t)at[1];
    ck_assert_ptr_eq(end, c->heard.ptr + c->heard.len);
}

static void leave(struct caller *c)
{
    close(c->fd);
    buf_finish(&c->heard);
}

/* A frame of a client, masked with zeros. */
static size_t frame_of(enum websocket_opcode opcode, struct str payload, char *ret)
{
    size_t head = 2;
    ret[0] = (char)(0x80 | opcode);
    ret[1] = (char)(0x80 | (payload.len < 126 ? payload.len : 126));
    if (payload.len >= 126) {
        ret[2] = (char)(payload.len >> 8), ret[3] = (char)payload.len;
        head = 4;
    }
    memset(ret + head, 0, 4);
    memcpy(ret + head + 4, payload.ptr, payload.len);
    return head + 4 + payload.len;
}

static void say(struct caller *c, enum websocket_opcode opcode, const char *payload)
{
    char frame[2048];
    size_t len = frame_of(opcode, str_of(payload), frame);
    ck_assert_int_eq(write(c->fd, frame, len), (ssize_t)len);
}

/* --- before and behind each test --- */

static char dsn[128];

static void start_with(const char *setting, const char *other)
{
    json_arena_init();
    serial = 0;
    memset(last, 0, sizeof last);
    config = settings_of(tables, (const char *[]){ "postgres.dsn=host=127.0.0.1 port=1",
                                                   "redis.url=redis://127.0.0.1:1/0", "topics.partitions=2",
                                                   "limits.user_requests=1000000", "gateway.postgres_timeout_ms=2000",
                                                   "log.level=error", setting, other, NULL });
    gateway = (struct gateway){ .config = config, .metrics = metrics_create(gateway_metrics, GATEWAY_METRICS) };
    gateway.access = access_memory_create(config);
    gateway.dispatch = dispatch_create(&gateway, 16);
    ck_ok(rate_limits_create(config, gateway.metrics, &gateway.limits));
    ck_ok(pool_create(&(struct pool_options){ .name = "reads", .threads = 1, .queue = 64, .config = config },
                      &gateway.reads));
    ck_ok(live_create(&gateway, &gateway.live));
}

static void start_lane(struct lane_options o)
{
    o.live = gateway.live;
    o.partitions = PARTITIONS;
    o.window_events = o.window_events ? o.window_events : 4096;
    o.window_bytes = 1 << 24;
    o.limits.max_pending_bytes = o.limits.max_pending_bytes ? o.limits.max_pending_bytes : BOUND;
    o.limits.stall_us = o.limits.stall_us ? o.limits.stall_us : 60000000;
    o.ping_us = o.ping_us ? o.ping_us : 60000000;
    o.hold_us = o.hold_us ? o.hold_us : 60000000;
    o.recheck_us = 60000000;
    o.expiry_warning_ms = o.expiry_warning_ms ? o.expiry_warning_ms : 1000;
    ck_ok(lane_start(&o, &lane));
}

static void set_up(void)
{
    start_with("live.linger_s=1", NULL);
    start_lane((struct lane_options){ 0 });
}

static void stop(void)
{

    pool_stop(gateway.reads);
    live_stop(gateway.live); /* its thread may read for a listener of ours */
    lane_stop(lane);
    live_destroy(gateway.live);
    dispatch_destroy(gateway.dispatch);
    pool_destroy(gateway.reads);
    rate_limits_destroy(gateway.limits);
    access_memory_destroy(gateway.access);
    metrics_destroy(gateway.metrics);
    config_destroy(config);
}

static const int64_t begin[PARTITIONS] = { 0, 0 };

/* --- positions and membership --- */

START_TEST(a_member_hears_each_event_once_from_the_snapshot_on)
{
    struct uuid room = id_of(1), person = id_of(100);
    set_up();
    begin_log(0, 0);
    publish(event_of(0, room, "before"));
    publish(event_of(0, room, "behind"));
    struct caller c =
        arrive((struct way_in){ .person = person, .at = (int64_t[]){ 1, 0 }, .rooms = { room }, .room_count = 1 });
    wait_for(&c, "0@1");
    publish(event_of(1, room, "live"));
    wait_for(&c, "1@0");
    not_heard(&c, "0@0");
    ck_assert(memcmp(c.heard.ptr, HEAD, sizeof HEAD - 1) == 0);
    leave(&c);
    stop();
}
END_TEST

/* The client's position lies ahead of the snapshot: between the two somebody was removed, and somebody added. */
START_TEST(membership_evolves_from_the_older_of_two_positions)
{
    struct uuid left = id_of(1), joined = id_of(2), stays = id_of(3), person = id_of(100);
    set_up();
    begin_log(0, 0);
    publish(event_of(0, stays, "first"));
    publish(membership(0, left, person, false));
    publish(membership(0, joined, person, true));
    publish(event_of(0, stays, "last that was seen"));
    struct caller c = arrive((struct way_in){ .person = person,
                                              .at = (int64_t[]){ 1, 0 },
                                              .seen = (int64_t[]){ 4, 0 },
                                              .rooms = { left, stays },
                                              .room_count = 2 });
    publish(event_of(0, left, "for others"));
    publish(event_of(0, joined, "for the new one"));
    publish(event_of(0, stays, "for all"));
    wait_for(&c, "0@6");
    wait_for(&c, "0@5");
    not_heard(&c, "0@4");
    not_heard(&c, "0@3"); /* seen already */
    not_heard(&c, "0@1");
    leave(&c);
    stop();
}
END_TEST

/* The same in the other partition, whose position is older than the snapshot. */
START_TEST(what_was_before_the_snapshot_is_told_as_membership_was_then)
{
    struct uuid left = id_of(1), joined = id_of(2), person = id_of(100);
    set_up();
    begin_log(0, 0);
    publish(event_of(1, left, "as a member"));
    publish(event_of(1, joined, "before joining"));
    publish(membership(1, left, person, false));
    publish(membership(1, joined, person, true));
    publish(event_of(1, left, "no member any more"));
    publish(event_of(1, joined, "as a new member"));
    struct caller c = arrive((struct way_in){ .person = person,
                                              .at = (int64_t[]){ 0, 6 },
                                              .seen = (int64_t[]){ 0, 0 },
                                              .rooms = { joined },
                                              .room_count = 1 });
    wait_for(&c, "1@5");
    wait_for(&c, "1@0");
    wait_for(&c, "1@2"); /* who leaves hears of it, and who joins */
    wait_for(&c, "1@3");
    not_heard(&c, "1@1");
    not_heard(&c, "1@4");
    leave(&c);
    stop();
}
END_TEST

START_TEST(who_has_seen_more_than_this_gateway_is_told_nothing_twice)
{
    struct uuid room = id_of(1), person = id_of(100);
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){
        .person = person, .at = begin, .seen = (int64_t[]){ 2, 0 }, .rooms = { room }, .room_count = 1 });
    wait_for(&c, "ready");
    for (int i = 0; i < 3; i++)
        publish(event_of(0, room, "x"));
    wait_for(&c, "0@2");
    not_heard(&c, "0@0");
    not_heard(&c, "0@1");
    leave(&c);
    stop();
}
END_TEST

START_TEST(who_arrives_before_the_feed_has_come_to_its_snapshot_waits_for_it)
{
    struct uuid room = id_of(1), person = id_of(100);
    set_up();
    begin_log(0, 0);
    struct caller c =
        arrive((struct way_in){ .person = person, .at = (int64_t[]){ 2, 0 }, .rooms = { room }, .room_count = 1 });
    wait_for(&c, "ready");
    for (int i = 0; i < 3; i++)
        publish(event_of(0, room, "x"));
    wait_for(&c, "0@2");
    not_heard(&c, "0@0");
    not_heard(&c, "0@1");
    leave(&c);
    stop();
}
END_TEST

static size_t times(const struct caller *c, const char *what)
{
    size_t count = 0, len = strlen(what);
    const char *end = c->heard.ptr + c->heard.len;
    for (const char *at = c->heard.ptr; at && (at = memmem(at, (size_t)(end - at), what, len)); at += len)
        count++;
    return count;
}

/* Sixty times its bound lies in the window, and it does not read at first; more happens meanwhile. */
START_TEST(between_what_was_missed_and_what_happens_nothing_is_lost_or_repeated)
{
    struct uuid room = id_of(1), person = id_of(100);
    char text[201] = { 0 };
    memset(text, 'x', 200);
    set_up();
    begin_log(0, 0);
    for (int i = 0; i < 3000; i++)
        publish(event_of(i % 2, room, text));
    struct caller c = arrive((struct way_in){
        .person = person, .at = (int64_t[]){ 1500, 1500 }, .seen = begin, .rooms = { room }, .room_count = 1 });
    wait_for(&c, "\"0@1\"");
    for (int i = 0; i < 1000; i++)
        publish(event_of(i % 2, room, text));
    wait_for(&c, "\"0@1999\"");
    wait_for(&c, "\"1@1999\"");
    publish(event_of(0, room, "the end"));
    wait_for(&c, "\"0@2000\"");
    not_heard(&c, "resync");
    int told[PARTITIONS][2000] = { 0 };
    const char *end = c.heard.ptr + c.heard.len;
    for (const char *at = c.heard.ptr; (at = memmem(at, (size_t)(end - at), "\"n\":\"", 5)); at += 5) {
        int offset = atoi(at + 7);
        told[at[5] - '0'][offset < 2000 ? offset : 0] += offset < 2000;
    }
    for (int i = 0; i < 4000; i++)
        if (told[i % 2][i / 2] != 1)
            ck_abort_msg("%d@%d was told %d times", i % 2, i / 2, told[i % 2][i / 2]);
    leave(&c);
    stop();
}
END_TEST

/* A fact of the log, in partition 0. */
static struct event *event_of_rooms_fact(const struct rooms_fact *fact)
{
    struct buf scratch = { 0 };
    struct event *e = event_of_fact(fact, 0, next[0], STR("id"), &scratch);
    ck_assert_ptr_nonnull(e);
    next[0]++;
    e->serial = ++serial;
    e->before = last[0];
    last[0] = serial;
    buf_finish(&scratch);
    return e;
}

START_TEST(a_text_that_was_taken_meanwhile_is_told_no_more)
{
    const struct uuid room = id_of(1), person = id_of(100);
    struct rooms_fact posted = { .type = ROOMS_MESSAGE_POSTED }, edited = { .type = ROOMS_MESSAGE_EDITED },
                      deleted = { .type = ROOMS_MESSAGE_DELETED }, other = { .type = ROOMS_MESSAGE_POSTED };
    posted.message_posted.room_id = edited.message_edited.room_id = room;
    deleted.message_deleted.room_id = other.message_posted.room_id = room;
    posted.message_posted.seq = edited.message_edited.seq = deleted.message_deleted.seq = 7;
    other.message_posted.seq = 8;
    posted.message_posted.body.clear = STR("first \"\\\" words");
    edited.message_edited.body.clear = STR("second words");
    other.message_posted.body.clear = STR("other words");
    set_up();
    begin_log(0, 0);
    publish(event_of_rooms_fact(&posted));
    publish(event_of_rooms_fact(&edited));
    publish(event_of_rooms_fact(&other));
    publish(event_of_rooms_fact(&deleted));
    struct caller c = arrive((struct way_in){
        .person = person, .at = (int64_t[]){ 4, 0 }, .seen = begin, .rooms = { room }, .room_count = 1 });
    wait_for(&c, "message.deleted");
    not_heard(&c, "first");
    not_heard(&c, "second words");
    ck_assert(has_heard(&c, STR("other words")));
    ck_assert_uint_eq(times(&c, "\"number\":7"), 3); /* each is told all the same */
    ck_assert_uint_eq(times(&c, "\"body\":\"\","), 2);
    leave(&c);
    stop();
}
END_TEST

/* Told at every turn of the lane's second. */
static size_t owed(void)
{
    int64_t until_us = clock_mono_us() + PATIENCE * 1000;
    while (lane_owes(lane) == 0)
        ck_assert(poll(NULL, 0, 10) == 0 && clock_mono_us() < until_us);
    return lane_owes(lane);
}

START_TEST(of_what_was_missed_no_more_waits_than_may)
{
    struct uuid room = id_of(1), person = id_of(100);
    char text[201] = { 0 };
    memset(text, 'x', 200);
    set_up();
    begin_log(0, 0);
    for (int i = 0; i < 4000; i++)
        publish(event_of(0, room, text));
    struct caller c = arrive((struct way_in){
        .person = person, .at = (int64_t[]){ 4000, 0 }, .seen = begin, .rooms = { room }, .room_count = 1 });
    ck_assert_uint_le(owed(), BOUND + 1024);
    leave(&c);
    stop();
}
END_TEST

START_TEST(who_reads_more_slowly_than_the_window_moves_comes_back)
{
    struct uuid room = id_of(1), person = id_of(100);
    char text[201] = { 0 };
    memset(text, 'x', 200);
    start_with("live.linger_s=1", NULL);
    start_lane((struct lane_options){ .window_events = 2048 });
    begin_log(0, 0);
    for (int i = 0; i < 2000; i++)
        publish(event_of(0, room, text));
    struct caller c = arrive((struct way_in){
        .person = person, .at = (int64_t[]){ 2000, 0 }, .seen = begin, .rooms = { room }, .room_count = 1 });
    wait_for(&c, "\"0@1\"");
    for (int i = 0; i < 3000; i++)
        publish(event_of(0, room, text));
    struct caller other = arrive(
        (struct way_in){ .person = id_of(101), .at = (int64_t[]){ 5000, 0 }, .rooms = { room }, .room_count = 1 });
    wait_for(&other, "ready");
    wait_for_close(&c, CLOSE_TRY_AGAIN);
    not_heard(&c, "\"0@4999\"");
    leave(&other);
    leave(&c);
    stop();
}
END_TEST

/* Somebody who joins hears of it, and somebody who is removed, as the last there is of the room. */
START_TEST(membership_changes_for_who_is_live)
{
    struct uuid room = id_of(1), other = id_of(2), person = id_of(100);
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = person, .at = begin, .rooms = { other }, .room_count = 1 });
    struct caller second =
        arrive((struct way_in){ .person = person, .at = begin, .rooms = { other }, .room_count = 1 });
    wait_for(&c, "ready");
    wait_for(&second, "ready");
    publish(event_of(0, room, "before"));
    publish(membership(0, room, person, true));
    publish(event_of(0, room, "as a member"));
    publish(membership(0, room, person, false));
    publish(event_of(0, room, "behind"));
    publish(event_of(0, other, "the end"));
    for (struct caller *each = &c;; each = &second) {
        wait_for(each, "0@5");
        not_heard(each, "0@0");
        ck_assert_uint_eq(times(each, "0@1"), 1);
        ck_assert_uint_eq(times(each, "0@2"), 1);
        ck_assert_uint_eq(times(each, "0@3"), 1);
        not_heard(each, "0@4");
        if (each == &second)
            break;
    }
    leave(&second);
    leave(&c);
    stop();
}
END_TEST

static struct event *invitation(struct uuid room, struct uuid person)
{
    struct event *e = event_of(0, room, "invited");
    e->tells_person = true;
    e->persons[0] = person;
    return e;
}

START_TEST(who_is_invited_is_told_though_no_member_and_nobody_else_is)
{
    struct uuid room = id_of(1), person = id_of(100);
    set_up();
    begin_log(0, 0);
    publish(invitation(room, person));
    publish(invitation(room, id_of(101)));
    struct caller c = arrive((struct way_in){ .person = person, .at = begin });
    wait_for(&c, "0@0"); /* from the window */
    publish(invitation(room, id_of(101)));
    publish(invitation(room, person));
    wait_for(&c, "0@3"); /* as it happens */
    not_heard(&c, "0@1");
    not_heard(&c, "0@2");
    leave(&c);
    stop();
}
END_TEST

/* --- sessions --- */

/* Of these, and of no others, the feed makes the end of all sessions of the account. */
START_TEST(facts_of_an_account_that_end_its_listeners)
{
    static const int ends[] = { ACCOUNTS_ACCOUNT_SUSPENDED, ACCOUNTS_ALL_SESSIONS_ENDED, ACCOUNTS_PASSWORD_CHANGED,
                                ACCOUNTS_ROLES_SET };
    static const int stays[] = { ACCOUNTS_ACCOUNT_REGISTERED, ACCOUNTS_ACCOUNT_REINSTATED, ACCOUNTS_EMAIL_CHANGED,
                                 ACCOUNTS_PROFILE_CHANGED,    ACCOUNTS_USERNAME_CHANGED,   ACCOUNTS_PASSWORD_REHASHED };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct event *e = event_of_account(&(struct accounts_fact){ .type = ends[i] });
        ck_assert_msg(e && e->ends_sessions && uuid_is_nil(e->session), "%d", ends[i]);
        event_release(e);
    }
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++)
        ck_assert_ptr_null(event_of_account(&(struct accounts_fact){ .type = stays[i] }));
    struct sessions_fact ended = { .type = SESSIONS_SESSION_ENDED };
    ended.session_ended.user_id = id_of(1), ended.session_ended.session_id = id_of(2);
    struct event *e = event_of_session(&ended);
    ck_assert(e && e->ends_sessions && uuid_equal(e->persons[0], id_of(1)) && uuid_equal(e->session, id_of(2)));
    event_release(e);
    struct sessions_fact replayed = { .type = SESSIONS_REFRESH_TOKEN_REPLAYED };
    replayed.refresh_token_replayed.user_id = id_of(1), replayed.refresh_token_replayed.session_id = id_of(2);
    e = event_of_session(&replayed);
    ck_assert(e && e->ends_sessions && uuid_equal(e->persons[0], id_of(1)) && uuid_equal(e->session, id_of(2)));
    event_release(e);
    ck_assert_ptr_null(event_of_session(&(struct sessions_fact){ .type = SESSIONS_SESSION_REFRESHED }));
}
END_TEST

START_TEST(a_session_that_ends_ends_its_listeners_and_no_others)
{
    struct uuid room = id_of(1), person = id_of(100);
    set_up();
    begin_log(0, 0);
    struct caller ends = arrive(
        (struct way_in){ .person = person, .session = id_of(10), .at = begin, .rooms = { room }, .room_count = 1 });
    struct caller stays = arrive(
        (struct way_in){ .person = person, .session = id_of(11), .at = begin, .rooms = { room }, .room_count = 1 });
    wait_for(&ends, "ready");
    publish(end_of(person, id_of(10)));
    publish(event_of(0, room, "afterwards"));
    wait_for_close(&ends, CLOSE_SESSION_ENDED);
    not_heard(&ends, "afterwards");
    wait_for(&stays, "afterwards");
    leave(&ends);
    leave(&stays);
    stop();
}
END_TEST

START_TEST(the_end_of_all_sessions_ends_all_listeners_of_the_person)
{
    struct uuid room = id_of(1), person = id_of(100);
    set_up();
    begin_log(0, 0);
    struct caller all[3];
    for (uint8_t i = 0; i < 3; i++)
        all[i] = arrive((struct way_in){
            .person = person, .session = id_of(10 + i), .at = begin, .rooms = { room }, .room_count = 1 });
    struct caller other = arrive(
        (struct way_in){ .person = id_of(101), .session = id_of(20), .at = begin, .rooms = { room }, .room_count = 1 });
    publish(end_of(person, uuid_nil));
    publish(event_of(0, room, "afterwards"));
    for (int i = 0; i < 3; i++) {
        wait_for_close(&all[i], CLOSE_SESSION_ENDED);
        not_heard(&all[i], "afterwards");
        leave(&all[i]);
    }
    wait_for(&other, "afterwards");
    leave(&other);
    stop();
}
END_TEST

START_TEST(a_session_ends_while_its_listener_is_held)
{
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .session = id_of(10), .at = begin, .held = true });
    wait_for(&c, "ready");
    publish(end_of(id_of(100), id_of(10)));
    wait_for_close(&c, CLOSE_SESSION_ENDED);
    leave(&c);
    stop();
}
END_TEST

START_TEST(a_session_ends_while_its_listener_waits_for_the_feed)
{
    struct uuid room = id_of(1);
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){
        .person = id_of(100), .session = id_of(10), .at = (int64_t[]){ 1, 0 }, .rooms = { room }, .room_count = 1 });
    wait_for(&c, "ready");
    publish(end_of(id_of(100), id_of(10)));
    publish(event_of(0, room, "up to the snapshot"));
    publish(event_of(0, room, "behind it"));
    wait_for_close(&c, CLOSE_SESSION_ENDED);
    not_heard(&c, "behind it");
    leave(&c);
    stop();
}
END_TEST

/* It does not read, so what it is told waits; it hears nothing of that any more. */
START_TEST(a_session_ends_while_its_listener_is_told_from_the_window)
{
    struct uuid room = id_of(1);
    char text[201] = { 0 };
    memset(text, 'x', 200);
    set_up();
    begin_log(0, 0);
    for (int i = 0; i < 4000; i++)
        publish(event_of(0, room, text));
    struct caller c = arrive((struct way_in){ .person = id_of(100),
                                              .session = id_of(10),
                                              .at = (int64_t[]){ 4000, 0 },
                                              .seen = begin,
                                              .rooms = { room },
                                              .room_count = 1 });
    wait_for(&c, "\"0@1\"");
    publish(end_of(id_of(100), id_of(10)));
    wait_for_close(&c, CLOSE_SESSION_ENDED);
    not_heard(&c, "\"0@3999\"");
    leave(&c);
    stop();
}
END_TEST

/* A server that lets in and says nothing, in PostgreSQL's place. */
static int silent_server(int *ret_port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

START_TEST(a_session_ends_while_its_listener_catches_up)
{
    struct uuid room = id_of(1);
    int port, server = silent_server(&port);
    snprintf(dsn, sizeof dsn, "postgres.dsn=host=127.0.0.1 port=%d", port);
    start_with(dsn, NULL);
    start_lane((struct lane_options){ 0 });
    begin_log(10, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100),
                                              .session = id_of(10),
                                              .at = (int64_t[]){ 10, 0 },
                                              .seen = begin,
                                              .rooms = { room },
                                              .room_count = 1 });
    wait_for(&c, "ready");
    int64_t ended_us = clock_mono_us();
    publish(end_of(id_of(100), id_of(10)));
    wait_for_close(&c, CLOSE_SESSION_ENDED);
    ck_assert_int_lt(clock_mono_us() - ended_us, PATIENCE * 1000);
    leave(&c);
    close(server);
    stop();
}
END_TEST

/* The head and the end come in one go. */
START_TEST(a_session_that_ends_at_once_still_gets_the_head_of_its_answer)
{
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .session = id_of(10), .at = begin });
    publish(end_of(id_of(100), id_of(10)));
    wait_for_close(&c, CLOSE_SESSION_ENDED);
    ck_assert(memcmp(c.heard.ptr, HEAD, sizeof HEAD - 1) == 0);
    leave(&c);
    stop();
}
END_TEST

START_TEST(a_command_of_a_session_that_has_ended_is_refused_and_ends_the_connection)
{
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .session = id_of(10), .at = begin });
    wait_for(&c, "ready");
    access_remember(gateway.access, id_of(10), clock_mono_us(), ACCESS_ENDED, 0);
    say(&c, WEBSOCKET_TEXT, "{\"do\":\"typing\",\"ref\":\"mine\",\"roomId\":\"01890000-0000-7000-8000-000000000001\"}");
    wait_for_close(&c, CLOSE_SESSION_ENDED);
    ck_assert(has_heard(&c, STR("\"ref\":\"mine\",\"status\":401")) && has_heard(&c, STR("session_ended")));
    leave(&c);
    stop();
}
END_TEST

START_TEST(what_is_said_of_the_connection_itself_asks_for_the_session_too)
{
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .session = id_of(10), .at = begin, .held = true });
    wait_for(&c, "ready");
    access_remember(gateway.access, id_of(10), clock_mono_us(), ACCESS_ENDED, 0);
    say(&c, WEBSOCKET_TEXT, "{\"do\":\"resume\",\"ref\":\"mine\",\"since\":{}}");
    wait_for_close(&c, CLOSE_SESSION_ENDED);
    ck_assert(has_heard(&c, STR("session_ended")));
    leave(&c);
    stop();
}
END_TEST

START_TEST(a_listener_ends_with_its_token_having_been_warned)
{
    start_with("live.linger_s=1", NULL);
    start_lane((struct lane_options){ .expiry_warning_ms = 60000 });
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin, .lives_ms = 1500 });
    wait_for(&c, "token.expiring");
    wait_for_close(&c, CLOSE_TOKEN_EXPIRED);
    leave(&c);
    stop();
}
END_TEST

START_TEST(who_is_held_and_says_nothing_is_closed)
{
    start_with("live.linger_s=1", NULL);
    start_lane((struct lane_options){ .hold_us = 100000 });
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin, .held = true });
    wait_for_close(&c, CLOSE_RESUME_EXPECTED);
    leave(&c);
    stop();
}
END_TEST

/* --- how much is kept --- */

/* Writes the frame over and over, until the other side takes no more for a while or has taken `most`; bytes. */
static size_t flood(struct caller *c, const char *frame, size_t len, size_t most)
{
    char bytes[4096];
    size_t per = sizeof bytes / len * len, sent = 0;
    for (size_t i = 0; i < per; i += len)
        memcpy(bytes + i, frame, len);
    struct pollfd p = { .fd = c->fd, .events = POLLOUT };
    while (sent < most && poll(&p, 1, 700) > 0) {
        size_t at = sent % per;
        ssize_t n = write(c->fd, bytes + at, per - at);
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    return sent;
}

/* What may lie in the kernel's buffers, of both sides, before anything is kept by the lane. */
#define IN_BUFFERS (1 << 20)

START_TEST(who_pings_and_never_reads_is_not_read_any_more)
{
    char ping[256];
    size_t len = frame_of(WEBSOCKET_PING, STR(""), ping);
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin });
    wait_for(&c, "ready");
    size_t most = 16 << 20, sent = flood(&c, ping, len, most);
    ck_assert_uint_lt(sent, 3 * (IN_BUFFERS + BOUND)); /* a ping without a payload is three times its pong */
    ck_assert_uint_le(owed(), 2 * BOUND);
    c.heard.len = 0;
    size_t left = sent % len ? len - sent % len : 0; /* of a ping that is half written */
    size_t pongs = (sent + left) / len;
    ssize_t written = -1;
    while (left > 0 && written < 0) {
        hear(&c, 10);
        written = write(c.fd, ping + len - left, left);
    }
    int64_t until_us = clock_mono_us() + PATIENCE * 1000;
    while (times(&c, "\x8a") < pongs) /* it goes on where it stopped */
        ck_assert_msg(hear(&c, 100) && clock_mono_us() < until_us, "%zu of %zu pongs", times(&c, "\x8a"), pongs);
    leave(&c);
    stop();
}
END_TEST

START_TEST(who_sends_nonsense_and_never_reads_is_not_read_any_more)
{
    char nonsense[256];
    size_t len = frame_of(WEBSOCKET_TEXT, STR("{"), nonsense);
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin });
    wait_for(&c, "ready");
    ck_assert_uint_lt(flood(&c, nonsense, len, 16 << 20), IN_BUFFERS); /* an answer is longer than what it answers */
    ck_assert_uint_le(owed(), BOUND + LISTENER_SLICE / 7 * 512);       /* and the answers to one slice */
    leave(&c);
    stop();
}
END_TEST

START_TEST(who_listens_by_server_sent_events_is_not_read)
{
    struct uuid room = id_of(1);
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){
        .person = id_of(100), .at = begin, .rooms = { room }, .room_count = 1, .framing = FRAMING_SSE });
    wait_for(&c, "ready");
    ck_assert_uint_lt(flood(&c, "x", 1, 16 << 20), IN_BUFFERS);
    publish(event_of(0, room, "told as ever"));
    wait_for(&c, "told as ever");
    leave(&c);
    stop();
}
END_TEST

/* It reads a hundred and sixty kilobytes a second, so what waits gets less all the time, and not enough. */
START_TEST(who_owes_too_much_for_too_long_is_closed)
{
    char ping[256], bytes[16384];
    size_t len = frame_of(WEBSOCKET_PING, STR("0123456789"), ping);
    start_with("live.linger_s=1", NULL);
    start_lane((struct lane_options){ .limits = { .max_pending_bytes = 1 << 20, .stall_us = 2000000 } });
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin });
    wait_for(&c, "ready");
    flood(&c, ping, len, 16 << 20);
    int64_t until_us = clock_mono_us() + PATIENCE * 1000, began_us = clock_mono_us();
    struct pollfd p = { .fd = c.fd, .events = POLLRDHUP };
    while (poll(&p, 1, 100) == 0 || !(p.revents & (POLLRDHUP | POLLHUP)))
        ck_assert(read(c.fd, bytes, sizeof bytes) >= 0 && clock_mono_us() < until_us);
    ck_assert_int_lt(clock_mono_us() - began_us, 4000000); /* before half of it has been read */
    leave(&c);
    stop();
}
END_TEST

/* The window is full of what nobody else has read; one that is live and slow is told no more, and then to look. */
START_TEST(who_is_live_and_reads_slowly_is_told_to_look)
{
    struct uuid room = id_of(1);
    char text[201] = { 0 };
    memset(text, 'x', 200);
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin, .rooms = { room }, .room_count = 1 });
    publish(event_of(0, room, "first"));
    wait_for(&c, "first");
    for (int i = 0; i < 4000; i++)
        publish(event_of(0, room, text));
    wait_for(&c, "slow_reader");
    int64_t until_us = clock_mono_us() + PATIENCE * 1000;
    while (!has_heard(&c, STR("the end"))) { /* behind the last of those that came too fast */
        publish(event_of(0, room, "the end"));
        ck_assert(hear(&c, 100) && clock_mono_us() < until_us);
    }
    ck_assert_uint_lt(times(&c, text), 4000);
    leave(&c);
    stop();
}
END_TEST

START_TEST(frames_count_against_the_limit_of_the_person)
{
    start_with("limits.user_requests=5", "limits.user_window_s=86400");
    start_lane((struct lane_options){ 0 });
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin });
    wait_for(&c, "ready");
    for (int i = 0; i < 5; i++)
        say(&c, WEBSOCKET_PING, "x");
    say(&c, WEBSOCKET_TEXT, "{\"do\":\"authenticate\",\"ref\":\"a\",\"token\":\"x\"}");
    wait_for(&c, "\"ref\":\"a\",\"status\":429");
    say(&c, WEBSOCKET_TEXT, "{");
    wait_for(&c, "\"type\":\"reply\",\"status\":429");
    say(&c, WEBSOCKET_PING, "x");
    wait_for_close(&c, CLOSE_POLICY);
    ck_assert_uint_eq(times(&c, "\x8a\x01x"), 5);
    leave(&c);
    stop();
}
END_TEST

START_TEST(who_is_one_too_many_is_told_to_come_back)
{
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin, .too_many = true });
    wait_for_close(&c, CLOSE_TRY_AGAIN);
    leave(&c);
    stop();
}
END_TEST

START_TEST(a_listener_that_stays_silent_is_asked_and_then_gone)
{
    start_with("live.linger_s=1", NULL);
    start_lane((struct lane_options){ .ping_us = 500000 });
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin });
    struct caller sse = arrive((struct way_in){ .person = id_of(100), .at = begin, .framing = FRAMING_SSE });
    wait_for_bytes(&c, (struct str){ "\x89\x00", 2 });
    wait_for(&sse, ":\n\n");
    wait_for_end(&c);
    ck_assert(hear(&sse, 0));
    leave(&sse);
    leave(&c);
    stop();
}
END_TEST

START_TEST(a_gateway_that_stops_says_so)
{
    set_up();
    begin_log(0, 0);
    struct caller c = arrive((struct way_in){ .person = id_of(100), .at = begin });
    wait_for(&c, "ready");
    stop();
    wait_for_close(&c, CLOSE_GOING_AWAY);
    leave(&c);
}
END_TEST

static void add_positions(TCase *tests)
{
    tcase_add_test(tests, a_member_hears_each_event_once_from_the_snapshot_on);
    tcase_add_test(tests, membership_evolves_from_the_older_of_two_positions);
    tcase_add_test(tests, what_was_before_the_snapshot_is_told_as_membership_was_then);
    tcase_add_test(tests, who_has_seen_more_than_this_gateway_is_told_nothing_twice);
    tcase_add_test(tests, who_arrives_before_the_feed_has_come_to_its_snapshot_waits_for_it);
    tcase_add_test(tests, between_what_was_missed_and_what_happens_nothing_is_lost_or_repeated);
    tcase_add_test(tests, a_text_that_was_taken_meanwhile_is_told_no_more);
    tcase_add_test(tests, of_what_was_missed_no_more_waits_than_may);
    tcase_add_test(tests, membership_changes_for_who_is_live);
    tcase_add_test(tests, who_is_invited_is_told_though_no_member_and_nobody_else_is);
    tcase_add_test(tests, who_reads_more_slowly_than_the_window_moves_comes_back);
}

static void add_sessions(TCase *tests)
{
    tcase_add_test(tests, facts_of_an_account_that_end_its_listeners);
    tcase_add_test(tests, a_session_that_ends_ends_its_listeners_and_no_others);
    tcase_add_test(tests, the_end_of_all_sessions_ends_all_listeners_of_the_person);
    tcase_add_test(tests, a_session_ends_while_its_listener_is_held);
    tcase_add_test(tests, a_session_ends_while_its_listener_waits_for_the_feed);
    tcase_add_test(tests, a_session_ends_while_its_listener_is_told_from_the_window);
    tcase_add_test(tests, a_session_ends_while_its_listener_catches_up);
    tcase_add_test(tests, a_session_that_ends_at_once_still_gets_the_head_of_its_answer);
    tcase_add_test(tests, a_command_of_a_session_that_has_ended_is_refused_and_ends_the_connection);
    tcase_add_test(tests, what_is_said_of_the_connection_itself_asks_for_the_session_too);
    tcase_add_test(tests, a_listener_ends_with_its_token_having_been_warned);
    tcase_add_test(tests, who_is_held_and_says_nothing_is_closed);
}

static void add_bounds(TCase *tests)
{
    tcase_add_test(tests, who_pings_and_never_reads_is_not_read_any_more);
    tcase_add_test(tests, who_sends_nonsense_and_never_reads_is_not_read_any_more);
    tcase_add_test(tests, who_listens_by_server_sent_events_is_not_read);
    tcase_add_test(tests, who_owes_too_much_for_too_long_is_closed);
    tcase_add_test(tests, who_is_live_and_reads_slowly_is_told_to_look);
    tcase_add_test(tests, frames_count_against_the_limit_of_the_person);
    tcase_add_test(tests, who_is_one_too_many_is_told_to_come_back);
    tcase_add_test(tests, a_listener_that_stays_silent_is_asked_and_then_gone);
    tcase_add_test(tests, a_gateway_that_stops_says_so);
}

int main(void)
{
    Suite *suite = suite_create("live feed");
    log_init("test", LOG_LEVEL_ERROR); /* that there is no server is known */
    signal(SIGPIPE, SIG_IGN);
    static const struct {
        const char *name;
        void (*add)(TCase *tests);
    } cases[] = { { "positions", add_positions }, { "sessions", add_sessions }, { "bounds", add_bounds } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TCase *tests = suite_case(cases[i].name);
        cases[i].add(tests);
        suite_add_tcase(suite, tests);
    }
    return suite_run(suite);
}
