/* window: the newest events of the feed, in memory, in the order they were told: what joins a listener's snapshot of
 * PostgreSQL to the present, and what who was away for a moment has missed. Bounded by count and bytes. One thread. */
#pragma once

#include "gateway/live/event.h"

struct window;

struct window *window_create(int partitions, size_t max_events, size_t max_bytes);
void window_destroy(struct window *w);
/* Nothing is known, as at first. */
void window_clear(struct window *w);

/* Keeps a reference of its own. Serials must ascend by one. */
void window_push(struct window *w, struct event *e);
/* The feed has come to `next` (offsets, one a partition; -1: not known yet). */
void window_reached(struct window *w, const int64_t *next);

const int64_t *window_next(const struct window *w);
/* Everything from these offsets on is here. */
bool window_covers(const struct window *w, const int64_t *from);
/* Every partition has come at least to `until`. */
bool window_has_reached(const struct window *w, const int64_t *until);

/* The serial of the first event from these offsets on; 0: there is none. It may be followed by events before them. */
uint64_t window_find(const struct window *w, const int64_t *from);
/* The text that this event tells has been taken since: its message was deleted, or has expired. */
bool window_text_is_taken(const struct window *w, const struct event *e);
/* NULL behind the newest. */
const struct event *window_at(const struct window *w, uint64_t serial);
