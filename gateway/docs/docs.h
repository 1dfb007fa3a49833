/* docs: the OpenAPI document, made once, and Swagger UI to look at it with. */
#pragma once

#include "ops/runtime/config.h"

struct docs;
struct route;

extern const struct setting docs_settings[];

/* Renders the document of `routes` and reads Swagger UI's files (ops/swagger-ui/fetch) from docs.folder, if it is set.
 * FATAL: a file is not there. */
MUST_CHECK err docs_create(const struct config *config, const struct route *routes, struct docs **ret);
void docs_destroy(struct docs *docs);
