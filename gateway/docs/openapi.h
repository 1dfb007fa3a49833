/* openapi: the table of routes as an OpenAPI 3.1 document. What is in it stands in the tables: routes.c, the bodies and
 * shapes beside the resources, the problem codes. */
#pragma once

#include "gateway/http/route.h"

/* Appends the document. `table` ends with a row whose path is NULL. */
void openapi_render(const struct route *table, struct buf *out);
