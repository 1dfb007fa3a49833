#include "gateway/live/recheck.h"

#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/live/lane.h"
#include "gateway/tokens/access.h"
#include "ops/runtime/clock.h"
#include "ops/runtime/log.h"

#define AT_ONCE  256
#define RETRY_US 2000000

struct recheck {
    struct request request; /* first; what the pool runs */
    struct parcel parcel;
    struct lane *lane;
    struct listener *first, **last; /* by next_recheck */
    bool under_way;
    /* of the job */
    struct listener *listeners[AT_ONCE];
    struct access items[AT_ONCE];
    size_t count;
    err outcome;
};

static void on_resumed(struct request *r);

struct recheck *recheck_create(struct lane *lane, struct gateway *g)
{
    struct recheck *c = mem_alloc(sizeof *c);
    c->request.gateway = g;
    c->request.resumed = on_resumed;
    c->lane = lane;
    c->last = &c->first;
    arena_init(&c->request.arena, 4096);
    return c;
}

static struct listener *take_first(struct recheck *c)
{
    struct listener *l = c->first;
    if (!l)
        return NULL;
    c->first = l->next_recheck;
    if (!c->first)
        c->last = &c->first;
    l->in_recheck = false;
    return l;
}

void recheck_destroy(struct recheck *c)
{
    if (!c)
        return;
    for (struct listener *l; (l = take_first(c));)
        lane_release(l);
    arena_finish(&c->request.arena);
    buf_finish(&c->request.response.body);
    free(c);
}

void recheck_add(struct recheck *c, struct listener *l)
{
    if (l->in_recheck)
        return;
    lane_hold(l);
    l->in_recheck = true;
    l->next_recheck = NULL;
    *c->last = l;
    c->last = &l->next_recheck;
}

/* On the pool's thread, which sees the items alone. */
static enum request_step ask(struct request *r, struct pool_thread *thread)
{
    struct recheck *c = (struct recheck *)r;
    c->outcome = access_ask(r->gateway, thread, c->items, c->count, NULL);
    if (c->outcome != OK)
        LOG(WARN, "sessions of listeners cannot be asked for now", F_ERR);
    return REQUEST_DONE;
}

/* It may have gone meanwhile, or have sent a token of another session. */
static void settle(struct recheck *c, struct listener *l, const struct access *found)
{
    if (l->stage >= LISTENER_ENDING || !uuid_equal(l->claims.session_id, found->session))
        return;
    if (c->outcome != OK)
        l->recheck_us = clock_mono_us() + RETRY_US;
    else if (!found->live || found->suspended)
        lane_close(l, CLOSE_SESSION_ENDED, "the session has ended");
    else
        l->claims.roles = found->roles;
}

static void take_answers(struct lane *lane, struct parcel *parcel)
{
    (void)lane;
    struct recheck *c = (struct recheck *)((char *)parcel - offsetof(struct recheck, parcel));
    c->under_way = false;
    for (size_t i = 0; i < c->count; i++) {
        settle(c, c->listeners[i], &c->items[i]);
        lane_release(c->listeners[i]);
    }
    c->count = 0;
}

static void on_resumed(struct request *r)
{
    struct recheck *c = (struct recheck *)r;
    c->parcel.take = take_answers;
    lane_put(c->lane, &c->parcel);
}

void recheck_run(struct recheck *c)
{
    struct listener *l;
    if (c->under_way || !c->first)
        return;
    while (c->count < AT_ONCE && (l = take_first(c))) {
        c->items[c->count] = (struct access){ .user = l->claims.user_id, .session = l->claims.session_id };
        c->listeners[c->count++] = l;
    }
    arena_reset(&c->request.arena);
    c->under_way = true;
    if (pool_run(c->request.gateway->reads, &c->request, ask) == REQUEST_SUSPENDED)
        return;
    c->outcome = RETRY; /* the pool is full */
    take_answers(c->lane, &c->parcel);
}
