/* registry: a Confluent-compatible schema registry, as far as reading needs one: GET /schemas/ids/{id}. */
#pragma once

#include "ops/runtime/err.h"
#include "ops/runtime/mem.h"

struct registry;

struct registry *registry_create(const char *url); /* "http://host:port[/path]"; belongs to one thread */
void registry_destroy(struct registry *r);

/* The schema's JSON, appended to ret. RETRY: the registry does not answer in time or has a fault of its own. REJECT: it
 * does not know the id, or its answer is no schema without references. */
MUST_CHECK err registry_schema(struct registry *r, int32_t id, struct buf *ret);
