/* catch_up: what somebody missed who was away for longer than the window goes back, or who says by number what was
 * seen: read from PostgreSQL, page by page, the next one when the last has been sent.
 *
 * Everything is as of the snapshot the listener came with, its offsets `at`: messages posted before them, in order, and
 * by position also those that were changed meanwhile, as they are now (message.changed). The last page is followed by
 * what lane_attach tells from the window. An event carries the position behind it, so whoever loses the connection in
 * the middle goes on there. */
#pragma once

#include "consumers/messages/view_feed.h"
#include "ops/runtime/mem.h"

#include <jansson.h>

struct catch_up;
struct listener;

/* Takes the arrays over. For a listener that is held: it will say what it has seen. */
struct catch_up *catch_up_create(struct listener *l, int64_t *at, struct feed_room *rooms, size_t room_count);
/* From here on, by position. */
void catch_up_by_position(struct listener *l, int64_t *at, struct feed_room *rooms, size_t room_count, int64_t *seen);
/* {room: number, …}; a room that is not there was joined meanwhile. false: that is none, and *ret_why says why. */
bool catch_up_by_number(struct listener *l, json_t *since, const char **ret_why);

void catch_up_next(struct listener *l);
void catch_up_abandon(struct listener *l);
