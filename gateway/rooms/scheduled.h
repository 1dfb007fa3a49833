/* scheduled: messages that are said later. */
#pragma once

#include "gateway/http/request.h"
#include "gateway/rooms/mentions.h"

/* Schedules the request's body for r->ids[0]. Called by whoever owns the request. */
enum request_step scheduled_post(struct request *r, const struct mentions *mentions, int64_t send_at);
