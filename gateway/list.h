/* list: a page of a list that is read by its keys: ?limit=&cursor= in, {"items": […], "nextCursor": …} out. The
 * position is what the query goes on behind; the client gets it as a cursor that belongs to this list with these
 * parameters. */
#pragma once

#include "gateway/http/route.h"
#include "gateway/pool.h"

#define LIST_MAX     100
#define LIST_DEFAULT 50

/* The parameters of every list: the first rows of its route's query. */
#define LIST_QUERY                                                                                                     \
    { "limit", FIELD_INT, .min = 1, .max = LIST_MAX, .preset = "50", .doc = "How many at most." },                     \
    {                                                                                                                  \
        "cursor", FIELD_TEXT, .max = 2048, .doc = "nextCursor of the page before, with the same parameters."           \
    }
extern const struct body_field list_query[]; /* nothing but these */

/* Answers with the page that r->state, a list, asks for, or with a problem. */
typedef err list_load(struct request *r, struct pool_thread *thread);

struct list {
    struct str name;  /* what is listed, with its parameters: a cursor is good for no other list */
    struct str after; /* position; empty: from the beginning */
    int limit;
    list_load *load; /* list_of's */
};

/* `name` is filled. On the thread that parses the request. false: a problem has been filled. */
bool list_begin(struct request *r, struct list *l);

/* A writer that stands in "items". */
struct json list_open(struct request *r);
/* `last` is the position of the last item shown; more: others follow. */
void list_close(struct request *r, struct json *j, const struct list *l, bool more, struct str last);

/* "<what>:<id>" */
struct str list_name(struct request *r, const char *what, struct uuid id);

/* Lists by id: what "<what>:<id>" names, read by `load` on the pool of reads. */
enum request_step list_of(struct request *r, const char *what, struct uuid id, list_load *load);
struct uuid list_after_id(const struct list *l); /* nil: from the beginning */
void list_close_id(struct request *r, struct json *j, const struct list *l, bool more, struct uuid last);
