/* message: one message, as it is found and shown; for the resources that have one in their path. */
#pragma once

#include "consumers/messages/view.h"
#include "gateway/pool.h"

/* The message of the last id in the path (of the room in the first one, when there are two), and the room, if the
 * person may see them. *ret_found false: a problem has been filled. */
MUST_CHECK err message_locate(struct request *r, struct pool_thread *thread, struct message_view *ret,
                              struct room_view *ret_room, bool *ret_found);

/* The one rule for what a message has said before: a member sees it of messages of their own, and of all where this is
 * true. */
bool message_moderates(const struct request *r, const struct room_view *room);
