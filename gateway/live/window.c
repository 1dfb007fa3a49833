#include "gateway/live/window.h"

#include <assert.h>
#include <stdlib.h>
#include <uthash.h>

struct message_key {
    struct uuid room;
    int64_t number;
};

/* A message whose deletion is in the window. */
struct taken {
    struct message_key key;
    uint64_t serial; /* of the deletion */
    UT_hash_handle hh;
};

struct window {
    int partitions;
    size_t max_events, max_bytes, bytes;
    struct place {
        struct event *event;
        size_t weight;
    } * ring;                /* max_events of them, by serial */
    uint64_t oldest, newest; /* serials; oldest > newest: empty */
    int64_t *start;          /* a partition: from here on everything is in the ring; -1: not known yet */
    int64_t *next;
    uint64_t *last; /* serial of a partition's newest event; 0: none */
    struct taken *taken;
};

struct window *window_create(int partitions, size_t max_events, size_t max_bytes)
{
    struct window *w = mem_alloc(sizeof *w);
    w->partitions = partitions;
    w->max_events = max_events;
    w->max_bytes = max_bytes;
    w->ring = mem_alloc(sizeof *w->ring * max_events);
    w->oldest = 1;
    w->start = mem_alloc(sizeof *w->start * (size_t)partitions);
    w->next = mem_alloc(sizeof *w->next * (size_t)partitions);
    w->last = mem_alloc(sizeof *w->last * (size_t)partitions);
    window_clear(w);
    return w;
}

static struct place *slot(const struct window *w, uint64_t serial)
{
    return &w->ring[serial % w->max_events];
}

/* With the frames it has when it has been told. */
static size_t weight(const struct event *e)
{
    size_t bytes = sizeof *e + e->open_json_len + e->id_len;
    for (enum framing f = 0; f < FRAMINGS; f++) {
        const struct frame *frame = atomic_load_explicit(&e->frames[f], memory_order_acquire);
        bytes += frame ? sizeof *frame + frame->len : 0;
    }
    return bytes;
}

static struct taken *taken_find(const struct window *w, const struct event *e)
{
    const struct message_key key = { e->room, e->number };
    struct taken *t;
    HASH_FIND(hh, w->taken, &key, sizeof key, t);
    return t;
}

static void take_text(struct window *w, const struct event *e)
{
    struct taken *t = taken_find(w, e);
    if (!t) {
        t = mem_alloc(sizeof *t);
        t->key = (struct message_key){ e->room, e->number };
        HASH_ADD(hh, w->taken, key, sizeof t->key, t);
    }
    t->serial = e->serial;
}

static void forget_taken(struct window *w, const struct event *e)
{
    struct taken *t = taken_find(w, e);
    if (!t || t->serial != e->serial)
        return;
    HASH_DEL(w->taken, t); /* NOLINT(clang-analyzer-core.NullDereference): it is in the table */
    free(t);
}

static void drop_oldest(struct window *w)
{
    const struct place *place = slot(w, w->oldest++);
    struct event *e = place->event;
    w->bytes -= place->weight;
    w->start[e->partition] = e->offset + 1;
    if (e->text_effect == TEXT_IS_TAKEN)
        forget_taken(w, e);
    event_release(e);
}

void window_clear(struct window *w)
{
    while (w->oldest <= w->newest)
        drop_oldest(w);
    for (int i = 0; i < w->partitions; i++) {
        w->start[i] = w->next[i] = -1;
        w->last[i] = 0;
    }
}

void window_destroy(struct window *w)
{
    if (!w)
        return;
    window_clear(w);
    free(w->ring);
    free(w->start);
    free(w->next);
    free(w->last);
    free(w);
}

void window_push(struct window *w, struct event *e)
{
    while (w->oldest <= w->newest && (w->newest - w->oldest + 1 == w->max_events || w->bytes > w->max_bytes))
        drop_oldest(w);
    if (w->oldest > w->newest) /* the first, or the first after all were dropped */
        w->oldest = e->serial;
    w->newest = e->serial;
    *slot(w, e->serial) = (struct place){ event_share(e), weight(e) };
    w->bytes += slot(w, e->serial)->weight;
    w->last[e->partition] = e->serial;
    if (e->text_effect == TEXT_IS_TAKEN)
        take_text(w, e);
    if (w->start[e->partition] < 0)
        w->start[e->partition] = e->offset;
    w->next[e->partition] = e->offset + 1;
}

void window_reached(struct window *w, const int64_t *next)
{
    for (int i = 0; i < w->partitions; i++) {
        w->next[i] = next[i];
        if (w->start[i] < 0)
            w->start[i] = next[i];
    }
}

const int64_t *window_next(const struct window *w)
{
    return w->next;
}

bool window_covers(const struct window *w, const int64_t *from)
{
    for (int i = 0; i < w->partitions; i++)
        if (w->start[i] < 0 || from[i] < w->start[i])
            return false;
    return true;
}

bool window_has_reached(const struct window *w, const int64_t *until)
{
    for (int i = 0; i < w->partitions; i++)
        if (w->next[i] < until[i])
            return false;
    return true;
}

uint64_t window_find(const struct window *w, const int64_t *from)
{
    uint64_t first = 0;
    for (int i = 0; i < w->partitions; i++) {
        if (w->next[i] <= from[i])
            continue;
        for (uint64_t serial = w->last[i]; serial >= w->oldest && serial > 0;) {
            const struct event *e = slot(w, serial)->event;
            if (e->offset < from[i])
                break;
            if (first == 0 || serial < first)
                first = serial;
            serial = e->before;
        }
    }
    return first;
}

bool window_text_is_taken(const struct window *w, const struct event *e)
{
    const struct taken *t = e->text_effect == TEXT_IS_TOLD ? taken_find(w, e) : NULL;
    return t && t->serial > e->serial;
}

const struct event *window_at(const struct window *w, uint64_t serial)
{
    return serial < w->oldest || serial > w->newest ? NULL : slot(w, serial)->event;
}
