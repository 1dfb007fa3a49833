/* typing: POST /rooms/{room}/typing, a signal: appended straight to typing.signals, which every gateway's tail follows.
 * Nothing waits for it and nothing is decided; that the person is a member is looked up. A client says it with
 * every key that is pressed, so one in three seconds of a person and room is enough. */
#include <pthread.h>
#include <stdlib.h>

#include "consumers/messages/view.h"
#include "gateway/gateway.h"
#include "gateway/live/live.h"
#include "gateway/live/typing.h"
#include "gateway/resources.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define PAUSE_US 3000000
#define PLACES   4096

/* When who said it last where; two that meet in one place only say it more often. */
struct typing_memory {
    pthread_mutex_t lock;
    struct {
        uint64_t who;
        int64_t at_us;
    } places[PLACES];
};

struct typing_memory *typing_memory_create(void)
{
    struct typing_memory *m = mem_alloc(sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    return m;
}

void typing_memory_destroy(struct typing_memory *m)
{
    if (m)
        pthread_mutex_destroy(&m->lock);
    free(m);
}

static bool said_lately(struct typing_memory *said, struct uuid user, struct uuid room)
{
    uint64_t a, b;
    memcpy(&a, user.bytes + 8, sizeof a);
    memcpy(&b, room.bytes + 8, sizeof b);
    uint64_t who = a ^ (b << 1 | b >> 63);
    int64_t now_us = clock_mono_us();
    pthread_mutex_lock(&said->lock);
    bool lately = said->places[who % PLACES].who == who && now_us - said->places[who % PLACES].at_us < PAUSE_US;
    if (!lately) {
        said->places[who % PLACES].who = who;
        said->places[who % PLACES].at_us = now_us;
    }
    pthread_mutex_unlock(&said->lock);
    return lately;
}

static err append_typing(struct request *r, struct pool_thread *thread)
{
    struct typing typing = {
        .meta = { .id = uuid_v7(r->received_at),
                  .at = r->received_at,
                  .actor = r->claims.user_id,
                  .command_offset = -1,
                  .trace = str_of(r->trace) },
        .user_id = r->claims.user_id,
        .room_id = r->ids[0],
    };
    struct buf payload = { 0 };
    err e = typing_encode(thread->codec, &typing, &payload);
    if (e == OK)
        e = producer_append(r->gateway->producer, &(struct append){ .topic = "typing.signals",
                                                                    .partition = -1,
                                                                    .key = r->ids[0],
                                                                    .payload = buf_view(&payload),
                                                                    .meta = &typing.meta,
                                                                    .type = "aether.typing.Typing" });
    buf_finish(&payload);
    return e;
}

static enum request_step typing_run(struct request *r, struct pool_thread *thread)
{
    struct room_view room;
    bool member;
    err e = room_as_member(r, thread, &room, &member);
    if (e == OK && member && !said_lately(live_typing_memory(r->gateway->live), r->claims.user_id, r->ids[0]))
        e = append_typing(r, thread);
    if (e != OK)
        problem_err(r, e);
    else if (member)
        r->response.status = 204;
    return REQUEST_DONE;
}

enum request_step live_typing(struct request *r)
{
    return pool_run(r->gateway->reads, r, typing_run);
}
