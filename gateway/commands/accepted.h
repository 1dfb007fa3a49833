/* accepted: the operations whose requests were answered 202, before their outcome was known. GET /operations/{id} says
 * "pending" for them. Kept here (the newest 4,096) and as "aether:operation:<id>" in Redis for a day, where other
 * gateways find them. One whose request has r->retried_as is found by that too: who was answered 202 and tries again
 * without a key meets the same command. Any thread. */
#pragma once

#include "gateway/pool.h"

struct accepted;

struct accepted *accepted_create(void);
void accepted_destroy(struct accepted *a);

/* Answers 202 with Location: /api/v1/operations/{id}. The caller owns the request, which is suspended; it
 * is resumed. */
void accepted_answer(struct request *r, struct uuid command_id, struct uuid actor);

/* Looks here, then in Redis (on a pool thread). False when neither knows it, or Redis is away. */
bool accepted_find(struct accepted *a, struct pool_thread *thread, struct uuid command_id, struct uuid *ret_actor,
                   int64_t *ret_at);

/* Likewise by r->retried_as: the command of the request that was answered 202. */
bool accepted_find_retried(struct accepted *a, struct pool_thread *thread, struct uuid retried_as,
                           struct uuid *ret_command_id);
