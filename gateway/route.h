/* route: the table of everything the gateway answers. One row makes the dispatch, the checks of path, query, media type and
 * body, the 404, 405 and 415, the metrics labels and the OpenAPI entry. */
#pragma once

#include "gateway/request.h"

enum method { GET, POST, PUT, PATCH, DELETE };
enum auth { AUTH_NONE, AUTH_USER };
enum role { ROLE_USER = 1, ROLE_MODERATOR = 2, ROLE_ADMIN = 4 };

enum field_type { FIELD_TEXT, FIELD_UUID, FIELD_INT, FIELD_BOOL, FIELD_CHOICE };

/* One field of a JSON body. Unknown fields, wrong types, bad UTF-8 and NUL characters are answered 400 with the field's name. */
struct body_field {
    const char *name; /* camelCase */
    enum field_type type;
    bool required;
    int64_t min, max;    /* TEXT: Unicode code points; INT: value */
    const char *choices; /* CHOICE: "public|private" */
    const char *pattern; /* NULL, or one of the named checks: "username", "email", "name" */
    const char *doc;
};

struct body {
    const char *name;                /* schema name in OpenAPI: "PostMessage" */
    const struct body_field *fields; /* ended by name NULL */
};

struct route {
    enum method method;
    const char *path;   /* "/api/v1/rooms/{room}/messages"; {…} parts are UUIDs unless plain_params */
    const char *name;   /* operationId and metrics label: "messages_post" */
    enum auth auth;
    const struct body *body;
    enum request_step (*run)(struct request *r);
    const char *doc;
};

extern const struct route routes[]; /* ended by path NULL */

/* Finds the row; fills r->params. Else NULL with *ret_allowed: 0 → 404, else a bit set of (1 << method) → 405. */
const struct route *route_find(enum method method, struct str path, struct request *r, unsigned *ret_allowed);

/* Parses r->body_bytes and checks it against the route's table; false: a problem has been filled. */
bool body_check(struct request *r);
