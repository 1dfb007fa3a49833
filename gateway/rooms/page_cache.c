#include "gateway/rooms/page_cache.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#define LIFE_US      60000000
#define LARGEST_PART 8   /* a page larger than an eighth of the ring is not kept */
#define BUCKET       4   /* slots that a key may be in */
#define SLOT_BYTES   512 /* of the ring, for each slot of the index */

struct page {
    struct page_key key;
    int64_t ends_us;
    size_t len; /* bytes of text behind this */
};

/* Positions count every byte ever written; a page at position p is still whole while written - p <= size. */
struct page_cache {
    pthread_mutex_t lock;
    size_t size, buckets;
    uint64_t written;
    uint64_t *index; /* buckets by key's hash: position + 1 of the page; 0: none. A page takes the oldest one's slot. */
    char *ring;
    uint8_t seed[crypto_shorthash_KEYBYTES];
};

struct page_cache *page_cache_create(size_t bytes)
{
    struct page_cache *c = mem_alloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    randombytes_buf(c->seed, sizeof c->seed);
    c->size = bytes & ~(size_t)15;
    c->buckets = c->size / (BUCKET * SLOT_BYTES) + 1;
    c->index = mem_alloc(sizeof *c->index * BUCKET * c->buckets);
    c->ring = c->size > 0 ? malloc(c->size) : NULL; /* not zeroed: pages that were never used cost no memory */
    if (c->size > 0 && !c->ring)
        abort();
    return c;
}

void page_cache_destroy(struct page_cache *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->index);
    free(c->ring);
    free(c);
}

static uint64_t *page_bucket(struct page_cache *c, const struct page_key *key)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)key, sizeof *key, c->seed);
    return &c->index[hash % c->buckets * BUCKET];
}

bool page_cache_get(struct page_cache *c, const struct page_key *key, int64_t now_us, struct buf *out)
{
    if (c->size == 0)
        return false;
    const uint64_t *bucket = page_bucket(c, key);
    const struct page *found = NULL;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < BUCKET && !found; i++) {
        if (bucket[i] == 0 || c->written - (bucket[i] - 1) > c->size)
            continue;
        const struct page *page = (const struct page *)(c->ring + (bucket[i] - 1) % c->size);
        if (page->ends_us > now_us && memcmp(&page->key, key, sizeof *key) == 0)
            found = page;
    }
    if (found)
        buf_append(out, found + 1, found->len);
    pthread_mutex_unlock(&c->lock);
    return found != NULL;
}

void page_cache_put(struct page_cache *c, const struct page_key *key, int64_t now_us, struct str text)
{
    size_t need = (sizeof(struct page) + text.len + 15) & ~(size_t)15;
    if (need > c->size / LARGEST_PART)
        return;
    uint64_t *bucket = page_bucket(c, key), *slot = bucket;
    pthread_mutex_lock(&c->lock);
    for (int i = 1; i < BUCKET; i++)
        if (bucket[i] < *slot)
            slot = &bucket[i];
    size_t at = c->written % c->size;
    if (at + need > c->size) { /* a page does not wrap: leave the rest of the ring empty */
        c->written += c->size - at;
        at = 0;
    }
    struct page *page = (struct page *)(c->ring + at);
    page->key = *key;
    page->ends_us = now_us + LIFE_US;
    page->len = text.len;
    memcpy(page + 1, text.ptr, text.len);
    *slot = c->written + 1;
    c->written += need;
    pthread_mutex_unlock(&c->lock);
}
