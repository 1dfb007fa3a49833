#include "gateway/http/tally.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "ops/runtime/mem.h"

#define NONE UINT32_MAX

struct holder {
    uint8_t key[TALLY_KEY];
    int count;
    uint32_t next; /* in its place, or of the free ones */
};

struct tally {
    pthread_mutex_t lock;
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    size_t capacity, held;
    uint32_t *places; /* twice as many as there are holders, rounded up to a power of two */
    size_t place_count;
    struct holder *holders;
    uint32_t free;
};

struct tally *tally_create(size_t capacity)
{
    struct tally *t = mem_alloc(sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    crypto_shorthash_keygen(t->hash_key);
    t->capacity = capacity;
    for (t->place_count = 1; t->place_count < 2 * capacity;)
        t->place_count *= 2;
    t->places = mem_alloc(sizeof *t->places * t->place_count);
    for (size_t i = 0; i < t->place_count; i++)
        t->places[i] = NONE;
    t->holders = mem_alloc(sizeof *t->holders * (capacity + 1));
    for (size_t i = 0; i < capacity; i++)
        t->holders[i].next = i + 1 < capacity ? (uint32_t)i + 1 : NONE;
    t->free = capacity > 0 ? 0 : NONE;
    return t;
}

void tally_destroy(struct tally *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t->places);
    free(t->holders);
    free(t);
}

/* The link that leads to the key's holder, or to the end of where it would be. */
static uint32_t *find(struct tally *t, const uint8_t key[TALLY_KEY])
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t number;
    crypto_shorthash(hash, key, TALLY_KEY, t->hash_key);
    memcpy(&number, hash, sizeof number);
    uint32_t *link = &t->places[number & (t->place_count - 1)];
    while (*link != NONE && memcmp(t->holders[*link].key, key, TALLY_KEY) != 0)
        link = &t->holders[*link].next;
    return link;
}

static bool take(struct tally *t, const uint8_t key[TALLY_KEY], int most)
{
    if (t->held == t->capacity)
        return false;
    uint32_t *link = find(t, key);
    if (*link == NONE) { /* there is a free one: each holds at least one thing */
        struct holder *holder = &t->holders[t->free];
        *link = t->free;
        t->free = holder->next;
        memcpy(holder->key, key, TALLY_KEY);
        holder->count = 0;
        holder->next = NONE;
    }
    struct holder *holder = &t->holders[*link];
    if (most > 0 && holder->count >= most)
        return false;
    holder->count++;
    t->held++;
    return true;
}

bool tally_take(struct tally *t, const uint8_t key[TALLY_KEY], int most)
{
    pthread_mutex_lock(&t->lock);
    bool taken = take(t, key, most);
    pthread_mutex_unlock(&t->lock);
    return taken;
}

void tally_give(struct tally *t, const uint8_t key[TALLY_KEY])
{
    pthread_mutex_lock(&t->lock);
    uint32_t *link = find(t, key);
    assert(*link != NONE);
    struct holder *holder = &t->holders[*link];
    t->held--;
    if (--holder->count == 0) {
        uint32_t index = *link;
        *link = holder->next;
        holder->next = t->free;
        t->free = index;
    }
    pthread_mutex_unlock(&t->lock);
}

int tally_of(struct tally *t, const uint8_t key[TALLY_KEY])
{
    pthread_mutex_lock(&t->lock);
    uint32_t at = *find(t, key);
    int count = at == NONE ? 0 : t->holders[at].count;
    pthread_mutex_unlock(&t->lock);
    return count;
}
