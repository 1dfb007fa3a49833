#include "gateway/live/attachment.h"

#include <stdlib.h>

#include "gateway/live/catch_up.h"
#include "gateway/live/lane.h"
#include "gateway/live/position.h"

/* The rooms of the person while it is told what lies between `from` and `at`: at first as they were at `from`. */
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

static bool changes(const struct event *e, struct uuid person)
{
    return e->effect != MEMBERSHIP_STAYS && (uuid_equal(e->persons[0], person) || uuid_equal(e->persons[1], person));
}

/* Back from the snapshot to `from`: the first change in between says what it was before. */
static struct member_of *rooms_at(const struct window *window, const struct attachment *a, const int64_t *from,
                                  uint64_t first)
{
    struct member_of *rooms = NULL, *changed = NULL, *m, *next;
    for (size_t i = 0; i < a->room_count; i++)
        member_of(&rooms, a->rooms[i].id, true);
    const struct event *e;
    for (uint64_t serial = first; first && (e = window_at(window, serial)); serial++) {
        if (e->offset < from[e->partition] || e->offset >= a->at[e->partition] ||
            !changes(e, a->listener->claims.user_id))
            continue;
        HASH_FIND(hh, changed, &e->room, sizeof e->room, m);
        if (m)
            continue;
        member_of(&changed, e->room, true);
        member_of(&rooms, e->room, false)->member = e->effect == MEMBERSHIP_ENDS;
    }
    HASH_ITER(hh, changed, m, next)
    {
        HASH_DEL(changed, m);
        free(m);
    }
    return rooms;
}

static void tell_again(struct listener *l, const struct event *e, int64_t *position)
{
    char id[POSITION_TEXT_SIZE(POSITION_MAX_PARTITIONS)];
    position[e->partition] = e->offset + 1;
    size_t len = position_format(position, lane_partitions(l->lane), id);
    lane_send(l, frame_event(l->framing, event_json(e), (struct str){ id, len }));
}

static void attach(struct attachment *a, const struct window *window, struct audience *audience)
{
    struct listener *l = a->listener;
    int64_t *from = a->seen ? a->seen : a->at;
    uint64_t first = window_find(window, from);
    struct member_of *rooms = rooms_at(window, a, from, first), *m, *next;
    const struct event *e;
    for (uint64_t serial = first; first && (e = window_at(window, serial)); serial++) {
        if (e->offset < from[e->partition])
            continue;
        bool about = changes(e, l->claims.user_id);
        m = member_of(&rooms, e->room, false);
        if (about && e->effect == MEMBERSHIP_BEGINS)
            m->member = true;
        if (m->member || (e->tells_person && uuid_equal(e->persons[0], l->claims.user_id)))
            tell_again(l, e, from);
        if (about && e->effect == MEMBERSHIP_ENDS)
            m->member = false;
    }
    audience_add_person(audience, l);
    HASH_ITER(hh, rooms, m, next)
    {
        if (m->member)
            audience_join(audience, l, m->room);
        HASH_DEL(rooms, m);
        free(m);
    }
    lane_begin_stage(l, LISTENER_LIVE);
    listener_exempt(l);
    if (!window_has_reached(window, from)) { /* it has seen more than this gateway has */
        l->floor = mem_alloc(sizeof *from * (size_t)lane_partitions(l->lane));
        memcpy(l->floor, from, sizeof *from * (size_t)lane_partitions(l->lane));
    }
}

void attachment_free(struct attachment *a)
{
    lane_release(a->listener);
    free(a->at);
    free(a->seen);
    free(a->rooms);
    free(a);
}

bool attachment_try(struct attachment *a, const struct window *window, struct audience *audience)
{
    if (a->listener->stage >= LISTENER_ENDING)
        return true;
    if (!window_has_reached(window, a->at))
        return false;
    if (!window_covers(window, a->at)) {
        /* The snapshot is older than the window: the projection is far behind the log. */
        lane_close(a->listener, CLOSE_TRY_AGAIN, "the projection is behind; try again");
        return true;
    }
    if (a->seen && !window_covers(window, a->seen)) {
        lane_begin_stage(a->listener, LISTENER_CATCHING);
        catch_up_by_position(a->listener, a->at, a->rooms, a->room_count, a->seen);
        a->at = a->seen = NULL;
        a->rooms = NULL;
        return true;
    }
    attach(a, window, audience);
    return true;
}
