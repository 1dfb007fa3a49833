/* fair_queue: whose turn it is among those that wait. Under each key of 16 bytes (an address's network) they are taken
 * in the order in which they came; keys take turns, one of each. So who comes alone is not kept waiting by a key with
 * thousands: it waits for one of each other key at most.
 *
 * It deals in places, numbers below its size: what waits there is the caller's. Bounded: its memory is taken once, for
 * as many places as it is made with. Keys are hashed with a key of our own, so that nobody chooses who shares a turn
 * with whom. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAIR_QUEUE_KEY 16

struct fair_queue;

struct fair_queue *fair_queue_create(size_t size);
void fair_queue_destroy(struct fair_queue *q); /* NULL is fine */

/* A place that is free. No more than `size` may wait. */
size_t fair_queue_add(struct fair_queue *q, const uint8_t key[FAIR_QUEUE_KEY]);
/* The place whose turn it is; somebody waits. */
size_t fair_queue_next(const struct fair_queue *q);
/* Takes that one: its place is free. */
void fair_queue_take(struct fair_queue *q);
