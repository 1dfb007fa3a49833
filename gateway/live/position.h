/* position: how far a listener has seen the feed: for each partition of rooms.events the offset it goes on from. As
 * text (the events' `id`, a client's Last-Event-ID) it is opaque: base64url of variable-length numbers, about three
 * bytes a partition. It is no secret and grants nothing, so it is not signed. Any thread. */
#pragma once

#include "ops/runtime/mem.h"

#define POSITION_MAX_PARTITIONS 256

/* Room for a text of `partitions` of them, with its NUL. */
#define POSITION_TEXT_SIZE(partitions) (((partitions) + 1) * 14)

/* Returns its length. */
size_t position_format(const int64_t *next, int partitions, char *ret_text);
/* false: no position of a feed with so many partitions; ret is not defined then. */
bool position_parse(struct str text, int partitions, int64_t *ret_next);
