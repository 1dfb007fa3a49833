/* route: the table of everything the gateway answers. One row makes the dispatch, the checks of path, query, media type
 * and body, the 404, 405 and 415, the metrics labels and the OpenAPI entry. */
#pragma once

#include "gateway/request.h"

enum method { GET, POST, PUT, PATCH, DELETE };
enum auth { AUTH_NONE, AUTH_USER };
enum role { ROLE_USER = 1, ROLE_MODERATOR = 2, ROLE_ADMIN = 4 };

/* FIELD_CHOICES: an array of different choices, min to max of them. FIELD_TIME: an instant of RFC 3339. */
enum field_type { FIELD_TEXT, FIELD_UUID, FIELD_INT, FIELD_BOOL, FIELD_CHOICE, FIELD_CHOICES, FIELD_TIME };

/* One field of a JSON body. Unknown fields, wrong types, bad UTF-8 and NUL characters are answered 400 with the field's
 * name. */
struct body_field {
    const char *name; /* camelCase */
    enum field_type type;
    bool required;
    int64_t min, max;    /* TEXT: Unicode code points; INT: value */
    const char *choices; /* CHOICE, CHOICES: "public|private" */
    const char *pattern; /* NULL, or one of the named checks of body.c: "username", "email", "phone", … */
    const char *doc;
    bool nullable; /* null is as good as a value: "not given", in a PATCH (RFC 7396) "take it away" */
};

struct body {
    const char *name;                /* schema name in OpenAPI: "PostMessage" */
    const struct body_field *fields; /* ended by name NULL */
    bool is_patch;                   /* a merge patch (RFC 7396): application/merge-patch+json is taken as well */
};

struct route {
    enum method method; /* HEAD is answered as GET without the body, OPTIONS from the table */
    const char *path;   /* "/api/v1/rooms/{room}/messages"; {…} parts are UUIDs unless plain_params */
    const char *name;   /* operationId and metrics label: "messages_post" */
    enum auth auth;
    const struct body *body;
    enum request_step (*run)(struct request *r);
    const char *doc;
    bool plain_params; /* the {…} parts are text */
    unsigned roles;    /* bits of enum role of which the person needs one; 0: anybody who is logged in */
};

extern const struct route routes[]; /* ended by path NULL */

/* The table as a tree of path segments: a look-up costs one comparison of a segment for each sibling on the way. The
 * table is kept, not copied, and must have no two rows that answer the same request (asserted). Read-only once made. */
struct router;
struct router *router_create(const struct route *table);
void router_destroy(struct router *router);

/* Finds the row; fills ret_params (REQUEST_MAX_PARAMS of them) with the {…} parts, which point into `path`. Else NULL
 * with *ret_allowed: 0 → 404, else a bit set of (1 << method) → 405. Both are set for every path that is known. */
const struct route *router_find(const struct router *router, enum method method, struct str path,
                                struct str *ret_params, size_t *ret_count, unsigned *ret_allowed);

const char *method_name(enum method method); /* "GET" */
bool method_parse(struct str name, enum method *ret);

/* Parses r->body_bytes into r->body and checks it against the route's table; false: a problem has been filled, which
 * names every field that is wrong. Needs json_arena_init. */
bool body_check(struct request *r);
