#include "gateway/rooms/page_cache.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#define LIFE_US      60000000
#define LARGEST_PART 8 /* a page larger than an eighth of the ring is not kept */

struct page {
    struct page_key key;
    int64_t ends_us;
    size_t len; /* bytes of text behind this */
};

/* Positions count every byte ever written; a page at position p is still whole while written - p <= size. */
struct page_cache {
    pthread_mutex_t lock;
    size_t size, slots;
    uint64_t written;
    uint64_t *index; /* by key's hash: position + 1 of the page; 0: none. A newer page takes the slot. */
    char *ring;
    uint8_t seed[crypto_shorthash_KEYBYTES];
};

struct page_cache *page_cache_create(size_t bytes)
{
    struct page_cache *c = mem_alloc(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    randombytes_buf(c->seed, sizeof c->seed);
    c->size = bytes & ~(size_t)15;
    c->slots = c->size / 1024 + 1;
    c->index = mem_alloc(sizeof *c->index * c->slots);
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

static uint64_t *page_slot(struct page_cache *c, const struct page_key *key)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)key, sizeof *key, c->seed);
    return &c->index[hash % c->slots];
}

bool page_cache_get(struct page_cache *c, const struct page_key *key, int64_t now_us, struct buf *out)
{
    if (c->size == 0)
        return false;
    bool found = false;
    const uint64_t *slot = page_slot(c, key);
    pthread_mutex_lock(&c->lock);
    if (*slot != 0 && c->written - (*slot - 1) <= c->size) {
        const struct page *page = (const struct page *)(c->ring + (*slot - 1) % c->size);
        if (page->ends_us > now_us && memcmp(&page->key, key, sizeof *key) == 0) {
            buf_append(out, page + 1, page->len);
            found = true;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void page_cache_put(struct page_cache *c, const struct page_key *key, int64_t now_us, struct str text)
{
    size_t need = (sizeof(struct page) + text.len + 15) & ~(size_t)15;
    if (need > c->size / LARGEST_PART)
        return;
    uint64_t *slot = page_slot(c, key);
    pthread_mutex_lock(&c->lock);
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
