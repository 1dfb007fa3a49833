/* route: the table of everything the gateway answers. One row makes the dispatch, the checks of path, query, media type
 * and body, the 404, 405 and 415, the metrics labels and the OpenAPI entry. */
#pragma once

#include "gateway/http/request.h"
#include "gateway/http/shape.h"

enum method { GET, POST, PUT, PATCH, DELETE };
enum auth { AUTH_NONE, AUTH_USER };
enum role { ROLE_USER = 1, ROLE_MODERATOR = 2, ROLE_ADMIN = 4 };

/* FIELD_CHOICES: an array of different choices, min to max of them. FIELD_TIME: an instant of RFC 3339. */
enum field_type { FIELD_TEXT, FIELD_UUID, FIELD_INT, FIELD_BOOL, FIELD_CHOICE, FIELD_CHOICES, FIELD_TIME };

/* One field of a JSON body, or one parameter of a query. Unknown fields, wrong types, bad UTF-8 and NUL characters are
 * answered 400 with the field's name. */
struct body_field {
    const char *name; /* camelCase */
    enum field_type type;
    bool required;
    int64_t min, max;    /* TEXT: Unicode code points; INT: value */
    const char *choices; /* CHOICE, CHOICES: "public|private" */
    const char *pattern; /* NULL, or one of the named checks of body.c: "username", "email", "phone", … */
    const char *doc;
    bool nullable;           /* null is as good as a value: "not given", in a PATCH (RFC 7396) "take it away" */
    const char *example;     /* JSON for OpenAPI: "\"Ada\"", "42"; NULL: made from the type */
    bool secret;             /* a password or a token: every copy of it in the request's memory is wiped at the end */
    const char *preset;      /* JSON: what it is when left out, for OpenAPI; NULL: not said */
    const char *enumeration; /* CHOICE, CHOICES: the name of its schema in OpenAPI; as in shape.h */
    bool future;             /* TIME, of a plain command: refused when it has passed */
};

struct plain_command; /* commands/plain.h */

struct body {
    const char *name;                /* schema name in OpenAPI: "PostMessage" */
    const struct body_field *fields; /* ended by name NULL */
    bool is_patch;                   /* a merge patch (RFC 7396): application/merge-patch+json is taken as well */
};

/* An answer that is no problem. */
struct route_answer {
    int status;
    const struct shape *shape; /* of its JSON; NULL: no body, or one of another media type */
    bool page;                 /* {"items": [shape, …], "nextCursor": text or null} */
    const char *media_type;    /* NULL: application/json */
    const char *doc;           /* NULL: the status says it */
};

struct route {
    enum method method; /* HEAD is answered as GET without the body, OPTIONS from the table */
    const char *path;   /* "/api/v1/rooms/{room}/messages"; {…} parts are UUIDs unless plain_params */
    const char *name;   /* operationId and metrics label: "messages_post" */
    enum auth auth;
    const struct body *body;
    enum request_step (*run)(struct request *r);
    const char *doc;
    bool plain_params;                   /* the {…} parts are text */
    const struct plain_command *command; /* what `run` sends when it is plain_send; else NULL */
    unsigned roles; /* bits of enum role of which the person needs one; 0: anybody who is logged in */

    /* The rest is for OpenAPI, and `query` is checked as well, before the handler runs: 400 bad_query. */
    const struct body_field *query;     /* ended by name NULL */
    const struct body_field *headers;   /* request headers of its own, likewise, not checked */
    const struct route_answer *answers; /* ANSWERS(…); what follows from other columns (202, 401, …) needs no row */
    const char *problems; /* "room_not_found not_a_member": what the handler says itself, and why the worker rejects */
    bool no_command;      /* no GET, yet nothing is appended: neither 202 nor Idempotency-Key */
    bool etag;            /* 200 comes with an ETag */
    bool if_match;        /* heeds If-Match (412) */
};

/* .answers = ANSWERS({ 200, &room_shape }) */
#define ANSWERS(...) ((const struct route_answer[]){ __VA_ARGS__, { 0 } })

extern const struct route routes[]; /* ended by path NULL */

/* What lies under `prefix` is what lies under `stands_for`. */
struct route_alias {
    const char *prefix, *stands_for; /* whole segments */
};

extern const struct route_alias route_aliases[]; /* ended by prefix NULL */

/* The path as the table writes it, in the arena when it is another one. `aliases` may be NULL. */
struct str route_path(const struct route_alias *aliases, struct str path, struct arena *arena);

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
bool body_has_secrets(const struct body *body); /* what request.has_secrets is to be */

/* Checks the query against the route's table; false: a problem has been filled, which names every parameter that is
 * wrong. Parameters that the table does not have are passed over. */
bool query_check(struct request *r);

/* Parameters of the route's table, checked. false, *ret untouched: not given. */
bool query_text(struct request *r, const char *name, struct str *ret); /* TEXT, CHOICE */
bool query_int(struct request *r, const char *name, int64_t *ret);
bool query_bool(struct request *r, const char *name, bool *ret);
bool query_uuid(struct request *r, const char *name, struct uuid *ret);
bool query_time(struct request *r, const char *name, int64_t *ret_unix_ms);
