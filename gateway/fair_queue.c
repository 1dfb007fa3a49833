#include "gateway/fair_queue.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <uthash.h>

#include "ops/runtime/mem.h"

#define NONE UINT32_MAX

struct place {
    uint32_t next; /* of its line, or of the free ones */
};

/* Those with one key, in the order in which they came. */
struct line {
    uint64_t key; /* hashed */
    uint32_t first, last;
    struct line *next; /* whose turn is behind this one's; of the free ones */
    UT_hash_handle hh;
};

struct fair_queue {
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    size_t size, used; /* places and lines from `used` on were never taken */
    struct place *places;
    struct line *lines; /* as many as places, of which each is somebody's at most */
    uint32_t free_place;
    size_t used_lines;
    struct line *free_line;
    struct line *by_key, *first, *last; /* by turn */
};

struct fair_queue *fair_queue_create(size_t size)
{
    struct fair_queue *q = mem_alloc(sizeof *q);
    crypto_shorthash_keygen(q->hash_key);
    q->size = size;
    q->places = mem_alloc(sizeof *q->places * size);
    q->lines = mem_alloc(sizeof *q->lines * size);
    q->free_place = NONE;
    return q;
}

void fair_queue_destroy(struct fair_queue *q)
{
    if (!q)
        return;
    HASH_CLEAR(hh, q->by_key);
    free(q->places);
    free(q->lines);
    free(q);
}

static uint32_t free_place(struct fair_queue *q)
{
    uint32_t place = q->free_place;
    if (place == NONE) {
        assert(q->used < q->size);
        return (uint32_t)q->used++;
    }
    q->free_place = q->places[place].next;
    return place;
}

/* It comes behind all others. */
static void queue_line(struct fair_queue *q, struct line *line)
{
    line->next = NULL;
    if (q->last)
        q->last->next = line;
    else
        q->first = line;
    q->last = line;
}

static struct line *begin_line(struct fair_queue *q, uint64_t key)
{
    struct line *line = q->free_line;
    if (line)
        q->free_line = line->next;
    else
        line = &q->lines[q->used_lines++];
    *line = (struct line){ .key = key, .first = NONE, .last = NONE };
    HASH_ADD(hh, q->by_key, key, sizeof line->key, line);
    queue_line(q, line);
    return line;
}

size_t fair_queue_add(struct fair_queue *q, const uint8_t key[FAIR_QUEUE_KEY])
{
    uint64_t hash;
    struct line *line;
    _Static_assert(sizeof hash == crypto_shorthash_BYTES, "a hash is a number");
    crypto_shorthash((uint8_t *)&hash, key, FAIR_QUEUE_KEY, q->hash_key);
    HASH_FIND(hh, q->by_key, &hash, sizeof hash, line);
    if (!line)
        line = begin_line(q, hash);
    uint32_t place = free_place(q);
    q->places[place].next = NONE;
    if (line->last == NONE)
        line->first = place;
    else
        q->places[line->last].next = place;
    line->last = place;
    return place;
}

size_t fair_queue_next(const struct fair_queue *q)
{
    return q->first->first;
}

void fair_queue_take(struct fair_queue *q)
{
    struct line *line = q->first;
    uint32_t place = line->first;
    q->first = line->next;
    if (!q->first)
        q->last = NULL;
    line->first = q->places[place].next;
    if (line->first != NONE) {
        queue_line(q, line);
    } else {
        HASH_DEL(q->by_key, line);
        line->next = q->free_line;
        q->free_line = line;
    }
    q->places[place].next = q->free_place;
    q->free_place = place;
}
