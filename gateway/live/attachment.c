#include "gateway/live/attachment.h"

#include <stdlib.h>

#include "gateway/live/catch_up.h"
#include "gateway/live/lane.h"
#include "gateway/live/position.h"

/* A room in which the person is or was, while it is told what lies between its position and the present. */
struct member_of {
    struct uuid room;
    bool member;
    UT_hash_handle hh;
};

static struct member_of *member_of(struct member_of **rooms, struct uuid room, bool member)
{
    struct member_of *m;
    HASH_FIND(hh, *rooms, &room, sizeof room, m);
    if (!m) {
        m = mem_alloc(sizeof *m);
        m->room = room;
        m->member = member;
        HASH_ADD(hh, *rooms, room, sizeof m->room, m);
    }
    return m;
}

static void forget(struct member_of **rooms)
{
    struct member_of *m, *next;
    HASH_ITER(hh, *rooms, m, next)
    {
        HASH_DEL(*rooms, m);
        free(m);
    }
}

static bool changes(const struct event *e, struct uuid person)
{
    return e->effect != MEMBERSHIP_STAYS && (uuid_equal(e->persons[0], person) || uuid_equal(e->persons[1], person));
}

/* Back from the snapshot to `looked`: the first change in between says what it was before. */
static struct member_of *rooms_at(const struct window *window, const struct attachment *a)
{
    struct member_of *rooms = NULL, *changed = NULL, *m;
    for (size_t i = 0; i < a->room_count; i++)
        member_of(&rooms, a->rooms[i].id, true);
    const struct event *e;
    for (uint64_t serial = a->serial; serial && (e = window_at(window, serial)); serial++) {
        if (e->offset < a->looked[e->partition] || e->offset >= a->at[e->partition] ||
            !changes(e, a->listener->claims.user_id))
            continue;
        HASH_FIND(hh, changed, &e->room, sizeof e->room, m);
        if (m)
            continue;
        member_of(&changed, e->room, true);
        member_of(&rooms, e->room, false)->member = e->effect == MEMBERSHIP_ENDS;
    }
    forget(&changed);
    return rooms;
}

/* Membership evolves from the older of two positions, the snapshot's and the client's: a client that is ahead of the
 * snapshot would else miss the changes between the two. The client's own only says what is told. */
static void begin(struct attachment *a, const struct window *window)
{
    size_t partitions = (size_t)lane_partitions(a->listener->lane);
    a->looked = mem_alloc(sizeof *a->looked * partitions);
    for (size_t i = 0; i < partitions; i++)
        a->looked[i] = a->seen && a->seen[i] < a->at[i] ? a->seen[i] : a->at[i];
    if (!a->seen) {
        a->seen = mem_alloc(sizeof *a->seen * partitions);
        memcpy(a->seen, a->at, sizeof *a->seen * partitions);
    }
    a->serial = window_find(window, a->looked);
    a->members = rooms_at(window, a);
}

static void tell_again(struct attachment *a, const struct window *window, const struct event *e)
{
    struct listener *l = a->listener;
    char id[POSITION_TEXT_SIZE(POSITION_MAX_PARTITIONS)];
    struct buf without_text = { 0 };
    a->seen[e->partition] = e->offset + 1;
    size_t len = position_format(a->seen, lane_partitions(l->lane), id);
    if (window_text_is_taken(window, e))
        event_append_without_text(e, &without_text);
    struct str json = without_text.len > 0 ? buf_view(&without_text) : event_json(e);
    lane_send(l, frame_event(l->framing, json, (struct str){ id, len }));
    buf_finish(&without_text);
}

static void look_at(struct attachment *a, const struct window *window, const struct event *e)
{
    struct uuid person = a->listener->claims.user_id;
    if (e->offset < a->looked[e->partition])
        return;
    a->looked[e->partition] = e->offset + 1;
    bool about = changes(e, person);
    struct member_of *m = member_of(&a->members, e->room, false);
    if (about && e->effect == MEMBERSHIP_BEGINS)
        m->member = true;
    if (e->offset >= a->seen[e->partition] && (m->member || (e->tells_person && uuid_equal(e->persons[0], person))))
        tell_again(a, window, e);
    if (about && e->effect == MEMBERSHIP_ENDS)
        m->member = false;
}

static void finish(struct attachment *a, const struct window *window, struct audience *audience)
{
    struct listener *l = a->listener;
    struct member_of *m, *next;
    HASH_ITER(hh, a->members, m, next)
    {
        if (m->member)
            audience_join_another(audience, l, m->room); /* it is in none yet */
    }
    lane_begin_stage(l, LISTENER_LIVE);
    if (!window_has_reached(window, a->seen)) { /* it has seen more than this gateway has */
        l->floor = a->seen;
        a->seen = NULL;
    }
    attachment_abandon(l);
}

void attachment_tell(struct listener *l, const struct window *window, struct audience *audience)
{
    struct attachment *a = l->telling;
    size_t most = lane_limits(l->lane)->max_pending_bytes;
    const struct event *e;
    if (!window_covers(window, a->looked)) {
        lane_close(l, CLOSE_TRY_AGAIN, "you read more slowly than it happens; come back with the last id");
        return;
    }
    if (a->serial == 0)
        a->serial = window_find(window, a->looked);
    for (; a->serial && (e = window_at(window, a->serial)); a->serial++) {
        if (l->pending > most)
            return; /* on when this has been sent */
        look_at(a, window, e);
    }
    /* Live from when all of it has been sent: what follows is then bounded like what everybody is told. */
    if (l->count == 0)
        finish(a, window, audience);
}

void attachment_destroy(struct attachment *a)
{
    forget(&a->members);
    lane_release(a->listener);
    free(a->looked);
    free(a->at);
    free(a->seen);
    free(a->rooms);
    free(a);
}

void attachment_abandon(struct listener *l)
{
    struct attachment *a = l->telling;
    l->telling = NULL;
    if (a)
        attachment_destroy(a);
}

static void catch_up(struct attachment *a)
{
    lane_begin_stage(a->listener, LISTENER_CATCHING);
    catch_up_by_position(a->listener, a->at, a->rooms, a->room_count, a->seen);
    a->at = a->seen = NULL;
    a->rooms = NULL;
}

bool attachment_try(struct attachment *a, const struct window *window, struct audience *audience)
{
    struct listener *l = a->listener;
    if (l->stage >= LISTENER_ENDING) {
        attachment_destroy(a);
        return true;
    }
    if (!window_has_reached(window, a->at))
        return false;
    bool too_old = !window_covers(window, a->at); /* the projection is far behind the log */
    if (!too_old && (!a->seen || window_covers(window, a->seen))) {
        begin(a, window);
        l->telling = a;
        lane_begin_stage(l, LISTENER_TELLING);
        attachment_tell(l, window, audience);
        return true;
    }
    if (too_old)
        lane_close(l, CLOSE_TRY_AGAIN, "the projection is behind; try again");
    else
        catch_up(a);
    attachment_destroy(a);
    return true;
}

struct attachment *attachment_create(struct listener *l, int64_t *at, struct feed_room *rooms, size_t room_count,
                                     int64_t *seen)
{
    struct attachment *a = mem_alloc(sizeof *a);
    *a = (struct attachment){ .listener = l, .at = at, .rooms = rooms, .room_count = room_count, .seen = seen };
    lane_hold(l);
    return a;
}
