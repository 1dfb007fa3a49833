#include "gateway/commands/waiting.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SHARDS       16
#define NONE         (-1)
#define MAX_PAUSE_US 1000000

struct slot {
    struct waiting_entry entry; /* request NULL: free */
    uint32_t generation;
    int32_t chain;      /* next in the bucket, or in the list of free slots */
    int32_t prev, next; /* the shard's slots in use */
    int64_t look_at_us; /* when the operations were looked at last; 0: never */
    int64_t pause_us;   /* before they are looked at again */
};

struct shard {
    pthread_mutex_t lock;
    struct slot *slots;
    int32_t *buckets;
    int32_t free, used; /* heads */
} __attribute__((aligned(64)));

struct waiting {
    size_t max, slots, buckets; /* of all; of each shard */
    atomic_size_t count;
    uint8_t seed[crypto_shorthash_KEYBYTES];
    struct shard shards[SHARDS];
};

struct waiting *waiting_create(size_t max)
{
    struct waiting *w = aligned_alloc(64, sizeof *w);
    if (!w)
        abort();
    memset(w, 0, sizeof *w);
    w->max = max;
    /* Commands do not fall evenly; half as many again (and some) make it unlikely that a shard fills before
     * the table. */
    w->slots = max / SHARDS + max / SHARDS / 2 + 64;
    w->buckets = 64;
    while (w->buckets < w->slots)
        w->buckets *= 2;
    randombytes_buf(w->seed, sizeof w->seed);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &w->shards[i];
        pthread_mutex_init(&s->lock, NULL);
        s->slots = mem_alloc(sizeof *s->slots * w->slots);
        s->buckets = mem_alloc(sizeof *s->buckets * w->buckets);
        for (size_t b = 0; b < w->buckets; b++)
            s->buckets[b] = NONE;
        for (size_t k = 0; k < w->slots; k++)
            s->slots[k].chain = k + 1 < w->slots ? (int32_t)k + 1 : NONE;
        s->used = NONE;
    }
    return w;
}

void waiting_destroy(struct waiting *w)
{
    if (!w)
        return;
    assert(waiting_count(w) == 0);
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_destroy(&w->shards[i].lock);
        free(w->shards[i].slots);
        free(w->shards[i].buckets);
    }
    free(w);
}

static struct shard *waiting_place(struct waiting *w, struct uuid command_id, int32_t **ret_bucket)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, command_id.bytes, sizeof command_id.bytes, w->seed);
    struct shard *s = &w->shards[hash % SHARDS];
    *ret_bucket = &s->buckets[(hash / SHARDS) % w->buckets];
    return s;
}

/* The link that points at the slot of this command: in the bucket or in the slot before it. */
static int32_t *waiting_link(struct shard *s, int32_t *bucket, struct uuid command_id)
{
    int32_t *link = bucket;
    while (*link != NONE && !uuid_equal(s->slots[*link].entry.command_id, command_id))
        link = &s->slots[*link].chain;
    return link;
}

enum waiting_added waiting_add(struct waiting *w, const struct waiting_entry *entry, waiting_ticket *ret_ticket)
{
    if (atomic_fetch_add_explicit(&w->count, 1, memory_order_relaxed) >= w->max) {
        atomic_fetch_sub_explicit(&w->count, 1, memory_order_relaxed);
        return WAITING_FULL;
    }
    enum waiting_added added = WAITING_ADDED;
    int32_t *bucket;
    struct shard *s = waiting_place(w, entry->command_id, &bucket);
    pthread_mutex_lock(&s->lock);
    if (*waiting_link(s, bucket, entry->command_id) != NONE) {
        added = WAITING_TWICE;
    } else if (s->free == NONE) {
        added = WAITING_FULL;
    } else {
        int32_t at = s->free;
        struct slot *slot = &s->slots[at];
        s->free = slot->chain;
        slot->entry = *entry;
        slot->generation++;
        slot->look_at_us = 0;
        slot->pause_us = 0;
        slot->chain = *bucket;
        *bucket = at;
        slot->prev = NONE;
        slot->next = s->used;
        if (s->used != NONE)
            s->slots[s->used].prev = at;
        s->used = at;
        size_t place = (size_t)(s - w->shards) * w->slots + (size_t)at;
        *ret_ticket = (uint64_t)slot->generation << 32 | (uint64_t)(place + 1);
    }
    pthread_mutex_unlock(&s->lock);
    if (added != WAITING_ADDED)
        atomic_fetch_sub_explicit(&w->count, 1, memory_order_relaxed);
    return added;
}

/* Under the shard's lock; `link` as from waiting_link. */
static void waiting_remove(struct waiting *w, struct shard *s, int32_t *link, struct waiting_entry *ret)
{
    int32_t at = *link;
    struct slot *slot = &s->slots[at];
    *ret = slot->entry;
    *link = slot->chain;
    if (slot->prev == NONE)
        s->used = slot->next;
    else
        s->slots[slot->prev].next = slot->next;
    if (slot->next != NONE)
        s->slots[slot->next].prev = slot->prev;
    slot->entry.request = NULL;
    slot->generation++;
    slot->chain = s->free;
    s->free = at;
    atomic_fetch_sub_explicit(&w->count, 1, memory_order_relaxed);
}

bool waiting_has(struct waiting *w, struct uuid command_id)
{
    int32_t *bucket;
    struct shard *s = waiting_place(w, command_id, &bucket);
    pthread_mutex_lock(&s->lock);
    const bool found = *waiting_link(s, bucket, command_id) != NONE;
    pthread_mutex_unlock(&s->lock);
    return found;
}

bool waiting_take(struct waiting *w, struct uuid command_id, const uint8_t unless[16], struct waiting_entry *ret)
{
    int32_t *bucket;
    struct shard *s = waiting_place(w, command_id, &bucket);
    pthread_mutex_lock(&s->lock);
    int32_t *link = waiting_link(s, bucket, command_id);
    bool found = *link != NONE && !(unless && memcmp(s->slots[*link].entry.request_hash, unless, 16) == 0);
    if (found)
        waiting_remove(w, s, link, ret);
    pthread_mutex_unlock(&s->lock);
    return found;
}

bool waiting_take_ticket(struct waiting *w, waiting_ticket ticket, bool only_async, struct waiting_entry *ret)
{
    size_t place = (uint32_t)ticket - 1;
    if (place >= SHARDS * w->slots)
        return false;
    struct shard *s = &w->shards[place / w->slots];
    struct slot *slot = &s->slots[place % w->slots];
    pthread_mutex_lock(&s->lock);
    bool found = slot->entry.request && slot->generation == (uint32_t)(ticket >> 32) &&
                 (!only_async || slot->entry.respond_async);
    if (found) {
        int32_t *bucket;
        waiting_place(w, slot->entry.command_id, &bucket);
        waiting_remove(w, s, waiting_link(s, bucket, slot->entry.command_id), ret);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

size_t waiting_take_expired(struct waiting *w, int64_t now_us, struct waiting_entry *ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < SHARDS && n < max; i++) {
        struct shard *s = &w->shards[i];
        pthread_mutex_lock(&s->lock);
        for (int32_t at = s->used; at != NONE && n < max;) {
            struct slot *slot = &s->slots[at];
            at = slot->next;
            if (slot->entry.deadline_us > now_us)
                continue;
            int32_t *bucket;
            waiting_place(w, slot->entry.command_id, &bucket);
            waiting_remove(w, s, waiting_link(s, bucket, slot->entry.command_id), &ret[n++]);
        }
        pthread_mutex_unlock(&s->lock);
    }
    return n;
}

size_t waiting_silent(struct waiting *w, int64_t now_us, int64_t first_us, struct waiting_silent *ret, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < SHARDS && n < max; i++) {
        struct shard *s = &w->shards[i];
        pthread_mutex_lock(&s->lock);
        for (int32_t at = s->used; at != NONE && n < max; at = s->slots[at].next) {
            struct slot *slot = &s->slots[at];
            bool looked = slot->look_at_us != 0;
            int64_t since = looked ? slot->look_at_us : slot->entry.added_us;
            int64_t pause = looked && slot->pause_us > first_us ? slot->pause_us : first_us;
            if (now_us - since < pause)
                continue;
            slot->look_at_us = now_us;
            slot->pause_us = pause * 3 / 2 < MAX_PAUSE_US ? pause * 3 / 2 : MAX_PAUSE_US;
            ret[n++] = (struct waiting_silent){ slot->entry.command_id, slot->entry.stream };
        }
        pthread_mutex_unlock(&s->lock);
    }
    return n;
}

size_t waiting_count(const struct waiting *w)
{
    return atomic_load_explicit(&w->count, memory_order_relaxed);
}
