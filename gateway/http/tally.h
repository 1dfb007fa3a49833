/* tally: how many things each of many holds now, under a key of 16 bytes: an address's network, a person. Bounded: at
 * most `capacity` things are held in all, and memory is taken once. Keys are hashed with a key of our own, so that
 * nobody chooses who shares a place with whom. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_KEY 16

struct tally;

struct tally *tally_create(size_t capacity);
void tally_destroy(struct tally *t); /* NULL is fine */

/* One more of the key; false, and not counted: it has `most` already (0: no limit), or all together have too many. */
bool tally_take(struct tally *t, const uint8_t key[TALLY_KEY], int most);
/* One that was taken. */
void tally_give(struct tally *t, const uint8_t key[TALLY_KEY]);
int tally_of(struct tally *t, const uint8_t key[TALLY_KEY]);
