/* page_cache: rendered JSON, in this process: pages of messages, and rooms as they stand in one person's list. A page
 * is named by room, the room's version and its range, so it is never stale by a fact; it is forgotten after a minute,
 * since erasing a person changes no room. A ring of bytes, allocated once: new pages overwrite the oldest.
 * Any thread. */
#pragma once

#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

struct page_cache;

struct page_key {
    struct uuid room, viewer; /* viewer nil: it looks the same to all members */
    int64_t version, from, to;
    int64_t order; /* what else makes two pages of one range differ */
};

struct page_cache *page_cache_create(size_t bytes); /* 0: remembers nothing */
void page_cache_destroy(struct page_cache *c);
/* Appends the page to `out` when it is there. */
bool page_cache_get(struct page_cache *c, const struct page_key *key, int64_t now_us, struct buf *out);
void page_cache_put(struct page_cache *c, const struct page_key *key, int64_t now_us, struct str text);
