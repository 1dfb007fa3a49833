/* command: what a client says over its WebSocket. */
#pragma once

#include "ops/runtime/mem.h"

#include "gateway/http/route.h"

struct listener;

/* What can be said. What has a path does what the route does over HTTP, with the same checks, idempotency
 * and errors. */
struct command_verb {
    const char *name;
    enum method method;
    const char *path; /* NULL: about the connection itself */
    const char *doc;
};
extern const struct command_verb command_verbs[]; /* ended by name NULL */

/* On the lane's thread. */
void command_take(struct listener *l, struct str text);
